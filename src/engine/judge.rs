//! From a window to events: measures it against the yardstick, steps the rules, words the outcome.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::output::{Output, WindowEvent};
use crate::alert::diagnosis::{self, class_shifts};
use crate::alert::event::{
    AlertEvent, BaselineInfo, ClassShift, Diagnosis, Status, WindowInfo, event_id, fingerprint,
};
use crate::alert::rule::Rule;
use crate::alert::state::{AlertState, Lines, Transition};
use crate::alert::threshold;
use crate::baseline::yardstick::Yardstick;
use crate::observation::{Millis, StreamKey, rfc3339};
use crate::window::measures::{Measure, Measures, measures};
use crate::window::sliding::Window;

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
    pub window: Option<WindowInfo>,
    pub baseline: Option<BaselineInfo>,
    pub records: u64,
    pub measures: Measures,
    pub classes: Vec<ClassShift>,
}

impl Measured {
    /// Measures a window; `rejected_share` is given where the stream is all of the model.
    pub fn new(
        window: &Window<'_>,
        yardstick: Option<&Yardstick>,
        rejected_share: Option<f64>,
    ) -> Self {
        let mut values = measures(window.summary, yardstick.map(|y| &y.reference));
        values.insert(Measure::Late, window.late as f64);
        if let Some(share) = rejected_share {
            values.insert(Measure::RejectedShare, share);
        }
        Self {
            at_ms: window.end_ms,
            window: Some(WindowInfo {
                start: rfc3339(window.start_ms),
                end: rfc3339(window.end_ms),
                records: window.summary.records(),
                late: window.late,
                complete: window.complete,
            }),
            baseline: yardstick.map(baseline_info),
            records: window.summary.records(),
            measures: values,
            classes: yardstick.map_or(Vec::new(), |y| class_shifts(window.summary, y)),
        }
    }

    /// A moment at which one measure of the model is known and there is no window.
    pub fn moment(at_ms: Millis, records: u64, measure: Measure, value: f64) -> Self {
        let mut values = Measures::default();
        values.insert(measure, value);
        Self {
            at_ms,
            window: None,
            baseline: None,
            records,
            measures: values,
            classes: Vec::new(),
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
        })))
    }
}

fn baseline_info(yardstick: &Yardstick) -> BaselineInfo {
    let baseline = yardstick.baseline();
    BaselineInfo {
        name: baseline.name.clone(),
        version: baseline.version,
        stream: yardstick.stream.clone(),
        records: yardstick.summary().records(),
        provisional: baseline.is_provisional(),
    }
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
            &measured.measures,
            yardstick,
            measured.classes.clone(),
        ),
        Transition::Resolved { starts_ms, .. } => {
            diagnosis::resolved(rule, Some(value), starts_ms, "is back within its line")
        }
    };
    let said = (value, lines);
    Some(alert_event(
        model,
        rule,
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
    rule: &Rule,
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
    let diagnosis = diagnosis::resolved(rule, None, starts_ms, why);
    Some(alert_event(
        model,
        rule,
        stream,
        transition,
        (value, lines),
        None,
        diagnosis,
    ))
}

fn entry<'a>(alerts: &'a mut Alerts, rule: &str) -> &'a mut Alert {
    if !alerts.contains_key(rule) {
        alerts.insert(rule.to_owned(), Alert::default());
    }
    alerts
        .get_mut(rule)
        .expect("it was inserted above where it was missing")
}

fn alert_event(
    model: &str,
    rule: &Rule,
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
        id: event_id(model, stream, &rule.name, starts_ms, status),
        fingerprint: fingerprint(model, stream, &rule.name),
        status,
        model: model.to_owned(),
        stream: stream.clone(),
        rule: rule.name.clone(),
        severity: rule.severity.clone(),
        measure: rule.measure.name().to_owned(),
        unit: rule.measure.unit().into(),
        value,
        threshold: lines.threshold,
        comparison: rule.comparison,
        starts_at: rfc3339(starts_ms),
        ends_at: ends_ms.map(rfc3339),
        diagnosis,
        window: measured.and_then(|m| m.window.clone()),
        baseline: measured.and_then(|m| m.baseline.clone()),
        measures: measured.map(|m| m.measures.clone()).unwrap_or_default(),
    }))
}
