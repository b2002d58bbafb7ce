//! Which records are referred for review: those that are uncertain by themselves, as many as the rate
//! allows.
//!
//! A record is uncertain when its own entropy is above the line: a number of bits, or a quantile of the
//! record entropies of what its stream is measured against. Whoever answers in the model's place hears
//! of it at once, since no window is waited for.
//!
//! The rate is `records` a `period` of event time, periods aligned to the epoch. Each partition has a
//! part of it: an equal one, the first partitions one more where it does not divide, and none less than
//! one, so that only where a model has more partitions than `records` more is referred. A record takes
//! from the period in which its partition's newest event time is, itself included. So what is referred
//! is decided by nothing but the partition up to the record: neither other partitions nor batches nor
//! restarts change it, but for where a line by a quantile that is being learnt begins (below). The price
//! is that a busy partition does not get what a quiet one leaves.
//!
//! ```text
//! "3 per 1m", two partitions: 2 and 1. Uncertain records of the second:
//!   10:00:05  referred
//!   10:00:40  suppressed, and counted
//!   10:01:10  referred: another minute
//!   10:00:59  suppressed: late, it takes from the minute that has come
//! ```
//!
//! A line by quantile follows the active baseline, from the next record that is read after the
//! baseline became active; records that had been read ahead of the window with which learning ended
//! are not gone back to. Without a baseline, or with one over other classes, nothing is uncertain.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::PartitionId;
use super::spec::{ModelSpec, Rate, ReviewLine};
use super::summarise::Stream;
use crate::baseline::Baseline;
use crate::baseline::yardstick::part_for;
use crate::observation::{Millis, StreamKey, can_be_time};
use crate::window::watermark::PartitionTime;

/// Why records are referred, as their headers say.
pub const UNCERTAIN: &str = "uncertain";

/// A record above its line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uncertain {
    pub entropy_bits: f64,
    pub line_bits: f64,
}

/// Where the lines of a model's streams are.
#[derive(Debug, Default)]
pub struct Lines {
    line: Option<ReviewLine>,
    min_baseline_records: u64,
    /// Only where the line depends on it.
    baseline: Option<Arc<Baseline>>,
}

impl Lines {
    pub fn new(spec: &ModelSpec) -> Self {
        Self {
            line: spec.review.map(|review| review.line),
            min_baseline_records: spec.min_baseline_records,
            baseline: None,
        }
    }

    pub fn set_baseline(&mut self, baseline: Option<Arc<Baseline>>) {
        self.baseline = baseline.filter(|_| self.depend_on_baseline());
    }

    /// Whether another baseline would change nothing.
    pub fn are_by(&self, baseline: Option<&Arc<Baseline>>) -> bool {
        let same = match (&self.baseline, baseline) {
            (Some(before), Some(baseline)) => Arc::ptr_eq(before, baseline),
            (None, None) => true,
            _ => false,
        };
        same || !self.depend_on_baseline()
    }

    fn depend_on_baseline(&self) -> bool {
        matches!(self.line, Some(ReviewLine::Quantile(_)))
    }

    /// The stream's, in bits.
    pub fn of(&self, stream: &Stream) -> Option<f64> {
        self.for_classes(&stream.key, &stream.classes)
    }

    /// That of the whole model, in bits.
    pub fn of_whole(&self) -> Option<f64> {
        let classes = self.baseline.as_ref().map(|b| b.whole.classes.as_slice());
        self.for_classes(&StreamKey::whole(), classes.unwrap_or_default())
    }

    fn for_classes(&self, stream: &StreamKey, classes: &[String]) -> Option<f64> {
        match self.line? {
            ReviewLine::Above(bits) => Some(bits),
            ReviewLine::Quantile(quantile) => {
                let baseline = self.baseline.as_ref()?;
                let least = self.min_baseline_records;
                let learnt = part_for(baseline, stream, classes, least)?;
                learnt.summary.histogram().quantile(quantile)
            }
        }
    }

    /// Why the record is referred, as a sentence.
    pub fn explain(&self, uncertain: Uncertain) -> String {
        let Uncertain {
            entropy_bits,
            line_bits,
        } = uncertain;
        let line = format!("its entropy is {entropy_bits:.4} bits, above the line at {line_bits}");
        match (self.line, &self.baseline) {
            (Some(ReviewLine::Quantile(quantile)), Some(baseline)) => {
                let (name, version) = (&baseline.name, baseline.version);
                format!("{line}, quantile {quantile} of baseline {name} version {version}")
            }
            _ => line,
        }
    }
}

/// What a model refers, and what it does not for want of budget.
#[derive(Debug, Default)]
pub struct Referrals {
    /// None for a model without review.
    rate: Option<Rate>,
    partitions: BTreeMap<PartitionId, Part>,
    pub counts: ReviewCounts,
}

/// Since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReviewCounts {
    pub records: u64,
    /// Uncertain, and beyond the rate.
    pub suppressed: u64,
}

/// One partition's part of the rate.
#[derive(Debug, Default)]
struct Part {
    /// Records a period.
    records: u64,
    spent: Spent,
}

/// What a partition has referred in the period at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// When the period began.
    since_ms: Millis,
    records: u64,
}

impl Spent {
    /// Whether it is such as can have been spent.
    pub fn is_sound(&self) -> bool {
        can_be_time(self.since_ms)
    }
}

impl Referrals {
    /// Gives each of these partitions its part of the rate.
    pub fn share_out(&mut self, rate: Rate, partitions: &[PartitionId]) {
        self.rate = Some(rate);
        let count = partitions.len() as u64;
        for (place, &id) in (0..).zip(partitions) {
            let records = rate.records / count + u64::from(place < rate.records % count);
            self.partitions.entry(id).or_default().records = records.max(1);
        }
    }

    /// Takes an uncertain record's place in the rate, at the partition's time; false where there is
    /// none left. Records that another instance has settled take theirs, and are not counted.
    pub fn take(&mut self, id: PartitionId, time: &PartitionTime, settled: bool) -> bool {
        let (Some(rate), Some(newest_ms)) = (self.rate, time.newest_ms()) else {
            return false;
        };
        let part = self.partitions.entry(id).or_default();
        let since_ms = newest_ms - newest_ms.rem_euclid(rate.period_ms);
        if part.spent.since_ms != since_ms {
            part.spent = Spent {
                since_ms,
                records: 0,
            };
        }
        let is_left = part.spent.records < part.records;
        part.spent.records += u64::from(is_left);
        if !settled {
            self.counts.records += u64::from(is_left);
            self.counts.suppressed += u64::from(!is_left);
        }
        is_left
    }

    pub fn spent(&self) -> impl Iterator<Item = (PartitionId, Spent)> {
        self.partitions.iter().map(|(&id, part)| (id, part.spent))
    }

    /// Goes on from what the partition had spent.
    pub fn restore(&mut self, id: PartitionId, spent: Spent) {
        if let Some(part) = self.partitions.get_mut(&id) {
            part.spent = spent;
        }
    }
}
