//! Decimal digits, eight by eight in a word: for every processor.

/// A stretch of text.
pub type Bytes = [u8; 32];

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
pub fn last_bytes(count: usize) -> &'static Bytes {
    const NONE: Bytes = [0; 32];
    LAST.get(count..)
        .and_then(|rest| rest.first_chunk())
        .unwrap_or(&NONE)
}

const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

#[inline(always)]
fn word(bytes: &Bytes, i: usize) -> u64 {
    u64::from_le_bytes(bytes.as_chunks().0[i])
}

/// How many of the first 24 bytes are digits, before the first that is not.
#[inline(always)]
pub fn leading(bytes: &Bytes) -> usize {
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

/// `length`, if a number that long may end here: what comes next does not go on with it.
#[inline(always)]
pub fn ends(bytes: &Bytes, length: usize) -> Option<usize> {
    let next = bytes.get(length)?;
    matches!(next, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t').then_some(length)
}

/// The number in the last `count` bytes, all digits, in parts of eight: what is in front of the
/// last 16 (at most eight digits), the next eight, and the last eight.
#[inline(always)]
pub fn last(text: &Bytes, count: usize) -> [u64; 3] {
    let mask = last_bytes(count);
    let part = |i| eight_digits((word(text, i) ^ ZEROS) & word(mask, i));
    [part(1), part(2), part(3)]
}

/// The number in the first `count`, 1 to 16, bytes, which are digits.
#[inline(always)]
pub fn first(text: &Bytes, count: usize) -> u64 {
    let words = |i| u128::from(word(text, i) ^ ZEROS);
    // Zeros come in before the digits, and what follows them goes.
    let digits = (words(1) << 64 | words(0)).wrapping_shl(8 * (16 - count) as u32);
    eight_digits(digits as u64) * 10_u64.pow(8) + eight_digits((digits >> 64) as u64)
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
