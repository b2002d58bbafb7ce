//! Numbers as they come to valid distributions, in place.
//!
//! Models emit probabilities that were rounded, truncated or cast on their way: small errors are
//! repaired (clipped at 0, divided by the sum), larger ones mean that the numbers are something
//! else than the configuration says, and are refused with what is wrong. The rules are the table
//! "What a record must be"; the limits are the constants below.

use thiserror::Error;

use super::vector::{MANY, Sums, Term, by_lanes, sum_by_blocks, total, widest};

/// How far below 0 (and, for a single probability, above 1) rounding may have put a value.
pub const VALUE_TOLERANCE: f64 = 1e-6;

/// How far off 1 the sum may be, after clipping at 0.
pub const SUM_TOLERANCE: f64 = 1e-3;

/// Why numbers are not a distribution: the first thing found, in index order, the sum last.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum Invalid {
    #[error("there are no values")]
    Empty,
    #[error("the value at index {index} is {value}, not a finite number")]
    NotFinite { index: usize, value: f64 },
    #[error("the value at index {index} is {value}, below -{VALUE_TOLERANCE}")]
    Negative { index: usize, value: f64 },
    #[error("the value is {value}, above 1 by more than {VALUE_TOLERANCE}")]
    AboveOne { value: f64 },
    #[error("the value at index {index} is {value}, above 1 by more than {VALUE_TOLERANCE}")]
    LabelAboveOne { index: usize, value: f64 },
    #[error("the values sum to {sum}, off 1 by more than {SUM_TOLERANCE}")]
    SumOff { sum: f64 },
}

/// Clips at 0 and renormalises `values`, which are probabilities of K ≥ 1 classes.
///
/// # Errors
/// No values; one that is not finite or is below -[`VALUE_TOLERANCE`]; a sum (after clipping) that
/// is off 1 by more than [`SUM_TOLERANCE`]. The values are then not to be used.
pub fn probabilities(values: &mut [f64]) -> Result<(), Invalid> {
    if values.is_empty() {
        return Err(Invalid::Empty);
    }
    let Some(sum) = clipped_sum(values) else {
        return Err(first_invalid(values));
    };
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        return Err(Invalid::SumOff { sum });
    }
    clip_and_divide(values, sum);
    Ok(())
}

/// The sum of `values` clipped at 0; none if one is not finite or too far below 0.
fn clipped_sum(values: &[f64]) -> Option<f64> {
    let sum = if values.len() < MANY {
        of_few(values)
    } else {
        of_many(values)
    };
    // No sum of numbers from 0 on is NaN.
    (!sum.is_nan()).then_some(sum)
}

widest! {
    fn of_few(values: &[f64]) -> f64 {
        total(by_lanes(values, Sums::<ClippedOrNan>::default()).0)
    }
}

widest! {
    fn of_many(values: &[f64]) -> f64 {
        sum_by_blocks::<ClippedOrNan>(values)
    }
}

struct ClippedOrNan;

impl Term for ClippedOrNan {
    #[inline(always)]
    fn of(value: f64) -> f64 {
        if is_good(value) {
            clipped(value)
        } else {
            f64::NAN
        }
    }
}

#[inline(always)]
fn is_good(value: f64) -> bool {
    (-VALUE_TOLERANCE..=f64::MAX).contains(&value)
}

#[inline(always)]
fn clipped(value: f64) -> f64 {
    if value > 0.0 { value } else { 0.0 }
}

widest! {
    fn clip_and_divide(values: &mut [f64], sum: f64) -> () {
        for value in values {
            // Not f64::max, which may keep a negative zero.
            *value = if *value > 0.0 { *value / sum } else { 0.0 };
        }
    }
}

/// What [`clipped_sum`] gave no sum for.
#[cold]
fn first_invalid(values: &[f64]) -> Invalid {
    for (index, &value) in values.iter().enumerate() {
        if !value.is_finite() {
            return Invalid::NotFinite { index, value };
        }
        if value < -VALUE_TOLERANCE {
            return Invalid::Negative { index, value };
        }
    }
    Invalid::Empty
}

/// Softmax of `values`, which are logits (natural units) of K ≥ 1 classes. The largest is taken
/// off first, so that none is too large for `exp`.
///
/// # Errors
/// No values, or one that is not finite.
pub fn logits(values: &mut [f64]) -> Result<(), Invalid> {
    if values.is_empty() {
        return Err(Invalid::Empty);
    }
    if let Some((index, &value)) = values.iter().enumerate().find(|(_, v)| !v.is_finite()) {
        return Err(Invalid::NotFinite { index, value });
    }
    let largest = values.iter().copied().fold(f64::MIN, f64::max);
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = (*value - largest).exp();
        sum += *value;
    }
    divide(values, sum);
    Ok(())
}

/// The probabilities of `values`, which are their natural logarithms. Negative infinity is the
/// logarithm of 0 and is taken as that.
///
/// # Errors
/// No values; NaN or positive infinity; then as [`probabilities`].
pub fn log_probabilities(values: &mut [f64]) -> Result<(), Invalid> {
    for (index, value) in values.iter_mut().enumerate() {
        if value.is_nan() || *value == f64::INFINITY {
            return Err(Invalid::NotFinite {
                index,
                value: *value,
            });
        }
        // Above about 709 `exp` overflows; a probability that large is refused for the sum, as one
        // of 2 is, and f64::MAX says so as well as infinity would.
        *value = value.exp().min(f64::MAX);
    }
    probabilities(values)
}

/// The distribution `(1 - p, p)` of one probability, clipped into [0, 1].
///
/// # Errors
/// Not finite, below 0 or above 1 by more than [`VALUE_TOLERANCE`].
pub fn binary(p: f64) -> Result<(f64, f64), Invalid> {
    if !p.is_finite() {
        return Err(Invalid::NotFinite { index: 0, value: p });
    }
    if p < -VALUE_TOLERANCE {
        return Err(Invalid::Negative { index: 0, value: p });
    }
    if p > 1.0 + VALUE_TOLERANCE {
        return Err(Invalid::AboveOne { value: p });
    }
    let p = if p > 0.0 { p.min(1.0) } else { 0.0 };
    Ok((1.0 - p, p))
}

fn divide(values: &mut [f64], sum: f64) {
    for value in values {
        *value /= sum;
    }
}
