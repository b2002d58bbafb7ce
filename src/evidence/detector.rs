//! A fit made ready to weigh panes by, and what one pane says.
//!
//! For a feature x in [0, 1] whose mean is at most `hi` while nothing has changed, a bet λ in [0, 1) on
//! more multiplies its stake, record by record, by at most exp(λ y - ψ(λ) y²), y = (x - hi)/hi ≥ -1 and
//! ψ(λ) = -ln(1 - λ) - λ (Fan, Grama & Liu 2015, Lemma 4.1): its mean is at most 1. Over a pane that needs
//! only Σx and Σx². A bet on less looks at 1 - x in the same way. The kl of a block is taken to be gamma
//! distributed; the likelihood ratio of a gamma distribution whose mean is 1 + κ times as great has mean
//! 1. Tempering divides the logarithm by the design effect.

use std::ops::Range;

use super::fit::{BlockFit, Fit, LEAST_MEAN, Shares, features_of, mixture};
use super::state::Watch;
use super::{ALPHA, Bucket, PaneSums, Season, bucket, dot, log_shares, negative_entropy, quantile};
use crate::information::exp::ln_1p;
use crate::information::vector::widest;
use crate::observation::Millis;

/// Bets on a feature, in its standard deviations: what a bet that knew the shift would stake on shifts
/// from 3 % of one up.
const BETS: [f64; 6] = [0.03, 0.06, 0.12, 0.24, 0.48, 0.96];
pub const FEATURE_BETS: usize = BETS.len();
/// A stake is never more than so much of what is there.
const MOST_STAKED: f64 = 0.8;

/// Bets on blocks: how many standard deviations more their kl is.
const KAPPAS: [f64; 4] = [0.5, 1.0, 2.0, 4.0];
pub const BLOCK_BETS: usize = KAPPAS.len();

/// Edges of bands stay so far inside of [0, 1].
const LEAST_EDGE: f64 = 1e-6;

/// Which way a mean went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Up,
    Down,
}

impl Direction {
    pub const BOTH: [Self; 2] = [Self::Up, Self::Down];

    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What panes are weighed by.
#[derive(Clone, Debug)]
pub struct Detector {
    features: Vec<Feature>,
    season: Option<Season>,
    /// By bucket of the season; one without.
    places: Vec<Place>,
    blocks: Vec<BlockFit>,
    /// Of the sums and squares of panes.
    lengths: (usize, usize),
    /// Half the width of a band, in standard errors.
    z: f64,
}

/// A feature that is bet on.
#[derive(Clone, Copy, Debug)]
struct Feature {
    /// Its place in [`PaneSums`].
    at: usize,
    variance: f64,
    design_effect: f64,
}

/// Where traffic stands in one bucket of the season.
#[derive(Clone, Debug)]
struct Place {
    records: f64,
    /// By feature that is bet on.
    means: Vec<f64>,
    /// By feature: between which the mean may lie while nothing has changed.
    bands: Vec<(f64, f64)>,
    /// ln q by class.
    log_shares: Vec<f64>,
}

/// A pane as the bets on a feature's mean having gone in one direction have it.
struct Side {
    /// λ
    stakes: [f64; FEATURE_BETS],
    /// Σy and Σy²
    first: f64,
    second: f64,
    design_effect: f64,
}

widest! {
    /// ψ(λ) in place of λ.
    fn replace_by_psi(stakes: &mut [f64]) -> () {
        for stake in stakes {
            *stake = -ln_1p(-*stake) - *stake;
        }
    }
}

impl Detector {
    /// Of what was fitted to the records of `total`. None where the two do not belong together.
    pub fn new(fit: &Fit, total: &PaneSums) -> Option<Self> {
        if total.records <= 0.0 || !fit.is_sound(total) {
            return None;
        }
        let whole = Bucket {
            records: total.records,
            sums: total.sums.clone(),
        };
        let buckets = fit
            .buckets
            .as_deref()
            .unwrap_or(std::slice::from_ref(&whole));
        let at: Vec<usize> = features_of(&fit.classes).collect();
        let place = |bucket: &Bucket| {
            let bucket = if bucket.sums.is_empty() {
                &whole
            } else {
                bucket
            };
            Place {
                records: bucket.records,
                means: at
                    .iter()
                    .map(|&at| bucket.sums[at] / bucket.records)
                    .collect(),
                bands: Vec::new(),
                log_shares: log_shares(bucket.records, bucket.sums[1..].iter().copied()),
            }
        };
        let places: Vec<Place> = buckets.iter().map(place).collect();
        let spread = fit.variances.iter().zip(&fit.design_effects);
        let features: Vec<Feature> = (at.iter().zip(spread))
            .map(|(&at, (&variance, &design_effect))| Feature {
                at,
                variance,
                design_effect,
            })
            .collect();
        let bands = (features.len() * places.len()) as f64;
        let mut detector = Self {
            z: quantile::normal(1.0 - ALPHA / (2.0 * bands)),
            features,
            season: fit.buckets.is_some().then_some(fit.season).flatten(),
            places,
            blocks: fit.blocks.clone(),
            lengths: (total.sums.len(), total.squares.len()),
        };
        for place in 0..detector.places.len() {
            let features = 0..detector.features.len();
            let bands = features.map(|feature| detector.band(feature, place, 0.0));
            detector.places[place].bands = bands.collect();
        }
        Some(detector)
    }

    /// Features that are bet on: the entropy first.
    pub fn features(&self) -> usize {
        self.features.len()
    }

    /// The class of a feature that is one's probability.
    pub fn class(&self, feature: usize) -> Option<usize> {
        self.features[feature].at.checked_sub(1)
    }

    /// The baseline's mean of a feature in a bucket of the season.
    pub fn mean(&self, feature: usize, place: usize) -> f64 {
        self.places[place].means[feature]
    }

    pub fn variance(&self, feature: usize) -> f64 {
        self.features[feature].variance
    }

    pub fn design_effect(&self, feature: usize) -> f64 {
        self.features[feature].design_effect
    }

    /// Where the feature is in the sums of [`PaneSums`], and how many those are.
    pub(super) fn at(&self, feature: usize) -> usize {
        self.features[feature].at
    }

    pub(super) fn sums(&self) -> usize {
        self.lengths.0
    }

    pub fn blocks(&self) -> &[BlockFit] {
        &self.blocks
    }

    pub fn buckets(&self) -> usize {
        self.places.len()
    }

    pub(super) fn place(&self, time_ms: Millis) -> usize {
        bucket(self.season, time_ms)
    }

    /// What each bet on the means of these features having gone in a direction makes of a pane, by
    /// feature and direction: increments of its logarithm, tempered.
    pub(super) fn feature_increments(
        &self,
        features: Range<usize>,
        place: usize,
        pane: &PaneSums,
    ) -> Vec<[[f64; FEATURE_BETS]; 2]> {
        let side = |feature, direction| self.side(feature, direction, place, pane);
        let sides: Vec<[Side; 2]> = features
            .map(|feature| Direction::BOTH.map(|direction| side(feature, direction)))
            .collect();
        let mut psis: Vec<[[f64; FEATURE_BETS]; 2]> = (sides.iter())
            .map(|both| [both[0].stakes, both[1].stakes])
            .collect();
        replace_by_psi(psis.as_flattened_mut().as_flattened_mut());
        for (side, psis) in sides.as_flattened().iter().zip(psis.as_flattened_mut()) {
            for (psi, stake) in psis.iter_mut().zip(side.stakes) {
                *psi = (stake * side.first - *psi * side.second) / side.design_effect;
            }
        }
        psis
    }

    fn side(&self, feature: usize, direction: Direction, place: usize, pane: &PaneSums) -> Side {
        let Feature {
            at,
            variance,
            design_effect,
        } = self.features[feature];
        let (low, high) = self.places[place].bands[feature];
        let (n, sum, squares) = (pane.records, pane.sums[at], pane.squares[at]);
        let (edge, off) = match direction {
            Direction::Up => (high, sum - n * high),
            Direction::Down => (1.0 - low, n * low - sum),
        };
        let against = match direction {
            Direction::Up => high,
            Direction::Down => low,
        };
        let second = (squares - 2.0 * against * sum + n * against * against) / (edge * edge);
        let scale = (variance.sqrt() / edge).max(1e-9);
        Side {
            stakes: BETS.map(|bet| (bet / scale).min(MOST_STAKED)),
            first: off / edge,
            second,
            design_effect,
        }
    }

    /// Where the mean of a feature may lie while nothing has changed; wider for the mean of a sample,
    /// by the reciprocal of its records.
    fn band(&self, feature: usize, place: usize, per_record: f64) -> (f64, f64) {
        let Feature {
            variance,
            design_effect,
            ..
        } = self.features[feature];
        let place = &self.places[place];
        let mean = place.means[feature].max(LEAST_MEAN);
        let error = variance * design_effect * (1.0 / place.records + per_record);
        let half = self.z * error.sqrt();
        let high = (mean + half).clamp(LEAST_EDGE, 1.0 - LEAST_EDGE);
        ((mean - half).clamp(0.0, 1.0 - LEAST_EDGE), high)
    }

    /// The same for the records of a block.
    pub(super) fn block_increments(
        &self,
        block: &BlockFit,
        records: f64,
        classes: &[f64],
        places: &[(usize, f64)],
    ) -> [f64; BLOCK_BETS] {
        let kl = self.block_kl(records, classes, places) / block.records;
        let ratio = kl / block.mean;
        KAPPAS.map(|kappa| {
            let kappa = kappa / block.shape.sqrt();
            let log = ratio * (kappa / (1.0 + kappa)) - kappa.ln_1p();
            block.shape * log / block.design_effect
        })
    }

    /// n·kl from the baseline, in nats.
    pub(super) fn block_kl(&self, records: f64, classes: &[f64], places: &[(usize, f64)]) -> f64 {
        let negative = negative_entropy(records, classes);
        let own = match places {
            [] => 0.0,
            [(only, _)] => dot(classes, &self.places[*only].log_shares),
            _ => {
                let all: Vec<Vec<f64>> = self.places.iter().map(|p| p.log_shares.clone()).collect();
                match mixture(&all, places.iter().copied()) {
                    Shares::One(log_shares) => dot(classes, log_shares),
                    Shares::Mixed(log_shares) => dot(classes, &log_shares),
                }
            }
        };
        negative - own
    }

    /// Whether the means of a window lie where the baseline's own would; for the kl, those of the
    /// classes. `places` says how many of its records are of which bucket.
    pub fn is_calm(&self, window: &PaneSums, places: &[(usize, f64)], watch: Watch) -> bool {
        let inside = |feature: usize| {
            let (mut low, mut high) = (0.0, 0.0);
            for &(place, records) in places {
                let band = self.band(feature, place, 1.0 / window.records);
                low += band.0 * records / window.records;
                high += band.1 * records / window.records;
            }
            let mean = window.sums[self.features[feature].at] / window.records;
            (low..=high).contains(&mean)
        };
        let watched = |feature: &usize| watch.has(*feature) || *feature > 0 && watch.kl;
        (0..self.features.len()).filter(watched).all(inside)
    }

    /// Whether panes with these sums are of such records as it was fitted to.
    pub fn weighs(&self, pane: &PaneSums) -> bool {
        (pane.sums.len(), pane.squares.len()) == self.lengths
    }

    /// How many of a window's records are of which bucket, from the starts of its panes.
    pub fn places(&self, panes: impl Iterator<Item = (Millis, u64)>) -> Vec<(usize, f64)> {
        let mut places: Vec<(usize, f64)> = Vec::new();
        for (start_ms, records) in panes {
            let place = self.place(start_ms);
            match places.iter_mut().find(|(known, _)| *known == place) {
                Some((_, held)) => *held += records as f64,
                None => places.push((place, records as f64)),
            }
        }
        places
    }
}
