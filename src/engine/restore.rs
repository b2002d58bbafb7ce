//! Decisions after a restart: from a checkpoint under a configuration that may have changed, or
//! from what another instance published.

use std::collections::BTreeMap;

use super::decide::Decide;
use super::judge::{self, Alert};
use super::output::Output;
use super::spec::ModelSpec;
use super::state::{State, StreamState};
use crate::alert::budget::Budget;
use crate::alert::rule::{Rule, Subject};
use crate::alert::state::AlertState;
use crate::baseline::learner::Learner;
use crate::observation::{Millis, StreamKey};
use crate::summary::Summary;

/// Alerts that fire on streams that have not been seen since: rule to `starts_ms`, by stream.
pub type Seeds = BTreeMap<StreamKey, BTreeMap<String, Millis>>;

/// What of a state does not fit the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    Windows,
    Stream(StreamKey),
    Rule(String),
    Learning,
}

impl Decide {
    /// Goes on from `before`, made under these rules. Gives what no longer fits.
    pub fn restore(&mut self, mut before: State, rules: &[Rule], budgets: &[Budget]) -> Vec<Lost> {
        let spec = std::sync::Arc::clone(&self.spec);
        let mut lost = Vec::new();
        let at_ms = before.decided_to_ms();
        let mut ended = Vec::new();
        let lines = rules
            .iter()
            .filter(|rule| !spec.rules.iter().any(|now| same(now, rule)));
        let gone = budgets
            .iter()
            .filter(|rule| !spec.budgets.iter().any(|now| alike(now, rule)));
        for subject in lines.map(Rule::subject).chain(gone.map(Budget::subject)) {
            let why = "ends because its rule is gone";
            ended.extend(before.end_alerts(&spec.name, subject, at_ms, why));
            lost.push(Lost::Rule(subject.rule.to_owned()));
        }
        if before.window != spec.window {
            // Panes cannot be cut anew.
            let mut fresh = State::new(&spec);
            fresh.counters = before.counters;
            fresh.settled = before.settled;
            let old = std::mem::replace(&mut before, fresh);
            let why = "ends because the model's window was changed";
            ended.extend(old.abandon(&spec.name, spec.subjects(), why));
            lost.push(Lost::Windows);
        }
        let misfits: Vec<StreamKey> = before
            .streams
            .iter()
            .filter(|(k, s)| !fits(&spec, k, s))
            .map(|(k, _)| k.clone())
            .collect();
        for key in misfits {
            if let Some(mut stream) = before.streams.remove(&key) {
                let why = "ends because the model's kind, dimensions or classes were changed";
                for subject in spec.subjects() {
                    if let Some(alert) = stream.alerts.get_mut(subject.rule) {
                        ended.extend(judge::end(&spec.name, subject, &key, alert, at_ms, why));
                    }
                }
            }
            for cell in before.open.values_mut() {
                cell.streams.remove(&key);
            }
            lost.push(Lost::Stream(key));
        }
        let key = StreamKey::whole();
        let unfit = |whole: &mut StreamState| {
            spec.decoder.dimensions.is_empty() || !stream_fits(&spec, whole)
        };
        if let Some(mut whole) = before.whole.take_if(unfit) {
            let why = "ends because the model's kind, dimensions or classes were changed";
            for subject in spec.subjects() {
                if let Some(alert) = whole.alerts.get_mut(subject.rule) {
                    ended.extend(judge::end(&spec.name, subject, &key, alert, at_ms, why));
                }
            }
            lost.push(Lost::Stream(key));
        }
        let nature = spec.decoder.kind.nature();
        if before
            .learning
            .as_ref()
            .is_some_and(|learner| !learner.is_for(spec.season, nature))
        {
            before.learning = Some(Learner::new(spec.window, spec.season));
            lost.push(Lost::Learning);
        }
        self.state = before;
        self.outputs.extend(ended);
        lost
    }

    /// Takes up an alert that fires, whose stream this instance has not seen.
    pub fn seed(&mut self, stream: StreamKey, rule: String, starts_ms: Millis) {
        let found = self.spec.rules.iter().find(|known| known.name == rule);
        if found.is_none() && !self.spec.budgets.iter().any(|known| known.name == rule) {
            return;
        }
        if found.is_some_and(super::decide::is_model_rule) {
            self.state.model_alerts.insert(rule, firing(starts_ms));
        } else {
            self.state
                .seeds
                .entry(stream)
                .or_default()
                .insert(rule, starts_ms);
        }
    }

    /// The streams of the state with their classes.
    pub fn known_streams(&self) -> impl Iterator<Item = (&StreamKey, &[String])> {
        let closed = self.state.streams.iter().map(|(key, s)| (key, &*s.classes));
        let open = self.state.open.values().flat_map(|cell| &cell.streams);
        open.map(|(key, s)| (key, &*s.classes)).chain(closed)
    }
}

impl State {
    /// Ends every alert of the state, where the model or its windows are gone.
    pub fn abandon<'s>(
        mut self,
        model: &str,
        rules: impl Iterator<Item = Subject<'s>>,
        why: &str,
    ) -> Vec<Output> {
        let at_ms = self.decided_to_ms();
        rules
            .flat_map(|subject| self.end_alerts(model, subject, at_ms, why))
            .collect()
    }

    fn decided_to_ms(&self) -> Millis {
        self.next
            .unwrap_or_default()
            .saturating_mul(self.window.cell_ms())
    }

    fn end_alerts(
        &mut self,
        model: &str,
        subject: Subject<'_>,
        at_ms: Millis,
        why: &str,
    ) -> Vec<Output> {
        let whole = StreamKey::whole();
        for stream in self.streams.values_mut().chain(&mut self.whole) {
            stream.evidence.remove(subject.rule);
        }
        let of_streams = self.streams.iter_mut().map(|(key, s)| (key, &mut s.alerts));
        let of_whole = self.whole.iter_mut().map(|s| (&whole, &mut s.alerts));
        let of_model = [(&whole, &mut self.model_alerts)];
        of_model
            .into_iter()
            .chain(of_whole)
            .chain(of_streams)
            .filter_map(|(key, alerts)| {
                let mut alert = alerts.remove(subject.rule)?;
                judge::end(model, subject, key, &mut alert, at_ms, why)
            })
            .collect()
    }
}

/// An alert that has fired since `starts_ms`.
pub fn firing(starts_ms: Millis) -> Alert {
    let state = AlertState::Firing {
        starts_ms,
        clear_since_ms: None,
    };
    Alert { state, last: None }
}

/// Whether an alert of the one rule goes on under the other.
fn same(now: &Rule, before: &Rule) -> bool {
    now.name == before.name
        && now.measure == before.measure
        && now.comparison == before.comparison
        && now.scope == before.scope
}

/// The same of rules with a budget, whose size may have changed.
fn alike(now: &Budget, before: &Budget) -> bool {
    now.name == before.name && now.watch == before.watch && now.scope == before.scope
}

fn fits(spec: &ModelSpec, key: &StreamKey, stream: &StreamState) -> bool {
    let dimensions = spec.decoder.dimensions.iter().map(|(name, _)| name);
    let key_fits = *key == StreamKey::overflow() || key.0.keys().eq(dimensions);
    key_fits && stream_fits(spec, stream)
}

/// Whether the stream's classes and records are such as the model has.
fn stream_fits(spec: &ModelSpec, stream: &StreamState) -> bool {
    let classes_fit = spec
        .classes
        .as_ref()
        .is_none_or(|classes| **classes == *stream.classes);
    // Of another kind of records: their sums cannot be told apart from those to come.
    let nature = spec.decoder.kind.nature();
    let summaries = stream.sliding.panes().map(|pane| &pane.summary);
    let kind_fits = summaries
        .map(Summary::nature)
        .all(|found| found.is_some_and(|found| found.is_like(nature)));
    classes_fit && kind_fits
}
