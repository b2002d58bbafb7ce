//! What is produced, and what an instance that nothing happens to makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::baseline::{Baseline, Source};
use crate::config::{self, Config};
use crate::decode::{NoHeaders, Record};
use crate::engine::outbox::Publication;
use crate::engine::spec::{BaselineSpec, ModelSpec};
use crate::engine::{Engine, Published, TopicPartition};
use crate::kafka::Message;
use crate::observation::Millis;

pub const TOPIC: &str = "predictions";
pub const ALERTS: &str = "alerts";
const WINDOWS: &str = "windows";
/// Topics of copies of records.
pub const DEAD_LETTERS: &str = "dead-letters";
pub const REVIEW: &str = "review";

/// 2026-11-20T10:00:00Z: the first record's time.
const T0: Millis = 1_795_168_800_000;
/// The wall clock's time when a run begins: after all records.
pub const WALL_MS: Millis = T0 + 86_400_000;

const EVERY_MS: Millis = 100;
const ACT: usize = 100;

/// Two models over one topic, so that their watermarks differ; each record counts for both.
const CONFIG: &str = r#"
[kafka]
brokers = "simulated"
group = "g"
start_at = "earliest"

[output]
alerts = "alerts"
windows = "windows"
dead_letter = "dead-letters"
review = "review"

[store]
path = "simulated"

[models.near]
topics = ["predictions"]
fields = { probabilities = "/p", timestamp = "/ts" }
classes = ["no", "yes"]
dimensions = { s = "/s" }
lateness = "0s"
idle_after = "24h"
window = { length = "4s", slide = "2s" }
baseline = "near"

# Of a period much longer than the windows: what has been spent of it is to be known again after a
# rebuild.
[models.near.review]
above = 0.9995
rate = "15 per 20s"

[[models.near.alerts]]
name = "uncertain"
measure = "entropy"
above = 0.7
clear = 0.6
min_records = 5
severity = "critical"

[[models.near.alerts]]
name = "drifted"
measure = "kl"
above = 0.05
min_records = 5
for = "4s"
keep_firing = "2s"

[models.far]
topics = ["predictions"]
fields = { probabilities = "/p", timestamp = "/ts" }
classes = ["no", "yes"]
lateness = "500ms"
idle_after = "24h"
window = { length = "9s", slide = "3s" }

[[models.far.alerts]]
name = "unsure"
measure = "confidence"
below = 0.8
min_records = 5
"#;

/// Where the disk is kept whatever happens, evidence is too.
const BUDGET: &str = r#"
[[models.near.alerts]]
name = "changed"
false_alarms = "1 per 20 windows"
"#;

/// A record on its way.
#[derive(Clone, Debug)]
pub struct Sent {
    pub payload: Vec<u8>,
    /// Its event time, which it is found by.
    pub time_ms: Millis,
    /// When it was written, as it is read: when it arrives by the wall clock, or a day before.
    pub written_ms: Millis,
    /// Since the beginning of the run.
    pub arrives: Duration,
}

pub struct Scene {
    pub config: Config,
    pub baselines: BTreeMap<String, Baseline>,
    /// By partition.
    pub input: Vec<Vec<Sent>>,
    pub expected: Expected,
}

/// What readers of the output topics are to find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Payloads by topic and key, in their order.
    pub events: BTreeMap<(String, String), Vec<String>>,
    /// Dead letters and review records: topic, model, partition and offset.
    pub copies: BTreeSet<[String; 4]>,
}

impl Expected {
    pub fn len(&self) -> usize {
        self.events.values().map(Vec::len).sum::<usize>() + self.copies.len()
    }

    /// Takes a message in, as the next one that is read. False where it was there before.
    pub fn add(&mut self, message: &Message) -> bool {
        let text = |bytes: &Option<Vec<u8>>| {
            String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
        };
        if [DEAD_LETTERS, REVIEW].contains(&message.topic.as_str()) {
            let header = |name: &str| {
                let found = message.headers.iter().find(|(n, _)| n == name);
                found.map(|(_, value)| text(value)).unwrap_or_default()
            };
            return self.copies.insert([
                message.topic.clone(),
                header("klaxond-model"),
                header("klaxond-partition"),
                header("klaxond-offset"),
            ]);
        }
        let key = (message.topic.clone(), text(&message.key));
        let payloads = self.events.entry(key).or_default();
        let payload = text(&message.payload);
        let is_new = !payloads.contains(&payload);
        payloads.push(payload);
        is_new
    }

    fn add_publication(&mut self, publication: &Publication) {
        match publication {
            Publication::Alert { key, payload, .. } => {
                let key = (ALERTS.to_owned(), key.clone());
                self.events.entry(key).or_default().push(payload.clone());
            }
            Publication::Window { key, payload } => {
                let key = (WINDOWS.to_owned(), key.clone());
                self.events.entry(key).or_default().push(payload.clone());
            }
            Publication::DeadLetter {
                model,
                partition,
                offset,
                ..
            } => self.add_copy(DEAD_LETTERS, model, *partition, *offset),
            Publication::Review {
                model,
                partition,
                offset,
                ..
            } => self.add_copy(REVIEW, model, *partition, *offset),
        }
    }

    fn add_copy(&mut self, topic: &str, model: &str, partition: i32, offset: i64) {
        let (topic, model) = (topic.to_owned(), model.to_owned());
        let copy = [topic, model, partition.to_string(), offset.to_string()];
        self.copies.insert(copy);
    }

    /// What is there instead of what was expected; none where it is the same.
    pub fn differs(&self, found: &Self) -> Option<String> {
        let empty = Vec::new();
        for key in self.events.keys().chain(found.events.keys()) {
            let expected = self.events.get(key).unwrap_or(&empty);
            let there = found.events.get(key).unwrap_or(&empty);
            let at =
                (0..expected.len().max(there.len())).find(|&i| expected.get(i) != there.get(i));
            if let Some(at) = at {
                return Some(format!(
                    "{key:?}, event {at} of {}:\nexpected {:?}\nfound    {:?}",
                    expected.len(),
                    expected.get(at),
                    there.get(at)
                ));
            }
        }
        let copies: Vec<_> = self.copies.symmetric_difference(&found.copies).collect();
        (!copies.is_empty()).then(|| format!("copies of records {copies:?}"))
    }
}

impl Scene {
    /// One in so many records is unusable; `keeps_disks` where no disk is ever lost or set back.
    pub fn new(rng: &mut fastrand::Rng, unusable: u8, keeps_disks: bool) -> Self {
        let none = |_: &str| None;
        let no_files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let budget = if keeps_disks { BUDGET } else { "" };
        let text = format!("{CONFIG}{budget}");
        let checked = config::parse(&text, "scene", &none, &no_files).unwrap();
        let config = checked.config;
        let input = input(rng, unusable);
        let baselines = baselines(&config, rng);
        let expected = expected(&config, &baselines, &input);
        Self {
            config,
            baselines,
            input,
            expected,
        }
    }
}

fn record(rng: &mut fastrand::Rng, i: usize, unsure: bool) -> (Millis, Vec<u8>) {
    let time_ms = T0 + i as Millis * EVERY_MS;
    // One in so many is a toss-up, whatever the others are.
    let p = if rng.u8(0..15) == 0 {
        0.49 + 0.02 * rng.f64()
    } else if unsure {
        0.3 + 0.3 * rng.f64()
    } else {
        0.02 + 0.1 * rng.f64()
    };
    let stream = if i.is_multiple_of(2) { "a" } else { "b" };
    let text = format!(r#"{{"p":[{},{p}],"ts":{time_ms},"s":"{stream}"}}"#, 1.0 - p);
    (time_ms, text.into_bytes())
}

/// Sure, then unsure and with other classes, then as before; now and then something unusable.
fn input(rng: &mut fastrand::Rng, unusable: u8) -> Vec<Vec<Sent>> {
    let mut partitions = vec![Vec::new(); rng.usize(1..=3)];
    // All at once, or one by one over a minute or two.
    let spacing = if rng.bool() {
        Duration::ZERO
    } else {
        Duration::from_millis(rng.u64(100..400))
    };
    let is_live = rng.bool();
    for i in 0..3 * ACT {
        let (time_ms, mut payload) = record(rng, i, (ACT..2 * ACT).contains(&i));
        if rng.u8(0..unusable) == 0 {
            payload = format!(r#"{{"p":[2,3],"ts":{time_ms}}}"#).into_bytes();
        }
        let to = rng.usize(0..partitions.len());
        let arrives = spacing * i as u32;
        let written_ms = if is_live {
            WALL_MS + arrives.as_millis() as Millis
        } else {
            time_ms
        };
        partitions[to].push(Sent {
            payload,
            time_ms,
            written_ms,
            arrives,
        });
    }
    partitions
}

fn baselines(config: &Config, rng: &mut fastrand::Rng) -> BTreeMap<String, Baseline> {
    let spec = &config.models.iter().find(|m| m.name == "near").unwrap();
    let teacher = ModelSpec {
        baseline: BaselineSpec::Learn {
            duration_ms: Millis::MAX,
        },
        rules: Vec::new(),
        review: None,
        ..(**spec).clone()
    };
    let mut engine = Engine::new(vec![teacher], None);
    let records: Vec<Sent> = (0..2 * ACT)
        .map(|i| {
            let (time_ms, payload) = record(rng, i, false);
            Sent {
                payload,
                time_ms,
                written_ms: time_ms,
                arrives: Duration::ZERO,
            }
        })
        .collect();
    feed(&mut engine, &[records]);
    engine.finish();
    let learnt = engine.learnt("near", "near", Source::Imported, T0);
    BTreeMap::from([("near".to_owned(), learnt.unwrap())])
}

fn expected(
    config: &Config,
    baselines: &BTreeMap<String, Baseline>,
    input: &[Vec<Sent>],
) -> Expected {
    let published = Published {
        group: config.kafka.group.clone(),
        windows: true,
        dead_letters: true,
        reviews: true,
    };
    let mut engine = Engine::new(config.models.clone(), Some(published));
    for (name, baseline) in baselines {
        engine.set_baseline(name, Some(Arc::new(baseline.clone())));
    }
    feed(&mut engine, input);
    engine.take_outputs();
    let mut expected = Expected::default();
    for entry in engine.outbox().entries() {
        expected.add_publication(&entry.publication);
    }
    expected
}

/// In order of time, whatever the partition.
fn feed(engine: &mut Engine, input: &[Vec<Sent>]) {
    let mut all: Vec<(Millis, usize, usize)> = Vec::new();
    for (p, records) in input.iter().enumerate() {
        engine.add_partition(partition(p));
        all.extend(records.iter().enumerate().map(|(o, r)| (r.time_ms, p, o)));
    }
    all.sort_unstable();
    for (time_ms, p, offset) in all {
        let id = engine.add_partition(partition(p));
        let record = Record {
            payload: Some(&input[p][offset].payload),
            timestamp_ms: Some(time_ms),
            headers: &NoHeaders,
        };
        engine.record(id, offset as i64, &record, Some(WALL_MS));
        engine.step(WALL_MS);
    }
}

pub fn partition(p: usize) -> TopicPartition {
    TopicPartition {
        topic: TOPIC.to_owned(),
        partition: p as i32,
    }
}
