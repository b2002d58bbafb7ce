//! The pure engine: (state, input) to (state, outputs).
//!
//! Inputs are records with their place in Kafka, the news that a partition has nothing more to
//! give, and the time by the wall clock. Outputs are window and alert events, refused and uncertain
//! records, history and learnt baselines. The same inputs give the same outputs in the daemon, in a replay
//! from a file, and after a crash: nothing here reads a clock, and nothing depends on how the
//! records were cut into batches.
//!
//! ```text
//! record ──► summarise (one model's first half) ──► deltas ──► decide (its second half) ──► outputs
//!                          └── partition times ──► watermark ──┘                └─► outbox, numbered
//! ```

pub mod checkpoint;
pub mod decide;
mod forget;
pub mod judge;
mod model_rules;
pub mod outbox;
pub mod output;
pub mod restore;
pub mod review;
mod sound;
pub mod spec;
pub mod state;
pub mod status;
pub mod summarise;
mod weigh;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::baseline::{Baseline, Source};
use crate::decode::Record;
use crate::observation::{Millis, Reason};
use crate::window::watermark::{PartitionTime, Watermark, cell_of};
use decide::Decide;
use outbox::{Outbox, Publication};
use output::{HistoryEntry, Output, Referred, Rejected};
use review::Referrals;
use spec::ModelSpec;
use summarise::Summarise;

/// A partition of an input topic.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

/// An input partition's place in the engine: what a record is handed in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionId(usize);

/// What is published, and what is only counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Names the producer of events, as `kafka.group`.
    pub group: String,
    pub windows: bool,
    pub dead_letters: bool,
    pub reviews: bool,
}

impl Published {
    fn wants(&self, output: &Output) -> bool {
        match output {
            Output::Window(_) => self.windows,
            Output::Rejected(_) => self.dead_letters,
            Output::Referred(_) => self.reviews,
            Output::Alert(_) => true,
            Output::History(_) | Output::Learnt(_) => false,
        }
    }
}

/// All models of one daemon.
#[derive(Debug)]
pub struct Engine {
    published: Option<Published>,
    models: Vec<Model>,
    partitions: Vec<Partition>,
    outbox: Outbox,
    outputs: Vec<Output>,
    outside: u64,
}

/// One input partition.
#[derive(Debug)]
struct Partition {
    at: TopicPartition,
    /// The next offset to read; none until a record was read or a start was set.
    position: Option<i64>,
    /// Records before this offset were refused or referred, or not, under another instance: their
    /// dead letters and review records are out.
    settled_before: i64,
    /// The models that read it.
    models: Vec<usize>,
}

#[derive(Debug)]
struct Model {
    spec: Arc<ModelSpec>,
    summarise: Summarise,
    decide: Decide,
    /// Of its partitions.
    times: BTreeMap<PartitionId, PartitionTime>,
    rejected: BTreeMap<Reason, u64>,
    referrals: Referrals,
    arrived: bool,
}

impl Model {
    fn watermark(&self, now_ms: Millis) -> Watermark {
        let (idle_after_ms, lateness_ms) = (self.spec.idle_after_ms, self.spec.lateness_ms);
        Watermark::over(self.times.values(), now_ms, idle_after_ms, lateness_ms)
    }

    /// Draws the lines of what is uncertain by the baseline that windows are measured against.
    fn draw_lines(&mut self) {
        let baseline = self.decide.baseline();
        if !self.summarise.lines().are_by(baseline) {
            self.summarise.set_baseline(baseline.cloned());
        }
    }
}

impl Engine {
    /// An engine that knows nothing yet. Without `published` the outbox stays empty.
    pub fn new(models: Vec<ModelSpec>, published: Option<Published>) -> Self {
        let models = models.into_iter().map(Arc::new).map(|spec| Model {
            summarise: Summarise::new(Arc::clone(&spec)),
            decide: Decide::new(Arc::clone(&spec)),
            spec,
            times: BTreeMap::new(),
            rejected: BTreeMap::new(),
            referrals: Referrals::default(),
            arrived: false,
        });
        Self {
            published,
            models: models.collect(),
            partitions: Vec::new(),
            outbox: Outbox::default(),
            outputs: Vec::new(),
            outside: 0,
        }
    }

    pub fn specs(&self) -> impl Iterator<Item = &Arc<ModelSpec>> {
        self.models.iter().map(|model| &model.spec)
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Makes a partition known; a known one keeps its place.
    pub fn add_partition(&mut self, at: TopicPartition) -> PartitionId {
        if let Some(known) = self.partitions.iter().position(|p| p.at == at) {
            return PartitionId(known);
        }
        let id = PartitionId(self.partitions.len());
        let reads = |model: &Model| model.spec.topics.contains(&at.topic);
        let models: Vec<usize> = (0..self.models.len())
            .filter(|&m| reads(&self.models[m]))
            .collect();
        for &model in &models {
            self.models[model].times.entry(id).or_default();
        }
        self.partitions.push(Partition {
            at,
            position: None,
            settled_before: 0,
            models: models.clone(),
        });
        for model in models {
            self.share_out(model);
        }
        id
    }

    /// Gives each partition of the model its part of what may be referred, in order of their names.
    fn share_out(&mut self, model: usize) {
        let model = &mut self.models[model];
        let Some(review) = &model.spec.review else {
            return;
        };
        let mut ids: Vec<PartitionId> = model.times.keys().copied().collect();
        ids.sort_unstable_by_key(|id| &self.partitions[id.0].at);
        model.referrals.share_out(review.rate, &ids);
    }

    /// The next offset to read of every partition that has one.
    pub fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        let known = |p: &Partition| Some((p.at.clone(), p.position?));
        self.partitions.iter().filter_map(known).collect()
    }

    /// Records before these offsets are dealt with, by this instance or by the one before it, whose
    /// last window is being read again.
    pub fn settled_positions(&self) -> BTreeMap<TopicPartition, i64> {
        let settled = |p: &Partition| Some((p.at.clone(), p.position?.max(p.settled_before)));
        self.partitions.iter().filter_map(settled).collect()
    }

    pub fn position(&self, id: PartitionId) -> Option<i64> {
        self.partitions[id.0].position
    }

    /// Reading goes on here.
    pub fn set_position(&mut self, id: PartitionId, position: i64) {
        self.partitions[id.0].position = Some(position);
    }

    /// Records before `offset` have had their dead letters and review records from another instance.
    pub fn settle_before(&mut self, id: PartitionId, offset: i64) {
        self.partitions[id.0].settled_before = offset;
    }

    /// Closed panes of the model that are not in the store's history yet.
    pub fn live_panes(&self, model: &str) -> Vec<HistoryEntry> {
        let model = self.models.iter().find(|m| m.spec.name == model);
        model.map_or(Vec::new(), |model| model.decide.live_panes())
    }

    /// What the model has learnt so far, as a baseline; none when it is not learning or has seen
    /// nothing.
    pub fn learnt(
        &mut self,
        model: &str,
        name: &str,
        source: Source,
        created_ms: Millis,
    ) -> Option<Baseline> {
        let found = self.models.iter_mut().find(|m| m.spec.name == model)?;
        found
            .decide
            .state
            .learning
            .take()?
            .finish(name, model, source, created_ms)
    }

    /// Windows of the model that end at `to_ms` or before have been published by another instance.
    /// Its records are read again from `from_ms` on: rules are stepped on those of these windows that
    /// are whole, so that what was pending is.
    pub fn settle_windows(&mut self, model: &str, from_ms: Millis, to_ms: Millis) {
        if let Some(model) = self.models.iter_mut().find(|m| m.spec.name == model) {
            model.decide.settle(from_ms, to_ms);
        }
    }

    /// The model's measures are against this baseline from its next window on.
    pub fn set_baseline(&mut self, model: &str, baseline: Option<Arc<Baseline>>) {
        if let Some(model) = self.models.iter_mut().find(|m| m.spec.name == model) {
            model.decide.set_baseline(baseline);
            model.draw_lines();
        }
    }

    /// Reads the record at `offset`. `now_ms` is the wall clock's; without it no record is ahead of
    /// its time. True if it is to be published again, as a dead letter or for review.
    pub fn record(
        &mut self,
        id: PartitionId,
        offset: i64,
        record: &Record<'_>,
        now_ms: Option<Millis>,
    ) -> bool {
        let partition = &mut self.partitions[id.0];
        partition.position = Some(offset + 1);
        let settled = offset < partition.settled_before;
        let mut is_wanted = false;
        for &m in &partition.models {
            let model = &mut self.models[m];
            model.arrived = true;
            let time = model.times.entry(id).or_default();
            let (model_name, at) = (&model.spec.name, &partition.at);
            let output = match model.summarise.record(time, record, now_ms) {
                Ok(None) => continue,
                Ok(Some(uncertain)) => {
                    if !model.referrals.take(id, time, settled) || settled {
                        continue;
                    }
                    Output::Referred(Referred {
                        model: model_name.clone(),
                        topic: at.topic.clone(),
                        partition: at.partition,
                        offset,
                        entropy_bits: uncertain.entropy_bits,
                        detail: model.summarise.lines().explain(uncertain),
                    })
                }
                Err(rejection) => {
                    *model.rejected.entry(rejection.reason).or_default() += 1;
                    if settled {
                        continue;
                    }
                    Output::Rejected(Rejected {
                        model: model_name.clone(),
                        topic: at.topic.clone(),
                        partition: at.partition,
                        offset,
                        rejection,
                    })
                }
            };
            is_wanted |= self.published.as_ref().is_some_and(|p| p.wants(&output));
            self.outputs.push(output);
        }
        is_wanted
    }

    /// The next `records` records of the partition are gone: reading goes on after them.
    pub fn lost(&mut self, id: PartitionId, records: u64, now_ms: Millis) {
        let partition = &mut self.partitions[id.0];
        let skipped = i64::try_from(records).unwrap_or(i64::MAX);
        partition.position = Some(
            partition
                .position
                .unwrap_or_default()
                .saturating_add(skipped),
        );
        for &m in &partition.models {
            self.models[m].decide.lost(records, now_ms);
        }
    }

    /// The partition has been read to its end, at `now_ms` by the wall clock.
    pub fn at_end(&mut self, id: PartitionId, now_ms: Millis) {
        for &m in &self.partitions[id.0].models {
            self.models[m]
                .times
                .entry(id)
                .or_default()
                .nothing_to_give(now_ms, true);
        }
    }

    /// Decides what can be decided at `now_ms` by the wall clock: after every batch of records, and
    /// at least once a second.
    pub fn step(&mut self, now_ms: Millis) {
        self.count_fleet();
        for model in &mut self.models {
            if std::mem::take(&mut model.arrived) {
                model.decide.arrived(now_ms);
            }
            model.decide.merge(model.summarise.take());
            let watermark = model.watermark(now_ms);
            model.decide.advance(watermark);
            let caught_up = model.times.values().all(PartitionTime::caught_up);
            model.decide.tick(watermark, caught_up, now_ms);
            self.outputs.append(&mut model.decide.take_outputs());
            model.draw_lines();
            for stream in model.decide.take_forgotten() {
                model.summarise.forget(&stream);
            }
        }
    }

    /// Tells every model how many streams of others share the budget of false alarms in `[defaults]`
    /// with it: the one number of a model's decisions that comes from outside, and the only one that
    /// depends on how far the others have come when it decides.
    fn count_fleet(&mut self) {
        let sharers: Vec<u64> = self.models.iter().map(|m| m.decide.sharers()).collect();
        let all = sharers.iter().sum::<u64>() + self.outside;
        for (model, own) in self.models.iter_mut().zip(sharers) {
            model.decide.set_others(all - own);
        }
    }

    /// So many streams that this engine does not have share the budget in `[defaults]` too.
    pub fn set_outside(&mut self, streams: u64) {
        self.outside = streams;
    }

    /// The input has ended: closes the pane of the newest record of each model.
    pub fn finish(&mut self) {
        self.count_fleet();
        for model in &mut self.models {
            model.decide.merge(model.summarise.take());
            let newest_ms = model
                .times
                .values()
                .filter_map(PartitionTime::newest_ms)
                .max();
            model.decide.advance(Watermark::Standstill { newest_ms });
            self.outputs.append(&mut model.decide.take_outputs());
        }
    }

    /// How many outputs wait to be taken.
    pub fn pending_outputs(&self) -> usize {
        self.outputs.len()
    }

    /// Takes what has been said since the last call, in order; what is to be published is in the
    /// outbox from here on.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        if let Some(published) = &self.published {
            for output in self.outputs.iter().filter(|output| published.wants(output)) {
                if let Some(publication) = Publication::of(output, &published.group) {
                    self.outbox.push(publication);
                }
            }
        }
        std::mem::take(&mut self.outputs)
    }

    /// Outbox entries up to this number are out.
    pub fn published(&mut self, number: u64) {
        self.outbox.published(number);
    }

    /// The watermark of each model that has one: windows that end at it or before are decided, by
    /// this instance or by the one before it.
    pub fn watermarks(&self) -> BTreeMap<String, Millis> {
        let decided = |m: &Model| Some((m.spec.name.clone(), m.decide.settled_to_ms()?));
        self.models.iter().filter_map(decided).collect()
    }

    /// Partitions that have run so far ahead of their model's watermark that they should wait:
    /// the open panes are bounded by not reading further ahead.
    pub fn ahead(&self) -> Vec<PartitionId> {
        let mut ahead = Vec::new();
        for model in &self.models {
            let Some(line) = model.decide.crowded_from() else {
                continue;
            };
            let cell_ms = model.spec.window.cell_ms();
            let time = |t: &PartitionTime| t.newest_ms().map(|newest| cell_of(newest, cell_ms));
            let least = model.times.values().filter_map(time).min();
            ahead.extend(model.times.iter().filter_map(|(&id, t)| {
                let cell = time(t)?;
                (cell >= line && Some(cell) > least).then_some(id)
            }));
        }
        ahead.sort_unstable();
        ahead.dedup();
        ahead
    }
}
