//! Measures of labels: of a window's own, and, where the baseline has labels, of what follows for
//! windows without: an estimate of accuracy.
//!
//! Four estimates, each with its own idea of what stays true when inputs change. Together they are
//! a range:
//!
//! - *Average thresholded confidence* (Garg et al. 2022), on confidence and on entropy: the baseline
//!   gives the line above which as large a share of its records lies as was right; the share of the
//!   window above that line is the estimate.
//! - *Difference of confidences* (Guillory et al. 2021): the baseline's accuracy, and as much more or
//!   less as mean confidence is.
//! - *Calibrated confidence* (as NannyML's CBPE): how often the baseline was right at each
//!   confidence, by isotonic regression, averaged over the window's confidences.
//!
//! The two kinds of lines lie in a bucket of a histogram. All of its records are above the line, as
//! all that are equal to the line are where it is exact: an estimate is too high by at most the
//! bucket's share of the window.

use super::{Measure, Measures};
use crate::summary::{Histogram, Labelled, Summary};

/// Adds what a window's labels say.
pub(super) fn insert(values: &mut Measures, labelled: &Labelled) {
    values.insert(Measure::Labelled, labelled.records() as f64);
    values.insert(Measure::UnknownLabels, labelled.unknown() as f64);
    let means = [
        (Measure::Accuracy, labelled.accuracy()),
        (Measure::Brier, labelled.brier()),
        (Measure::CalibrationError, labelled.calibration_error()),
        (Measure::CrossEntropy, labelled.cross_entropy()),
    ];
    for (measure, value) in means {
        if let Some(value) = value {
            values.insert(measure, value);
        }
    }
}

/// What a baseline's labels say of confidence and accuracy.
#[derive(Clone, Debug)]
pub struct Estimator {
    accuracy: f64,
    confidence: f64,
    /// The last bucket above the line: of doubts, and of entropies. None where no record was right.
    doubt_line: Option<u32>,
    entropy_line: Option<u32>,
    /// The share of right records, by doubt: each for the buckets up to its own, in order.
    calibration: Vec<(u32, f64)>,
}

/// The accuracy of a window without labels, by each of the estimates; all in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EstimatedAccuracy {
    pub thresholded_confidence: f64,
    pub thresholded_entropy: f64,
    pub difference: f64,
    pub calibrated: f64,
}

impl EstimatedAccuracy {
    fn sorted(self) -> [f64; 4] {
        let mut all = [
            self.thresholded_confidence,
            self.thresholded_entropy,
            self.difference,
            self.calibrated,
        ];
        all.sort_by(f64::total_cmp);
        all
    }

    pub fn least(self) -> f64 {
        self.sorted()[0]
    }

    pub fn most(self) -> f64 {
        self.sorted()[3]
    }

    /// The median: the mean of the two in the middle.
    pub fn middle(self) -> f64 {
        let sorted = self.sorted();
        f64::midpoint(sorted[1], sorted[2])
    }
}

impl Estimator {
    /// None where the baseline has no labels.
    pub fn new(baseline: &Summary) -> Option<Self> {
        let labelled = baseline.labelled()?;
        let (accuracy, confidence) = (labelled.accuracy()?, labelled.confidence()?);
        let [_, wrong, right] = labelled.doubts();
        let by_doubt = outcomes(wrong, right);
        let doubts = by_doubt
            .iter()
            .map(|&(bucket, wrong, right)| (bucket, wrong + right));
        let wrong: u64 = by_doubt.iter().map(|&(_, wrong, _)| wrong).sum();
        Some(Self {
            accuracy,
            confidence,
            doubt_line: line(doubts.rev(), wrong),
            entropy_line: line(labelled.entropies().iter().rev(), wrong),
            calibration: isotonic(&by_doubt),
        })
    }

    /// Estimates over the records of a window that were summarised with labels in mind, labelled or
    /// not; none where there are none.
    pub fn estimate(&self, window: &Summary) -> Option<EstimatedAccuracy> {
        let doubts = window.labelled()?.doubts();
        let records: u64 = doubts.iter().map(|doubts| doubts.total()).sum();
        let entropies = window.histogram();
        if records == 0 {
            return None;
        }
        let above = |line: Option<u32>, counts: &mut dyn Iterator<Item = (u32, u64)>| {
            let above = counts.filter(|(bucket, _)| line.is_some_and(|line| *bucket <= line));
            above.map(|(_, count)| count).sum::<u64>() as f64
        };
        let mut every_doubt = doubts.iter().flat_map(|doubts| doubts.iter());
        let calibrated = doubts.iter().flat_map(|doubts| doubts.iter());
        let calibrated = calibrated.map(|(bucket, count)| count as f64 * self.share_right(bucket));
        let difference = self.accuracy + window.confidence() - self.confidence;
        Some(EstimatedAccuracy {
            thresholded_confidence: above(self.doubt_line, &mut every_doubt) / records as f64,
            thresholded_entropy: above(self.entropy_line, &mut entropies.iter())
                / entropies.total() as f64,
            difference: difference.clamp(0.0, 1.0),
            calibrated: calibrated.sum::<f64>() / records as f64,
        })
    }

    /// How often records of this doubt are right. Beyond the baseline's doubts: as at its greatest.
    fn share_right(&self, bucket: u32) -> f64 {
        let at = self.calibration.partition_point(|&(to, _)| to < bucket);
        let block = self.calibration.get(at).or(self.calibration.last());
        block.map_or(0.0, |&(_, share)| share)
    }
}

/// Adds the estimates of a window.
pub(super) fn insert_estimate(values: &mut Measures, estimate: EstimatedAccuracy) {
    values.insert(Measure::EstimatedAccuracy, estimate.middle());
    values.insert(Measure::EstimatedAccuracyLeast, estimate.least());
    values.insert(Measure::EstimatedAccuracyMost, estimate.most());
}

/// Wrong and right records by bucket, in order.
fn outcomes(wrong: &Histogram, right: &Histogram) -> Vec<(u32, u64, u64)> {
    let wrong = wrong.iter().map(|(bucket, count)| (bucket, count, 0));
    let right = right.iter().map(|(bucket, count)| (bucket, 0, count));
    let mut all: Vec<(u32, u64, u64)> = wrong.chain(right).collect();
    all.sort_unstable();
    let mut merged: Vec<(u32, u64, u64)> = Vec::with_capacity(all.len());
    for (bucket, wrong, right) in all {
        match merged.last_mut() {
            Some(last) if last.0 == bucket => {
                last.1 += wrong;
                last.2 += right;
            }
            _ => merged.push((bucket, wrong, right)),
        }
    }
    merged
}

/// The bucket of the first record after the `wrong` worst, whose buckets come first.
fn line(worst_first: impl Iterator<Item = (u32, u64)>, wrong: u64) -> Option<u32> {
    let mut passed = 0;
    for (bucket, count) in worst_first {
        passed += count;
        if passed > wrong {
            return Some(bucket);
        }
    }
    None
}

/// The shares of right records that do not rise with doubt and are nearest to those seen, by pooling
/// adjacent violators (Ayer et al. 1955). Pooling keeps sums: over the records themselves, the mean
/// share is their accuracy.
fn isotonic(by_doubt: &[(u32, u64, u64)]) -> Vec<(u32, f64)> {
    let share = |&(_, wrong, right): &(u32, u64, u64)| right as f64 / (wrong + right) as f64;
    let mut blocks: Vec<(u32, u64, u64)> = Vec::new();
    for &bucket in by_doubt {
        blocks.push(bucket);
        while let [.., before, last] = blocks.as_slice()
            && share(before) < share(last)
        {
            let pooled = (last.0, before.1 + last.1, before.2 + last.2);
            blocks.truncate(blocks.len() - 2);
            blocks.push(pooled);
        }
    }
    blocks.iter().map(|block| (block.0, share(block))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::summary::Label;

    /// Records over two classes, each by the probability of class 0 in percent, with a label.
    fn summary(records: &[(u32, Label)]) -> Summary {
        let mut summary = Summary::new(2);
        for (percent, label) in records {
            let p = f64::from(*percent) / 100.0;
            summary.add(&[p, 1.0 - p], 0);
            summary.add_label(&[p, 1.0 - p], *label);
        }
        summary
    }

    fn unlabelled(percents: &[u32]) -> Summary {
        let records: Vec<_> = percents.iter().map(|&p| (p, Label::None)).collect();
        summary(&records)
    }

    /// Confidences 0.95, 0.9, 0.8 (twice) and 0.6 of which the second and the last are wrong: three
    /// of five are right, so the line is at the third, 0.8, with both that are equal to it.
    ///
    /// Of the window 0.95, 0.8, 0.7, 0.55 two are above it. Its mean confidence is 0.75, the
    /// baseline's 0.81: 0.6 - 0.06. By isotonic regression over (0.95: 1), (0.9: 0), (0.8: 1),
    /// (0.6: 0): the second and third pool, 0 of 1 and 2 of 2, to 2/3. The window's are of doubt
    /// 0.05: 1; 0.2: 2/3; 0.3 and 0.45, with those up to 0.6's 0.4 or beyond: 0.
    #[test]
    fn estimates_by_hand() {
        let (right, wrong) = (Label::Class(0), Label::Class(1));
        let baseline = summary(&[
            (95, right),
            (90, wrong),
            (80, right),
            (80, right),
            (60, wrong),
        ]);
        let estimator = Estimator::new(&baseline).unwrap();
        let estimate = estimator.estimate(&unlabelled(&[95, 80, 70, 55])).unwrap();
        let close = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-9, "{value}");
        close(estimate.thresholded_confidence, 0.5);
        close(estimate.thresholded_entropy, 0.5);
        close(estimate.difference, 0.54);
        close(estimate.calibrated, (1.0 + 2.0 / 3.0) / 4.0);
        close(estimate.least(), 5.0 / 12.0);
        close(estimate.middle(), 0.5);
        close(estimate.most(), 0.54);
    }

    #[test]
    fn without_labels_nothing_is_estimated() {
        assert!(Estimator::new(&unlabelled(&[90, 60])).is_none());
        let mut plain = Summary::new(2);
        plain.add(&[0.5, 0.5], 0);
        assert!(Estimator::new(&plain).is_none());
        let estimator = Estimator::new(&summary(&[(90, Label::Class(0))])).unwrap();
        assert_eq!(
            estimator.estimate(&plain),
            None,
            "its confidences were not kept"
        );
    }

    #[test]
    fn a_model_that_is_always_wrong_is_estimated_so() {
        let estimator = Estimator::new(&summary(&[(90, Label::Class(1)), (80, Label::Class(1))]));
        let estimate = estimator.unwrap().estimate(&unlabelled(&[90, 80])).unwrap();
        assert_eq!(estimate.sorted(), [0.0; 4]);
    }

    proptest! {
        /// On the baseline itself: the calibrated estimate and the difference are its accuracy, and
        /// a line lets through at least as many as were right.
        #[test]
        fn the_baselines_own_accuracy(
            records in prop::collection::vec((0..=100_u32, 0..2_usize), 1..60),
        ) {
            let records: Vec<_> = records.iter().map(|&(p, y)| (p, Label::Class(y))).collect();
            let baseline = summary(&records);
            let accuracy = baseline.labelled().unwrap().accuracy().unwrap();
            let estimate = Estimator::new(&baseline).unwrap().estimate(&baseline).unwrap();
            prop_assert!((estimate.calibrated - accuracy).abs() < 1e-9);
            prop_assert!((estimate.difference - accuracy).abs() < 1e-9);
            prop_assert!(estimate.thresholded_confidence >= accuracy - 1e-9);
            prop_assert!(estimate.thresholded_entropy >= accuracy - 1e-9);
            for estimate in estimate.sorted() {
                prop_assert!((-1e-12..=1.0 + 1e-12).contains(&estimate), "{estimate}");
            }
        }

        #[test]
        fn more_doubt_is_never_more_right(
            records in prop::collection::vec((50..=100_u32, 0..2_usize), 1..60),
        ) {
            let records: Vec<_> = records.iter().map(|&(p, y)| (p, Label::Class(y))).collect();
            let estimator = Estimator::new(&summary(&records)).unwrap();
            let estimate = |percent| estimator.estimate(&unlabelled(&[percent])).unwrap().calibrated;
            let shares: Vec<f64> = (50..=100).map(estimate).collect();
            prop_assert!(shares.is_sorted(), "{shares:?}");
        }
    }
}
