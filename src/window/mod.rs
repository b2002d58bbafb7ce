//! Panes, watermarks, sliding windows, the measures of a window and what its segments say.

pub mod measures;
pub mod segments;
pub mod sliding;
pub mod traffic;
pub mod watermark;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

/// How a model's windows are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowSpec {
    /// Windows of `length_ms` of event time, one each `slide_ms`; length is a multiple of slide.
    Time { length_ms: i64, slide_ms: i64 },
    /// Windows of at least `records`, one each `slide` records or more; event time is cut into
    /// slices of `slice_ms`.
    Count {
        records: u64,
        slide: u64,
        slice_ms: i64,
    },
}

impl WindowSpec {
    /// Width of the cells that event time is cut into: the slide, or a count window's slice.
    pub fn cell_ms(&self) -> i64 {
        match *self {
            Self::Time { slide_ms, .. } => slide_ms,
            Self::Count { slice_ms, .. } => slice_ms,
        }
    }

    /// Panes in a full time window; none for count windows.
    pub fn panes(&self) -> Option<i64> {
        match *self {
            Self::Time {
                length_ms,
                slide_ms,
            } => Some(length_ms / slide_ms),
            Self::Count { .. } => None,
        }
    }

    /// How wide the tiles of history are: the widest divisor of the length, in whole slides, that
    /// is at most five minutes (or one slide, where that is wider). For count windows, the span
    /// after which panes are no longer gathered into one tile.
    pub fn tile_ms(&self) -> i64 {
        const MOST_MS: i64 = 5 * 60 * 1000;
        match *self {
            Self::Count { .. } => MOST_MS,
            Self::Time {
                length_ms,
                slide_ms,
            } => {
                let panes = length_ms / slide_ms;
                let most = (MOST_MS / slide_ms).clamp(1, panes);
                let widest = (1..=most).rev().find(|tile| panes % tile == 0).unwrap_or(1);
                widest * slide_ms
            }
        }
    }
}
