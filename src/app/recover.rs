//! From standing by to leading: who led before is fenced off, and the state is taken up where it
//! was left.
//!
//! | store | marker | then |
//! | --- | --- | --- |
//! | has a checkpoint | ours, not beyond it, or none | go on from the checkpoint, publish the rest |
//! | empty | none, and no positions | begin at `start_at` |
//! | anything else | | rebuild: read the last window again, decide silently up to the marker |
//!
//! A rebuild says whose the group is before it begins, and again while it lasts ([`Pulse`]), so that
//! nobody who stands by thinks it abandoned. It can do so because whoever starts a store over forgets
//! its checkpoints too: killed half-way, it finds its own marker, nothing in its store, and rebuilds.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::outside::Publisher;
use super::{Daemon, End, STEP, lacking, review};
use crate::clock::Instant;
use crate::config::duration;
use crate::engine::checkpoint::{CheckpointError, FiringAlert};
use crate::engine::spec::ModelSpec;
use crate::engine::{Engine, Published, TopicPartition};
use crate::http::Phase;
use crate::kafka::{
    Committed, KafkaError, Marker, Outcome, OwnedRecord, Positions, Status, Step, Watermarks,
};
use crate::observation::{Millis, StreamKey};
use crate::store::StoreError;
use crate::window::WindowSpec;

use super::follow::Topics;

/// What leading begins with.
pub struct Start {
    pub engine: Engine,
    pub publisher: Box<dyn Publisher>,
    pub topics: Topics,
    /// Up to where windows are known to be out.
    pub covered: Watermarks,
    pub beat: u64,
}

impl Daemon<'_> {
    /// Fences whoever led before and takes the state up; else why not.
    pub(super) fn take_over(
        &mut self,
        topics: Topics,
    ) -> Result<Result<Start, End>, anyhow::Error> {
        let waiting_for = "the transactional id".to_owned();
        self.show(Phase::Starting { waiting_for });
        let publisher = self.kafka.publisher()?;
        if let Err(end) = self.await_publisher(publisher.as_ref(), Outcome::Ready) {
            return Ok(Err(end));
        }
        self.show(Phase::Starting {
            waiting_for: "the state to be restored".to_owned(),
        });
        // Whoever was fenced may have published until just now.
        let Some(marker) = self.insist(|daemon| daemon.kafka.read_marker()) else {
            return Ok(Err(End::Shutdown));
        };
        let mut pulse = Pulse::new(publisher.as_ref(), marker.as_ref());
        let engine = match self.recover(marker.as_ref(), &topics, &mut pulse)? {
            Ok(engine) => engine,
            Err(end) => return Ok(Err(end)),
        };
        let (beat, in_flight) = (pulse.marker.beat, pulse.in_flight);
        if in_flight
            && let id = pulse.marker.number
            && let Err(end) = self.await_publisher(publisher.as_ref(), Outcome::Published { id })
        {
            return Ok(Err(end));
        }
        Ok(Ok(Start {
            engine,
            publisher,
            topics,
            beat,
            covered: marker.map(|marker| marker.watermarks).unwrap_or_default(),
        }))
    }

    /// Waits for this outcome; else why it is not to be waited for.
    fn await_publisher(&mut self, publisher: &dyn Publisher, awaited: Outcome) -> Result<(), End> {
        loop {
            match publisher.outcome(Duration::from_millis(50)) {
                Some(outcome) if outcome == awaited => return Ok(()),
                Some(Outcome::Stopped { error }) => {
                    tracing::error!(%error, "cannot publish; trying again");
                    self.show(Phase::Starting {
                        waiting_for: error.to_string(),
                    });
                    self.rest(Duration::from_secs(5));
                    return Err(End::Failed);
                }
                Some(Outcome::Fenced { .. }) => return Err(End::Fenced),
                Some(Outcome::Ready | Outcome::Published { .. }) => {}
                None => {
                    if let Status::StartingAgain { error, .. } | Status::Retrying { error, .. } =
                        publisher.status()
                    {
                        self.show(Phase::Starting {
                            waiting_for: error.to_string(),
                        });
                    }
                    if !self.rest(Duration::ZERO) {
                        return Err(End::Shutdown);
                    }
                }
            }
        }
    }

    /// An engine with its state and the position of every partition; else why there is none.
    fn recover(
        &mut self,
        marker: Option<&Marker>,
        topics: &Topics,
        pulse: &mut Pulse<'_>,
    ) -> Result<Result<Engine, End>, anyhow::Error> {
        let of_topic = |(topic, partitions): (&String, &Vec<i32>)| -> Vec<TopicPartition> {
            let at = |&partition| TopicPartition {
                topic: topic.clone(),
                partition,
            };
            partitions.iter().map(at).collect()
        };
        let partitions: Vec<TopicPartition> = topics.iter().flat_map(of_topic).collect();
        let Some(committed) = self.insist(|daemon| daemon.kafka.committed(&partitions)) else {
            return Ok(Err(End::Shutdown));
        };
        let mut engine = self.new_engine(&partitions);
        let begun = match self.restore(&mut engine, marker)? {
            Restored::Whole => {
                tracing::info!("going on where it was");
                self.place(&mut engine, &partitions, &committed)
            }
            Restored::Nothing if marker.is_none() && committed.is_empty() => {
                let start_at = self.config.kafka.start_at;
                tracing::info!(?start_at, "nothing is known: beginning");
                self.place(&mut engine, &partitions, &committed)
            }
            Restored::Nothing => {
                engine = self.new_engine(&partitions);
                self.rebuild(&mut engine, &partitions, &committed, marker, pulse)?
            }
        };
        if begun.is_none() {
            return Ok(Err(pulse.end.unwrap_or(End::Shutdown)));
        }
        self.load_baselines(&mut engine)?;
        Ok(Ok(engine))
    }

    fn new_engine(&self, partitions: &[TopicPartition]) -> Engine {
        let output = &self.config.output;
        let published = Published {
            group: self.config.kafka.group.clone(),
            windows: output.windows.is_some(),
            dead_letters: output.dead_letter.is_some(),
            reviews: output.review.is_some(),
        };
        let mut engine = Engine::new(self.config.models.clone(), Some(published));
        for at in partitions {
            engine.add_partition(at.clone());
        }
        engine
    }

    /// Takes the store's checkpoint, if the marker says that nobody has gone on since.
    fn restore(
        &self,
        engine: &mut Engine,
        marker: Option<&Marker>,
    ) -> Result<Restored, anyhow::Error> {
        let checkpoint = match self.store.read_checkpoint() {
            Ok(Some(checkpoint)) => checkpoint,
            Ok(None) => return Ok(Restored::Nothing),
            Err(error @ StoreError::CheckpointLost { .. }) => {
                tracing::error!(%error, "rebuilding");
                return Ok(Restored::Nothing);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(why) = &checkpoint.fell_back {
            tracing::error!(
                why,
                "the newest checkpoint cannot be read: taking the one before"
            );
        }
        match engine.restore(&checkpoint.state) {
            Ok(notes) => {
                for note in notes {
                    tracing::warn!("{note}");
                }
            }
            Err(error @ CheckpointError::Newer { .. }) => {
                return Err(error).context("run the build that wrote the store");
            }
            Err(error @ CheckpointError::Older { .. }) => {
                tracing::warn!(%error, "rebuilding");
                return Ok(Restored::Nothing);
            }
            Err(error @ CheckpointError::Malformed(_)) => {
                tracing::error!(%error, "rebuilding");
                return Ok(Restored::Nothing);
            }
        }
        let identity = self.store.identity();
        let last = engine.outbox().last();
        match marker {
            None => Ok(Restored::Whole),
            Some(marker) if marker.store == identity && marker.number <= last => {
                engine.published(marker.number);
                Ok(Restored::Whole)
            }
            Some(marker) if marker.store == identity => {
                tracing::warn!(
                    published = marker.number,
                    stored = last,
                    "the store is older than what has been published: rebuilding"
                );
                Ok(Restored::Nothing)
            }
            Some(marker) => {
                tracing::warn!(
                    store = marker.store,
                    "another instance has gone on: rebuilding"
                );
                Ok(Restored::Nothing)
            }
        }
    }

    /// Gives a position to every partition that has none: those that were added to a topic are read
    /// from their beginning, topics that are new go on from the group's position or begin at
    /// `start_at`.
    fn place(
        &mut self,
        engine: &mut Engine,
        partitions: &[TopicPartition],
        committed: &BTreeMap<TopicPartition, Committed>,
    ) -> Option<()> {
        let known = engine.positions();
        let is_known = |at: &TopicPartition| known.keys().any(|k| k.topic == at.topic);
        let (mut added, mut fresh) = (Vec::new(), Vec::new());
        let mut found = Positions::new();
        for at in partitions.iter().filter(|at| !known.contains_key(at)) {
            if let Some(committed) = committed.get(at) {
                found.insert(at.clone(), committed.position);
            } else if is_known(at) || committed.keys().any(|k| k.topic == at.topic) {
                added.push(at.clone());
            } else {
                fresh.push(at.clone());
            }
        }
        let start_at = self.config.kafka.start_at;
        found.extend(self.insist(|daemon| {
            use crate::config::valid::StartAt;
            let mut found = daemon.kafka.resolve_start(&added, StartAt::Earliest)?;
            found.extend(daemon.kafka.resolve_start(&fresh, start_at)?);
            Ok(found)
        })?);
        for (at, position) in found {
            let id = engine.add_partition(at);
            engine.set_position(id, position);
        }
        Some(())
    }

    /// Takes up where another store left off: reads one window again, silently.
    fn rebuild(
        &mut self,
        engine: &mut Engine,
        partitions: &[TopicPartition],
        committed: &BTreeMap<TopicPartition, Committed>,
        marker: Option<&Marker>,
        pulse: &mut Pulse<'_>,
    ) -> Result<Option<()>, anyhow::Error> {
        let identity = self.store.start_over()?;
        tracing::warn!(store = identity, "rebuilding the state from Kafka");
        if self
            .config
            .models
            .iter()
            .any(|model| !model.budgets.is_empty())
        {
            tracing::warn!("evidence for budgets of false alarms begins anew");
        }
        pulse.start(identity, self.clock.now());
        if self.place(engine, partitions, committed).is_none() {
            return Ok(None);
        }
        let group = engine.positions();
        for (at, &position) in &group {
            let id = engine.add_partition(at.clone());
            engine.settle_before(id, position);
        }
        let none = Watermarks::default();
        let watermarks = marker.map_or(&none, |marker| &marker.watermarks);
        let known: Positions = group
            .iter()
            .filter(|(at, _)| committed.contains_key(at))
            .map(|(at, &position)| (at.clone(), position))
            .collect();
        let Some(start) = self.insist(|daemon| daemon.before(&known, watermarks)) else {
            return Ok(None);
        };
        for (at, position) in start {
            let id = engine.add_partition(at);
            engine.set_position(id, position);
        }
        for model in &self.config.models {
            if let Some(to_ms) = watermarks.get(&model.name) {
                engine.settle_windows(&model.name, read_from(model, to_ms), to_ms);
            }
        }
        let Some(Some(firing)) = self.insist(|daemon| daemon.firing_alerts(pulse)) else {
            return Ok(None);
        };
        if !firing.is_empty() {
            tracing::info!(alerts = firing.len(), "alerts that fire are taken over");
        }
        engine.take_over(marker.map_or(0, |marker| marker.number), firing);
        Ok(Some(()))
    }

    /// Positions from which on everything is read again that the next window depends on.
    fn before(&self, group: &Positions, watermarks: &Watermarks) -> Result<Positions, KafkaError> {
        let mut start = group.clone();
        for model in &self.config.models {
            let of_model = |at: &&TopicPartition| model.topics.contains(&at.topic);
            let partitions: Vec<TopicPartition> = group.keys().filter(of_model).cloned().collect();
            // Of a model that the marker does not know nothing was read that counts.
            let Some(to_ms) = watermarks.get(&model.name) else {
                continue;
            };
            let before = match model.window {
                WindowSpec::Time { .. } => {
                    // Kafka's times are those of the records, or later.
                    let from_ms = read_from(model, to_ms) - model.lateness_ms;
                    self.kafka.offsets_at(&partitions, from_ms)?
                }
                // Whatever the partition, all the records of the window may be in it.
                WindowSpec::Count { records, slide, .. } => {
                    let back = i64::try_from(records + slide).unwrap_or(i64::MAX);
                    let low = |at: &TopicPartition| Ok((at.clone(), self.kafka.bounds(at)?.0));
                    let low: Positions = partitions.iter().map(low).collect::<Result<_, _>>()?;
                    let from = |(at, low): (TopicPartition, i64)| {
                        let from = group[&at].saturating_sub(back).max(low);
                        (at, from)
                    };
                    low.into_iter().map(from).collect()
                }
            };
            // What the period at hand has spent of what may be referred for review.
            let spent = match model.review {
                Some(review) => {
                    let from_ms = to_ms - review.rate.period_ms;
                    self.kafka.offsets_at(&partitions, from_ms)?
                }
                None => Positions::new(),
            };
            for (at, position) in before.into_iter().chain(spent) {
                if let Some(start) = start.get_mut(&at) {
                    *start = position.min(*start);
                }
            }
        }
        Ok(start)
    }

    /// The alerts of this group that fire, by the alerts topic; none when it is time to stop: what was
    /// read of it by then may fire no more.
    fn firing_alerts(&self, pulse: &mut Pulse<'_>) -> Result<Option<Vec<FiringAlert>>, KafkaError> {
        let mut firing = BTreeMap::new();
        let mut whole = true;
        let source = format!("/klaxond/{}/", self.config.kafka.group);
        self.kafka.read_alerts(&mut |record| {
            if let Some((fingerprint, alert)) = alert_of(&record, &source) {
                match alert {
                    Some(alert) => firing.insert(fingerprint, alert),
                    None => firing.remove(&fingerprint),
                };
            }
            whole = pulse.beat(self.clock.now()) && !self.shutdown.is_requested();
            if whole {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(whole.then(|| firing.into_values().collect()))
    }

    /// Hands every model its active baseline, and says what is odd about it.
    fn load_baselines(&self, engine: &mut Engine) -> Result<(), StoreError> {
        for spec in &self.config.models {
            match self.store.active_baseline(spec)? {
                Some(baseline) => {
                    let baseline = Arc::new(baseline);
                    for oddity in review(spec, &baseline) {
                        tracing::warn!("{oddity}");
                    }
                    engine.set_baseline(&spec.name, Some(baseline));
                }
                None => {
                    if let Some(lacking) = lacking(spec) {
                        tracing::warn!("{lacking}");
                    }
                }
            }
        }
        Ok(())
    }
}

/// The event time from which on records have to be known to decide about windows that end after
/// `to_ms`: those of the window itself, and of the windows that say whether an alert is pending or
/// on its way to end.
fn read_from(model: &ModelSpec, to_ms: Millis) -> Millis {
    match model.window {
        WindowSpec::Time { length_ms, .. } => {
            let lines = model.rules.iter();
            let memory = lines.map(|rule| rule.for_ms.max(rule.keep_firing_ms));
            let memory = memory.chain(model.budgets.iter().map(|rule| rule.keep_firing_ms));
            to_ms - length_ms - memory.max().unwrap_or_default()
        }
        WindowSpec::Count { .. } => Millis::MIN,
    }
}

/// Keeps the marker moving while a state is rebuilt.
struct Pulse<'p> {
    publisher: &'p dyn Publisher,
    /// As last published, or found.
    marker: Marker,
    /// When it last was; none before the first time.
    beaten: Option<Instant>,
    in_flight: bool,
    /// Why there is nothing left to rebuild for.
    end: Option<End>,
}

impl<'p> Pulse<'p> {
    fn new(publisher: &'p dyn Publisher, found: Option<&Marker>) -> Self {
        let marker = found.cloned().unwrap_or_else(|| Marker {
            number: 0,
            store: String::new(),
            beat: 0,
            watermarks: Watermarks::default(),
            released: false,
        });
        Self {
            publisher,
            marker,
            beaten: None,
            in_flight: false,
            end: None,
        }
    }

    /// The group is this store's from here on, with what was published before it.
    fn start(&mut self, store: String, now: Instant) {
        self.marker.store = store;
        self.marker.released = false;
        self.beat(now);
    }

    /// Renews the marker where it is time to. False where another instance has taken over, or nothing
    /// can be published any more.
    fn beat(&mut self, now: Instant) -> bool {
        if self.in_flight {
            match self.publisher.outcome(Duration::ZERO) {
                None => return true,
                Some(Outcome::Ready | Outcome::Published { .. }) => self.in_flight = false,
                Some(Outcome::Fenced { .. }) => self.end = Some(End::Fenced),
                Some(Outcome::Stopped { .. }) => self.end = Some(End::Failed),
            }
        }
        let is_due = self
            .beaten
            .is_none_or(|beaten| now.duration_since(beaten) >= STEP);
        if is_due && self.end.is_none() {
            self.marker.beat += 1;
            self.beaten = Some(now);
            self.in_flight = self.publisher.publish(Step {
                id: self.marker.number,
                outputs: Vec::new(),
                positions: Positions::new(),
                marker: self.marker.clone(),
            });
        }
        self.end.is_none()
    }
}

enum Restored {
    Whole,
    Nothing,
}

/// The fingerprint of an alert event of ours, and the alert where it fires.
fn alert_of(record: &OwnedRecord, source: &str) -> Option<(String, Option<FiringAlert>)> {
    #[derive(serde::Deserialize)]
    struct Event {
        fingerprint: String,
        status: String,
        model: String,
        stream: StreamKey,
        rule: String,
        starts_at: String,
    }
    let is_source = |(name, value): &(String, Option<Vec<u8>>)| {
        let value = value.as_deref().unwrap_or_default();
        name == "ce_source" && value.starts_with(source.as_bytes())
    };
    if !record.headers.iter().any(is_source) {
        return None;
    }
    let event: Event = serde_json::from_slice(record.payload.as_deref()?).ok()?;
    let firing = (event.status == "firing").then_some(());
    let alert = firing.and_then(|()| {
        Some(FiringAlert {
            model: event.model,
            stream: event.stream,
            rule: event.rule,
            starts_ms: duration::parse_time(&event.starts_at).ok()?,
        })
    });
    Some((event.fingerprint, alert))
}
