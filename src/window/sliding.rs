//! The panes of one stream, and the window over them.
//!
//! Event time is cut into cells ([`WindowSpec::cell_ms`]). When the watermark passes a cell's end,
//! the cell closes: its records become a pane (time windows) or join the pane that is filling
//! (count windows), panes that left the window are handed back, and a window is due.
//!
//! The window's sum is kept by adding the pane that comes and subtracting the one that goes. Sums
//! are exact integers, so that is the same, bit for bit, as merging the panes anew.
//!
//! One trace, with `length = 3` and `slide = 1`, records a b in cell 0, none in 1, c in 2:
//! cell 0 closes: window [-2, 1) of a b; cell 1: [-1, 2) of a b; cell 2: [0, 3) of a b c;
//! cell 3: pane 0 leaves, window [1, 4) of c; cell 5: pane 2 leaves, nothing is left to emit.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::WindowSpec;
use crate::observation::Millis;
use crate::summary::Summary;

/// What `limits.classes` may be at most.
const MOST_CLASSES: usize = 10_000_000;

/// The records of a stream in `[start_ms, end_ms)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pane {
    pub start_ms: Millis,
    pub end_ms: Millis,
    /// How many of the records came after their window had closed.
    pub late: u64,
    pub summary: Summary,
}

impl Pane {
    /// Takes `other` in; the pane then covers both.
    pub fn absorb(&mut self, other: &Self) {
        self.start_ms = self.start_ms.min(other.start_ms);
        self.end_ms = self.end_ms.max(other.end_ms);
        self.late += other.late;
        self.summary.merge(&other.summary);
    }
}

/// The sliding window of one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Sliding {
    classes: usize,
    /// Closed panes inside the window, oldest first.
    panes: VecDeque<Pane>,
    /// Count windows: the pane that has not its records yet.
    filling: Option<Pane>,
    /// The stream's first record, from the first pane that closed.
    first_ms: Option<Millis>,
    /// Of the panes, as is `late`: not stored, since they follow from them.
    #[serde(skip_serializing)]
    sum: Summary,
    #[serde(skip_serializing)]
    late: u64,
}

/// A sliding window as it is stored.
#[derive(Deserialize)]
struct Stored {
    classes: usize,
    panes: VecDeque<Pane>,
    filling: Option<Pane>,
    first_ms: Option<Millis>,
}

impl TryFrom<Stored> for Sliding {
    type Error = &'static str;

    /// Fails where the panes, or the window itself, cannot have so many classes.
    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        let Stored {
            classes,
            panes,
            filling,
            first_ms,
        } = stored;
        let mut summaries = panes.iter().chain(&filling).map(|pane| &pane.summary);
        if classes > MOST_CLASSES || summaries.any(|summary| summary.classes() != classes) {
            return Err("a window's classes are not those of its panes");
        }
        if panes.iter().any(|pane| pane.late > pane.summary.records()) {
            return Err("more records of a pane were late than there are");
        }
        let mut sliding = Self {
            filling,
            first_ms,
            ..Self::new(classes)
        };
        for pane in panes {
            sliding.push(pane);
        }
        Ok(sliding)
    }
}

/// A window that is due.
#[derive(Debug)]
pub struct Window<'a> {
    pub start_ms: Millis,
    /// Exclusive.
    pub end_ms: Millis,
    pub late: u64,
    /// A whole length lies behind the stream's first record.
    pub complete: bool,
    pub summary: &'a Summary,
}

impl Sliding {
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            panes: VecDeque::new(),
            filling: None,
            first_ms: None,
            sum: Summary::new(classes),
            late: 0,
        }
    }

    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The stream's first record, from the first pane that closed.
    pub fn first_ms(&self) -> Option<Millis> {
        self.first_ms
    }

    /// Whether no closed pane is in the window: nothing is due until records come.
    pub fn is_empty(&self) -> bool {
        self.panes.is_empty()
    }

    pub fn panes(&self) -> impl Iterator<Item = &Pane> {
        self.panes.iter().chain(&self.filling)
    }

    /// The panes of the window, oldest first.
    pub fn closed(&self) -> impl DoubleEndedIterator<Item = &Pane> {
        self.panes.iter()
    }

    /// All records of the window.
    pub fn sum(&self) -> &Summary {
        &self.sum
    }

    /// Start of the oldest pane held; a record before it can no longer count anywhere.
    pub fn oldest_ms(&self) -> Option<Millis> {
        self.panes().next().map(|pane| pane.start_ms)
    }

    /// The newest end of a pane held.
    pub fn newest_ms(&self) -> Option<Millis> {
        self.panes().last().map(|pane| pane.end_ms)
    }

    /// Lets records in whose pane has closed (time windows): they count from the next window on.
    /// The pane must lie inside the window that is about to be due.
    pub fn join(&mut self, pane: Pane) {
        self.sum.merge(&pane.summary);
        self.late += pane.late;
        let at = self
            .panes
            .partition_point(|held| held.start_ms < pane.start_ms);
        match self.panes.get_mut(at) {
            Some(held) if held.start_ms == pane.start_ms => held.absorb(&pane),
            _ => self.panes.insert(at, pane),
        }
    }

    /// Closes the cell that ends at `end_ms` with the records it holds, if any. Panes that leave
    /// the window go to `gone`, oldest first. Gives the window that is due.
    pub fn close(
        &mut self,
        spec: &WindowSpec,
        end_ms: Millis,
        cell: Option<Pane>,
        gone: &mut Vec<Pane>,
    ) -> Option<Window<'_>> {
        if let (None, Some(cell)) = (self.first_ms, &cell) {
            self.first_ms = cell.summary.span().map(|(first, _)| first);
        }
        match *spec {
            WindowSpec::Time { length_ms, .. } => self.close_time(length_ms, end_ms, cell, gone),
            WindowSpec::Count { records, slide, .. } => {
                self.close_count(records, slide, cell?, gone)
            }
        }
    }

    fn close_time(
        &mut self,
        length_ms: Millis,
        end_ms: Millis,
        cell: Option<Pane>,
        gone: &mut Vec<Pane>,
    ) -> Option<Window<'_>> {
        if let Some(cell) = cell {
            self.push(cell);
        }
        let start_ms = end_ms - length_ms;
        while self
            .panes
            .front()
            .is_some_and(|pane| pane.start_ms < start_ms)
        {
            gone.extend(self.pop());
        }
        if self.sum.records() == 0 {
            return None;
        }
        let complete = self
            .first_ms
            .is_some_and(|first| end_ms - first >= length_ms);
        Some(Window {
            start_ms,
            end_ms,
            late: self.late,
            complete,
            summary: &self.sum,
        })
    }

    fn close_count(
        &mut self,
        records: u64,
        slide: u64,
        cell: Pane,
        gone: &mut Vec<Pane>,
    ) -> Option<Window<'_>> {
        match &mut self.filling {
            Some(pane) => pane.absorb(&cell),
            None => self.filling = Some(cell),
        }
        let pane = self
            .filling
            .take_if(|pane| pane.summary.records() >= slide)?;
        let end_ms = pane.end_ms;
        self.push(pane);
        while self
            .panes
            .front()
            .is_some_and(|oldest| self.sum.records() - oldest.summary.records() >= records)
        {
            gone.extend(self.pop());
        }
        Some(Window {
            start_ms: self.panes.front().map_or(end_ms, |pane| pane.start_ms),
            end_ms,
            late: self.late,
            complete: self.sum.records() >= records,
            summary: &self.sum,
        })
    }

    fn push(&mut self, pane: Pane) {
        self.sum.merge(&pane.summary);
        self.late += pane.late;
        self.panes.push_back(pane);
    }

    fn pop(&mut self) -> Option<Pane> {
        let pane = self.panes.pop_front()?;
        self.sum.subtract(&pane.summary);
        self.late -= pane.late;
        Some(pane)
    }
}
