//! Independent labels: K probabilities, each of a label that applies or does not.
//!
//! A label with probability p is the distribution (1 - p, p). Entropy and divergences are sums over
//! labels of the binary ones, in bits, so they reach K bits where a distribution's reach log2 K or 1.
//! Distances are the roots of sums of squares: of the divergence for `js_distance`, of the labels'
//! distances for `hellinger`. `linf` is the largest of the labels'.
//!
//! *Valid* here is what [`probabilities`] leaves behind: at least one value, each in [0, 1].

use super::distribution::{Invalid, binary};
use super::divergence;
use super::log2::log2;
use super::vector::{Kernel, LANES, by_lanes, total, widest};

/// Clips `values`, which are the probabilities of K ≥ 1 labels, into [0, 1].
///
/// # Errors
/// No values; the first that is not finite, below 0 or above 1 by more than
/// [`VALUE_TOLERANCE`](super::distribution::VALUE_TOLERANCE).
pub fn probabilities(values: &mut [f64]) -> Result<(), Invalid> {
    if values.is_empty() {
        return Err(Invalid::Empty);
    }
    for (index, value) in values.iter_mut().enumerate() {
        let p = *value;
        (_, *value) = binary(p).map_err(|invalid| match invalid {
            Invalid::NotFinite { value, .. } => Invalid::NotFinite { index, value },
            Invalid::Negative { value, .. } => Invalid::Negative { index, value },
            Invalid::AboveOne { value } => Invalid::LabelAboveOne { index, value },
            other => other,
        })?;
    }
    Ok(())
}

/// `(1 - p, p)` of each label, one after the other.
pub fn pairs(p: &[f64]) -> Vec<f64> {
    p.iter().flat_map(|&p| [1.0 - p, p]).collect()
}

widest! {
    /// Σ over labels of the binary entropy, in bits: at least 0, at most K but for rounding. The same
    /// bits on every machine.
    pub fn entropy(p: &[f64]) -> f64 {
        let Terms(sums) = by_lanes(p, Terms::default());
        let bits = total(sums);
        // Rounding, and the zero of a certain record, are not below 0.
        if bits > 0.0 { bits } else { 0.0 }
    }
}

/// Sums of -p log2 p - (1 - p) log2 (1 - p).
#[derive(Default)]
struct Terms([f64; LANES]);

impl Kernel for Terms {
    #[inline(always)]
    fn take(&mut self, eight: &[f64; LANES]) {
        for (sum, &p) in self.0.iter_mut().zip(eight) {
            let not = 1.0 - p;
            *sum -= p * log2(p) + not * log2(not);
        }
    }
}

/// The mean over labels of the larger of p and 1 - p: the share of labels that a calibrated model
/// decides right. 0 for no labels.
pub fn confidence(p: &[f64]) -> f64 {
    if p.is_empty() {
        return 0.0;
    }
    let sum: f64 = p.iter().map(|&p| if p > 0.5 { p } else { 1.0 - p }).sum();
    sum / p.len() as f64
}

/// (Σ_k + a) / (N + 2a) of each label's sum over N records: with `a` for the label and as much
/// against it, so that neither is left without.
pub fn smooth(sums: &[f64], records: f64, a: f64) -> Vec<f64> {
    sums.iter()
        .map(|sum| ((sum + a) / (records + 2.0 * a)).min(1.0))
        .collect()
}

/// Sums of probabilities, label by label, as a second argument of [`kl`]: half a record is spread
/// over the two classes of each label.
pub fn smooth_probabilities(sums: &[f64], records: f64) -> Vec<f64> {
    smooth(sums, records, divergence::SMOOTHING_RECORDS / 2.0)
}

/// Counts of records in which each label applies, as a second argument of [`kl`].
pub fn smooth_counts(counts: &[f64], records: f64) -> Vec<f64> {
    smooth(counts, records, divergence::JEFFREYS_COUNT)
}

/// What each label adds to [`kl`], in bits; none is below 0.
pub fn contributions(p: &[f64], q: &[f64]) -> impl Iterator<Item = f64> {
    by_label(p, q, divergence::kl)
}

/// Σ over labels of D((1 - p, p) ‖ (1 - q, q)) in bits; infinite where a q is 0 or 1 and its p is not.
pub fn kl(p: &[f64], q: &[f64]) -> f64 {
    contributions(p, q).sum::<f64>() + 0.0
}

/// Σ over labels of the Jensen–Shannon divergence, in bits, within [0, K].
pub fn js(p: &[f64], q: &[f64]) -> f64 {
    by_label(p, q, divergence::js).sum::<f64>() + 0.0
}

/// The root of the sum of the labels' squared Hellinger distances, within [0, √K].
pub fn hellinger(p: &[f64], q: &[f64]) -> f64 {
    let squares = by_label(p, q, divergence::hellinger).map(|distance| distance * distance);
    (squares.sum::<f64>() + 0.0).sqrt()
}

/// Σ over labels of the total variation |p - q|, within [0, K].
pub fn tv(p: &[f64], q: &[f64]) -> f64 {
    by_label(p, q, divergence::tv).sum::<f64>() + 0.0
}

/// The largest difference |p - q| of any label, within [0, 1].
pub fn linf(p: &[f64], q: &[f64]) -> f64 {
    divergence::linf(p, q)
}

fn by_label(p: &[f64], q: &[f64], of: fn(&[f64], &[f64]) -> f64) -> impl Iterator<Item = f64> {
    p.iter()
        .zip(q)
        .map(move |(&p, &q)| of(&[1.0 - p, p], &[1.0 - q, q]))
}
