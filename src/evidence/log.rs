//! The panes that a baseline is learnt from, as far as a fit needs them, in bounded memory.
//!
//! A fit needs three things of the panes: their sums, how much the means of batches of them vary
//! (batches of every length up to an eighth of the baseline), and how the kl of short blocks varies.
//! While there are few panes, all are kept. When there are too many, neighbours are merged into one
//! unit, again and again, and what is lost with the short ones is taken before: the sum of squares
//! of parts about their mean. Since
//!
//! ```text
//! Σ over parts = Σ over wholes + Σ of what the parts of each whole vary about their mean,
//! ```
//!
//! sums of squares over short batches are those over the units that are left and what was taken at
//! each merging above. For means of features that is exact: a part's square is S²/n, and what varies
//! about the mean of the whole does not depend on the baseline's mean, which is known only at the
//! end. For the kl of a block from the baseline it depends on the baseline a little: it is taken
//! against what has been learnt so far. The sum of the kl of short blocks in a unit is exact,
//! since n·kl = n Σ p ln p - Σ s ln q, and the first part can be summed without q.
//!
//! Units are 1, 2, 4, 12, 24, 48, 96… panes wide, so that every block length is a multiple of every
//! shorter unit. While a unit is incomplete its parts wait; a fit leaves them out of variances.

use serde::{Deserialize, Serialize};

use super::fit::block_length;
use super::{Bucket, PaneSums, Season, bucket, dot, log_shares, negative_entropy};
use crate::observation::Millis;

/// Memory for the logs of one model's streams together, and the least and most units of one.
const MOST_BYTES: usize = 1 << 20;
const UNITS: [usize; 6] = [24, 48, 96, 192, 384, 768];

/// Merging doubles the width `LEVELS` times at the most: 10^15 panes.
const LEVELS: usize = 48;

/// How many units a log may hold where a model has so many of them over so many classes.
pub fn capacity(logs: usize, classes: usize) -> usize {
    let unit_bytes = (classes + 12) * size_of::<f64>();
    let fits = |units: &&usize| logs.max(1) * **units * unit_bytes <= MOST_BYTES;
    UNITS.iter().rev().find(fits).copied().unwrap_or(UNITS[0])
}

/// The log of one stream, or of the whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaneLog {
    pub(super) season: Option<Season>,
    /// Panes taken in.
    pub(super) panes: u64,
    /// By bucket of the season.
    pub(super) buckets: Vec<Bucket>,
    /// Complete units, oldest first, all of the width of `level`.
    pub(super) units: Vec<Unit>,
    pub(super) level: usize,
    /// By level below it: units that wait for their neighbours.
    waiting: Vec<Vec<Unit>>,
    /// By level below it: what was taken when units of it were merged.
    pub(super) merged: Vec<Merged>,
}

/// A run of panes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Unit {
    pub(super) start_ms: Millis,
    pub(super) records: f64,
    /// By feature.
    pub(super) sums: Vec<f64>,
    /// Σ of n Σ p ln p over its blocks, by block length, of those that are not longer than it.
    pub(super) negative_entropies: Vec<f64>,
}

/// What the units of one width varied about the means of those they were merged into.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Merged {
    /// By feature: Σ S²/n less (ΣS)²/Σn.
    pub(super) features: Vec<f64>,
    /// By block length not longer than the width: of n·kl, a block's share of it.
    pub(super) blocks: Vec<f64>,
}

/// So many units of a level make one of the next.
fn factor(level: usize) -> usize {
    if level == 2 { 3 } else { 2 }
}

/// Panes in a unit of the level.
pub(super) fn width(level: usize) -> u64 {
    (0..level).map(|level| factor(level) as u64).product()
}

/// Block lengths, shortest first, that are not longer than a unit of the level.
fn lengths_within(level: usize) -> usize {
    let width = width(level);
    (0..).take_while(|&at| block_length(at) <= width).count()
}

impl PaneLog {
    pub fn new(season: Option<Season>) -> Self {
        Self {
            season,
            panes: 0,
            buckets: vec![Bucket::default(); season.map_or(1, Season::buckets)],
            units: Vec::new(),
            level: 0,
            waiting: Vec::new(),
            merged: Vec::new(),
        }
    }

    /// Takes in a pane that began at `start_ms`, after all those before it. At most `capacity` units
    /// are kept.
    pub fn add(&mut self, start_ms: Millis, pane: PaneSums, capacity: usize) {
        let place = bucket(self.season, start_ms);
        self.buckets[place].add(pane.records, &pane.sums);
        self.panes += 1;
        let unit = Unit {
            start_ms,
            records: pane.records,
            negative_entropies: vec![negative_entropy(pane.records, pane.classes())],
            sums: pane.sums,
        };
        self.push(0, unit);
        while self.units.len() > capacity.max(UNITS[0]) && self.level < LEVELS {
            self.coarsen();
        }
    }

    /// Whether panes with so many sums are like those before.
    pub fn takes(&self, sums: usize) -> bool {
        let mut filled = self.buckets.iter().filter(|bucket| !bucket.sums.is_empty());
        filled.all(|bucket| bucket.sums.len() == sums)
    }

    pub fn season(&self) -> Option<Season> {
        self.season
    }

    /// The mean number of records in a pane, to the nearest.
    pub fn records_each(&self) -> u64 {
        let records: f64 = self.buckets.iter().map(|bucket| bucket.records).sum();
        (records / self.panes.max(1) as f64).round() as u64
    }

    /// Whether a fit can be made of it without stumbling, whose panes have so many sums.
    pub fn is_sound(&self, features: usize) -> bool {
        let filled = |bucket: &Bucket| bucket.sums.len() == features;
        let unit = |unit: &Unit, level: usize| {
            unit.sums.len() == features
                && unit.records > 0.0
                && unit.records.is_finite()
                && unit.sums.iter().all(|sum| sum.is_finite())
                && unit.negative_entropies.len() == lengths_within(level)
                && filled(&self.buckets[bucket(self.season, unit.start_ms)])
        };
        let waiting = |(level, units): (usize, &Vec<Unit>)| {
            units.len() < factor(level) && units.iter().all(|one| unit(one, level))
        };
        let merged = |(level, merged): (usize, &Merged)| {
            merged.features.len() == features && merged.blocks.len() == lengths_within(level)
        };
        self.level <= LEVELS
            && self.panes < 1 << 62
            && self.waiting.len() == self.level
            && self.merged.len() == self.level
            && self.buckets.len() == self.season.map_or(1, Season::buckets)
            && (self.buckets.iter()).all(|bucket| bucket.sums.is_empty() || filled(bucket))
            && self.units.iter().all(|one| unit(one, self.level))
            && self.waiting.iter().enumerate().all(waiting)
            && self.merged.iter().enumerate().all(merged)
    }

    fn push(&mut self, level: usize, unit: Unit) {
        if level == self.level {
            self.units.push(unit);
            return;
        }
        self.waiting[level].push(unit);
        if self.waiting[level].len() == factor(level) {
            let parts = std::mem::take(&mut self.waiting[level]);
            let whole = self.merge(level, &parts);
            self.push(level + 1, whole);
        }
    }

    /// Merges all units with their neighbours.
    fn coarsen(&mut self) {
        let level = self.level;
        let parts = std::mem::take(&mut self.units);
        self.waiting.push(Vec::new());
        self.merged.push(Merged::default());
        self.level += 1;
        for parts in parts.chunks(factor(level)) {
            if parts.len() == factor(level) {
                let whole = self.merge(level, parts);
                self.units.push(whole);
            } else {
                self.waiting[level].extend_from_slice(parts);
            }
        }
    }

    /// One unit of the next level from units of this one.
    fn merge(&mut self, level: usize, parts: &[Unit]) -> Unit {
        let mut whole = parts[0].clone();
        for part in &parts[1..] {
            whole.records += part.records;
            super::add(&mut whole.sums, &part.sums);
            super::add(&mut whole.negative_entropies, &part.negative_entropies);
        }
        let lengths = lengths_within(level);
        let baseline = &self.buckets[bucket(self.season, whole.start_ms)];
        let log_shares = log_shares(baseline.records, baseline.sums[1..].iter().copied());
        let taken = &mut self.merged[level];
        taken.features.resize(whole.sums.len(), 0.0);
        taken.blocks.resize(lengths, 0.0);
        for (at, taken) in taken.features.iter_mut().enumerate() {
            let squares: f64 = parts
                .iter()
                .map(|p| p.sums[at] * p.sums[at] / p.records)
                .sum();
            *taken += (squares - whole.sums[at] * whole.sums[at] / whole.records).max(0.0);
        }
        for (at, taken) in taken.blocks.iter_mut().enumerate() {
            let blocks = (width(level) / block_length(at)) as f64;
            let kl = |unit: &Unit| unit.negative_entropies[at] - dot(&unit.sums[1..], &log_shares);
            let mean = kl(&whole) / parts.len() as f64;
            let squares: f64 = parts.iter().map(|part| (kl(part) - mean).powi(2)).sum();
            *taken += squares / blocks;
        }
        if block_length(lengths) == width(level + 1) {
            let own = negative_entropy(whole.records, &whole.sums[1..]);
            whole.negative_entropies.push(own);
        }
        whole
    }
}
