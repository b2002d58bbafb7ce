//! How each measure follows from a window's summary and the baseline's.

use super::label_shift::{self, Confusion};
use super::labels::{self, Estimator};
use super::{Measure, Measures, Needs};
use crate::information::divergence::{self, smooth_counts, smooth_probabilities};
use crate::information::entropy::{entropy, normalized};
use crate::information::noise::NoiseFloor;
use crate::summary::Summary;
use crate::window::segments::segment_information;

/// A baseline's side of the measures, made once and used for every window.
#[derive(Clone, Debug)]
pub struct Reference {
    summary: Summary,
    mean: Vec<f64>,
    /// Σp smoothed: the second argument of kl.
    smoothed: Vec<f64>,
    /// Argmax counts smoothed: the second argument of label_kl.
    labels: Vec<f64>,
    variances: Vec<f64>,
    /// What its labels say, where it has labels.
    pub(super) estimator: Option<Estimator>,
    pub(super) confusion: Option<Confusion>,
}

impl Reference {
    pub fn new(baseline: &Summary) -> Self {
        Self {
            mean: baseline.mean(),
            smoothed: smooth_probabilities(&baseline.probability_sums()),
            labels: smooth_counts(&baseline.argmax_counts()),
            variances: baseline.variances(),
            estimator: Estimator::new(baseline),
            confusion: Confusion::new(baseline),
            summary: baseline.clone(),
        }
    }

    /// Whether the measure follows from it: false where that takes labels which it has not.
    pub fn tells(&self, measure: Measure) -> bool {
        match measure {
            Measure::LabelShift | Measure::LabelShiftCondition => self.confusion.is_some(),
            _ if measure.needs() == Needs::LabelledBaseline => self.estimator.is_some(),
            _ => true,
        }
    }

    /// What each divergence of a window of so many records is expected to be when nothing has
    /// changed; none where either has no records.
    pub fn noise(&self, records: u64) -> Option<NoiseFloor> {
        NoiseFloor::new(
            &self.variances,
            &self.smoothed,
            records,
            self.summary.records(),
        )
    }
}

/// Every measure of a window that follows from its summary: those that need no baseline, and,
/// against one over as many classes, those that do. None without records.
pub fn measures(window: &Summary, baseline: Option<&Reference>) -> Measures {
    let mut values = Measures::default();
    if window.records() == 0 {
        return values;
    }
    let mean = window.mean();
    alone(&mut values, window, &mean);
    let comparable = |baseline: &&Reference| {
        baseline.summary.classes() == window.classes() && baseline.summary.records() > 0
    };
    if let Some(baseline) = baseline.filter(comparable) {
        against(&mut values, window, &mean, baseline);
    }
    values.0.retain(|_, value| value.is_finite());
    values
}

fn alone(values: &mut Measures, window: &Summary, mean: &[f64]) {
    let (entropy_bits, marginal) = (window.entropy(), entropy(mean));
    let quantile = |quantile| window.histogram().quantile(quantile).unwrap_or_default();
    values.insert(Measure::Records, window.records() as f64);
    values.insert(Measure::Entropy, entropy_bits);
    values.insert(
        Measure::EntropyNormalized,
        normalized(entropy_bits, window.classes()),
    );
    values.insert(Measure::EntropyP50, quantile(0.5));
    values.insert(Measure::EntropyP95, quantile(0.95));
    values.insert(Measure::EntropyP99, quantile(0.99));
    values.insert(Measure::Confidence, window.confidence());
    values.insert(Measure::Margin, window.margin());
    values.insert(Measure::MarginalEntropy, marginal);
    values.insert(Measure::EffectiveClasses, marginal.exp2());
    values.insert(Measure::Perplexity, entropy_bits.exp2());
    // Not below 0 but for rounding: entropy is concave.
    values.insert(Measure::Information, (marginal - entropy_bits).max(0.0));
    if let Some(labelled) = window.labelled() {
        labels::insert(values, labelled);
    }
    if let Some(bits) = segment_information(window) {
        values.insert(Measure::SegmentInformation, bits);
    }
}

fn against(values: &mut Measures, window: &Summary, mean: &[f64], baseline: &Reference) {
    let kl = divergence::kl(mean, &baseline.smoothed);
    let smoothed = smooth_probabilities(&window.probability_sums());
    let reverse = divergence::kl(&baseline.mean, &smoothed);
    let js = divergence::js(mean, &baseline.mean);
    let records = window.records() as f64;
    let labels: Vec<f64> = window
        .argmax_counts()
        .iter()
        .map(|count| count / records)
        .collect();
    let shift = window.histogram().distance(baseline.summary.histogram());
    values.insert(Measure::Kl, kl);
    values.insert(Measure::KlReverse, reverse);
    values.insert(Measure::Jeffreys, kl + reverse);
    values.insert(Measure::Js, js);
    values.insert(Measure::JsDistance, js.sqrt());
    values.insert(
        Measure::Hellinger,
        divergence::hellinger(mean, &baseline.mean),
    );
    values.insert(Measure::Tv, divergence::tv(mean, &baseline.mean));
    values.insert(Measure::Linf, divergence::linf(mean, &baseline.mean));
    values.insert(Measure::CrossEntropyBaseline, entropy(mean) + kl);
    values.insert(Measure::LabelKl, divergence::kl(&labels, &baseline.labels));
    values.insert(Measure::EntropyShift, shift);
    if let Some(noise) = baseline.noise(window.records()) {
        values.insert(Measure::KlNoise, noise.kl);
    }
    let estimator = baseline.estimator.as_ref();
    if let Some(estimate) = estimator.and_then(|estimator| estimator.estimate(window)) {
        labels::insert_estimate(values, estimate);
    }
    if let Some(priors) = label_shift::estimated_priors(window, baseline) {
        values.insert(Measure::LabelShiftCondition, priors.condition);
        if let Some(distance) = priors.distance() {
            values.insert(Measure::LabelShift, distance);
        }
    }
}

/// What each class adds to kl, in bits; they sum to it, and none is below 0. Empty where the
/// baseline is over another number of classes.
pub fn contributions(window: &Summary, baseline: &Reference) -> Vec<f64> {
    if baseline.summary.classes() != window.classes() {
        return Vec::new();
    }
    divergence::contributions(&window.mean(), &baseline.smoothed).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::summary::Label;

    /// late, lost_records, rejected_share and silence
    const NOT_OF_A_SUMMARY: usize = 4;

    /// Of a model with labels and tags.
    fn any_summary(classes: usize) -> impl Strategy<Value = Summary> {
        let weights = prop::collection::vec(prop_oneof![Just(0.0), 0.0..1e-9, 0.0..1.0], classes);
        let label = prop_oneof![
            1 => Just(Label::None),
            1 => Just(Label::Unknown),
            4 => (0..classes).prop_map(Label::Class),
        ];
        let value = prop_oneof![Just("DE"), Just("FR"), Just("US")];
        let records = prop::collection::vec((weights, label, value), 1..20);
        records.prop_map(move |records| {
            let mut summary = Summary::new(classes);
            for (mut record, label, value) in records {
                record[0] += 1e-3;
                let total: f64 = record.iter().sum();
                record.iter_mut().for_each(|p| *p /= total);
                summary.add(&record, 0);
                summary.add_label(&record, label);
                summary.add_tags(&record, [("country", value)].into_iter());
            }
            summary
        })
    }

    /// How many measures there are, with labels or without, and with a system to solve or without.
    fn there_are(window: &Summary, reference: &Reference) -> usize {
        let labelled = |summary: &Summary| summary.labelled().map(|l| l.records() > 0);
        let of_labels = |m: &&Measure| m.needs() == Needs::Labels && m.unit() != "records";
        let absent = |measure: &&Measure| {
            !reference.tells(**measure)
                || of_labels(measure) && labelled(window) == Some(false)
                || **measure == Measure::LabelShift
                    && label_shift::estimated_priors(window, reference)
                        .is_some_and(|priors| priors.distance().is_none())
        };
        Measure::ALL.len() - NOT_OF_A_SUMMARY - Measure::ALL.iter().filter(absent).count()
    }

    proptest! {
        #[test]
        fn all_measures_are_finite_and_divergences_are_not_below_zero(
            (window, baseline) in (1..6_usize).prop_flat_map(|k| (any_summary(k), any_summary(k))),
        ) {
            let reference = Reference::new(&baseline);
            let values = measures(&window, Some(&reference));
            for (measure, value) in &values.0 {
                prop_assert!(value.is_finite() && *value >= 0.0, "{measure:?} {value}");
                if let Some(most) = measure.greatest(Some(window.classes())) {
                    // Fixed point and histogram buckets round.
                    prop_assert!(*value <= most + 0.01, "{measure:?} {value} > {most}");
                }
            }
            prop_assert_eq!(values.0.len(), there_are(&window, &reference));
            let sum: f64 = contributions(&window, &reference).iter().sum();
            prop_assert!((sum - values.get(Measure::Kl).unwrap()).abs() < 1e-9);
        }

        #[test]
        fn a_window_is_no_distance_from_itself(window in (1..6_usize).prop_flat_map(any_summary)) {
            let values = measures(&window, Some(&Reference::new(&window)));
            for measure in [Measure::Js, Measure::Hellinger, Measure::Tv, Measure::Linf, Measure::EntropyShift] {
                prop_assert_eq!(values.get(measure), Some(0.0));
            }
        }

        #[test]
        fn one_class_has_nothing_to_say(window in any_summary(1)) {
            let values = measures(&window, Some(&Reference::new(&window)));
            for measure in [Measure::Entropy, Measure::EntropyNormalized, Measure::MarginalEntropy,
                Measure::Information, Measure::Kl, Measure::KlNoise, Measure::Jeffreys]
            {
                prop_assert_eq!(values.get(measure), Some(0.0));
            }
        }
    }

    #[test]
    fn another_number_of_classes_is_no_baseline() {
        let (mut two, mut three) = (Summary::new(2), Summary::new(3));
        two.add(&[0.5, 0.5], 0);
        three.add(&[1.0, 0.0, 0.0], 0);
        let values = measures(&two, Some(&Reference::new(&three)));
        assert_eq!(values.get(Measure::Kl), None);
        assert_eq!(values.get(Measure::Entropy), Some(1.0));
        assert!(contributions(&two, &Reference::new(&three)).is_empty());
    }
}
