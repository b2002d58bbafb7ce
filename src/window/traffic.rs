//! How many records of a model were refused, over the same stretch of event time as its windows.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::WindowSpec;
use crate::observation::{Millis, can_be_time};

/// Records and rejections of a whole model, by closed cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    cells: VecDeque<Counts>,
    records: u64,
    rejected: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Counts {
    end_ms: Millis,
    records: u64,
    rejected: u64,
}

impl Traffic {
    /// Adds to the cell that ends at `end_ms`, the newest so far, and forgets what left the window.
    pub fn close(&mut self, spec: &WindowSpec, end_ms: Millis, records: u64, rejected: u64) {
        if records + rejected > 0 {
            self.cells.push_back(Counts {
                end_ms,
                records,
                rejected,
            });
            self.records += records;
            self.rejected += rejected;
        }
        while let Some(oldest) = self.cells.front().copied() {
            let gone = match *spec {
                WindowSpec::Time { length_ms, .. } => oldest.end_ms <= end_ms - length_ms,
                WindowSpec::Count { records, .. } => {
                    self.total() - oldest.records - oldest.rejected >= records
                }
            };
            if !gone {
                break;
            }
            self.cells.pop_front();
            self.records -= oldest.records;
            self.rejected -= oldest.rejected;
        }
    }

    /// Whether the sums are those of the cells, and no cell is before or after all time.
    pub fn is_sound(&self) -> bool {
        let sum = |count: fn(&Counts) -> u64| {
            let mut counts = self.cells.iter().map(count);
            counts.try_fold(0_u64, |sum, count| sum.checked_add(count))
        };
        let total = self.records.checked_add(self.rejected);
        sum(|cell| cell.records) == Some(self.records)
            && sum(|cell| cell.rejected) == Some(self.rejected)
            && total.is_some_and(|total| total < 1 << 62)
            && self.cells.iter().all(|cell| can_be_time(cell.end_ms))
    }

    /// Records and rejections in the window.
    pub fn total(&self) -> u64 {
        self.records + self.rejected
    }

    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Rejections per record that came, in [0, 1]; none when nothing came.
    pub fn rejected_share(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.rejected as f64 / self.total() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_that_are_not_those_of_the_cells_are_not_sound() {
        let window = WindowSpec::Time {
            length_ms: 20,
            slide_ms: 10,
        };
        let mut traffic = Traffic::default();
        for end_ms in [10, 20, 30, 40] {
            traffic.close(&window, end_ms, 3, 1);
            assert!(traffic.is_sound());
        }
        // Closing would take away more than there is.
        traffic.records -= 1;
        assert!(!traffic.is_sound());
    }
}
