//! What an instance touches outside itself, besides the clock: Kafka and its store.
//!
//! The protocol between instances lives in `follow`, `recover`, `lead` and `outbound`, and knows the
//! outside as these traits alone. So it can be run as it is against the real parts, below, and in
//! the simulation, where any call may be the last one of its process.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::baselines::{self, BaselineError, Done};
use super::follow::Topics;
use crate::baseline::Baseline;
use crate::config::Config;
use crate::config::valid::{Limits, StartAt};
use crate::engine::TopicPartition;
use crate::engine::output::HistoryEntry;
use crate::engine::spec::ModelSpec;
use crate::http::Ask;
use crate::kafka::{
    self, Change, Cluster, Committed, Connection, Event, Group, KafkaError, Marker, Outcome,
    OwnedRecord, Positions, Reread, Status, Step,
};
use crate::observation::Millis;
use crate::store::{Checkpoint, Content, StepWrites, Store, StoreError};

/// The brokers, asked in the name of one group. Errors are those of the functions of the same names
/// in [`kafka`].
pub trait Kafka {
    /// The partitions of each topic.
    fn partitions(&self, topics: &[String]) -> Result<Topics, KafkaError>;

    /// The offsets of the first record kept and of the next one to be written.
    fn bounds(&self, at: &TopicPartition) -> Result<(i64, i64), KafkaError>;

    /// The offset of the first record at or after a time; the end offset where there is none.
    fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        time_ms: Millis,
    ) -> Result<Positions, KafkaError>;

    /// Where `start_at` is in each partition.
    fn resolve_start(
        &self,
        partitions: &[TopicPartition],
        start_at: StartAt,
    ) -> Result<Positions, KafkaError>;

    /// What is committed for the group; partitions without a position are left out.
    fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Committed>, KafkaError>;

    fn read_marker(&self) -> Result<Option<Marker>, KafkaError>;

    /// Every record of the alerts topic, until the closure breaks off.
    fn read_alerts(
        &self,
        each: &mut dyn FnMut(OwnedRecord) -> ControlFlow<()>,
    ) -> Result<(), KafkaError>;

    /// Single records, read once more.
    fn reread(&self, wanted: &[(TopicPartition, i64)]) -> Result<Vec<Reread>, KafkaError>;

    fn connection(&self) -> Connection;

    /// Starts to take the group over.
    fn publisher(&self) -> Result<Box<dyn Publisher>, KafkaError>;

    /// Starts to read.
    fn source(&self, limits: &Limits, from: &Positions) -> Result<Box<dyn Source>, KafkaError>;

    /// Starts to look after the topics, whose partitions are known to be these.
    fn watcher(&self, known: Topics) -> Result<Box<dyn Watcher>, KafkaError>;
}

/// See [`kafka::Publisher`].
pub trait Publisher {
    /// False where it was refused: the publisher has ended, and an outcome says so.
    fn publish(&self, step: Step) -> bool;

    /// The next outcome, if it comes within the time.
    fn outcome(&self, timeout: Duration) -> Option<Outcome>;

    fn status(&self) -> Status;
}

/// See [`kafka::Source`].
pub trait Source {
    fn add(&mut self, positions: &Positions) -> Result<(), KafkaError>;

    /// The partitions in order of slot.
    fn partitions(&self) -> Vec<TopicPartition>;

    fn poll(
        &mut self,
        timeout: Duration,
        limit: usize,
        each: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> usize;

    fn restart(&mut self, at: &TopicPartition, position: i64) -> Result<(), KafkaError>;

    fn pause(&mut self, partitions: &[&TopicPartition]) -> Result<(), KafkaError>;

    fn resume(&mut self, partitions: &[&TopicPartition]) -> Result<(), KafkaError>;
}

/// See [`kafka::Watcher`].
pub trait Watcher {
    fn change(&self) -> Option<Change>;

    fn end_offsets(&self) -> Positions;
}

/// What outlives the process.
pub trait Ledger {
    /// Which store this is.
    fn identity(&self) -> String;

    /// Forgets the checkpoints and takes another identity; durable on return.
    fn start_over(&self) -> Result<String, StoreError>;

    fn read_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError>;

    /// Writes the state and `step` as one atomic step, durable on return. Gives the bytes of the state.
    fn write_checkpoint(&self, state: &dyn Content, step: &StepWrites) -> Result<u64, StoreError>;

    fn trim_history(&self, before_ms: Millis, most_bytes: u64) -> Result<(), StoreError>;

    /// The active version of the model's baseline; none where it has none.
    fn active_baseline(&self, spec: &ModelSpec) -> Result<Option<Baseline>, StoreError>;

    /// Answers what is asked of baselines. `live` are the panes of an engine that runs, for
    /// [`Ask::Capture`]; without one, the checkpoint's.
    fn answer(
        &self,
        ask: Ask,
        live: Option<Vec<HistoryEntry>>,
        config: &Config,
        now_ms: Millis,
    ) -> Result<Done, BaselineError>;
}

/// The real brokers.
pub struct Brokers {
    cluster: Cluster,
    alerts: String,
    /// `kafka.group`, for positions.
    group: Arc<Group>,
    /// Its `.outbox`, for the marker.
    marker: Group,
}

impl Brokers {
    /// # Errors
    /// A property that librdkafka does not take.
    pub fn new(cluster: Cluster, alerts: String) -> Result<Self, KafkaError> {
        Ok(Self {
            group: Arc::new(Group::input(&cluster)?),
            marker: Group::outbox(&cluster)?,
            cluster,
            alerts,
        })
    }
}

impl Kafka for Brokers {
    fn partitions(&self, topics: &[String]) -> Result<Topics, KafkaError> {
        self.group.partitions(topics)
    }

    fn bounds(&self, at: &TopicPartition) -> Result<(i64, i64), KafkaError> {
        self.group.bounds(at)
    }

    fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        time_ms: Millis,
    ) -> Result<Positions, KafkaError> {
        self.group.offsets_at(partitions, time_ms)
    }

    fn resolve_start(
        &self,
        partitions: &[TopicPartition],
        start_at: StartAt,
    ) -> Result<Positions, KafkaError> {
        self.group.resolve_start(partitions, start_at)
    }

    fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Committed>, KafkaError> {
        self.group.committed(partitions)
    }

    fn read_marker(&self) -> Result<Option<Marker>, KafkaError> {
        self.marker.read_marker(&self.alerts)
    }

    fn read_alerts(
        &self,
        each: &mut dyn FnMut(OwnedRecord) -> ControlFlow<()>,
    ) -> Result<(), KafkaError> {
        kafka::read_alerts(&self.cluster, &self.alerts, each).map(drop)
    }

    fn reread(&self, wanted: &[(TopicPartition, i64)]) -> Result<Vec<Reread>, KafkaError> {
        kafka::reread(&self.cluster, wanted)
    }

    fn connection(&self) -> Connection {
        self.cluster.connection()
    }

    fn publisher(&self) -> Result<Box<dyn Publisher>, KafkaError> {
        Ok(Box::new(kafka::Publisher::start(
            &self.cluster,
            &self.alerts,
        )?))
    }

    fn source(&self, limits: &Limits, from: &Positions) -> Result<Box<dyn Source>, KafkaError> {
        Ok(Box::new(kafka::Source::new(&self.cluster, limits, from)?))
    }

    fn watcher(&self, known: Topics) -> Result<Box<dyn Watcher>, KafkaError> {
        let watcher = kafka::Watcher::start(&self.cluster, Arc::clone(&self.group), known)?;
        Ok(Box::new(watcher))
    }
}

impl Publisher for kafka::Publisher {
    fn publish(&self, step: Step) -> bool {
        self.publish(step).is_ok()
    }

    fn outcome(&self, timeout: Duration) -> Option<Outcome> {
        self.outcome(timeout)
    }

    fn status(&self) -> Status {
        self.status()
    }
}

impl Source for kafka::Source {
    fn add(&mut self, positions: &Positions) -> Result<(), KafkaError> {
        self.add(positions)
    }

    fn partitions(&self) -> Vec<TopicPartition> {
        self.partitions().cloned().collect()
    }

    fn poll(
        &mut self,
        timeout: Duration,
        limit: usize,
        each: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> usize {
        self.poll(timeout, limit, each)
    }

    fn restart(&mut self, at: &TopicPartition, position: i64) -> Result<(), KafkaError> {
        self.restart(at, position)
    }

    fn pause(&mut self, partitions: &[&TopicPartition]) -> Result<(), KafkaError> {
        self.pause(partitions.iter().copied())
    }

    fn resume(&mut self, partitions: &[&TopicPartition]) -> Result<(), KafkaError> {
        self.resume(partitions.iter().copied())
    }
}

impl Watcher for (kafka::Watcher, Receiver<Change>) {
    fn change(&self) -> Option<Change> {
        self.1.try_recv().ok()
    }

    fn end_offsets(&self) -> Positions {
        self.0.end_offsets()
    }
}

impl Ledger for Store {
    fn identity(&self) -> String {
        self.identity().to_string()
    }

    fn start_over(&self) -> Result<String, StoreError> {
        Ok(self.start_over()?.to_string())
    }

    fn read_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        self.read_checkpoint()
    }

    fn write_checkpoint(&self, state: &dyn Content, step: &StepWrites) -> Result<u64, StoreError> {
        Ok(self.write_checkpoint(state, step)?.bytes)
    }

    fn trim_history(&self, before_ms: Millis, most_bytes: u64) -> Result<(), StoreError> {
        self.trim_history(before_ms, most_bytes).map(drop)
    }

    fn active_baseline(&self, spec: &ModelSpec) -> Result<Option<Baseline>, StoreError> {
        baselines::active(self, spec)
    }

    fn answer(
        &self,
        ask: Ask,
        live: Option<Vec<HistoryEntry>>,
        config: &Config,
        now_ms: Millis,
    ) -> Result<Done, BaselineError> {
        let live = match (&ask, live) {
            (_, Some(live)) => live,
            (Ask::Capture { model, .. }, None) => baselines::live_panes(self, config, model)?,
            _ => Vec::new(),
        };
        baselines::answer(self, live, config, ask, now_ms)
    }
}
