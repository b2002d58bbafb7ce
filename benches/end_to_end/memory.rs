//! Resident memory, by streams and classes, with windows of 5 m every 10 s that are filled.

use super::process;
use super::traffic::{T0, Writer, distribution, record};
use crate::broker::broker;
use crate::daemon::{Site, wait_for};

const MODEL: &str = r#"
[models.m]
topics = ["TOPIC"]
fields = { probabilities = "/p", timestamp = "/ts" }
dimensions = { stream = "/stream" }
lateness = "0s"
window = { length = "5m", slide = "10s" }
"#;

/// A length and a bit.
const PANES: i64 = 33;

pub fn run() {
    println!("\nresident memory, windows of 5 m / 10 s filled\n");
    println!(
        "| streams |    K | at most | checkpoint |\n| ------: | ---: | ------: | ---------: |"
    );
    for (streams, classes) in [(0, 0), (100, 10), (100, 100), (1_000, 100)] {
        measure(streams, classes);
    }
}

fn measure(streams: usize, classes: usize) {
    let site = Site::new(&format!("memory-{streams}-{classes}"), MODEL);
    broker().create_topics(&[
        (&site.input(), 1),
        (&site.topic("alerts"), 1),
        (&site.topic("windows"), 1),
        (&site.topic("dead-letter"), 1),
    ]);
    let daemon = site.start_active();
    let writer = Writer::new(&site.brokers, &site.input());
    let mut rng = fastrand::Rng::with_seed(1948);
    for pane in 0..if streams == 0 { 0 } else { PANES } {
        for i in 0..2 * streams {
            let time_ms = T0 + pane * 10_000 + (i * 9_000 / (2 * streams)) as i64;
            let p = distribution(&mut rng, classes);
            writer.write(0, &record(&p, time_ms, i % streams));
        }
    }
    writer.write(0, b"the end");
    writer.flush();
    let letters = site.topic("dead-letter");
    wait_for("the end", || {
        (broker().read(&letters).len() == 1).then_some(())
    });
    let (at_most, bytes) = (
        process::memory_mb(daemon.id(), "VmHWM"),
        metric(
            &daemon.get("/metrics").unwrap().1,
            "klaxond_checkpoint_size_bytes ",
        ),
    );
    println!(
        "| {streams:7} | {classes:4} | {at_most:4.0} MB | {:7.2} MB |",
        bytes / 1e6
    );
    daemon.stop();
}

fn metric(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().parse().unwrap()
}
