//! The one place that reads a clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::observation::Millis;

/// Milliseconds since the Unix epoch by the wall clock; before it, negative.
pub fn now_ms() -> Millis {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => Millis::try_from(after.as_millis()).unwrap_or(Millis::MAX),
        Err(before) => -Millis::try_from(before.duration().as_millis()).unwrap_or(Millis::MAX),
    }
}

/// For durations: never goes back.
pub use std::time::Instant;
