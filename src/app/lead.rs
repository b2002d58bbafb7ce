//! Leading: reads, decides, makes it durable, publishes; until shutdown or until another takes over.
//!
//! A round of the loop reads what there is and decides. Now and then it ends a step: one checkpoint
//! with everything that was decided since the last, which is then handed to the publisher. While
//! that is at work reading goes on, and what is decided meanwhile makes up the next step.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::outbound::Outbound;
use super::outside::{Source, Watcher};
use super::pace::{Pace, TICK, TRIM};
use super::recover::Start;
use super::{Daemon, End, STEP, baselines, review};
use crate::clock::Instant;
use crate::decode::Record;
use crate::engine::output::Output;
use crate::engine::{Engine, PartitionId, TopicPartition};
use crate::http::{Phase, View};
use crate::kafka::{self, Change, Event, KafkaError, Outcome, Positions};
use crate::store::{NewBaseline, StepWrites, StoreError};

/// Records between decisions.
const ROUND: usize = 4_096;
/// How long a round waits for records.
const PATIENCE: Duration = Duration::from_millis(50);
/// For a clean end: checkpoint and last publication.
const GOODBYE: Duration = Duration::from_secs(7);

/// The instance that is active.
struct Lead {
    engine: Engine,
    source: Box<dyn Source>,
    /// By the source's slots.
    ids: Vec<PartitionId>,
    paused: BTreeSet<PartitionId>,
    /// Partitions that give nothing because no record is at their position.
    stranded: BTreeSet<TopicPartition>,
    outbound: Outbound,
    watcher: Box<dyn Watcher>,
    /// What was last said of a partition's error, so that it is said once.
    errors: BTreeMap<Option<TopicPartition>, String>,
    /// What was said of baselines that do not fit.
    unfit: BTreeSet<String>,
    /// Topics that are gone.
    lost: BTreeMap<String, String>,
    pace: Pace,
}

impl Daemon<'_> {
    pub(super) fn lead(&mut self, start: Start) -> Result<End, anyhow::Error> {
        let mut lead = self.begin(start)?;
        let end = loop {
            if self.shutdown.is_requested() {
                self.goodbye(&mut lead)?;
                break End::Shutdown;
            }
            if let ControlFlow::Break(end) = self.round(&mut lead)? {
                break end;
            }
        };
        self.hub.publish(View::default());
        Ok(end)
    }

    fn begin(&mut self, start: Start) -> Result<Lead, anyhow::Error> {
        let Start {
            mut engine,
            publisher,
            topics,
            covered,
            beat,
        } = start;
        let source = self
            .kafka
            .source(&self.config.limits, &engine.positions())?;
        let partitions = source.partitions().into_iter();
        let ids = partitions.map(|at| engine.add_partition(at)).collect();
        let outbound = Outbound::new(
            &self.config,
            Rc::clone(&self.kafka),
            publisher,
            self.store.identity(),
            beat,
            covered,
        );
        let now = self.clock.now();
        let mut lead = Lead {
            engine,
            source,
            ids,
            paused: BTreeSet::new(),
            stranded: BTreeSet::new(),
            outbound,
            watcher: self.kafka.watcher(topics)?,
            errors: BTreeMap::new(),
            unfit: BTreeSet::new(),
            lost: BTreeMap::new(),
            pace: Pace::new(now),
        };
        // The state becomes this store's at once, and what there was no time to publish goes out
        // first.
        self.decide(&mut lead)?;
        lead.outbound.publish(&lead.engine, false, now);
        self.publish_view(&mut lead);
        Ok(lead)
    }

    /// It breaks where this instance leads no more.
    fn round(&mut self, lead: &mut Lead) -> Result<ControlFlow<End>, anyhow::Error> {
        self.answer_calls(Some(&mut lead.engine));
        self.follow_topics(lead)?;
        if let Some(outcome) = lead.outbound.outcome(Duration::ZERO) {
            match outcome {
                Outcome::Fenced { by } => {
                    match by.map(|marker| marker.store) {
                        Some(store) if store == self.store.identity() => tracing::warn!(
                            "another instance is taking over, or the broker has given up on a \
                             transaction: standing by"
                        ),
                        store => {
                            tracing::warn!(store, "another instance has taken over: standing by");
                        }
                    }
                    return Ok(ControlFlow::Break(End::Fenced));
                }
                Outcome::Stopped { error } => {
                    tracing::error!(%error, "publication has failed for good: starting over");
                    self.rest(super::RETRY);
                    return Ok(ControlFlow::Break(End::Failed));
                }
                Outcome::Ready => {}
                Outcome::Published { id } => {
                    let is_first = !lead.outbound.is_confirmed();
                    lead.outbound.published(&mut lead.engine, id);
                    if is_first {
                        tracing::info!(partitions = lead.ids.len(), "active");
                        self.publish_view(lead);
                    }
                }
            }
        }
        let read = self.read(lead);
        let now = self.clock.now();
        if read > 0 || now.duration_since(lead.pace.ticked) >= TICK {
            lead.engine.step(self.clock.now_ms());
            lead.hold_back()?;
        }
        if now.duration_since(lead.pace.ticked) >= TICK {
            lead.pace.ticked = now;
            self.rescue(lead);
            self.publish_view(lead);
        }
        self.end_step(lead, now)?;
        if now.duration_since(lead.pace.trimmed) >= TRIM {
            lead.pace.trimmed = now;
            self.trim(&lead.engine)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads what there is into the engine, and gives the number of events. Where too much waits to be
    /// published nothing is read.
    fn read(&mut self, lead: &mut Lead) -> usize {
        if self.is_full(lead) {
            self.clock.sleep(PATIENCE);
            return 0;
        }
        let Lead {
            engine,
            source,
            ids,
            stranded,
            outbound,
            errors,
            pace,
            ..
        } = lead;
        let limits = &self.config.limits;
        let now_ms = self.clock.now_ms();
        let mut written_ms = None;
        let read = source.poll(PATIENCE, ROUND, &mut |event| {
            match event {
                Event::Record(record) => {
                    written_ms = written_ms.max(record.timestamp_ms);
                    let decoded = Record {
                        payload: record.payload,
                        timestamp_ms: record.timestamp_ms,
                        headers: &record.headers,
                    };
                    let id = ids[record.at.slot];
                    if engine.record(id, record.offset, &decoded, Some(now_ms)) {
                        outbound.hold(&record);
                        if outbound.held_bytes() >= limits.outbox_bytes
                            || engine.pending_outputs() >= limits.outbox_entries
                        {
                            return ControlFlow::Break(());
                        }
                    }
                }
                Event::EndOfPartition(at) => engine.at_end(ids[at.slot], now_ms),
                Event::OutOfRange(at) => {
                    stranded.insert(of(at));
                }
                Event::Error { at, error } => {
                    let said = error.to_string();
                    let told = errors.entry(at.map(of)).or_default();
                    if *told != said && !error.is_transient() {
                        tracing::warn!(%error, "reading goes on as far as it can");
                        *told = said;
                    }
                }
            }
            ControlFlow::Continue(())
        });
        pace.has_read(written_ms, now_ms);
        read
    }

    /// Too much waits to be published for anything to be read.
    fn is_full(&self, lead: &Lead) -> bool {
        let limits = &self.config.limits;
        let entries = lead.engine.outbox().len() + lead.engine.pending_outputs();
        entries >= limits.outbox_entries || lead.outbound.held_bytes() >= limits.outbox_bytes
    }

    /// Ends a step where there is something to say, or it is time to.
    fn end_step(&mut self, lead: &mut Lead, now: Instant) -> Result<(), anyhow::Error> {
        let due =
            lead.engine.pending_outputs() > 0 || now.duration_since(lead.pace.stepped) >= STEP;
        if lead.outbound.is_busy() {
            return Ok(());
        }
        if !lead.engine.outbox().is_empty() {
            // The rest of a long outbox.
            lead.outbound.publish(&lead.engine, false, now);
        } else if due && lead.pace.allows_checkpoint(now, self.is_full(lead)) {
            self.decide(lead)?;
            lead.outbound.publish(&lead.engine, false, now);
            lead.pace.stepped = now;
        }
        Ok(())
    }

    /// Makes what was decided since the last time durable, and then known.
    fn decide(&mut self, lead: &mut Lead) -> Result<(), anyhow::Error> {
        let outputs = lead.engine.take_outputs();
        let mut writes = StepWrites::default();
        for output in &outputs {
            match output {
                Output::History(entry) => writes.history.push((**entry).clone()),
                Output::Learnt(baseline) => writes.baselines.push(NewBaseline {
                    baseline: (**baseline).clone(),
                    activate: true,
                }),
                Output::Window(_)
                | Output::Alert(_)
                | Output::Rejected(_)
                | Output::Referred(_) => {}
            }
        }
        self.checkpoint(lead, writes)?;
        for output in &outputs {
            self.tell(lead, output)?;
            (self.observe)(output);
        }
        Ok(())
    }

    fn checkpoint(&self, lead: &mut Lead, writes: StepWrites) -> Result<(), StoreError> {
        let began = self.clock.now();
        let bytes = self.store.write_checkpoint(&lead.engine, &writes)?;
        let ended = self.clock.now();
        let took = ended.duration_since(began);
        self.hub.meters.checkpoint.observe(took.as_secs_f64());
        self.hub.meters.checkpoint_bytes.set(bytes as i64);
        lead.pace.has_checkpointed(ended, took);
        lead.outbound.covers(&lead.engine);
        Ok(())
    }

    /// What the log says of an output, and what follows from it here.
    fn tell(&self, lead: &mut Lead, output: &Output) -> Result<(), StoreError> {
        match output {
            Output::Alert(event) => tracing::info!(
                model = event.model,
                stream = %event.stream,
                rule = event.rule,
                severity = event.severity,
                "{}: {}",
                event.status.name(),
                event.diagnosis.summary
            ),
            Output::Learnt(learnt) => {
                // With the version that the store gave it.
                self.reload_baselines(&mut lead.engine, &learnt.name)?;
            }
            Output::Rejected(refused) => tracing::debug!(
                model = refused.model,
                topic = refused.topic,
                partition = refused.partition,
                offset = refused.offset,
                reason = %refused.rejection.reason,
                "refused: {}",
                refused.rejection.detail
            ),
            Output::Referred(referred) => tracing::debug!(
                model = referred.model,
                topic = referred.topic,
                partition = referred.partition,
                offset = referred.offset,
                "for review: {}",
                referred.detail
            ),
            Output::Window(_) | Output::History(_) => {}
        }
        Ok(())
    }

    /// Hands the active version of a baseline to the models that are measured against it.
    pub(super) fn reload_baselines(
        &self,
        engine: &mut Engine,
        name: &str,
    ) -> Result<(), StoreError> {
        for spec in &self.config.models {
            if baselines::name_for(spec) != name {
                continue;
            }
            let baseline = self.store.active_baseline(spec)?.map(Arc::new);
            if let Some(baseline) = &baseline {
                let (records, version) = (baseline.whole.summary.records(), baseline.version);
                tracing::info!(model = spec.name, name, version, records, "baseline active");
                for oddity in review(spec, baseline) {
                    tracing::warn!("{oddity}");
                }
            }
            engine.set_baseline(&spec.name, baseline);
        }
        Ok(())
    }

    fn trim(&self, engine: &Engine) -> Result<(), StoreError> {
        // By event time: old records that are read late have their history like any others.
        let newest_ms = engine.watermarks().into_values().max();
        if let Some(newest_ms) = newest_ms {
            let before_ms = newest_ms.min(self.clock.now_ms()) - self.config.store.history_ms;
            self.store
                .trim_history(before_ms, self.config.limits.history_bytes)?;
        }
        Ok(())
    }

    /// Reads partitions that were added; remembers topics that are gone.
    fn follow_topics(&self, lead: &mut Lead) -> Result<(), KafkaError> {
        while let Some(change) = lead.watcher.change() {
            match change {
                Change::Added { topic, partitions } => {
                    tracing::info!(topic, ?partitions, "partitions were added");
                    let at = |partition| TopicPartition {
                        topic: topic.clone(),
                        partition,
                    };
                    // From their beginning: nobody has read them.
                    let added: Positions = partitions
                        .into_iter()
                        .map(|partition| (at(partition), 0))
                        .collect();
                    lead.source.add(&added)?;
                    for (at, position) in added {
                        let id = lead.engine.add_partition(at);
                        lead.engine.set_position(id, position);
                        lead.ids.push(id);
                    }
                }
                Change::Lost { topic, error } => {
                    tracing::warn!(topic, %error, "a topic cannot be read");
                    lead.lost.insert(topic, error.to_string());
                }
                Change::Found { topic } => {
                    tracing::info!(topic, "a topic is there again");
                    lead.lost.remove(&topic);
                }
            }
        }
        Ok(())
    }

    /// Reads partitions again that had no record at their position.
    fn rescue(&self, lead: &mut Lead) {
        for at in lead.stranded.clone() {
            let id = lead.engine.add_partition(at.clone());
            let position = lead.engine.position(id).unwrap_or_default();
            let restarted = self.kafka.bounds(&at).and_then(|(low, end)| {
                let from = if position > end {
                    low
                } else {
                    position.max(low)
                };
                lead.source.restart(&at, from).map(|()| (low, end, from))
            });
            let (topic, partition) = (&at.topic, at.partition);
            match restarted {
                Ok((low, ..)) if position < low => {
                    let lost = low - position;
                    tracing::error!(
                        topic,
                        partition,
                        lost,
                        "retention has taken records before they were read"
                    );
                    self.hub.meters.lost_records.inc_by(lost.unsigned_abs());
                    lead.engine
                        .lost(id, lost.unsigned_abs(), self.clock.now_ms());
                    lead.stranded.remove(&at);
                }
                Ok((_, end, from)) => {
                    if position > end {
                        tracing::error!(
                            topic,
                            partition,
                            position,
                            end,
                            "the topic is shorter than what was read of it: it was made anew, and \
                             is read from its beginning"
                        );
                        lead.engine.set_position(id, from);
                    }
                    lead.stranded.remove(&at);
                }
                Err(error) => tracing::debug!(%error, "cannot go on with a partition yet"),
            }
        }
    }

    fn publish_view(&self, lead: &mut Lead) {
        let mut problems: Vec<String> = Vec::new();
        if let kafka::Connection::Down { reason } | kafka::Connection::Refused { reason } =
            self.kafka.connection()
        {
            problems.push(format!("kafka cannot be reached: {reason}"));
        }
        problems.extend(lead.outbound.problem(self.clock.now()));
        let status = lead.engine.status(self.clock.now_ms());
        let mut unfit = BTreeSet::new();
        for model in &status.models {
            if let (Some((name, version)), true) = (
                &model.baseline,
                model.streams.iter().any(|stream| stream.is_unfit),
            ) {
                unfit.insert(super::other_classes(&model.name, name, *version));
            }
        }
        for new in unfit.difference(&lead.unfit) {
            tracing::warn!("{new}");
        }
        problems.extend(unfit.iter().cloned());
        lead.unfit = unfit;
        problems.extend(
            lead.lost
                .iter()
                .map(|(topic, error)| format!("topic {topic}: {error}")),
        );
        let stranded = |at: &TopicPartition| {
            format!("no record at the position of {}/{}", at.topic, at.partition)
        };
        problems.extend(lead.stranded.iter().map(stranded));
        self.hub.publish(View {
            // Until then another one may be, and this one not know of it yet.
            phase: if lead.outbound.is_confirmed() {
                Phase::Active
            } else {
                let waiting_for = "the first publication".to_owned();
                Phase::Starting { waiting_for }
            },
            problems,
            status,
            end_offsets: lead.watcher.end_offsets(),
        });
    }

    /// A clean end: the step is finished, made durable and published, and the marker released.
    fn goodbye(&mut self, lead: &mut Lead) -> Result<(), anyhow::Error> {
        let until = self.clock.now() + GOODBYE;
        lead.engine.step(self.clock.now_ms());
        self.decide(lead)?;
        let mut released = false;
        loop {
            if !lead.outbound.is_busy() {
                if released {
                    return Ok(());
                }
                let now = self.clock.now();
                released = lead.outbound.publish(&lead.engine, true, now);
            }
            let left = until.saturating_duration_since(self.clock.now());
            match lead.outbound.outcome(left.min(PATIENCE)) {
                Some(Outcome::Published { id }) => lead.outbound.published(&mut lead.engine, id),
                Some(Outcome::Fenced { .. } | Outcome::Stopped { .. }) => return Ok(()),
                Some(Outcome::Ready) | None => {}
            }
            if left.is_zero() {
                tracing::warn!(
                    entries = lead.engine.outbox().len(),
                    "not everything could be published in time: the store has it for the next start"
                );
                return Ok(());
            }
        }
    }
}

impl Lead {
    /// Lets partitions wait that are too far ahead of the others, and lets them go on.
    fn hold_back(&mut self) -> Result<(), KafkaError> {
        let ahead: BTreeSet<PartitionId> = self.engine.ahead().into_iter().collect();
        if ahead == self.paused {
            return Ok(());
        }
        let partitions = self.source.partitions();
        let of = |wanted: Vec<PartitionId>| {
            let slots = self.ids.iter().zip(&partitions);
            let named = slots
                .filter(|(id, _)| wanted.contains(id))
                .map(|(_, at)| at);
            named.collect::<Vec<&TopicPartition>>()
        };
        let pause = of(ahead.difference(&self.paused).copied().collect());
        let resume = of(self.paused.difference(&ahead).copied().collect());
        if !pause.is_empty() {
            self.source.pause(&pause)?;
        }
        if !resume.is_empty() {
            self.source.resume(&resume)?;
        }
        self.paused = ahead;
        Ok(())
    }
}

fn of(at: kafka::At<'_>) -> TopicPartition {
    TopicPartition {
        topic: at.topic.to_owned(),
        partition: at.partition,
    }
}
