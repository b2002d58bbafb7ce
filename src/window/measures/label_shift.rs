//! Which classes became more frequent, without labels: black box shift estimation, in its soft form
//! (BBSE: Lipton, Wang & Smola 2018).
//!
//! A labelled baseline says what the model outputs on each class. If that has not changed, and only
//! the classes' frequencies have, then the window's mean output is the sum of those outputs, each as
//! often as its class now is: C w = p̄, with C_ij = Σ_{label = j} p_i / n and w_j how much more
//! frequent class j is. cond(C) says how much of an error in p̄ shows in w: a model that hardly tells
//! two classes apart cannot tell either which of them has grown.

use super::Reference;
use crate::information::least_squares::LeastSquares;
use crate::summary::Summary;

/// The labels of a baseline, ready to be solved for.
#[derive(Clone, Debug)]
pub(super) struct Confusion {
    /// Each label's share, by class.
    priors: Vec<f64>,
    /// The classes that the columns of the system are of.
    labels: Vec<usize>,
    system: LeastSquares,
}

/// How frequent the classes are, by class.
#[derive(Clone, Debug, PartialEq)]
pub struct Priors {
    /// Shares of the baseline's labels.
    pub baseline: Vec<f64>,
    /// As the window's outputs have it: what solves the system, so an entry may be below 0 and they
    /// need not sum to 1.
    pub window: Vec<f64>,
    /// cond(C), at least 1: an error of 1 % in p̄ may be one of so many per cent in the weights.
    pub condition: f64,
}

impl Confusion {
    /// None where the baseline has no labels, has more classes than they are summed for, or has
    /// labels whose outputs cannot be told apart.
    pub(super) fn new(baseline: &Summary) -> Option<Self> {
        let labelled = baseline.labelled()?;
        let records = labelled.records() as f64;
        let (mut priors, mut labels) = (vec![0.0; baseline.classes()], Vec::new());
        let mut columns = Vec::new();
        // Classes that were no label have no column: nothing is known of the model's outputs there.
        for (label, count, sums) in labelled.by_label() {
            if sums.is_empty() {
                return None;
            }
            priors[label] = count as f64 / records;
            labels.push(label);
            columns.push(sums.iter().map(|sum| sum / records).collect());
        }
        Some(Self {
            priors,
            labels,
            system: LeastSquares::new(columns)?,
        })
    }

    fn priors(&self, mean: &[f64]) -> Priors {
        let mut window = vec![0.0; self.priors.len()];
        for (&label, weight) in self.labels.iter().zip(self.system.solve(mean)) {
            window[label] = weight * self.priors[label];
        }
        Priors {
            baseline: self.priors.clone(),
            window,
            condition: self.system.condition(),
        }
    }
}

impl Priors {
    /// Total variation distance of the two, in [0, 1], what is below 0 being taken as 0 and the rest
    /// made to sum to 1; none where nothing is above 0.
    pub fn distance(&self) -> Option<f64> {
        let sum: f64 = self.window.iter().map(|prior| prior.max(0.0)).sum();
        let off = |(now, before): (&f64, &f64)| (now.max(0.0) / sum - before).abs();
        let sum_off: f64 = self.window.iter().zip(&self.baseline).map(off).sum();
        (sum > 0.0).then_some(sum_off / 2.0)
    }
}

/// How frequent the classes of a window are, by its outputs and the baseline's labels. None without
/// records, or where the baseline does not say: it is over other classes, has no labels, labels of
/// more than [`crate::summary::MOST_CONFUSION_CLASSES`] classes, or labels that the model cannot
/// tell apart.
pub fn estimated_priors(window: &Summary, baseline: &Reference) -> Option<Priors> {
    let confusion = baseline.confusion.as_ref()?;
    let comparable = window.records() > 0 && window.classes() == confusion.priors.len();
    comparable.then(|| confusion.priors(&window.mean()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::{Label, MOST_CONFUSION_CLASSES};
    use crate::window::measures::{Measure, measures};

    /// So many records of each distribution and label.
    fn summary(classes: usize, records: &[(u32, &[f64], Label)]) -> Summary {
        let mut summary = Summary::new(classes);
        for &(count, p, label) in records {
            for _ in 0..count {
                summary.add(p, 0);
                summary.add_label(p, label);
            }
        }
        summary
    }

    /// A baseline of three quarters class 0, which the model gives 0.8, and one quarter class 1,
    /// which it gives 0.6. C = [[0.6, 0.1], [0.15, 0.15]]. A window with a quarter of class 0:
    /// p̄ = (0.2 + 0.3, 0.05 + 0.45) = (0.5, 0.5), and w = (1/3, 3). Its distance is 1/2.
    #[test]
    fn priors_by_hand() {
        let (zero, one) = ([0.8, 0.2], [0.4, 0.6]);
        let baseline = [
            (30, &zero[..], Label::Class(0)),
            (10, &one, Label::Class(1)),
        ];
        let reference = Reference::new(&summary(2, &baseline));
        let window = summary(2, &[(10, &zero, Label::None), (30, &one, Label::None)]);
        let priors = estimated_priors(&window, &reference).unwrap();
        let close = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-9, "{value}");
        close(priors.window[0], 0.25);
        close(priors.window[1], 0.75);
        assert_eq!(priors.baseline, [0.75, 0.25]);
        close(priors.distance().unwrap(), 0.5);
        // CᵀC = [[0.3825, 0.0825], [0.0825, 0.0325]]: trace 0.415, determinant 0.075².
        let root = (0.415_f64.powi(2) / 4.0 - 0.075_f64.powi(2)).sqrt();
        close(priors.condition, ((0.2075 + root) / (0.2075 - root)).sqrt());
        let values = measures(&window, Some(&reference));
        assert_eq!(values.get(Measure::LabelShift), priors.distance());
    }

    /// A class that the baseline has no label of is no part of the system.
    #[test]
    fn classes_without_labels_have_no_prior() {
        let (zero, one) = ([0.7, 0.2, 0.1], [0.2, 0.7, 0.1]);
        let baseline = [
            (10, &zero[..], Label::Class(0)),
            (10, &one, Label::Class(1)),
        ];
        let reference = Reference::new(&summary(3, &baseline));
        let window = summary(3, &[(10, &zero, Label::None), (30, &one, Label::None)]);
        let priors = estimated_priors(&window, &reference).unwrap();
        let expected = [0.25, 0.75, 0.0];
        for (prior, expected) in priors.window.iter().zip(expected) {
            assert!((prior - expected).abs() < 1e-9, "{prior}");
        }
    }

    #[test]
    fn what_the_labels_do_not_give_is_absent() {
        let p = [0.8, 0.2];
        let alike = [(5, &p[..], Label::Class(0)), (5, &p, Label::Class(1))];
        let none = [(5, &p[..], Label::None)];
        let window = summary(2, &none);
        for records in [&alike[..], &none] {
            let reference = Reference::new(&summary(2, records));
            assert_eq!(estimated_priors(&window, &reference), None);
            assert!(!reference.tells(Measure::LabelShift));
        }
        let wide = vec![1.0 / (MOST_CONFUSION_CLASSES + 1) as f64; MOST_CONFUSION_CLASSES + 1];
        let wide = summary(wide.len(), &[(1, &wide, Label::Class(0))]);
        assert_eq!(estimated_priors(&wide, &Reference::new(&wide)), None);
    }

    #[test]
    fn nothing_below_zero_counts_for_the_distance() {
        let priors = |window: [f64; 2]| Priors {
            baseline: vec![0.5, 0.5],
            window: window.to_vec(),
            condition: 1.0,
        };
        assert_eq!(priors([1.2, -0.2]).distance(), Some(0.5));
        assert_eq!(priors([0.25, 0.25]).distance(), Some(0.0));
        assert_eq!(priors([-1.0, 0.0]).distance(), None);
    }
}
