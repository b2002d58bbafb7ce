//! Event times as producers write them: RFC 3339 text, or a number since the Unix epoch whose unit
//! is told by its magnitude.
//!
//! | magnitude | unit | as that unit |
//! | --- | --- | --- |
//! | below 1e11 | seconds | to the year 5138 |
//! | below 1e14 | milliseconds | from 1973 to 5138 |
//! | below 1e17 | microseconds | from 1973 to 5138 |
//! | else | nanoseconds | from 1973 |
//!
//! What is finer than a millisecond is cut off, towards the past: a time belongs to the pane in
//! which it began. Times outside the years -9999 to 9999 are none: they could not be written.

use jiff::Timestamp;

use crate::observation::Millis;

const SECONDS_BELOW: u128 = 100_000_000_000;
const MILLIS_BELOW: u128 = 100_000_000_000_000;
const MICROS_BELOW: u128 = 100_000_000_000_000_000;

/// The time, if it is one that can be written.
pub(super) fn from_millis(ms: Millis) -> Option<Millis> {
    Timestamp::from_millisecond(ms).is_ok().then_some(ms)
}

/// RFC 3339 with any offset.
pub(super) fn from_text(text: &str) -> Option<Millis> {
    let time: Timestamp = text.parse().ok()?;
    let ms = Millis::try_from(time.as_nanosecond().div_euclid(1_000_000)).ok();
    ms.and_then(from_millis)
}

#[inline]
pub(super) fn from_integer(value: i128) -> Option<Millis> {
    let ms = match value.unsigned_abs() {
        0..SECONDS_BELOW => value * 1000,
        SECONDS_BELOW..MILLIS_BELOW => value,
        MILLIS_BELOW..MICROS_BELOW => value.div_euclid(1_000),
        _ => value.div_euclid(1_000_000),
    };
    Millis::try_from(ms).ok().and_then(from_millis)
}

/// `value` is finite. What was a whole millisecond in decimal seconds, as `1704164645.678`, comes out
/// as that one: the product rounds away what the float is off.
pub(super) fn from_float(value: f64) -> Option<Millis> {
    let magnitude = value.abs();
    let ms = if magnitude < SECONDS_BELOW as f64 {
        value * 1e3
    } else if magnitude < MILLIS_BELOW as f64 {
        value
    } else if magnitude < MICROS_BELOW as f64 {
        value / 1e3
    } else {
        value / 1e6
    };
    // The cast saturates, and both its ends are out of range.
    from_millis(ms.floor() as Millis)
}
