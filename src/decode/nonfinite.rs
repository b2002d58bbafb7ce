//! Numbers that JSON does not have: `NaN`, `Infinity`, `-Infinity`, which Python and TensorFlow
//! write, and those too large for a float, as `1e999`.
//!
//! The parser stops at one, as it should. A model that emits NaN is broken in a way of its own,
//! though, and its owner must hear that, and when it began. So after such a stop the token is
//! looked up here, and the document is read once more with every such token made a number: for its
//! time, and to know that there is nothing else wrong with it. This costs a copy of the payload, of
//! refused records only.

use std::ops::Range;
use std::str;

/// The token at the place where the parser stopped, if it is a number that is not finite. `line`
/// and `column` count from 1, columns in bytes. In a broken string it may be text; the second
/// reading stops there again.
pub(super) fn token_at(payload: &[u8], line: usize, column: usize) -> Option<&str> {
    let mut lines = payload.split_inclusive(|b| *b == b'\n');
    let before: usize = lines
        .by_ref()
        .take(line.checked_sub(1)?)
        .map(<[u8]>::len)
        .sum();
    let at = before + column.checked_sub(1)?;
    if !payload.get(at).is_some_and(is_part) {
        return None;
    }
    let start = payload[..at]
        .iter()
        .rposition(|b| !is_part(b))
        .map_or(0, |i| i + 1);
    let token = &payload[start..end_of_token(payload, at)];
    is_non_finite(token)
        .then(|| str::from_utf8(token).ok())
        .flatten()
}

/// A copy of the payload with zeros for all numbers that are not finite. Nothing moves, so places
/// in the copy are places in the original.
pub(super) fn neutralised(payload: &[u8]) -> Vec<u8> {
    let mut copy = payload.to_vec();
    let mut at = 0;
    while let Some(byte) = payload.get(at) {
        if *byte == b'"' {
            at = end_of_string(payload, at);
        } else if is_part(byte) {
            let token: Range<usize> = at..end_of_token(payload, at);
            at = token.end;
            if is_non_finite(&payload[token.clone()]) {
                copy[token.clone()].fill(b' ');
                copy[token.start] = b'0';
            }
        } else {
            at += 1;
        }
    }
    copy
}

/// The index after the string that starts at `start`.
fn end_of_string(payload: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = payload.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    payload.len()
}

/// The index after the token that `start` is in.
fn end_of_token(payload: &[u8], start: usize) -> usize {
    payload[start..]
        .iter()
        .position(|b| !is_part(b))
        .map_or(payload.len(), |n| start + n)
}

fn is_part(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(byte)
}

/// Rust's own parser knows all the spellings: any case, with a sign, `inf` and `infinity`, and
/// numbers that overflow.
fn is_non_finite(token: &[u8]) -> bool {
    let number: Option<f64> = str::from_utf8(token)
        .ok()
        .and_then(|text| text.parse().ok());
    number.is_some_and(|number| !number.is_finite())
}
