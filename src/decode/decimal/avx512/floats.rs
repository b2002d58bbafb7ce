//! Digits and scales to floats, eight at a time.

use std::arch::x86_64::*;
use std::mem::transmute;

use super::super::INVERSES;
use super::super::lanes::{SCALES, float_of};
use super::{Digits, LANES};

/// How many floats are in a vector.
const EIGHT: usize = 8;

/// The scale of a number that is not of the shape that is read here.
const NONE: u32 = u32::MAX;

/// The bit of a scale that says that the number is negative.
pub const NEGATIVE: u32 = 64;

/// The first of sixteen scales that nearly all numbers have one of: those of one to six digits before the
/// point, and of one digit with exponents down to e-10.
const USUAL: usize = 18;

/// Where in the [`eights`] of four numbers and of four more the first eight of each number is, and then the
/// second.
const FIRST_AND_SECOND: [i32; LANES] = [0, 8, 2, 10, 16, 24, 18, 26, 1, 9, 3, 11, 17, 25, 19, 27];

/// The same of the third, and what is behind it.
const THIRD: [i32; LANES] = [4, 12, 6, 14, 20, 28, 22, 30, 5, 13, 7, 15, 21, 29, 23, 31];

/// The nearest floats to 24 digits and a [`scale`](super::scale) each. NaN where that is not known.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
#[inline]
pub fn floats(digits: &[Digits; EIGHT], scales: &[u32; EIGHT]) -> [f64; EIGHT] {
    let (halves, _) = digits.as_chunks::<4>();
    let (first, second) = (eights(&halves[0]), eights(&halves[1]));
    let part = |places: &[i32; LANES]| {
        // SAFETY: so many bytes are there to be read.
        let places = unsafe { _mm512_loadu_epi32(places.as_ptr()) };
        _mm512_permutex2var_epi32(first, places, second)
    };
    let (front, back) = (part(&FIRST_AND_SECOND), part(&THIRD));
    let parts = [
        _mm512_cvtepi32_pd(_mm512_castsi512_si256(front)),
        _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64::<1>(front)),
        _mm512_cvtepi32_pd(_mm512_castsi512_si256(back)),
    ];
    // SAFETY: these are as many bytes, and all bytes are floats.
    let [high, middle, low]: [[f64; EIGHT]; 3] = unsafe { transmute(parts) };
    // SAFETY: as above.
    let [scales, rests]: [[f64; EIGHT]; 2] = unsafe { transmute(powers(scales)) };
    let mut floats = [0.0; EIGHT];
    for i in 0..EIGHT {
        floats[i] = float_of([high[i], middle[i], low[i]], [scales[i], rests[i]]);
    }
    floats
}

/// The three eights of four numbers: the first two of the first number and of the third, then the third of
/// both; and the same of the second and the fourth.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn eights(digits: &[Digits; 4]) -> __m512i {
    let fours = |i: usize| {
        // SAFETY: so many bytes are there to be read.
        let digits = unsafe { _mm512_loadu_epi8(digits[i..i + 2].as_ptr().cast()) };
        let pairs = _mm512_maddubs_epi16(digits, _mm512_set1_epi16(1 << 8 | 10));
        _mm512_madd_epi16(pairs, _mm512_set1_epi32(1 << 16 | 100))
    };
    let fours = _mm512_packus_epi32(fours(0), fours(2));
    _mm512_madd_epi16(fours, _mm512_set1_epi32(1 << 16 | 10_000))
}

/// The powers of ten of these scales, with the numbers' signs, and the powers' rests.
#[target_feature(enable = "avx512f,avx512dq")]
#[inline]
fn powers(scales: &[u32; EIGHT]) -> [__m512d; 2] {
    // SAFETY: so many bytes are there to be read.
    let scales = _mm512_cvtepu32_epi64(unsafe { _mm256_loadu_si256(scales.as_ptr().cast()) });
    let negative = _mm512_and_si512(scales, _mm512_set1_epi64(NEGATIVE.into()));
    let sign = _mm512_castsi512_pd(_mm512_slli_epi64::<{ u64::BITS - 1 - NEGATIVE.ilog2() }>(
        negative,
    ));
    let usual = _mm512_sub_epi64(
        _mm512_xor_si512(scales, negative),
        _mm512_set1_epi64(USUAL as i64),
    );
    let are_usual = _mm512_cmplt_epu64_mask(usual, _mm512_set1_epi64(2 * EIGHT as i64));
    let are_none = _mm512_cmpeq_epi64_mask(scales, _mm512_set1_epi64(NONE.into()));
    let [power, rest] = if are_usual | are_none == u8::MAX {
        [
            pick(&POWERS[0], USUAL, usual),
            pick(&POWERS[1], USUAL, usual),
        ]
    } else {
        any(scales)
    };
    let power = _mm512_mask_mov_pd(power, are_none, _mm512_set1_pd(f64::NAN));
    [_mm512_xor_pd(power, sign), _mm512_xor_pd(rest, sign)]
}

/// Of any scales.
#[target_feature(enable = "avx512f,avx512dq")]
#[cold]
fn any(scales: __m512i) -> [__m512d; 2] {
    let has = |bit: i64| _mm512_test_epi64_mask(scales, _mm512_set1_epi64(bit));
    let (in_upper_half, in_odd_quarter) = (has(32), has(16));
    POWERS.each_ref().map(|table| {
        let quarter = |q| pick(table, 2 * EIGHT * q, scales);
        let lower = _mm512_mask_blend_pd(in_odd_quarter, quarter(0), quarter(1));
        let upper = _mm512_mask_blend_pd(in_odd_quarter, quarter(2), quarter(3));
        _mm512_mask_blend_pd(in_upper_half, lower, upper)
    })
}

/// Of the sixteen floats from `start` on those with these indices, of which only the lowest four bits count.
#[target_feature(enable = "avx512f")]
#[inline]
fn pick(table: &[f64; 64], start: usize, indices: __m512i) -> __m512d {
    let table = &table[start..start + 2 * EIGHT];
    // SAFETY: so many floats are there to be read.
    let (low, high) = unsafe {
        let (low, high) = (table.as_ptr(), table[EIGHT..].as_ptr());
        (_mm512_loadu_pd(low), _mm512_loadu_pd(high))
    };
    _mm512_permutex2var_pd(low, indices, high)
}

/// The powers of [`SCALES`], and their rests. NaN behind them.
static POWERS: [[f64; 64]; 2] = {
    let mut powers = [[f64::NAN; 64]; 2];
    let mut i = 0;
    while i < INVERSES.len() {
        [powers[0][i], powers[1][i]] = SCALES[i];
        i += 1;
    }
    powers
};
