//! What a diagnosis is made from.

use crate::alert::event::ClassShift;
use crate::baseline::Spread;
use crate::baseline::yardstick::Yardstick;
use crate::observation::{Millis, Reason, StreamKey};
use crate::window::measures::{Measure, Measures};

/// What is known of a window beside its baseline.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub stream: &'a StreamKey,
    pub measures: &'a Measures,
    pub yardstick: Option<&'a Yardstick>,
    /// From [`class_shifts`](super::class_shifts).
    pub classes: &'a [ClassShift],
    /// How much event time the window covers; none where the stream began within it.
    pub length_ms: Option<Millis>,
    /// How many of the window's records were refused for which reason, where that is known.
    pub rejections: &'a [(Reason, u64)],
    /// The largest first.
    pub segments: &'a [SegmentShare],
    pub ensemble: Option<Ensemble>,
    /// Least and most, in [0, 1].
    pub estimated_accuracy: Option<(f64, f64)>,
    /// Of a rule with a budget: what its evidence is made of, as `entropy up`.
    pub channel: Option<&'a str>,
}

/// How much of a shift goes with one value of a tag.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentShare {
    pub tag: String,
    pub value: String,
    /// In [0, 1].
    pub explained: f64,
}

/// The two parts of an ensemble's entropy, in bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ensemble {
    /// Mean entropy of the members: they agree that the record is uncertain.
    pub expected_entropy: Reading,
    /// The rest: each may be certain, of another class.
    pub disagreement: Reading,
}

/// A measure of the window beside the baseline's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    pub before: f64,
    pub now: f64,
    /// Over the baseline's back-to-back windows.
    pub spread: Option<Spread>,
}

impl Reading {
    /// None where the window or the baseline does not have the measure.
    pub fn of(measures: &Measures, yardstick: &Yardstick, measure: Measure) -> Option<Self> {
        Some(Self {
            before: yardstick.own.get(measure)?,
            now: measures.get(measure)?,
            spread: yardstick.learnt().spread.get(&measure).copied(),
        })
    }

    pub fn rise(&self) -> f64 {
        self.now - self.before
    }
}
