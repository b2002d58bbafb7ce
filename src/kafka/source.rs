//! Input: every partition of the input topics, assigned by us, read on one thread.
//!
//! Each partition has a queue of its own. That is how an end of partition, an offset out of range
//! or an error is known to be of *this* partition (the library's wrapper drops the topic from what
//! comes through a shared queue), and it makes reading fair: each partition in turn gives at most
//! [`TURN`] records. A queue that turns from empty to filled puts its slot on a list that the reading
//! thread waits on; since a missed signal of the library would stall a partition for good, every
//! [`SWEEP`] all queues are looked at.
//!
//! The bound: `limits.fetch_queue_kbytes` divided by the partitions is what each may have waiting
//! (at least [`LEAST_SHARE_KBYTES`]), and the most that one fetch brings for it. A queue below its
//! share is filled by one more fetch, so up to twice the limit may be held.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as Native, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;

use super::cluster::{Cluster, bare_list_of, list_of};
use super::error::{Class, KafkaError, class, code};
use super::health::Callbacks;
use super::record::{At, Record};
use super::{Positions, TopicPartition};
use crate::config::valid::Limits;

/// Records that one partition gives before the next one's turn.
const TURN: usize = 256;

/// The longest that a filled queue can go unnoticed.
const SWEEP: Duration = Duration::from_millis(100);

/// A partition's share of the fetch queue is not cut below this.
const LEAST_SHARE_KBYTES: usize = 64;

/// librdkafka's default for one fetch of one partition; more brings nothing.
const MOST_SHARE_KBYTES: usize = 1_024;

/// What a source has to say.
pub enum Event<'a> {
    Record(Record<'a>),
    /// Everything committed has been read. Said each time that it becomes so.
    EndOfPartition(At<'a>),
    /// There is no record at the position any more (retention), or not yet (a topic made anew). The
    /// partition gives nothing until [`Source::restart`].
    OutOfRange(At<'a>),
    /// The library goes on by itself where the error is transient.
    Error {
        /// None: not of one partition.
        at: Option<At<'a>>,
        error: KafkaError,
    },
}

/// The input partitions. One thread polls; dropping it leaves no trace at the brokers.
pub struct Source {
    slots: Vec<Slot>,
    /// Slots whose queue is not known to be empty, in order of turn.
    turns: VecDeque<usize>,
    signals: Arc<Signals>,
    consumer: Arc<BaseConsumer<Callbacks>>,
    cluster: Cluster,
}

struct Slot {
    at: TopicPartition,
    queue: PartitionQueue<Callbacks>,
    /// Whether it is in `turns`.
    has_turn: bool,
}

/// Slots whose queues were filled. Written by threads of the library, which hold a queue's lock.
#[derive(Default)]
struct Signals {
    filled: Mutex<Vec<usize>>,
    any: Condvar,
}

impl Signals {
    fn filled(&self, slot: usize) {
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        // Each queue signals once per emptying, so this stays as short as there are slots.
        filled.push(slot);
        self.any.notify_one();
    }

    /// What was signalled; waits up to `timeout` for something to be.
    fn take(&self, timeout: Duration) -> Vec<usize> {
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        if filled.is_empty() && !timeout.is_zero() {
            let waited = self.any.wait_timeout(filled, timeout);
            filled = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut filled)
    }
}

impl Source {
    /// Starts reading at the given positions. Slots are numbered in their order.
    ///
    /// # Errors
    /// A property that librdkafka does not take.
    pub fn new(
        cluster: &Cluster,
        limits: &Limits,
        positions: &Positions,
    ) -> Result<Self, KafkaError> {
        let share = (limits.fetch_queue_kbytes / positions.len().max(1)).clamp(
            LEAST_SHARE_KBYTES,
            limits.fetch_queue_kbytes.max(LEAST_SHARE_KBYTES),
        );
        let fetch = share.min(MOST_SHARE_KBYTES) * 1_024;
        let mut config = cluster.consumer_config(&cluster.config().group);
        config
            .set("queued.max.messages.kbytes", share.to_string())
            .set("fetch.message.max.bytes", fetch.to_string());
        let mut source = Self {
            slots: Vec::new(),
            turns: VecDeque::new(),
            signals: Arc::default(),
            consumer: Arc::new(cluster.create(&config, true)?),
            cluster: cluster.clone(),
        };
        source.add(positions)?;
        Ok(source)
    }

    /// Reads these partitions too. Their slots follow the present ones, in order.
    ///
    /// # Errors
    /// The client refuses: a partition is read already, or a position is negative.
    pub fn add(&mut self, positions: &Positions) -> Result<(), KafkaError> {
        if positions.is_empty() {
            return Ok(());
        }
        let list = list_of(positions)?;
        // A queue that is split off before its partition is assigned gets every record of it.
        for at in positions.keys() {
            let queue = self.split(at)?;
            self.slots.push(Slot {
                at: at.clone(),
                queue,
                has_turn: false,
            });
        }
        self.consumer
            .incremental_assign(&list)
            .map_err(|error| self.cluster.explain("assigning partitions", "", &error))
    }

    fn split(&self, at: &TopicPartition) -> Result<PartitionQueue<Callbacks>, KafkaError> {
        let queue = self.consumer.split_partition_queue(&at.topic, at.partition);
        let mut queue = queue.ok_or_else(|| KafkaError::Client {
            detail: format!("no queue for {}/{}", at.topic, at.partition),
        })?;
        let (signals, slot) = (Arc::clone(&self.signals), self.slots.len());
        queue.set_nonempty_callback(move || signals.filled(slot));
        Ok(queue)
    }

    /// The partitions in order of slot.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = &TopicPartition> {
        self.slots.iter().map(|slot| &slot.at)
    }

    /// Hands over what there is, at most `limit` events, and returns their number; waits up to
    /// `timeout` where there is nothing. An event that was handed over is not given again; the
    /// closure ends the round with [`ControlFlow::Break`].
    pub fn poll(
        &mut self,
        timeout: Duration,
        limit: usize,
        mut each: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> usize {
        let mut events = self.poll_client(&mut each);
        self.gather(timeout);
        while events < limit
            && let Some(&slot) = self.turns.front()
        {
            let (given, left) = self.take_turn(slot, TURN.min(limit - events), &mut each);
            events += given;
            self.turns.pop_front();
            match left {
                Left::Nothing => self.slots[slot].has_turn = false,
                Left::More => self.turns.push_back(slot),
                Left::Stopped => {
                    self.turns.push_back(slot);
                    break;
                }
            }
        }
        events
    }

    /// Puts the slots that were signalled in line. Where none is, all of them after a while.
    fn gather(&mut self, timeout: Duration) {
        let wait = if self.turns.is_empty() {
            timeout.min(SWEEP)
        } else {
            Duration::ZERO
        };
        let filled = self.signals.take(wait);
        let sweep = filled.is_empty() && self.turns.is_empty();
        let all = if sweep { 0..self.slots.len() } else { 0..0 };
        for slot in filled.into_iter().chain(all) {
            if !std::mem::replace(&mut self.slots[slot].has_turn, true) {
                self.turns.push_back(slot);
            }
        }
    }

    fn take_turn(
        &self,
        slot: usize,
        limit: usize,
        each: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> (usize, Left) {
        for given in 0..limit {
            let Some(result) = self.slots[slot].queue.poll(Duration::ZERO) else {
                return (given, Left::Nothing);
            };
            if self.tell(slot, &result, each).is_break() {
                return (given + 1, Left::Stopped);
            }
        }
        (limit, Left::More)
    }

    fn tell(
        &self,
        slot: usize,
        result: &Result<BorrowedMessage<'_>, Native>,
        each: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let at = self.at(slot);
        match result {
            Ok(message) => {
                self.cluster.health().worked();
                each(Event::Record(Record::new(at, message)))
            }
            Err(Native::PartitionEOF(_)) => {
                self.cluster.health().worked();
                each(Event::EndOfPartition(at))
            }
            Err(error) if code(error) == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                each(Event::OutOfRange(at))
            }
            Err(error) => {
                let doing = format!("reading {}/{}", at.topic, at.partition);
                each(Event::Error {
                    at: Some(at),
                    error: self.cluster.explain(&doing, at.topic, error),
                })
            }
        }
    }

    fn at(&self, slot: usize) -> At<'_> {
        let at = &self.slots[slot].at;
        At {
            slot,
            topic: &at.topic,
            partition: at.partition,
        }
    }

    /// Serves the library's log and what it has to say of no one partition.
    fn poll_client(&self, each: &mut impl FnMut(Event<'_>) -> ControlFlow<()>) -> usize {
        let mut events = 0;
        while let Some(result) = self.consumer.poll(Duration::ZERO) {
            match result {
                // Every queue was split before anything was assigned; but a record is never lost.
                Ok(message) => {
                    let of = |slot: &Slot| {
                        slot.at.partition == message.partition() && slot.at.topic == message.topic()
                    };
                    if let Some(slot) = self.slots.iter().position(of) {
                        let _ = each(Event::Record(Record::new(self.at(slot), &message)));
                        events += 1;
                    }
                }
                // The callbacks have told about connections already.
                Err(error)
                    if code(&error).is_some_and(|code| {
                        matches!(class(code), Class::Unreachable | Class::Authentication)
                    }) => {}
                Err(error) => {
                    let error = self.cluster.explain("reading", "", &error);
                    let _ = each(Event::Error { at: None, error });
                    events += 1;
                }
            }
        }
        events
    }

    /// Reads a partition from another position: after [`Event::OutOfRange`], say.
    ///
    /// # Errors
    /// The client refuses: the partition is not read.
    pub fn restart(&mut self, at: &TopicPartition, position: i64) -> Result<(), KafkaError> {
        let list = list_of(&Positions::from([(at.clone(), position)]))?;
        self.consumer
            .incremental_unassign(&list)
            .and_then(|()| self.consumer.incremental_assign(&list))
            .map_err(|error| self.cluster.explain("restarting a partition", "", &error))
    }

    /// Fetches nothing more for these; what waits for them is dropped and fetched again on
    /// [`Source::resume`].
    ///
    /// # Errors
    /// The client refuses.
    pub fn pause<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<(), KafkaError> {
        self.consumer
            .pause(&bare_list_of(partitions)?)
            .map_err(|error| self.cluster.explain("pausing partitions", "", &error))
    }

    /// # Errors
    /// The client refuses.
    pub fn resume<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<(), KafkaError> {
        self.consumer
            .resume(&bare_list_of(partitions)?)
            .map_err(|error| self.cluster.explain("resuming partitions", "", &error))
    }
}

/// What a queue holds after its turn.
enum Left {
    Nothing,
    More,
    /// The closure wants no more.
    Stopped,
}
