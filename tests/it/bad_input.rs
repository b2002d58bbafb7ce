//! Garbage, and things that are not there: a clear message, a counter, a dead letter; and it goes on.

use std::fs;

use serde_json::Value;

use crate::broker::broker;
use crate::daemon::{Site, klaxond, wait_for};
use crate::input::{SCENE, T0, record};

const STRICT: &str = r#"
[limits]
payload_bytes = 2000
classes = 4
[models.m]
topics = ["TOPIC"]
fields = { probabilities = "/p", timestamp = "/ts" }
lateness = "0s"
idle_after = "1s"
window = { length = "10s", slide = "10s" }
"#;

/// A value, and the reason for which it is refused; "" where it is not.
type Case = (Option<Vec<u8>>, &'static str);

fn garbage() -> Vec<Case> {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let ts = T0;
    vec![
        (None, "tombstone"),
        (Some(Vec::new()), "empty"),
        (Some(vec![b'x'; 2_001]), "too_large"),
        (text("{\"p\":[0.5,0.5],\"ts\":17"), "malformed"),
        (Some(vec![0xff, 0xfe, 0x00]), "malformed"),
        (text(&"[".repeat(1_500)), "malformed"),
        (
            text(&format!("{{\"q\":[0.5,0.5],\"ts\":{ts}}}")),
            "missing_field",
        ),
        (text("{\"p\":[0.5,0.5]}"), "missing_field"),
        (
            text(&format!("{{\"p\":\"high\",\"ts\":{ts}}}")),
            "wrong_type",
        ),
        (
            text(&format!("{{\"p\":[0.5,NaN],\"ts\":{ts}}}")),
            "not_finite",
        ),
        (
            text(&format!("{{\"p\":[1.5,-0.5],\"ts\":{ts}}}")),
            "negative",
        ),
        (text(&format!("{{\"p\":[0.5,0.6],\"ts\":{ts}}}")), "sum_off"),
        (
            text(&format!("{{\"p\":[0.5,0.25,0.25],\"ts\":{ts}}}")),
            "class_mismatch",
        ),
        (
            text(&format!("{{\"p\":[0.2,0.2,0.2,0.2,0.2],\"ts\":{ts}}}")),
            "too_many_classes",
        ),
        (
            text("{\"p\":[0.5,0.5],\"ts\":\"yesterday\"}"),
            "bad_timestamp",
        ),
        // The year 2400.
        (
            text("{\"p\":[0.5,0.5],\"ts\":13569465600000}"),
            "ahead_of_clock",
        ),
    ]
}

#[test]
fn every_refused_record_is_a_dead_letter_with_its_one_reason() {
    let site = Site::new("bad-input", STRICT);
    site.create_topics(1);
    let good: Vec<String> = (0..400).map(|i| record(i, 100, &[0.5, 0.5])).collect();
    let mut written: Vec<Case> = Vec::new();
    for (i, record) in good.iter().enumerate() {
        written.push((Some(record.clone().into_bytes()), ""));
        if i % 100 == 50 {
            written.extend(garbage());
        }
    }
    // 1970: no record is refused for being old; it is too late for every window.
    written.push((Some(b"{\"p\":[0.5,0.5],\"ts\":1000}".to_vec()), ""));
    let records = written.iter().map(|(payload, _)| (0, payload.as_deref()));
    broker().write(&site.input(), records);

    let daemon = site.start_active();
    let letters = wait_for("the dead letters", || {
        let seen = broker().read(&site.topic("dead-letter"));
        (seen.len() >= 4 * garbage().len()).then_some(seen)
    });
    let refused: Vec<(usize, &Case)> = written
        .iter()
        .enumerate()
        .filter(|(_, (_, reason))| !reason.is_empty())
        .collect();
    assert_eq!(letters.len(), refused.len());
    for (letter, (offset, (payload, reason))) in letters.iter().zip(refused) {
        let header = |name: &str| letter.headers[name].as_str();
        assert_eq!(header("klaxond-reason"), *reason, "{payload:?}");
        assert_eq!(header("klaxond-offset"), offset.to_string());
        assert_eq!(header("klaxond-partition"), "0");
        assert_eq!(header("klaxond-topic"), site.input());
        assert_eq!(header("klaxond-model"), "m");
        assert_eq!(header("trace"), "t-1", "the record's own headers");
        assert!(!header("klaxond-detail").is_empty());
        assert_eq!(
            (&letter.payload, letter.key.as_deref()),
            (payload, Some(&b"some-key"[..]))
        );
    }
    // The windows are as if nothing had been there.
    let windows = site.windows(4);
    for window in &windows {
        let event: Value = serde_json::from_str(window).unwrap();
        assert_eq!(event["window"]["records"], 100);
        assert_eq!(event["measures"]["entropy"], 1.0);
    }
    let status = wait_for("all records", || {
        let status = daemon.status()?;
        (status["partitions"][0]["position"] == written.len() as u64).then_some(status)
    });
    let model = &status["models"][0];
    assert_eq!(model["records"], 400);
    assert_eq!(model["rejected"], 64);
    assert_eq!(model["dropped"], 1);
    let (_, metrics) = daemon.get("/metrics").unwrap();
    for (_, reason) in garbage() {
        let line = format!("klaxond_rejected_records_total{{model=\"m\",reason=\"{reason}\"}}");
        let line = metrics
            .lines()
            .find(|found| found.starts_with(&line))
            .unwrap();
        assert_eq!(
            line.rsplit(' ').next().unwrap().parse::<u64>().unwrap() % 4,
            0,
            "{line}"
        );
    }
    // 16 of 116 records in each window: the rule that every model has.
    let alerts = broker().read(&site.topic("alerts"));
    assert_eq!(alerts[0].json()["rule"], "rejected");
    daemon.stop();
}

#[test]
fn what_is_missing_is_named_and_waited_for() {
    let site = Site::new("missing", SCENE);
    let daemon = site.start();
    daemon.wait_until("starting");
    let waiting = |what: &str| {
        wait_for(what, || {
            let (code, body) = daemon.get("/readyz")?;
            (code == 503 && body.contains(what)).then_some(())
        });
    };
    waiting("topic missing.alerts does not exist");
    broker().create_topics(&[
        ("missing.alerts", 1),
        ("missing.windows", 1),
        ("missing.dead-letter", 1),
    ]);
    waiting("topic missing.predictions does not exist");
    broker().create_topics(&[("missing.predictions", 1)]);
    daemon.wait_until("active");
    daemon.stop();
}

#[test]
fn a_broker_that_is_not_there_is_named_and_waited_for() {
    let site = Site::new("no-broker", SCENE);
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(
        site.config(),
        text.replace(&broker().address, "127.0.0.1:9"),
    )
    .unwrap();
    let daemon = site.start();
    wait_for("what is waited for", || {
        let (code, body) = daemon.get("/readyz")?;
        (code == 503 && body.contains("no broker of 127.0.0.1:9 can be reached")).then_some(())
    });
    assert_eq!(
        daemon.get("/livez").unwrap().0,
        200,
        "waiting is no reason to be restarted"
    );
    daemon.stop();
}

#[test]
fn a_store_that_cannot_be_used_ends_the_daemon_and_says_why() {
    let site = Site::new("stores", SCENE);
    site.create_topics(1);
    let daemon = site.start_active();
    let twin = Site {
        port: crate::daemon::free_port(),
        ..site.sibling(SCENE)
    };
    let own = fs::read_to_string(site.config()).unwrap();
    let text = own.replace(&format!(":{}\"", site.port), &format!(":{}\"", twin.port));
    fs::write(twin.config(), text).unwrap();
    assert_eq!(twin.start().exit_code(), Some(1));
    assert!(
        twin.log().contains("another process has the store at"),
        "{}",
        twin.log()
    );
    daemon.stop();

    let twice = Site {
        port: site.port,
        ..site.sibling(SCENE)
    };
    let daemon = site.start();
    daemon.wait_until("active");
    let text = fs::read_to_string(twice.config()).unwrap();
    let port = text
        .lines()
        .find(|line| line.starts_with("listen"))
        .unwrap();
    fs::write(
        twice.config(),
        text.replace(port, &format!("listen = \"127.0.0.1:{}\"", site.port)),
    )
    .unwrap();
    assert_eq!(twice.start().exit_code(), Some(1));
    assert!(
        twice.log().contains("cannot listen on 127.0.0.1:"),
        "{}",
        twice.log()
    );
    daemon.stop();

    let db = site.path("store").join("db");
    let mut bytes = fs::read(&db).unwrap();
    for byte in bytes.iter_mut().take(64 << 10) {
        *byte ^= 0x5a;
    }
    fs::write(&db, bytes).unwrap();
    let before = site.log().len();
    assert_eq!(site.start().exit_code(), Some(1));
    let said = site.log()[before..].to_owned();
    assert!(said.contains("move the directory away"), "{said}");
}

#[test]
fn wrong_credentials_are_told_without_showing_them() {
    let site = Site::new("credentials", SCENE);
    site.create_topics(1);
    let plain = fs::read_to_string(site.config()).unwrap();
    let with_password = |password: &str| {
        let properties = format!(
            "properties = {{ \"security.protocol\" = \"SASL_PLAINTEXT\", \
             \"sasl.mechanism\" = \"PLAIN\", \"sasl.username\" = \"alice\", \
             \"sasl.password\" = \"{password}\" }}\n[output]"
        );
        let text = plain.replace(&broker().address, &broker().sasl_address);
        fs::write(site.config(), text.replace("[output]", &properties)).unwrap();
    };
    with_password("hunter2");
    let daemon = site.start();
    wait_for("what is waited for", || {
        let (code, body) = daemon.get("/readyz")?;
        (code == 503 && body.contains("refuse our authentication (SASL_PLAINTEXT, PLAIN)"))
            .then_some(())
    });
    assert!(!site.log().contains("hunter2"));
    daemon.stop();
    with_password("secret");
    site.start_active().stop();
}

#[test]
fn wrong_properties_are_told_before_anything_starts() {
    let site = Site::new("properties", SCENE);
    let text = fs::read_to_string(site.config()).unwrap();
    let text = text.replace(
        "[output]",
        "properties = { \"sasl.pasword\" = \"hunter2\" }\n[output]",
    );
    fs::write(site.config(), text).unwrap();
    let output = klaxond(&["check", "--config", site.config().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("sasl.pasword") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn a_baseline_over_other_classes_is_told() {
    let site = Site::new(
        "other-classes",
        &SCENE.replace("classes = [\"no\", \"yes\"]", ""),
    );
    let three: Vec<String> = (0..600)
        .map(|i| record(i, 100, &[0.5, 0.25, 0.25]))
        .collect();
    let file = site.write("three.ndjson", crate::input::lines(&three));
    site.done(&["baseline", "import", "--input", file.to_str().unwrap()]);
    site.create_topics(1);
    let two: Vec<String> = (0..400).map(|i| record(i, 100, &[0.5, 0.5])).collect();
    broker().write(&site.input(), crate::input::spread(&two, 1));
    let daemon = site.start_active();
    let windows = site.windows(3);
    let event: Value = serde_json::from_str(&windows[2]).unwrap();
    assert_eq!(
        event["measures"].get("kl"),
        None,
        "there is nothing to measure against"
    );
    wait_for("a word about it", || {
        site.log()
            .contains("is over other classes than baseline m version 1")
            .then_some(())
    });
    daemon.stop();
}

/// Where nothing can be published, reading stops at its limit, and goes on afterwards.
#[test]
fn what_cannot_be_published_stops_intake_and_nothing_is_lost() {
    let limited = STRICT.replace("[limits]", "[limits]\noutbox_entries = 100");
    let site = Site::new("blocked", &limited);
    site.create_topics(1);
    let daemon = site.start_active();
    broker().delete_topic(&site.topic("dead-letter"));
    let garbage = vec![(0, Some(&b"{"[..])); 20_000];
    broker().write(&site.input(), garbage.iter().copied());
    wait_for("a word about it", || {
        let (_, body) = daemon.get("/readyz")?;
        body.contains("publishing failed").then_some(())
    });
    let position = || daemon.status()?["partitions"][0]["position"].as_u64();
    let stopped_at = position().unwrap();
    assert!(stopped_at < 10_000, "{stopped_at}");
    wait_for("the topic", || {
        broker()
            .try_create_topics(&[(&site.topic("dead-letter"), 1)])
            .then_some(())
    });
    wait_for("the rest", || (position()? == 20_000).then_some(()));
    let letters = wait_for("the letters", || {
        let seen = broker().read(&site.topic("dead-letter"));
        (seen.len() >= 20_000).then_some(seen)
    });
    let offsets: Vec<usize> = letters
        .iter()
        .map(|letter| letter.headers["klaxond-offset"].parse().unwrap())
        .collect();
    assert!(offsets.into_iter().eq(0..20_000), "each once, in order");
    daemon.stop();
}
