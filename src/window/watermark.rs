//! How far event time has come in one partition, and in a model.
//!
//! A partition's watermark is its newest event time less the lateness. The model's is the least
//! over partitions that are not idle. Which window a late record joins is decided by its own
//! partition's watermark, at its place in the partition: that never depends on how partitions
//! interleave, on batches or on restarts, and since the model's watermark is never ahead of it
//! (but for idle partitions), the window is always still open when the record reaches it.

use serde::{Deserialize, Serialize};

use crate::observation::Millis;

/// Index of a cell: cell c is `[c * cell_ms, (c + 1) * cell_ms)`, aligned to the epoch.
pub type Cell = i64;

/// The cell that `time_ms` is in.
pub fn cell_of(time_ms: Millis, cell_ms: Millis) -> Cell {
    time_ms.div_euclid(cell_ms)
}

/// Event time in one partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartitionTime {
    /// The newest event time seen.
    newest_ms: Option<Millis>,
    /// Wall clock: since when the partition has given no event time while it has nothing more to
    /// give. Not part of a checkpoint: after a restart the partition has to show it again.
    #[serde(skip)]
    waiting_since_ms: Option<Millis>,
    /// It has been read to its end since the start of the process.
    #[serde(skip)]
    caught_up: bool,
}

impl PartitionTime {
    pub fn newest_ms(&self) -> Option<Millis> {
        self.newest_ms
    }

    pub fn caught_up(&self) -> bool {
        self.caught_up
    }

    /// The first cell that is open at this place of the partition; none before any record.
    pub fn first_open(&self, lateness_ms: Millis, cell_ms: Millis) -> Option<Cell> {
        self.newest_ms
            .map(|newest| cell_of(newest.saturating_sub(lateness_ms), cell_ms))
    }

    /// A record of this event time was read.
    pub fn advance(&mut self, time_ms: Millis) {
        self.newest_ms = Some(self.newest_ms.map_or(time_ms, |newest| newest.max(time_ms)));
        self.waiting_since_ms = None;
    }

    /// The partition has, at `now_ms` by the wall clock, nothing more to give, or only records
    /// without a usable time.
    pub fn nothing_to_give(&mut self, now_ms: Millis, at_end: bool) {
        self.caught_up |= at_end;
        self.waiting_since_ms.get_or_insert(now_ms);
    }

    pub fn is_idle(&self, now_ms: Millis, idle_after_ms: Millis) -> bool {
        self.waiting_since_ms
            .is_some_and(|since| now_ms - since >= idle_after_ms)
    }
}

/// How far a model's event time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watermark {
    /// A partition that may still give records has given none: nothing can close.
    Unknown,
    /// Everything before this has been seen.
    At(Millis),
    /// Every partition is idle: the cell of the newest record may close, and nothing after it.
    Standstill { newest_ms: Option<Millis> },
}

impl Watermark {
    /// The watermark over partitions, by the wall clock `now_ms`.
    pub fn over<'a>(
        partitions: impl Iterator<Item = &'a PartitionTime>,
        now_ms: Millis,
        idle_after_ms: Millis,
        lateness_ms: Millis,
    ) -> Self {
        let mut least: Option<Millis> = None;
        let mut newest: Option<Millis> = None;
        for partition in partitions {
            newest = newest.max(partition.newest_ms);
            if partition.is_idle(now_ms, idle_after_ms) {
                continue;
            }
            let Some(time) = partition.newest_ms else {
                return Self::Unknown;
            };
            let time = time.saturating_sub(lateness_ms);
            least = Some(least.map_or(time, |least| least.min(time)));
        }
        match least {
            Some(time) => Self::At(time),
            None => Self::Standstill { newest_ms: newest },
        }
    }

    /// Cells before this one close.
    pub fn closes_before(self, cell_ms: Millis) -> Option<Cell> {
        match self {
            Self::Unknown | Self::Standstill { newest_ms: None } => None,
            Self::At(time) => Some(cell_of(time, cell_ms)),
            Self::Standstill {
                newest_ms: Some(newest),
            } => Some(cell_of(newest, cell_ms) + 1),
        }
    }
}
