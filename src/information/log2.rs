//! log2 without branches or tables, so that a compiler can take many at once.
//!
//! x = 2^e · m with m in [√½, √2); with s = (m - 1) / (m + 1), ln m = 2 artanh s, a short
//! polynomial in s². Near 1, where most of the digits would cancel, e is 0 and s is exact. The
//! polynomial is fdlibm's for ln (Sun Microsystems, 1993: error below 2^-58), divided by ln 2; the
//! result is within 4 units in the last place of the true one, and the same bits on every machine.

/// The bits of √½.
const ROOT_OF_HALF: u64 = 0x3fe6_a09e_667f_3bcd;

const MANTISSA: u64 = (1 << 52) - 1;

/// The bits of 2^52: a whole number below that, in its last bits, makes the float 2^52 + number.
const TWO_TO_52: u64 = 0x4330_0000_0000_0000;

/// The base-2 logarithm of a positive normal float. Of 0 and of numbers below 1e-307 it is some
/// finite number below -1000: their product with it is as good as 0.
#[inline(always)]
pub fn log2(x: f64) -> f64 {
    const BIAS: f64 = 4_503_599_627_370_496.0 + 1023.0;
    let moved = x.to_bits().wrapping_add((1023 << 52) - ROOT_OF_HALF);
    let exponent = f64::from_bits(TWO_TO_52 | (moved >> 52)) - BIAS;
    let m = f64::from_bits((moved & MANTISSA) + ROOT_OF_HALF);
    let s = (m - 1.0) / (m + 1.0);
    exponent + s * polynomial(s * s)
}

/// log2 m / s, in z = s².
#[inline(always)]
fn polynomial(z: f64) -> f64 {
    /// 2 / ln 2, then fdlibm's Lg1 to Lg7 by 1 / ln 2.
    const LOG2_E: f64 = std::f64::consts::LOG2_E;
    const C: [f64; 8] = [
        2.0 * LOG2_E,
        0.666_666_666_666_673_5 * LOG2_E,
        0.399_999_999_994_094_2 * LOG2_E,
        0.285_714_287_436_623_9 * LOG2_E,
        0.222_221_984_321_497_84 * LOG2_E,
        0.181_835_721_616_180_5 * LOG2_E,
        0.153_138_376_992_093_73 * LOG2_E,
        0.147_981_986_051_165_86 * LOG2_E,
    ];
    let z2 = z * z;
    let z4 = z2 * z2;
    let low = (C[0] + z * C[1]) + z2 * (C[2] + z * C[3]);
    let high = (C[4] + z * C[5]) + z2 * (C[6] + z * C[7]);
    low + z4 * high
}
