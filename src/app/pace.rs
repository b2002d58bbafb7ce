//! When the active instance ends a step, and does what is to be done now and then.

use std::time::Duration;

use super::STEP;
use crate::clock::Instant;
use crate::observation::Millis;

/// Decisions that the wall clock brings (idleness, silence) are looked for at least so often.
pub const TICK: Duration = Duration::from_secs(1);

/// The history in the store is cut to its bounds so often.
pub const TRIM: Duration = Duration::from_secs(60);

/// A checkpoint is followed by so many times what it took without one, or by [`STEP`].
const REST: u32 = 10;

/// The same while all that is read has waited in its topic: what is decided then is no news, and the time
/// is better spent on reading.
const REST_BEHIND: u32 = 50;

/// What is read so long after it was written has waited: longer than anything takes to be fetched. When it
/// was written says Kafka, or the producer's clock. One that is slow makes steps rarer, and nothing else.
const BEHIND_MS: Millis = 10_000;

/// When what was last done.
pub struct Pace {
    pub ticked: Instant,
    pub stepped: Instant,
    pub trimmed: Instant,
    /// The last checkpoint's end, and how long it took.
    checkpoint: (Instant, Duration),
    is_behind: bool,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Self {
            ticked: now,
            stepped: now,
            trimmed: now,
            checkpoint: (now, Duration::ZERO),
            is_behind: false,
        }
    }

    /// A round ended at `now_ms`: the newest of what it read was written to its topic at `written_ms`. None
    /// where nothing was read, or nothing says when it was written.
    pub fn has_read(&mut self, written_ms: Option<Millis>, now_ms: Millis) {
        self.is_behind =
            written_ms.is_some_and(|written_ms| now_ms.saturating_sub(written_ms) > BEHIND_MS);
    }

    pub fn has_checkpointed(&mut self, ended: Instant, took: Duration) {
        self.checkpoint = (ended, took);
    }

    /// Whether there may be a checkpoint: there was time enough for reading since the last, or there is
    /// no room for more of what is read.
    pub fn allows_checkpoint(&self, now: Instant, is_full: bool) -> bool {
        let (ended, took) = self.checkpoint;
        let rest = if self.is_behind { REST_BEHIND } else { REST };
        // A process that was frozen, or a disk that was: alerts and the marker do not wait so many times
        // as long.
        is_full || now.duration_since(ended) >= took.saturating_mul(rest).min(STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const NOW_MS: Millis = 1_795_428_000_000;

    /// How many milliseconds after one checkpoint the next may be, by the first so many.
    fn rest_ms(pace: &Pace, ended: Instant) -> Option<u32> {
        (0..10_000).find(|&ms| pace.allows_checkpoint(ended + ms * MS, false))
    }

    #[test]
    fn a_rest_is_ten_checkpoints_long_and_fifty_where_records_have_waited() {
        let ended = Instant::now();
        let mut pace = Pace::new(ended);
        assert_eq!(rest_ms(&pace, ended), Some(0));
        pace.has_checkpointed(ended, 7 * MS);
        assert_eq!(rest_ms(&pace, ended), Some(70));
        for (written_ms, expected) in [
            (Some(NOW_MS - 10_000), 70),
            (Some(NOW_MS - 10_001), 350),
            (Some(NOW_MS + 10_001), 70),
            (Some(Millis::MIN), 350),
            // Nothing to read.
            (None, 70),
        ] {
            pace.has_read(written_ms, NOW_MS);
            assert_eq!(rest_ms(&pace, ended), Some(expected), "{written_ms:?}");
        }
    }

    #[test]
    fn nothing_waits_longer_than_a_step_or_for_room() {
        let ended = Instant::now();
        let mut pace = Pace::new(ended);
        pace.has_checkpointed(ended, 1_000 * MS);
        assert_eq!(rest_ms(&pace, ended), Some(5_000));
        assert!(pace.allows_checkpoint(ended, true));
    }
}
