//! Bounds of an entropy of which only the largest terms are known.
//!
//! A language model's answer names k log-probabilities out of a vocabulary of V. What is left over,
//! r = 1 - Σp, lies somewhere on the other V - k tokens: the entropy is least when one of them has
//! it all, and greatest when all have the same.
//!
//! H_k + r log2 (1/r)  ≤  H  ≤  H_k + r log2 (1/r) + r log2 (V - k),   H_k = -Σ p log2 p

use super::distribution::{Invalid, SUM_TOLERANCE};
use super::entropy::entropy;

/// Between which an entropy lies, in bits; both at least 0, the first not above the second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    pub least_bits: f64,
    pub most_bits: f64,
}

/// The bounds for the k ≥ 1 natural log-probabilities in `known`, which become probabilities, of
/// `vocabulary` ≥ k tokens. Probabilities that sum to a little more than 1 are renormalised, as are
/// those of a whole vocabulary.
///
/// # Errors
/// None known; NaN or positive infinity; a sum above 1, or off 1 where all of the vocabulary is known,
/// by more than [`SUM_TOLERANCE`].
pub fn bounds(known: &mut [f64], vocabulary: u64) -> Result<Bounds, Invalid> {
    if known.is_empty() {
        return Err(Invalid::Empty);
    }
    let mut sum = 0.0;
    for (index, value) in known.iter_mut().enumerate() {
        if value.is_nan() || *value == f64::INFINITY {
            return Err(Invalid::NotFinite {
                index,
                value: *value,
            });
        }
        *value = value.exp().min(f64::MAX);
        sum += *value;
    }
    let others = vocabulary.saturating_sub(known.len() as u64);
    let off = if others == 0 {
        (sum - 1.0).abs()
    } else {
        sum - 1.0
    };
    if off > SUM_TOLERANCE {
        let sum = f64::min(sum, f64::MAX);
        return Err(Invalid::SumOff { sum });
    }
    if others == 0 || sum > 1.0 {
        for p in known.iter_mut() {
            *p /= sum;
        }
        let bits = entropy(known);
        return Ok(Bounds {
            least_bits: bits,
            most_bits: bits,
        });
    }
    let rest = 1.0 - sum;
    let least_bits = entropy(known) + entropy(&[rest]);
    Ok(Bounds {
        least_bits,
        most_bits: least_bits + rest * (others as f64).log2(),
    })
}
