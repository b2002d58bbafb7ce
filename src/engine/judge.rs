//! From a window to events: measures it against the yardstick, steps the rules, words the outcome.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::output::{Output, WindowEvent};
use crate::alert::budget::EvidenceInfo;
use crate::alert::diagnosis::{self, Ensemble, Facts, Reading, SegmentShare, class_shifts};
use crate::alert::event::{
    AlertEvent, ClassShift, Diagnosis, Status, WindowInfo, event_id, fingerprint,
};
use crate::alert::rule::{Rule, Subject};
use crate::alert::state::{AlertState, Lines, Transition};
use crate::alert::threshold;
use crate::baseline::yardstick::{BaselineInfo, Yardstick};
use crate::observation::{Millis, Reason, StreamKey, rfc3339};
use crate::summary::Summary;
use crate::window::measures::{Measure, Measures, measures};
use crate::window::segments::{explains_entropy, explains_outputs, segment_shifts};
use crate::window::sliding::Window;
use crate::window::traffic::Traffic;

/// One rule's alert on one stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub state: AlertState,
    /// The newest value and the threshold that it was held against.
    pub last: Option<(f64, f64)>,
}

/// Alerts of one stream, by rule.
pub type Alerts = BTreeMap<String, Alert>;

/// A window measured: what events about it say.
#[derive(Clone, Debug)]
pub struct Measured {
    pub at_ms: Millis,
    /// Of the window; of a moment, the moment.
    pub start_ms: Millis,
    pub window: Option<WindowInfo>,
    pub baseline: Option<Arc<BaselineInfo>>,
    pub records: u64,
    /// How much event time the window covers; none where the stream began within it.
    pub length_ms: Option<Millis>,
    pub measures: Measures,
    pub classes: Vec<ClassShift>,
    /// The segment of the window's tags that most of a shift goes with, where one does.
    segments: Vec<SegmentShare>,
    /// How many of the model's records were refused for which reason.
    pub(super) rejections: Vec<(Reason, u64)>,
    /// Of rules with a budget, by rule.
    pub evidence: BTreeMap<String, EvidenceInfo>,
}

impl Measured {
    /// Measures a window; `traffic` is given where the stream is all of the model.
    pub fn new(
        window: &Window<'_>,
        yardstick: Option<&Yardstick>,
        traffic: Option<&Traffic>,
    ) -> Self {
        let mut values = measures(window.summary, yardstick.map(|y| &y.reference));
        values.insert(Measure::Late, window.late as f64);
        if let Some(share) = traffic.and_then(Traffic::rejected_share) {
            values.insert(Measure::RejectedShare, share);
        }
        Self {
            at_ms: window.end_ms,
            start_ms: window.start_ms,
            evidence: BTreeMap::new(),
            window: Some(WindowInfo {
                start: rfc3339(window.start_ms),
                end: rfc3339(window.end_ms),
                records: window.summary.records(),
                late: window.late,
                complete: window.complete,
            }),
            baseline: yardstick.map(|yardstick| Arc::clone(&yardstick.info)),
            records: window.summary.records(),
            length_ms: window.complete.then_some(window.end_ms - window.start_ms),
            measures: values,
            classes: yardstick.map_or(Vec::new(), |y| class_shifts(window.summary, y)),
            rejections: traffic.map_or(Vec::new(), |traffic| traffic.refusals().counts()),
            segments: yardstick.map_or(Vec::new(), |y| segments(window.summary, y.summary())),
        }
    }

    /// A moment at which one measure of the model is known and there is no window.
    pub fn moment(at_ms: Millis, records: u64, measure: Measure, value: f64) -> Self {
        let mut values = Measures::default();
        values.insert(measure, value);
        Self {
            at_ms,
            start_ms: at_ms,
            evidence: BTreeMap::new(),
            window: None,
            baseline: None,
            records,
            length_ms: None,
            measures: values,
            classes: Vec::new(),
            segments: Vec::new(),
            rejections: Vec::new(),
        }
    }

    /// What a diagnosis is made from.
    pub(super) fn facts<'a>(
        &'a self,
        stream: &'a StreamKey,
        yardstick: Option<&'a Yardstick>,
    ) -> Facts<'a> {
        let read = |measure| Reading::of(&self.measures, yardstick?, measure);
        Facts {
            stream,
            measures: &self.measures,
            yardstick,
            classes: &self.classes,
            length_ms: self.length_ms,
            rejections: &self.rejections,
            segments: &self.segments,
            ensemble: read(Measure::ExpectedEntropy)
                .zip(read(Measure::Disagreement))
                .map(|(expected_entropy, disagreement)| Ensemble {
                    expected_entropy,
                    disagreement,
                }),
            estimated_accuracy: (self.measures.get(Measure::EstimatedAccuracyLeast))
                .zip(self.measures.get(Measure::EstimatedAccuracyMost)),
            channel: None,
        }
    }

    /// How many records a measure rests on: of the measures of labels, those that have one.
    fn records_behind(&self, measure: Measure) -> u64 {
        let labelled = self.measures.get(Measure::Labelled);
        match measure {
            Measure::Accuracy
            | Measure::Brier
            | Measure::CalibrationError
            | Measure::CrossEntropy => labelled.unwrap_or_default() as u64,
            _ => self.records,
        }
    }

    pub fn event(&self, model: &str, stream: &StreamKey) -> Option<Output> {
        Some(Output::Window(Box::new(WindowEvent {
            model: model.to_owned(),
            stream: stream.clone(),
            window: self.window.clone()?,
            baseline: self.baseline.clone(),
            measures: self.measures.clone(),
            classes: self.classes.clone(),
            evidence: self.evidence.clone(),
        })))
    }
}

/// The segments that explain most of how the outputs moved, and of how the entropy did.
fn segments(window: &Summary, baseline: &Summary) -> Vec<SegmentShare> {
    let shifts = segment_shifts(window, baseline);
    let outputs = explains_outputs(&shifts).and_then(|s| Some((s, s.share_of_bits?)));
    let entropy = explains_entropy(&shifts).and_then(|s| Some((s, s.share_of_entropy?)));
    let mut found: Vec<SegmentShare> = (outputs.into_iter().chain(entropy))
        .map(|(shift, explained)| SegmentShare {
            tag: shift.tag.clone(),
            value: shift.value.clone(),
            explained: explained.clamp(0.0, 1.0),
        })
        .collect();
    found.sort_by(|a, b| b.explained.total_cmp(&a.explained));
    found.dedup_by(|a, b| (&a.tag, &a.value) == (&b.tag, &b.value));
    found
}

/// What is to be said of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    Aloud,
    /// Another instance has published it: rules are stepped, so that what was pending is.
    Silent,
    /// The same, and it lacks records that are not read again: rules leave it alone.
    None,
}

/// Steps one rule with what was measured, and says what follows.
pub fn step(
    model: &str,
    rule: &Rule,
    stream: &StreamKey,
    alerts: &mut Alerts,
    measured: &Measured,
    yardstick: Option<&Yardstick>,
    voice: Voice,
) -> Option<Output> {
    if voice == Voice::None {
        return None;
    }
    let value = measured.measures.get(rule.measure)?;
    let lines = threshold::resolve(rule, yardstick)?;
    if measured.records_behind(rule.measure) < rule.min_records {
        return None;
    }
    let alert = entry(alerts, &rule.name);
    alert.last = Some((value, lines.threshold));
    if voice == Voice::Silent {
        alert
            .state
            .step_silently(rule, lines, value, measured.at_ms);
        return None;
    }
    let transition = alert.state.step(rule, lines, value, measured.at_ms)?;
    let diagnosis = match transition {
        Transition::Fired { starts_ms } => diagnosis::firing(
            rule,
            diagnosis::condition(rule, value, lines.threshold, starts_ms),
            &measured.facts(stream, yardstick),
        ),
        Transition::Resolved { starts_ms, .. } => diagnosis::resolved(
            rule.subject(),
            Some(value),
            starts_ms,
            "is back within its line",
        ),
    };
    let said = (value, lines);
    Some(alert_event(
        model,
        rule.subject(),
        stream,
        transition,
        said,
        Some(measured),
        diagnosis,
    ))
}

/// Ends an alert for a reason outside its condition.
pub fn end(
    model: &str,
    subject: Subject<'_>,
    stream: &StreamKey,
    alert: &mut Alert,
    at_ms: Millis,
    why: &str,
) -> Option<Output> {
    let transition = alert.state.end(at_ms)?;
    let (value, line) = alert.last.unwrap_or_default();
    let lines = Lines {
        threshold: line,
        clear: line,
    };
    let Transition::Resolved { starts_ms, .. } = transition else {
        return None;
    };
    let diagnosis = diagnosis::resolved(subject, None, starts_ms, why);
    Some(alert_event(
        model,
        subject,
        stream,
        transition,
        (value, lines),
        None,
        diagnosis,
    ))
}

pub(super) fn entry<'a>(alerts: &'a mut Alerts, rule: &str) -> &'a mut Alert {
    if !alerts.contains_key(rule) {
        alerts.insert(rule.to_owned(), Alert::default());
    }
    alerts
        .get_mut(rule)
        .expect("it was inserted above where it was missing")
}

pub(super) fn alert_event(
    model: &str,
    subject: Subject<'_>,
    stream: &StreamKey,
    transition: Transition,
    (value, lines): (f64, Lines),
    measured: Option<&Measured>,
    diagnosis: Diagnosis,
) -> Output {
    let (status, starts_ms, ends_ms) = match transition {
        Transition::Fired { starts_ms } => (Status::Firing, starts_ms, None),
        Transition::Resolved { starts_ms, ends_ms } => (Status::Resolved, starts_ms, Some(ends_ms)),
    };
    Output::Alert(Box::new(AlertEvent {
        id: event_id(model, stream, subject.rule, starts_ms, status),
        fingerprint: fingerprint(model, stream, subject.rule),
        status,
        model: model.to_owned(),
        stream: stream.clone(),
        rule: subject.rule.to_owned(),
        severity: subject.severity.to_owned(),
        measure: subject.measure.to_owned(),
        unit: subject.unit.into(),
        value,
        threshold: lines.threshold,
        comparison: subject.comparison,
        starts_at: rfc3339(starts_ms),
        ends_at: ends_ms.map(rfc3339),
        diagnosis,
        window: measured.and_then(|m| m.window.clone()),
        baseline: measured.and_then(|m| m.baseline.clone()),
        measures: measured.map(|m| m.measures.clone()).unwrap_or_default(),
    }))
}
