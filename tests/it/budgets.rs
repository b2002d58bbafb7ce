//! Budgets of false alarms, on real input through Apache Kafka.

use serde_json::Value;

use crate::broker::{Seen, broker};
use crate::daemon::Site;
use crate::input::{T0, lines, mc, record, reference, spread};
use crate::restarts::uninterrupted;

/// Records are 100 ms apart: panes of a hundred rows, as the reference has them.
const MODEL: &str = r#"
[models.mc]
topics = ["TOPIC"]
fields = { probabilities = "/p", timestamp = "/ts" }
lateness = "0s"
idle_after = "2s"
window = { length = "2m", slide = "10s" }
baseline = "mc"

[[models.mc.alerts]]
name = "changed"
false_alarms = "1 per 8640 windows"
severity = "critical"
"#;

/// The reference's log-evidence (nats) after each pane of the analysis rows, without restarts.
fn path() -> Vec<f64> {
    let text = std::fs::read_to_string(reference("evidence_path_mc.csv")).unwrap();
    let rows = text.lines().skip(1);
    rows.map(|row| row.split(',').nth(3).unwrap().parse().unwrap())
        .collect()
}

/// The model gets worse in pane 300, while its kl stays below 0.015. Killed four times on the way.
#[test]
fn evidence_survives_kills_and_alarms_one_pane_after_the_change() {
    let site = Site::new("budgets", MODEL);
    site.create_topics(4);
    let encode = |part: &str, rows: usize| -> Vec<String> {
        let rows = mc(part).into_iter().take(rows).enumerate();
        rows.map(|(i, (p, _))| record(i, 100, &p)).collect()
    };
    let baseline = site.write("baseline.ndjson", lines(&encode("0", 60_000)));
    site.done(&["baseline", "import", "--input", baseline.to_str().unwrap()]);
    // Two days are not what 60,000 rows of 100 ms span.
    let shown = site.done(&["baseline", "show"]);
    assert!(shown.contains("provisional"), "{shown}");
    assert!(shown.contains("600 panes of 100 records"), "{shown}");
    assert!(shown.contains("shifts that changed finds"), "{shown}");

    let records = encode("1", 32_000);
    let (killed, rest) = records.split_at(24_000);
    for (kill, part) in killed.chunks(6_000).enumerate() {
        let daemon = site.start_active();
        broker().write(&site.input(), spread(part, 4));
        site.windows(kill * 60 + 30);
        daemon.kill();
    }
    let daemon = site.start_active();
    broker().write(&site.input(), spread(rest, 4));
    let (windows, alerts) = uninterrupted(&site, &records);
    let published = site.windows(windows.len() - 1);
    let (_, metrics) = daemon.get("/metrics").unwrap();
    daemon.stop();
    assert_eq!(published, windows[..published.len()]);
    let seen = broker().read(&site.topic("alerts"));
    let seen: Vec<String> = seen.iter().map(Seen::text).collect();
    assert_eq!(seen, alerts);

    let events: Vec<Value> = (alerts.iter())
        .map(|alert| serde_json::from_str(alert).unwrap())
        .collect();
    let [fired] = events.as_slice() else {
        panic!("{events:#?}");
    };
    // Pane 301 ends 302 slides after the first record.
    let at = jiff::Timestamp::from_millisecond(T0 + 302 * 10_000).unwrap();
    assert_eq!(fired["starts_at"], format!("{at:.3}"));
    assert_eq!(fired["measure"], "evidence");
    let evidence = |window: &String| -> Value {
        let window: Value = serde_json::from_str(window).unwrap();
        window["evidence"]["changed"].clone()
    };
    for (window, nats) in windows.iter().zip(path()).take(302) {
        let bits = evidence(window)["bits"].as_f64().unwrap();
        assert!((bits - nats / 2_f64.ln()).abs() < 1e-6, "{bits} {nats}");
    }
    let crossed = evidence(&windows[301]);
    assert_eq!(crossed["budget_bits"], 8640_f64.log2());
    assert_eq!(
        (&crossed["channel"], &crossed["direction"]),
        (&"entropy".into(), &"up".into())
    );
    let labels = "klaxond_evidence_bits{model=\"mc\",stream=\"(all)\",rule=\"changed\"} ";
    assert!(metrics.contains(labels), "{metrics}");
    assert!(metrics.contains("klaxond_baseline_provisional{model=\"mc\",stream=\"(all)\"} 1"));
}
