//! Traffic of a classifier that does not change, and what changes may befall it.
//!
//! A record is a softmax of logits, drawn from a pool: a true class by the shares of the classes, then
//! one of the pool's records of that class. What traffic does by itself is laid on top: the shares and
//! the certainty swing with the hour, a bias of the logits wanders, records repeat, panes differ in size.

use std::f64::consts::TAU;

use fastrand::Rng;
use klaxond::information::entropy::entropy;
use klaxond::observation::Millis;
use klaxond::summary::Summary;

const HOUR_MS: Millis = 60 * 60 * 1000;
pub const DAY_MS: Millis = 24 * HOUR_MS;

/// The class that becomes more frequent: the second most frequent.
const GROWING: usize = 1;
/// Standard deviation of the noise that a change adds to the logits.
const NOISE: f64 = 0.5;
/// The temperature that sharpened records have.
const SHARP: f64 = 0.8;

/// What a model does by itself, and none of it is a change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nature {
    /// Standard deviation of the bias of each logit, and the time in which it forgets.
    pub wander: Option<(f64, Millis)>,
    pub cycle: Option<Cycle>,
    pub sizes: Sizes,
    /// Each record comes one to five times.
    pub repeats: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Cycle {
    /// Classes and certainty swing with the hour, and the rate by 80 %.
    Daily,
    /// Half of that swing, and weekends with other classes, more certainty and 40 % of the records.
    Weekly,
}

#[derive(Clone, Copy, Debug, Default)]
pub enum Sizes {
    #[default]
    Poisson,
    /// Every pane has as many records.
    Fixed,
    /// Three in ten are empty; the others' sizes have a tail like x^-1.5.
    Bursts,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// One class becomes more frequent by this factor.
    Class(f64),
    Noise,
    Sharpening,
    /// Each class's probability goes to the next.
    Rotation,
}

impl Change {
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Class(1.25), "class × 1.25"),
        (Self::Class(1.5), "× 1.5"),
        (Self::Class(2.0), "× 2"),
        (Self::Noise, "noise"),
        (Self::Sharpening, "sharper"),
        (Self::Rotation, "rotated"),
    ];
}

/// Records of a classifier, by true class; the same with noise on their logits, and sharpened.
pub struct Pool {
    classes: usize,
    each: usize,
    plain: Vec<f64>,
    noisy: Vec<f64>,
    sharp: Vec<f64>,
}

impl Pool {
    pub fn new(classes: usize) -> Self {
        let mut random = Rng::with_seed(classes as u64);
        let each = (10_000 / classes).clamp(4, 1000);
        let (mut plain, mut noisy, mut sharp) = (Vec::new(), Vec::new(), Vec::new());
        for record in 0..classes * each {
            // Some records are hard.
            let certainty = (1.2 + (classes as f64).ln()) * (0.3 + 0.7 * random.f64());
            let mut logits: Vec<f64> = (0..classes).map(|_| normal(&mut random)).collect();
            logits[record / each] += certainty;
            plain.extend(softmax(logits.iter().copied()));
            sharp.extend(softmax(logits.iter().map(|logit| logit / SHARP)));
            let noise = (logits.iter()).map(|logit| logit + NOISE * normal(&mut random));
            noisy.extend(softmax(noise.collect::<Vec<f64>>().into_iter()));
        }
        Self {
            classes,
            each,
            plain,
            noisy,
            sharp,
        }
    }
}

fn softmax(logits: impl Iterator<Item = f64> + Clone) -> impl Iterator<Item = f64> {
    let sum: f64 = logits.clone().map(f64::exp).sum();
    logits.map(move |logit| logit.exp() / sum)
}

pub fn normal(random: &mut Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (TAU * random.f64()).cos()
}

fn poisson(random: &mut Rng, mean: f64) -> u64 {
    if mean > 50.0 {
        return (mean + mean.sqrt() * normal(random)).round().max(0.0) as u64;
    }
    let (mut product, mut count) = (random.f64(), 0);
    while product > (-mean).exp() {
        product *= random.f64();
        count += 1;
    }
    count
}

/// The records of one pane.
pub struct Pane {
    pub start_ms: Millis,
    pub summary: Summary,
    /// Of each record, in bits; empty unless it was asked for.
    pub entropies: Vec<f64>,
}

/// A stream, pane by pane.
#[derive(Clone)]
pub struct Traffic<'p> {
    pool: &'p Pool,
    nature: Nature,
    pane_ms: Millis,
    records: f64,
    next_ms: Millis,
    random: Rng,
    /// Of each logit.
    bias: Vec<f64>,
    keeps_entropies: bool,
}

impl<'p> Traffic<'p> {
    pub fn new(
        pool: &'p Pool,
        nature: Nature,
        (pane_ms, records): (Millis, f64),
        start_ms: Millis,
        seed: u64,
        keeps_entropies: bool,
    ) -> Self {
        let mut random = Rng::with_seed(seed);
        let sd = nature.wander.map_or(0.0, |(sd, _)| sd);
        let bias = (0..pool.classes).map(|_| sd * normal(&mut random));
        Self {
            bias: bias.collect(),
            pool,
            nature,
            pane_ms,
            records,
            next_ms: start_ms,
            random,
            keeps_entropies,
        }
    }

    pub fn pane(&mut self, change: Option<Change>) -> Pane {
        let start_ms = self.next_ms;
        self.next_ms += self.pane_ms;
        let hour = Hour::new(self.nature.cycle, start_ms);
        let tilt = self.wander();
        let cumulative = self.shares(&hour, change);
        let mut summary = Summary::new(self.pool.classes);
        let mut entropies = Vec::new();
        let mut p = vec![0.0; self.pool.classes];
        let size = self.size(self.records * hour.rate);
        let mut left = size;
        while left > 0 {
            self.draw(&mut p, &cumulative, hour.sharp, tilt.as_deref(), change);
            let repeats = if self.nature.repeats {
                self.random.u64(1..=5).min(left)
            } else {
                1
            };
            for _ in 0..repeats {
                summary.add(
                    &p,
                    start_ms + (self.pane_ms * (size - left) as Millis) / size as Millis,
                );
            }
            if self.keeps_entropies {
                entropies.resize(entropies.len() + repeats as usize, entropy(&p));
            }
            left -= repeats;
        }
        Pane {
            start_ms,
            summary,
            entropies,
        }
    }

    fn size(&mut self, mean: f64) -> u64 {
        match self.nature.sizes {
            Sizes::Fixed => mean.round() as u64,
            Sizes::Poisson => poisson(&mut self.random, mean),
            Sizes::Bursts if self.random.f64() < 0.3 => 0,
            // x^-1.5 from 1 on has a mean of 3.
            Sizes::Bursts => {
                let burst = (1.0 - self.random.f64()).powf(-1.0 / 1.5).min(60.0);
                (mean / 0.7 / 3.0 * burst).round() as u64
            }
        }
    }

    /// Moves the bias on, and says what each probability is multiplied by.
    fn wander(&mut self) -> Option<Vec<f64>> {
        let (sd, forgets_ms) = self.nature.wander?;
        let kept = (-(self.pane_ms as f64) / forgets_ms as f64).exp();
        let fresh = sd * (1.0 - kept * kept).sqrt();
        for bias in &mut self.bias {
            *bias = kept * *bias + fresh * normal(&mut self.random);
        }
        Some(self.bias.iter().map(|bias| bias.exp()).collect())
    }

    /// Cumulative shares of the true classes.
    fn shares(&self, hour: &Hour, change: Option<Change>) -> Vec<f64> {
        let classes = self.pool.classes;
        let share = |class: usize| {
            let mut share = 1.0 / ((class + 1) as f64).sqrt();
            if hour.swing != 0.0 {
                let phase = hour.phase + TAU * class as f64 / classes as f64;
                share *= (hour.swing * phase.sin()).exp();
            }
            if hour.is_weekend {
                share *= if class.is_multiple_of(2) { 1.3 } else { 0.8 };
            }
            share
        };
        let mut shares: Vec<f64> = (0..classes).map(share).collect();
        if let Some(Change::Class(factor)) = change {
            shares[GROWING] *= factor;
        }
        let sum: f64 = shares.iter().sum();
        let mut so_far = 0.0;
        for share in &mut shares {
            so_far += *share / sum;
            *share = so_far;
        }
        shares
    }

    fn draw(
        &mut self,
        p: &mut [f64],
        cumulative: &[f64],
        sharp: f64,
        tilt: Option<&[f64]>,
        change: Option<Change>,
    ) {
        let (classes, each) = (self.pool.classes, self.pool.each);
        let at = self.random.f64();
        let class = cumulative.partition_point(|&c| c < at).min(classes - 1);
        let record = class * each + self.random.usize(..each);
        let kind = match change {
            Some(Change::Sharpening) => &self.pool.sharp,
            _ if sharp > 0.0 && self.random.f64() < sharp => &self.pool.sharp,
            Some(Change::Noise) => &self.pool.noisy,
            _ => &self.pool.plain,
        };
        p.copy_from_slice(&kind[record * classes..][..classes]);
        if let Some(tilt) = tilt {
            let mut sum = 0.0;
            for (p, tilt) in p.iter_mut().zip(tilt) {
                *p *= tilt;
                sum += *p;
            }
            p.iter_mut().for_each(|p| *p /= sum);
        }
        if change == Some(Change::Rotation) {
            p.rotate_right(1);
        }
    }
}

/// What the cycle makes of a time.
struct Hour {
    phase: f64,
    /// Of the logarithm of the classes' shares.
    swing: f64,
    rate: f64,
    /// The share of records that are more certain.
    sharp: f64,
    is_weekend: bool,
}

impl Hour {
    fn new(cycle: Option<Cycle>, time_ms: Millis) -> Self {
        let phase = TAU * time_ms.rem_euclid(DAY_MS) as f64 / DAY_MS as f64;
        let is_weekend =
            matches!(cycle, Some(Cycle::Weekly)) && time_ms.div_euclid(DAY_MS).rem_euclid(7) >= 5;
        let (swing, weekend) = match cycle {
            None => (0.0, 1.0),
            Some(Cycle::Daily) => (0.3, 1.0),
            Some(Cycle::Weekly) => (0.15, if is_weekend { 0.4 } else { 1.0 }),
        };
        Self {
            phase,
            swing,
            rate: weekend
                * if swing > 0.0 {
                    1.0 + 0.8 * phase.sin()
                } else {
                    1.0
                },
            sharp: swing * (0.5 + 0.5 * phase.cos()) + if is_weekend { 0.2 } else { 0.0 },
            is_weekend,
        }
    }
}
