//! From what moved to its cause.
//!
//! The classes becoming more or less frequent, and the model becoming more or less certain, both
//! move mean entropy and the mean output. They are told apart by which of the two moved further,
//! each in standard deviations of its own: a new mix leaves the certainty of a record nearly alone,
//! and a change of certainty leaves the mean output nearly alone.

use std::f64::consts::LN_2;

use super::chance::{CLEAR_OF_NOISE, Chance, MixMoved, Moved, is_clear};
use super::facts::{Ensemble, Facts, Reading, SegmentShare};
use crate::alert::event::{Cause, ClassShift};
use crate::baseline::Spread;
use crate::baseline::yardstick::Yardstick;
use crate::window::WindowSpec;
use crate::window::measures::Measure;

/// Refused records say that the producer changed from the share on at which the rule that every
/// model has speaks.
const MANY_REJECTED: f64 = 0.05;
/// A window of which a tenth came late has a producer, or a network, that is behind.
const MANY_LATE: f64 = 0.1;
/// Outputs hardly depend on the inputs when a tenth of the baseline's information is left.
/// Softening the outputs to twice the temperature leaves a quarter and more.
const LITTLE_INFORMATION: f64 = 0.1;
/// Information that a baseline must have to lose it, in bits.
const LEAST_INFORMATION: f64 = 0.01;
/// One class has almost all of the mean output.
const ALMOST_ALL: f64 = 0.9;
/// Marginal entropy has collapsed when half of it is gone.
const MUCH_LESS: f64 = 0.5;
/// Two movements of which neither is this many times the other are taken for equally strong.
const STRONGER: f64 = 1.5;
/// A class that becomes more frequent brings its own uncertainty with it: mean entropy then moves
/// towards where it would be in proportion to marginal entropy, give or take this part.
const IN_PROPORTION: f64 = 0.15;
/// Shares that went to other classes, and not to new values: in order of size they are the
/// baseline's but for this part of the divergence.
const REORDERED: f64 = 0.05;
/// Over fewer classes than three an exchange of shares is no different from a new mix.
const LEAST_REORDERED: usize = 3;
/// A segment explains a shift when it has most of it.
const MOST: f64 = 0.5;
/// A rate that is no more than so many times the baseline's, or less than one part in so many, may
/// be the time of day where the baseline is provisional,
const ANY_DAY: f64 = 3.0;
/// and elsewhere is not worth a sentence below this.
const ANOTHER_RATE: f64 = 1.5;

/// What moved, judged.
#[derive(Clone, Debug, Default)]
pub struct Findings<'a> {
    pub has_baseline: bool,
    pub entropy: Option<Moved>,
    pub mix: Option<MixMoved<'a>>,
    pub information: Option<Reading>,
    pub marginal: Option<Reading>,
    /// The class that has almost all, where it had less.
    pub only: Option<&'a ClassShift>,
    pub is_reordered: bool,
    pub ensemble: Option<Ensemble>,
    /// Lower and upper bound of a token's entropy, where they moved apart.
    pub tokens: Option<(Reading, Reading)>,
    /// The segment that explains most of the shift.
    pub segment: Option<&'a SegmentShare>,
    pub rejected_share: Option<f64>,
    pub late_share: Option<f64>,
    /// Records a window of this length, beside the baseline's.
    pub rate: Option<Reading>,
    /// entropy_shift, where it is clear of chance.
    pub entropy_shift: Option<f64>,
}

impl<'a> Findings<'a> {
    pub fn of(facts: &Facts<'a>) -> Self {
        let value = |measure| facts.measures.get(measure);
        let late = value(Measure::Late).zip(value(Measure::Records));
        let mut findings = Self {
            rejected_share: value(Measure::RejectedShare).filter(|&share| share >= MANY_REJECTED),
            late_share: late
                .map(|(late, records)| late / records.max(1.0))
                .filter(|&share| share >= MANY_LATE),
            segment: facts.segments.first().filter(|s| s.explained >= MOST),
            ensemble: facts.ensemble,
            ..Self::default()
        };
        if let Some(yardstick) = facts.yardstick {
            findings.compare(facts, yardstick);
        }
        findings
    }

    fn compare(&mut self, facts: &Facts<'a>, yardstick: &Yardstick) {
        let reading = |measure| Reading::of(facts.measures, yardstick, measure);
        self.has_baseline = true;
        self.rate = rate(facts, yardstick);
        self.information = reading(Measure::Information);
        self.marginal = reading(Measure::MarginalEntropy);
        let tokens = reading(Measure::TokenEntropy).zip(reading(Measure::TokenEntropyMost));
        self.tokens = tokens.filter(|(least, most)| least.rise() < 0.0 && most.rise() > 0.0);
        let Some(chance) = Chance::of(facts.measures, yardstick) else {
            return;
        };
        self.entropy = reading(Measure::Entropy).map(|r| chance.entropy(r.before, r.now));
        self.mix = chance.mix(facts, yardstick);
        let shift = facts.measures.get(Measure::EntropyShift);
        self.entropy_shift = shift.filter(|&shift| shift > chance.most_entropy_shift());
        if let Some(mix) = self.mix.as_ref().filter(|mix| mix.is_clear) {
            let grew = |s: &&ClassShift| s.window >= ALMOST_ALL && s.window > s.baseline;
            self.only = facts.classes.iter().find(grew);
            let has_all = facts.classes.len() == yardstick.learnt().classes.len();
            self.is_reordered = has_all && is_reordered(facts.classes, mix);
        }
    }

    pub fn entropy_is_clear(&self) -> bool {
        self.entropy.is_some_and(|moved| moved.is_clear)
    }

    pub fn mix_is_clear(&self) -> bool {
        self.mix.as_ref().is_some_and(|mix| mix.is_clear)
    }

    /// Whether hardly anything is left of the information that outputs had on their inputs.
    pub fn is_uninformed(&self) -> bool {
        let lost = self.information.is_some_and(|information| {
            information.before >= LEAST_INFORMATION
                && information.now <= LITTLE_INFORMATION * information.before
        });
        lost && (self.entropy_is_clear() || self.mix_is_clear())
    }

    /// Whether a class has almost all, and either it had not before and the others have shrunk to
    /// little (a window on its way into a collapse still holds some of what was before), or nothing
    /// depends on the inputs.
    fn is_one_answer(&self) -> bool {
        let shrank = self
            .marginal
            .is_some_and(|marginal| marginal.now <= MUCH_LESS * marginal.before);
        self.only
            .is_some_and(|only| self.is_uninformed() || shrank && only.baseline < ALMOST_ALL)
    }

    /// The cause that the findings show. Refused records come first, because what is left is not
    /// all that the model said; a collapse before a segment that it may have begun in; and the
    /// traffic last, where the outputs are as they were.
    pub fn cause(&self) -> Cause {
        if self.rejected_share.is_some() {
            return Cause::ProducerChanged;
        }
        if !self.has_baseline {
            return Cause::NoBaseline;
        }
        if self.is_one_answer() {
            return Cause::OneAnswer;
        }
        if self.is_uninformed() {
            return Cause::InputsIgnored;
        }
        if self.segment.is_some() && (self.entropy_is_clear() || self.mix_is_clear()) {
            return Cause::Segment;
        }
        if self.is_reordered && !self.entropy_is_clear() {
            return Cause::ClassesReordered;
        }
        if self.tokens.is_some() && self.entropy_is_clear() {
            return Cause::Unclear;
        }
        self.moved().unwrap_or_else(|| self.unmoved())
    }

    /// Whether the mix or the certainty moved, and which of them further.
    fn moved(&self) -> Option<Cause> {
        let size = |is_clear, deviations: Option<f64>| {
            deviations
                .filter(|_| is_clear)
                .map_or(0.0, |deviations| deviations.abs())
        };
        let certainty = size(self.entropy_is_clear(), self.entropy.map(|e| e.deviations));
        let mix = size(self.mix_is_clear(), self.mix.as_ref().map(|m| m.deviations));
        if certainty == 0.0 && mix == 0.0 {
            return None;
        }
        Some(if mix > STRONGER * certainty && self.follows_mix() {
            Cause::NewClassMix
        } else if certainty <= STRONGER * mix {
            Cause::Unclear
        } else if self.entropy.is_some_and(|moved| moved.deviations < 0.0) {
            Cause::MoreCertain
        } else {
            self.ensemble.as_ref().map_or(Cause::LessCertain, uncertain)
        })
    }

    /// Whether mean entropy is where the mix alone may have put it.
    fn follows_mix(&self) -> bool {
        let (Some(entropy), Some(marginal)) = (self.entropy, self.marginal) else {
            return true;
        };
        let by_mix = entropy.before * marginal.now / marginal.before.max(f64::MIN_POSITIVE);
        let least = entropy.before.min(by_mix) * (1.0 - IN_PROPORTION);
        let most = entropy.before.max(by_mix) * (1.0 + IN_PROPORTION);
        !entropy.is_clear || (least..=most).contains(&entropy.now)
    }

    /// Neither the mix nor mean entropy moved.
    fn unmoved(&self) -> Cause {
        let disagree = |ensemble: &Ensemble| {
            is_clear(&ensemble.disagreement) && ensemble.disagreement.rise() > 0.0
        };
        if self.ensemble.as_ref().is_some_and(disagree) {
            Cause::UnknownInputs
        } else if self.entropy_shift.is_some() {
            Cause::Unclear
        } else if self.rate.is_some() || self.late_share.is_some() {
            Cause::ProducerChanged
        } else {
            Cause::WithinNoise
        }
    }
}

/// Why an ensemble is less certain. Whatever it sees, its members disagree more where they are less
/// certain: inputs are unknown when disagreement has grown in proportion to entropy or more, and
/// noisy when it has not moved, or not half as much.
fn uncertain(ensemble: &Ensemble) -> Cause {
    let Ensemble {
        expected_entropy: expected,
        disagreement,
    } = ensemble;
    let usual = disagreement.before / (expected.before + disagreement.before);
    let grown = disagreement.rise() / (expected.rise() + disagreement.rise());
    if is_clear(disagreement) && disagreement.rise() > 0.0 && grown >= usual {
        Cause::UnknownInputs
    } else if is_clear(expected)
        && expected.rise() > 0.0
        && (!is_clear(disagreement) || grown < usual / 2.0)
    {
        Cause::NoisyInputs
    } else {
        Cause::LessCertain
    }
}

/// Whether the shares, sorted, lie where the baseline's do, within noise and much nearer than class
/// by class. To second order: kl is half of Σ(p - q)²/q nats.
fn is_reordered(classes: &[ClassShift], mix: &MixMoved<'_>) -> bool {
    if classes.len() < LEAST_REORDERED {
        return false;
    }
    let sorted = |share: fn(&ClassShift) -> f64| {
        let mut shares: Vec<f64> = classes.iter().map(share).collect();
        shares.sort_by(f64::total_cmp);
        shares
    };
    let bits = |pairs: &mut dyn Iterator<Item = (f64, f64)>| {
        // A class that has no mass on either side adds nothing.
        let pairs = pairs.filter(|(p, q)| p != q);
        let nats: f64 = pairs.map(|(p, q)| (p - q).powi(2) / q / 2.0).sum();
        nats / LN_2
    };
    let mut sorted = sorted(|s| s.window).into_iter().zip(sorted(|s| s.baseline));
    let in_order = bits(&mut sorted);
    let by_class = bits(&mut classes.iter().map(|s| (s.window, s.baseline)));
    in_order <= CLEAR_OF_NOISE * mix.floor && in_order <= REORDERED * by_class
}

/// The records of the window beside those of the baseline's windows, where it is another rate. None
/// where the baseline is not the stream's own.
fn rate(facts: &Facts<'_>, yardstick: &Yardstick) -> Option<Reading> {
    let now = facts.measures.get(Measure::Records)?;
    let length_ms = facts
        .length_ms
        .filter(|_| yardstick.stream == *facts.stream)?;
    let WindowSpec::Time {
        length_ms: usual_ms,
        ..
    } = yardstick.baseline().window
    else {
        return None;
    };
    let spread = yardstick.learnt().spread.get(&Measure::Records)?;
    let longer = length_ms as f64 / usual_ms as f64;
    let reading = Reading {
        before: spread.mean * longer,
        now,
        spread: Some(Spread {
            windows: spread.windows,
            mean: spread.mean * longer,
            sd: spread.sd * longer,
        }),
    };
    let factor = if yardstick.baseline().is_provisional() {
        ANY_DAY
    } else {
        ANOTHER_RATE
    };
    let is_another = now >= factor * reading.before || now * factor <= reading.before;
    (is_another && is_clear(&reading)).then_some(reading)
}
