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

use super::judge::{self, Measured, Voice};
use super::output::{HistoryEntry, Output};
use super::spec::{BaselineSpec, ModelSpec};
use super::state::{OpenCell, OpenStream, Settled, State, StreamState};
use super::summarise::{Batch, Delta};
use super::weigh::{Fresh, Weighing};
use crate::alert::budget::{Budget, Crowd};
use crate::alert::rule::{Rule, Scope};
use crate::baseline::learner::Learner;
use crate::baseline::yardstick::Yardsticks;
use crate::baseline::{Baseline, Source};
use crate::evidence::PaneSums;
use crate::observation::{Millis, StreamKey};
use crate::summary::{MOST_SEGMENTS, Summary};
use crate::window::WindowSpec;
use crate::window::measures::Needs;
use crate::window::sliding::Pane;
use crate::window::watermark::{Cell, Watermark};

/// Count windows: cells that late records of one stream may come from in one open cell. Records of
/// further ones are dropped as too late, so that old times cannot take memory without bound.
const MAX_LATE_CELLS: usize = 1024;

/// What one stream brings to a closing.
#[derive(Debug)]
struct Part {
    key: StreamKey,
    classes: Arc<[String]>,
    /// None where all its records were late.
    pane: Option<Pane>,
    fresh: Option<Fresh>,
}

/// What is the same for every stream of a closing.
#[derive(Clone, Copy, Debug)]
struct Closing {
    end_ms: Millis,
    voice: Voice,
    crowd: Crowd,
}

/// One model's second half.
#[derive(Debug)]
pub struct Decide {
    pub(super) spec: Arc<ModelSpec>,
    pub(super) state: State,
    pub(super) baseline: Option<Yardsticks>,
    /// Streams of the other models that share one budget of false alarms with this one.
    others: u64,
    pub(super) outputs: Vec<Output>,
    pub(super) forgotten: Vec<StreamKey>,
    // scratch
    gone: Vec<Pane>,
}

impl Decide {
    pub fn new(spec: Arc<ModelSpec>) -> Self {
        Self {
            state: State::new(&spec),
            spec,
            baseline: None,
            others: 0,
            outputs: Vec::new(),
            forgotten: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// What windows are measured against.
    pub fn baseline(&self) -> Option<&Arc<Baseline>> {
        self.baseline.as_ref().map(Yardsticks::baseline)
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

    /// Windows that end at `to_ms` or before have been published by another instance, and records
    /// from `from_ms` on are read again.
    pub fn settle(&mut self, from_ms: Millis, to_ms: Millis) {
        self.state.settled = Some(Settled { from_ms, to_ms });
    }

    /// Windows that end at this time or before are settled, by this instance or another. Before any
    /// window has closed: the end of the last one that cannot hold a record seen so far, so that
    /// whoever takes over knows from where on to read again.
    pub fn settled_to_ms(&self) -> Option<Millis> {
        let cell_ms = self.spec.window.cell_ms();
        let before_all = |first: &Cell| match self.spec.window {
            WindowSpec::Time { length_ms, .. } => first * cell_ms - length_ms,
            WindowSpec::Count { .. } => first * cell_ms,
        };
        let own = self
            .decided_to_ms()
            .or_else(|| self.state.open.keys().next().map(before_all));
        own.max(self.state.settled.map(|settled| settled.to_ms))
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
        let least = self.spec.min_baseline_records;
        self.baseline = baseline.map(|baseline| Yardsticks::new(baseline, least));
        for stream in self.state.streams.values_mut().chain(&mut self.state.whole) {
            stream.view.yardstick = None;
        }
    }

    /// Streams that share the budget of false alarms in `[defaults]`: those of this model.
    pub fn sharers(&self) -> u64 {
        let shares = self.spec.budgets.iter().any(|budget| budget.is_shared);
        if shares {
            (self.state.streams.len() as u64).max(1)
        } else {
            0
        }
    }

    /// Streams that share it: those of the other models.
    pub fn set_others(&mut self, streams: u64) {
        self.others = streams;
    }

    fn crowd(&self) -> Crowd {
        Crowd {
            model: self.state.streams.len() as u64,
            fleet: self.others + self.state.streams.len() as u64,
        }
    }

    /// Merges a batch into the open cells.
    pub fn merge(&mut self, batch: Batch) {
        self.state.counters.too_late += batch.too_late;
        for delta in batch.deltas {
            self.merge_delta(delta);
        }
        for (cell, rejected) in batch.rejected {
            self.state.counters.rejected += rejected.total();
            match cell.max(self.state.next) {
                Some(cell) => {
                    let cell = self.state.open.entry(cell).or_default();
                    cell.rejected.merge(&rejected);
                }
                None => self.state.untimed_rejections.merge(&rejected),
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
                    classes: Arc::clone(&delta.stream.classes),
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
                Some(held) => merge_open(held, &delta.summary),
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
        let mut parts = Vec::with_capacity(opened.streams.len());
        let mut records = 0;
        for (key, stream) in std::mem::take(&mut opened.streams) {
            let classes = Arc::clone(&stream.classes);
            let fresh = self.fresh(&stream, cell);
            let pane = self.pane_of(&key, stream, cell);
            records += pane.as_ref().map_or(0, |pane| pane.summary.records());
            parts.push(Part {
                key,
                classes,
                pane,
                fresh,
            });
        }
        let refused = opened.rejected.total() > 0;
        self.state
            .traffic
            .close(&self.spec.window, end_ms, records, opened.rejected);
        let whole = self.close_whole(&parts, end_ms);
        self.close_streams(parts, end_ms);
        if refused || whole.is_some() || self.is_one_stream() {
            self.judge_rejections(whole, end_ms);
        }
        self.finish_learning(end_ms);
        self.forget_streams(end_ms);
    }

    /// What of a stream begins to count with this closing, for rules with a budget.
    fn fresh(&self, opened: &OpenStream, cell: Cell) -> Option<Fresh> {
        // Count windows: the pane is not complete with the cell.
        if self.spec.budgets.is_empty() || self.spec.window.panes().is_none() {
            return None;
        }
        let start_ms = cell * self.spec.window.cell_ms();
        let mut fresh = None;
        for summary in opened.on_time.iter().chain(opened.late.values()) {
            let sums = PaneSums::of(summary);
            Fresh::join(&mut fresh, sums.map(|sums| Fresh { start_ms, sums }));
        }
        fresh
    }

    /// Lets late records join, and makes a pane of the rest.
    fn pane_of(&mut self, key: &StreamKey, opened: OpenStream, cell: Cell) -> Option<Pane> {
        let cell_ms = self.spec.window.cell_ms();
        let (start_ms, end_ms) = (cell * cell_ms, (cell + 1) * cell_ms);
        let OpenStream {
            classes,
            on_time,
            late,
        } = opened;
        self.begin_stream(key, &classes, end_ms);
        let bounded = |mut summary: Summary| {
            summary.keep_largest_segments(MOST_SEGMENTS);
            summary
        };
        let on_time = on_time.map(bounded);
        if let (Some(learner), Some(on_time)) = (&mut self.state.learning, &on_time) {
            learner.add_pane(key, &classes, start_ms, on_time);
        }
        let mut pane = on_time.map(|summary| Pane {
            start_ms,
            end_ms,
            late: 0,
            summary,
        });
        let is_time = self.spec.window.panes().is_some();
        for (late_cell, summary) in late {
            let (late_start_ms, late_end_ms) = (late_cell * cell_ms, (late_cell + 1) * cell_ms);
            let (records, summary) = (summary.records(), bounded(summary));
            let Some(stream) = self.state.streams.get_mut(key) else {
                continue;
            };
            let oldest_ms = stream.sliding.oldest_ms();
            if !is_time && oldest_ms.is_none_or(|oldest| late_end_ms <= oldest) {
                self.state.counters.too_late += records;
                self.state.counters.late -= records;
                self.state.counters.records -= records;
                continue;
            }
            if let Some(learner) = &mut self.state.learning {
                learner.add_late(key, &classes, &summary);
            }
            if is_time {
                let joined = Pane {
                    start_ms: late_start_ms,
                    end_ms: late_end_ms,
                    late: records,
                    summary,
                };
                if let Some(whole) = self.state.whole.as_mut().filter(|w| w.classes == classes) {
                    whole.sliding.join(joined.clone());
                }
                stream.sliding.join(joined);
            } else {
                let joined = Pane {
                    start_ms,
                    end_ms,
                    late: records,
                    summary,
                };
                match &mut pane {
                    Some(pane) => pane.absorb(&joined),
                    None => pane = Some(joined),
                }
            }
        }
        pane
    }

    /// Makes the stream's state, or makes it anew where it had other classes (which happens only
    /// after the configured ones changed).
    fn begin_stream(&mut self, key: &StreamKey, classes: &Arc<[String]>, active_ms: Millis) {
        match self.state.streams.get_mut(key) {
            Some(stream) if stream.classes == *classes => {
                stream.active_ms = active_ms;
                // What is the same list is not compared name by name the next time.
                stream.classes = Arc::clone(classes);
            }
            _ => {
                let seeds = self.state.seeds.remove(key);
                let fresh = StreamState::new(Arc::clone(classes), active_ms, seeds);
                self.state.streams.insert(key.clone(), fresh);
            }
        }
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
            self.state.whole = Some(StreamState::new(
                Arc::clone(&first.classes),
                Millis::MIN,
                seeds,
            ));
        }
    }

    /// Slides the window over all streams together, where there are dimensions.
    fn close_whole(&mut self, parts: &[Part], end_ms: Millis) -> Option<Measured> {
        let (voice, crowd) = (self.state.voice(end_ms), self.crowd());
        let whole = self.state.whole.as_mut()?;
        let mut merged: Option<Pane> = None;
        let panes = parts.iter().filter_map(|part| part.pane.as_ref());
        for pane in panes.filter(|p| p.summary.classes() == whole.classes.len()) {
            match &mut merged {
                Some(merged) => merged.absorb(pane),
                None => merged = Some(pane.clone()),
            }
        }
        let rules: Vec<&Rule> = rules(&self.spec, Scope::Whole).collect();
        let budgets: Vec<&Budget> = budgets(&self.spec, Scope::Whole).collect();
        let mut together = None;
        if !budgets.is_empty() {
            for part in parts.iter().filter(|part| part.classes == whole.classes) {
                Fresh::join(&mut together, part.fresh.clone());
            }
        }
        let traffic = &self.state.traffic;
        let key = StreamKey::whole();
        let yardstick = whole.yardstick(self.baseline.as_mut(), &key);
        let window = whole
            .sliding
            .close(&self.spec.window, end_ms, merged, &mut self.gone);
        let measured = window.map(|w| Measured::new(&w, yardstick.as_deref(), Some(traffic)));
        // The whole is in history through its streams.
        self.gone.clear();
        let mut measured = measured?;
        let weighing = Weighing {
            spec: &self.spec,
            yardstick: yardstick.as_deref(),
            crowd,
            voice,
        };
        let verdicts = whole.weigh(&weighing, &budgets, together, &mut measured);
        let is_watched = !rules.is_empty() || !budgets.is_empty();
        if is_watched && voice == Voice::Aloud {
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
                voice,
            ));
        }
        for verdict in &verdicts {
            let said = whole.judge(&weighing, &key, verdict, &measured);
            self.outputs.extend(said);
        }
        let ended = whole.end_unweighed(&weighing, &key, &budgets, end_ms);
        self.outputs.extend(ended);
        whole.view.latest = Some(Arc::new(measured.clone()));
        Some(measured)
    }

    /// Closes the streams that this closing concerns: those with a part in it, and those whose window
    /// goes on without. Both are in order of key, and a stream with a part has been begun.
    fn close_streams(&mut self, parts: Vec<Part>, end_ms: Millis) {
        let closing = Closing {
            end_ms,
            voice: self.state.voice(end_ms),
            crowd: self.crowd(),
        };
        let is_time = self.spec.window.panes().is_some();
        let mut parts = parts.into_iter().peekable();
        let mut streams = std::mem::take(&mut self.state.streams);
        for (key, state) in &mut streams {
            let part = parts.next_if(|part| part.key == *key);
            let (pane, fresh) = part.map_or((None, None), |part| (part.pane, part.fresh));
            if pane.is_some() || is_time && !state.sliding.is_empty() {
                self.close_stream(key, state, pane, fresh, closing);
            }
        }
        self.state.streams = streams;
    }

    fn close_stream(
        &mut self,
        key: &StreamKey,
        state: &mut StreamState,
        pane: Option<Pane>,
        fresh: Option<Fresh>,
        Closing {
            end_ms,
            voice,
            crowd,
        }: Closing,
    ) {
        let traffic = self.is_one_stream().then_some(&self.state.traffic);
        let yardstick = state.yardstick(self.baseline.as_mut(), key);
        let window = state
            .sliding
            .close(&self.spec.window, end_ms, pane, &mut self.gone);
        let measured = window.map(|w| Measured::new(&w, yardstick.as_deref(), traffic));
        for pane in self.gone.drain(..) {
            let full = state.gather(&self.spec, key, pane);
            let full = full.map(|entry| Output::History(Box::new(entry)));
            self.outputs.extend(full);
        }
        let Some(mut measured) = measured else { return };
        let whole = self.spec.decoder.dimensions.is_empty();
        let weighing = Weighing {
            spec: &self.spec,
            yardstick: yardstick.as_deref(),
            crowd,
            voice,
        };
        let budgets: Vec<&Budget> = (self.spec.budgets.iter())
            .filter(|budget| whole || budget.scope == Scope::Streams)
            .collect();
        let verdicts = state.weigh(&weighing, &budgets, fresh, &mut measured);
        if voice == Voice::Aloud {
            self.state.counters.windows += 1;
            self.outputs.extend(measured.event(&self.spec.name, key));
        }
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
                voice,
            ));
        }
        for verdict in &verdicts {
            let said = state.judge(&weighing, key, verdict, &measured);
            self.outputs.extend(said);
        }
        let ended = state.end_unweighed(&weighing, key, &budgets, end_ms);
        self.outputs.extend(ended);
        state.view.latest = Some(Arc::new(measured));
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
}

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

/// The same of rules with a budget.
fn budgets(spec: &ModelSpec, scope: Scope) -> impl Iterator<Item = &Budget> {
    spec.budgets
        .iter()
        .filter(move |budget| budget.scope == scope)
}

fn merge_into(held: &mut Option<Summary>, more: Summary) {
    match held {
        Some(held) => merge_open(held, &more),
        None => *held = Some(more),
    }
}

fn merge_open(held: &mut Summary, more: &Summary) {
    held.merge(more);
    held.keep_first_segments();
}
