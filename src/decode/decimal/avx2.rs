//! Rows of numbers on x86-64 with AVX2 and FMA, [`LANES`] numbers at a time.
//!
//! First numbers are found, one by one: where they start and end, and which of the 32 bytes before
//! their ends are digits and points ([`Group`]). From these bits comes what shape each has, for all lanes
//! at once ([`Shapes`]): only what cannot be done so is done for each number by itself. Then the digits of
//! each are read, eight by eight, and made floats together, without integers of more than 32 bits:
//! w · 10^-s with w as the sum of two floats, and 10^-s as well. The product is known to about 104 bits;
//! where so many do not say which float is the nearest (one in 2^46 does not, if digits are random) the
//! number is left to [`number`](super::number).
//!
//! So is all but `-ddd.ddde-dd`, with or without sign, point and exponent and of at most 24 digits.

#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::mem::{swap, transmute};

use super::eights::{Bytes, last_bytes};
use super::lanes::{EXPONENT_BYTES, MOST_DIGITS, SCALES, all, float_of, negative_exponent};
use super::{INVERSES, member};

/// How many numbers are looked at together.
const LANES: usize = 8;

/// Something of each.
type Lanes = [u32; LANES];

/// What is looked at in one piece to find where numbers end.
type Block = [u8; 64];

/// What a number's digits are in the last bytes of. One is in front of 32, so that digits can be moved
/// over a point.
type Around = [u8; size_of::<Bytes>() + 1];

/// How many bytes come before each number that is read in lanes: [`Around`] its digits and an exponent.
const BEFORE: usize = size_of::<Around>() + EXPONENT_BYTES;

/// Reads rows. Only made where the processor has AVX2, FMA, and what belongs to their generation.
#[derive(Debug)]
pub struct Reader(());

impl Reader {
    pub fn new() -> Option<Self> {
        let there = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2");
        there.then_some(Self(()))
    }

    /// As [`super::Rows::read`], but that values may have been added where it gives none.
    pub fn row(&self, text: &[u8], at: usize, most: usize, values: &mut Vec<f64>) -> Option<usize> {
        // SAFETY: there is no `Reader` where an instruction is missing.
        unsafe { row(text, at, most, values) }
    }
}

#[target_feature(enable = "avx2,fma,bmi1,bmi2")]
fn row(text: &[u8], mut at: usize, most: usize, values: &mut Vec<f64>) -> Option<usize> {
    // Indices are kept in 32 bits.
    u32::try_from(text.len()).ok()?;
    while at < BEFORE {
        let (value, after, is_last) = member(text, at)?;
        values.push(value);
        at = after;
        if is_last {
            return (values.len() <= most).then_some(at);
        }
    }
    let mut ahead = Ahead {
        text,
        at,
        ends: ends_from(text, at),
        base: at,
    };
    // One group is filled before the other is taken: processors are slow to read in one piece what
    // they have just written in several.
    let (mut group, mut before) = (&mut Group::new(at), &mut Group::new(at));
    loop {
        let is_last = group.fill(&mut ahead)?;
        before.take(text, values)?;
        if is_last {
            group.take(text, values)?;
        }
        if values.len() > most {
            return None;
        }
        if is_last {
            return Some(ahead.at);
        }
        swap(&mut group, &mut before);
    }
}

/// What has not been read.
struct Ahead<'a> {
    text: &'a [u8],
    /// Where the next number starts.
    at: usize,
    /// Where numbers end: the bits from `base` on.
    ends: u64,
    base: usize,
}

impl Ahead<'_> {
    /// The index of the next comma or closing bracket.
    ///
    /// The blocks are looked at one after the other, not from the last number on: that would have to
    /// be found first.
    #[target_feature(enable = "avx2,bmi1")]
    #[inline]
    fn end(&mut self) -> Option<usize> {
        while self.ends == 0 {
            self.base += size_of::<Block>();
            if self.base >= self.text.len() {
                return None;
            }
            self.ends = ends_from(self.text, self.base);
        }
        let end = self.base + self.ends.trailing_zeros() as usize;
        self.ends &= self.ends - 1;
        Some(end)
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

/// The bytes from `at` on, an index of 32 bits, so that one comparison says whether they are there.
#[inline(always)]
fn window<const N: usize>(text: &[u8], at: u32) -> Option<&[u8; N]> {
    let at = at as usize;
    if text.len() < at + N {
        return None;
    }
    text[at..at + N].first_chunk()
}

/// Numbers, or what may be some, as they are found in the text.
struct Group {
    /// How many there are. The lanes behind them are of numbers that have been taken, or of none.
    filled: usize,
    /// Where they start, perhaps with space, and end.
    starts: Lanes,
    ends: Lanes,
    /// The first four bytes, and the last four.
    heads: Lanes,
    tails: Lanes,
    /// Of the 32 bytes that end with the number, the first in the lowest bit: which are digits, and which
    /// are points.
    digits: Lanes,
    points: Lanes,
}

impl Group {
    /// Of none, with ends that have enough before them.
    fn new(at: usize) -> Self {
        Self {
            filled: 0,
            starts: [at as u32; LANES],
            ends: [at as u32; LANES],
            heads: [0; LANES],
            tails: [0; LANES],
            digits: [0; LANES],
            points: [0; LANES],
        }
    }

    /// Takes the next numbers, and says whether a bracket comes after them. None where the text ends.
    #[target_feature(enable = "avx2,bmi1,bmi2")]
    #[inline]
    fn fill(&mut self, ahead: &mut Ahead<'_>) -> Option<bool> {
        for i in 0..LANES {
            let index = ahead.end()?;
            let (start, end) = (ahead.at as u32, index as u32);
            ahead.at = index + 1;
            let head = window(ahead.text, start)?;
            let bytes: &[u8; 33] = window(ahead.text, end.wrapping_sub(32))?;
            let [bytes @ .., comma_or_bracket] = bytes;
            self.starts[i] = start;
            self.ends[i] = end;
            self.heads[i] = u32::from_le_bytes(*head);
            self.tails[i] = u32::from_le_bytes(*bytes.last_chunk()?);

            let bytes = load(bytes);
            // The digits are moved to where no larger byte is.
            let moved = _mm256_add_epi8(bytes, _mm256_set1_epi8(i8::MAX - b'9' as i8));
            let digits = _mm256_cmpgt_epi8(moved, _mm256_set1_epi8(i8::MAX - 10));
            let points = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'.' as i8));
            self.digits[i] = _mm256_movemask_epi8(digits) as u32;
            self.points[i] = _mm256_movemask_epi8(points) as u32;
            if *comma_or_bracket == b']' {
                self.filled = i + 1;
                return Some(true);
            }
        }
        self.filled = LANES;
        Some(false)
    }

    /// Adds the numbers to `values`. None where one is none, or beyond all floats.
    #[target_feature(enable = "avx2,fma,bmi1,bmi2")]
    #[inline]
    fn take(&self, text: &[u8], values: &mut Vec<f64>) -> Option<()> {
        if self.filled == 0 {
            return Some(());
        }
        let shapes = self.shapes();
        let mut floats = shapes.floats(text)?;
        if floats.iter().fold(false, |any, float| any | float.is_nan()) {
            self.take_others(text, &mut floats)?;
        }
        values.extend_from_slice(&floats);
        values.truncate(values.len() - (LANES - self.filled));
        Some(())
    }

    /// Reads the numbers of which there is no float, one at a time.
    #[cold]
    fn take_others(&self, text: &[u8], floats: &mut [f64; LANES]) -> Option<()> {
        for (float, start) in floats.iter_mut().zip(self.starts).take(self.filled) {
            if float.is_nan() {
                (*float, _, _) = member(text, start as usize)?;
            }
        }
        Some(())
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn shapes(&self) -> Shapes {
        let mut shapes = Shapes::default();
        for i in 0..LANES {
            // Where there is more than one space the number is not plain.
            let space = all(self.heads[i] & 0xff == u32::from(b' '));
            let length = self.ends[i]
                .wrapping_sub(self.starts[i])
                .wrapping_add(space);
            let head = self.heads[i] >> (space & 8);
            let shape = shape(length, head, self.tails[i], self.digits[i], self.points[i]);
            shapes.starts[i] =
                self.ends[i].wrapping_sub(shape.exponent_bytes + size_of::<Around>() as u32);
            shapes.counts[i] = shape.count;
            shapes.unmoved[i] = shape.unmoved;
            shapes.scales[i] = shape.scale;
        }
        shapes
    }
}

/// What shape a number has.
struct Shape {
    exponent_bytes: u32,
    /// How many digits there are.
    count: u32,
    /// How many bytes, from the last digit, are not to be moved over a point: all, if there is none.
    unmoved: u32,
    /// An index in [`SCALES`]: of no number if the shape is not a plain one. Then the rest says nothing.
    scale: u32,
}

/// The shape of one number. There is no branch, and all is of 32 bits: so the compiler does it for all
/// lanes at once.
#[inline(always)]
fn shape(length: u32, head: u32, tail: u32, digits: u32, points: u32) -> Shape {
    let (exponent, exponent_bytes) = negative_exponent(tail);
    let negative = all(head & 0xff == u32::from(b'-'));
    // Bits as in `digits`: the number but for its exponent, and its first byte.
    let before = 32_u32.wrapping_sub(length);
    let first = (1 << (before & 31)) & all(before < 32);
    let number = first.wrapping_neg() & (u32::MAX >> exponent_bytes);
    let (digits, point) = (digits & number, points & number);
    let has_point = all(point != 0);
    // All of it is known, there are not two points, and a point is between digits.
    let wrong = (digits | point | first & negative) ^ number;
    let wrong = wrong | point & point.wrapping_sub(1) | point & !(digits << 1 & digits >> 1);

    // Of the point's bit, from a float's exponent: AVX2 counts no zeros.
    let index = ((point as i32 as f32).to_bits() >> 23).wrapping_sub(127);
    let places = 31_u32.wrapping_sub(exponent_bytes).wrapping_sub(index) & has_point;
    let count = length
        .wrapping_sub(exponent_bytes)
        .wrapping_add(negative)
        .wrapping_add(has_point);
    let scale = places.wrapping_add(exponent);
    // JSON has no leading zeros.
    let digit = head >> (negative & 8) & 0xff;
    let wrong = wrong | all(digit == u32::from(b'0')) & count.wrapping_sub(places).wrapping_sub(1);
    let fits = all(count.wrapping_sub(1) < MOST_DIGITS) & all(scale < INVERSES.len() as u32);
    let is_plain = all(wrong == 0) & fits;
    let scale = scale.wrapping_add(negative & INVERSES.len() as u32);
    Shape {
        exponent_bytes,
        count,
        unmoved: places | !has_point,
        scale: scale | !is_plain,
    }
}

/// The shapes of a group.
#[derive(Default)]
struct Shapes {
    /// Where starts what is [`Around`] the digits.
    starts: Lanes,
    counts: Lanes,
    unmoved: Lanes,
    scales: Lanes,
}

impl Shapes {
    /// The nearest floats. NaN where that is not known.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn floats(&self, text: &[u8]) -> Option<[f64; LANES]> {
        let mut fours = [_mm256_setzero_si256(); LANES];
        for (i, fours) in fours.iter_mut().enumerate() {
            *fours = self.fours(text, i)?;
        }
        let [high, middle, low] = eights(fours);
        let [scales, rests] = scales(&self.scales);
        let mut floats = [0.0; LANES];
        for i in 0..LANES {
            let eights = [high[i], middle[i], low[i]].map(f64::from);
            floats[i] = float_of(eights, [scales[i], rests[i]]);
        }
        Some(floats)
    }

    /// The digits of one number, four by four.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn fours(&self, text: &[u8], i: usize) -> Option<__m256i> {
        let around: &Around = window(text, self.starts[i])?;
        // The digits before the point, moved over it.
        let digits = _mm256_blendv_epi8(
            load(around.first_chunk()?),
            load(around.last_chunk()?),
            load(last_bytes(self.unmoved[i] as usize % 32)),
        );
        let digits = _mm256_xor_si256(digits, _mm256_set1_epi8(b'0' as i8));
        let digits = _mm256_and_si256(digits, load(last_bytes(self.counts[i] as usize % 32)));
        let pairs = _mm256_maddubs_epi16(digits, _mm256_set1_epi16(1 << 8 | 10));
        Some(_mm256_madd_epi16(pairs, _mm256_set1_epi32(1 << 16 | 100)))
    }
}

/// The numbers of eight digits that the last three eights of each are, from the first to the last.
#[target_feature(enable = "avx2")]
#[inline]
fn eights([a, b, c, d, e, f, g, h]: [__m256i; LANES]) -> [[i32; LANES]; 3] {
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let (ab, cd) = (two_by_eights(a, b), two_by_eights(c, d));
    let (ef, gh) = (two_by_eights(e, f), two_by_eights(g, h));
    // In each half, one eight of four numbers: the first, which is 0, and the third; the second and the
    // fourth.
    let even = (
        _mm256_shuffle_ps::<EVEN>(ab, cd),
        _mm256_shuffle_ps::<EVEN>(ef, gh),
    );
    let odd = (
        _mm256_shuffle_ps::<ODD>(ab, cd),
        _mm256_shuffle_ps::<ODD>(ef, gh),
    );
    let high = _mm256_permute2f128_ps::<0x20>(odd.0, odd.1);
    let middle = _mm256_permute2f128_ps::<0x31>(even.0, even.1);
    let low = _mm256_permute2f128_ps::<0x31>(odd.0, odd.1);
    // SAFETY: these are as many bytes, and all bytes are integers.
    unsafe { transmute([high, middle, low]) }
}

/// In each half, two eights of the first number and two of the second.
#[target_feature(enable = "avx2")]
#[inline]
fn two_by_eights(first: __m256i, second: __m256i) -> __m256 {
    let fours = _mm256_packus_epi32(first, second);
    _mm256_castsi256_ps(_mm256_madd_epi16(
        fours,
        _mm256_set1_epi32(1 << 16 | 10_000),
    ))
}

/// The powers of ten with these indices, and their rests.
#[target_feature(enable = "avx2")]
#[inline]
fn scales(indices: &Lanes) -> [[f64; LANES]; 2] {
    let scale = |i: usize| {
        let scale = &SCALES[indices[i] as usize % SCALES.len()];
        // SAFETY: 16 bytes are there to be read, and this load asks for no alignment.
        unsafe { _mm_loadu_pd(scale.as_ptr()) }
    };
    let pair = |i: usize| _mm256_set_m128d(scale(i + 2), scale(i));
    let (a, b, c, d) = (pair(0), pair(1), pair(4), pair(5));
    let scales = [_mm256_unpacklo_pd(a, b), _mm256_unpacklo_pd(c, d)];
    let rests = [_mm256_unpackhi_pd(a, b), _mm256_unpackhi_pd(c, d)];
    // SAFETY: these are as many bytes, and all bytes are floats.
    unsafe { transmute([scales, rests]) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(bytes: &Bytes) -> __m256i {
    // SAFETY: 32 bytes are there to be read, and this load asks for no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}
