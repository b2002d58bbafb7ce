//! Rows of numbers on x86-64 with AVX2 and FMA, several numbers at a time.
//!
//! First each number's text is taken apart: the comma after it is found 64 bytes at a time, and of the
//! 32 bytes that end there the digits are read, eight by eight. What comes of [`LANES`] numbers is
//! then made floats together, without integers of more than 32 bits: w · 10^-s with w as the sum of
//! two floats, and 10^-s as well. The product is known to about 104 bits; where so many do not say
//! which float is the nearest (one in 2^46 does not, if digits are random) the row is left to others.
//!
//! Only `-ddd.ddde-dd` is read like that, with or without sign and exponent and at most 23 digits in
//! front of it. The rest is for [`number`], one at a time.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::eights::{Bytes, last_bytes};
use super::{INVERSES, number, space};

/// How many numbers become floats together.
const LANES: usize = 8;

/// What is looked at to find where numbers end.
type Block = [u8; 64];

/// What a number is in the last bytes of. (In front of its digits are as many bytes as an exponent takes,
/// and four more.)
type Around = [u8; 40];

/// The longest number: a sign, the digits, a point and an exponent.
const MOST_BYTES: usize = MOST_DIGITS + 2 + EXPONENT_BYTES;

const EXPONENT_BYTES: usize = 4;

/// The most digits: three eights but for one, so that the first two eights are below 2^53 together.
const MOST_DIGITS: usize = 23;

/// Proof that the processor has AVX2, FMA, and what belongs to their generation.
#[derive(Clone, Copy)]
pub struct Vectors(());

impl Vectors {
    pub fn new() -> Option<Self> {
        let there = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt");
        there.then_some(Self(()))
    }

    /// As [`super::row`].
    pub fn row(self, text: &[u8], at: usize, most: usize, values: &mut Vec<f64>) -> Option<usize> {
        // SAFETY: whoever has a `Vectors` has all these instructions.
        unsafe { row(text, at, most, values) }
    }
}

/// Digits: of the last three, high · 10^16 + middle · 10^8 + low.
type Parts = [i32; 4];

/// A power of ten or its negative, or any other float, as the sum of two.
type Scale = [f64; 2];

/// The digits of 1.
const ONE: Parts = [0, 0, 0, 1];

#[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt")]
fn row(text: &[u8], mut at: usize, most: usize, values: &mut Vec<f64>) -> Option<usize> {
    let mut batch = Batch::new();
    // Where numbers end that have not been read: the bits from `base` on.
    let (mut base, mut ends) = (at, 0);
    loop {
        if ends == 0 {
            (base, ends) = (at, ends_from(text, at));
        }
        let mut end = base + ends.trailing_zeros() as usize;
        ends &= ends.wrapping_sub(1);
        match plain(text, at, end) {
            Some((parts, scale)) => batch.push(parts, scale),
            None => {
                let (value, after) = number(text, space(text, at))?;
                batch.push(ONE, [value, 0.0]);
                end = space(text, after);
                if !matches!(text.get(end), Some(b',' | b']')) {
                    return None;
                }
            }
        }
        let is_last = *text.get(end)? == b']';
        at = end + 1;
        if is_last {
            return batch.finish(values, most).map(|()| at);
        }
        if batch.filled == batch.taken + 2 * LANES {
            batch.take(values);
            if values.len() > most {
                return None;
            }
        }
        // There is one space or none, as a rule.
        at += usize::from(text.get(at) == Some(&b' '));
    }
}

/// Which of the 64 bytes from `at` on are commas or closing brackets; none where the text is short.
#[target_feature(enable = "avx2")]
#[inline]
fn ends_from(text: &[u8], at: usize) -> u64 {
    let Some(rest) = text.get(at..) else {
        return 0;
    };
    if let Some(block) = rest.first_chunk() {
        return ends(block);
    }
    // The last block of the text, without what comes before `at`.
    text.last_chunk().map_or(0, |block| {
        ends(block) >> (size_of::<Block>() - rest.len()).min(63)
    })
}

#[target_feature(enable = "avx2")]
#[inline]
fn ends(block: &Block) -> u64 {
    let half = |i: usize| {
        let bytes = load(&block.as_chunks().0[i]);
        let comma = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b',' as i8));
        let bracket = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b']' as i8));
        u64::from(_mm256_movemask_epi8(_mm256_or_si256(comma, bracket)) as u32)
    };
    half(0) | half(1) << 32
}

/// The number in `text[start..end]`, where it is plain.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
#[inline]
fn plain(text: &[u8], start: usize, end: usize) -> Option<(Parts, Scale)> {
    let around: &Around = text
        .get(end.checked_sub(size_of::<Around>())?..end)?
        .first_chunk()?;
    let length = end.wrapping_sub(start);
    if length > MOST_BYTES {
        return None;
    }
    let first = size_of::<Around>() - length;
    let is_negative = *around.get(first)? == b'-';
    let (exponent, exponent_bytes) = negative_exponent(around);

    // From the last: so many digits, a point, so many digits. What is no digit gets its highest bit.
    let zeros = _mm256_set1_epi8(b'0' as i8);
    let ended = around[EXPONENT_BYTES + 4 - exponent_bytes..].first_chunk()?;
    let digits = _mm256_xor_si256(load(ended), zeros);
    let others = _mm256_adds_epu8(digits, _mm256_set1_epi8(128_u8.wrapping_sub(10) as i8));
    let others = _mm256_movemask_epi8(others) as u32;
    let places = others.leading_zeros() & 31;
    let wholes = (others << places << 1).leading_zeros();
    let (places, wholes) = (places as usize, wholes as usize);
    if wholes != 1 {
        // JSON has no leading zeros.
        let first = *around.get(first + usize::from(is_negative))?;
        if wholes == 0 || wholes >= MOST_DIGITS || first == b'0' {
            return None;
        }
    }
    let length_by_parts = usize::from(is_negative) + wholes + 1 + places + exponent_bytes;
    let is_plain = (length == length_by_parts)
        & (ended[size_of::<Bytes>() - 1 - places] == b'.')
        & (places.wrapping_sub(1) < MOST_DIGITS - wholes);
    if !is_plain {
        return None;
    }
    let scale = SCALES[usize::from(is_negative)].get(places + exponent)?;

    // The digits before the point, moved over it.
    let moved = around[EXPONENT_BYTES + 3 - exponent_bytes..].first_chunk()?;
    let moved = _mm256_xor_si256(load(moved), zeros);
    let moved = _mm256_and_si256(moved, load(last_bytes(wholes + places)));
    let digits = _mm256_blendv_epi8(moved, digits, load(last_bytes(places)));
    let pairs = _mm256_maddubs_epi16(digits, _mm256_set1_epi16(1 << 8 | 10));
    let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(1 << 16 | 100));
    let fours = _mm256_packus_epi32(fours, fours);
    // Two eights in each half, twice: the first are the first half of the first.
    let eights = _mm256_madd_epi16(fours, _mm256_set1_epi32(1 << 16 | 10_000));
    let eights = _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b10_00>(eights));
    let mut parts = Parts::default();
    // SAFETY: 16 bytes are there to be written, and this store asks for no alignment.
    unsafe { _mm_storeu_si128(parts.as_mut_ptr().cast(), eights) }
    Some((parts, *scale))
}

/// The exponent in the last bytes, if it is negative and of two digits, without its sign; and its
/// length. Both 0 if there is none. Numbers with and without exponents come in no order, so there is
/// no branch here.
#[inline(always)]
fn negative_exponent(around: &Around) -> (usize, usize) {
    const SIGN: u32 = u32::from_le_bytes(*b"e-00");
    // Either case of the letter, and all of a digit but its value.
    const FIXED: u32 = u32::from_le_bytes([0xdf, 0xff, 0xf0, 0xf0]);
    // Takes values of ten and more out of their four bits.
    const SIXES: u32 = u32::from_le_bytes([0, 0, 6, 6]);
    let [.., a, b, c, d] = *around;
    let rest = u32::from_le_bytes([a, b, c, d]) ^ SIGN;
    let there = (rest | rest.wrapping_add(SIXES)) & FIXED == 0;
    // 256 · (10 · tens + ones), between what nobody looks at.
    let exponent = (rest >> 16).wrapping_mul(10 << 8 | 1) >> 8 & 0xff;
    let mask = usize::from(there).wrapping_neg();
    (exponent as usize & mask, EXPONENT_BYTES & mask)
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(bytes: &Bytes) -> __m256i {
    // SAFETY: 32 bytes are there to be read, and this load asks for no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Numbers whose texts have been read. One half is filled before the other is taken: processors are
/// slow to read in one piece what they have just written in several.
struct Batch {
    halves: [([Parts; LANES], [Scale; LANES]); 2],
    /// How many numbers have come so far, and how many of them have become floats.
    filled: usize,
    taken: usize,
    are_sure: bool,
}

impl Batch {
    #[inline(always)]
    fn new() -> Self {
        Self {
            halves: [([[0; 4]; LANES], [[0.0; 2]; LANES]); 2],
            filled: 0,
            taken: 0,
            are_sure: true,
        }
    }

    #[inline(always)]
    fn push(&mut self, parts: Parts, scale: Scale) {
        let (half, lane) = (self.filled / LANES % 2, self.filled % LANES);
        self.halves[half].0[lane] = parts;
        self.halves[half].1[lane] = scale;
        self.filled += 1;
    }

    /// Adds the half that was filled first to `values`.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn take(&mut self, values: &mut Vec<f64>) {
        let (parts, scales) = &self.halves[self.taken / LANES % 2];
        let mut floats = [0.0; LANES];
        for ((float, parts), scale) in floats.iter_mut().zip(parts).zip(scales) {
            let (value, is_sure) = float_of(parts, scale);
            *float = value;
            self.are_sure &= is_sure;
        }
        values.extend_from_slice(&floats);
        self.taken += LANES;
    }

    /// Adds what is left to `values`. None where they become more than `most`, or one was not known well
    /// enough.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn finish(&mut self, values: &mut Vec<f64>, most: usize) -> Option<()> {
        while self.taken < self.filled {
            self.take(values);
        }
        values.truncate(values.len() - (self.taken - self.filled));
        (values.len() <= most && self.are_sure).then_some(())
    }
}

/// The nearest float, and whether it is sure to be that.
///
/// Every step but those that are named is exact. T. J. Dekker, "A floating-point technique for
/// extending the available precision" (1971), for products and sums that keep what rounding takes;
/// A. Ziv, "Fast evaluation of elementary mathematical functions with correctly rounded last bit"
/// (1991), for the question whether all that the result may be is rounded to the same float.
#[inline(always)]
fn float_of(&[_, high, middle, low]: &Parts, &[scale, scale_rest]: &Scale) -> (f64, bool) {
    let front = f64::from(high).mul_add(1e8, f64::from(middle));
    // The digits: below 10^23, the sum of a float and an integer of at most 24 bits.
    let w = front.mul_add(1e8, f64::from(low));
    let w_rest = front.mul_add(1e8, -w) + f64::from(low);
    // Times the scale. The rest is known to 2^-53 of itself, and is 2^-53 of the whole.
    let product = w * scale;
    let rest = w.mul_add(scale, -product);
    let rest = w_rest.mul_add(scale, w.mul_add(scale_rest, rest));
    // 2^-100: what is inexact above, 16 times over.
    let doubt = product * 7.888_609_052_210_118e-31;
    let float = product + (rest - doubt);
    let is_sure = float == product + (rest + doubt);
    // A negative 0 has lost its sign.
    (float.copysign(product), is_sure)
}

/// 10^-s and -10^-s, to 2^-106 of themselves.
static SCALES: [[Scale; INVERSES.len()]; 2] = {
    let mut scales = [[[0.0; 2]; INVERSES.len()]; 2];
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
        scales[0][s] = scale;
        scales[1][s] = [-scale[0], -scale[1]];
        s += 1;
    }
    scales
};

const fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}
