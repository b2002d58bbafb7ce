//! One run: a baseline of its own is learnt, thirty days are watched, then each change comes.

use std::sync::Arc;

use klaxond::alert::budget::{Allowance, Period};
use klaxond::baseline::Source;
use klaxond::baseline::learner::Learner;
use klaxond::baseline::yardstick::Yardstick;
use klaxond::evidence::PaneSums;
use klaxond::evidence::detector::Detector;
use klaxond::evidence::state::{Channel, Evidence, Watch};
use klaxond::observation::{Millis, StreamKey};

use super::others::{Firing, Learning, Others, RULES};
use super::scenario::Scenario;
use super::traffic::{Change, DAY_MS, Pane, Pool, Traffic};

pub const WATCHED_DAYS: Millis = 30;
/// A change that is not found in so long is not found.
const FOUND_WITHIN_DAYS: Millis = 2;

/// How long a change took to find, in panes; none where it was not found.
pub type Delays = [Option<u64>; Change::ALL.len()];

pub struct Outcome {
    pub is_provisional: bool,
    /// In the thirty days.
    pub false_alarms: u32,
    /// The same, by entropy, classes, kl.
    pub channels: [u32; 3],
    pub delays: Delays,
    /// By rule.
    pub others: Option<[(u32, Delays); RULES.len()]>,
}

/// Evidence held against its budget, as the engine does it.
#[derive(Clone)]
struct Budgeted {
    detector: Arc<Detector>,
    evidence: Evidence,
    line_nats: f64,
}

impl Budgeted {
    /// What an alarm comes from, where there is one.
    fn step(&mut self, pane: &Pane) -> Option<Channel> {
        let sums = PaneSums::of(&pane.summary)?;
        let Self {
            detector, evidence, ..
        } = self;
        evidence.step(detector, Watch::ALL, pane.start_ms, &sums);
        let reading = evidence.read(detector, Watch::ALL)?;
        let alarms = reading.nats >= self.line_nats;
        if alarms {
            evidence.restart();
        }
        alarms.then_some(reading.channel)
    }
}

pub fn run(scenario: &Scenario, pool: &Pool, run: u64) -> Outcome {
    // Each run begins at another hour of another day.
    let start_ms = run as Millis * 19 * DAY_MS / 24 / scenario.pane_ms * scenario.pane_ms;
    let size = (scenario.pane_ms, scenario.records);
    let seed = 1 + run;
    let mut traffic = Traffic::new(
        pool,
        scenario.nature,
        size,
        start_ms,
        seed,
        scenario.compares,
    );
    let (mut ours, mut others, is_provisional) = learn(scenario, &mut traffic);
    let mut outcome = Outcome {
        is_provisional,
        false_alarms: 0,
        channels: [0; 3],
        delays: Delays::default(),
        others: scenario.compares.then(Default::default),
    };
    let mut before = Firing::default();
    for _ in 0..WATCHED_DAYS * DAY_MS / scenario.pane_ms {
        let pane = traffic.pane(None);
        if let Some(channel) = ours.step(&pane) {
            outcome.false_alarms += 1;
            outcome.channels[channel as usize] += 1;
        }
        if let (Some(others), Some(counts)) = (&mut others, &mut outcome.others) {
            let firing = others.step(&pane);
            for (rule, (alarms, _)) in counts.iter_mut().enumerate() {
                *alarms += u32::from(firing[rule] && !before[rule]);
            }
            before = firing;
        }
    }
    for (at, (change, _)) in Change::ALL.into_iter().enumerate() {
        let (mut traffic, mut ours, mut others) = (traffic.clone(), ours.clone(), others.clone());
        for pane_at in 1..=(FOUND_WITHIN_DAYS * DAY_MS / scenario.pane_ms) as u64 {
            let pane = traffic.pane(Some(change));
            let own = &mut outcome.delays[at];
            if own.is_none() && ours.step(&pane).is_some() {
                *own = Some(pane_at);
            }
            let all_found = own.is_some();
            let Some((others, counts)) = others.as_mut().zip(outcome.others.as_mut()) else {
                if all_found {
                    break;
                }
                continue;
            };
            let firing = others.step(&pane);
            for (rule, (_, delays)) in counts.iter_mut().enumerate() {
                if firing[rule] && delays[at].is_none() {
                    delays[at] = Some(pane_at);
                }
            }
        }
    }
    outcome
}

/// From the first days of the traffic: by the learner that the engine uses, and the other tools.
fn learn(scenario: &Scenario, traffic: &mut Traffic<'_>) -> (Budgeted, Option<Others>, bool) {
    let (window, stream) = (scenario.window(), StreamKey::whole());
    let classes: Vec<String> = (0..scenario.classes)
        .map(|class| class.to_string())
        .collect();
    let mut learner = Learner::new(window, scenario.season);
    let mut learning =
        (scenario.compares).then(|| Learning::new(scenario.classes, scenario.window));
    for _ in 0..scenario.baseline_days * DAY_MS / scenario.pane_ms {
        let pane = traffic.pane(None);
        if pane.summary.records() > 0 {
            learner.add_pane(&stream, &classes, pane.start_ms, &pane.summary);
        }
        if let Some(learning) = &mut learning {
            learning.add(&pane);
        }
    }
    let baseline = learner.finish("b", "m", Source::Learnt, 0);
    let baseline = Arc::new(baseline.expect("there were records"));
    let is_provisional = baseline.is_provisional();
    let yardstick = Yardstick::new(&baseline, &stream, &classes, 1000).expect("the same classes");
    let detector = Arc::new(yardstick.detector.expect("more than one class"));
    let allowance = Allowance {
        alarms: 1,
        period: Period::Time(WATCHED_DAYS * DAY_MS),
        text: String::new(),
    };
    let windows = (WATCHED_DAYS * DAY_MS / scenario.pane_ms) as usize / scenario.window;
    let budgeted = Budgeted {
        evidence: Evidence::new(&detector),
        detector,
        line_nats: allowance.panes(&window).ln(),
    };
    (
        budgeted,
        learning.map(|learning| learning.finish(windows)),
        is_provisional,
    )
}
