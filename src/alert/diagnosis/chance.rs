//! How far chance alone moves a window from its baseline, and what moved further.
//!
//! Records of live traffic are not independent: the mean of a window varies more than sampling
//! makes it. By how much, the *inflation*, is seen at the baseline's back-to-back windows: the
//! variance of a measure of theirs over what independent records would give. Mean entropy has its
//! own. Of the mean output no spread is kept, and the larger of two stands for it: that of mean
//! entropy, and that of marginal entropy, which moves with the shares unless all are about the
//! same.

use std::f64::consts::LN_2;

use super::facts::{Facts, Reading};
use crate::alert::event::ClassShift;
use crate::baseline::Spread;
use crate::baseline::yardstick::Yardstick;
use crate::information::divergence::SMOOTHING_RECORDS;
use crate::window::measures::{Measure, Measures};

/// A movement of so many standard deviations is clear of chance. Not three: a rule looks at
/// thousands of windows a day and fires on the most extreme; four are passed by one in 16,000.
pub const CLEAR_DEVIATIONS: f64 = 4.0;
/// How likely chance passes [`CLEAR_DEVIATIONS`], in either direction.
const CLEAR_CHANCE: f64 = 6.3e-5;

/// A kl is clear of its noise floor from this multiple on, however many classes average out in it:
/// the floor is an estimate, and few classes may carry most of it.
pub const CLEAR_OF_NOISE: f64 = 3.0;

/// The inflation taken for granted where a baseline has no windows to show it, and the number of
/// windows that such an assumption is worth: few windows say little of their own spread.
const ASSUMED_INFLATION: f64 = 4.0;
const ASSUMED_WINDOWS: f64 = 4.0;

/// With fewer windows than these in the baseline, its slow movements have hardly been seen, and a
/// change of less than [`SMALL`] is not called one.
const FEW_WINDOWS: u64 = 10;
const SMALL: f64 = 0.05;
/// With so few windows, a spread that nothing but they give counts for so much more.
const FEW_WIDER: f64 = 2.0;

/// The least standard deviation of a measure: that of a baseline without any variance is rounding.
const LEAST_SD: f64 = 1e-9;

/// Whether a measure moved further than the baseline's windows do; no, where these are unknown.
pub fn is_clear(reading: &Reading) -> bool {
    let Some(spread) = reading.spread.filter(|spread| spread.windows >= 2) else {
        return false;
    };
    let wider = if spread.windows < FEW_WINDOWS {
        FEW_WIDER
    } else {
        1.0
    };
    let usual = CLEAR_DEVIATIONS * wider * spread.sd.max(LEAST_SD);
    reading.rise().abs() > usual.max(SMALL * reading.before.abs())
}

/// A movement, in standard deviations of what chance gives: positive is up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    pub before: f64,
    pub now: f64,
    pub deviations: f64,
    pub is_clear: bool,
}

/// The movement of the mean output.
#[derive(Clone, Debug, PartialEq)]
pub struct MixMoved<'a> {
    pub kl: f64,
    pub noise: f64,
    /// The noise floor, inflated and with what smoothing adds, in bits.
    pub floor: f64,
    /// How far it moved, as that many standard deviations of one normal number.
    pub deviations: f64,
    pub is_clear: bool,
    /// Those that are clear of chance by themselves, by bits.
    pub classes: Vec<&'a ClassShift>,
}

/// What chance does to a window of this size.
///
/// Records that depend on each other are taken for independent ones whose mean wanders from window
/// to window: for n records of variance v, a baseline of N, and windows of m in it, the variance of
/// a difference of means is v · (1/n + 1/N + (inflation - 1)/m). The bracket is the *share*.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    /// Of mean entropy, and of the mean output.
    share: f64,
    mix_share: f64,
    /// The baseline's back-to-back windows.
    windows: u64,
    /// Of the baseline's record entropies.
    entropy_variance: f64,
}

impl Chance {
    /// None without records on either side.
    pub fn of(measures: &Measures, yardstick: &Yardstick) -> Option<Self> {
        let records = measures
            .get(Measure::Records)
            .filter(|&records| records > 0.0)?;
        let summary = yardstick.summary();
        let spreads = &yardstick.learnt().spread;
        let usual = spreads
            .get(&Measure::Records)
            .map_or(records, |spread| spread.mean);
        let entropy_variance = summary.entropy_variance();
        let entropy = spreads.get(&Measure::Entropy);
        let marginal = spreads.get(&Measure::MarginalEntropy);
        let of_entropy = inflation(entropy, entropy_variance / usual);
        let of_marginal = inflation(marginal, marginal_variance(&summary.mean(), usual));
        let share = |inflation: f64| {
            1.0 / records + 1.0 / summary.records() as f64 + (inflation - 1.0) / usual
        };
        Some(Self {
            share: share(of_entropy),
            mix_share: share(of_entropy.max(of_marginal)),
            windows: entropy.map_or(0, |spread| spread.windows),
            entropy_variance,
        })
    }

    /// The movement of mean entropy.
    pub fn entropy(&self, before: f64, now: f64) -> Moved {
        let sd = (self.entropy_variance * self.share).sqrt().max(LEAST_SD);
        let deviations = (now - before) / sd;
        let is_small = self.windows < FEW_WINDOWS && (now - before).abs() < SMALL * before;
        Moved {
            before,
            now,
            deviations,
            is_clear: deviations.abs() > CLEAR_DEVIATIONS && !is_small,
        }
    }

    /// The movement of the mean output, of which `facts` holds the largest shifts.
    pub fn mix<'a>(&self, facts: &Facts<'a>, yardstick: &Yardstick) -> Option<MixMoved<'a>> {
        let kl = facts.measures.get(Measure::Kl)?;
        let noise = facts.measures.get(Measure::KlNoise)?;
        let learnt = yardstick.learnt();
        let variances = learnt.summary.variances();
        // Of any of K classes: each may take its part of the chance.
        let line = (2.0 * learnt.classes.len() as f64 / CLEAR_CHANCE).ln();
        let mut classes = Vec::new();
        let mut strongest = 0.0_f64;
        for shift in facts.classes {
            let at = (learnt.classes.iter()).position(|name| **name == *shift.class);
            let nats = self.surprise(shift.window - shift.baseline, variances[at?]);
            strongest = strongest.max(nats);
            if nats > line {
                classes.push(shift);
            }
        }
        let mean = learnt.summary.mean();
        let spread: f64 = terms(&variances, &mean).sum();
        // A mixture with half a record of something else: kl to it is at most this, and not chance.
        let smoothing = (SMOOTHING_RECORDS / learnt.summary.records() as f64).ln_1p();
        let floor = (spread / 2.0 * self.mix_share + smoothing) / LN_2;
        let whole = chi_square_deviations(
            kl / floor.max(f64::MIN_POSITIVE),
            freedom(&variances, &mean),
        );
        let is_clear = whole > CLEAR_DEVIATIONS && kl > CLEAR_OF_NOISE * floor;
        Some(MixMoved {
            kl,
            noise,
            floor,
            deviations: whole.max((2.0 * strongest).sqrt()),
            is_clear: is_clear || !classes.is_empty(),
            classes,
        })
    }

    /// How unlikely it is that the share of a class, whose records have this variance, is off by as
    /// much: -ln of Bernstein's bound (Boucheron, Lugosi and Massart 2013, 2.8), which holds for
    /// rare classes too, where a mean of few records is far from normal.
    fn surprise(&self, off: f64, variance: f64) -> f64 {
        let off = off.abs();
        let normal = variance * self.mix_share;
        let rare = off / 3.0 * self.mix_share;
        off * off / (2.0 * (normal + rare)).max(f64::MIN_POSITIVE)
    }

    /// What the Kolmogorov–Smirnov distance of the two histograms of entropy does not exceed by
    /// chance (Smirnov 1948).
    pub fn most_entropy_shift(&self) -> f64 {
        ((2.0 / CLEAR_CHANCE).ln() / 2.0 * self.share).sqrt()
    }
}

/// The variance of a measure over the baseline's windows, over the `sampled` one of independent
/// records.
fn inflation(spread: Option<&Spread>, sampled: f64) -> f64 {
    let windows = spread.map_or(0, |spread| spread.windows);
    let seen = spread
        .filter(|_| sampled > 0.0)
        .map_or(1.0, |spread| spread.sd.powi(2) / sampled);
    let free = windows.saturating_sub(1) as f64;
    let inflation = (ASSUMED_WINDOWS * ASSUMED_INFLATION + free * seen) / (ASSUMED_WINDOWS + free);
    inflation.max(1.0)
}

/// The variance of the entropy of the mean of so many independent one-hot outputs, in bits²: Σ q
/// log2² q - H² over n (Basharin 1959), and what the second order adds where all classes are about
/// as frequent. Softer outputs vary less.
fn marginal_variance(mean: &[f64], records: f64) -> f64 {
    let present = || mean.iter().filter(|q| **q > 0.0);
    let entropy: f64 = present().map(|q| -q * q.log2()).sum();
    let squares: f64 = present().map(|q| q * q.log2().powi(2)).sum();
    let first = (squares - entropy * entropy).max(0.0) / records;
    first + (mean.len() as f64 - 1.0) / 2.0 / (records * LN_2).powi(2)
}

/// How many normal numbers kl is nearly the sum of squares of: K - 1 where all classes vary alike,
/// fewer where some carry most of it (Satterthwaite 1946, without the covariances). At least 1.
fn freedom(variances: &[f64], mean: &[f64]) -> f64 {
    let squares: f64 = terms(variances, mean).map(|term| term * term).sum();
    if squares > 0.0 {
        (terms(variances, mean).sum::<f64>().powi(2) / squares - 1.0).max(1.0)
    } else {
        1.0
    }
}

/// v/q of the classes that there are.
fn terms(variances: &[f64], mean: &[f64]) -> impl Iterator<Item = f64> {
    let present = variances.iter().zip(mean).filter(|(_, mean)| **mean > 0.0);
    present.map(|(variance, mean)| variance / mean)
}

/// The normal deviation that is as likely as χ² of `freedom` degrees at `ratio` times its mean
/// (Wilson and Hilferty 1931).
fn chi_square_deviations(ratio: f64, freedom: f64) -> f64 {
    let variance = 2.0 / (9.0 * freedom);
    (ratio.cbrt() - (1.0 - variance)) / variance.sqrt()
}
