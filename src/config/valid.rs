//! The configuration as types that cannot be wrong. `raw` mirrors the file; this is what runs.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::engine::spec::ModelSpec;
use crate::observation::Millis;

/// A whole configuration file, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub kafka: KafkaConfig,
    pub output: OutputConfig,
    pub store: StoreConfig,
    pub http: HttpConfig,
    /// In order of name; at least one.
    pub models: Vec<ModelSpec>,
    pub limits: Limits,
}

/// `[kafka]`
#[derive(Clone, PartialEq)]
pub struct KafkaConfig {
    pub brokers: String,
    pub group: String,
    pub start_at: StartAt,
    pub delivery: Delivery,
    /// librdkafka's own, applied to the consumer and the producer alike.
    pub properties: BTreeMap<String, String>,
}

/// Where to start when neither the store nor the group knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    Latest,
    Earliest,
    Time(Millis),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Kafka transactions.
    ExactlyOnce,
    /// For brokers that do not allow transactions: a repeat carries the same id.
    AtLeastOnce,
}

/// `[output]`: topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputConfig {
    pub alerts: String,
    pub windows: Option<String>,
    pub dead_letter: Option<String>,
    pub review: Option<String>,
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    pub path: PathBuf,
    /// How long history is kept, in event time.
    pub history_ms: Millis,
}

/// `[http]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    pub listen: SocketAddr,
}

/// `[limits]`: the bounds that are the daemon's own. Each model's are in its spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Outputs waiting to be published; at the limit intake stops.
    pub outbox_entries: usize,
    /// Payload bytes of dead letters and review records waiting to be published; at the limit intake
    /// stops.
    pub outbox_bytes: usize,
    /// Bytes of history in the store; the oldest goes first.
    pub history_bytes: u64,
    /// librdkafka's fetch queue, in kilobytes.
    pub fetch_queue_kbytes: usize,
}

/// Without the values of properties: they may be secrets.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("start_at", &self.start_at)
            .field("delivery", &self.delivery)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish()
    }
}
