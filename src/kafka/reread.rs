//! Single records, read once more: a dead letter or review record is kept as a reference, and its
//! bytes are in Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as Native, RDKafkaErrorCode};

use super::cluster::{ASK, Cluster, list_of};
use super::error::{Class, KafkaError, class, code};
use super::group::Group;
use super::health::Callbacks;
use super::record::OwnedRecord;
use super::{Positions, TopicPartition};

/// How long the brokers may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
const SLICE: Duration = Duration::from_millis(200);

/// A gap between two wanted offsets that is worth reading over rather than jumping.
const NEAR: i64 = 500;

/// A record that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reread {
    Found(OwnedRecord),
    /// Retention, compaction, or the topic itself has taken it.
    Gone,
}

/// Reads the records at these offsets, which may come in any order, and answers in theirs. The caller
/// bounds their number: all are held at once.
///
/// # Errors
/// Brokers that cannot be reached, or that refuse.
pub fn reread(
    cluster: &Cluster,
    wanted: &[(TopicPartition, i64)],
) -> Result<Vec<Reread>, KafkaError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_partition: BTreeMap<&TopicPartition, BTreeMap<i64, Reread>> = BTreeMap::new();
    for (at, offset) in wanted {
        let offsets = by_partition.entry(at).or_default();
        offsets.insert(*offset, Reread::Gone);
    }
    let group = format!("{}.reader", cluster.config().group);
    // Asked first, since the client takes half a minute to say that a topic is not there.
    let lookup = Group::open(cluster, &group)?;
    let consumer = cluster.create(&cluster.consumer_config(&group), true)?;
    let mut topic: Option<(&str, Vec<i32>)> = None;
    for (at, offsets) in &mut by_partition {
        if topic.as_ref().is_none_or(|(name, _)| *name != at.topic) {
            let partitions = match lookup.partitions_of(&at.topic, ASK) {
                Err(KafkaError::MissingTopic { .. }) => Vec::new(),
                found => found?,
            };
            topic = Some((&at.topic, partitions));
        }
        if topic
            .as_ref()
            .is_some_and(|(_, partitions)| !partitions.contains(&at.partition))
        {
            continue;
        }
        fill(cluster, &consumer, at, offsets)?;
    }
    let found = |(at, offset): &(TopicPartition, i64)| by_partition[at][offset].clone();
    Ok(wanted.iter().map(found).collect())
}

/// Replaces what can still be read. One partition is assigned at a time, so whatever the client says
/// is of it.
fn fill(
    cluster: &Cluster,
    consumer: &BaseConsumer<Callbacks>,
    at: &TopicPartition,
    offsets: &mut BTreeMap<i64, Reread>,
) -> Result<(), KafkaError> {
    let doing = || format!("reading {}/{} again", at.topic, at.partition);
    let mut next: Option<i64> = None;
    for (&offset, found) in offsets.iter_mut() {
        if next.is_none_or(|next| next > offset || offset - next > NEAR) {
            if next.is_some_and(|next| next > offset) {
                // The log went on past it: it is gone.
                continue;
            }
            let list = list_of(&Positions::from([(at.clone(), offset)]))?;
            consumer
                .assign(&list)
                .map_err(|error| cluster.explain(&doing(), &at.topic, &error))?;
        }
        match seek(cluster, consumer, at, offset, &doing)? {
            Sought::At(record) => {
                *found = Reread::Found(record);
                next = Some(offset + 1);
            }
            Sought::Past(seen) => next = Some(seen + 1),
            // The next one may be in range.
            Sought::OutOfRange => next = None,
            Sought::Ended => return Ok(()),
        }
    }
    Ok(())
}

enum Sought {
    At(OwnedRecord),
    /// The first record at or after it is this one.
    Past(i64),
    OutOfRange,
    /// There is no record at or after it.
    Ended,
}

fn seek(
    cluster: &Cluster,
    consumer: &BaseConsumer<Callbacks>,
    at: &TopicPartition,
    offset: i64,
    doing: &dyn Fn() -> String,
) -> Result<Sought, KafkaError> {
    let mut silent = Duration::ZERO;
    while silent < PATIENCE {
        match consumer.poll(SLICE) {
            None => silent += SLICE,
            Some(Ok(message)) => {
                let of_it = message.partition() == at.partition && message.topic() == at.topic;
                // What was assigned before may still be in the queue.
                if !of_it || message.offset() < offset {
                    continue;
                }
                return Ok(if message.offset() == offset {
                    Sought::At(OwnedRecord::of(&message))
                } else {
                    Sought::Past(message.offset())
                });
            }
            Some(Err(Native::PartitionEOF(_))) => return Ok(Sought::Ended),
            Some(Err(error)) => match code(&error) {
                Some(RDKafkaErrorCode::AutoOffsetReset) => return Ok(Sought::OutOfRange),
                Some(code) if class(code) == Class::Unreachable => {}
                _ => return Err(cluster.explain(&doing(), &at.topic, &error)),
            },
        }
    }
    let code = RDKafkaErrorCode::OperationTimedOut;
    Err(cluster.explain_code(&doing(), &at.topic, code))
}
