//! Any text as a configuration file. A refused one says where; an accepted one is accepted again,
//! and can run: its models take records without a panic.

#![no_main]

use std::io;
use std::path::Path;

use klaxond::config::{self, Checked, Problem, Problems};
use klaxond::decode::{NoHeaders, Record};
use klaxond::engine::{Engine, Published, TopicPartition};
use libfuzzer_sys::fuzz_target;

const NOW_MS: i64 = 1_795_000_000_000;

fn parse(text: &str) -> Result<Checked, Problems> {
    let env = |name: &str| (name == "NAME").then(|| "value".to_owned());
    let file = |path: &Path| match path.to_str() {
        Some("secret") => Ok("content\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    config::parse(text, "fuzz.toml", &env, &file)
}

fn check(text: &str, problem: &Problem) {
    assert!(!problem.message.is_empty());
    let lines = text.matches('\n').count() + 1;
    if let Some(line) = problem.line {
        assert!((1..=lines).contains(&line), "{problem}");
    } else {
        assert!(problem.path.is_empty(), "no line: {problem}");
    }
    assert!(problem.to_string().starts_with("fuzz.toml"));
}

/// A minute of records through every model.
fn run(checked: Checked) {
    let published = Published {
        group: checked.config.kafka.group.clone(),
        windows: true,
        dead_letters: true,
        reviews: true,
    };
    let models = checked.config.models;
    let topics: Vec<String> = models.iter().flat_map(|m| m.topics.clone()).collect();
    let mut engine = Engine::new(models, Some(published));
    for topic in topics {
        let id = engine.add_partition(TopicPartition {
            topic,
            partition: 0,
        });
        for second in 0..60 {
            let now_ms = NOW_MS + second * 1_000;
            let record = Record {
                payload: Some(br#"{"probabilities":[0.25,0.75]}"#),
                timestamp_ms: Some(now_ms - second % 7 * 3_000),
                headers: &NoHeaders,
            };
            engine.record(id, second, &record, Some(now_ms));
            engine.step(now_ms);
        }
        engine.at_end(id, NOW_MS + 60_000);
    }
    engine.step(NOW_MS + 120_000);
    engine.finish();
    engine.take_outputs();
    let _ = engine.watermarks();
    let _ = engine.ahead();
    engine.checkpoint();
}

fuzz_target!(|text: &str| {
    match parse(text) {
        Err(Problems(problems)) => {
            assert!(!problems.is_empty(), "refused without a reason");
            problems.iter().for_each(|problem| check(text, problem));
            assert!(problems.is_sorted_by_key(|problem| problem.line));
        }
        Ok(checked) => {
            checked
                .warnings
                .iter()
                .for_each(|warning| check(text, warning));
            assert_eq!(parse(text).as_ref(), Ok(&checked));
            assert!(!checked.config.models.is_empty());
            run(checked);
        }
    }
});
