//! Budgets hold, roughly, on traffic that does not change: few runs, of sums drawn pane by pane. The bench
//! `false_alarms` does it with records, and in earnest.

use std::f64::consts::TAU;

use fastrand::Rng;

use super::detector::Detector;
use super::fit::Fit;
use super::log::{PaneLog, capacity};
use super::state::{Evidence, Watch};
use super::*;

const PANE_MS: Millis = 5 * 60 * 1000;
const DAY_PANES: usize = 288;
const WATCHED_DAYS: usize = 30;

const CLASSES: usize = 10;

/// Ten classes, about a hundred records a pane, and how the means of even classes move against those of
/// odd ones, as a share of them.
#[derive(Clone, Copy)]
struct Nature {
    /// Standard deviation of the bias that forgets within half an hour.
    wander: f64,
    /// How far the means go with the hour, and on weekends.
    daily: f64,
    weekend: f64,
}

struct Stream {
    nature: Nature,
    random: Rng,
    pane: usize,
    bias: f64,
}

impl Stream {
    fn new(nature: Nature, seed: u64) -> Self {
        Self {
            nature,
            random: Rng::with_seed(seed),
            pane: 0,
            bias: 0.0,
        }
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.random.f64()).ln()).sqrt() * (TAU * self.random.f64()).cos()
    }

    /// A pane whose means moved by a further share.
    fn next(&mut self, change: f64) -> (Millis, PaneSums) {
        /// Of a record's entropy and of each probability, about their means.
        const VARIANCE: f64 = 0.005;
        let phase = TAU * (self.pane % DAY_PANES) as f64 / DAY_PANES as f64;
        let kept = (-1.0_f64 / 6.0).exp();
        let fresh = self.nature.wander * (1.0 - kept * kept).sqrt();
        self.bias = kept * self.bias + fresh * self.normal();
        let is_weekend = self.pane / DAY_PANES % 7 >= 5;
        let weekend = if is_weekend { self.nature.weekend } else { 0.0 };
        let swing = change + self.bias + self.nature.daily * phase.sin() + weekend;
        let records = (100.0 * (1.0 + self.nature.daily * phase.sin() - weekend)).round();
        let noise: Vec<f64> = (0..CLASSES).map(|_| self.normal()).collect();
        let middle = noise.iter().sum::<f64>() / CLASSES as f64;
        let of = |mean: f64, noise: f64| records * mean + (records * VARIANCE).sqrt() * noise;
        let class = |(class, noise): (usize, &f64)| {
            let way = if class.is_multiple_of(2) { 1.0 } else { -1.0 };
            of((1.0 + way * swing) / CLASSES as f64, noise - middle)
        };
        let mut sums = vec![of(0.5, self.normal())];
        sums.extend(noise.iter().enumerate().map(class));
        let squares = (sums.iter()).map(|sum| sum * sum / records + records * VARIANCE);
        let pane = PaneSums {
            records,
            squares: squares.collect(),
            sums,
        };
        let start_ms = self.pane as Millis * PANE_MS;
        self.pane += 1;
        (start_ms, pane)
    }
}

/// One run: false alarms in the thirty days at a budget of one, and whether classes that become half as
/// frequent again are found within a day after.
fn run(nature: Nature, season: Option<Season>, baseline_days: usize, seed: u64) -> (u32, bool) {
    let mut stream = Stream::new(nature, seed);
    let (mut log, mut total) = (PaneLog::new(season), PaneSums::default());
    for _ in 0..baseline_days * DAY_PANES {
        let (start_ms, pane) = stream.next(0.0);
        total.add(&pane);
        log.add(start_ms, pane, capacity(1, CLASSES));
    }
    let span_ms = stream.pane as Millis * PANE_MS;
    let fit = Fit::new(&log, &total, span_ms, 1).unwrap();
    assert!(!fit.lacks_cycles());
    let detector = Detector::new(&fit, &total).unwrap();
    let line_nats = ((WATCHED_DAYS * DAY_PANES) as f64).ln();
    let mut evidence = Evidence::new(&detector);
    let mut alarms = |stream: &mut Stream, shift: f64| {
        let (start_ms, pane) = stream.next(shift);
        evidence.step(&detector, Watch::ALL, start_ms, &pane);
        let reading = evidence.read(&detector, Watch::ALL).unwrap();
        let alarms = reading.nats >= line_nats;
        if alarms {
            evidence.restart();
        }
        alarms
    };
    let watched = (0..WATCHED_DAYS * DAY_PANES).map(|_| u32::from(alarms(&mut stream, 0.0)));
    let false_alarms = watched.sum();
    let is_found = (0..DAY_PANES).any(|_| alarms(&mut stream, 0.5));
    (false_alarms, is_found)
}

/// Of so many runs, each with a baseline of its own.
fn false_alarms(nature: Nature, season: Option<Season>, baseline_days: usize, runs: u64) -> u32 {
    let of = |seed| {
        let (false_alarms, is_found) = run(nature, season, baseline_days, seed);
        assert!(is_found, "a change was not found in run {seed}");
        false_alarms
    };
    (0..runs).map(of).sum()
}

/// Four are allowed. Without the design effect there would be hundreds.
#[test]
fn a_mean_that_wanders_within_the_hour_raises_no_more_than_its_budget() {
    let wanders = Nature {
        wander: 0.2,
        daily: 0.0,
        weekend: 0.0,
    };
    let found = false_alarms(wanders, None, 7, 4);
    assert!(found <= 4, "{found} false alarms");
}

/// Where a third of a bucket's records are the batch's own, batches look calmer than fresh ones are.
#[test]
fn three_weeks_with_their_weekends_raise_no_more_than_their_budget() {
    let week = Nature {
        wander: 0.0,
        daily: 0.15,
        weekend: 0.3,
    };
    let found = false_alarms(week, Some(Season::Weekly), 21, 4);
    assert!(found <= 4, "{found} false alarms");
}
