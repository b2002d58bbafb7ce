//! From the panes of a baseline to what a detector has to know: how far its means are known, how much
//! more batches vary than independent records would, and what sampling alone makes the kl of blocks.

use serde::{Deserialize, Serialize};

use super::log::{PaneLog, Unit, width};
use super::{
    ALPHA, BLOCKS, Bucket, EXCEEDED, MIN_BATCHES, MIN_BLOCKS, OWN_CLASSES, PaneSums, Season,
    bucket, dot, log_shares, negative_entropy, quantile,
};
use crate::observation::Millis;

/// Below these, a mean, a variance of features, and the mean and variance of blocks' kl are taken to be
/// rounding.
pub(super) const LEAST_MEAN: f64 = 1e-7;
const LEAST_VARIANCE: f64 = 1e-12;
const LEAST_KL: f64 = 1e-12;

/// What was fitted to the panes of a baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Panes with records that it was fitted to, as the detector will see them.
    pub panes: u64,
    /// The mean number of records in one.
    pub pane_records: f64,
    /// The classes that are bet on one by one, in order.
    pub classes: Vec<u32>,
    /// At least 1 each: of the entropy, then of these classes.
    pub design_effects: Vec<f64>,
    /// Between records; in a season, about the means of its buckets. In the same order.
    pub variances: Vec<f64>,
    /// Shortest first; none where there were too few panes.
    pub blocks: Vec<BlockFit>,
    /// As configured when it was learnt.
    pub season: Option<Season>,
    /// Means by bucket of the season; none without one, and where the baseline had too few cycles.
    pub buckets: Option<Vec<Bucket>>,
}

/// The kl of blocks of one length, as it is while nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockFit {
    /// Panes in a block.
    pub panes: u64,
    /// The mean number of records in one.
    pub records: f64,
    /// The upper edge of where the mean of kl · n / `records` may lie, in nats.
    pub mean: f64,
    pub design_effect: f64,
    /// Of the gamma distribution with that mean that its bets are made for.
    pub shape: f64,
}

/// The length of the blocks at this place in their order, in panes.
pub fn block_length(at: usize) -> u64 {
    match BLOCKS.get(at) {
        Some(&length) => length,
        None => BLOCKS[3].saturating_mul(4_u64.saturating_pow((at - 3) as u32)),
    }
}

impl Fit {
    /// Of the panes in `log`, whose records are those of `total` (late ones may be in that alone) and
    /// span so much time. Each pane of the log stands for `panes_each` of those that the detector will
    /// see. None without panes.
    pub fn new(log: &PaneLog, total: &PaneSums, span_ms: Millis, panes_each: u64) -> Option<Self> {
        if log.panes == 0 || total.records <= 0.0 {
            return None;
        }
        let classes = own_classes(&total.sums[1..total.squares.len()]);
        let seasonal = log.season.filter(|&season| has_cycles(season, span_ms));
        let means = Means::new(log, total, seasonal);
        let features: Vec<usize> = features_of(&classes).collect();
        let variances: Vec<f64> = features.iter().map(|&f| means.variance(f)).collect();
        let fitted = means.fitted(&log.units);
        let design_effects = (features.iter().zip(&variances))
            .map(|(&feature, &variance)| means.design_effect(log, feature, variance, &fitted))
            .collect();
        Some(Self {
            panes: log.panes * panes_each,
            pane_records: total.records / (log.panes * panes_each) as f64,
            design_effects,
            variances,
            blocks: blocks(log, &means, panes_each),
            classes,
            season: log.season,
            buckets: seasonal.map(|_| log.buckets.clone()),
        })
    }

    /// Whether a season was configured and the baseline was too short for it.
    pub fn lacks_cycles(&self) -> bool {
        self.season.is_some() && self.buckets.is_none()
    }

    /// Whether a detector of records with these sums can be made of it.
    pub fn is_sound(&self, total: &PaneSums) -> bool {
        let (sums, classes) = (total.sums.len(), total.squares.len().saturating_sub(1));
        let features = self.classes.len() + 1;
        let at_least = |least: f64| move |number: &f64| number.is_finite() && *number >= least;
        let block = |block: &BlockFit| {
            block.panes > 0
                && [block.records, block.mean, block.shape]
                    .iter()
                    .all(at_least(f64::MIN_POSITIVE))
                && at_least(1.0)(&block.design_effect)
        };
        let bucket = |bucket: &Bucket| {
            bucket.sums.iter().all(at_least(0.0))
                && match bucket.sums.len() {
                    0 => true,
                    found => found == sums && at_least(f64::MIN_POSITIVE)(&bucket.records),
                }
        };
        classes < sums
            && self.classes.len() <= OWN_CLASSES
            && self.classes.windows(2).all(|pair| pair[0] < pair[1])
            && self.classes.iter().all(|&class| (class as usize) < classes)
            && self.design_effects.len() == features
            && self.design_effects.iter().all(at_least(1.0))
            && self.variances.len() == features
            && self.variances.iter().all(at_least(f64::MIN_POSITIVE))
            && self.blocks.iter().all(block)
            && self.buckets.as_ref().is_none_or(|buckets| {
                let expected = self.season.map(Season::buckets);
                expected == Some(buckets.len()) && buckets.iter().all(bucket)
            })
    }
}

/// The classes with the greatest sums, in order of class.
fn own_classes(sums: &[f64]) -> Vec<u32> {
    let mut classes: Vec<u32> = (0..sums.len() as u32).collect();
    classes.sort_by(|&a, &b| {
        sums[b as usize]
            .total_cmp(&sums[a as usize])
            .then(a.cmp(&b))
    });
    classes.truncate(OWN_CLASSES);
    classes.sort_unstable();
    classes
}

/// The features that are bet on: the entropy, and these classes.
pub(super) fn features_of(classes: &[u32]) -> impl Iterator<Item = usize> {
    [0].into_iter()
        .chain(classes.iter().map(|&class| class as usize + 1))
}

fn has_cycles(season: Season, span_ms: Millis) -> bool {
    // The newest record is a little before the end of the last cycle.
    const NEARLY: f64 = 0.999;
    span_ms as f64 >= NEARLY * (Season::LEAST_CYCLES * season.cycle_ms()) as f64
}

/// The factor from a variance among so many batches to its bound.
fn bound(batches: u64) -> f64 {
    quantile::variance_bound(EXCEEDED, batches)
}

/// The baseline's means: one a feature, or one a feature and bucket.
struct Means<'a> {
    total: &'a PaneSums,
    season: Option<Season>,
    buckets: &'a [Bucket],
    /// ln q, by bucket; of the whole where a bucket is empty, or there is no season.
    log_shares: Vec<Vec<f64>>,
}

impl<'a> Means<'a> {
    fn new(log: &'a PaneLog, total: &'a PaneSums, season: Option<Season>) -> Self {
        let of = |records: f64, sums: &[f64]| log_shares(records, sums.iter().copied());
        let whole = of(total.records, total.classes());
        let buckets: &[Bucket] = if season.is_some() { &log.buckets } else { &[] };
        let log_shares = match season {
            None => vec![whole],
            Some(_) => (buckets.iter())
                .map(|bucket| match bucket.sums.get(1..) {
                    Some(classes) => of(bucket.records, classes),
                    None => whole.clone(),
                })
                .collect(),
        };
        Self {
            total,
            season,
            buckets,
            log_shares,
        }
    }

    /// The mean of a feature at a time.
    fn at(&self, feature: usize, time_ms: i64) -> f64 {
        let own = self.buckets.get(bucket(self.season, time_ms));
        let (records, sum) = match own.filter(|bucket| !bucket.sums.is_empty()) {
            Some(bucket) => (bucket.records, bucket.sums[feature]),
            None => (self.total.records, self.total.sums[feature]),
        };
        (sum / records).max(LEAST_MEAN)
    }

    /// Between records, about the mean of their bucket.
    fn variance(&self, feature: usize) -> f64 {
        let (records, squares) = (self.total.records, self.total.squares[feature]);
        let explained = if self.season.is_some() {
            let filled = self.buckets.iter().filter(|bucket| !bucket.sums.is_empty());
            let part = |bucket: &Bucket| bucket.sums[feature].powi(2) / bucket.records;
            filled.map(part).sum::<f64>() / records
        } else {
            (self.total.sums[feature] / records).max(LEAST_MEAN).powi(2)
        };
        (squares / records - explained).max(LEAST_VARIANCE)
    }

    /// How much of what it is compared with a run of units is itself: its share of the records of the
    /// baseline or, in a season, Σ r²/(r R) over buckets, for r of its r records of a bucket that has R in
    /// all. The mean of a run is by that share nearer to its expectation than that of a fresh one
    /// would be to the truth, and a fresh run is by as much further from it.
    fn own_share(&self, units: &[Unit]) -> f64 {
        let records: f64 = units.iter().map(|unit| unit.records).sum();
        if self.season.is_none() {
            return records / self.total.records;
        }
        let same_bucket = |a: &Unit, b: &Unit| self.bucket(a) == self.bucket(b);
        let mut shares = vec![0.0; self.buckets.len()];
        for stay in units.chunk_by(same_bucket) {
            let of: f64 = stay.iter().map(|unit| unit.records).sum();
            shares[self.bucket(&stay[0])] += of;
        }
        let part = |(of, bucket): (&f64, &Bucket)| of * of / bucket.records.max(*of);
        let filled = shares.iter().zip(self.buckets).filter(|(of, _)| **of > 0.0);
        filled.map(part).sum::<f64>() / records
    }

    fn bucket(&self, unit: &Unit) -> usize {
        bucket(self.season, unit.start_ms)
    }

    /// By batch length, 1, 2, 4… units: how many means the batches' own were taken from, the sum of
    /// their own shares. At least the one that there is without a season.
    fn fitted(&self, units: &[Unit]) -> Vec<f64> {
        if self.season.is_none() {
            return Vec::new();
        }
        let of = |length: usize| {
            let batches = units.chunks_exact(length);
            let shares: f64 = batches.map(|batch| self.own_share(batch)).sum();
            shares.max(1.0)
        };
        let lengths = (0..).map(|doublings| 1 << doublings);
        lengths
            .take_while(|length| (units.len() / length) as u64 >= MIN_BATCHES)
            .map(of)
            .collect()
    }

    /// How much more the means of batches vary than those of independent records would, at the length
    /// where that is most; batch lengths double up to an eighth of the baseline.
    fn design_effect(&self, log: &PaneLog, feature: usize, variance: f64, fitted: &[f64]) -> f64 {
        let residual = |unit: &Unit| {
            let expected = unit.records * self.at(feature, unit.start_ms);
            (unit.sums[feature] - expected, unit.records)
        };
        let nodes: Vec<(f64, f64)> = log.units.iter().map(residual).collect();
        let merged: Vec<f64> = log.merged.iter().map(|m| m.features[feature]).collect();
        let per_node = |level| width(log.level) / width(level);
        let parts: Vec<(u64, f64)> = (0..log.level).map(per_node).zip(merged).collect();
        worst_ratio(&nodes, &parts, variance, fitted)
    }

    /// The whole of n·kl of the blocks of one length in a unit.
    fn unit_kl(&self, unit: &Unit, length: usize) -> f64 {
        let log_shares = &self.log_shares[bucket(self.season, unit.start_ms)];
        unit.negative_entropies[length] - dot(&unit.sums[1..], log_shares)
    }

    /// n·kl of the records of several units together, and n.
    fn run_kl(&self, units: &[Unit]) -> (f64, f64) {
        let mut run = Bucket::default();
        for unit in units {
            run.add(unit.records, &unit.sums);
        }
        let places = units
            .iter()
            .map(|unit| (bucket(self.season, unit.start_ms), unit.records));
        let classes = &run.sums[1..];
        let kl = match mixture(&self.log_shares, places) {
            Shares::One(log_shares) => dot(classes, log_shares),
            Shares::Mixed(log_shares) => dot(classes, &log_shares),
        };
        (negative_entropy(run.records, classes) - kl, run.records)
    }
}

/// ln q for records of several buckets together.
pub(super) enum Shares<'a> {
    One(&'a [f64]),
    Mixed(Vec<f64>),
}

/// From buckets and how many records are of each.
pub(super) fn mixture<'a>(
    log_shares: &'a [Vec<f64>],
    places: impl Iterator<Item = (usize, f64)> + Clone,
) -> Shares<'a> {
    let first = places.clone().next().map_or(0, |(place, _)| place);
    if places.clone().all(|(place, _)| place == first) {
        return Shares::One(&log_shares[first]);
    }
    let records: f64 = places.clone().map(|(_, records)| records).sum();
    let mut mixed = vec![0.0; log_shares[first].len()];
    for (place, share) in places.map(|(place, of)| (place, of / records)) {
        for (mixed, log_share) in mixed.iter_mut().zip(&log_shares[place]) {
            *mixed += share * log_share.exp();
        }
    }
    Shares::Mixed(mixed.into_iter().map(f64::ln).collect())
}

/// The largest ratio of how batches vary to how they would if what they are made of were independent
/// with this variance; at least 1. Each node is a sum that should be 0 and its weight; `parts` are the
/// levels below the nodes: parts in a node, and their sum of squares about the nodes' means; `fitted` by
/// batch length how many means were fitted to the batches, one where it does not say.
fn worst_ratio(nodes: &[(f64, f64)], parts: &[(u64, f64)], variance: f64, fitted: &[f64]) -> f64 {
    let variance = variance.max(1e-15);
    let mut worst = 1.0_f64;
    let mut take = |squares: f64, batches: u64, doublings: usize| {
        if batches >= MIN_BATCHES {
            let fitted = fitted.get(doublings).copied().unwrap_or(1.0);
            let freedom = (batches as f64 - fitted).max(1.0);
            worst = worst.max(squares / freedom / variance * bound(batches));
        }
    };
    let mut squares: f64 = nodes.iter().map(|(sum, weight)| sum * sum / weight).sum();
    for &(per_node, taken) in parts.iter().rev() {
        squares += taken;
        take(squares, per_node * nodes.len() as u64, 0);
    }
    let (mut length, mut doublings) = (1, 0);
    while (nodes.len() / length) as u64 >= MIN_BATCHES {
        let batches = nodes.chunks_exact(length).map(|batch| {
            let sum: f64 = batch.iter().map(|node| node.0).sum();
            sum * sum / batch.iter().map(|node| node.1).sum::<f64>()
        });
        take(batches.sum(), (nodes.len() / length) as u64, doublings);
        length *= 2;
        doublings += 1;
    }
    worst
}

/// Moments of the kl of blocks of one length.
struct Moments {
    panes: u64,
    blocks: u64,
    /// Mean records in a block.
    records: f64,
    /// [`Means::own_share`] of a block, in the mean.
    own_share: f64,
    mean: f64,
    variance: f64,
    design_effect: f64,
}

fn blocks(log: &PaneLog, means: &Means<'_>, panes_each: u64) -> Vec<BlockFit> {
    if means.total.classes().is_empty() {
        return Vec::new();
    }
    let enough = |&at: &usize| log.panes / block_length(at) >= MIN_BLOCKS;
    let moments: Vec<Moments> = (0..)
        .take_while(enough)
        .map_while(|at| moments(log, means, at))
        .map(|moments| {
            // A block is part of its own baseline.
            let correction = 1.0 / (1.0 - moments.own_share);
            Moments {
                panes: moments.panes * panes_each,
                mean: (moments.mean * correction).max(LEAST_KL),
                variance: (moments.variance * correction * correction).max(LEAST_KL * LEAST_KL),
                ..moments
            }
        })
        .collect();
    let trace = moments
        .iter()
        .map(|m| m.mean * m.records)
        .fold(0.0, f64::max);
    let z = quantile::normal(1.0 - ALPHA / 2.0);
    let fit = |moments: &Moments| {
        let Moments {
            mean,
            variance,
            design_effect,
            ..
        } = *moments;
        let shape = (mean * mean / variance).max(0.5);
        let baseline =
            trace / moments.records * moments.own_share * quantile::gamma(1.0 - ALPHA / 2.0, shape);
        let edge = mean + baseline + z * (variance * design_effect / moments.blocks as f64).sqrt();
        BlockFit {
            panes: moments.panes,
            records: moments.records,
            mean: edge,
            design_effect,
            shape: edge * edge / (variance * bound(moments.blocks).max(1.0)),
        }
    };
    moments.iter().map(fit).collect()
}

/// None where there are too few complete blocks.
fn moments(log: &PaneLog, means: &Means<'_>, at: usize) -> Option<Moments> {
    let (length, unit) = (block_length(at), width(log.level));
    // Nodes are blocks of units, or units of blocks; each is n·kl of its blocks, and their number.
    let (nodes, parts, in_nodes, shares) = if length >= unit {
        let chunks = log.units.chunks_exact((length / unit) as usize);
        let runs: Vec<(f64, f64)> = chunks.clone().map(|run| means.run_kl(run)).collect();
        let in_nodes: f64 = runs.iter().map(|run| run.1).sum();
        let nodes: Vec<(f64, f64)> = runs.iter().map(|run| (run.0, 1.0)).collect();
        let shares: f64 = chunks.map(|run| means.own_share(run)).sum();
        (nodes, Vec::new(), in_nodes, shares)
    } else {
        let blocks = (unit / length) as f64;
        let nodes = log
            .units
            .iter()
            .map(|unit| (means.unit_kl(unit, at), blocks));
        let levels = (0..log.level).filter(|&level| width(level) >= length);
        let parts = levels.map(|level| (unit / width(level), log.merged[level].blocks[at]));
        let in_nodes = log.units.iter().map(|unit| unit.records).sum();
        let share = |unit| means.own_share(std::slice::from_ref(unit));
        let shares = log.units.iter().map(share).sum();
        (nodes.collect::<Vec<_>>(), parts.collect(), in_nodes, shares)
    };
    let blocks = nodes.len() as f64 * nodes.first()?.1;
    if blocks < MIN_BLOCKS as f64 {
        return None;
    }
    let mean = nodes.iter().map(|node| node.0).sum::<f64>() / blocks;
    let centred: Vec<(f64, f64)> = (nodes.iter())
        .map(|&(kl, blocks)| (kl - blocks * mean, blocks))
        .collect();
    let squares = centred
        .iter()
        .map(|(off, blocks)| off * off / blocks)
        .sum::<f64>()
        + parts.iter().map(|(_, taken)| taken).sum::<f64>();
    let variance = squares / (blocks - 1.0);
    let records = in_nodes / blocks;
    Some(Moments {
        panes: length,
        blocks: blocks as u64,
        records,
        own_share: shares / blocks,
        mean: mean / records,
        variance: variance / (records * records),
        design_effect: worst_ratio(&centred, &parts, variance, &[]),
    })
}
