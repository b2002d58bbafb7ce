//! What is learnt from healthy traffic, and its versions.

pub mod learner;
pub mod yardstick;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evidence::fit::Fit;
use crate::observation::{Millis, StreamKey};
use crate::summary::Summary;
use crate::window::WindowSpec;
use crate::window::measures::Measure;

/// One stored version of a baseline. A version never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    pub name: String,
    /// From 1, in the order of storing; 0 until stored.
    pub version: u32,
    /// The model that it was learnt for.
    pub model: String,
    pub source: Source,
    /// By the wall clock.
    pub created_ms: Millis,
    /// Whose back-to-back windows gave the spreads.
    pub window: WindowSpec,
    pub whole: Learnt,
    pub streams: BTreeMap<StreamKey, Learnt>,
}

/// How a baseline came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Learnt,
    Captured,
    Imported,
}

/// What was learnt of one stream, or of all together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    pub summary: Summary,
    /// As many as the summary has classes.
    pub classes: Vec<String>,
    /// How many panes with records it was learnt from.
    pub panes: u64,
    /// Of each measure that needs no baseline, over back-to-back windows.
    pub spread: BTreeMap<Measure, Spread>,
    /// What evidence is weighed by; none where it was learnt by a build that had none, or there is
    /// nothing to weigh.
    pub fit: Option<Fit>,
}

/// Mean and standard deviation of a measure over windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub windows: u64,
    pub mean: f64,
    /// Of the sample (n - 1); 0 below two windows.
    pub sd: f64,
}

/// Least span, and least number of panes, of a baseline that is not provisional. A day, nearly: the
/// newest record of a day is a little before its end.
const FIRM_SPAN_MS: Millis = 24 * 60 * 60 * 1000 / 1000 * 999;
const FIRM_PANES: u64 = 200;

impl Baseline {
    /// The stream's part; the whole's where it has none.
    pub fn part(&self, stream: &StreamKey) -> &Learnt {
        self.streams.get(stream).unwrap_or(&self.whole)
    }

    /// Whether the whole is.
    pub fn is_provisional(&self) -> bool {
        self.whole.is_provisional()
    }
}

impl Learnt {
    /// Too short to stand for the traffic: shorter than a day, or under 200 panes.
    pub fn is_provisional(&self) -> bool {
        let span = self.summary.span();
        let span_ms = span.map_or(0, |(first, last)| last.saturating_sub(first));
        span_ms < FIRM_SPAN_MS || self.fit.as_ref().map_or(self.panes, |fit| fit.panes) < FIRM_PANES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: Millis = 24 * 60 * 60 * 1000;

    /// Of two records, so far apart.
    fn learnt(span_ms: Millis, panes: u64) -> Learnt {
        let mut summary = Summary::new(2);
        summary.add(&[0.5, 0.5], 0);
        summary.add(&[0.5, 0.5], span_ms);
        Learnt {
            summary,
            classes: vec!["no".to_owned(), "yes".to_owned()],
            panes,
            spread: BTreeMap::new(),
            fit: None,
        }
    }

    /// `learn = "24h"` ends before a record of the 25th hour.
    #[test]
    fn a_day_is_not_shorter_than_a_day_because_its_last_record_is_before_its_end() {
        assert!(!learnt(DAY_MS - 10_000, 8640).is_provisional());
        assert!(learnt(DAY_MS - 3_600_000, 8640).is_provisional());
        assert!(learnt(DAY_MS - 10_000, 199).is_provisional());
    }
}
