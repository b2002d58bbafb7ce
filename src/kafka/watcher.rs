//! Looks after the topics while the engine reads: partitions that are added, topics that go, and how
//! far each partition's end is.
//!
//! A thread of its own asks for each topic's partitions every [`EVERY`] and says what changed. While
//! no broker can be reached it asks every [`EVERY_WHEN_DOWN`], which is how the return of a broker is
//! noticed when nothing else is going on.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::cluster::Cluster;
use super::error::KafkaError;
use super::group::Group;
use super::health::Connection;
use super::{Positions, TopicPartition};

const EVERY: Duration = Duration::from_secs(20);
const EVERY_WHEN_DOWN: Duration = Duration::from_secs(1);

/// The longest that dropping a watcher takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// What has become of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Partitions that were not there before.
    Added { topic: String, partitions: Vec<i32> },
    /// It does not exist any more, or we may not see it; said once.
    Lost { topic: String, error: KafkaError },
    /// It is there again.
    Found { topic: String },
}

/// Ends when dropped.
pub struct Watcher {
    ends: Arc<Mutex<Positions>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Watches the topics, whose partitions are known to be these.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        cluster: &Cluster,
        group: Arc<Group>,
        known: BTreeMap<String, Vec<i32>>,
    ) -> Result<(Self, Receiver<Change>), KafkaError> {
        Self::start_every(EVERY, cluster, group, known)
    }

    pub(super) fn start_every(
        every: Duration,
        cluster: &Cluster,
        group: Arc<Group>,
        known: BTreeMap<String, Vec<i32>>,
    ) -> Result<(Self, Receiver<Change>), KafkaError> {
        let (stop, stopped) = mpsc::channel();
        let (changes, receiver) = mpsc::channel();
        let topics = known
            .into_iter()
            .map(|(topic, partitions)| {
                (
                    topic,
                    Topic {
                        partitions,
                        lost: false,
                    },
                )
            })
            .collect();
        let ends: Arc<Mutex<Positions>> = Arc::default();
        let mut watch = Watch {
            group,
            topics,
            changes,
            ends: Arc::clone(&ends),
        };
        let cluster = cluster.clone();
        let thread = thread::Builder::new()
            .name("kafka-watcher".to_owned())
            .spawn(move || {
                let wait = || match cluster.connection() {
                    Connection::Down { .. } | Connection::Refused { .. } => EVERY_WHEN_DOWN,
                    Connection::Unknown | Connection::Up => every,
                };
                let mut waited = every;
                // In short steps, for the connection may go down meanwhile.
                while let Err(RecvTimeoutError::Timeout) =
                    stopped.recv_timeout(EVERY_WHEN_DOWN.min(every))
                {
                    waited += EVERY_WHEN_DOWN.min(every);
                    if waited >= wait() {
                        waited = Duration::ZERO;
                        if watch.look().is_err() {
                            return;
                        }
                    }
                }
            })
            .map_err(|error| KafkaError::Client {
                detail: format!("no thread for the watcher: {error}"),
            })?;
        let watcher = Self {
            ends,
            stop: Some(stop),
            thread: Some(thread),
        };
        Ok((watcher, receiver))
    }

    /// The next offset to be written of each partition, as last heard.
    pub fn end_offsets(&self) -> Positions {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the watcher of topics has panicked");
        }
    }
}

struct Watch {
    group: Arc<Group>,
    topics: BTreeMap<String, Topic>,
    changes: Sender<Change>,
    ends: Arc<Mutex<Positions>>,
}

struct Topic {
    partitions: Vec<i32>,
    lost: bool,
}

impl Watch {
    /// Nobody listens any more: an error. It ends early where no broker answers.
    fn look(&mut self) -> Result<(), mpsc::SendError<Change>> {
        for (topic, known) in &mut self.topics {
            match self.group.partitions_of(topic, PATIENCE) {
                Ok(partitions) => {
                    if std::mem::take(&mut known.lost) {
                        let topic = topic.clone();
                        self.changes.send(Change::Found { topic })?;
                    }
                    let is_new = |p: &i32| !known.partitions.contains(p);
                    let added: Vec<i32> = partitions.into_iter().filter(is_new).collect();
                    if !added.is_empty() {
                        known.partitions.extend(&added);
                        self.changes.send(Change::Added {
                            topic: topic.clone(),
                            partitions: added,
                        })?;
                    }
                    for &partition in &known.partitions {
                        let topic = topic.clone();
                        let at = TopicPartition { topic, partition };
                        // One that has just gone is told at the next look.
                        if let Ok((_, end)) = self.group.bounds_within(&at, PATIENCE) {
                            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
                            ends.insert(at, end);
                        }
                    }
                }
                Err(KafkaError::Unreachable { .. } | KafkaError::Authentication { .. }) => {
                    return Ok(());
                }
                Err(error) => {
                    if !std::mem::replace(&mut known.lost, true) {
                        let topic = topic.clone();
                        self.changes.send(Change::Lost { topic, error })?;
                    }
                }
            }
        }
        Ok(())
    }
}
