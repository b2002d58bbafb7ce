//! A process as the daemon sees it from inside: the simulated [`Kafka`], [`Ledger`] and [`Clock`].
//!
//! Every call first gives way to the other processes, and may not come back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::ptr;
use std::rc::Rc;
use std::time::Duration;

use corosensei::Yielder;

use super::Mutation;
use super::scene::TOPIC;
use super::world::{Doom, World};
use crate::app::baselines::{BaselineError, Done, name_for};
use crate::app::follow::Topics;
use crate::app::outside::{Kafka, Ledger, Publisher, Source, Watcher};
use crate::baseline::Baseline;
use crate::clock::{Clock, Instant};
use crate::config::Config;
use crate::config::valid::{Limits, StartAt};
use crate::engine::output::HistoryEntry;
use crate::engine::spec::ModelSpec;
use crate::engine::{Engine, TopicPartition};
use crate::http::Ask;
use crate::kafka::{
    At, Change, Committed, Connection, Event, KafkaError, Marker, Outcome, OwnedRecord, Positions,
    Record, RecordHeaders, Reread, Status, Step,
};
use crate::observation::Millis;
use crate::store::{Checkpoint, Content, StepWrites, StoreError};

/// What a process says when it gives way: when it wants to go on.
pub type Way = Yielder<(), Duration>;

pub struct Process {
    pub id: usize,
    world: Rc<RefCell<World>>,
    yielder: Cell<*const Way>,
    start: Instant,
}

impl Process {
    pub fn new(id: usize, world: Rc<RefCell<World>>, start: Instant) -> Rc<Self> {
        Rc::new(Self {
            id,
            world,
            yielder: Cell::new(ptr::null()),
            start,
        })
    }

    /// Inside the coroutine, before anything else.
    pub fn enter(&self, yielder: &Way) {
        self.yielder.set(ptr::from_ref(yielder));
    }

    #[allow(unsafe_code)]
    fn wait(&self, time: Duration) {
        let until = self.world.borrow().now + time;
        // SAFETY: set in `enter`, from a reference that is valid as long as the coroutine is; and this
        // is called by the daemon alone, which lives in the coroutine.
        unsafe { &*self.yielder.get() }.suspend(until);
    }

    /// Gives way.
    fn step(&self, what: &str) {
        let pause = {
            let mut world = self.world.borrow_mut();
            let id = self.id;
            world.say(|| format!("{id}: {what}"));
            world.jitter(2)
        };
        self.wait(pause);
    }

    /// A moment at which dying hurts.
    fn crossroads(&self, what: &str) {
        {
            let mut world = self.world.borrow_mut();
            if world.faults_left > 0 && world.rng.u8(0..24) == 0 {
                let longest = world.rng.u64(1..50_000);
                world.doomed = Some(match world.rng.u8(0..3) {
                    0 => Doom::Freeze(Duration::from_millis(longest)),
                    _ => Doom::Kill,
                });
            }
        }
        self.step(what);
    }

    /// Asks the brokers.
    fn ask(&self, what: &str) -> Result<(), KafkaError> {
        self.crossroads(what);
        if self.world.borrow().is_up() {
            return Ok(());
        }
        self.wait(Duration::from_secs(3));
        Err(KafkaError::Unreachable {
            brokers: "simulated".to_owned(),
            doing: what.to_owned(),
            detail: "down".to_owned(),
        })
    }
}

pub struct SimClock(pub Rc<Process>);

impl Clock for SimClock {
    fn now(&self) -> Instant {
        self.0.start + self.0.world.borrow().now
    }

    fn now_ms(&self) -> Millis {
        super::scene::WALL_MS + self.0.world.borrow().now.as_millis() as Millis
    }

    fn sleep(&self, time: Duration) {
        self.0.wait(time);
    }
}

pub struct SimKafka(pub Rc<Process>);

impl Kafka for SimKafka {
    fn partitions(&self, topics: &[String]) -> Result<Topics, KafkaError> {
        self.0.ask("partitions")?;
        let partitions = self.0.world.borrow().scene.input.len() as i32;
        let of = |topic: &String| {
            let count = if topic == TOPIC { partitions } else { 1 };
            (topic.clone(), (0..count).collect())
        };
        Ok(topics.iter().map(of).collect())
    }

    fn bounds(&self, at: &TopicPartition) -> Result<(i64, i64), KafkaError> {
        self.0.ask("bounds")?;
        Ok((0, self.0.world.borrow().end(at)))
    }

    fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        time_ms: Millis,
    ) -> Result<Positions, KafkaError> {
        self.0.ask("offsets_at")?;
        let world = self.0.world.borrow();
        let first = |at: &TopicPartition| {
            let records = &world.scene.input[at.partition as usize];
            let first = records.partition_point(|record| record.time_ms < time_ms) as i64;
            (at.clone(), first.min(world.end(at)))
        };
        Ok(partitions.iter().map(first).collect())
    }

    fn resolve_start(
        &self,
        partitions: &[TopicPartition],
        start_at: StartAt,
    ) -> Result<Positions, KafkaError> {
        assert_eq!(start_at, StartAt::Earliest, "the scene's");
        self.0.ask("resolve_start")?;
        Ok(partitions.iter().map(|at| (at.clone(), 0)).collect())
    }

    fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Committed>, KafkaError> {
        self.0.ask("committed")?;
        let world = self.0.world.borrow();
        let of = |at: &TopicPartition| {
            let position = *world.positions.get(at)?;
            let metadata = String::new();
            Some((at.clone(), Committed { position, metadata }))
        };
        Ok(partitions.iter().filter_map(of).collect())
    }

    fn read_marker(&self) -> Result<Option<Marker>, KafkaError> {
        self.0.ask("read_marker")?;
        Ok(self.0.world.borrow().read_marker())
    }

    fn read_alerts(
        &self,
        each: &mut dyn FnMut(OwnedRecord) -> ControlFlow<()>,
    ) -> Result<(), KafkaError> {
        self.0.ask("read_alerts")?;
        // As long as what was there at the beginning.
        let alerts = self.0.world.borrow().alerts.clone();
        let slow = self.0.world.borrow_mut().rng.u8(0..8) == 0;
        for alert in alerts {
            if slow {
                self.0.wait(Duration::from_secs(2));
            }
            if each(alert).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn reread(&self, wanted: &[(TopicPartition, i64)]) -> Result<Vec<Reread>, KafkaError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        self.0.ask("reread")?;
        let world = self.0.world.borrow();
        let found = |(at, offset): &(TopicPartition, i64)| {
            let sent = &world.scene.input[at.partition as usize][*offset as usize];
            Reread::Found(OwnedRecord {
                payload: Some(sent.payload.clone()),
                timestamp_ms: Some(sent.written_ms),
                ..OwnedRecord::default()
            })
        };
        Ok(wanted.iter().map(found).collect())
    }

    fn connection(&self) -> Connection {
        Connection::Up
    }

    fn publisher(&self) -> Result<Box<dyn Publisher>, KafkaError> {
        self.0.crossroads("publisher");
        let id = self.0.world.borrow_mut().add_publisher(self.0.id);
        let process = Rc::clone(&self.0);
        Ok(Box::new(SimPublisher { process, id }))
    }

    fn source(&self, _limits: &Limits, from: &Positions) -> Result<Box<dyn Source>, KafkaError> {
        self.0.step("source");
        let mut source = SimSource {
            process: Rc::clone(&self.0),
            slots: Vec::new(),
        };
        source.add(from)?;
        if self.0.world.borrow().mutation == Some(Mutation::WrongStart) {
            source.slots[0].next += 1;
        }
        Ok(Box::new(source))
    }

    fn watcher(&self, _known: Topics) -> Result<Box<dyn Watcher>, KafkaError> {
        Ok(Box::new(SimWatcher))
    }
}

struct SimPublisher {
    process: Rc<Process>,
    id: usize,
}

impl Publisher for SimPublisher {
    fn publish(&self, step: Step) -> bool {
        self.process.crossroads("publish");
        let mut world = self.process.world.borrow_mut();
        if !step.outputs.is_empty() && !is_durable(&world, self.process.id, &step.marker) {
            world.violate("published before it was durable".to_owned());
        }
        let due = world.now + world.jitter(30);
        let publisher = world.publishers.get_mut(&self.id);
        let Some(publisher) = publisher.filter(|publisher| !publisher.ended) else {
            return false;
        };
        assert!(publisher.steps.len() < 2, "one at work and one that waits");
        if publisher.steps.is_empty() {
            publisher.due = due;
        }
        publisher.steps.push_back(step);
        true
    }

    fn outcome(&self, timeout: Duration) -> Option<Outcome> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(publisher) = self.process.world.borrow_mut().publishers.get_mut(&self.id)
                && let Some(outcome) = publisher.outcomes.pop_front()
            {
                return Some(outcome);
            }
            if waited >= timeout {
                return None;
            }
            let slice = (timeout - waited).min(Duration::from_millis(10));
            self.process.wait(slice);
            waited += slice;
        }
    }

    fn status(&self) -> Status {
        Status::Ready
    }
}

impl Drop for SimPublisher {
    fn drop(&mut self) {
        self.process.world.borrow_mut().drop_publisher(self.id);
    }
}

/// Whether the process's store knows of everything that the marker counts.
fn is_durable(world: &World, process: usize, marker: &Marker) -> bool {
    let disk = &world.disks[process];
    let Some((identity, state)) = disk.checkpoints.last() else {
        return false;
    };
    let mut engine = Engine::new(world.scene.config.models.clone(), None);
    engine.restore(state).is_ok()
        && shown(*identity) == marker.store
        && engine.outbox().last() >= marker.number
}

struct SimSource {
    process: Rc<Process>,
    slots: Vec<Slot>,
}

struct Slot {
    at: TopicPartition,
    next: i64,
    /// The end was told of at this offset.
    told: Option<i64>,
}

impl Source for SimSource {
    fn add(&mut self, positions: &Positions) -> Result<(), KafkaError> {
        let slots = positions.iter().map(|(at, &next)| Slot {
            at: at.clone(),
            next,
            told: None,
        });
        self.slots.extend(slots);
        Ok(())
    }

    fn partitions(&self) -> Vec<TopicPartition> {
        self.slots.iter().map(|slot| slot.at.clone()).collect()
    }

    fn poll(
        &mut self,
        timeout: Duration,
        limit: usize,
        each: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> usize {
        self.process.wait(Duration::from_micros(200));
        let mut world = self.process.world.borrow_mut();
        let most = limit.min(world.rng.usize(1..60));
        let mut given = 0;
        let first = world.rng.usize(0..self.slots.len());
        if world.is_up() {
            let World { scene, .. } = &*world;
            'slots: for i in 0..self.slots.len() {
                let place = (first + i) % self.slots.len();
                let slot = &mut self.slots[place];
                let at = At {
                    slot: place,
                    topic: &slot.at.topic,
                    partition: slot.at.partition,
                };
                let end = world.end(&slot.at);
                while slot.next < end && given < most {
                    let sent = &scene.input[slot.at.partition as usize][slot.next as usize];
                    let record = Record {
                        at,
                        offset: slot.next,
                        key: None,
                        payload: Some(&sent.payload),
                        timestamp_ms: Some(sent.written_ms),
                        headers: RecordHeaders::default(),
                    };
                    slot.next += 1;
                    given += 1;
                    if each(Event::Record(record)).is_break() {
                        break 'slots;
                    }
                }
                if slot.next == end && slot.told != Some(end) {
                    slot.told = Some(end);
                    given += 1;
                    if each(Event::EndOfPartition(at)).is_break() {
                        break;
                    }
                }
            }
        }
        drop(world);
        if given == 0 {
            self.process.wait(timeout);
        }
        given
    }

    fn restart(&mut self, at: &TopicPartition, position: i64) -> Result<(), KafkaError> {
        for slot in self.slots.iter_mut().filter(|slot| slot.at == *at) {
            slot.next = position;
        }
        Ok(())
    }

    /// A hint: a partition that is paused may give more all the same.
    fn pause(&mut self, _partitions: &[&TopicPartition]) -> Result<(), KafkaError> {
        Ok(())
    }

    fn resume(&mut self, _partitions: &[&TopicPartition]) -> Result<(), KafkaError> {
        Ok(())
    }
}

struct SimWatcher;

impl Watcher for SimWatcher {
    fn change(&self) -> Option<Change> {
        None
    }

    fn end_offsets(&self) -> Positions {
        Positions::new()
    }
}

pub struct SimLedger(pub Rc<Process>);

fn shown(identity: u64) -> String {
    format!("store-{identity}")
}

impl SimLedger {
    fn write(&self, checkpoint: Option<&[u8]>) {
        let mut world = self.0.world.borrow_mut();
        let late = matches!(
            world.mutation,
            Some(Mutation::SkipSync | Mutation::PublishFirst)
        );
        let disk = &mut world.disks[self.0.id];
        match checkpoint {
            None => {
                disk.checkpoints.clear();
                disk.unsynced.clear();
            }
            Some(state) => {
                let written = (disk.identity, state.to_vec());
                if late {
                    disk.unsynced.push(written);
                } else {
                    disk.checkpoints.push(written);
                }
            }
        }
    }
}

impl Ledger for SimLedger {
    fn identity(&self) -> String {
        shown(self.0.world.borrow().disks[self.0.id].identity)
    }

    fn start_over(&self) -> Result<String, StoreError> {
        self.0.crossroads("start over");
        {
            let mut world = self.0.world.borrow_mut();
            world.disks[self.0.id].identity = world.fresh_identity();
        }
        self.write(None);
        self.0.crossroads("started over");
        Ok(self.identity())
    }

    fn read_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        self.0.step("read checkpoint");
        let world = self.0.world.borrow();
        let disk = &world.disks[self.0.id];
        let newest = disk.unsynced.last().or(disk.checkpoints.last());
        Ok(newest.map(|(_, state)| Checkpoint {
            state: state.clone(),
            sequence: disk.checkpoints.len() as u64,
            fell_back: None,
        }))
    }

    fn write_checkpoint(&self, state: &dyn Content, _step: &StepWrites) -> Result<u64, StoreError> {
        let mut bytes = Vec::new();
        state.each_part(&mut |part| bytes.extend_from_slice(part));
        self.0.crossroads("write checkpoint");
        self.write(Some(&bytes));
        self.0.crossroads("checkpoint written");
        Ok(bytes.len() as u64)
    }

    fn trim_history(&self, _before_ms: Millis, _most_bytes: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn active_baseline(&self, spec: &ModelSpec) -> Result<Option<Baseline>, StoreError> {
        let world = self.0.world.borrow();
        Ok(world.scene.baselines.get(name_for(spec)).cloned())
    }

    fn answer(
        &self,
        _ask: Ask,
        _live: Option<Vec<HistoryEntry>>,
        _config: &Config,
        _now_ms: Millis,
    ) -> Result<Done, BaselineError> {
        unreachable!("nobody asks")
    }
}
