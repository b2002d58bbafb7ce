//! The one place that reads a clock.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::observation::Millis;

/// For durations: never goes back.
pub use std::time::Instant;

/// Time as an instance of the daemon knows it.
pub trait Clock {
    fn now(&self) -> Instant;

    /// As [`now_ms`].
    fn now_ms(&self) -> Millis;

    fn sleep(&self, time: Duration);
}

/// The machine's clock.
pub struct Machine;

impl Clock for Machine {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn now_ms(&self) -> Millis {
        now_ms()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// Milliseconds since the Unix epoch by the wall clock; before it, negative.
pub fn now_ms() -> Millis {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => Millis::try_from(after.as_millis()).unwrap_or(Millis::MAX),
        Err(before) => -Millis::try_from(before.duration().as_millis()).unwrap_or(Millis::MAX),
    }
}
