//! The alerts topic, read back: to find what was firing when a store was lost, and for
//! `klaxond alerts`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as Native;

use super::cluster::{Cluster, list_of};
use super::error::{Class, KafkaError, class, code};
use super::group::Group;
use super::health::Callbacks;
use super::record::OwnedRecord;
use super::{Positions, TopicPartition};
use crate::config::valid::StartAt;

/// How long the brokers may be silent before reading to the end gives up: the end itself is never
/// further than a fetch.
const PATIENCE: Duration = Duration::from_secs(30);
const SLICE: Duration = Duration::from_millis(200);

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Beginning,
    End,
}

/// What reading gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertItem {
    Record(OwnedRecord),
    /// All partitions have been read to their ends, for the first time.
    CaughtUp,
}

/// All partitions of a topic, committed records only, in the order of each partition.
pub struct AlertEvents {
    cluster: Cluster,
    topic: String,
    consumer: BaseConsumer<Callbacks>,
    /// Partitions whose end has not been seen.
    behind: BTreeSet<i32>,
}

impl AlertEvents {
    /// # Errors
    /// The topic is missing or denied; brokers that cannot be reached.
    pub fn open(cluster: &Cluster, topic: &str, from: From) -> Result<Self, KafkaError> {
        // A reader commits nothing; the group is only a name that the client insists on.
        let group = format!("{}.reader", cluster.config().group);
        let lookup = Group::open(cluster, &group)?;
        let partitions = lookup.partitions(&[topic.to_owned()])?;
        let at = |&partition: &i32| TopicPartition {
            topic: topic.to_owned(),
            partition,
        };
        let partitions: Vec<TopicPartition> = partitions.values().flatten().map(at).collect();
        let start = match from {
            From::Beginning => StartAt::Earliest,
            From::End => StartAt::Latest,
        };
        let positions: Positions = lookup.resolve_start(&partitions, start)?;
        let consumer: BaseConsumer<Callbacks> =
            cluster.create(&cluster.consumer_config(&group), true)?;
        consumer
            .assign(&list_of(&positions)?)
            .map_err(|error| cluster.explain("assigning partitions", topic, &error))?;
        Ok(Self {
            cluster: cluster.clone(),
            topic: topic.to_owned(),
            consumer,
            behind: partitions.iter().map(|at| at.partition).collect(),
        })
    }

    /// The next record, if one comes within the time. A broker that is away is waited for.
    ///
    /// # Errors
    /// What the library does not get over by itself.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<AlertItem>, KafkaError> {
        match self.consumer.poll(timeout) {
            None => Ok(None),
            Some(Ok(message)) => {
                self.cluster.health().worked();
                Ok(Some(AlertItem::Record(OwnedRecord::of(&message))))
            }
            // Of one topic only, so the partition says it all.
            Some(Err(Native::PartitionEOF(partition))) => {
                self.cluster.health().worked();
                let was_last = self.behind.remove(&partition) && self.behind.is_empty();
                Ok(was_last.then_some(AlertItem::CaughtUp))
            }
            Some(Err(error)) if code(&error).map(class) == Some(Class::Unreachable) => Ok(None),
            Some(Err(error)) => {
                let doing = format!("reading topic {}", self.topic);
                Err(self.cluster.explain(&doing, &self.topic, &error))
            }
        }
    }
}

/// Reads a topic from its beginning to where its end is now, handing each record to `each` until that
/// says to stop; returns their number.
///
/// # Errors
/// As for [`AlertEvents::open`]; brokers that say nothing for 30 s.
pub fn read_alerts(
    cluster: &Cluster,
    topic: &str,
    mut each: impl FnMut(OwnedRecord) -> ControlFlow<()>,
) -> Result<u64, KafkaError> {
    let mut events = AlertEvents::open(cluster, topic, From::Beginning)?;
    let (mut records, mut silent) = (0, Duration::ZERO);
    loop {
        match events.next(SLICE)? {
            Some(AlertItem::CaughtUp) => return Ok(records),
            Some(AlertItem::Record(record)) => {
                silent = Duration::ZERO;
                records += 1;
                if each(record).is_break() {
                    return Ok(records);
                }
            }
            // An end of one of several partitions comes this way too, and at once.
            None => silent += SLICE,
        }
        if silent >= PATIENCE {
            let doing = format!("reading topic {topic}");
            let code = rdkafka::error::RDKafkaErrorCode::OperationTimedOut;
            return Err(cluster.explain_code(&doing, topic, code));
        }
    }
}
