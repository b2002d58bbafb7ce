//! A backlog far larger than memory may be, while its outputs cannot be published: reading stops at
//! its limits, and goes on afterwards with nothing lost.

use std::thread;
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::daemon::{Daemon, Site, wait_for};
use crate::input::record;

const MODEL: &str = r#"
[limits]
outbox_bytes = 16777216
fetch_queue_kbytes = 4096
[models.m]
topics = ["TOPIC"]
fields = { probabilities = "/p", timestamp = "/ts" }
lateness = "0s"
idle_after = "1h"
window = { length = "10s", slide = "10s" }
"#;

/// Each is followed by one that is refused.
const RECORDS: usize = 2_500;
/// Of a refused record; with it the backlog is 250 MB.
const BYTES: usize = 100_000;

/// What the limits allow, in MiB: refused records that wait are held, are in the messages of the step
/// that is out, and once more in the producer's queue; fetched ones are in the consumer's queue, and
/// as many on their way there. The rest is the program itself, batches that are being sent, and memory
/// that the allocator keeps for a while.
const BOUND_MIB: u64 = 3 * 16 + 2 * 4 + 80;

fn position(daemon: &Daemon) -> Option<u64> {
    daemon.status()?["partitions"][0]["position"].as_u64()
}

/// The position that reading has stopped at.
fn standstill(daemon: &Daemon) -> u64 {
    wait_for("reading to stop", || {
        let before = position(daemon)?;
        thread::sleep(Duration::from_secs(3));
        (before > 0 && position(daemon)? == before).then_some(before)
    })
}

fn wait_for_problem(daemon: &Daemon, words: &str) {
    wait_for(words, || {
        let (_, body) = daemon.get("/readyz")?;
        body.contains(words).then_some(())
    });
}

#[test]
fn a_backlog_that_cannot_be_published_waits_in_kafka_and_not_in_memory() {
    let broker = Broker::start();
    let site = Site::on(&broker.address, "pressure", MODEL);
    broker.create_topics(&[
        (&site.input(), 1),
        (&site.topic("alerts"), 1),
        (&site.topic("windows"), 1),
        (&site.topic("dead-letter"), 1),
    ]);
    // No window fits: a topic that cannot be written.
    broker.set_topic(&site.topic("windows"), "max.message.bytes", "100");
    let garbage = vec![b'{'; BYTES];
    let good: Vec<String> = (0..RECORDS).map(|i| record(i, 100, &[0.5, 0.5])).collect();
    let pairs = good
        .iter()
        .flat_map(|record| [(0, Some(record.as_bytes())), (0, Some(&garbage[..]))]);
    broker.write(&site.input(), pairs);
    let all = 2 * RECORDS as u64;

    let daemon = site.start_active();
    wait_for_problem(&daemon, "raise max.message.bytes of the topic");
    let stopped_at = standstill(&daemon);
    assert!(stopped_at < all / 2, "{stopped_at}: all has been read");
    let (now, most) = daemon.memory_mib();
    println!("stopped at {stopped_at} of {all}; resident {now} MiB, at most {most}");
    assert!(most < BOUND_MIB, "{most} MiB");

    broker.set_topic(&site.topic("windows"), "max.message.bytes", "1048588");
    wait_for("publication", || {
        (position(&daemon)? > stopped_at + 200).then_some(())
    });
    // In the midst of it the broker is frozen.
    broker.signal("STOP");
    let frozen_at = standstill(&daemon);
    let (now, most) = daemon.memory_mib();
    println!("frozen at {frozen_at} of {all}; resident {now} MiB, at most {most}");
    broker.signal("CONT");

    wait_for("the rest", || (position(&daemon)? == all).then_some(()));
    let letters = wait_for("the dead letters", || {
        let seen = broker.read(&site.topic("dead-letter"));
        (seen.len() >= RECORDS).then_some(seen)
    });
    let offsets = letters
        .iter()
        .map(|letter| letter.headers["klaxond-offset"].parse::<usize>().unwrap());
    assert!(
        offsets.eq((0..RECORDS).map(|i| 2 * i + 1)),
        "each once, in order"
    );
    assert!(
        letters
            .iter()
            .all(|letter| letter.payload.as_deref() == Some(&garbage[..]))
    );
    // The newest pane stays open.
    let panes = RECORDS / 100 - 1;
    let windows = wait_for("the windows", || {
        let seen = broker.read(&site.topic("windows"));
        (seen.len() >= panes).then_some(seen)
    });
    let starts: Vec<_> = windows
        .iter()
        .map(|window| {
            let event = window.json();
            assert_eq!(event["window"]["records"], 100);
            event["window"]["start"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(starts.len(), panes);
    assert!(starts.is_sorted_by(|a, b| a < b), "{starts:?}");
    let (_, most) = daemon.memory_mib();
    // Attempts that fail are aborted, and take room all the same.
    let offsets = broker.end_offset(&site.topic("dead-letter"), 0);
    println!("at the end at most {most} MiB; {offsets} offsets for {RECORDS} dead letters");
    assert!(most < BOUND_MIB, "{most} MiB");
    daemon.stop();
}

/// A broker that keeps its connections and says nothing.
#[test]
fn a_broker_that_hangs_is_told_within_half_a_minute() {
    let broker = Broker::start();
    let site = Site::on(&broker.address, "hangs", MODEL);
    broker.create_topics(&[
        (&site.input(), 1),
        (&site.topic("alerts"), 1),
        (&site.topic("windows"), 1),
        (&site.topic("dead-letter"), 1),
    ]);
    let daemon = site.start_active();
    broker.signal("STOP");
    let began = Instant::now();
    wait_for_problem(&daemon, "problems");
    broker.signal("CONT");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    daemon.stop();
}
