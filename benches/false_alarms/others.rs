//! The rules that other tools use, on the same panes.

use std::collections::VecDeque;

use klaxond::information::divergence::{kl, smooth_probabilities};
use klaxond::summary::Summary;
use statrs::distribution::{ChiSquared, ContinuousCDF as _};

use super::traffic::Pane;

/// Each with whether it looks at back-to-back windows; the others look at every pane's window.
pub const RULES: [&str; 7] = [
    "kl > 0.1 bits",
    "kl > 0.01 nats",
    "kl, chunks' mean ± 3 sd",
    "entropy, chunks' mean ± 3 sd",
    "χ² of the labels, p < 0.05",
    "the same, p < 0.05 / windows",
    "Page–Hinkley on entropy",
];

/// Which of them fire.
pub type Firing = [bool; RULES.len()];

/// What is learnt from the baseline.
pub struct Learning {
    panes: usize,
    chunks: Vec<Summary>,
    chunk: Chunk,
    whole: Summary,
    page_hinkley: PageHinkley,
}

/// The rules, ready, over windows and chunks of so many panes.
#[derive(Clone)]
pub struct Others {
    panes: usize,
    window: VecDeque<Summary>,
    sum: Summary,
    chunk: Chunk,
    /// Smoothed.
    q: Vec<f64>,
    labels: Vec<f64>,
    /// Mean and three standard deviations, of kl in bits and of entropy.
    kl_band: (f64, f64),
    entropy_band: (f64, f64),
    /// χ² at which each of the two rules fires.
    lines: [f64; 2],
    page_hinkley: PageHinkley,
    last: Firing,
}

/// Panes that are gathered into a back-to-back window.
#[derive(Clone)]
struct Chunk {
    gathered: usize,
    summary: Summary,
}

impl Chunk {
    fn new(classes: usize) -> Self {
        Self {
            gathered: 0,
            summary: Summary::new(classes),
        }
    }

    /// The chunk, when the pane completes it.
    fn add(&mut self, panes: usize, pane: &Summary) -> Option<Summary> {
        self.summary.merge(pane);
        self.gathered += 1;
        (self.gathered == panes).then(|| {
            let empty = Self::new(pane.classes());
            std::mem::replace(self, empty).summary
        })
    }
}

impl Learning {
    pub fn new(classes: usize, panes: usize) -> Self {
        Self {
            panes,
            chunks: Vec::new(),
            chunk: Chunk::new(classes),
            whole: Summary::new(classes),
            page_hinkley: PageHinkley::default(),
        }
    }

    pub fn add(&mut self, pane: &Pane) {
        self.whole.merge(&pane.summary);
        let chunk = self.chunk.add(self.panes, &pane.summary);
        self.chunks
            .extend(chunk.filter(|chunk| chunk.records() > 0));
        self.page_hinkley.add(&pane.entropies);
    }

    /// To watch so many windows.
    pub fn finish(self, windows: usize) -> Others {
        let classes = self.whole.classes();
        let q = smooth_probabilities(&self.whole.probability_sums());
        let labels = self.whole.argmax_counts();
        let seen = labels.iter().filter(|&&count| count > 0.0).count();
        let chi_squared = ChiSquared::new((seen - 1) as f64).unwrap();
        let line = |p: f64| chi_squared.inverse_cdf(1.0 - p);
        Others {
            panes: self.panes,
            window: VecDeque::new(),
            sum: Summary::new(classes),
            chunk: Chunk::new(classes),
            kl_band: band(self.chunks.iter().map(|chunk| kl(&chunk.mean(), &q))),
            entropy_band: band(self.chunks.iter().map(Summary::entropy)),
            lines: [line(0.05), line(0.05 / windows as f64)],
            q,
            labels,
            page_hinkley: self.page_hinkley,
            last: Firing::default(),
        }
    }
}

fn band(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    (mean, 3.0 * (squares / (count - 1.0)).sqrt())
}

fn is_outside((mean, half): (f64, f64), value: f64) -> bool {
    (value - mean).abs() > half
}

impl Others {
    /// What fires with this pane. A rule that has nothing to look at says what it said.
    pub fn step(&mut self, pane: &Pane) -> Firing {
        let mut firing = self.last;
        self.slide(&pane.summary);
        if self.window.len() == self.panes && self.sum.records() > 0 {
            let kl_bits = kl(&self.sum.mean(), &self.q);
            firing[0] = kl_bits > 0.1;
            firing[1] = kl_bits * std::f64::consts::LN_2 > 0.01;
            let statistic = chi_squared(&self.labels, &self.sum.argmax_counts());
            firing[4] = statistic > self.lines[0];
            firing[5] = statistic > self.lines[1];
        }
        if let Some(chunk) = self.chunk.add(self.panes, &pane.summary)
            && chunk.records() > 0
        {
            firing[2] = is_outside(self.kl_band, kl(&chunk.mean(), &self.q));
            firing[3] = is_outside(self.entropy_band, chunk.entropy());
        }
        firing[6] = self.page_hinkley.add(&pane.entropies);
        self.last = firing;
        firing
    }

    fn slide(&mut self, pane: &Summary) {
        self.sum.merge(pane);
        self.window.push_back(pane.clone());
        if self.window.len() > self.panes
            && let Some(gone) = self.window.pop_front()
        {
            self.sum.subtract(&gone);
        }
    }
}

/// Pearson's, of two samples of counts.
fn chi_squared(baseline: &[f64], window: &[f64]) -> f64 {
    let (whole, part): (f64, f64) = (baseline.iter().sum(), window.iter().sum());
    let term = |(b, w): (&f64, &f64)| {
        let both = b + w;
        if both == 0.0 {
            return 0.0;
        }
        let (expected_b, expected_w) =
            (both * whole / (whole + part), both * part / (whole + part));
        (b - expected_b).powi(2) / expected_b + (w - expected_w).powi(2) / expected_w
    };
    baseline.iter().zip(window).map(term).sum()
}

/// As River has it, with its defaults, both ways, record by record.
#[derive(Clone, Default)]
struct PageHinkley {
    records: f64,
    mean: f64,
    up: f64,
    least: f64,
    down: f64,
    most: f64,
}

impl PageHinkley {
    const LEAST_RECORDS: f64 = 30.0;
    const DELTA: f64 = 0.005;
    const LAMBDA: f64 = 50.0;
    const FORGETS: f64 = 0.9999;

    /// Whether a change was found; after one it begins anew.
    fn add(&mut self, entropies: &[f64]) -> bool {
        let mut found = false;
        for &x in entropies {
            self.records += 1.0;
            self.mean += (x - self.mean) / self.records;
            let off = x - self.mean;
            self.up = Self::FORGETS * self.up + off - Self::DELTA;
            self.least = self.least.min(self.up);
            self.down = Self::FORGETS * self.down + off + Self::DELTA;
            self.most = self.most.max(self.down);
            let test = (self.up - self.least).max(self.most - self.down);
            if self.records >= Self::LEAST_RECORDS && test > Self::LAMBDA {
                found = true;
                *self = Self::default();
            }
        }
        found
    }
}
