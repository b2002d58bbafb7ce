//! Evidence as it stands: the logarithm of what each bet has become, and the blocks that are filling.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::PaneSums;
use super::detector::{BLOCK_BETS, Detector, Direction, FEATURE_BETS};
use super::fit::BlockFit;
use crate::information::exp::{exp, ln_1p};
use crate::information::vector::{LANES, widest};
use crate::observation::Millis;

/// Which channels a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    pub entropy: bool,
    pub classes: bool,
    pub kl: bool,
}

impl Watch {
    /// Whether bets on a feature are looked at.
    pub fn has(self, feature: usize) -> bool {
        if feature == 0 {
            self.entropy
        } else {
            self.classes
        }
    }

    /// Of so many features, those that are looked at.
    fn features(self, all: usize) -> Range<usize> {
        let end = if self.classes { all } else { 1 };
        usize::from(!self.entropy)..end
    }

    pub const ALL: Self = Self {
        entropy: true,
        classes: true,
        kl: true,
    };
}

/// What the evidence comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    Entropy,
    Classes,
    Kl,
}

impl Channel {
    pub fn name(self) -> &'static str {
        match self {
            Self::Entropy => "entropy",
            Self::Classes => "classes",
            Self::Kl => "kl",
        }
    }
}

/// Shares of the mixture: half on features, of which half on the entropy, and half on blocks.
const WEIGHTS: [(Channel, f64); 3] = [
    (Channel::Entropy, 0.25),
    (Channel::Classes, 0.25),
    (Channel::Kl, 0.5),
];

/// The share of the mixture that bets on one direction of a feature have together; none where the
/// feature's channel is not watched.
pub(super) fn feature_share(detector: &Detector, feature: usize, watch: Watch) -> Option<f64> {
    let classes = detector.features().saturating_sub(1);
    let own = if feature == 0 {
        Channel::Entropy
    } else {
        Channel::Classes
    };
    let (weight, features) = shares(classes, detector.blocks().len(), watch)
        .find(|(channel, _)| *channel == own)
        .map(|(channel, weight)| {
            (
                weight,
                if channel == Channel::Entropy {
                    1
                } else {
                    classes
                },
            )
        })?;
    Some(weight / (features * Direction::BOTH.len()) as f64)
}

/// The channels that are watched and there, and their shares of the mixture.
fn shares(classes: usize, blocks: usize, watch: Watch) -> impl Iterator<Item = (Channel, f64)> {
    let there = move |channel| match channel {
        Channel::Entropy => watch.entropy,
        Channel::Classes => watch.classes && classes > 0,
        Channel::Kl => watch.kl && blocks > 0,
    };
    let watched = move || {
        WEIGHTS
            .into_iter()
            .filter(move |(channel, _)| there(*channel))
    };
    let whole: f64 = watched().map(|(_, weight)| weight).sum();
    watched().map(move |(channel, weight)| (channel, weight / whole))
}

/// Evidence of change in one stream, for one rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// ln of what each bet on a feature has become: by feature, direction, bet. Minus infinity before
    /// the first pane.
    features: Vec<[[f64; FEATURE_BETS]; 2]>,
    blocks: Vec<Block>,
}

/// A block that is filling, and what bets on blocks of its length have become.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Block {
    panes: u64,
    records: f64,
    /// By class; empty before the first pane.
    classes: Vec<f64>,
    /// Records by bucket of the season.
    places: Vec<(usize, f64)>,
    bets: [f64; BLOCK_BETS],
}

/// Evidence in one number, and what most of it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// ln of the odds against nothing having changed.
    pub nats: f64,
    pub channel: Channel,
    pub direction: Direction,
    /// Of the classes' channel: which.
    pub class: Option<usize>,
    /// Panes that are weighed at once: in a block, of the kl's channel; else one.
    pub panes: u64,
}

impl Evidence {
    pub fn new(detector: &Detector) -> Self {
        let block = Block {
            panes: 0,
            records: 0.0,
            classes: Vec::new(),
            places: Vec::new(),
            bets: [f64::NEG_INFINITY; BLOCK_BETS],
        };
        Self {
            features: vec![[[f64::NEG_INFINITY; FEATURE_BETS]; 2]; detector.features()],
            blocks: vec![block; detector.blocks().len()],
        }
    }

    /// Whether it can go on under the detector.
    pub fn fits(&self, detector: &Detector) -> bool {
        let is_bet = |bet: &f64| !bet.is_nan() && *bet < f64::INFINITY;
        let classes = detector.sums() - 1;
        let block = |(block, fit): (&Block, &BlockFit)| {
            block.panes < fit.panes
                && (block.classes.is_empty() || block.classes.len() == classes)
                && block.bets.iter().all(is_bet)
                && block
                    .places
                    .iter()
                    .all(|&(place, _)| place < detector.buckets())
        };
        self.features.len() == detector.features()
            && self.bets().iter().all(is_bet)
            && self.blocks.len() == detector.blocks().len()
            && self.blocks.iter().zip(detector.blocks()).all(block)
    }

    /// Takes in the pane that began at `start_ms`; those before it have been.
    pub fn step(&mut self, detector: &Detector, watch: Watch, start_ms: Millis, pane: &PaneSums) {
        let place = detector.place(start_ms);
        let watched = watch.features(self.features.len());
        let more = detector.feature_increments(watched.clone(), place, pane);
        let bets = self.features[watched].as_flattened_mut();
        grow(bets.as_flattened_mut(), more.as_flattened().as_flattened());
        if watch.kl {
            for (block, fit) in self.blocks.iter_mut().zip(detector.blocks()) {
                block.add(place, pane);
                if block.panes == fit.panes {
                    let Block {
                        records,
                        classes,
                        places,
                        ..
                    } = &*block;
                    let more = detector.block_increments(fit, *records, classes, places);
                    grow(&mut block.bets, &more);
                    block.empty();
                }
            }
        }
    }

    /// After an alarm: everything is to be shown anew, by panes that are still to come.
    pub fn restart(&mut self) {
        for bets in self.features.iter_mut().flatten() {
            bets.fill(f64::NEG_INFINITY);
        }
        for block in &mut self.blocks {
            block.bets.fill(f64::NEG_INFINITY);
            block.empty();
        }
    }

    /// What it amounts to; none before the first pane.
    pub fn read(&self, detector: &Detector, watch: Watch) -> Option<Reading> {
        let classes = self.features.len().saturating_sub(1);
        let watched = watch.features(self.features.len());
        let mut powers = self.features.clone();
        let powered = powers[watched].as_flattened_mut().as_flattened_mut();
        let mut greatest = greatest_of(powered);
        for block in self.blocks.iter().filter(|_| watch.kl) {
            greatest = greatest_of(&block.bets).max(greatest);
        }
        if !greatest.is_finite() {
            return None;
        }
        raise(powered, greatest);
        // In units of the greatest bet, so that none is too large.
        let mut sum = 0.0;
        let mut most: Option<(f64, Reading)> = None;
        let mut count = |part: f64, channel, direction, class, panes| {
            sum += part;
            if most.is_none_or(|(most, _)| part > most) {
                let reading = Reading {
                    nats: greatest,
                    channel,
                    direction,
                    class,
                    panes,
                };
                most = Some((part, reading));
            }
        };
        for (channel, weight) in shares(classes, self.blocks.len(), watch) {
            match channel {
                Channel::Kl => {
                    let each = weight / (self.blocks.len() * BLOCK_BETS) as f64;
                    for (block, fit) in self.blocks.iter().zip(detector.blocks()) {
                        let powers = block.bets.map(|bet| exp(bet - greatest));
                        let part = each * powers.iter().sum::<f64>();
                        count(part, channel, Direction::Up, None, fit.panes);
                    }
                }
                Channel::Entropy | Channel::Classes => {
                    let range = if channel == Channel::Entropy {
                        0..1
                    } else {
                        1..classes + 1
                    };
                    let bets = range.len() * Direction::BOTH.len() * FEATURE_BETS;
                    let each = weight / bets as f64;
                    for feature in range {
                        let class = detector.class(feature);
                        for (direction, powers) in Direction::BOTH.into_iter().zip(&powers[feature])
                        {
                            let part = each * powers.iter().sum::<f64>();
                            count(part, channel, direction, class, 1);
                        }
                    }
                }
            }
        }
        let nats = greatest + sum.ln();
        most.filter(|_| nats.is_finite())
            .map(|(_, most)| Reading { nats, ..most })
    }

    fn bets(&self) -> &[f64] {
        self.features.as_flattened().as_flattened()
    }
}

impl Block {
    fn add(&mut self, place: usize, pane: &PaneSums) {
        self.panes += 1;
        self.records += pane.records;
        super::add(&mut self.classes, pane.classes());
        match self.places.iter_mut().find(|(known, _)| *known == place) {
            Some((_, records)) => *records += pane.records,
            None => self.places.push((place, pane.records)),
        }
    }

    fn empty(&mut self) {
        self.panes = 0;
        self.records = 0.0;
        self.classes.fill(0.0);
        self.places.clear();
    }
}

widest! {
    /// M ← (1 + M) e^more, in logarithms: a new bet of 1 begins in every pane.
    fn grow(bets: &mut [f64], more: &[f64]) -> () {
        for (bet, more) in bets.iter_mut().zip(more) {
            let grown = ln_1p(exp(*bet));
            // From 37 on, adding 1 changes no digit.
            *bet = if *bet > 37.0 { *bet } else { grown } + more;
        }
    }
}

widest! {
    /// e^(bet - greatest) in place of each bet.
    fn raise(bets: &mut [f64], greatest: f64) -> () {
        for bet in bets {
            *bet = exp(*bet - greatest);
        }
    }
}

widest! {
    /// Minus infinity of none.
    fn greatest_of(bets: &[f64]) -> f64 {
        let (eights, rest) = bets.as_chunks::<LANES>();
        let mut greatest = [f64::NEG_INFINITY; LANES];
        for eight in eights {
            for (greatest, &bet) in greatest.iter_mut().zip(eight) {
                *greatest = if bet > *greatest { bet } else { *greatest };
            }
        }
        greatest.iter().chain(rest).copied().fold(f64::NEG_INFINITY, f64::max)
    }
}
