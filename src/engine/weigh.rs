//! Evidence in the engine: panes of a stream are weighed as they close, and rules with a budget of
//! false alarms are stepped on what they amount to.
//!
//! A pane is what begins to count with one closing: its records, and late ones that join older panes.
//! After an alarm the evidence begins anew. A window is too short to show a shift that evidence needed
//! hours to find, so an alert ends only when such a shift would have alarmed again: when no alarm has
//! come for a window, and for as long as the slowest of the episode took to build, when evidence is no more
//! than chance makes, and the window's means are inside their bands. Then the evidence begins anew once
//! more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::judge::{self, Measured, Voice};
use super::output::Output;
use super::spec::ModelSpec;
use super::state::StreamState;
use crate::alert::budget::{self, Budget, Crowd, EvidenceInfo, Since};
use crate::alert::diagnosis::{self, Facts, class_shifts};
use crate::alert::event::Diagnosis;
use crate::alert::state::{AlertState, Lines, Sign, Transition};
use crate::baseline::yardstick::Yardstick;
use crate::evidence::PaneSums;
use crate::evidence::state::{Channel, Evidence, Reading, Watch};
use crate::observation::{Millis, StreamKey, can_be_time, rfc3339};
use crate::summary::Summary;
use crate::window::WindowSpec;
use crate::window::measures::{Measure, measures};

/// Evidence of one rule on one stream, and what it is weighed by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Weighed {
    /// Baseline, version, and whose part of it.
    against: (String, u32, StreamKey),
    watch: Watch,
    evidence: Evidence,
    /// Panes since it began.
    panes: u64,
    /// When the last pane ended after which it was at most half way to an alarm, in logarithms.
    rising_ms: Millis,
    /// When the pane of the last alarm ended.
    alarmed_ms: Option<Millis>,
    /// How long the slowest alarm of the episode took to build.
    patience_ms: Millis,
}

/// No alert waits longer for an alarm that does not come.
const MOST_PATIENCE_MS: Millis = 24 * 60 * 60 * 1000;

impl Weighed {
    /// Everything is to be shown anew by what comes after `at_ms`.
    fn restart(&mut self, at_ms: Millis) {
        self.evidence.restart();
        self.panes = 0;
        self.rising_ms = at_ms;
    }

    /// Takes note of an alarm with the pane that ended at `at_ms`, whose evidence rose since `since_ms`.
    fn alarm(&mut self, since_ms: Millis, at_ms: Millis, is_firing: bool) {
        // It doubled its logarithm since; so it took about twice as long in all.
        let took_ms = at_ms.saturating_sub(since_ms).saturating_mul(2);
        let before_ms = if is_firing { self.patience_ms } else { 0 };
        self.patience_ms = took_ms.max(before_ms).clamp(0, MOST_PATIENCE_MS);
        self.alarmed_ms = Some(at_ms);
        self.restart(at_ms);
    }

    /// Whether its times can be counted with.
    pub(super) fn is_sound(&self) -> bool {
        let times = [self.rising_ms, self.patience_ms];
        self.panes < 1 << 62 && times.into_iter().chain(self.alarmed_ms).all(can_be_time)
    }
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
            .filter_map(|budget| {
                self.weigh_one(budget, yardstick, fresh.as_ref(), measured.at_ms, weighing)
            })
            .collect();
        measured.evidence = verdicts.iter().map(Verdict::info).collect();
        verdicts
    }

    fn weigh_one<'s>(
        &mut self,
        budget: &'s Budget,
        yardstick: &Yardstick,
        fresh: Option<&Fresh>,
        at_ms: Millis,
        weighing: &Weighing<'_>,
    ) -> Option<Verdict<'s>> {
        let detector = yardstick.detector.as_ref()?;
        // Records of another kind than the baseline's cannot be weighed by it.
        let fresh = fresh.filter(|fresh| detector.weighs(&fresh.sums));
        let baseline = yardstick.baseline();
        let goes_on = |held: &Weighed| {
            let (name, version, stream) = &held.against;
            (name, *version, stream) == (&baseline.name, baseline.version, &yardstick.stream)
                && held.watch == budget.watch
                && held.evidence.fits(detector)
        };
        if !self.evidence.get(&budget.name).is_some_and(goes_on) {
            let begun = Weighed {
                against: (
                    baseline.name.clone(),
                    baseline.version,
                    yardstick.stream.clone(),
                ),
                watch: budget.watch,
                evidence: Evidence::new(detector),
                panes: 0,
                rising_ms: fresh.map_or(at_ms, |fresh| fresh.start_ms),
                alarmed_ms: None,
                patience_ms: 0,
            };
            self.evidence.insert(budget.name.clone(), begun);
        }
        let weighed = self.evidence.get_mut(&budget.name)?;
        let line_nats = budget.line_nats(&weighing.spec.window, weighing.crowd);
        if let Some(fresh) = fresh {
            let evidence = &mut weighed.evidence;
            evidence.step(detector, budget.watch, fresh.start_ms, &fresh.sums);
            weighed.panes += 1;
        }
        let reading = weighed.evidence.read(detector, budget.watch);
        if reading.is_none_or(|reading| reading.nats <= line_nats / 2.0) {
            weighed.rising_ms = at_ms;
        }
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
        let stays = verdict.alarms || !self.is_calm(verdict, yardstick, measured);
        let since_ms = self.since(verdict, measured);
        let alert = judge::entry(&mut self.alerts, &budget.name);
        let is_firing = matches!(alert.state, AlertState::Firing { .. });
        let (value, line) = (verdict.bits(), verdict.line_bits());
        alert.last = Some((value, line));
        let sign = Sign {
            begins: verdict.alarms,
            stays,
        };
        let at_ms = measured.at_ms;
        let transition = alert.state.turn(sign, 0, budget.keep_firing_ms, at_ms);
        if let Some(weighed) = self.evidence.get_mut(&budget.name) {
            if verdict.alarms {
                weighed.alarm(since_ms, at_ms, is_firing);
            } else if let Some(Transition::Resolved { .. }) = transition {
                weighed.restart(at_ms);
            }
        }
        let transition = transition?;
        let diagnosis = match transition {
            Transition::Fired { .. } => self.diagnose(key, verdict, yardstick, measured, since_ms),
            Transition::Resolved { starts_ms, .. } => Diagnosis {
                summary: format!(
                    "over: no evidence of change has come back for as long as it took, and the \
                     window's means are inside their bands; it began at {}",
                    rfc3339(starts_ms)
                ),
                ..Diagnosis::default()
            },
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

    /// Since when the evidence has risen: at least for the block of panes that most of it comes from.
    fn since(&self, verdict: &Verdict<'_>, measured: &Measured) -> Millis {
        let panes = self.sliding.closed().count().max(1) as Millis;
        let pane_ms = (measured.at_ms - measured.start_ms) / panes;
        let weighed = self.evidence.get(&verdict.budget.name);
        let rising_ms = weighed.map_or(measured.start_ms, |weighed| weighed.rising_ms);
        let block_ms = pane_ms.saturating_mul(verdict.reading.panes as Millis);
        rising_ms.min(measured.at_ms.saturating_sub(block_ms))
    }

    /// What changed, from the panes since the evidence began to rise: the window may still be full of
    /// what was before.
    fn diagnose(
        &self,
        key: &StreamKey,
        verdict: &Verdict<'_>,
        yardstick: &Yardstick,
        measured: &Measured,
        since_ms: Millis,
    ) -> Diagnosis {
        let (budget, reading) = (verdict.budget, &verdict.reading);
        let mut panes = self.sliding.closed().rev();
        let Some(newest) = panes.next() else {
            return Diagnosis::default();
        };
        let (mut part, mut start_ms) = (newest.summary.clone(), newest.start_ms);
        for pane in panes.take_while(|pane| pane.start_ms >= since_ms) {
            part.merge(&pane.summary);
            start_ms = pane.start_ms;
        }
        let values = measures(&part, Some(&yardstick.reference));
        let classes = class_shifts(&part, yardstick);
        let class = reading.class.and_then(|class| self.classes.get(class));
        let mean = |summary: &Summary| summary.mean().get(reading.class?).copied();
        let entropy = (yardstick.own.get(Measure::Entropy)).zip(values.get(Measure::Entropy));
        let since = Since {
            start_ms,
            records: part.records(),
            class: class.map(String::as_str),
            moved: match reading.channel {
                Channel::Entropy => entropy,
                Channel::Classes => mean(yardstick.summary()).zip(mean(&part)),
                Channel::Kl => None,
            },
        };
        let said = budget::condition(reading, verdict.line_nats, &since);
        let span = yardstick.summary().span();
        let span_ms = span.map_or(0, |(first, last)| last.saturating_sub(first));
        let provisional = yardstick.learnt().is_provisional();
        let promise = budget::promise(budget, verdict.sharers, span_ms, provisional);
        let channel = format!("{} {}", reading.channel.name(), reading.direction.name());
        let facts = Facts {
            measures: &values,
            classes: &classes,
            length_ms: None,
            ensemble: None,
            channel: Some(&channel),
            ..measured.facts(key, Some(yardstick))
        };
        Diagnosis {
            // As everywhere in the event, the window's.
            classes: measured.classes.clone(),
            ..diagnosis::changed(&said, &promise, &facts)
        }
    }

    /// Whether an alert of the rule that fires may end.
    fn is_calm(&self, verdict: &Verdict<'_>, yardstick: &Yardstick, measured: &Measured) -> bool {
        let budget = verdict.budget;
        let Some(AlertState::Firing { starts_ms, .. }) =
            self.alerts.get(&budget.name).map(|alert| alert.state)
        else {
            return true;
        };
        let Some(weighed) = self.evidence.get(&budget.name) else {
            return true;
        };
        let alarmed_ms = weighed.alarmed_ms.unwrap_or(starts_ms);
        let waited = measured.start_ms >= alarmed_ms
            && measured.at_ms.saturating_sub(alarmed_ms) >= weighed.patience_ms;
        // While nothing changes, the mean of the odds is at most the number of panes.
        let is_chance = verdict.reading.nats <= (weighed.panes.max(1) as f64).ln();
        if !waited || !is_chance {
            return false;
        }
        let sums = PaneSums::of(self.sliding.sum());
        let (Some(detector), Some(window)) = (&yardstick.detector, sums) else {
            return true;
        };
        let panes = self.sliding.closed();
        let places = detector.places(panes.map(|pane| (pane.start_ms, pane.summary.records())));
        detector.weighs(&window) && detector.is_calm(&window, &places, budget.watch)
    }

    /// Ends alerts whose evidence can no longer be weighed, because the stream has no baseline that
    /// something was fitted to.
    pub(super) fn end_unweighed(
        &mut self,
        weighing: &Weighing<'_>,
        key: &StreamKey,
        budgets: &[&Budget],
        at_ms: Millis,
    ) -> Vec<Output> {
        let can_weigh = weighing
            .yardstick
            .is_some_and(|yardstick| yardstick.detector.is_some());
        if can_weigh || weighing.voice != Voice::Aloud {
            return Vec::new();
        }
        let why = "ends because there is no baseline that its evidence could be weighed by";
        let end = |budget: &&Budget| {
            self.evidence.remove(&budget.name);
            let alert = self.alerts.get_mut(&budget.name)?;
            judge::end(
                &weighing.spec.name,
                budget.subject(),
                key,
                alert,
                at_ms,
                why,
            )
        };
        budgets.iter().filter_map(end).collect()
    }
}

/// Evidence of a stream, by rule.
pub(super) type Evidences = BTreeMap<String, Weighed>;
