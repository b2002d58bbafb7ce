//! Decimal digits, many at a time: by AVX2 where there is one, else eight by eight in a word.

/// A stretch of text.
pub type Bytes = [u8; 32];

/// How digits are counted and read.
pub trait Eights: Copy {
    /// How many of the bytes are digits, before the first that is not.
    fn leading(self, bytes: &Bytes) -> usize;

    /// `length`, if a number that long may end here: what comes next does not go on with it.
    fn ends(self, bytes: &Bytes, length: usize) -> Option<usize>;

    /// The number in the last `count` bytes, all digits, in parts of eight: what is in front of the
    /// last 16 (at most eight digits), the next eight, and the last eight.
    fn last(self, bytes: &Bytes, count: usize) -> [u64; 3];
}

/// Zeros and then ones: from byte `n` on, 32 bytes of which the last `n` are ones.
static LAST: [u8; 64] = {
    let mut mask = [0; 64];
    let mut i = 32;
    while i < mask.len() {
        mask[i] = 0xff;
        i += 1;
    }
    mask
};

/// The 32 bytes of which the last `count`, at most 32, are ones.
#[inline(always)]
fn last_bytes(count: usize) -> &'static Bytes {
    const NONE: Bytes = [0; 32];
    LAST.get(count..)
        .and_then(|rest| rest.first_chunk())
        .unwrap_or(&NONE)
}

/// For every processor.
#[derive(Clone, Copy)]
pub struct Words;

const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

#[inline(always)]
fn word(bytes: &Bytes, i: usize) -> u64 {
    u64::from_le_bytes(bytes.as_chunks().0[i])
}

impl Eights for Words {
    /// Of the first 24.
    #[inline(always)]
    fn leading(self, bytes: &Bytes) -> usize {
        let count = |i: usize| {
            let value = word(bytes, i) ^ ZEROS;
            // A byte of 10 or more gets its high bit from the sum, or has it. A carry goes to bytes
            // after one that is not a digit, where nobody looks.
            let other = (value.wrapping_add(0x7676_7676_7676_7676) | value) & 0x8080_8080_8080_8080;
            (other.trailing_zeros() / 8) as usize
        };
        let (first, second, third) = (count(0), count(1), count(2));
        // All ones if all eight are digits.
        let all = |count: usize| (count >> 3).wrapping_neg();
        first + (all(first) & (second + (all(second) & third)))
    }

    #[inline(always)]
    fn ends(self, bytes: &Bytes, length: usize) -> Option<usize> {
        let next = bytes.get(length)?;
        matches!(next, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t').then_some(length)
    }

    #[inline(always)]
    fn last(self, text: &Bytes, count: usize) -> [u64; 3] {
        let mask = last_bytes(count);
        let part = |i| eight_digits((word(text, i) ^ ZEROS) & word(mask, i));
        [part(1), part(2), part(3)]
    }
}

/// The number of eight digits (values, not characters), the first in the lowest byte.
#[inline(always)]
fn eight_digits(digits: u64) -> u64 {
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let first = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let second = ((pairs >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    first.wrapping_add(second) >> 32
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
pub mod avx2 {
    use std::arch::x86_64::*;

    use super::{Bytes, Eights, last_bytes};

    /// Proof that the processor has AVX2, and what belongs to its generation: BMI1, BMI2, LZCNT.
    #[derive(Clone, Copy)]
    pub struct Avx2(());

    impl Avx2 {
        pub fn new() -> Option<Self> {
            let there = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt");
            there.then_some(Self(()))
        }
    }

    impl Eights for Avx2 {
        #[inline(always)]
        fn leading(self, bytes: &Bytes) -> usize {
            // SAFETY: whoever has an `Avx2` has the instructions.
            unsafe { leading(bytes) }
        }

        /// Only where a comma comes next, which is found at once and not after the digits and an
        /// exponent: the next number need not wait for them.
        #[inline(always)]
        fn ends(self, bytes: &Bytes, length: usize) -> Option<usize> {
            // SAFETY: as above.
            let comma = unsafe { first(b',', bytes) };
            (comma == length).then_some(comma)
        }

        #[inline(always)]
        fn last(self, text: &Bytes, count: usize) -> [u64; 3] {
            // SAFETY: as above.
            unsafe { last(text, last_bytes(count)) }
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load(bytes: &Bytes) -> __m256i {
        // SAFETY: 32 bytes are there to be read, and this load asks for no alignment.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    /// Digits as values; other bytes as 10 or more.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn values(bytes: &Bytes) -> __m256i {
        _mm256_xor_si256(load(bytes), _mm256_set1_epi8(b'0' as i8))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn leading(bytes: &Bytes) -> usize {
        let values = values(bytes);
        let digits = _mm256_cmpeq_epi8(_mm256_min_epu8(values, _mm256_set1_epi8(9)), values);
        (_mm256_movemask_epi8(digits) as u32).trailing_ones() as usize
    }

    /// Where `byte` first is; 32 if it is not there.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn first(byte: u8, bytes: &Bytes) -> usize {
        let there = _mm256_cmpeq_epi8(load(bytes), _mm256_set1_epi8(byte as i8));
        (_mm256_movemask_epi8(there) as u32).trailing_zeros() as usize
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn last(text: &Bytes, mask: &Bytes) -> [u64; 3] {
        let digits = _mm256_and_si256(values(text), load(mask));
        let pairs = _mm256_maddubs_epi16(digits, _mm256_set1_epi16(1 << 8 | 10));
        let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(1 << 16 | 100));
        let fours = _mm256_packus_epi32(fours, fours);
        let eights = _mm256_madd_epi16(fours, _mm256_set1_epi32(1 << 16 | 10_000));
        // Two eights in each half: the first in the lower 32 bits.
        let front = _mm_cvtsi128_si64(_mm256_castsi256_si128(eights)) as u64;
        let back = _mm_cvtsi128_si64(_mm256_extracti128_si256::<1>(eights)) as u64;
        [front >> 32, back & 0xffff_ffff, back >> 32]
    }
}
