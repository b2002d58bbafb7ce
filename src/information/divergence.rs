//! How far a window's mean distribution p lies from a baseline's q.
//!
//! Both are valid distributions over the same K classes, in the same order; a longer one's rest is
//! not looked at. Every divergence is at least 0, and 0 between equal distributions.
//!
//! Only the Kullback–Leibler divergence can be infinite, where q has no mass and p has. A second
//! argument of [`kl`] and [`contributions`] is therefore always smoothed with
//! [`smooth_probabilities`] or [`smooth_counts`]; first arguments, and both sides of the others, are
//! plain means, as other tools have them.

use std::f64::consts::LN_2;

/// What smoothing adds to every class of argmax counts: the Jeffreys prior of a multinomial.
pub const JEFFREYS_COUNT: f64 = 0.5;

/// What smoothing adds to probability sums in all, spread over the classes: half a record.
pub const SMOOTHING_RECORDS: f64 = 0.5;

/// (Σ_k + a) / (N + aK) for non-negative `sums` that add up to N, and `a` > 0: a mixture with the
/// uniform distribution that no class leaves empty-handed. Of zero sums, the uniform distribution.
pub fn smooth(sums: &[f64], a: f64) -> Vec<f64> {
    let total = sums.iter().sum::<f64>() + a * sums.len() as f64;
    sums.iter().map(|sum| (sum + a) / total).collect()
}

/// Sums of probabilities, class by class, as a second argument of [`kl`].
pub fn smooth_probabilities(sums: &[f64]) -> Vec<f64> {
    smooth(sums, SMOOTHING_RECORDS / sums.len() as f64)
}

/// Counts of records by class, as a second argument of [`kl`].
pub fn smooth_counts(counts: &[f64]) -> Vec<f64> {
    smooth(counts, JEFFREYS_COUNT)
}

/// What each class adds to [`kl`], in bits: p log2(p/q) - (p - q)/ln 2. Each is at least 0, unlike
/// the bare terms of the divergence, and they sum to it because p and q sum to the same.
pub fn contributions(p: &[f64], q: &[f64]) -> impl Iterator<Item = f64> {
    // max: the two parts cancel to about -1e-17 where p is nearly q.
    p.iter()
        .zip(q)
        .map(|(&p, &q)| (relative_bits(p, q) - (p - q) / LN_2).max(0.0))
}

/// Kullback–Leibler divergence D(p‖q) = Σ p log2(p/q) in bits; infinite where q is 0 and p is not.
pub fn kl(p: &[f64], q: &[f64]) -> f64 {
    contributions(p, q).sum::<f64>() + 0.0
}

/// Jensen–Shannon divergence in bits, within [0, 1]: the mean of D(p‖m) and D(q‖m), m = (p + q)/2.
pub fn js(p: &[f64], q: &[f64]) -> f64 {
    let bits = |(&p, &q): (&f64, &f64)| {
        let m = (p + q) / 2.0;
        // Half of the smallest number there is rounds to 0, and says nothing of anything.
        if m > 0.0 {
            (relative_bits(p, m) + relative_bits(q, m)) / 2.0
        } else {
            0.0
        }
    };
    unit(p.iter().zip(q).map(bits).sum())
}

/// Jensen–Shannon distance, √[`js`]: a metric, within [0, 1] because the divergence is in bits.
pub fn js_distance(p: &[f64], q: &[f64]) -> f64 {
    js(p, q).sqrt()
}

/// Hellinger distance √(½ Σ (√p - √q)²), within [0, 1].
pub fn hellinger(p: &[f64], q: &[f64]) -> f64 {
    let squares = p.iter().zip(q).map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2));
    unit((squares.sum::<f64>() / 2.0).sqrt())
}

/// Total variation ½ Σ |p - q|, within [0, 1]: the largest difference in the probability of any set
/// of classes.
pub fn tv(p: &[f64], q: &[f64]) -> f64 {
    unit(p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0)
}

/// The largest difference |p - q| of any class, within [0, 1].
pub fn linf(p: &[f64], q: &[f64]) -> f64 {
    p.iter()
        .zip(q)
        .map(|(p, q)| (p - q).abs())
        .fold(0.0, f64::max)
}

/// p log2(p/q), 0 for p = 0. As a difference of logarithms: the ratio could overflow.
fn relative_bits(p: f64, q: f64) -> f64 {
    if p > 0.0 {
        p * (p.log2() - q.log2())
    } else {
        0.0
    }
}

/// What rounding put just outside [0, 1], inside; without negative zero.
fn unit(value: f64) -> f64 {
    if value > 0.0 { value.min(1.0) } else { 0.0 }
}
