//! The bare consumer: librdkafka's batches from one queue, and nothing done with them.

use std::ffi::CString;
use std::ptr;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::process::{self, PARTITIONS};

/// What a reader took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Took {
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub bytes: u64,
    /// Resident, at most.
    pub peak_mb: f64,
}

const BATCH: usize = 1_000;

/// Reads so many records and prints [`Took`].
pub fn run(brokers: &str, topic: &str, records: u64) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.queue.backoff.ms", "5")
        .create()
        .unwrap();
    // Connected, before the clock starts.
    consumer
        .fetch_metadata(Some(topic), Duration::from_secs(10))
        .unwrap();
    let (cpu, began) = (process::cpu_seconds(std::process::id()), Instant::now());
    let client = consumer.client().native_ptr();
    let name = CString::new(topic).unwrap();
    let mut list = TopicPartitionList::new();
    // SAFETY: the client outlives the queues; each partition's queue is let go of once.
    let queue = unsafe { native::rd_kafka_queue_new(client) };
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
        // SAFETY: as above.
        unsafe {
            let own = native::rd_kafka_queue_get_partition(client, name.as_ptr(), partition);
            native::rd_kafka_queue_forward(own, queue);
            native::rd_kafka_queue_destroy(own);
        }
    }
    consumer.assign(&list).unwrap();
    let (mut seen, mut bytes) = (0, 0);
    let mut batch = [ptr::null_mut(); BATCH];
    while seen < records {
        // SAFETY: `batch` has room for so many; each message is let go of once.
        unsafe {
            let mut given =
                native::rd_kafka_consume_batch_queue(queue, 0, batch.as_mut_ptr(), BATCH);
            if given == 0 {
                given = native::rd_kafka_consume_batch_queue(queue, 100, batch.as_mut_ptr(), 1);
            }
            for &message in &batch[..usize::try_from(given).unwrap()] {
                seen += 1;
                bytes += (*message).len as u64;
                native::rd_kafka_message_destroy(message);
            }
        }
        while consumer.poll(Duration::ZERO).is_some() {}
    }
    let took = Took {
        seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: process::cpu_seconds(std::process::id()) - cpu,
        bytes,
        peak_mb: process::memory_mb(std::process::id(), "VmHWM"),
    };
    println!("{}", serde_json::to_string(&took).unwrap());
    // SAFETY: not used any more.
    unsafe { native::rd_kafka_queue_destroy(queue) };
}
