//! Apache Kafka, and a client of it that is not klaxond's own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use tempfile::TempDir;

use crate::daemon::{free_ports, wait_for};

pub struct Broker {
    pub address: String,
    /// Where alice has to say that her password is "secret".
    pub sasl_address: String,
    port: u16,
    data: TempDir,
    process: Process,
}

/// A running broker.
struct Process {
    // Its end of the pipe to the script is what keeps it alive.
    script: Child,
    java: String,
}

/// The broker of all tests.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(Broker::start)
}

/// A record as an independent reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: BTreeMap<String, String>,
}

impl Seen {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.payload.as_deref().unwrap()).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.payload.clone().unwrap()).unwrap()
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/broker")
}

impl Process {
    fn start(data: &TempDir, port: u16) -> Self {
        let mut script = Command::new(script())
            .arg("run")
            .arg(data.path().join("kafka"))
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut java = String::new();
        let output = script.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut java).unwrap();
        let java = java.trim().to_owned();
        Self { script, java }
    }
}

impl Broker {
    pub fn start() -> Self {
        let fetched = Command::new(script()).arg("fetch").status().unwrap();
        assert!(fetched.success(), "Apache Kafka cannot be fetched");
        let data = TempDir::new().unwrap();
        let port = free_ports(3);
        let broker = Self {
            address: format!("127.0.0.1:{port}"),
            sasl_address: format!("127.0.0.1:{}", port + 2),
            port,
            process: Process::start(&data, port),
            data,
        };
        broker.wait_until_up();
        broker
    }

    fn wait_until_up(&self) {
        wait_for("the broker", || {
            let consumer: BaseConsumer = self.client().create().unwrap();
            consumer.fetch_metadata(None, Duration::from_secs(1)).ok()
        });
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.process.java])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Kills it and starts it again on the same data.
    pub fn kill_and_restart(&mut self, pause: Duration) {
        self.signal("KILL");
        drop(self.process.script.stdin.take());
        self.process.script.wait().unwrap();
        std::thread::sleep(pause);
        self.process = Process::start(&self.data, self.port);
        self.wait_until_up();
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.address)
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        config
    }

    pub fn create_topics(&self, topics: &[(&str, i32)]) {
        assert!(self.try_create_topics(topics), "{topics:?}");
    }

    /// False where one is there already, or still.
    pub fn try_create_topics(&self, topics: &[(&str, i32)]) -> bool {
        let new = topics
            .iter()
            .map(|&(name, partitions)| NewTopic::new(name, partitions, TopicReplication::Fixed(1)));
        let new: Vec<NewTopic<'_>> = new.collect();
        let created = self
            .administer(async |admin, options| admin.create_topics(&new, options).await.unwrap());
        created.iter().all(Result::is_ok)
    }

    pub fn set_partitions(&self, topic: &str, partitions: usize) {
        let new = NewPartitions::new(topic, partitions);
        let created = self.administer(async |admin, options| {
            admin.create_partitions([&new], options).await.unwrap()
        });
        assert!(created.iter().all(Result::is_ok), "{created:?}");
    }

    /// A topic's only setting that is not the broker's.
    pub fn set_topic(&self, topic: &str, key: &str, value: &str) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(key, value);
        let changed = self.administer(async |admin, options| {
            admin.alter_configs([&change], options).await.unwrap()
        });
        assert!(changed.iter().all(Result::is_ok), "{changed:?}");
    }

    fn administer<T>(
        &self,
        ask: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> T,
    ) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let admin: AdminClient<_> = self.client().create().unwrap();
        let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(20)));
        runtime.block_on(ask(&admin, &options))
    }

    /// Writes records, each with its partition, in order.
    pub fn write<'a>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (i32, Option<&'a [u8]>)>,
    ) {
        let records = records
            .into_iter()
            .map(|(partition, payload)| (partition, payload, None));
        self.write_at(topic, records);
    }

    /// The same, with Kafka's timestamps, in milliseconds.
    pub fn write_at<'a>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (i32, Option<&'a [u8]>, Option<i64>)>,
    ) {
        let mut config = self.client();
        config
            .set("linger.ms", "5")
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "1000000");
        let producer: BaseProducer = config.create().unwrap();
        for (partition, payload, timestamp) in records {
            let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(topic)
                .partition(partition)
                .key("some-key")
                .headers(OwnedHeaders::new().insert(Header {
                    key: "trace",
                    value: Some("t-1"),
                }));
            record.payload = payload;
            record.timestamp = timestamp;
            while let Err((_, again)) = producer.send(record) {
                producer.poll(Duration::from_millis(10));
                record = again;
            }
        }
        producer.flush(Duration::from_secs(60)).unwrap();
    }

    /// Drops the records of a partition before an offset, as retention does.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
        let deleted = self
            .administer(async |admin, options| admin.delete_records(&list, options).await.unwrap());
        assert!(
            deleted
                .elements()
                .iter()
                .all(|element| element.error().is_ok())
        );
    }

    pub fn delete_topic(&self, topic: &str) {
        let deleted = self.administer(async |admin, options| {
            admin.delete_topics(&[topic], options).await.unwrap()
        });
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    }

    /// All committed records of a topic.
    pub fn read(&self, topic: &str) -> Vec<Seen> {
        let mut config = self.client();
        config
            .set("group.id", "an-independent-reader")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        let metadata = consumer
            .fetch_metadata(Some(topic), Duration::from_secs(10))
            .unwrap();
        let partitions = metadata.topics()[0].partitions().len();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition as i32, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut seen, mut ended) = (Vec::new(), 0);
        while ended < partitions {
            match consumer
                .poll(Duration::from_secs(10))
                .expect("the broker answers")
            {
                Ok(message) => seen.push(Seen {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: message.key().map(<[u8]>::to_vec),
                    payload: message.payload().map(<[u8]>::to_vec),
                    headers: message
                        .headers()
                        .into_iter()
                        .flat_map(|headers| headers.iter())
                        .map(|header| {
                            let value = header.value.unwrap_or_default();
                            (
                                header.key.to_owned(),
                                String::from_utf8_lossy(value).into_owned(),
                            )
                        })
                        .collect(),
                }),
                Err(rdkafka::error::KafkaError::PartitionEOF(_)) => ended += 1,
                Err(error) => panic!("{error}"),
            }
        }
        seen
    }

    /// Where the next record of a partition goes.
    pub fn end_offset(&self, topic: &str, partition: i32) -> i64 {
        self.ends(topic, partition, "read_uncommitted")
    }

    /// Whether a transaction is open that has written to the partition.
    pub fn has_open_transaction(&self, topic: &str, partition: i32) -> bool {
        self.ends(topic, partition, "read_committed") < self.end_offset(topic, partition)
    }

    fn ends(&self, topic: &str, partition: i32, isolation: &str) -> i64 {
        let mut config = self.client();
        config.set("isolation.level", isolation);
        let consumer: BaseConsumer = config.create().unwrap();
        let offsets = consumer.fetch_watermarks(topic, partition, Duration::from_secs(10));
        offsets.unwrap().1
    }

    /// The committed position of a group, by partition.
    pub fn positions(&self, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
        let mut config = self.client();
        config.set("group.id", group);
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition(topic, partition);
        }
        let list = consumer
            .committed_offsets(list, Duration::from_secs(10))
            .unwrap();
        let position =
            |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element
                .offset()
            {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
        list.elements().into_iter().map(position).collect()
    }
}
