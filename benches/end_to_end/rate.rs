//! How fast a topic is read, and what it costs.

use std::process::Command;
use std::time::Instant;

use super::bare::Took;
use super::process::{self, PARTITIONS, median};
use super::reader::Reader;
use super::traffic;
use crate::broker::broker;
use crate::daemon::Site;

const RUNS: usize = 5;
/// The broker's compiler has work to do at first, on the same cores.
const WARM_UPS: usize = 6;

const MODEL: &str = r#"
[models.m]
topics = ["TOPIC"]
fields = { probabilities = "/p", timestamp = "/ts" }
dimensions = { stream = "/stream" }
lateness = "5s"
window = { length = "5m", slide = "10s" }

[[models.m.alerts]]
name = "uncertain"
measure = "entropy"
above = 20.0
"#;

pub fn run() {
    println!(
        "\nreading a topic of {PARTITIONS} partitions, JSON, medians of {RUNS} runs in turn\n\n\
         |    K | bytes |        | records/s |  GB/s | CPU µs a record |\n\
         | ---: | ----: | ------ | --------: | ----: | --------------: |"
    );
    for (classes, records) in [(10, 8_000_000), (100, 1_600_000), (1_000, 200_000)] {
        compare(classes, records);
    }
}

fn compare(classes: usize, records: u64) {
    let site = filled("rate", classes, records);
    let total = records + PARTITIONS as u64;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for run in 0..WARM_UPS {
        run_bare(&site, total);
        run_klaxond(&site, &format!("warm-up-{run}"), |_| {});
    }
    for run in 0..RUNS {
        bare.push(run_bare(&site, total));
        ours.push(run_klaxond(&site, &run.to_string(), |_| {}));
    }
    let bytes = bare[0].bytes;
    let of = |runs: &[Took], value: fn(&Took) -> f64| median(runs.iter().map(value).collect());
    let line = |name: &str, runs: &[Took]| {
        let (seconds, cpu) = (of(runs, |t| t.seconds), of(runs, |t| t.cpu_seconds));
        println!(
            "| {classes:4} | {:5} | {name:6} | {:9.0} | {:5.2} | {:15.2} |",
            bytes / records,
            records as f64 / seconds,
            bytes as f64 / 1e9 / seconds,
            cpu * 1e6 / records as f64,
        );
        (seconds, cpu)
    };
    let (bare_seconds, bare_cpu) = line("bare", &bare);
    let (our_seconds, our_cpu) = line("ours", &ours);
    println!(
        "| {classes:4} |       | ratio  | {:9.2} |       | {:15.2} |",
        bare_seconds / our_seconds,
        our_cpu / bare_cpu,
    );
}

/// A topic with so many records, and what ends it.
pub fn filled(part: &str, classes: usize, records: u64) -> Site {
    let site = Site::new(&format!("{part}-{classes}"), MODEL);
    site.create_topics(PARTITIONS);
    traffic::fill(&site.brokers, &site.input(), PARTITIONS, classes, records);
    site
}

pub fn run_bare(site: &Site, records: u64) -> Took {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["bare", &site.brokers, &site.input(), &records.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Lets a new instance read the topic, with what `adjust` makes of its configuration.
pub fn run_klaxond(input: &Site, name: &str, adjust: impl FnOnce(&Site)) -> Took {
    let site = Site::new(&format!("{}-{name}", input.name), "");
    broker().create_topics(&[
        (&site.topic("alerts"), 1),
        (&site.topic("windows"), 1),
        (&site.topic("dead-letter"), 1),
    ]);
    site.configure(&MODEL.replace("TOPIC", &input.input()));
    adjust(&site);
    let daemon = site.start_active();
    let (cpu, began) = (process::cpu_seconds(daemon.id()), Instant::now());
    let letters = Reader::new(&site.brokers, &site.topic("dead-letter"));
    for _ in 0..PARTITIONS {
        letters.next();
    }
    let took = Took {
        seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: process::cpu_seconds(daemon.id()) - cpu,
        bytes: 0,
        peak_mb: process::memory_mb(daemon.id(), "VmHWM"),
    };
    daemon.kill();
    took
}
