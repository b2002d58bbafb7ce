//! The real input of `tests/reference`, through Apache Kafka and through `replay`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::broker::broker;
use crate::daemon::Site;
use crate::input::{lines, mc, record, reference};

const MODEL: &str = r#"
[models.mc]
topics = ["TOPIC"]
fields = { probabilities = "/p", timestamp = "/ts" }
lateness = "0s"
idle_after = "2s"
window = { length = "10m", slide = "10m" }
baseline = "mc"
"#;

/// Columns of measures that need labels, or are for budgets: not measured yet.
fn is_later(column: &str) -> bool {
    column.starts_with("estimated_")
        || column.starts_with("prior_")
        || ["cross_entropy", "accuracy", "brier", "calibration_error"].contains(&column)
}

#[test]
fn windows_agree_with_the_reference_over_four_partitions() {
    let site = Site::new("reference", MODEL);
    site.create_topics(4);
    let encode = |part: &str| -> Vec<String> {
        mc(part)
            .iter()
            .enumerate()
            .map(|(i, p)| record(i, 100, p))
            .collect()
    };
    let baseline = site.write("baseline.ndjson", lines(&encode("0")));
    let records = encode("1");
    assert_eq!(records.len(), 60_000);
    let input = site.write("input.ndjson", lines(&records));

    let said = site.done(&["baseline", "import", "--input", baseline.to_str().unwrap()]);
    assert!(said.contains("mc version 1: 60000 records"), "{said}");

    // Partitions of very different sizes, none in step with another.
    let partition = |i: usize| (i * i / 7 % 11 % 4) as i32;
    let placed = records
        .iter()
        .enumerate()
        .map(|(i, r)| (partition(i), Some(r.as_bytes())));
    broker().write(&site.input(), placed);
    let daemon = site.start_active();
    let windows = site.windows(10);
    assert_eq!(windows.len(), 10);
    daemon.stop();

    for (window, row) in windows.iter().zip(analysis_rows()) {
        let event: Value = serde_json::from_str(window).unwrap();
        assert_eq!(event["window"]["records"], 6_000);
        assert_eq!(event["window"]["late"], 0);
        agrees(&event, &row);
    }

    let replayed = site.done(&["replay", "--input", input.to_str().unwrap()]);
    let replayed: Vec<String> = replayed
        .lines()
        .map(|line| untyped(line, "window"))
        .collect();
    assert_eq!(replayed, windows, "replay says the same, byte for byte");
}

/// The event without the type that replay puts first.
pub fn untyped(line: &str, kind: &str) -> String {
    let head = format!("{{\"type\":\"{kind}\",");
    line.strip_prefix(&head)
        .map_or_else(|| panic!("{line}"), |rest| format!("{{{rest}"))
}

fn analysis_rows() -> Vec<BTreeMap<String, f64>> {
    let text = std::fs::read_to_string(reference("measures_mc.csv")).unwrap();
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let rows = lines
        .filter(|line| line.starts_with("analysis,"))
        .map(|line| {
            let values = line.split(',').skip(1).map(|value| value.parse().unwrap());
            columns[1..]
                .iter()
                .map(|name| (*name).to_owned())
                .zip(values)
                .collect()
        });
    rows.collect()
}

/// Within the tolerances of the reference's README.
fn agrees(event: &Value, row: &BTreeMap<String, f64>) {
    let mut compared = 0;
    for (column, &expected) in row {
        if column == "window" || is_later(column) {
            continue;
        }
        let (measured, tolerance) = if let Some(class) = column.strip_prefix("kl_class_") {
            let classes = event["classes"].as_array().unwrap();
            let found = classes
                .iter()
                .find(|shift| shift["class"] == class)
                .unwrap();
            (found["bits"].as_f64(), (1e-9 * expected.abs()).max(1e-12))
        } else if let Some(name) = column.strip_suffix("_exact") {
            // A bucket of the histogram is 1 %, or 0.001 bit.
            let tolerance = if name == "entropy_shift" {
                0.01
            } else {
                (0.01 * expected).max(0.001)
            };
            (event["measures"][name].as_f64(), tolerance)
        } else {
            (
                event["measures"][column].as_f64(),
                (1e-9 * expected.abs()).max(1e-12),
            )
        };
        let measured = measured.unwrap_or_else(|| panic!("{column} is absent"));
        assert!(
            (measured - expected).abs() <= tolerance,
            "{column}: {measured} instead of {expected}"
        );
        compared += 1;
    }
    assert_eq!(compared, 27);
}
