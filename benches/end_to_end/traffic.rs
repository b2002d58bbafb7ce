//! Records as a classifier writes them: softmax of random logits, numbers as Python prints them.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

/// 2026-11-20T10:00:00Z.
pub const T0: i64 = 1_795_168_800_000;

/// A softmax over `classes`, one of them likely.
pub fn distribution(rng: &mut fastrand::Rng, classes: usize) -> Vec<f64> {
    let mut p: Vec<f64> = (0..classes).map(|_| (2.0 * rng.f64()).exp()).collect();
    p[rng.usize(0..classes)] *= 2.0 * classes as f64;
    let sum: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= sum);
    p
}

pub fn record(p: &[f64], time_ms: i64, stream: usize) -> Vec<u8> {
    let numbers: Vec<String> = p.iter().map(f64::to_string).collect();
    let numbers = numbers.join(", ");
    format!(r#"{{"id": "r-{time_ms}", "p": [{numbers}], "ts": {time_ms}, "stream": "s{stream}"}}"#)
        .into_bytes()
}

/// Distinct distributions of a topic; they are written again and again, each time with later times.
const POOL: usize = 2_000;
/// Event time of all its records.
const SPAN_US: u64 = 1_200_000_000;

/// Writes so many records of three streams. The last record of each partition is one that is refused.
pub fn fill(brokers: &str, topic: &str, partitions: i32, classes: usize, records: u64) {
    let mut rng = fastrand::Rng::with_seed(1948);
    let pool: Vec<Vec<f64>> = (0..POOL).map(|_| distribution(&mut rng, classes)).collect();
    let writer = Writer::new(brokers, topic);
    for i in 0..records {
        let time_ms = T0 + (i * SPAN_US / records / 1_000) as i64;
        let payload = record(&pool[i as usize % POOL], time_ms, i as usize % 3);
        writer.write((i % partitions as u64) as i32, &payload);
    }
    for partition in 0..partitions {
        writer.write(partition, b"the end");
    }
    writer.flush();
}

/// There is room for another record within this, or the broker is gone.
const STUCK: Duration = Duration::from_secs(60);

pub struct Writer {
    producer: BaseProducer,
    topic: String,
}

impl Writer {
    pub fn new(brokers: &str, topic: &str) -> Self {
        Self::with_linger(brokers, topic, "20")
    }

    /// One that sends each record at once.
    pub fn prompt(brokers: &str, topic: &str) -> Self {
        Self::with_linger(brokers, topic, "0")
    }

    fn with_linger(brokers: &str, topic: &str, linger_ms: &str) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("linger.ms", linger_ms)
            .set("batch.size", "1000000")
            .set("queue.buffering.max.kbytes", "400000")
            .create()
            .unwrap();
        Self {
            producer,
            topic: topic.to_owned(),
        }
    }

    pub fn write(&self, partition: i32, payload: &[u8]) {
        let mut record: BaseRecord<'_, (), [u8]> = BaseRecord::to(&self.topic)
            .partition(partition)
            .payload(payload);
        let mut full_since = None;
        while let Err((error, again)) = self.producer.send(record) {
            let full_since = full_since.get_or_insert_with(Instant::now);
            assert!(
                full_since.elapsed() < STUCK,
                "the broker takes nothing: {error}"
            );
            self.producer.poll(Duration::from_millis(5));
            record = again;
        }
        self.producer.poll(Duration::ZERO);
    }

    pub fn flush(&self) {
        self.producer.flush(Duration::from_secs(120)).unwrap();
    }
}
