//! Text taken from records: bounded where it is kept, bounded and harmless where it is quoted; and
//! a comparison of short texts.

use std::fmt::Write as _;

/// The longest dimension value and class name, in bytes: they are keys of what is kept per stream
/// and appear in every event.
pub const MAX_TEXT_BYTES: usize = 256;

/// How much of a payload a message quotes, in bytes of the payload.
const MAX_QUOTED_BYTES: usize = 64;

/// The beginning of `text` between quotation marks, control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    let longest = text.len().min(MAX_QUOTED_BYTES);
    let end = (0..=longest)
        .rev()
        .find(|&i| text.is_char_boundary(i))
        .unwrap_or(0);
    let more = if end < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", text[..end].escape_debug())
}

/// Puts `text` into `slot`, whose memory is used again; false, with nothing kept, if it is longer
/// than [`MAX_TEXT_BYTES`].
pub(super) fn keep(slot: &mut String, text: &str) -> bool {
    slot.clear();
    let fits = text.len() <= MAX_TEXT_BYTES;
    if fits {
        slot.push_str(text);
    }
    fits
}

/// Puts an integer into `slot` as text.
pub(super) fn keep_integer(slot: &mut String, value: i128) {
    slot.clear();
    let _ = write!(slot, "{value}"); // a String takes everything
}

/// Puts a finite float into `slot` as the shortest text that gives it again, so that numbers that
/// are equal in JSON name one stream: `7.0` is `7`, as the integer is.
pub(super) fn keep_float(slot: &mut String, value: f64) {
    slot.clear();
    let _ = write!(slot, "{value:?}"); // a String takes everything
    if slot.ends_with(".0") {
        slot.truncate(slot.len() - 2);
    }
}

/// Whether two texts are the same. Short ones are compared by their first bytes and their last, which
/// overlap: without a loop.
#[inline(always)]
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    match one.len() {
        4..8 => have_same_ends::<4>(one, other),
        8..16 => have_same_ends::<8>(one, other),
        16..=32 => have_same_ends::<16>(one, other),
        _ => one == other,
    }
}

#[inline(always)]
fn have_same_ends<const N: usize>(one: &[u8], other: &[u8]) -> bool {
    one.first_chunk::<N>() == other.first_chunk() && one.last_chunk::<N>() == other.last_chunk()
}
