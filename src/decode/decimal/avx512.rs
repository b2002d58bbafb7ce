//! Rows of numbers on x86-64 with AVX-512, as it is from Ice Lake and Zen 4 on.
//!
//! First the commas between many numbers are found ([`Row::find`]). Then each step is done for all of these
//! numbers before the next step, so that no step waits for what was just written: the exponents at their
//! ends, which leave the bytes that may be digits and a point; of these the digits, moved together
//! ([`Row::find_digits`]); from where they were, what power of ten the number has ([`scale`]); and then the
//! floats ([`floats()`]). Moved together, digits begin at the first byte, whatever their number: d digits are
//! the first of 24, and the others 0.
//!
//! `-0.0625e-05`: the digits 00625, of which 1 is before the point; so 006250…0, of 24 digits, times 10^-(24 - 1 + 5).
//!
//! What is not of such a shape is left to [`member`], one number at a time.

#![allow(unsafe_code)]

mod floats;

use std::arch::x86_64::*;

use self::floats::{NEGATIVE, floats};
use super::lanes::{EXPONENT_BYTES, MOST_DIGITS, all, negative_exponent};
use super::{INVERSES, member};

/// How many numbers the compiler or the processor takes at once.
const LANES: usize = 16;

/// Something of each.
type Lanes = [u32; LANES];

/// So many numbers are found before any of them is read.
const MANY: usize = 8 * LANES;

/// What is looked at in one piece to find where numbers end.
const BLOCK: usize = size_of::<__m512i>();

/// How far ahead of what is looked at memory is asked for, in bytes. Another thread has written the text, on
/// another core; the processor itself asks ahead within a page only.
const AHEAD: usize = 2048;

/// The most groups of numbers that are found at once: the last block may be all commas.
const GROUPS: usize = (MANY + BLOCK) / LANES;

/// What a number's digits are in.
type Digits = [u8; size_of::<__m256i>()];

/// Reads rows. Only made where the processor has the instructions.
#[derive(Debug)]
pub struct Reader(Box<Memory>);

/// What is known of a row's numbers: memory that is used again.
#[derive(Debug, Default)]
struct Memory {
    marks: Marks,
    groups: [Group; GROUPS],
}

impl Reader {
    pub fn new() -> Option<Self> {
        let there = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("avx512vpopcntdq")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("popcnt");
        there.then(|| Self(Box::default()))
    }

    /// As [`super::Rows::read`], but that values may have been added where it gives none.
    pub fn row(
        &mut self,
        text: &[u8],
        at: usize,
        most: usize,
        values: &mut Vec<f64>,
    ) -> Option<usize> {
        // SAFETY: there is no `Reader` where an instruction is missing.
        unsafe { row(text, at, most, values, &mut self.0) }
    }
}

#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,avx512vpopcntdq,fma,popcnt"
)]
fn row(
    text: &[u8],
    mut at: usize,
    most: usize,
    values: &mut Vec<f64>,
    memory: &mut Memory,
) -> Option<usize> {
    // So that there is one before every mark.
    while at < EXPONENT_BYTES {
        let (value, after, is_last) = member(text, at)?;
        values.push(value);
        at = after;
        if is_last {
            return (values.len() <= most).then_some(at);
        }
    }
    let mut row = Row::new(text, at, &mut memory.marks)?;
    loop {
        row.find()?;
        row.read(&mut memory.groups, values)?;
        if values.len() > most {
            return None;
        }
        if let Some(end) = row.end() {
            return Some(end);
        }
    }
}

/// Where numbers end.
#[derive(Debug)]
struct Marks {
    /// The index before the first number, and of the comma or bracket after each. Behind these whatever
    /// was there: a block is written as if it were full of marks.
    at: [u32; 1 + MANY + BLOCK + LANES],
    count: usize,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            at: [0; _],
            count: 0,
        }
    }
}

/// Numbers that are being read.
///
/// Its marks are indices of its text, from [`EXPONENT_BYTES`] - 1 on the first and from
/// [`EXPONENT_BYTES`] on the others, each larger than the one before.
struct Row<'a> {
    text: &'a [u8],
    marks: &'a mut Marks,
    /// The index of the next block.
    next: usize,
    /// Whether the last mark is a bracket. Then as many as a group has follow that are the same as it.
    closed: bool,
    /// Not 0 if an e has been seen.
    exponents: u64,
}

impl<'a> Row<'a> {
    /// Of what begins at `at`. None where indices are not of 32 bits.
    fn new(text: &'a [u8], at: usize, marks: &'a mut Marks) -> Option<Self> {
        u32::try_from(text.len()).ok()?;
        marks.at[0] = at.checked_sub(1)? as u32;
        marks.count = 0;
        Some(Self {
            text,
            marks,
            next: at,
            closed: false,
            exponents: 0,
        })
    }

    /// The index after the bracket, where that has been found.
    fn end(&self) -> Option<usize> {
        self.closed
            .then(|| self.marks.at[self.marks.count] as usize + 1)
    }

    /// Finds marks until there are many, or a bracket. None where the text ends.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
    #[inline]
    fn find(&mut self) -> Option<()> {
        while self.marks.count < MANY {
            let rest = self.text.get(self.next..)?;
            let ahead = rest.as_ptr().wrapping_add(AHEAD);
            #[allow(unused_unsafe)] // it is safe in later versions of the compiler
            // SAFETY: nothing is read.
            unsafe {
                _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
            }
            let block = match rest.first_chunk::<BLOCK>() {
                // SAFETY: so many bytes are there to be read.
                Some(block) => unsafe { _mm512_loadu_epi8(block.as_ptr().cast()) },
                None if rest.is_empty() => return None,
                None => {
                    let there = u64::MAX >> (BLOCK - rest.len());
                    // SAFETY: only bytes of the rest are read.
                    unsafe { _mm512_maskz_loadu_epi8(there, rest.as_ptr().cast()) }
                }
            };
            let are = |block, byte: u8| _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(byte as i8));
            let lower = _mm512_or_si512(block, _mm512_set1_epi8(0x20));
            let (commas, brackets, letters) =
                (are(block, b','), are(block, b']'), are(lower, b'e'));
            if brackets != 0 {
                let row = brackets ^ (brackets - 1);
                self.mark((commas | brackets) & row);
                self.exponents |= letters & row;
                let Marks { at, count } = &mut *self.marks;
                let last = at[*count];
                at[*count + 1..][..LANES].fill(last);
                self.closed = true;
                return Some(());
            }
            self.mark(commas);
            self.exponents |= letters;
            self.next += BLOCK;
        }
        Some(())
    }

    /// Adds these bytes of the next block to the marks.
    #[target_feature(enable = "avx512f,avx512vbmi2,popcnt")]
    #[inline]
    fn mark(&mut self, ends: u64) {
        const PLACES: [u8; BLOCK] = {
            let mut places = [0; BLOCK];
            let mut i = 0;
            while i < BLOCK {
                places[i] = i as u8;
                i += 1;
            }
            places
        };
        // SAFETY: so many bytes are there to be read.
        let places = unsafe { _mm512_loadu_epi8(PLACES.as_ptr().cast()) };
        let places = _mm512_maskz_compress_epi8(ends, places);
        let next = _mm512_set1_epi32(self.next as i32);
        let count = ends.count_ones() as usize;
        let Some(room) = self.marks.at[1 + self.marks.count..].first_chunk_mut::<BLOCK>() else {
            return;
        };
        let mut write = |i: usize, places: __m128i| {
            let marks = _mm512_add_epi32(_mm512_cvtepu8_epi32(places), next);
            // SAFETY: so many bytes are there to be written.
            unsafe { _mm512_storeu_epi32(room[LANES * i..].as_mut_ptr().cast(), marks) };
        };
        write(0, _mm512_castsi512_si128(places));
        if count > LANES {
            write(1, _mm512_extracti32x4_epi32::<1>(places));
            write(2, _mm512_extracti32x4_epi32::<2>(places));
            write(3, _mm512_extracti32x4_epi32::<3>(places));
        }
        self.marks.count += count;
    }

    /// Adds the numbers in groups that are full, or cannot be made fuller, to `values`. None where one is none,
    /// or beyond all floats.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,avx512vpopcntdq,fma,popcnt"
    )]
    #[inline]
    fn read(&mut self, groups: &mut [Group; GROUPS], values: &mut Vec<f64>) -> Option<()> {
        let found = self.marks.count;
        let count = if self.closed {
            found
        } else {
            found / LANES * LANES
        };
        let groups = &mut groups[..count.div_ceil(LANES)];
        self.find_tails(groups)?;
        self.find_masks(groups)?;
        self.find_digits(groups)?;
        // (Within `for_each` it would be compiled for every processor.)
        for group in &mut *groups {
            group.find_scales();
        }
        let before = values.len();
        values.reserve(LANES * groups.len());
        for group in &*groups {
            let scales = group.scales.as_chunks().0;
            for (digits, scales) in group.together.as_chunks().0.iter().zip(scales) {
                values.extend_from_slice(&floats(digits, scales));
            }
        }
        values.truncate(before + count);
        self.read_others(&mut values[before..])?;

        self.marks.at.copy_within(count..=found, 0);
        self.marks.count -= count;
        Some(())
    }

    /// The index before each number of a group, and after it.
    fn around(&self, group: usize) -> Option<(&Lanes, &Lanes)> {
        let from = self.marks.at.get(group * LANES..)?;
        Some((from.first_chunk()?, from[1..].first_chunk()?))
    }

    /// Each number's last bytes.
    #[inline(always)]
    fn find_tails(&self, groups: &mut [Group]) -> Option<()> {
        for (i, group) in groups.iter_mut().enumerate() {
            if self.exponents == 0 {
                group.tails = [0; LANES];
                continue;
            }
            let (_, ends) = self.around(i)?;
            for (tail, &end) in group.tails.iter_mut().zip(ends) {
                debug_assert!((end as usize) < self.text.len(), "a mark of another text");
                // SAFETY: a mark is an index of the text, and so many bytes are before it.
                *tail = unsafe {
                    let last = self.text.as_ptr().add(end as usize - EXPONENT_BYTES);
                    last.cast::<u32>().read_unaligned()
                };
            }
        }
        Some(())
    }

    /// Where digits and points may be, and the exponents.
    #[inline(always)]
    fn find_masks(&self, groups: &mut [Group]) -> Option<()> {
        for (i, group) in groups.iter_mut().enumerate() {
            let (befores, ends) = self.around(i)?;
            // Copies: the compiler sees that they are not written to meanwhile.
            let (befores, ends, tails) = (*befores, *ends, group.tails);
            for lane in 0..LANES {
                let (exponent, exponent_bytes) = negative_exponent(tails[lane]);
                let length = ends[lane]
                    .wrapping_sub(befores[lane])
                    .wrapping_sub(1 + exponent_bytes);
                let fits = all(length.wrapping_sub(1) < u32::BITS);
                let mask = u32::MAX >> (u32::BITS.wrapping_sub(length) % u32::BITS);
                group.masks[lane] = mask & fits;
                group.exponents[lane] = exponent;
            }
        }
        Some(())
    }

    /// The digits, which bytes they and the points were, and the first bytes.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2")]
    #[inline]
    fn find_digits(&self, groups: &mut [Group]) -> Option<()> {
        for (i, group) in groups.iter_mut().enumerate() {
            let befores = *self.around(i)?.0;
            for (lane, before) in befores.into_iter().enumerate() {
                let (mask, start) = (group.masks[lane], before as usize + 1);
                debug_assert!(
                    mask == 0 || start + mask.count_ones() as usize <= self.text.len(),
                    "a mark of another text"
                );
                let start = self.text.as_ptr().wrapping_add(start);
                // SAFETY: there are no more bits in the mask than bytes to the next mark.
                let bytes = unsafe { _mm256_maskz_loadu_epi8(mask, start.cast()) };
                let values = _mm256_sub_epi8(bytes, _mm256_set1_epi8(b'0' as i8));
                let digits = _mm256_cmplt_epu8_mask(values, _mm256_set1_epi8(10));
                group.heads[lane] = _mm256_cvtsi256_si32(bytes) as u32;
                group.digits[lane] = digits;
                group.points[lane] = _mm256_cmpeq_epi8_mask(bytes, _mm256_set1_epi8(b'.' as i8));
                let together = _mm256_maskz_compress_epi8(digits, values);
                // SAFETY: so many bytes are there to be written.
                unsafe { _mm256_storeu_epi8(group.together[lane].as_mut_ptr().cast(), together) };
            }
        }
        Some(())
    }

    /// Reads the numbers of which there is no float, one at a time.
    #[inline(always)]
    fn read_others(&self, floats: &mut [f64]) -> Option<()> {
        if !floats.iter().fold(false, |any, float| any | float.is_nan()) {
            return Some(());
        }
        for (float, &before) in floats.iter_mut().zip(&self.marks.at) {
            if float.is_nan() {
                (*float, _, _) = member(self.text, before as usize + 1)?;
            }
        }
        Some(())
    }
}

/// What is known of some numbers.
#[derive(Debug, Default)]
struct Group {
    /// The last four bytes, if there is an exponent in the row.
    tails: Lanes,
    /// The exponents, without sign.
    exponents: Lanes,
    /// Which bytes are the number, but for its exponent, the first in the lowest bit. None where there are
    /// too many.
    masks: Lanes,
    /// Of these bytes the first four; which are digits; and which are points.
    heads: Lanes,
    digits: Lanes,
    points: Lanes,
    /// The digits' values, in front of zeros.
    together: [Digits; LANES],
    /// As [`scale`] gives them.
    scales: Lanes,
}

impl Group {
    /// The compiler does this for all lanes at once.
    #[inline(always)]
    fn find_scales(&mut self) {
        for i in 0..LANES {
            let bits = [self.digits[i], self.points[i], self.masks[i]];
            self.scales[i] = scale(self.heads[i], bits, self.exponents[i]);
        }
    }
}

/// The power of ten, negative, that a number's 24 digits are to be multiplied with, and [`NEGATIVE`] where the
/// number is; all ones if it is not of the shape that is read here.
///
/// The number is `mask`, in bits as `digits` and `point`.
#[inline(always)]
fn scale(head: u32, [digits, point, mask]: [u32; 3], exponent: u32) -> u32 {
    let space = all(head & 0xff == u32::from(b' '));
    let head = head >> (space & 8);
    let negative = all(head & 0xff == u32::from(b'-'));
    // The first bits, as many as there are of these two.
    let before = (space & 1) + (negative & (1 + (space & 1)));
    // All of it is known, there are not two points, and a point is between digits.
    let wrong = (digits | point | before) ^ mask;
    let wrong = wrong | point & point.wrapping_sub(1) | point & !(digits << 1 & digits >> 1);
    let count = digits.count_ones();
    let whole = (digits & point.wrapping_sub(1)).count_ones();
    // JSON has no leading zeros.
    let digit = head >> (negative & 8) & 0xff;
    let wrong = wrong | all(digit == u32::from(b'0')) & whole.wrapping_sub(1);
    let scale = MOST_DIGITS.wrapping_sub(whole).wrapping_add(exponent);
    let fits = all(count.wrapping_sub(1) < MOST_DIGITS) & all(scale < INVERSES.len() as u32);
    let is_plain = all(wrong == 0) & fits;
    scale | negative & NEGATIVE | !is_plain
}
