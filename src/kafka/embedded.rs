//! A broker inside the process, for `klaxond demo` and for tests: librdkafka's mock cluster.
//!
//! It speaks Kafka over TCP on 127.0.0.1, on a port of its own choosing (it takes no wish), to this
//! process and to others. What it cannot do: keep more than 5 MiB a partition (the oldest is dropped),
//! hide records of open transactions from readers, keep offsets that a transaction commits, fence.
//! So the demo delivers at least once, and exactly-once is tested on a real broker.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};

use super::error::KafkaError;

/// Ends when dropped.
pub struct Embedded {
    bootstrap: String,
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    CreateTopic {
        name: String,
        partitions: i32,
        done: Sender<Result<(), KafkaError>>,
    },
    /// Refuses connections, or takes them again.
    Reachable(bool),
}

impl Embedded {
    /// One broker with these topics.
    ///
    /// # Errors
    /// No port, no thread, or a topic that is there twice.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, KafkaError> {
        let (orders, receiver) = mpsc::channel();
        let (started, starting) = mpsc::channel();
        // The mock cluster stays on the thread that made it.
        let thread = thread::Builder::new()
            .name("embedded-broker".to_owned())
            .spawn(move || match MockCluster::new(1) {
                Ok(cluster) => {
                    // The one who waits for it is `start`.
                    let _ = started.send(Ok(cluster.bootstrap_servers()));
                    obey(&cluster, &receiver);
                }
                Err(error) => {
                    let _ = started.send(Err(refused("starting the embedded broker", &error)));
                }
            })
            .map_err(|error| KafkaError::Client {
                detail: format!("no thread for the embedded broker: {error}"),
            })?;
        let bootstrap = starting.recv().map_err(|_| ended())??;
        let embedded = Self {
            bootstrap,
            orders: Some(orders),
            thread: Some(thread),
        };
        for &(topic, partitions) in topics {
            embedded.create_topic(topic, partitions)?;
        }
        Ok(embedded)
    }

    /// The address for `kafka.brokers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// # Errors
    /// The topic is there already.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), KafkaError> {
        let (done, answer) = mpsc::channel();
        let name = name.to_owned();
        self.order(Order::CreateTopic {
            name,
            partitions,
            done,
        });
        answer.recv().map_err(|_| ended())?
    }

    /// Cuts all connections and takes no new ones, or takes them again.
    pub fn set_reachable(&self, reachable: bool) {
        self.order(Order::Reachable(reachable));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // A broker that has ended shows in what is asked of it.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the embedded broker has panicked");
        }
    }
}

/// Writes to topics of a broker on this machine, as a model would.
pub struct Traffic {
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Traffic {
    /// # Errors
    /// No client can be made.
    pub fn to(broker: &Embedded) -> Result<Self, KafkaError> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", broker.bootstrap())
            .set("linger.ms", "5");
        let created = config.create();
        let producer = created.map_err(|error| refused("making a producer", &error))?;
        Ok(Self { producer })
    }

    /// Hands a record over; it is on its way when this returns.
    ///
    /// # Errors
    /// The client's queue is full.
    pub fn send(&self, topic: &str, partition: i32, value: &[u8]) -> Result<(), KafkaError> {
        let record: BaseRecord<'_, (), [u8]> =
            BaseRecord::to(topic).partition(partition).payload(value);
        let sent = self.producer.send(record);
        sent.map_err(|(error, _)| refused("writing a record", &error))
    }
}

fn obey<C: rdkafka::ClientContext>(cluster: &MockCluster<'_, C>, orders: &Receiver<Order>) {
    const ALL_BROKERS: i32 = -1;
    while let Ok(order) = orders.recv() {
        match order {
            Order::CreateTopic {
                name,
                partitions,
                done,
            } => {
                let created = cluster.create_topic(&name, partitions, 1);
                let doing = format!("creating topic {name}");
                let _ = done.send(created.map_err(|error| refused(&doing, &error)));
            }
            Order::Reachable(reachable) => {
                let done = if reachable {
                    cluster.broker_up(ALL_BROKERS)
                } else {
                    cluster.broker_down(ALL_BROKERS)
                };
                if let Err(error) = done {
                    tracing::error!(%error, reachable, "the embedded broker does not obey");
                }
            }
        }
    }
}

fn refused(doing: &str, error: &rdkafka::error::KafkaError) -> KafkaError {
    KafkaError::Refused {
        doing: doing.to_owned(),
        detail: error.to_string(),
    }
}

fn ended() -> KafkaError {
    KafkaError::Client {
        detail: "the embedded broker has ended".to_owned(),
    }
}
