//! Decimal text to the nearest float, for the numbers that models write by the thousand.
//!
//! Printed floats are nearly all alike: a digit or two, a point, up to 23 more digits, perhaps a
//! small negative exponent. Such a number is read without a branch on how many digits it has, eight
//! or 24 digits at a time, into an integer w and a power s that say w · 10^-s; the nearest float to that
//! comes from one multiplication (Eisel–Lemire). Everything else that JSON calls a number is left
//! to Rust's own parser. Where the processor allows, `avx2` and `avx512` read the plainest of a row in batches.
//! All of them round correctly: there is one answer, to the bit.
//!
//! `0.0012345678901234567, …`: whole 0, 19 digits after the point. Of the 24 bytes that end before the
//! comma those before the digits are masked away, which leaves three eights: 1, 23456789 and
//! 01234567 after five and two zeros; w = 12345678901234567, s = 19.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod eights;
#[cfg(target_arch = "x86_64")]
mod lanes;

use std::str;

#[cfg(target_arch = "x86_64")]
use crate::information::vector::{Width, width};

/// Reads rows of numbers, by the best way that the processor has. All ways read the same.
#[derive(Debug)]
pub struct Rows {
    way: Way,
    /// How many numbers the last row had: the next is likely to be as long.
    last: usize,
}

#[derive(Debug)]
enum Way {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Reader),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Reader),
    OneByOne,
}

/// So few numbers are read faster one by one.
const FEW: usize = 4;

impl Default for Rows {
    fn default() -> Self {
        let way = Way::best();
        Self { way, last: 0 }
    }
}

impl Way {
    #[cfg(target_arch = "x86_64")]
    fn best() -> Self {
        let width = width();
        if width >= Width::Avx512
            && let Some(reader) = avx512::Reader::new()
        {
            return Self::Avx512(reader);
        }
        if width >= Width::Avx2
            && let Some(reader) = avx2::Reader::new()
        {
            return Self::Avx2(reader);
        }
        Self::OneByOne
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn best() -> Self {
        Self::OneByOne
    }
}

impl Rows {
    /// Adds the JSON numbers from `at` on to `values`, one or more with commas between them and a bracket
    /// after them, and gives the index after that. None where something else is there, a number is
    /// beyond all floats, or there would be more than `most` values.
    pub fn read(
        &mut self,
        text: &[u8],
        at: usize,
        most: usize,
        values: &mut Vec<f64>,
    ) -> Option<usize> {
        let before = values.len();
        let end = match &mut self.way {
            _ if self.last <= FEW => None,
            #[cfg(target_arch = "x86_64")]
            Way::Avx512(reader) => reader.row(text, at, most, values),
            #[cfg(target_arch = "x86_64")]
            Way::Avx2(reader) => reader.row(text, at, most, values),
            Way::OneByOne => None,
        };
        let end = end.or_else(|| {
            values.truncate(before);
            one_by_one(text, at, most, values)
        });
        self.last = values.len() - before;
        end
    }
}

/// As [`Rows::read`], on every processor.
pub(super) fn one_by_one(
    text: &[u8],
    mut at: usize,
    most: usize,
    values: &mut Vec<f64>,
) -> Option<usize> {
    loop {
        let (value, after, is_last) = member(text, at)?;
        if values.len() >= most {
            return None;
        }
        values.push(value);
        at = after;
        if is_last {
            return Some(at);
        }
    }
}

/// The number at `at`, white space around it, the index after the comma or bracket that follows, and
/// whether that is a bracket.
#[inline(always)]
fn member(text: &[u8], at: usize) -> Option<(f64, usize, bool)> {
    let (value, end) = number(text, space(text, at))?;
    let end = space(text, end);
    match text.get(end)? {
        b',' => Some((value, end + 1, false)),
        b']' => Some((value, end + 1, true)),
        _ => None,
    }
}

/// The first index from `at` on that is not white space.
#[inline(always)]
pub(super) fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// The JSON number at `at`, as the nearest float, and the index after it. None where there is no
/// such number, or one beyond all floats.
#[inline(never)]
pub(super) fn number(text: &[u8], at: usize) -> Option<(f64, usize)> {
    let negative = text.get(at) == Some(&b'-');
    let start = at + usize::from(negative);
    let found = match window_in(text, start) {
        Some(window) => usual(window),
        None => usual(&window_at_an_end(text, start)),
    };
    if let Some((value, length)) = found {
        return Some((if negative { -value } else { value }, start + length));
    }
    let end = end_of_number(text, at)?;
    let value: f64 = str::from_utf8(&text[at..end]).ok()?.parse().ok()?;
    value.is_finite().then_some((value, end))
}

/// The JSON number at `at` as an integer, and the index after it. None where it is something else, or
/// has a sign or more than [`MOST_INTEGER_DIGITS`].
pub(super) fn integer(text: &[u8], at: usize) -> Option<(i64, usize)> {
    let rest = text.get(at..)?;
    let (value, digits) = match rest.first_chunk() {
        Some(window) => whole(window),
        None => {
            let mut window = [b' '; size_of::<eights::Bytes>()];
            window[..rest.len()].copy_from_slice(rest);
            whole(&window)
        }
    }?;
    Some((value, at + digits))
}

/// The index after the JSON number at `at`; none where there is none.
pub(super) fn end_of_number(text: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| {
        let rest = text.get(from..)?;
        let count = rest
            .iter()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(rest.len());
        (count > 0).then_some(from + count)
    };
    let mut end = at + usize::from(text.get(at) == Some(&b'-'));
    end = match text.get(end)? {
        b'0' => end + 1,
        _ => digits(end)?,
    };
    if text.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(end) {
        end += 1;
        end += usize::from(matches!(text.get(end), Some(b'+' | b'-')));
        end = digits(end)?;
    }
    Some(end)
}

/// How many bytes before a number are looked at, and masked away.
const BEFORE: usize = size_of::<eights::Bytes>();

/// A number's surroundings: it starts at [`BEFORE`].
type Window = [u8; 72];

#[inline(always)]
fn window_in(text: &[u8], at: usize) -> Option<&Window> {
    text.get(at.checked_sub(BEFORE)?..)?.first_chunk()
}

/// The window of a number near an end of the text, with spaces for what is not there.
fn window_at_an_end(text: &[u8], at: usize) -> Window {
    let mut window = [b' '; size_of::<Window>()];
    let before = at.min(BEFORE);
    let after = text.len().saturating_sub(at).min(window.len() - BEFORE);
    window[BEFORE - before..BEFORE + after].copy_from_slice(&text[at - before..at + after]);
    window
}

/// A number as floats are usually printed, without a sign, and its length; none for any other.
#[inline(always)]
fn usual(window: &Window) -> Option<(f64, usize)> {
    const FIRST: usize = BEFORE;
    let digit = |at: usize| u64::from(window[at] ^ b'0');
    let (whole, point, start) = if window[FIRST + 1] == b'.' {
        (digit(FIRST), true, FIRST + 2)
    } else if digit(FIRST + 1) > 9 {
        (digit(FIRST), false, FIRST + 1)
    } else if window[FIRST + 2] == b'.' && digit(FIRST) != 0 {
        (10 * digit(FIRST) + digit(FIRST + 1), true, FIRST + 3)
    } else {
        return None;
    };
    let fraction = window[start..].first_chunk()?;
    let places = eights::leading(fraction);
    if digit(FIRST) > 9 || point != (places > 0) || places > MOST_PLACES {
        return None;
    }
    let end = start + places;
    let (exponent, exponent_length) = negative_exponent(*window[end..].first_chunk()?);
    let length = start - FIRST + eights::ends(fraction, places + exponent_length)?;

    let [high, middle, low] = eights::last(window[end - BEFORE..].first_chunk()?, places);
    let scale = places + exponent;
    let fits = high < 1844 && (whole == 0 || places <= MOST_PLACES_BESIDE_A_WHOLE);
    if !(fits && scale < INVERSES.len()) {
        return None;
    }
    let w = whole * POWERS[places] + high * 10_u64.pow(16) + middle * 10_u64.pow(8) + low;
    Some((nearest(w, scale), length))
}

/// Digits of an integer that every integer type holds.
const MOST_INTEGER_DIGITS: usize = 18;

/// An integer without a sign, and how many digits it has; none for any other number.
#[inline(always)]
fn whole(window: &eights::Bytes) -> Option<(i64, usize)> {
    let digits = eights::ends(window, eights::leading(window))?;
    let has_leading_zero = window[0] == b'0' && digits > 1;
    if digits == 0 || digits > MOST_INTEGER_DIGITS || has_leading_zero {
        return None;
    }
    let value = match window.get(16..digits) {
        None => eights::first(window, digits),
        Some(rest) => rest.iter().fold(eights::first(window, 16), |value, digit| {
            10 * value + u64::from(digit ^ b'0')
        }),
    };
    Some((value.cast_signed(), digits))
}

/// The exponent in front of `tail`, if it is negative and of one or two digits, without its sign;
/// and its length. Both 0 if there is none. Numbers with and without exponents come in no order, so
/// there is no branch here.
#[inline(always)]
fn negative_exponent(tail: [u8; 4]) -> (usize, usize) {
    let [letter, sign, tens, ones] = tail;
    let (tens, ones) = (usize::from(tens ^ b'0'), usize::from(ones ^ b'0'));
    let there = (letter | 0x20 == b'e') & (sign == b'-') & (tens <= 9);
    let two = usize::from(ones <= 9);
    let exponent = tens + (two.wrapping_neg() & (9 * tens + ones));
    let mask = usize::from(there).wrapping_neg();
    (exponent & mask, (3 + two) & mask)
}

/// The most digits after the point that [`eights::leading`] sees the end of.
const MOST_PLACES: usize = 23;

/// 99 · 10^17 and what follows the point are below 2^64.
const MOST_PLACES_BESIDE_A_WHOLE: usize = 17;

/// Powers of ten; none where the whole must be 0.
static POWERS: [u64; MOST_PLACES + 1] = {
    let mut powers = [0; MOST_PLACES + 1];
    let mut places = 0;
    while places <= MOST_PLACES_BESIDE_A_WHOLE {
        powers[places] = 10_u64.pow(places as u32);
        places += 1;
    }
    powers
};

/// w · 10^-scale, rounded to the nearest float, for a scale below 55: 0, or far from the smallest
/// normal float.
///
/// There are no ties to be looked after. Halfway between two floats w is at least 2^53 · 5^scale: more
/// than 64 bits from a scale of 5 on; and with a scale of 4 or less it has at most six digits.
///
/// Lemire, "Number parsing at a gigabyte per second" (2021), with the proof of Mushtak and Lemire,
/// "Fast number parsing without fallback" (2023), that 128 bits of 10^-scale are always enough.
#[inline(always)]
fn nearest(w: u64, scale: usize) -> f64 {
    let shift = w.leading_zeros() & 63;
    let normal = w << shift;
    let inverse = INVERSES[scale];
    let product = u128::from(normal) * (inverse >> 64);
    // Below the bits that are kept, all ones: the other half of the inverse may carry into them.
    let product = if (product >> 64) & 0x1ff == 0x1ff {
        product + ((u128::from(normal) * (inverse & u128::from(u64::MAX))) >> 64)
    } else {
        product
    };
    let high = (product >> 64) as u64;
    let upper = high >> 63;
    // 53 bits and one to round by.
    let dropped = upper + 9;
    let mantissa = high >> dropped;
    let mantissa = (mantissa + (mantissa & 1)) >> 1;
    // ⌊-scale · log2 10⌋, exact in this range.
    let power = (-(scale as i64) * 217_706) >> 16;
    let exponent = power + 63 + upper as i64 - i64::from(shift) + 1023;
    // The mantissa's top bit adds one to the exponent; so does a carry out of it.
    let bits = ((exponent as u64).wrapping_sub(1) << 52).wrapping_add(mantissa);
    f64::from_bits(if w == 0 { 0 } else { bits })
}

/// 128 bits of 10^-scale, without its power of two: 5^-scale in [2^127, 2^128). Cut off, but for
/// those up to 27, which are the next larger, as in the paper.
static INVERSES: [u128; 55] = {
    let mut inverses = [1 << 127; 55];
    let mut scale = 1;
    while scale < inverses.len() {
        let divisor = 5_u128.pow(scale as u32);
        // 2^k / 5^scale by long division, until the quotient has 128 bits.
        let (mut quotient, mut rest) = (0_u128, 1_u128);
        while quotient >> 127 == 0 {
            rest <<= 1;
            quotient <<= 1;
            if rest >= divisor {
                rest -= divisor;
                quotient |= 1;
            }
        }
        inverses[scale] = if scale <= 27 { quotient + 1 } else { quotient };
        scale += 1;
    }
    inverses
};
