//! What rows of numbers are read by, as a compiler can do it for many at once: without a branch, and in lanes
//! of 32 bits or of floats.

use super::INVERSES;

/// The length of an exponent `e-dd`.
pub const EXPONENT_BYTES: usize = 4;

/// The most digits of a number: three eights.
pub const MOST_DIGITS: u32 = 24;

/// All bits, or none.
#[inline(always)]
pub fn all(is: bool) -> u32 {
    u32::from(is).wrapping_neg()
}

/// The exponent in the last bytes, if it is negative and of two digits, without its sign; and its
/// length. Both 0 if there is none.
#[inline(always)]
pub fn negative_exponent(tail: u32) -> (u32, u32) {
    const SIGN: u32 = u32::from_le_bytes(*b"e-00");
    // Either case of the letter, and all of a digit but its value.
    const FIXED: u32 = u32::from_le_bytes([0xdf, 0xff, 0xf0, 0xf0]);
    // Takes values of ten and more out of their four bits.
    const SIXES: u32 = u32::from_le_bytes([0, 0, 6, 6]);
    let rest = tail ^ SIGN;
    let there = all((rest | rest.wrapping_add(SIXES)) & FIXED == 0);
    let (tens, ones) = (rest >> 16 & 0xff, rest >> 24);
    ((10 * tens + ones) & there, EXPONENT_BYTES as u32 & there)
}

/// The nearest float to the digits, in three eights, times the scale. NaN where it is not known, or the
/// scale is NaN.
///
/// Every step but those that are named is exact. T. J. Dekker, "A floating-point technique for
/// extending the available precision" (1971), for products and sums that keep what rounding takes;
/// A. Ziv, "Fast evaluation of elementary mathematical functions with correctly rounded last bit"
/// (1991), for the question whether all that the result may be is rounded to the same float.
#[inline(always)]
pub fn float_of([high, middle, low]: [f64; 3], [scale, scale_rest]: Scale) -> f64 {
    // Two eights are a float, or half between two.
    let front = high.mul_add(1e8, middle);
    let front_rest = high.mul_add(1e8, -front) + middle;
    // The digits: below 10^24, the sum of a float and an integer of at most 27 bits.
    let back = front_rest.mul_add(1e8, low);
    let w = front.mul_add(1e8, back);
    let w_rest = front.mul_add(1e8, -w) + back;
    // Times the scale. The rest is known to 2^-53 of itself, and is 2^-53 of the whole.
    let product = w * scale;
    let rest = w.mul_add(scale, -product);
    let rest = w_rest.mul_add(scale, w.mul_add(scale_rest, rest));
    // 2^-100: what is inexact above, nine times over.
    let doubt = product * 7.888_609_052_210_118e-31;
    let float = product + (rest - doubt);
    let is_sure = float == product + (rest + doubt);
    // A negative 0 has lost its sign.
    if is_sure {
        float.copysign(product)
    } else {
        f64::NAN
    }
}

/// A power of ten or its negative as the sum of two floats.
pub type Scale = [f64; 2];

/// 10^-s and then -10^-s, to 2^-106 of themselves. NaN from there on.
pub static SCALES: [Scale; 128] = {
    let mut scales = [[f64::NAN; 2]; 128];
    let mut s = 0;
    while s < INVERSES.len() {
        // 2^k · 10^-s, of 128 bits.
        let inverse = INVERSES[s];
        let k = 127
            + s as i64
            + if s == 0 {
                0
            } else {
                1 + 5_u128.pow(s as u32).ilog2() as i64
            };
        let front = (inverse + (1 << 74)) >> 75;
        let rest = inverse.wrapping_sub(front << 75) as i128;
        let scale = [
            front as f64 * power_of_two(75 - k),
            rest as f64 * power_of_two(-k),
        ];
        scales[s] = scale;
        scales[s + INVERSES.len()] = [-scale[0], -scale[1]];
        s += 1;
    }
    scales
};

const fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}
