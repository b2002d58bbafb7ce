//! A reader of one output topic, as klaxond's users have one: of committed records only.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const DEADLINE: Duration = Duration::from_secs(120);

pub struct Reader {
    consumer: BaseConsumer,
}

impl Reader {
    /// Of a topic with one partition, from its beginning.
    pub fn new(brokers: &str, topic: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "reader")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning)
            .unwrap();
        consumer.assign(&list).unwrap();
        Self { consumer }
    }

    /// Waits for the next record.
    pub fn next(&self) {
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until {
            if let Some(Ok(_)) = self.consumer.poll(Duration::from_millis(100)) {
                return;
            }
        }
        panic!("no record has come");
    }
}
