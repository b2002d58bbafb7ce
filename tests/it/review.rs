//! Uncertain records go to a topic of their own, once, as they came, and no more than the rate allows.

use std::fs;

use crate::broker::{Seen, broker};
use crate::daemon::{Site, wait_for};
use crate::input::{lines, record};

/// Two classes: 0.9 bits lie between a larger share of 68 % (0.904) and 69 % (0.893).
const MODEL: &str = r#"
[models.m]
topics = ["TOPIC"]
fields = { probabilities = "/p", timestamp = "/ts" }
lateness = "0s"
idle_after = "1s"
window = { length = "10s", slide = "10s" }
review = { above = 0.9, rate = "6 per 10s" }
"#;

/// A site that has a review topic, for two partitions.
fn site(name: &str) -> Site {
    let site = Site::new(name, MODEL);
    let review = format!("review = {:?}\n[store]", site.topic("review"));
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), text.replace("[store]", &review)).unwrap();
    site
}

/// Ten a second. Those from the fifth second on of each period of ten are uncertain.
fn traffic(seconds: usize) -> Vec<String> {
    let one = |i: usize| {
        let p = if i % 100 < 50 { 0.69 } else { 0.68 };
        record(i, 100, &[1.0 - p, p])
    };
    (0..10 * seconds).map(one).collect()
}

/// The offsets of the review records of a partition, in the order of the topic.
fn offsets(letters: &[Seen], partition: &str) -> Vec<usize> {
    let own = letters
        .iter()
        .filter(|letter| letter.headers["klaxond-partition"] == partition);
    own.map(|letter| letter.headers["klaxond-offset"].parse().unwrap())
        .collect()
}

#[test]
fn uncertain_records_arrive_once_as_they_came_and_within_the_rate() {
    let site = site("review");
    site.create_topics(2);
    broker().create_topics(&[(&site.topic("review"), 1)]);
    let records = traffic(40);
    // Halves of each second, so that both have uncertain ones.
    let at = |i: usize| (i % 2) as i32;
    let write = |from: usize, to: usize| {
        let part = (from..to).map(|i| (at(i), Some(records[i].as_bytes())));
        broker().write(&site.input(), part);
    };
    let read_to = |daemon: &crate::daemon::Daemon, count: u64| {
        wait_for("the records", || {
            let status = daemon.status()?;
            let partitions = status["partitions"].as_array()?;
            let positions = partitions.iter().filter_map(|p| p["position"].as_u64());
            (positions.sum::<u64>() == count).then_some(status)
        })
    };
    // The third record of a period's three is read by another process than the first two.
    write(0, 254);
    let daemon = site.start_active();
    read_to(&daemon, 254);
    let referred = |count: usize| {
        wait_for(&format!("{count} review records"), || {
            let seen = broker().read(&site.topic("review"));
            (seen.len() >= count).then_some(seen)
        })
    };
    referred(2 * 6 + 4);
    daemon.kill();
    write(254, 400);
    let daemon = site.start_active();
    let status = read_to(&daemon, 400);
    let letters = referred(4 * 6);
    // Windows of all four periods are out, and so is whatever was decided before them.
    site.windows(4);
    assert_eq!(broker().read(&site.topic("review")).len(), 24);

    // In each partition the first three of a period that are uncertain: records 50, 52, 54 of a
    // hundred are offsets 25, 26, 27 of fifty.
    let expected: Vec<usize> = (0..4)
        .flat_map(|k| [25, 26, 27].map(|o| 50 * k + o))
        .collect();
    for (partition, letters_of) in ["0", "1"].map(|p| (p, offsets(&letters, p))) {
        assert_eq!(letters_of, expected, "partition {partition}");
    }
    for letter in &letters {
        let header = |name: &str| letter.headers[name].as_str();
        let (partition, offset): (usize, usize) = (
            header("klaxond-partition").parse().unwrap(),
            header("klaxond-offset").parse().unwrap(),
        );
        assert_eq!(letter.text(), records[2 * offset + partition]);
        assert_eq!(letter.key.as_deref(), Some(&b"some-key"[..]));
        assert_eq!(header("trace"), "t-1", "the record's own headers");
        assert_eq!(header("klaxond-reason"), "uncertain");
        assert_eq!(header("klaxond-model"), "m");
        assert_eq!(header("klaxond-topic"), site.input());
        // -0.68 log2 0.68 - 0.32 log2 0.32
        let entropy: f64 = header("klaxond-entropy").parse().unwrap();
        assert!((entropy - 0.904_381_457_724_494).abs() < 1e-9, "{entropy}");
        let detail = "its entropy is 0.9044 bits, above the line at 0.9";
        assert_eq!(header("klaxond-detail"), detail);
    }

    assert_eq!(status["models"][0]["review"]["line"], 0.9);
    let (_, metrics) = daemon.get("/metrics").unwrap();
    let value = |name: &str| -> f64 {
        let start = format!("{name}{{model=\"m\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap().parse().unwrap()
    };
    assert_eq!(value("klaxond_review_line_bits"), 0.9);
    // The second process has read 46 + 50 of the 200 uncertain ones.
    assert_eq!(value("klaxond_review_records_total"), 8.0);
    assert_eq!(value("klaxond_review_suppressed_total"), 88.0);
    daemon.stop();
}

#[test]
fn replay_prints_what_would_be_referred() {
    let site = site("review-replay");
    let file = site.write("in.ndjson", lines(&traffic(20)));
    let printed = site.done(&["replay", "--input", file.to_str().unwrap()]);
    let reviews: Vec<serde_json::Value> = printed
        .lines()
        .filter(|line| {
            line.starts_with("{\"type\":\"review\",\"reason\":\"uncertain\",\"entropy\":0.904")
        })
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<u64> = reviews
        .iter()
        .map(|r| r["line"].as_u64().unwrap())
        .collect();
    // A file is one partition, which has all of the rate; lines are counted from 1.
    assert_eq!(
        numbers,
        [51, 52, 53, 54, 55, 56, 151, 152, 153, 154, 155, 156]
    );
    assert_eq!(printed.lines().count(), 12 + 2, "nothing for the others");
}
