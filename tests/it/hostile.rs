//! Producers that mean harm, or act as if: memory stays bounded, what happens is seen in a metric or an
//! alert of its own, and the models and partitions beside them go on.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::broker::{Seen, broker};
use crate::daemon::{Daemon, Site, wait_for};
use crate::input::{T0, record};

/// What the limits below allow, in MiB: dead letters three times (held, in a step, in the producer's
/// queue), what is fetched twice, and the program itself.
const BOUND_MIB: u64 = 3 * 16 + 2 * 4 + 96;

const LIMITS: &str = "[limits]\n\
    outbox_bytes = 16777216\n\
    fetch_queue_kbytes = 4096\n\
    payload_bytes = 50000\n\
    streams = 50\n\
    classes = 100\n\
    [defaults]\n\
    lateness = \"0s\"\n\
    idle_after = \"2s\"\n\
    window = { length = \"10s\", slide = \"10s\" }\n";

/// Records of the model that is well: twelve windows, and the beginning of another.
const WELL: usize = 1_201;

fn model(name: &str, rest: &str) -> String {
    format!(
        "[models.{name}]\n\
         topics = [\"TOPIC.{name}\"]\n\
         fields = {{ probabilities = \"/p\", timestamp = \"/ts\" }}\n\
         {rest}\n"
    )
}

/// A site of several models, each with a topic of so many partitions; the first is a model that is well.
fn site(name: &str, models: &[(&str, &str, i32)]) -> Site {
    let well = ("well", "idle_after = \"1h\"", 1);
    let all: Vec<_> = [well].into_iter().chain(models.iter().copied()).collect();
    let tables: String = all
        .iter()
        .map(|(name, rest, _)| model(name, rest))
        .collect();
    let site = Site::new(name, &format!("{LIMITS}{tables}"));
    for output in ["alerts", "windows", "dead-letter"] {
        broker().create_topics(&[(&site.topic(output), 1)]);
    }
    for (name, _, partitions) in all {
        broker().create_topics(&[(&topic(&site, name), partitions)]);
    }
    site
}

fn topic(site: &Site, model: &str) -> String {
    format!("{}.{model}", site.input())
}

fn write(site: &Site, model: &str, records: &[(i32, String)]) {
    let records = records
        .iter()
        .map(|(partition, record)| (*partition, Some(record.as_bytes())));
    broker().write(&topic(site, model), records);
}

fn write_well(site: &Site) {
    let records: Vec<(i32, String)> = (0..WELL)
        .map(|i| (0, record(i, 100, &[0.5, 0.5])))
        .collect();
    write(site, "well", &records);
}

/// Everything that was written has been read.
fn wait_until_read(site: &Site, daemon: &Daemon, count: u64) {
    wait_for("all records", || {
        let status = daemon.status()?;
        let models = status["models"].as_array()?;
        let of =
            |key: &str| -> Option<u64> { models.iter().map(|model| model[key].as_u64()).sum() };
        let counted = of("records")? + of("rejected")? + of("dropped")?;
        assert!(counted <= count, "{}", site.log());
        (counted == count).then_some(())
    });
}

fn windows(site: &Site, model: &str) -> Vec<Value> {
    let seen = broker().read(&site.topic("windows"));
    let events = seen.iter().map(Seen::json);
    events.filter(|event| event["model"] == model).collect()
}

/// The windows of a model, once there are so many.
fn wait_for_windows(site: &Site, model: &str, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} windows of {model}"), || {
        let windows = windows(site, model);
        (windows.len() >= count).then_some(windows)
    })
}

fn wait_for_rejected_alert(site: &Site, model: &str) {
    wait_for(&format!("the alert of {model}"), || {
        let seen = broker().read(&site.topic("alerts"));
        let is_it = |event: Value| {
            event["model"] == model && event["rule"] == "rejected" && event["status"] == "firing"
        };
        seen.iter().map(Seen::json).any(is_it).then_some(())
    });
}

fn reasons(site: &Site, model: &str) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for letter in broker().read(&site.topic("dead-letter")) {
        if letter.headers["klaxond-model"] == model {
            *reasons
                .entry(letter.headers["klaxond-reason"].clone())
                .or_default() += 1;
        }
    }
    reasons
}

fn well_is_well(site: &Site) {
    let windows = wait_for_windows(site, "well", WELL / 100);
    assert_eq!(windows.len(), WELL / 100);
    for window in windows {
        assert_eq!(window["window"]["records"], 100);
        assert_eq!(window["measures"]["entropy"], 1.0);
    }
}

fn sample(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with(series))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn floods_of_streams_classes_and_bytes_stay_within_the_limits() {
    let site = site(
        "floods",
        &[
            ("streams", "dimensions = { user = \"/user\" }", 1),
            ("classes", "", 1),
            ("bytes", "", 1),
        ],
    );
    // Another user each time, with as long a name as there may be; at last some with longer ones.
    let flood = 5_000;
    let too_long = 100;
    let streams: Vec<(i32, String)> = (0..flood + too_long)
        .map(|i| {
            let ts = T0 + i.min(flood - 1) as i64 * 10;
            let name = "x".repeat(if i < flood { 252 } else { 2_000 });
            (
                0,
                format!("{{\"user\":\"{i:04}{name}\",\"p\":[0.5,0.5],\"ts\":{ts}}}"),
            )
        })
        .collect();
    // Other classes each time, but for one in ten; and now and then a thousand of them.
    let classes: Vec<(i32, String)> = (0..flood)
        .map(|i| {
            let ts = T0 + i as i64 * 10;
            let p = if i % 10 == 0 {
                "\"a\":0.5,\"b\":0.5".to_owned()
            } else if i % 100 == 1 {
                (0..1_000)
                    .map(|k| format!("\"{i}-{k}\":0.001"))
                    .collect::<Vec<_>>()
                    .join(",")
            } else {
                format!("\"a{i}\":0.5,\"b{i}\":0.5")
            };
            (0, format!("{{\"p\":{{{p}}},\"ts\":{ts}}}"))
        })
        .collect();
    let (large, large_ones) = ("x".repeat(500_000), 400);
    let bytes: Vec<(i32, String)> = (0..large_ones).map(|_| (0, large.clone())).collect();
    write(&site, "streams", &streams);
    write(&site, "classes", &classes);
    write(&site, "bytes", &bytes);
    write_well(&site);

    let daemon = site.start_active();
    wait_until_read(
        &site,
        &daemon,
        (2 * flood + too_long + large_ones + WELL) as u64,
    );
    well_is_well(&site);

    // Five windows; in the first the fifty streams, and from then on the one for all others. One
    // that has been in no window for its length is in none after it.
    let events = wait_for_windows(&site, "streams", 50 + 5);
    let is_overflow = |event: &&Value| event["stream"] == serde_json::json!({"overflow": "true"});
    let overflow: Vec<u64> = events
        .iter()
        .filter(is_overflow)
        .map(|event| event["window"]["records"].as_u64().unwrap())
        .collect();
    assert_eq!(overflow, [950, 1_000, 1_000, 1_000, 1_000]);
    assert_eq!(events.len() - overflow.len(), 50);
    assert_eq!(
        reasons(&site, "streams"),
        BTreeMap::from([("wrong_type".to_owned(), too_long)])
    );
    let (_, metrics) = daemon.get("/metrics").unwrap();
    let streams = sample(&metrics, "klaxond_streams{model=\"streams\"}");
    assert!(streams >= Some(51.0), "{streams:?}");
    assert!(metrics.contains("stream=\"overflow=true\""));

    wait_for_rejected_alert(&site, "classes");
    let records: Vec<u64> = wait_for_windows(&site, "classes", 5)
        .iter()
        .map(|event| event["window"]["records"].as_u64().unwrap())
        .collect();
    assert_eq!(records, [100; 5]);
    let expected = [("class_mismatch", 4_450), ("too_many_classes", 50)];
    let expected: BTreeMap<String, usize> = expected.map(|(k, v)| (k.to_owned(), v)).into();
    assert_eq!(reasons(&site, "classes"), expected);

    wait_for_rejected_alert(&site, "bytes");
    assert_eq!(
        reasons(&site, "bytes"),
        BTreeMap::from([("too_large".to_owned(), large_ones)])
    );
    let (now, most) = daemon.memory_mib();
    println!("resident {now} MiB, at most {most}");
    assert!(most < BOUND_MIB, "{most} MiB");
    daemon.stop();
}

/// Two partitions; the producer of the second is a year ahead.
fn half_ahead() -> Vec<(i32, String)> {
    let year_ms = 365 * 24 * 3_600 * 1_000;
    let ahead = (0..600).map(|i| {
        let ts = T0 + year_ms + i * 100;
        (1, format!("{{\"p\":[0.5,0.5],\"ts\":{ts}}}"))
    });
    let good = (0..600).map(|i| (0, record(i, 100, &[0.5, 0.5])));
    good.chain(ahead).collect()
}

#[test]
fn clocks_repeats_and_refusals_hold_nobody_up() {
    let site = site(
        "oddities",
        &[
            ("ahead", "", 2),
            ("quiet", "", 2),
            ("same", "", 1),
            ("refused", "", 1),
        ],
    );
    let good = |count: usize| (0..count).map(|i| (0, record(i, 100, &[0.5, 0.5])));
    write(&site, "ahead", &half_ahead());
    // The second partition's has said something once.
    let once = (0..10).map(|i| (1, record(i, 100, &[0.5, 0.5])));
    write(&site, "quiet", &once.chain(good(600)).collect::<Vec<_>>());
    // One record over and over.
    let repeats = 50_000;
    let same = (0, record(3, 100, &[0.25, 0.75]));
    write(&site, "same", &vec![same; repeats]);
    // Nothing that can be used, and nothing that says when.
    write(
        &site,
        "refused",
        &vec![(0, "{\"p\":[2,3]}".to_owned()); 500],
    );
    write_well(&site);

    let daemon = site.start_active();
    let written = 2 * 600 + 610 + repeats + 500 + WELL;
    wait_until_read(&site, &daemon, written as u64);
    well_is_well(&site);

    for name in ["ahead", "quiet"] {
        let records: Vec<u64> = wait_for_windows(&site, name, 6)
            .iter()
            .map(|event| event["window"]["records"].as_u64().unwrap())
            .collect();
        let first = if name == "quiet" { 110 } else { 100 };
        assert_eq!(records, [first, 100, 100, 100, 100, 100], "{name}");
    }
    assert_eq!(
        reasons(&site, "ahead"),
        BTreeMap::from([("ahead_of_clock".to_owned(), 600)])
    );

    // Entropy of (1/4, 3/4): 2 - 3/4 log2 3.
    let same = wait_for_windows(&site, "same", 1);
    assert_eq!(same[0]["window"]["records"], repeats);
    let entropy = same[0]["measures"]["entropy"].as_f64().unwrap();
    assert!(
        (entropy - (2.0 - 0.75 * 3_f64.log2())).abs() < 1e-9,
        "{entropy}"
    );

    wait_for_rejected_alert(&site, "refused");
    let (_, metrics) = daemon.get("/metrics").unwrap();
    for (model, reason, count) in [
        ("refused", "sum_off", 500.0),
        ("ahead", "ahead_of_clock", 600.0),
    ] {
        let series =
            format!("klaxond_rejected_records_total{{model=\"{model}\",reason=\"{reason}\"}}");
        assert_eq!(sample(&metrics, &series), Some(count), "{series}");
    }
    let (_, most) = daemon.memory_mib();
    println!("at most {most} MiB");
    assert!(most < BOUND_MIB, "{most} MiB");
    daemon.stop();
}

/// Its records are good, all windows close, and from then on it sends nothing that can be used: event
/// time stands still, and the last window was without fault.
#[test]
fn a_producer_that_breaks_for_good_is_told() {
    let site = site("broken-producer", &[("broken", "", 1)]);
    let good: Vec<(i32, String)> = (0..600).map(|i| (0, record(i, 100, &[0.5, 0.5]))).collect();
    write(&site, "broken", &good);
    let daemon = site.start_active();
    wait_for_windows(&site, "broken", 6);
    write(&site, "broken", &vec![(0, "{".to_owned()); 600]);
    wait_until_read(&site, &daemon, 1_200);
    wait_for_rejected_alert(&site, "broken");
    daemon.stop();
}

/// The same where one of two partitions gives nothing that can be used, from the first record on.
#[test]
fn a_partition_that_is_ahead_of_the_clock_is_told() {
    let site = site("ahead", &[("ahead", "", 2)]);
    write(&site, "ahead", &half_ahead());
    let daemon = site.start_active();
    wait_for_windows(&site, "ahead", 6);
    wait_until_read(&site, &daemon, 1_200);
    wait_for_rejected_alert(&site, "ahead");
    daemon.stop();
}
