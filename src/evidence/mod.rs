//! Evidence that a stream no longer is what its baseline was, weighed against a budget of false
//! alarms.
//!
//! Nobody knows what a kl of 0.03 means; people know how often they accept to be woken for nothing.
//! So evidence is a bet: for each thing that could change, a stake that grows, on average not at all
//! while nothing changes, and fast when it does (an e-process). Their weighted sum, restarted in
//! every pane (the Shiryaev–Roberts sum of Shin, Ramdas & Rinaldo, "E-detectors", 2022), crosses c in
//! the mean not before c panes while nothing changes: a false alarm in c panes. That is a theorem
//! where records are independent and the baseline is exact. Where they are not, every bet is
//! tempered by the measured design effect (how much more the means of long batches vary than
//! independent records would), and its null is moved to the edge of the band in which the baseline
//! itself is known.
//!
//! | channel | bets |
//! | --- | --- |
//! | entropy | the mean entropy of records left its band, up or down: six sizes of bet each |
//! | classes | the same of each class's mean probability |
//! | kl | the kl of blocks of 1, 4, 12, 48… panes from the baseline is more than sampling makes it: four sizes of bet each |
//!
//! A record counts through the sums of its pane alone ([`PaneSums`]), so neither the order of
//! partitions nor the number of instances changes evidence; panes without records are left out.
//!
//! | file | does |
//! | --- | --- |
//! | `log` | the panes of a baseline in the making, in bounded memory |
//! | `fit` | from those to what a detector has to know |
//! | `detector` | a fit made ready, and the increments of one pane |
//! | `state` | evidence as it stands, its total, and what moved it |
//! | `power` | what shift is found within how many panes |
//! | `quantile` | of the distributions that margins come from |
//!
//! Logarithms are natural in here; what leaves for people and programs is in bits.

pub mod detector;
pub mod fit;
pub mod log;
mod power;
mod quantile;
#[cfg(test)]
mod simulation;
pub mod state;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::observation::{Millis, Nature};
use crate::summary::Summary;

/// Block lengths in panes: these, and then each four times the one before.
const BLOCKS: [u64; 4] = [1, 4, 12, 48];

/// Error of the band in which the baseline's own means are known, over all features together.
const ALPHA: f64 = 0.05;

/// Variances are taken at a bound that the true one exceeds with this probability.
const EXCEEDED: f64 = 0.2;

/// A variance between batches needs so many of them.
const MIN_BATCHES: u64 = 8;

/// The kl of blocks needs so many of them.
const MIN_BLOCKS: u64 = 24;

/// Classes that are bet on one by one: those with the greatest mean in the baseline. The others are
/// seen through the kl of blocks, so that a thousand classes do not cost a thousand classes' bets in
/// each stream.
pub const OWN_CLASSES: usize = 256;

/// Smoothing of a class's share where it is the second argument of kl, in records over all classes.
const SMOOTHING: f64 = crate::information::divergence::SMOOTHING_RECORDS;

/// What evidence takes from the records of one pane: for each feature in [0, 1] the sums of it and of
/// its square. Feature 0 is the entropy as a share of the greatest there can be; feature k + 1 the
/// probability of class k.
///
/// Of K independent labels, the probabilities that each is not so follow, without squares: no bets are
/// on them, but with them the kl of a block is the sum over labels of the binary ones. Tokens have no
/// classes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PaneSums {
    pub records: f64,
    pub sums: Vec<f64>,
    pub squares: Vec<f64>,
}

impl PaneSums {
    /// None without records, where there is nothing that could change (one class), and where records
    /// are of several kinds.
    pub fn of(summary: &Summary) -> Option<Self> {
        let nature = summary.nature()?;
        let greatest = summary.greatest_entropy()?;
        if summary.records() == 0 || greatest <= 0.0 {
            return None;
        }
        let records = summary.records() as f64;
        let (entropy, entropy_squares) = summary.entropy_sums();
        let mut sums = Vec::with_capacity(summary.classes() + 1);
        let mut squares = Vec::with_capacity(summary.classes() + 1);
        sums.push(entropy / greatest);
        squares.push(entropy_squares / (greatest * greatest));
        if nature != Nature::Response {
            sums.extend(summary.probability_sums());
            squares.extend(summary.square_sums());
        }
        if nature == Nature::Multilabel {
            let not_so: Vec<f64> = sums[1..].iter().map(|sum| records - sum).collect();
            sums.extend(not_so);
        }
        Some(Self {
            records,
            sums,
            squares,
        })
    }

    /// Takes further records of the same pane in.
    pub fn add(&mut self, more: &Self) {
        self.records += more.records;
        add(&mut self.sums, &more.sums);
        add(&mut self.squares, &more.squares);
    }

    /// Whether it is of records like those of `summary`, as far as can be seen.
    pub fn is_like(&self, summary: &Summary) -> bool {
        let finite = |numbers: &[f64]| numbers.iter().all(|number| number.is_finite());
        let like = |known: Self| {
            known.sums.len() == self.sums.len() && known.squares.len() == self.squares.len()
        };
        self.records > 0.0
            && self.records.is_finite()
            && finite(&self.sums)
            && finite(&self.squares)
            && Self::of(summary).is_some_and(like)
    }

    fn classes(&self) -> &[f64] {
        &self.sums[1..]
    }
}

/// Adds number by number; into an empty one by taking a copy.
fn add(sums: &mut Vec<f64>, more: &[f64]) {
    if sums.is_empty() {
        sums.extend_from_slice(more);
        return;
    }
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// A cycle that traffic repeats. It is cut into buckets of three hours (UTC), each with a mean of its
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Season {
    Daily,
    Weekly,
}

const HOUR_MS: Millis = 60 * 60 * 1000;
const BUCKET_MS: Millis = 3 * HOUR_MS;

impl Season {
    /// A baseline needs so many cycles for its buckets to have means.
    pub const LEAST_CYCLES: Millis = 3;

    pub fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
        }
    }

    pub fn cycle_ms(self) -> Millis {
        match self {
            Self::Daily => 24 * HOUR_MS,
            Self::Weekly => 7 * 24 * HOUR_MS,
        }
    }

    fn buckets(self) -> usize {
        (self.cycle_ms() / BUCKET_MS) as usize
    }
}

/// The bucket that a time is in; without a season there is one.
fn bucket(season: Option<Season>, time_ms: Millis) -> usize {
    season.map_or(0, |season| {
        (time_ms.rem_euclid(season.cycle_ms()) / BUCKET_MS) as usize
    })
}

/// Records, and sums over them by feature, in one bucket of the season.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    pub records: f64,
    /// Empty without records.
    pub sums: Vec<f64>,
}

impl Bucket {
    fn add(&mut self, records: f64, sums: &[f64]) {
        self.records += records;
        add(&mut self.sums, sums);
    }
}

/// ln q by class, of class sums over so many records, smoothed so that none is infinite.
fn log_shares(records: f64, classes: impl ExactSizeIterator<Item = f64>) -> Vec<f64> {
    let each = SMOOTHING / classes.len() as f64;
    let total = records + SMOOTHING;
    classes.map(|sum| ((sum + each) / total).ln()).collect()
}

/// n Σ p ln p = Σ s ln (s / n) for class sums s over n records.
fn negative_entropy(records: f64, classes: &[f64]) -> f64 {
    let terms = classes.iter().filter(|&&sum| sum > 0.0);
    terms.map(|sum| sum * (sum / records).ln()).sum()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
