//! Evidence in the engine: panes of a stream are weighed as they close, and rules with a budget of
//! false alarms are stepped on what they amount to.
//!
//! A pane is what begins to count with one closing: its records, and late ones that join older panes.
//! After an alarm the evidence begins anew. The alert fires on while evidence comes back, and ends with
//! the first window that lies wholly after the last alarm and whose means are inside their bands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::judge::{self, Measured, Voice};
use super::output::Output;
use super::spec::ModelSpec;
use super::state::StreamState;
use crate::alert::budget::{self, Budget, Crowd, EvidenceInfo};
use crate::alert::diagnosis::{self, Facts};
use crate::alert::state::{AlertState, Lines, Sign, Transition};
use crate::baseline::yardstick::Yardstick;
use crate::evidence::PaneSums;
use crate::evidence::state::{Evidence, Reading, Watch};
use crate::observation::{Millis, StreamKey};
use crate::window::WindowSpec;

/// Evidence of one rule on one stream, and what it is weighed by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Weighed {
    /// Baseline, version, and whose part of it.
    against: (String, u32, StreamKey),
    watch: Watch,
    evidence: Evidence,
    /// When the pane of the last alarm ended.
    alarmed_ms: Option<Millis>,
}

/// A pane of the stream that is to be weighed.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    pub(super) start_ms: Millis,
    pub(super) sums: PaneSums,
}

impl Fresh {
    /// Takes further records of the same closing in.
    pub(super) fn join(held: &mut Option<Self>, more: Option<Self>) {
        match (held, more) {
            (Some(held), Some(more)) => held.sums.add(&more.sums),
            (held @ None, more) => *held = more,
            (Some(_), None) => {}
        }
    }
}

/// What the evidence of one rule amounts to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict<'s> {
    budget: &'s Budget,
    reading: Reading,
    line_nats: f64,
    sharers: u64,
    alarms: bool,
}

impl Verdict<'_> {
    pub(super) fn info(&self) -> (String, EvidenceInfo) {
        let info = EvidenceInfo {
            bits: self.bits(),
            budget_bits: self.line_bits(),
            channel: self.reading.channel,
            direction: self.reading.direction,
        };
        (self.budget.name.clone(), info)
    }

    fn bits(&self) -> f64 {
        self.reading.nats / std::f64::consts::LN_2
    }

    fn line_bits(&self) -> f64 {
        self.line_nats / std::f64::consts::LN_2
    }
}

/// What weighing depends on beside the stream.
#[derive(Clone, Copy)]
pub(super) struct Weighing<'a> {
    pub(super) spec: &'a ModelSpec,
    pub(super) yardstick: Option<&'a Yardstick>,
    pub(super) crowd: Crowd,
    pub(super) voice: Voice,
}

impl StreamState {
    /// Weighs a pane for each of the rules, and notes what it amounts to with the window. Without
    /// a voice nothing is weighed: the evidence is another instance's.
    pub(super) fn weigh<'s>(
        &mut self,
        weighing: &Weighing<'_>,
        budgets: &[&'s Budget],
        fresh: Option<Fresh>,
        measured: &mut Measured,
    ) -> Vec<Verdict<'s>> {
        let (Some(yardstick), Voice::Aloud) = (weighing.yardstick, weighing.voice) else {
            return Vec::new();
        };
        // Count windows: a window closes with each pane.
        let newest = || {
            let pane = self.sliding.closed().next_back()?;
            let (start_ms, sums) = (pane.start_ms, PaneSums::of(&pane.summary)?);
            Some(Fresh { start_ms, sums })
        };
        let fresh = match weighing.spec.window {
            WindowSpec::Time { .. } => fresh,
            WindowSpec::Count { .. } if budgets.is_empty() => None,
            WindowSpec::Count { .. } => newest(),
        };
        let verdicts: Vec<Verdict<'s>> = (budgets.iter())
            .filter_map(|budget| self.weigh_one(budget, yardstick, fresh.as_ref(), weighing))
            .collect();
        measured.evidence = verdicts.iter().map(Verdict::info).collect();
        verdicts
    }

    fn weigh_one<'s>(
        &mut self,
        budget: &'s Budget,
        yardstick: &Yardstick,
        fresh: Option<&Fresh>,
        weighing: &Weighing<'_>,
    ) -> Option<Verdict<'s>> {
        let detector = yardstick.detector.as_ref()?;
        let baseline = yardstick.baseline();
        let against = (
            baseline.name.clone(),
            baseline.version,
            yardstick.stream.clone(),
        );
        let goes_on = |held: &Weighed| {
            held.against == against && held.watch == budget.watch && held.evidence.fits(detector)
        };
        let held = self.evidence.remove(&budget.name).filter(goes_on);
        let mut weighed = held.unwrap_or_else(|| Weighed {
            against,
            watch: budget.watch,
            evidence: Evidence::new(detector),
            alarmed_ms: None,
        });
        if let Some(fresh) = fresh {
            let evidence = &mut weighed.evidence;
            evidence.step(detector, budget.watch, fresh.start_ms, &fresh.sums);
        }
        let reading = weighed.evidence.read(detector, budget.watch);
        self.evidence.insert(budget.name.clone(), weighed);
        let line_nats = budget.line_nats(&weighing.spec.window, weighing.crowd);
        let reading = reading?;
        Some(Verdict {
            budget,
            reading,
            line_nats,
            sharers: budget.sharers(weighing.crowd),
            alarms: fresh.is_some() && reading.nats >= line_nats,
        })
    }

    /// Steps the alert of the rule that the verdict is on, and says what follows.
    pub(super) fn judge(
        &mut self,
        weighing: &Weighing<'_>,
        key: &StreamKey,
        verdict: &Verdict<'_>,
        measured: &Measured,
    ) -> Option<Output> {
        let (budget, yardstick) = (verdict.budget, weighing.yardstick?);
        let stays = verdict.alarms || !self.is_calm(budget, yardstick, measured);
        if let Some(weighed) = self
            .evidence
            .get_mut(&budget.name)
            .filter(|_| verdict.alarms)
        {
            weighed.evidence.restart();
            weighed.alarmed_ms = Some(measured.at_ms);
        }
        let alert = judge::entry(&mut self.alerts, &budget.name);
        let (value, line) = (verdict.bits(), verdict.line_bits());
        alert.last = Some((value, line));
        let sign = Sign {
            begins: verdict.alarms,
            stays,
        };
        let transition = alert
            .state
            .turn(sign, 0, budget.keep_firing_ms, measured.at_ms)?;
        let diagnosis = match transition {
            Transition::Fired { .. } => {
                let class = verdict
                    .reading
                    .class
                    .and_then(|class| self.classes.get(class));
                let said = budget::condition(
                    &verdict.reading,
                    verdict.line_nats,
                    class.map(String::as_str),
                    measured.at_ms,
                );
                let provisional = yardstick.learnt().is_provisional();
                let span = yardstick.summary().span();
                let span_ms = span.map_or(0, |(first, last)| last.saturating_sub(first));
                let promise = budget::promise(budget, verdict.sharers, span_ms, provisional);
                let reading = &verdict.reading;
                let channel = format!("{} {}", reading.channel.name(), reading.direction.name());
                let facts = Facts {
                    channel: Some(&channel),
                    ..measured.facts(key, Some(yardstick))
                };
                diagnosis::changed(&said, &promise, &facts)
            }
            Transition::Resolved { starts_ms, .. } => diagnosis::resolved(
                budget.subject(),
                Some(value),
                starts_ms,
                "has not come back for a window, whose means are inside their bands",
            ),
        };
        let lines = Lines {
            threshold: line,
            clear: line,
        };
        let said = (value, lines);
        let subject = budget.subject();
        Some(judge::alert_event(
            &weighing.spec.name,
            subject,
            key,
            transition,
            said,
            Some(measured),
            diagnosis,
        ))
    }

    /// Whether an alert of the rule that fires may end: the window has seen no alarm, and its means are
    /// inside their bands.
    fn is_calm(&self, budget: &Budget, yardstick: &Yardstick, measured: &Measured) -> bool {
        let Some(AlertState::Firing { starts_ms, .. }) =
            self.alerts.get(&budget.name).map(|alert| alert.state)
        else {
            return true;
        };
        let weighed = self.evidence.get(&budget.name);
        let alarmed_ms = weighed.and_then(|w| w.alarmed_ms).unwrap_or(starts_ms);
        if measured.start_ms < alarmed_ms {
            return false;
        }
        let sums = PaneSums::of(self.sliding.sum());
        let (Some(detector), Some(window)) = (&yardstick.detector, sums) else {
            return true;
        };
        let panes = self.sliding.closed();
        let places = detector.places(panes.map(|pane| (pane.start_ms, pane.summary.records())));
        detector.is_calm(&window, &places, budget.watch.entropy, budget.watch.classes)
    }
}

/// Evidence of a stream, by rule.
pub(super) type Evidences = BTreeMap<String, Weighed>;
