//! How many records of a model were refused, over the same stretch of event time as its windows.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::WindowSpec;
use crate::observation::{Millis, Reason, can_be_time};

/// Refused records, by reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Refusals(BTreeMap<Reason, u64>);

impl Refusals {
    pub fn add(&mut self, reason: Reason) {
        *self.0.entry(reason).or_default() += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        for (&reason, count) in &other.0 {
            *self.0.entry(reason).or_default() += count;
        }
    }

    fn subtract(&mut self, other: &Self) {
        for (reason, count) in &other.0 {
            if let Some(held) = self.0.get_mut(reason) {
                *held -= count;
            }
        }
        self.0.retain(|_, count| *count > 0);
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The same; none where it is beyond 64 bits.
    pub fn checked_total(&self) -> Option<u64> {
        let mut counts = self.0.values();
        counts.try_fold(0_u64, |sum, &count| sum.checked_add(count))
    }

    /// By reason.
    pub fn counts(&self) -> Vec<(Reason, u64)> {
        self.0
            .iter()
            .map(|(&reason, &count)| (reason, count))
            .collect()
    }
}

/// Records and rejections of a whole model, by closed cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    cells: VecDeque<Counts>,
    records: u64,
    refusals: Refusals,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Counts {
    end_ms: Millis,
    records: u64,
    refusals: Refusals,
}

impl Traffic {
    /// Adds to the cell that ends at `end_ms`, the newest so far, and forgets what left the window.
    pub fn close(&mut self, spec: &WindowSpec, end_ms: Millis, records: u64, refusals: Refusals) {
        if records + refusals.total() > 0 {
            self.records += records;
            self.refusals.merge(&refusals);
            self.cells.push_back(Counts {
                end_ms,
                records,
                refusals,
            });
        }
        while let Some(oldest) = self.cells.front() {
            let gone = match *spec {
                WindowSpec::Time { length_ms, .. } => oldest.end_ms <= end_ms - length_ms,
                WindowSpec::Count { records, .. } => {
                    self.total() - oldest.records - oldest.refusals.total() >= records
                }
            };
            if !gone {
                break;
            }
            self.records -= oldest.records;
            self.refusals.subtract(&oldest.refusals);
            self.cells.pop_front();
        }
    }

    /// Whether the sums are those of the cells, and no cell is before or after all time.
    pub fn is_sound(&self) -> bool {
        let mut counts = self.cells.iter().map(|cell| cell.records);
        let records = counts.try_fold(0_u64, |sum, count| sum.checked_add(count));
        let totals = self.cells.iter().map(|cell| cell.refusals.checked_total());
        let mut totals = totals.chain([self.refusals.checked_total(), Some(self.records)]);
        let all = totals.try_fold(0_u64, |sum, total| sum.checked_add(total?));
        records == Some(self.records)
            && all.is_some_and(|all| all < 1 << 62)
            && {
                let mut refusals = Refusals::default();
                self.cells
                    .iter()
                    .for_each(|cell| refusals.merge(&cell.refusals));
                refusals == self.refusals
            }
            && self.cells.iter().all(|cell| can_be_time(cell.end_ms))
    }

    /// Records and rejections in the window.
    pub fn total(&self) -> u64 {
        self.records + self.refusals.total()
    }

    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Rejections per record that came, in [0, 1]; none when nothing came.
    pub fn rejected_share(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.refusals.total() as f64 / self.total() as f64)
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
            let mut refusals = Refusals::default();
            refusals.add(if end_ms < 30 {
                Reason::Empty
            } else {
                Reason::SumOff
            });
            traffic.close(&window, end_ms, 3, refusals);
            assert!(traffic.is_sound());
        }
        // Two cells of ten are in the window.
        assert_eq!(traffic.refusals().counts(), [(Reason::SumOff, 2)]);
        assert_eq!(traffic.rejected_share(), Some(0.25));
        // Closing would take away more than there is.
        traffic.records -= 1;
        assert!(!traffic.is_sound());
    }
}
