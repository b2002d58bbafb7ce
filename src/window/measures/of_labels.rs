//! The measures of independent labels: sums over labels of the binary ones.

use super::{Measure, Measures};
use crate::information::multilabel;
use crate::summary::Summary;

/// Measures of a window of independent labels that need no baseline, beside those of its entropies.
pub(super) fn alone(values: &mut Measures, window: &Summary, mean: &[f64]) {
    let marginal = multilabel::entropy(mean);
    values.insert(Measure::Confidence, window.confidence());
    values.insert(Measure::Margin, window.margin());
    values.insert(Measure::MarginalEntropy, marginal);
    // Σ I(X;Y_k): each is not below 0 but for rounding.
    let information = (marginal - window.entropy()).max(0.0);
    values.insert(Measure::Information, information);
}

/// A baseline of labels, label by label.
pub(super) struct Baseline<'a> {
    pub mean: &'a [f64],
    /// The same smoothed: the second argument of kl.
    pub smoothed: &'a [f64],
    /// Smoothed shares of the records in which the label applies: the second argument of label_kl.
    pub applied: &'a [f64],
}

/// Measures against such a baseline.
pub(super) fn against(
    values: &mut Measures,
    window: &Summary,
    mean: &[f64],
    baseline: &Baseline<'_>,
) {
    let records = window.records() as f64;
    let (before, sums) = (baseline.mean, window.probability_sums());
    let kl = multilabel::kl(mean, baseline.smoothed);
    let smoothed = multilabel::smooth_probabilities(&sums, records);
    let reverse = multilabel::kl(before, &smoothed);
    let js = multilabel::js(mean, before);
    let counts = window.argmax_counts();
    let labels: Vec<f64> = counts.iter().map(|count| count / records).collect();
    values.insert(Measure::Kl, kl);
    values.insert(Measure::KlReverse, reverse);
    values.insert(Measure::Jeffreys, kl + reverse);
    values.insert(Measure::Js, js);
    values.insert(Measure::JsDistance, js.sqrt());
    values.insert(Measure::Hellinger, multilabel::hellinger(mean, before));
    values.insert(Measure::Tv, multilabel::tv(mean, before));
    values.insert(Measure::Linf, multilabel::linf(mean, before));
    let cross = multilabel::entropy(mean) + kl;
    values.insert(Measure::CrossEntropyBaseline, cross);
    values.insert(Measure::LabelKl, multilabel::kl(&labels, baseline.applied));
}
