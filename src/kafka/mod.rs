//! Kafka: what is read, what is published, and the marker that says how far.
//!
//! ```text
//!   Source ── records, ends of partitions ──► engine thread ── Step ──► Publisher (own thread)
//!   Watcher ── new partitions, lost topics ──►     ▲                        │ one transaction: outputs,
//!                                                  └──── Outcome ───────────┘ positions, marker
//! ```
//!
//! The rule: nobody joins a group. [`Source`] is assigned its partitions by us, so there are no
//! rebalances; positions are committed under `kafka.group` ([`Group`]) all the same, so lag tools
//! work, and the [`Marker`] is a position too: that of `GROUP.outbox` in partition 0 of the alerts
//! topic. What fences a second instance is the transactional id, and nothing else.
//!
//! Invariants: no type of rdkafka leaves this module; a broker that is away is an error to wait out,
//! never a reason to stop, and is logged once when it goes and once when it is back
//! ([`Connection`]); queues are bounded by `limits.fetch_queue_kbytes`.

mod alerts;
mod cluster;
mod copied;
mod embedded;
mod error;
mod group;
mod health;
mod marker;
mod native;
mod publisher;
mod record;
mod reread;
mod source;
mod transaction;
mod watcher;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::engine::TopicPartition;

pub use alerts::{AlertEvents, AlertItem, From, read_alerts};
pub use cluster::Cluster;
pub use copied::{Copied, copy_of};
pub use embedded::{Embedded, Traffic};
pub use error::KafkaError;
pub use group::{Committed, Group};
pub use health::Connection;
pub use marker::{Marker, MarkerError, Watermarks};
pub use publisher::{Message, Outcome, Publisher, Status, Step};
pub use record::{At, OwnedRecord, Record, RecordHeaders};
pub use reread::{Reread, reread};
pub use source::{Event, Source};
pub use watcher::{Change, Watcher};

/// The next offset to read, by partition.
pub type Positions = BTreeMap<TopicPartition, i64>;
