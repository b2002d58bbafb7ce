//! A baseline version as it is shown: what was learnt, and what rules can see with it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::budget::{Budget, Crowd};
use crate::alert::review::expected_records;
use crate::baseline::yardstick::Yardstick;
use crate::baseline::{Baseline, Source};
use crate::engine::spec::ModelSpec;
use crate::evidence::Season;
use crate::evidence::detector::{Detector, Direction};
use crate::evidence::fit::Fit;
use crate::observation::{StreamKey, rfc3339};
use crate::window::measures::{Measures, measures};

/// A baseline version as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    pub name: String,
    pub version: u32,
    pub active: bool,
    pub model: String,
    pub source: Source,
    pub created: String,
    pub records: u64,
    /// Of the first and the last record.
    pub from: Option<String>,
    pub to: Option<String>,
    /// Shorter than a day, or of few panes.
    pub provisional: bool,
    /// The baseline's own values of the measures that need none.
    pub measures: Measures,
    pub classes: Vec<ShownClass>,
    /// Records by stream, where there are dimensions.
    pub streams: Vec<ShownStream>,
    /// What divergences of a window are when nothing has changed; none where the model is not
    /// configured, or the baseline has no length.
    pub noise: Option<ShownNoise>,
    /// What rules with a budget weigh evidence by; none where nothing was fitted.
    pub evidence: Option<ShownEvidence>,
}

/// The noise floor at the configured window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownNoise {
    /// How many records a window is likely to hold.
    pub records: u64,
    pub kl: f64,
    pub jeffreys: f64,
    pub js: f64,
    pub tv: f64,
}

/// What was fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownEvidence {
    pub panes: u64,
    /// Mean records in one.
    pub pane_records: f64,
    /// As it was learnt with.
    pub season: Option<Season>,
    /// The baseline was too short for it: one mean stands for all hours.
    pub lacks_cycles: bool,
    /// How much more the means of long batches vary than those of independent records would.
    pub entropy_design_effect: f64,
    pub greatest_class_design_effect: f64,
    /// Lengths in panes of the blocks whose kl is watched.
    pub blocks: Vec<u64>,
    /// What the model's rules with a budget can see.
    pub sight: Vec<ShownSight>,
}

/// The smallest lasting shifts that one rule finds within so many windows, in half of the cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownSight {
    pub rule: String,
    pub budget_bits: f64,
    /// Windows that close meanwhile.
    pub within: u64,
    /// Mean bits a record; none: not even the greatest there can be.
    pub entropy_up: Option<f64>,
    pub entropy_down: Option<f64>,
    /// Of the class that is easiest to see: which, its share in the baseline, and how much more.
    pub class: Option<ShownShift>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownShift {
    pub class: String,
    pub from: f64,
    pub to: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownClass {
    pub class: String,
    /// Mean probability.
    pub probability: f64,
    /// Share of the records in which it was the most probable.
    pub chosen: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownStream {
    pub stream: StreamKey,
    pub records: u64,
}

pub(super) fn shown(baseline: &Arc<Baseline>, active: bool, spec: Option<&ModelSpec>) -> Shown {
    let whole = &baseline.whole;
    let yardstick = Yardstick::new(baseline, &StreamKey::whole(), &whole.classes, 0);
    let summary = &baseline.whole.summary;
    let records = summary.records();
    let (from, to) = summary
        .span()
        .map(|(from, to)| (rfc3339(from), rfc3339(to)))
        .unzip();
    let counts = summary.argmax_counts();
    let classes = baseline
        .whole
        .classes
        .iter()
        .zip(summary.mean())
        .zip(counts);
    Shown {
        name: baseline.name.clone(),
        version: baseline.version,
        active,
        model: baseline.model.clone(),
        source: baseline.source,
        created: rfc3339(baseline.created_ms),
        records,
        from,
        to,
        provisional: baseline.is_provisional(),
        measures: measures(summary, None),
        classes: classes
            .map(|((class, probability), count)| ShownClass {
                class: class.clone(),
                probability,
                chosen: count / (records as f64).max(1.0),
            })
            .collect(),
        streams: baseline
            .streams
            .iter()
            .filter(|(key, _)| !key.is_whole())
            .map(|(key, learnt)| ShownStream {
                stream: key.clone(),
                records: learnt.summary.records(),
            })
            .collect(),
        noise: spec.and_then(|spec| noise(spec, yardstick.as_ref()?)),
        evidence: yardstick.and_then(|yardstick| evidence(spec, &yardstick)),
    }
}

fn noise(spec: &ModelSpec, yardstick: &Yardstick) -> Option<ShownNoise> {
    let records = expected_records(&spec.window, yardstick)?;
    let noise = yardstick.reference.noise(records)?;
    Some(ShownNoise {
        records,
        kl: noise.kl,
        jeffreys: noise.jeffreys,
        js: noise.js,
        tv: noise.tv,
    })
}

fn evidence(spec: Option<&ModelSpec>, yardstick: &Yardstick) -> Option<ShownEvidence> {
    let (fit, detector) = (
        yardstick.learnt().fit.as_ref()?,
        yardstick.detector.as_ref()?,
    );
    let budgets = spec
        .into_iter()
        .flat_map(|spec| spec.budgets.iter().map(move |b| (spec, b)));
    let sight = budgets.flat_map(|(spec, budget)| {
        WITHIN.map(|within| sight(spec, budget, fit, yardstick, detector, within))
    });
    let classes = fit.design_effects.iter().skip(1).copied();
    Some(ShownEvidence {
        panes: fit.panes,
        pane_records: fit.pane_records,
        season: fit.season,
        lacks_cycles: fit.lacks_cycles(),
        entropy_design_effect: detector.design_effect(0),
        greatest_class_design_effect: classes.fold(1.0, f64::max),
        blocks: fit.blocks.iter().map(|block| block.panes).collect(),
        sight: sight.collect(),
    })
}

/// Within how many windows' closing shifts are to be found.
const WITHIN: [u64; 3] = [6, 60, 360];

fn sight(
    spec: &ModelSpec,
    budget: &Budget,
    fit: &Fit,
    yardstick: &Yardstick,
    detector: &Detector,
    within: u64,
) -> ShownSight {
    // As for one stream that is all of the traffic that the baseline saw.
    let line_nats = budget.line_nats(&spec.window, Crowd { model: 1, fleet: 1 });
    let shift = |feature, direction| {
        detector.smallest_shift(
            feature,
            direction,
            within,
            fit.pane_records,
            line_nats,
            budget.watch,
        )
    };
    let greatest_bits = yardstick.summary().greatest_entropy().unwrap_or_default();
    let bits = |direction| Some(shift(0, direction)? * greatest_bits);
    let classes = (1..detector.features()).filter_map(|feature| {
        let (class, up) = (detector.class(feature)?, shift(feature, Direction::Up)?);
        let from = detector.mean(feature, 0);
        let class = yardstick.learnt().classes.get(class)?.clone();
        Some(ShownShift {
            class,
            from,
            to: from + up,
        })
    });
    let least = classes.min_by(|a, b| (a.to - a.from).total_cmp(&(b.to - b.from)));
    ShownSight {
        rule: budget.name.clone(),
        budget_bits: line_nats / std::f64::consts::LN_2,
        within,
        entropy_up: bits(Direction::Up),
        entropy_down: bits(Direction::Down),
        class: least,
    }
}
