//! Kafka, disks and time, as far as instances can tell.
//!
//! What is modelled: a transaction takes effect as a whole or not at all; whoever holds the
//! transactional id may commit, and nobody else; a request that was on its way when its process died
//! or was frozen may still arrive. What a process wrote to its disk without a sync is lost with it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Mutation;
use super::scene::{ALERTS, DEAD_LETTERS, Expected, REVIEW, Scene, partition};
use crate::engine::TopicPartition;
use crate::kafka::{Marker, Message, Outcome, OwnedRecord, Positions, Step};

pub struct World {
    pub rng: fastrand::Rng,
    pub scene: Scene,
    pub mutation: Option<Mutation>,
    /// Since the beginning.
    pub now: Duration,
    /// No broker answers before then.
    pub down_until: Duration,
    /// For `g`.
    pub positions: Positions,
    /// For `g.outbox`, as it is committed.
    marker: Option<(i64, String)>,
    /// The publisher that holds the transactional id.
    holder: Option<usize>,
    pub publishers: BTreeMap<usize, Publisher>,
    next_publisher: usize,
    /// What a reader of committed records sees of the alerts topic.
    pub alerts: Vec<OwnedRecord>,
    pub found: Expected,
    /// How many processes there are at most.
    pub instances: usize,
    /// No disk is lost.
    pub disks_last: bool,
    pub disks: Vec<Disk>,
    pub disk_went_back: bool,
    /// The process that is to die, or to be frozen, where it is.
    pub doomed: Option<Doom>,
    pub faults_left: u32,
    pub last_fault: Duration,
    trace: Option<Vec<String>>,
    pub violation: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub enum Doom {
    Kill,
    Freeze(Duration),
}

/// One process's publishing thread.
#[derive(Debug)]
pub struct Publisher {
    pub process: usize,
    pub steps: VecDeque<Step>,
    pub outcomes: VecDeque<Outcome>,
    /// When it does what is next.
    pub due: Duration,
    /// `init_transactions` has succeeded.
    pub ready: bool,
    /// Nobody listens any more: what was on its way is all that there will be.
    pub dropped: bool,
    pub frozen: bool,
    pub ended: bool,
}

/// What outlives a process.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub identity: u64,
    /// In the order of writing; with them, the identity under which each was written.
    pub checkpoints: Vec<(u64, Vec<u8>)>,
    /// Written, and not synced: only with a mutation.
    pub unsynced: Vec<(u64, Vec<u8>)>,
}

impl World {
    pub fn new(seed: u64, mutation: Option<Mutation>, traced: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        // More dead letters than go out at once: in several steps, and whole only if the disk is.
        let letters = rng.u8(0..4) == 0;
        let scene = Scene::new(&mut rng, if letters { 2 } else { 30 }, letters);
        Self {
            instances: if letters { 1 } else { rng.usize(1..=3) },
            disks_last: letters,
            faults_left: rng.u32(1..=10),
            rng,
            scene,
            mutation,
            now: Duration::ZERO,
            down_until: Duration::ZERO,
            positions: Positions::new(),
            marker: None,
            holder: None,
            publishers: BTreeMap::new(),
            next_publisher: 0,
            alerts: Vec::new(),
            found: Expected::default(),
            disks: Vec::new(),
            disk_went_back: false,
            doomed: None,
            last_fault: Duration::ZERO,
            trace: traced.then(Vec::new),
            violation: None,
        }
    }

    pub fn say(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:9.3} s  {}", self.now.as_secs_f64(), what()));
        }
    }

    pub fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    pub fn violate(&mut self, what: String) {
        self.say(|| format!("VIOLATION: {what}"));
        self.violation.get_or_insert(what);
    }

    pub fn is_up(&self) -> bool {
        self.now >= self.down_until
    }

    /// Up to `most` milliseconds.
    pub fn jitter(&mut self, most_ms: u64) -> Duration {
        Duration::from_micros(self.rng.u64(0..=most_ms * 1_000))
    }

    /// The end offset of each partition.
    pub fn end(&self, at: &TopicPartition) -> i64 {
        let records = &self.scene.input[at.partition as usize];
        records.partition_point(|record| record.arrives <= self.now) as i64
    }

    pub fn read_marker(&self) -> Option<Marker> {
        let (offset, metadata) = self.marker.as_ref()?;
        Some(Marker::parse(*offset, metadata).unwrap())
    }

    pub fn fresh_identity(&mut self) -> u64 {
        self.rng.u64(1_000..)
    }

    pub fn add_publisher(&mut self, process: usize) -> usize {
        let id = self.next_publisher;
        self.next_publisher += 1;
        let due = self.now + self.jitter(100);
        let publisher = Publisher {
            process,
            steps: VecDeque::new(),
            outcomes: VecDeque::new(),
            due,
            ready: false,
            dropped: false,
            frozen: false,
            ended: false,
        };
        self.publishers.insert(id, publisher);
        id
    }

    /// Its process is gone. A request may be on its way all the same.
    pub fn drop_publisher(&mut self, id: usize) {
        let on_its_way = self.rng.bool();
        if let Some(publisher) = self.publishers.get_mut(&id) {
            publisher.dropped = true;
            publisher.frozen = false;
            publisher.steps.truncate(1);
            if publisher.ended || !on_its_way {
                self.publishers.remove(&id);
            }
        }
    }

    pub fn freeze(&mut self, process: usize) {
        let on_its_way = self.rng.bool();
        for publisher in self.publishers.values_mut() {
            if publisher.process == process {
                publisher.frozen = !on_its_way;
            }
        }
    }

    pub fn thaw(&mut self, process: usize) {
        for publisher in self.publishers.values_mut() {
            if publisher.process == process {
                publisher.frozen = false;
                publisher.due = publisher.due.max(self.now);
            }
        }
    }

    /// Whether it has something to do.
    pub fn is_busy(publisher: &Publisher) -> bool {
        !publisher.frozen && !publisher.ended && (!publisher.ready || !publisher.steps.is_empty())
    }

    /// What the publisher does next: take the transactional id, or commit a transaction.
    pub fn publish(&mut self, id: usize) {
        if !self.is_up() {
            let later = self.now + Duration::from_millis(300) + self.jitter(100);
            self.publishers.entry(id).and_modify(|p| p.due = later);
            return;
        }
        let slow = self.rng.u8(0..20) == 0;
        let pause = self.jitter(if slow { 8_000 } else { 30 });
        let (now, holder, found) = (self.now, self.holder, self.read_marker());
        let Some(publisher) = self.publishers.get_mut(&id) else {
            return;
        };
        let process = publisher.process;
        publisher.due = now + pause;
        if !publisher.ready {
            publisher.ready = true;
            publisher.outcomes.push_back(Outcome::Ready);
            self.holder = Some(id);
            self.say(|| format!("kafka: publisher {id} of {process} has the transactional id"));
        } else if holder != Some(id) && self.mutation != Some(Mutation::NoFence) {
            publisher.ended = true;
            publisher.outcomes.push_back(Outcome::Fenced { by: found });
            self.say(|| format!("kafka: publisher {id} of {process} is fenced"));
        } else if let Some(step) = publisher.steps.pop_front() {
            publisher
                .outcomes
                .push_back(Outcome::Published { id: step.id });
            self.commit(process, step);
        }
        if self.publishers.get(&id).is_some_and(|p| p.dropped) {
            self.publishers.remove(&id);
        }
    }

    /// The broker gives up on whoever holds the transactional id.
    pub fn abort_transactions(&mut self) {
        self.holder = None;
        self.say(|| "kafka: the transaction has timed out".to_owned());
    }

    fn commit(&mut self, process: usize, step: Step) {
        self.say(|| {
            let Marker {
                number,
                store,
                beat,
                released,
                ..
            } = &step.marker;
            format!(
                "kafka: {process} commits {} events, marker {number} of {store} beat {beat}{}, \
                 positions {:?}",
                step.outputs.len(),
                if *released { " released" } else { "" },
                step.positions.values().collect::<Vec<_>>()
            )
        });
        for message in &step.outputs {
            self.take(message);
        }
        self.commit_positions(&step.positions);
        if self.mutation != Some(Mutation::ForgetMarker) || self.marker.is_none() {
            self.marker = Some(step.marker.encode());
        }
        if self.mutation == Some(Mutation::PublishFirst) {
            self.sync(process);
        }
    }

    /// Whatever was written reaches the disk.
    pub fn sync(&mut self, process: usize) {
        let disk = &mut self.disks[process];
        disk.checkpoints.append(&mut disk.unsynced);
    }

    fn take(&mut self, message: &Message) {
        let shown = |bytes: &Option<Vec<u8>>| {
            String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
        };
        if !self.found.add(message) {
            let payload = shown(&message.payload);
            self.violate(format!("said twice on {}: {payload}", message.topic));
        }
        let expected = self.scene.expected.events.values().flatten();
        let payload = shown(&message.payload);
        let is_copy = [DEAD_LETTERS, REVIEW].contains(&message.topic.as_str());
        if !is_copy && !expected.into_iter().any(|e| *e == payload) {
            self.violate(format!("never to be said on {}: {payload}", message.topic));
        }
        if message.topic == ALERTS {
            self.alerts.push(OwnedRecord {
                key: message.key.clone(),
                payload: message.payload.clone(),
                headers: message.headers.clone(),
                timestamp_ms: None,
            });
        }
    }

    fn commit_positions(&mut self, positions: &Positions) {
        for (at, &position) in positions {
            let before = self.positions.insert(at.clone(), position);
            // An older store in which nothing that was said is missing goes on from its own position.
            let went_back = before.filter(|&before| before > position && !self.disk_went_back);
            if let Some(before) = went_back {
                self.violate(format!(
                    "the position of partition {} went back from {before} to {position}",
                    at.partition
                ));
            }
        }
    }

    /// Everything has been read, and said.
    pub fn is_done(&self) -> bool {
        self.found.len() >= self.scene.expected.len()
            && (0..self.scene.input.len()).all(|p| {
                let read = self.positions.get(&partition(p)).copied();
                read == Some(self.scene.input[p].len() as i64)
            })
    }
}
