//! How each measure follows from a window's summary and the baseline's.

use super::label_shift::{self, Confusion};
use super::labels::{self, Estimator};
use super::{Measure, Measures, Needs, of_labels};
use crate::information::divergence::{self, smooth_counts, smooth_probabilities};
use crate::information::entropy::{entropy, normalized};
use crate::information::multilabel;
use crate::information::noise::NoiseFloor;
use crate::observation::Nature;
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
        let (sums, counts) = (baseline.probability_sums(), baseline.argmax_counts());
        let (smoothed, labels) = if baseline.nature() == Some(Nature::Multilabel) {
            let records = baseline.records() as f64;
            (
                multilabel::smooth_probabilities(&sums, records),
                multilabel::smooth_counts(&counts, records),
            )
        } else {
            (smooth_probabilities(&sums), smooth_counts(&counts))
        };
        Self {
            mean: baseline.mean(),
            smoothed,
            labels,
            variances: baseline.variances(),
            estimator: Estimator::new(baseline),
            confusion: Confusion::new(baseline),
            summary: baseline.clone(),
        }
    }

    pub fn mean(&self) -> &[f64] {
        &self.mean
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
    /// changed; none where either has no records, or nothing to diverge in.
    pub fn noise(&self, records: u64) -> Option<NoiseFloor> {
        let all = self.summary.records();
        match self.summary.nature()? {
            Nature::Response => None,
            Nature::Distribution | Nature::Ensemble => {
                NoiseFloor::new(&self.variances, &self.smoothed, records, all)
            }
            // Of (1 - p, p) both vary alike, and the floors of labels add up as the divergences do.
            Nature::Multilabel => {
                let variances: Vec<f64> = self.variances.iter().flat_map(|&v| [v, v]).collect();
                NoiseFloor::new(&variances, &multilabel::pairs(&self.smoothed), records, all)
            }
        }
    }

    /// The baseline's side, where it is of labels.
    fn of_labels(&self) -> of_labels::Baseline<'_> {
        of_labels::Baseline {
            mean: &self.mean,
            smoothed: &self.smoothed,
            applied: &self.labels,
        }
    }

    /// Whether the window can be held against it.
    fn is_like(&self, window: &Summary) -> bool {
        let natures = self.summary.nature().zip(window.nature());
        self.summary.classes() == window.classes()
            && self.summary.records() > 0
            && natures.is_some_and(|(baseline, window)| baseline.is_like(window))
    }
}

/// Every measure of a window that follows from its summary: those that need no baseline, and,
/// against one of such records over as many classes, those that do. None without records; of records
/// that differ in nature only their number.
pub fn measures(window: &Summary, baseline: Option<&Reference>) -> Measures {
    let mut values = Measures::default();
    if window.records() == 0 {
        return values;
    }
    values.insert(Measure::Records, window.records() as f64);
    let Some(nature) = window.nature() else {
        return values;
    };
    let mean = window.mean();
    let baseline = baseline.filter(|baseline| baseline.is_like(window));
    of_entropy(&mut values, window, baseline);
    match nature {
        Nature::Distribution | Nature::Ensemble => {
            alone(&mut values, window, &mean);
            if let Some(baseline) = baseline {
                against(&mut values, window, &mean, baseline);
            }
        }
        Nature::Multilabel => {
            of_labels::alone(&mut values, window, &mean);
            if let Some(baseline) = baseline {
                of_labels::against(&mut values, window, &mean, &baseline.of_labels());
            }
        }
        Nature::Response => of_tokens(&mut values, window),
    }
    let noise = baseline.and_then(|baseline| baseline.noise(window.records()));
    if let Some(noise) = noise {
        values.insert(Measure::KlNoise, noise.kl);
    }
    values
}

/// What follows from the records' entropies, whatever the records are.
fn of_entropy(values: &mut Measures, window: &Summary, baseline: Option<&Reference>) {
    let entropy_bits = window.entropy();
    let quantile = |quantile| window.histogram().quantile(quantile).unwrap_or_default();
    values.insert(Measure::Entropy, entropy_bits);
    let greatest = window.greatest_entropy().unwrap_or_default();
    values.insert(
        Measure::EntropyNormalized,
        normalized(entropy_bits, greatest),
    );
    values.insert(Measure::EntropyP50, quantile(0.5));
    values.insert(Measure::EntropyP95, quantile(0.95));
    values.insert(Measure::EntropyP99, quantile(0.99));
    if let Some(baseline) = baseline {
        let shift = window.histogram().distance(baseline.summary.histogram());
        values.insert(Measure::EntropyShift, shift);
    }
}

/// Bounds of the mean entropy of a token, and what they are as numbers of equally likely tokens.
fn of_tokens(values: &mut Measures, window: &Summary) {
    let Some(means) = window.token_means() else {
        return;
    };
    values.insert(Measure::TokenEntropy, means.least_bits);
    values.insert(Measure::TokenEntropyMost, means.most_bits);
    values.insert(Measure::TokenPerplexity, means.least_bits.exp2());
    values.insert(Measure::TokenPerplexityMost, means.most_bits.exp2());
    values.insert(Measure::ResponseTokens, means.tokens);
}

fn alone(values: &mut Measures, window: &Summary, mean: &[f64]) {
    let (entropy_bits, marginal) = (window.entropy(), entropy(mean));
    if let Some(expected_bits) = window.expected_entropy() {
        values.insert(Measure::EnsembleEntropy, entropy_bits);
        values.insert(Measure::ExpectedEntropy, expected_bits);
        // Not below 0 but for rounding: entropy is concave.
        let disagreement = (entropy_bits - expected_bits).max(0.0);
        values.insert(Measure::Disagreement, disagreement);
    }
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

/// What each class or label adds to kl, in bits; they sum to it, and none is below 0. Empty where
/// the baseline is over another number of classes, or of other records.
pub fn contributions(window: &Summary, baseline: &Reference) -> Vec<f64> {
    if !baseline.is_like(window) {
        return Vec::new();
    }
    let (mean, smoothed) = (window.mean(), &baseline.smoothed);
    if window.nature() == Some(Nature::Multilabel) {
        return multilabel::contributions(&mean, smoothed).collect();
    }
    divergence::contributions(&mean, smoothed).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Extent;
    use super::*;
    use crate::summary::Label;

    /// Measures of distributions that follow from a summary: all but `late`, `lost_records`,
    /// `rejected_share` and `silence`.
    fn of_a_summary() -> usize {
        let of = |measure: &&Measure| measure.is_of(Nature::Distribution);
        Measure::ALL.iter().filter(of).count() - 4
    }

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
        let of = |measure: &&Measure| measure.is_of(Nature::Distribution);
        of_a_summary() - Measure::ALL.iter().filter(of).filter(absent).count()
    }

    proptest! {
        #[test]
        fn all_measures_are_finite_and_divergences_are_not_below_zero(
            (window, baseline) in (1..6_usize).prop_flat_map(|k| (any_summary(k), any_summary(k))),
        ) {
            let reference = Reference::new(&baseline);
            let values = measures(&window, Some(&reference));
            for (measure, value) in values.iter() {
                prop_assert!(value.is_finite() && value >= 0.0, "{measure:?} {value}");
                let (nature, size) = (Nature::Distribution, Some(window.classes()));
                if let Some(most) = measure.greatest(Extent { nature, size }) {
                    // Fixed point and histogram buckets round.
                    prop_assert!(value <= most + 0.01, "{measure:?} {value} > {most}");
                }
            }
            prop_assert_eq!(values.iter().count(), there_are(&window, &reference));
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
