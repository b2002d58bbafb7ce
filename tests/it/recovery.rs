//! How long a start takes on a large state.

use std::time::{Duration, Instant};

use crate::broker::broker;
use crate::daemon::{Daemon, Site, wait_for};
use crate::input::T0;

const STREAMS: usize = 100;
const CLASSES: usize = 100;
const SLIDE_MS: i64 = 10_000;
/// A whole window, and a few more.
const PANES: usize = 34;
/// Records of each stream in each pane.
const RECORDS: usize = 3;
/// Far above what it takes, for a build without optimisation on a machine with other work.
const BOUND: Duration = Duration::from_secs(20);

const MODEL: &str = r#"
[models.m]
topics = ["TOPIC"]
fields = { probabilities = "/p", timestamp = "/ts" }
dimensions = { stream = "/s" }
lateness = "0s"
idle_after = "1h"
window = { length = "5m", slide = "10s" }
"#;

/// From sure to unsure, so that histograms have many bars.
fn distributions() -> Vec<String> {
    let distribution = |i: usize| {
        let first = 0.01 + 0.98 * i as f64 / 64.0;
        let rest = (1.0 - first) / (CLASSES - 1) as f64;
        let mut p = vec![rest; CLASSES];
        p[i] = first;
        format!("{p:?}")
    };
    (0..64).map(distribution).collect()
}

fn records() -> Vec<String> {
    let distributions = distributions();
    let mut records = Vec::new();
    for pane in 0..PANES {
        for i in 0..RECORDS {
            for stream in 0..STREAMS {
                let ts = T0 + pane as i64 * SLIDE_MS + i as i64 * 1_000;
                let p = &distributions[(pane * 7 + i * 31 + stream) % 64];
                records.push(format!("{{\"s\":\"s{stream}\",\"p\":{p},\"ts\":{ts}}}"));
            }
        }
    }
    records
}

/// From the process's start: until it holds the transactional id, and from there until it is ready.
fn start(site: &Site) -> (Daemon, Duration, Duration) {
    let began = Instant::now();
    let daemon = site.start();
    let mut held = began;
    let ready = wait_for("readiness", || {
        loop {
            let (code, body) = daemon.get("/readyz")?;
            if code == 200 && body.contains("\"active\"") {
                return Some(Instant::now());
            }
            // The last moment that is seen before the id is held.
            let after = ["the state to be restored", "the first publication"];
            if !after.iter().any(|phase| body.contains(phase)) {
                held = Instant::now();
            }
        }
    });
    (daemon, held - began, ready - held)
}

#[test]
fn a_window_of_many_streams_is_taken_up_in_a_moment() {
    let empty = Site::new("recovery-of-nothing", MODEL);
    empty.create_topics(2);
    let (daemon, held, beyond) = start(&empty);
    println!("empty: {held:?} to the transactional id, {beyond:?} beyond");
    daemon.kill();

    let site = Site::new("recovery", MODEL);
    site.create_topics(2);
    let records = records();
    let spread = records
        .iter()
        .enumerate()
        .map(|(i, record)| (i as i32 % 2, Some(record.as_bytes())));
    broker().write(&site.input(), spread);
    let daemon = site.start_active();
    wait_for("a state that is durable", || {
        let status = daemon.status()?;
        let is_read = |at: usize| {
            let position = status["partitions"][at]["position"].as_u64()?;
            Some(position == records.len() as u64 / 2)
        };
        let all_read = is_read(0)? && is_read(1)?;
        let committed = broker().positions(&site.name, &site.input(), 2);
        let half = Some(records.len() as i64 / 2);
        (all_read && committed == [half, half]).then_some(())
    });
    let (_, metrics) = daemon.get("/metrics").unwrap();
    for line in metrics
        .lines()
        .filter(|line| line.starts_with("klaxond_checkpoint"))
    {
        println!("{line}");
    }
    println!("{:?} MiB", daemon.memory_mib());
    daemon.kill();

    let (daemon, held, beyond) = start(&site);
    println!("{STREAMS} streams: {held:?} to the transactional id, {beyond:?} beyond");
    assert!(site.log().contains("going on where it was"));
    assert!(beyond < BOUND, "{beyond:?}");
    daemon.stop();
}
