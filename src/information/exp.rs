//! e^x and ln (1 + x) without branches or tables, for many at once: see `log2`.

use std::f64::consts::{LN_2, LOG2_E};

use super::log2::log2;

/// e^x for x up to 709, within 2 units in the last place; 0 below -708, where the true one is less than
/// 1e-307.
///
/// x = n ln 2 + r with |r| ≤ ln 2 / 2, of which e^r is the Taylor series up to r^13. ln 2 is in two
/// parts, of which the first has zeros at its end, so that n times it is exact (Cody & Waite 1980).
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    // 1.5 · 2^52: adding it rounds to a whole number and leaves that in the last bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let rounded = x * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let scale = f64::from_bits(rounded.to_bits().wrapping_add(1023) << 52);
    let power = scale * (1.0 + (r + r * r * beyond(r)));
    if x < -708.0 { 0.0 } else { power }
}

/// (e^r - 1 - r) / r²
#[inline(always)]
fn beyond(r: f64) -> f64 {
    /// 1/2! to 1/13!
    const C: [f64; 12] = [
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5_040.0,
        1.0 / 40_320.0,
        1.0 / 362_880.0,
        1.0 / 3_628_800.0,
        1.0 / 39_916_800.0,
        1.0 / 479_001_600.0,
        1.0 / 6_227_020_800.0,
    ];
    let r2 = r * r;
    let r4 = r2 * r2;
    let four = |at: usize| (C[at] + r * C[at + 1]) + r2 * (C[at + 2] + r * C[at + 3]);
    four(0) + r4 * (four(4) + r4 * four(8))
}

/// ln (1 + x) for x > -1, of a normal 1 + x: within 8 units in the last place, near 0 too.
///
/// 1 + x is rounded; what that took away is added by the slope of ln there.
#[inline(always)]
pub fn ln_1p(x: f64) -> f64 {
    let rounded = 1.0 + x;
    let lost = x - (rounded - 1.0);
    log2(rounded) * LN_2 + lost / rounded
}
