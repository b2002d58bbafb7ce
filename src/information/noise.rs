//! How far from the baseline a window lies when nothing has changed.
//!
//! The mean of n records never equals the mean of the N that taught the baseline: both were drawn.
//! A divergence under this floor is no news, and a threshold under it would fire for nothing.
//!
//! All of it follows from δ = p - q, the difference of the two means, when all records come from
//! one source: Var δ_k = v_k (1/n + 1/N), with v_k the variance of class k's probability between
//! records. To second order in δ, with X = Σ δ_k²/q_k:
//!
//! | divergence | to second order | expected |
//! | --- | --- | --- |
//! | kl, kl_reverse | X / (2 ln 2) bits: p ln(p/q) - (p - q) = δ²/2q + O(δ³) | Σ v_k/q_k · (1/n + 1/N) / (2 ln 2) |
//! | jeffreys | the sum of those two | 2 kl |
//! | js | both arguments lie δ/2 from the middle: X / (8 ln 2) bits | kl / 4 |
//! | js_distance | its root | at most √js (Jensen) |
//! | hellinger | H² = ½ Σ (√p - √q)² = X / 8, since √p - √q = δ / 2√q + O(δ²) | at most √(kl · ln 2 / 4) (Jensen) |
//! | tv | ½ Σ \|δ_k\| with δ_k nearly normal, so E\|δ_k\| = sd · √(2/π) | Σ √v_k · √((1/n + 1/N) / 2π) |
//!
//! For linf, the largest of dependent differences, no such formula is known: only bounds that are
//! too far off to judge a threshold by.

use std::f64::consts::{LN_2, PI};

/// What each divergence is expected to be, in its own unit, when nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseFloor {
    pub kl: f64,
    pub kl_reverse: f64,
    pub jeffreys: f64,
    pub js: f64,
    /// An upper bound: a quarter too high for two classes, an eighth for three, near for many.
    pub js_distance: f64,
    /// An upper bound, as for `js_distance`.
    pub hellinger: f64,
    pub tv: f64,
}

impl NoiseFloor {
    /// For a window of `n` records, where the baseline's `big_n` records had `variances` (of the
    /// population: Σp²/N - mean²; those just below 0 from rounding count as 0) and smoothed mean
    /// `q`, class by class. None where n or N is 0.
    ///
    /// Also the floor of `label_kl`: argmax shares s have the variances s (1 - s).
    pub fn new(variances: &[f64], q: &[f64], n: u64, big_n: u64) -> Option<Self> {
        let kl = kl_noise(variances, q, n, big_n)?;
        let js = kl / 4.0;
        let deviations: f64 = variances.iter().map(|v| v.max(0.0).sqrt()).sum();
        Some(Self {
            kl,
            kl_reverse: kl,
            jeffreys: 2.0 * kl,
            js,
            js_distance: js.sqrt(),
            hellinger: (kl * LN_2 / 4.0).sqrt(),
            tv: deviations * (share(n, big_n)? / (2.0 * PI)).sqrt(),
        })
    }
}

/// The floor of kl alone, in bits. Arguments as for [`NoiseFloor::new`]; every q > 0.
pub fn kl_noise(variances: &[f64], q: &[f64], n: u64, big_n: u64) -> Option<f64> {
    let spread: f64 = variances.iter().zip(q).map(|(v, q)| v.max(0.0) / q).sum();
    Some((spread + 0.0) / (2.0 * LN_2) * share(n, big_n)?)
}

/// 1/n + 1/N.
fn share(n: u64, big_n: u64) -> Option<f64> {
    (n > 0 && big_n > 0).then(|| 1.0 / n as f64 + 1.0 / big_n as f64)
}
