//! The second half of the engine: deltas of one model to windows, alerts and history.
//!
//! Deltas are merged into open cells. When the watermark passes a cell's end the cell closes: late
//! records join the panes they belong to, each stream's window slides on, is measured, and steps
//! the rules. All of it is a function of the deltas and of which cells closed; a wall clock is used
//! for `silence` alone, and is given.
//!
//! Streams are closed in the order of their keys, the whole model (`{}`) first, and each window is
//! said before the alerts that it causes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::judge::{self, Alerts, Measured};
use super::output::{HistoryEntry, Output};
pub use super::restore::Lost;
use super::restore::{Seeds, firing};
use super::spec::{BaselineSpec, ModelSpec};
use super::status::{ModelStatus, StreamStatus};
use super::summarise::{Batch, Delta};
use crate::alert::rule::{Rule, Scope};
use crate::baseline::learner::Learner;
use crate::baseline::yardstick::Yardstick;
use crate::baseline::{Baseline, Source};
use crate::observation::{Millis, StreamKey};
use crate::summary::Summary;
use crate::window::WindowSpec;
use crate::window::measures::{Measure, Needs};
use crate::window::sliding::{Pane, Sliding};
use crate::window::traffic::Traffic;
use crate::window::watermark::{Cell, Watermark};

/// Count windows: cells that late records of one stream may come from in one open cell. Records of
/// further ones are dropped as too late, so that old times cannot take memory without bound.
const MAX_LATE_CELLS: usize = 1024;

/// Everything that one model's decisions depend on; part of the checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(super) window: WindowSpec,
    /// The next cell to close; none before any has.
    pub(super) next: Option<Cell>,
    pub(super) open: BTreeMap<Cell, OpenCell>,
    pub(super) streams: BTreeMap<StreamKey, StreamState>,
    /// All streams together, for a model with dimensions.
    pub(super) whole: Option<StreamState>,
    traffic: Traffic,
    /// Rejections from partitions that have given no time yet.
    untimed_rejections: u64,
    /// Of the rules on `rejected_share` and `silence`.
    pub(super) model_alerts: Alerts,
    /// Alerts that fire on streams that have not been seen since a takeover.
    pub(super) seeds: Seeds,
    learning: Option<Learner>,
    /// By the wall clock.
    last_arrival_ms: Option<Millis>,
    pub counters: Counters,
}

/// Totals since the state began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Records in panes.
    pub records: u64,
    pub rejected: u64,
    /// Counted, but not in every window that covers them.
    pub late: u64,
    /// Dropped: older than every window still to come.
    pub too_late: u64,
    pub windows: u64,
}

/// A cell that has not closed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenCell {
    pub(super) streams: BTreeMap<StreamKey, OpenStream>,
    rejected: u64,
}

/// One stream's records in an open cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenStream {
    pub(super) classes: Vec<String>,
    on_time: Option<Summary>,
    /// By the cell that they belong to.
    late: BTreeMap<Cell, Summary>,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StreamState {
    pub(super) classes: Vec<String>,
    sliding: Sliding,
    pub(super) alerts: Alerts,
    newest_ms: Millis,
    /// History being gathered.
    tile: Option<Pane>,
    #[serde(skip)]
    view: View,
}

/// What follows from the state and the active baseline; made again after a restart.
#[derive(Clone, Debug, Default)]
struct View {
    /// None: not looked up yet.
    yardstick: Option<Option<Arc<Yardstick>>>,
    latest: Option<Arc<Measured>>,
}

/// A view never makes two states differ.
impl PartialEq for View {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// One model's second half.
#[derive(Debug)]
pub struct Decide {
    pub(super) spec: Arc<ModelSpec>,
    pub(super) state: State,
    baseline: Option<Arc<Baseline>>,
    /// Windows that end at this time or before have been published by another instance.
    silent_to_ms: Option<Millis>,
    pub(super) outputs: Vec<Output>,
    forgotten: Vec<StreamKey>,
    // scratch
    gone: Vec<Pane>,
}

impl State {
    pub(super) fn new(spec: &ModelSpec) -> Self {
        let learning = matches!(spec.baseline, BaselineSpec::Learn { .. });
        Self {
            window: spec.window,
            next: None,
            open: BTreeMap::new(),
            streams: BTreeMap::new(),
            whole: None,
            traffic: Traffic::default(),
            untimed_rejections: 0,
            model_alerts: Alerts::new(),
            seeds: Seeds::new(),
            learning: learning.then(|| Learner::new(spec.window)),
            last_arrival_ms: None,
            counters: Counters::default(),
        }
    }
}

impl Decide {
    pub fn new(spec: Arc<ModelSpec>) -> Self {
        Self {
            state: State::new(&spec),
            spec,
            baseline: None,
            silent_to_ms: None,
            outputs: Vec::new(),
            forgotten: Vec::new(),
            gone: Vec::new(),
        }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes what has been said since the last call, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Takes the streams that were forgotten since the last call.
    pub fn take_forgotten(&mut self) -> Vec<StreamKey> {
        std::mem::take(&mut self.forgotten)
    }

    /// Windows that end at `to_ms` or before have been published by another instance.
    pub fn stay_silent_to(&mut self, to_ms: Millis) {
        self.silent_to_ms = Some(to_ms);
    }

    /// Windows that end at this time or before are decided.
    pub fn decided_to_ms(&self) -> Option<Millis> {
        self.state
            .next
            .map(|next| next * self.spec.window.cell_ms())
    }

    /// When more cells are open than the limit allows: the cell from which on partitions should
    /// wait. Half the limit stays, so that reading does not stop and go with every cell.
    pub fn crowded_from(&self) -> Option<Cell> {
        let limit = self.spec.limits.open_panes;
        let crowded = self.state.open.len() > limit;
        crowded
            .then(|| self.state.open.keys().nth(limit / 2).copied())
            .flatten()
    }

    /// Measures against this baseline from the next window on. It ends learning.
    pub fn set_baseline(&mut self, baseline: Option<Arc<Baseline>>) {
        if baseline.is_some() {
            self.state.learning = None;
        }
        self.baseline = baseline;
        for stream in self.state.streams.values_mut().chain(&mut self.state.whole) {
            stream.view.yardstick = None;
        }
    }

    /// Merges a batch into the open cells.
    pub fn merge(&mut self, batch: Batch) {
        self.state.counters.too_late += batch.too_late;
        for delta in batch.deltas {
            self.merge_delta(delta);
        }
        for (cell, rejected) in batch.rejected {
            self.state.counters.rejected += rejected;
            match cell.max(self.state.next) {
                Some(cell) => self.state.open.entry(cell).or_default().rejected += rejected,
                None => self.state.untimed_rejections += rejected,
            }
        }
    }

    fn merge_delta(&mut self, delta: Delta) {
        let records = delta.summary.records();
        // Behind `next` only where idleness closed cells that the partition's own time had not.
        let joins = self
            .state
            .next
            .map_or(delta.joins, |next| delta.joins.max(next));
        let panes = self.spec.window.panes();
        if panes.is_some_and(|panes| delta.cell + panes <= joins) {
            self.state.counters.too_late += records;
            return;
        }
        let cell = self.state.open.entry(joins).or_default();
        let stream = match cell.streams.get_mut(&delta.stream.key) {
            Some(stream) => stream,
            None => cell
                .streams
                .entry(delta.stream.key.clone())
                .or_insert(OpenStream {
                    classes: delta.stream.classes.clone(),
                    on_time: None,
                    late: BTreeMap::new(),
                }),
        };
        if joins == delta.cell {
            self.state.counters.records += records;
            merge_into(&mut stream.on_time, delta.summary);
        } else if panes.is_some()
            || stream.late.len() < MAX_LATE_CELLS
            || stream.late.contains_key(&delta.cell)
        {
            self.state.counters.records += records;
            self.state.counters.late += records;
            match stream.late.get_mut(&delta.cell) {
                Some(held) => held.merge(&delta.summary),
                None => drop(stream.late.insert(delta.cell, delta.summary)),
            }
        } else {
            self.state.counters.too_late += records;
        }
    }

    /// Closes every cell that the watermark has passed.
    pub fn advance(&mut self, watermark: Watermark) {
        let Some(closes_before) = watermark.closes_before(self.spec.window.cell_ms()) else {
            return;
        };
        while let Some(cell) = self.next_cell().filter(|&cell| cell < closes_before) {
            self.close(cell);
            self.state.next = Some(cell + 1);
        }
        let next = self
            .state
            .next
            .map_or(closes_before, |next| next.max(closes_before));
        if !self.state.open.is_empty() || self.state.next.is_some() {
            self.state.next = Some(next);
        }
    }

    /// The next cell whose closing could say anything: stretches without records are skipped.
    fn next_cell(&self) -> Option<Cell> {
        let with_records = self.state.open.keys().next().copied();
        let sliding = self.spec.window.panes().is_some()
            && self.streams().any(|stream| !stream.sliding.is_empty());
        match self.state.next {
            Some(next) if sliding => Some(next),
            _ => with_records,
        }
    }

    fn streams(&self) -> impl Iterator<Item = &StreamState> {
        self.state.streams.values().chain(&self.state.whole)
    }

    fn close(&mut self, cell: Cell) {
        let cell_ms = self.spec.window.cell_ms();
        let end_ms = (cell + 1) * cell_ms;
        let mut opened = self.state.open.remove(&cell).unwrap_or_default();
        self.begin_whole(&opened);
        let mut panes = BTreeMap::new();
        let mut records = 0;
        for (key, stream) in std::mem::take(&mut opened.streams) {
            let pane = self.pane_of(&key, stream, cell);
            records += pane.as_ref().map_or(0, |pane| pane.summary.records());
            panes.extend(pane.map(|pane| (key, pane)));
        }
        self.state
            .traffic
            .close(&self.spec.window, end_ms, records, opened.rejected);
        let whole = self.close_whole(&panes, end_ms);
        for key in self.due(&panes) {
            let pane = panes.remove(&key);
            self.close_stream(&key, pane, end_ms);
        }
        if opened.rejected > 0 || whole.is_some() || self.is_one_stream() {
            self.judge_rejections(whole, end_ms);
        }
        self.finish_learning(end_ms);
        self.forget_streams(end_ms);
    }

    /// Lets late records join, and makes a pane of the rest.
    fn pane_of(&mut self, key: &StreamKey, opened: OpenStream, cell: Cell) -> Option<Pane> {
        let cell_ms = self.spec.window.cell_ms();
        let (start_ms, end_ms) = (cell * cell_ms, (cell + 1) * cell_ms);
        let learning = &mut self.state.learning;
        let state = match self.state.streams.get_mut(key) {
            Some(state) => state,
            None => {
                let seeds = self.state.seeds.remove(key);
                let fresh = StreamState::new(opened.classes.clone(), seeds);
                self.state.streams.entry(key.clone()).or_insert(fresh)
            }
        };
        if state.classes != opened.classes {
            // Only after the configured classes changed: the stream begins anew.
            *state = StreamState::new(opened.classes.clone(), None);
        }
        if let (Some(learner), Some(on_time)) = (learning.as_mut(), &opened.on_time) {
            learner.add_pane(key, &opened.classes, start_ms, on_time);
        }
        let mut pane = opened.on_time.map(|summary| Pane {
            start_ms,
            end_ms,
            late: 0,
            summary,
        });
        for (late_cell, summary) in opened.late {
            let late = summary.records();
            let late_start_ms = late_cell * cell_ms;
            let late_end_ms = late_start_ms + cell_ms;
            if self.spec.window.panes().is_none() {
                if state
                    .sliding
                    .oldest_ms()
                    .is_none_or(|oldest| late_end_ms <= oldest)
                {
                    self.state.counters.too_late += late;
                    self.state.counters.late -= late;
                    self.state.counters.records -= late;
                    continue;
                }
                let joined = Pane {
                    start_ms,
                    end_ms,
                    late,
                    summary,
                };
                if let Some(learner) = learning.as_mut() {
                    learner.add_late(key, &opened.classes, &joined.summary);
                }
                match &mut pane {
                    Some(pane) => pane.absorb(&joined),
                    None => pane = Some(joined),
                }
                continue;
            }
            if let Some(learner) = learning.as_mut() {
                learner.add_late(key, &opened.classes, &summary);
            }
            let joined = Pane {
                start_ms: late_start_ms,
                end_ms: late_end_ms,
                late,
                summary,
            };
            if let Some(whole) = &mut self.state.whole
                && whole.classes == opened.classes
            {
                whole.sliding.join(joined.clone());
            }
            state.sliding.join(joined);
        }
        pane
    }

    /// Streams that this closing concerns, in order.
    fn due(&self, panes: &BTreeMap<StreamKey, Pane>) -> Vec<StreamKey> {
        let time = self.spec.window.panes().is_some();
        self.state
            .streams
            .iter()
            .filter(|(key, state)| panes.contains_key(key) || time && !state.sliding.is_empty())
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Whether the model's one stream is all of it.
    fn is_one_stream(&self) -> bool {
        self.spec.decoder.dimensions.is_empty()
    }

    /// The whole of a model with dimensions is over the classes of the first stream that closes.
    fn begin_whole(&mut self, opened: &OpenCell) {
        if self.state.whole.is_none()
            && !self.is_one_stream()
            && let Some(first) = opened.streams.values().next()
        {
            let seeds = self.state.seeds.remove(&StreamKey::whole());
            self.state.whole = Some(StreamState::new(first.classes.clone(), seeds));
        }
    }

    /// Slides the window over all streams together, where there are dimensions.
    fn close_whole(
        &mut self,
        panes: &BTreeMap<StreamKey, Pane>,
        end_ms: Millis,
    ) -> Option<Measured> {
        let whole = self.state.whole.as_mut()?;
        let mut merged: Option<Pane> = None;
        for pane in panes
            .values()
            .filter(|p| p.summary.classes() == whole.classes.len())
        {
            match &mut merged {
                Some(merged) => merged.absorb(pane),
                None => merged = Some(pane.clone()),
            }
        }
        let rules: Vec<&Rule> = rules(&self.spec, Scope::Whole).collect();
        let silent = self.silent_to_ms.is_some_and(|to| end_ms <= to);
        let rejected_share = self.state.traffic.rejected_share();
        let key = StreamKey::whole();
        let yardstick = whole.yardstick(&self.spec, self.baseline.as_ref(), &key);
        let window = whole
            .sliding
            .close(&self.spec.window, end_ms, merged, &mut self.gone);
        let measured = window.map(|w| Measured::new(&w, yardstick.as_deref(), rejected_share));
        // The whole is in history through its streams.
        self.gone.clear();
        let measured = measured?;
        if !rules.is_empty() && !silent {
            self.state.counters.windows += 1;
            self.outputs.extend(measured.event(&self.spec.name, &key));
        }
        for rule in rules {
            self.outputs.extend(judge::step(
                &self.spec.name,
                rule,
                &key,
                &mut whole.alerts,
                &measured,
                yardstick.as_deref(),
                silent,
            ));
        }
        whole.view.latest = Some(Arc::new(measured.clone()));
        Some(measured)
    }

    fn close_stream(&mut self, key: &StreamKey, pane: Option<Pane>, end_ms: Millis) {
        let rejected_share = self
            .is_one_stream()
            .then(|| self.state.traffic.rejected_share())
            .flatten();
        let silent = self.silent_to_ms.is_some_and(|to| end_ms <= to);
        let Some(state) = self.state.streams.get_mut(key) else {
            return;
        };
        if let Some((_, newest_ms)) = pane.as_ref().and_then(|pane| pane.summary.span()) {
            state.newest_ms = state.newest_ms.max(newest_ms);
        }
        let yardstick = state.yardstick(&self.spec, self.baseline.as_ref(), key);
        let window = state
            .sliding
            .close(&self.spec.window, end_ms, pane, &mut self.gone);
        let measured = window.map(|w| Measured::new(&w, yardstick.as_deref(), rejected_share));
        for pane in self.gone.drain(..) {
            let full = state.gather(&self.spec, key, pane);
            self.outputs.extend(full.map(Output::History));
        }
        let Some(measured) = measured else { return };
        if !silent {
            self.state.counters.windows += 1;
            self.outputs.extend(measured.event(&self.spec.name, key));
        }
        let whole = self.spec.decoder.dimensions.is_empty();
        for rule in self
            .spec
            .rules
            .iter()
            .filter(|rule| !is_model_rule(rule) && (whole || rule.scope == Scope::Streams))
        {
            self.outputs.extend(judge::step(
                &self.spec.name,
                rule,
                key,
                &mut state.alerts,
                &measured,
                yardstick.as_deref(),
                silent,
            ));
        }
        state.view.latest = Some(Arc::new(measured));
    }

    /// Steps the rules on `rejected_share`: on the window that is due, or, when nothing but
    /// rejections came, on a window without records.
    fn judge_rejections(&mut self, whole: Option<Measured>, end_ms: Millis) {
        let Some(share) = self.state.traffic.rejected_share() else {
            return;
        };
        let due = whole.or_else(|| {
            let one = self.state.streams.get(&StreamKey::whole())?;
            let latest = one
                .view
                .latest
                .as_deref()
                .filter(|latest| latest.at_ms == end_ms);
            latest.cloned()
        });
        let mut measured =
            due.unwrap_or_else(|| Measured::moment(end_ms, 0, Measure::RejectedShare, share));
        measured.records = self.state.traffic.total();
        let silent = self.silent_to_ms.is_some_and(|to| end_ms <= to);
        self.judge_model(Measure::RejectedShare, &measured, silent);
    }

    fn judge_model(&mut self, measure: Measure, measured: &Measured, silent: bool) {
        for rule in self
            .spec
            .rules
            .iter()
            .filter(|rule| rule.measure == measure)
        {
            self.outputs.extend(judge::step(
                &self.spec.name,
                rule,
                &StreamKey::whole(),
                &mut self.state.model_alerts,
                measured,
                None,
                silent,
            ));
        }
    }

    /// A second or so has passed: `now_ms` by the wall clock. Decides what does not wait for
    /// event time: `silence`, and rejections while event time stands still.
    pub fn tick(&mut self, watermark: Watermark, caught_up: bool, now_ms: Millis) {
        if let Watermark::Standstill { .. } = watermark {
            self.judge_standing_rejections(now_ms);
        }
        let last_ms = *self.state.last_arrival_ms.get_or_insert(now_ms);
        // Until the topics have been read to their ends, silence may be ours and not the model's.
        if caught_up {
            let seconds = (now_ms - last_ms).max(0) as f64 / 1000.0;
            let measured = Measured::moment(now_ms, u64::MAX, Measure::Silence, seconds);
            self.judge_model(Measure::Silence, &measured, false);
        }
    }

    /// Records arrived at `now_ms` by the wall clock.
    pub fn arrived(&mut self, now_ms: Millis) {
        self.state.last_arrival_ms = Some(now_ms);
    }

    /// How the model stands at `now_ms` by the wall clock; rejections by reason are not known here.
    pub fn status(&self, now_ms: Millis) -> ModelStatus {
        let state = &self.state;
        let whole = StreamKey::whole();
        let model = (&whole, None, &state.model_alerts);
        let of_whole = state
            .whole
            .iter()
            .map(|s| (&whole, s.view.latest.clone(), &s.alerts));
        let of_streams = state
            .streams
            .iter()
            .map(|(k, s)| (k, s.view.latest.clone(), &s.alerts));
        let streams = [model].into_iter().chain(of_whole).chain(of_streams);
        let learning = match (&state.learning, &self.spec.baseline) {
            (Some(learner), &BaselineSpec::Learn { duration_ms }) => {
                let started = learner.started_ms();
                let closed = started
                    .zip(self.decided_to_ms())
                    .map_or(0, |(from, to)| to - from);
                Some((closed, duration_ms))
            }
            _ => None,
        };
        ModelStatus {
            name: self.spec.name.clone(),
            counters: state.counters,
            rejected: BTreeMap::new(),
            decided_to_ms: self.decided_to_ms(),
            open_panes: state.open.len(),
            baseline: self.baseline.as_ref().map(|b| (b.name.clone(), b.version)),
            learning,
            silence_s: state
                .last_arrival_ms
                .map(|last| (now_ms - last).max(0) as f64 / 1000.0),
            streams: streams
                .map(|(key, latest, alerts)| StreamStatus {
                    key: key.clone(),
                    latest,
                    alerts: alerts
                        .iter()
                        .map(|(rule, a)| (rule.clone(), a.state))
                        .collect(),
                })
                .collect(),
        }
    }

    /// Closed panes that are not in the store's history yet, oldest first within a stream.
    pub fn live_panes(&self) -> Vec<HistoryEntry> {
        let entries = |(key, state): (&StreamKey, &StreamState)| {
            let panes: Vec<HistoryEntry> = state
                .tile
                .iter()
                .chain(state.sliding.panes())
                .map(|pane| state.entry(&self.spec, key, pane.clone()))
                .collect();
            panes
        };
        self.state.streams.iter().flat_map(entries).collect()
    }

    fn judge_standing_rejections(&mut self, now_ms: Millis) {
        let waiting = |cell: &mut OpenCell| {
            if cell.streams.is_empty() {
                std::mem::take(&mut cell.rejected)
            } else {
                0
            }
        };
        let rejected: u64 = std::mem::take(&mut self.state.untimed_rejections)
            + self.state.open.values_mut().map(waiting).sum::<u64>();
        self.state
            .open
            .retain(|_, cell| !cell.streams.is_empty() || cell.rejected > 0);
        if rejected == 0 {
            return;
        }
        let end_ms = self
            .state
            .next
            .map(|next| next * self.spec.window.cell_ms());
        self.state
            .traffic
            .close(&self.spec.window, end_ms.unwrap_or_default(), 0, rejected);
        let at_ms = end_ms.unwrap_or(now_ms);
        self.judge_rejections(None, at_ms);
    }

    fn finish_learning(&mut self, end_ms: Millis) {
        let BaselineSpec::Learn { duration_ms } = self.spec.baseline else {
            return;
        };
        let started_ms = self.state.learning.as_ref().and_then(Learner::started_ms);
        if started_ms.is_none_or(|started| end_ms - started < duration_ms) {
            return;
        }
        let name = &self.spec.name;
        let learnt = self.state.learning.take().and_then(|learner| {
            // The time of learning is event time here, so that it does not depend on when it runs.
            learner.finish(name, name, Source::Learnt, end_ms)
        });
        if let Some(mut baseline) = learnt {
            baseline.version = 1;
            self.outputs
                .push(Output::Learnt(Box::new(baseline.clone())));
            self.set_baseline(Some(Arc::new(baseline)));
        }
    }

    fn forget_streams(&mut self, end_ms: Millis) {
        let spec = Arc::clone(&self.spec);
        let old = |state: &StreamState| {
            state.sliding.is_empty() && end_ms - state.newest_ms >= spec.forget_streams_after_ms
        };
        let forgotten: Vec<StreamKey> = self
            .state
            .streams
            .iter()
            .filter(|(key, state)| !key.is_whole() && old(state))
            .map(|(key, _)| key.clone())
            .collect();
        self.forget_seeds(end_ms);
        for key in forgotten {
            if let Some(mut state) = self.state.streams.remove(&key) {
                for rule in &spec.rules {
                    if let Some(alert) = state.alerts.get_mut(&rule.name) {
                        self.outputs
                            .extend(judge::end(&spec.name, rule, &key, alert, end_ms, FORGOTTEN));
                    }
                }
                let tile = state.tile.take();
                self.outputs
                    .extend(tile.map(|t| Output::History(state.entry(&spec, &key, t))));
            }
            self.forgotten.push(key);
        }
    }
}

impl Decide {
    /// Ends alerts taken over whose streams have not come back.
    fn forget_seeds(&mut self, end_ms: Millis) {
        let spec = &self.spec;
        for (stream, seeds) in &mut self.state.seeds {
            seeds.retain(|name, &mut starts_ms| {
                let rule = spec.rules.iter().find(|rule| rule.name == *name);
                let old = end_ms - starts_ms >= spec.forget_streams_after_ms;
                if let (Some(rule), true) = (rule, old) {
                    let mut alert = firing(starts_ms);
                    let ended = judge::end(&spec.name, rule, stream, &mut alert, end_ms, FORGOTTEN);
                    self.outputs.extend(ended);
                }
                rule.is_some() && !old
            });
        }
        self.state.seeds.retain(|_, seeds| !seeds.is_empty());
    }
}

/// Why the alerts of a stream that is forgotten end.
const FORGOTTEN: &str =
    "ends because the stream has given no records for so long that it is forgotten";

/// Whether a rule is on the model's own counts.
pub(super) fn is_model_rule(rule: &Rule) -> bool {
    rule.measure.needs() == Needs::Model
}

/// The rules of a scope, but those on the model's own counts.
fn rules(spec: &ModelSpec, scope: Scope) -> impl Iterator<Item = &Rule> {
    spec.rules
        .iter()
        .filter(move |rule| rule.scope == scope && !is_model_rule(rule))
}

fn merge_into(held: &mut Option<Summary>, more: Summary) {
    match held {
        Some(held) => held.merge(&more),
        None => *held = Some(more),
    }
}

impl StreamState {
    fn new(classes: Vec<String>, seeds: Option<BTreeMap<String, Millis>>) -> Self {
        let seeds = seeds.unwrap_or_default();
        Self {
            sliding: Sliding::new(classes.len()),
            classes,
            alerts: seeds
                .into_iter()
                .map(|(rule, starts_ms)| (rule, firing(starts_ms)))
                .collect(),
            newest_ms: Millis::MIN,
            tile: None,
            view: View::default(),
        }
    }

    fn yardstick(
        &mut self,
        spec: &ModelSpec,
        baseline: Option<&Arc<Baseline>>,
        key: &StreamKey,
    ) -> Option<Arc<Yardstick>> {
        let classes = &self.classes;
        self.view
            .yardstick
            .get_or_insert_with(|| {
                let least = spec.min_baseline_records;
                Yardstick::new(baseline?, key, classes, least).map(Arc::new)
            })
            .clone()
    }

    /// Gathers a pane that left the window into the tile; gives the tile before it when full.
    fn gather(&mut self, spec: &ModelSpec, key: &StreamKey, pane: Pane) -> Option<HistoryEntry> {
        let tile_ms = spec.window.tile_ms();
        let same = |tile: &Pane| match spec.window {
            WindowSpec::Time { .. } => {
                tile.start_ms.div_euclid(tile_ms) == pane.start_ms.div_euclid(tile_ms)
            }
            WindowSpec::Count { .. } => pane.end_ms - tile.start_ms <= tile_ms,
        };
        match &mut self.tile {
            Some(tile) if same(tile) => {
                tile.absorb(&pane);
                None
            }
            tile => tile.replace(pane).map(|full| self.entry(spec, key, full)),
        }
    }

    fn entry(&self, spec: &ModelSpec, key: &StreamKey, tile: Pane) -> HistoryEntry {
        HistoryEntry {
            model: spec.name.clone(),
            stream: key.clone(),
            classes: self.classes.clone(),
            start_ms: tile.start_ms,
            end_ms: tile.end_ms,
            summary: tile.summary,
        }
    }
}
