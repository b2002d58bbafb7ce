//! The brokers and how to reach them: what every client of ours is made from.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError as Native;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error::{Class, KafkaError, class, code};
use super::health::{Callbacks, Connection, Health};
use super::{Positions, TopicPartition};
use crate::config::valid::KafkaConfig;

/// How long a partition is not fetched after its queue was full. librdkafka's own second costs a
/// factor of eight.
const FETCH_BACKOFF: &str = "fetch.queue.backoff.ms";

/// How long one question to the brokers may take before the caller hears that they are away.
pub(super) const ASK: Duration = Duration::from_secs(5);

/// A handle: cheap to clone, shared by all clients of the process.
#[derive(Clone, Debug)]
pub struct Cluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: KafkaConfig,
    health: Arc<Health>,
}

impl Cluster {
    /// Checks the user's properties; connects to nothing.
    ///
    /// # Errors
    /// The property that librdkafka does not take.
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let health = Arc::new(Health::new(&config.brokers));
        let cluster = Self {
            inner: Arc::new(Inner {
                config: config.clone(),
                health,
            }),
        };
        cluster
            .client_config()
            .create_native_config()
            .map_err(|error| cluster.creation(error))?;
        Ok(cluster)
    }

    /// What is known about the connection.
    pub fn connection(&self) -> Connection {
        self.inner.health.connection()
    }

    pub(super) fn config(&self) -> &KafkaConfig {
        &self.inner.config
    }

    pub(super) fn health(&self) -> &Arc<Health> {
        &self.inner.health
    }

    /// The user's properties, with ours on top.
    fn client_config(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("client.id", "klaxond")
            // The vendored OpenSSL does not know where this system keeps its certificates.
            .set("ssl.ca.location", "probe");
        if self.inner.config.properties.contains_key("ssl.ca.pem") {
            client.remove("ssl.ca.location");
        }
        for (key, value) in &self.inner.config.properties {
            client.set(key, value);
        }
        client
            .set("bootstrap.servers", &self.inner.config.brokers)
            .set("statistics.interval.ms", "0")
            .set_log_level(RDKafkaLogLevel::Info);
        client
    }

    /// A consumer that commits only when told to and reads only what is committed.
    pub(super) fn consumer_config(&self, group: &str) -> ClientConfig {
        let mut client = self.client_config();
        // Properties are the consumer's and the producer's alike; this one, a limit of the
        // producer's batches, would make a consumer's buffers inconsistent.
        client.remove("message.max.bytes");
        client
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false");
        if !self.inner.config.properties.contains_key(FETCH_BACKOFF) {
            client.set(FETCH_BACKOFF, "5");
        }
        client
    }

    pub(super) fn producer_config(&self) -> ClientConfig {
        let mut client = self.client_config();
        client
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            // What is too large is for the broker to say: a dead letter was once taken by one.
            .set("message.max.bytes", "268435456");
        client
    }

    pub(super) fn create<T>(
        &self,
        client: &ClientConfig,
        always_at_work: bool,
    ) -> Result<T, KafkaError>
    where
        T: FromClientConfigAndContext<Callbacks>,
    {
        let callbacks = Callbacks::new(Arc::clone(self.health()), always_at_work);
        client
            .create_with_context(callbacks)
            .map_err(|error| self.creation(error))
    }

    fn creation(&self, error: Native) -> KafkaError {
        match error {
            Native::ClientConfig(_, detail, key, value) => KafkaError::Property {
                key,
                // librdkafka quotes the value; it may be a password.
                detail: if value.is_empty() {
                    detail
                } else {
                    detail.replace(&value, "…")
                },
            },
            other => KafkaError::Client {
                detail: other.to_string(),
            },
        }
    }

    /// Tells an error of the library in our words. `doing` completes "… failed", `subject` names
    /// the topic or the group that was asked about.
    pub(super) fn explain(&self, doing: &str, subject: &str, error: &Native) -> KafkaError {
        match code(error) {
            Some(code) => self.explain_code(doing, subject, code),
            None => KafkaError::Refused {
                doing: doing.to_owned(),
                detail: error.to_string(),
            },
        }
    }

    pub(super) fn explain_code(
        &self,
        doing: &str,
        subject: &str,
        code: rdkafka::error::RDKafkaErrorCode,
    ) -> KafkaError {
        let doing = doing.to_owned();
        let config = self.config();
        let denied = |what: String| KafkaError::Denied {
            what,
            doing: doing.clone(),
        };
        match class(code) {
            // A client that is refused shows it as requests that time out.
            Class::Unreachable => match self.connection() {
                Connection::Refused { reason } => self.authentication(reason),
                _ => {
                    let last = self.health().last_failure();
                    KafkaError::Unreachable {
                        brokers: config.brokers.clone(),
                        doing,
                        detail: if last.is_empty() {
                            code.to_string()
                        } else {
                            last
                        },
                    }
                }
            },
            Class::Authentication => self.authentication(match self.connection() {
                Connection::Refused { reason } => reason,
                _ => code.to_string(),
            }),
            Class::DeniedTopic => denied(format!("topic {subject}")),
            Class::DeniedGroup => denied(format!("group {subject}")),
            Class::DeniedTransaction => denied(format!("transactional id {}", config.group)),
            Class::DeniedCluster => denied("cluster".to_owned()),
            Class::MissingTopic => KafkaError::MissingTopic {
                topic: subject.to_owned(),
            },
            Class::Fenced => KafkaError::Fenced {
                id: config.group.clone(),
            },
            Class::Other => KafkaError::Refused {
                doing,
                detail: code.to_string(),
            },
        }
    }

    fn authentication(&self, detail: String) -> KafkaError {
        let config = self.config();
        let property = |key: &str| config.properties.get(key).map(String::as_str);
        let protocol = property("security.protocol").unwrap_or("plaintext");
        let mechanism = property("sasl.mechanism").or_else(|| property("sasl.mechanisms"));
        KafkaError::Authentication {
            brokers: config.brokers.clone(),
            mechanism: match mechanism {
                Some(mechanism) => format!("{protocol}, {mechanism}"),
                None => protocol.to_owned(),
            },
            detail,
        }
    }
}

/// Partitions with offsets in the library's form.
pub(super) fn list_of(positions: &Positions) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (at, &position) in positions {
        check_name(&at.topic)?;
        list.add_partition_offset(&at.topic, at.partition, Offset::Offset(position))
            .map_err(|error| KafkaError::Refused {
                doing: format!(
                    "naming position {position} of {}/{}",
                    at.topic, at.partition
                ),
                detail: error.to_string(),
            })?;
    }
    Ok(list)
}

/// Partitions without offsets in the library's form.
pub(super) fn bare_list_of<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for at in partitions {
        check_name(&at.topic)?;
        list.add_partition(&at.topic, at.partition);
    }
    Ok(list)
}

/// The library's wrapper panics on a name that C cannot hold.
pub(super) fn check_name(topic: &str) -> Result<(), KafkaError> {
    if topic.contains('\0') {
        return Err(KafkaError::TopicName {
            name: topic.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::valid::{Delivery, StartAt};

    #[test]
    fn how_long_a_full_queue_is_left_alone_is_the_user_s_to_say() {
        let backoff = |properties: &[(&str, &str)]| {
            let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
            let cluster = Cluster::new(&KafkaConfig {
                brokers: "127.0.0.1:1".to_owned(),
                group: "klaxond".to_owned(),
                start_at: StartAt::Latest,
                delivery: Delivery::ExactlyOnce,
                properties: properties.iter().map(owned).collect(),
            });
            let config = cluster.unwrap().consumer_config("klaxond");
            config.get(FETCH_BACKOFF).map(str::to_owned)
        };
        assert_eq!(backoff(&[]).as_deref(), Some("5"));
        assert_eq!(backoff(&[(FETCH_BACKOFF, "70")]).as_deref(), Some("70"));
    }
}
