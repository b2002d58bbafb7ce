//! Any bytes as a checkpoint, and then some records.
//!
//! Input: `model u8 │ length u8 │ records, 4 bytes each │ checkpoint`. The records go through two
//! engines: the one that was restored, and one restored from its checkpoint. They say the same.

#![no_main]

use std::sync::LazyLock;

use klaxond::config;
use klaxond::decode::{NoHeaders, Record};
use klaxond::engine::output::Output;
use klaxond::engine::spec::ModelSpec;
use klaxond::engine::{Engine, PartitionId, Published, TopicPartition};
use libfuzzer_sys::fuzz_target;

/// What the seeds were written at.
const START_MS: i64 = 1_795_000_000_000;

/// Windows by time and by count, with dimensions and without, learning and not.
static MODELS: LazyLock<Vec<ModelSpec>> = LazyLock::new(|| {
    let text = include_str!("engine.toml");
    let none = |_: &str| None;
    let no_file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let checked = config::parse(text, "engine.toml", &none, &no_file);
    checked.expect("the models are right").config.models
});

/// An engine with one model and its partitions.
fn engine(model: u8) -> (Engine, [PartitionId; 2]) {
    let spec = &MODELS[usize::from(model) % MODELS.len()];
    let published = Published {
        group: "g".to_owned(),
        windows: true,
        dead_letters: true,
        reviews: true,
    };
    let mut engine = Engine::new(vec![spec.clone()], Some(published));
    let partitions = [0, 1].map(|partition| {
        engine.add_partition(TopicPartition {
            topic: "t".to_owned(),
            partition,
        })
    });
    (engine, partitions)
}

/// A record: seconds since the one before, seconds late, probability of class 0, and the rest.
fn hand_in(engine: &mut Engine, partitions: [PartitionId; 2], records: &[[u8; 4]]) -> Vec<Output> {
    let mut now_ms = START_MS;
    for &[seconds, late, percent, how] in records {
        now_ms += i64::from(seconds) * 1_000;
        let time_ms = now_ms - i64::from(late) * 1_000;
        let p = f64::from(percent) / 200.0;
        let version = how & 3;
        let payload = format!(r#"{{"p":[{p},{}],"t":{time_ms},"v":"{version}"}}"#, 1.0 - p);
        let partition = partitions[usize::from(how >> 7)];
        let record = Record {
            payload: Some(payload.as_bytes()),
            timestamp_ms: None,
            headers: &NoHeaders,
        };
        let offset = engine.position(partition).unwrap_or_default();
        engine.record(partition, offset, &record, Some(now_ms));
        if how & 4 != 0 {
            engine.step(now_ms);
        }
        if how & 8 != 0 {
            engine.at_end(partition, now_ms);
        }
    }
    engine.step(now_ms + 60_000);
    engine.finish();
    engine.take_outputs()
}

fuzz_target!(|data: &[u8]| {
    let [model, length, rest @ ..] = data else {
        return;
    };
    let Some((records, checkpoint)) = rest.split_at_checked(usize::from(*length) * 4) else {
        return;
    };
    let (records, _) = records.as_chunks();

    let (mut first, partitions) = engine(*model);
    if first.restore(checkpoint).is_err() {
        return;
    }
    // What ended because it no longer fits is said once.
    first.take_outputs();
    let written = first.checkpoint();

    let (mut second, _) = engine(*model);
    let notes = second
        .restore(&written)
        .expect("an engine reads what it writes");
    assert_eq!(notes, Vec::<String>::new());
    assert_eq!(second.take_outputs(), Vec::new());
    assert_eq!(second.checkpoint(), written);

    let said = hand_in(&mut first, partitions, records);
    assert_eq!(hand_in(&mut second, partitions, records), said);
    assert_eq!(first.checkpoint(), second.checkpoint());
});
