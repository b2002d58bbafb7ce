//! Input: every partition of the input topics, assigned by us, read on one thread.
//!
//! All partitions are forwarded into one queue, which is emptied in batches (`native`): that is what
//! makes reading cheap, and what the library says of a partition, its end or an offset out of range,
//! comes with the partition's name. A batch that was broken off is kept, and gone on with.
//!
//! The bound: `limits.fetch_queue_kbytes` is what may wait in the queue. One that is below it is
//! filled by one more fetch for each partition; their sizes are cut so that, down to
//! [`LEAST_FETCH_KBYTES`] each, they add up to the limit again.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;

use super::cluster::{Cluster, bare_list_of, list_of};
use super::error::{Class, KafkaError, class, code};
use super::health::Callbacks;
use super::native::{Batch, Queue, Raw};
use super::record::{At, Record};
use super::{Positions, TopicPartition};
use crate::config::valid::Limits;

/// Messages that are taken from the queue at once.
const BATCH: usize = 1_000;

/// A fetch of one partition is not cut below this.
const LEAST_FETCH_KBYTES: usize = 64;

/// librdkafka's default for one fetch of one partition; more brings nothing.
const MOST_FETCH_KBYTES: usize = 1_024;

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
    last: Last,
    /// Some slot returns.
    returning: bool,
    // These in this order: messages go before their queue, the queue before the client.
    batch: Batch,
    queue: Queue,
    consumer: Arc<BaseConsumer<Callbacks>>,
    cluster: Cluster,
}

struct Slot {
    at: TopicPartition,
    /// The offset after the last record that was handed over. (The library's own idea of it is off by
    /// one after the end of a partition has come in a batch, so its pausing would skip a record.)
    next: i64,
    /// It was assigned anew and nothing has come of it yet.
    returns: bool,
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
        let fetch = (limits.fetch_queue_kbytes / positions.len().max(1))
            .clamp(LEAST_FETCH_KBYTES, MOST_FETCH_KBYTES);
        let mut config = cluster.consumer_config(&cluster.config().group);
        config
            .set(
                "queued.max.messages.kbytes",
                limits.fetch_queue_kbytes.to_string(),
            )
            .set("fetch.message.max.bytes", (fetch * 1_024).to_string());
        let consumer = Arc::new(cluster.create(&config, true)?);
        let queue = Queue::new(Arc::clone(&consumer)).ok_or_else(|| KafkaError::Client {
            detail: "no queue to read from".to_owned(),
        })?;
        let mut source = Self {
            slots: Vec::new(),
            last: None,
            returning: false,
            batch: Batch::new(BATCH),
            queue,
            consumer,
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
        // Before they are assigned, so that every record comes through the queue.
        for at in positions.keys() {
            if !self.queue.take_in(&at.topic, at.partition) {
                return Err(KafkaError::Client {
                    detail: format!("no queue for {}/{}", at.topic, at.partition),
                });
            }
        }
        self.slots.extend(positions.iter().map(|(at, &next)| Slot {
            at: at.clone(),
            next,
            returns: false,
        }));
        self.consumer
            .incremental_assign(&list)
            .map_err(|error| self.cluster.explain("assigning partitions", "", &error))
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
        if self.returning {
            self.take_returning();
        }
        let mut events = self.poll_client(&mut each);
        let mut timeout = timeout;
        while events < limit {
            if self.batch.is_empty() {
                self.queue.fill(&mut self.batch, timeout);
            }
            timeout = Duration::ZERO;
            let Self {
                slots,
                last,
                batch,
                cluster,
                ..
            } = self;
            let told = batch.next(|message| {
                let slot = slot_of(slots, last, message);
                tell(cluster, slots, slot, message, &mut each)
            });
            match told {
                None => break,
                Some(flow) => {
                    events += 1;
                    if flow.is_break() {
                        break;
                    }
                }
            }
        }
        events
    }

    /// Serves the library's log and what it has to say of no one partition.
    fn poll_client(&mut self, each: &mut impl FnMut(Event<'_>) -> ControlFlow<()>) -> usize {
        let mut events = 0;
        while let Some(result) = self.consumer.poll(Duration::ZERO) {
            match result {
                // Every partition was taken into the queue before it was assigned; but a record is
                // never lost.
                Ok(message) => {
                    let message = Raw::of(&message);
                    let slot = slot_of(&self.slots, &mut None, message);
                    let _ = tell(&self.cluster, &mut self.slots, slot, message, each);
                    events += 1;
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
        self.pause([at])?;
        for slot in self.slots.iter_mut().filter(|slot| slot.at == *at) {
            slot.next = position;
        }
        self.resume([at])
    }

    /// Reads nothing more of these.
    ///
    /// # Errors
    /// The client refuses.
    pub fn pause<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition> + Clone,
    ) -> Result<(), KafkaError> {
        // What the library has queued of them, it forgets by itself.
        let is_one = |message: Raw<'_>| {
            let mut partitions = partitions.clone().into_iter();
            partitions.any(|at| message.partition() == at.partition && message.topic() == at.topic)
        };
        self.batch.discard(is_one);
        self.consumer
            .incremental_unassign(&bare_list_of(partitions.clone())?)
            .map_err(|error| self.cluster.explain("pausing partitions", "", &error))
    }

    /// Reads them again, from where they were.
    ///
    /// # Errors
    /// The client refuses.
    pub fn resume<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<(), KafkaError> {
        let mut positions = Positions::new();
        for at in partitions {
            for slot in self.slots.iter_mut().filter(|slot| slot.at == *at) {
                slot.returns = true;
                self.returning = true;
                positions.insert(at.clone(), slot.next);
            }
        }
        self.consumer
            .incremental_assign(&list_of(&positions)?)
            .map_err(|error| self.cluster.explain("resuming partitions", "", &error))
    }

    /// Takes partitions into the queue again that were assigned anew: when the library has stopped
    /// reading them, which it does in its own time, it forgets the queue.
    fn take_returning(&mut self) {
        self.returning = false;
        for slot in self.slots.iter().filter(|slot| slot.returns) {
            self.returning = true;
            self.queue.take_in(&slot.at.topic, slot.at.partition);
        }
    }
}

/// The topic and partition that the last message was of, and their slot.
type Last = Option<((usize, i32), usize)>;

/// The slot that a message is of; none where it is of no partition that is read.
fn slot_of(slots: &[Slot], last: &mut Last, message: Raw<'_>) -> Option<usize> {
    let (topic, partition) = (message.topic_id(), message.partition());
    // Messages come in runs, as they were fetched.
    if let Some((of, slot)) = *last
        && of == (topic, partition)
    {
        return Some(slot);
    }
    let slot = slots
        .iter()
        .position(|slot| slot.at.partition == partition && slot.at.topic == message.topic())?;
    *last = Some(((topic, partition), slot));
    Some(slot)
}

fn tell(
    cluster: &Cluster,
    slots: &mut [Slot],
    slot: Option<usize>,
    message: Raw<'_>,
    each: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let at = slot.map(|place| {
        let slot = &mut slots[place];
        match message.error() {
            None => {
                slot.next = message.offset() + 1;
                slot.returns = false;
            }
            Some(RDKafkaErrorCode::PartitionEOF | RDKafkaErrorCode::AutoOffsetReset) => {
                slot.returns = false;
            }
            // It tells nothing of the new assignment.
            Some(_) => {}
        }
        At {
            slot: place,
            topic: &slot.at.topic,
            partition: slot.at.partition,
        }
    });
    match (at, message.error()) {
        (Some(at), None) => {
            cluster.health().worked();
            each(Event::Record(Record::new(at, message)))
        }
        (Some(at), Some(RDKafkaErrorCode::PartitionEOF)) => {
            cluster.health().worked();
            each(Event::EndOfPartition(at))
        }
        (Some(at), Some(RDKafkaErrorCode::AutoOffsetReset)) => each(Event::OutOfRange(at)),
        (at, Some(code)) => {
            let topic = message.topic();
            let doing = format!("reading {topic}/{}", message.partition());
            let error = cluster.explain_code(&doing, topic, code);
            each(Event::Error { at, error })
        }
        // Of a partition that is not read: nothing that was asked for.
        (None, None) => ControlFlow::Continue(()),
    }
}
