//! What an on-call engineer gets.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::broker::broker;
use crate::input::spread;
use crate::restarts::{prepared, uninterrupted};

/// First 32 hex digits of SHA-256, as DESIGN has fingerprints and ids.
fn digest(json: &str) -> String {
    let hex = |byte: &u8| format!("{byte:02x}");
    Sha256::digest(json).iter().take(16).map(hex).collect()
}

#[test]
fn an_alert_is_an_event_that_any_client_can_read() {
    let (site, records) = prepared("alerts");
    site.create_topics(2);
    broker().write(&site.input(), spread(&records, 2));
    let daemon = site.start_active();
    site.windows(34);

    let seen = broker().read(&site.topic("alerts"));
    let of_rule = |rule: &str| {
        let events = seen.iter().filter(|event| event.json()["rule"] == rule);
        events.collect::<Vec<_>>()
    };
    let [firing, resolved] = of_rule("uncertain")[..] else {
        panic!("{seen:#?}");
    };
    let event = firing.json();
    // The second minute is the bad one; one of the windows of ten seconds that begin in the first
    // crosses the line.
    assert_eq!(event["status"], "firing");
    assert_eq!(event["model"], "m");
    assert_eq!(event["severity"], "critical");
    assert_eq!(event["measure"], "entropy");
    assert_eq!(event["unit"], "bits");
    assert_eq!(event["comparison"], "above");
    assert_eq!(event["threshold"], 0.7);
    assert_eq!(event["ends_at"], serde_json::Value::Null);
    assert!(event["value"].as_f64().unwrap() > 0.7);
    let starts_at = event["starts_at"].as_str().unwrap();
    assert_eq!(
        event["window"]["end"], starts_at,
        "it fires with its first window"
    );
    assert_eq!(starts_at, "2026-11-20T10:01:10.000Z");
    let summary = event["diagnosis"]["summary"].as_str().unwrap();
    assert!(
        summary.contains("entropy") && summary.contains("0.7"),
        "{summary}"
    );
    let worst = &event["diagnosis"]["classes"][0];
    assert_eq!(worst["class"], "yes");
    assert!(worst["window"].as_f64().unwrap() > worst["baseline"].as_f64().unwrap());

    let fingerprint = digest(r#"["m",{},"uncertain"]"#);
    let id = |status: &str| {
        digest(&format!(
            r#"["m",{{}},"uncertain","{starts_at}","{status}"]"#
        ))
    };
    for (event, status) in [(firing, "firing"), (resolved, "resolved")] {
        assert_eq!(event.key.as_deref(), Some(fingerprint.as_bytes()));
        assert_eq!(event.json()["fingerprint"], fingerprint);
        assert_eq!(event.json()["id"], id(status));
        assert_eq!(event.json()["starts_at"], starts_at);
    }
    assert_eq!(resolved.json()["status"], "resolved");
    assert_eq!(resolved.json()["ends_at"], resolved.json()["window"]["end"]);
    let ends_at = resolved.json()["ends_at"].as_str().unwrap().to_owned();
    let expected = BTreeMap::from(
        [
            ("ce_id", id("resolved").as_str()),
            ("ce_source", "/klaxond/alerts/m"),
            ("ce_specversion", "1.0"),
            ("ce_subject", "uncertain"),
            ("ce_time", &ends_at),
            ("ce_type", "io.klaxond.alert.v1"),
            ("content-type", "application/json"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    assert_eq!(resolved.headers, expected);

    // A rule with `for` fires so much later than it began.
    let drifted = of_rule("drifted")[0].json();
    assert_ne!(drifted["starts_at"], drifted["window"]["end"]);

    let shown = site.done(&["alerts", "--all", "--no-follow"]);
    assert!(shown.contains("FIRING critical m/uncertain"), "{shown}");
    assert!(shown.contains("RESOLVED critical m/uncertain"), "{shown}");
    let now = site.done(&["alerts", "--no-follow"]);
    assert_eq!(now, "", "nothing fires any more");
    let json = site.done(&["alerts", "--all", "--no-follow", "--output", "json"]);
    let texts: Vec<String> = seen.iter().map(crate::broker::Seen::text).collect();
    assert_eq!(json.lines().collect::<Vec<_>>(), texts);
    daemon.stop();

    // The order of keys is part of the contract.
    let (_, alerts) = uninterrupted(&site, &records);
    let keys = [
        "id",
        "fingerprint",
        "status",
        "model",
        "stream",
        "rule",
        "severity",
        "measure",
    ];
    let at = |key: &str| alerts[0].find(&format!("\"{key}\":")).unwrap();
    assert!(keys.windows(2).all(|pair| at(pair[0]) < at(pair[1])));
}
