//! Panes, watermarks, sliding windows, and the measures of a window.

pub mod measures;

use serde::{Deserialize, Serialize};

/// How a model's windows are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowSpec {
    /// Windows of `length_ms` of event time, one each `slide_ms`; length is a multiple of slide.
    Time { length_ms: i64, slide_ms: i64 },
    /// Windows of at least `records`, one each `slide` records or more; event time is cut into
    /// slices of `slice_ms`.
    Count { records: u64, slide: u64, slice_ms: i64 },
}

impl WindowSpec {
    /// Width of the cells that event time is cut into: the slide, or a count window's slice.
    pub fn cell_ms(&self) -> i64 {
        match *self {
            Self::Time { slide_ms, .. } => slide_ms,
            Self::Count { slice_ms, .. } => slice_ms,
        }
    }
}
