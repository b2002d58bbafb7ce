//! A group that nobody joins: a name under which positions are committed, and questions to the
//! brokers about topics and offsets.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError as Native, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;

use super::cluster::{ASK, Cluster, bare_list_of, check_name, list_of};
use super::error::KafkaError;
use super::health::Callbacks;
use super::{Marker, Positions, TopicPartition};
use crate::config::valid::StartAt;
use crate::observation::Millis;

/// A position of a group with what was committed beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub position: i64,
    /// The string committed with it; empty where there is none.
    pub metadata: String,
}

/// Questions and commits under one group name. It may be used from several threads.
pub struct Group {
    name: String,
    cluster: Cluster,
    consumer: BaseConsumer<Callbacks>,
}

impl Group {
    /// # Errors
    /// A property that librdkafka does not take.
    pub fn open(cluster: &Cluster, name: &str) -> Result<Self, KafkaError> {
        Ok(Self {
            name: name.to_owned(),
            consumer: cluster.create(&cluster.consumer_config(name), false)?,
            cluster: cluster.clone(),
        })
    }

    /// The group of the configuration, under which input positions are committed.
    ///
    /// # Errors
    /// As for [`Group::open`].
    pub fn input(cluster: &Cluster) -> Result<Self, KafkaError> {
        Self::open(cluster, &cluster.config().group)
    }

    /// `GROUP.outbox`, under which the marker is committed.
    ///
    /// # Errors
    /// As for [`Group::open`].
    pub fn outbox(cluster: &Cluster) -> Result<Self, KafkaError> {
        Self::open(cluster, &format!("{}.outbox", cluster.config().group))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Serves the library's log and errors, which wait in its queue until somebody asks.
    pub(super) fn serve(&self) {
        while self.consumer.poll(Duration::ZERO).is_some() {}
    }

    fn answer<T>(
        &self,
        doing: impl FnOnce() -> String,
        subject: &str,
        answer: Result<T, Native>,
    ) -> Result<T, KafkaError> {
        self.serve();
        match answer {
            Ok(value) => {
                self.cluster.health().worked();
                Ok(value)
            }
            Err(error) => Err(self.cluster.explain(&doing(), subject, &error)),
        }
    }

    /// The partitions of each topic.
    ///
    /// # Errors
    /// The first topic that is missing or denied; brokers that cannot be reached.
    pub fn partitions(&self, topics: &[String]) -> Result<BTreeMap<String, Vec<i32>>, KafkaError> {
        let of = |topic: &String| Ok((topic.clone(), self.partitions_of(topic, ASK)?));
        topics.iter().map(of).collect()
    }

    pub(super) fn partitions_of(
        &self,
        topic: &str,
        timeout: Duration,
    ) -> Result<Vec<i32>, KafkaError> {
        check_name(topic)?;
        let doing = || format!("looking up topic {topic}");
        let metadata = self.answer(
            doing,
            topic,
            self.consumer.fetch_metadata(Some(topic), timeout),
        )?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Err(KafkaError::MissingTopic {
                topic: topic.to_owned(),
            });
        };
        if let Some(error) = found.error() {
            let code = RDKafkaErrorCode::from(error);
            return Err(self.cluster.explain_code(&doing(), topic, code));
        }
        let mut partitions: Vec<i32> = found.partitions().iter().map(|p| p.id()).collect();
        partitions.sort_unstable();
        if partitions.is_empty() {
            return Err(KafkaError::MissingTopic {
                topic: topic.to_owned(),
            });
        }
        Ok(partitions)
    }

    /// The offsets of the first record kept and of the next one to be written (for us, who read
    /// committed records, the first one not yet committed).
    ///
    /// # Errors
    /// The topic is missing or denied; brokers that cannot be reached.
    pub fn bounds(&self, at: &TopicPartition) -> Result<(i64, i64), KafkaError> {
        self.bounds_within(at, ASK)
    }

    pub(super) fn bounds_within(
        &self,
        at: &TopicPartition,
        timeout: Duration,
    ) -> Result<(i64, i64), KafkaError> {
        check_name(&at.topic)?;
        let doing = || format!("asking for the offsets of {}/{}", at.topic, at.partition);
        let answer = self
            .consumer
            .fetch_watermarks(&at.topic, at.partition, timeout);
        self.answer(doing, &at.topic, answer)
    }

    /// The end offset of each partition.
    ///
    /// # Errors
    /// As for [`Group::bounds`].
    pub fn end_offsets(&self, partitions: &[TopicPartition]) -> Result<Positions, KafkaError> {
        let end = |at: &TopicPartition| Ok((at.clone(), self.bounds(at)?.1));
        partitions.iter().map(end).collect()
    }

    /// The offset of the first record at or after a time; the end offset where there is none.
    ///
    /// # Errors
    /// As for [`Group::bounds`].
    pub fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        time_ms: Millis,
    ) -> Result<Positions, KafkaError> {
        // The library takes times as offsets, and those are never negative.
        let times: Positions = partitions
            .iter()
            .map(|at| (at.clone(), time_ms.max(0)))
            .collect();
        let doing = || "asking for the offsets of a time".to_owned();
        let answer = self.consumer.offsets_for_times(list_of(&times)?, ASK);
        let list = self.answer(doing, &self.name, answer)?;
        let mut positions = Positions::new();
        for element in list.elements() {
            let at = TopicPartition {
                topic: element.topic().to_owned(),
                partition: element.partition(),
            };
            self.answer(doing, &at.topic, element.error())?;
            let position = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => self.bounds(&at)?.1,
            };
            positions.insert(at, position);
        }
        Ok(positions)
    }

    /// Where `start_at` is in each partition.
    ///
    /// # Errors
    /// As for [`Group::bounds`].
    pub fn resolve_start(
        &self,
        partitions: &[TopicPartition],
        start_at: StartAt,
    ) -> Result<Positions, KafkaError> {
        match start_at {
            StartAt::Latest => self.end_offsets(partitions),
            StartAt::Earliest => {
                let low = |at: &TopicPartition| Ok((at.clone(), self.bounds(at)?.0));
                partitions.iter().map(low).collect()
            }
            StartAt::Time(time_ms) => self.offsets_at(partitions, time_ms),
        }
    }

    /// What is committed; partitions without a position are left out.
    ///
    /// # Errors
    /// The group is denied; brokers that cannot be reached.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Committed>, KafkaError> {
        let doing = || format!("reading the positions of group {}", self.name);
        let list = bare_list_of(partitions)?;
        let list = self.answer(
            doing,
            &self.name,
            self.consumer.committed_offsets(list, ASK),
        )?;
        let mut committed = BTreeMap::new();
        for element in list.elements() {
            self.answer(doing, &self.name, element.error())?;
            if let Offset::Offset(position) = element.offset() {
                let at = TopicPartition {
                    topic: element.topic().to_owned(),
                    partition: element.partition(),
                };
                // Brokers keep metadata as UTF-8, so reading it as such cannot fail.
                let metadata = element.metadata().to_owned();
                committed.insert(at, Committed { position, metadata });
            }
        }
        Ok(committed)
    }

    /// Commits positions, outside any transaction, and waits for it.
    ///
    /// # Errors
    /// The group is denied; brokers that cannot be reached.
    pub fn commit(&self, positions: &Positions) -> Result<(), KafkaError> {
        if positions.is_empty() {
            return Ok(());
        }
        self.commit_list(&list_of(positions)?)
    }

    pub(super) fn commit_list(&self, list: &rdkafka::TopicPartitionList) -> Result<(), KafkaError> {
        let doing = || format!("committing positions of group {}", self.name);
        let answer = self.consumer.commit(list, CommitMode::Sync);
        self.answer(doing, &self.name, answer)
    }

    /// Reads the marker from this group, which is `GROUP.outbox`; `alerts` is the alerts topic.
    ///
    /// # Errors
    /// As for [`Group::committed`]; [`KafkaError::Marker`] where something is committed that is no
    /// marker of ours.
    pub fn read_marker(&self, alerts: &str) -> Result<Option<Marker>, KafkaError> {
        let at = Marker::place(alerts);
        let Some(found) = self.committed(std::slice::from_ref(&at))?.remove(&at) else {
            return Ok(None);
        };
        match Marker::parse(found.position, &found.metadata) {
            Ok(marker) => Ok(Some(marker)),
            Err(error) => Err(KafkaError::Marker {
                group: self.name.clone(),
                error,
            }),
        }
    }

    /// What a transaction names the group by.
    pub(super) fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }
}
