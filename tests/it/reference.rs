//! The real input of `tests/reference`, through Apache Kafka and through `replay`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::broker::broker;
use crate::daemon::Site;
use crate::input::{lines, mc, record, reference};

const MODEL: &str = r#"
[models.mc]
topics = ["TOPIC"]
fields = { probabilities = "/p", timestamp = "/ts", label = "/y" }
lateness = "0s"
idle_after = "2s"
window = { length = "10m", slide = "10m" }
baseline = "mc"
"#;

/// True classes among the 60,000 rows of the baseline, counted with awk.
const PRIORS: [f64; 3] = [
    19_961.0 / 60_000.0,
    20_103.0 / 60_000.0,
    19_936.0 / 60_000.0,
];

/// The rows of one part as records, ten a second.
fn encoded(part: &str) -> Vec<String> {
    let labelled = |(i, (p, label)): (usize, &([f64; 3], u32))| {
        let record = record(i, 100, p);
        format!("{},\"y\":{label}}}", record.trim_end_matches('}'))
    };
    mc(part).iter().enumerate().map(labelled).collect()
}

#[test]
fn windows_agree_with_the_reference_over_four_partitions() {
    let site = Site::new("reference", MODEL);
    site.create_topics(4);
    let baseline = site.write("baseline.ndjson", lines(&encoded("0")));
    let records = encoded("1");
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

    for (window, row) in windows.iter().zip(rows("analysis")) {
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

/// Both parts, measured against the first, without a broker.
#[test]
fn replay_agrees_with_the_reference() {
    let site = Site::new("reference-replay", MODEL);
    let baseline = site.write("baseline.ndjson", lines(&encoded("0")));
    for (part, name) in [("0", "reference"), ("1", "analysis")] {
        let input = site.write("input.ndjson", lines(&encoded(part)));
        let paths = [&baseline, &input].map(|path| path.to_str().unwrap());
        let said = site.done(&["replay", "--baseline-input", paths[0], "--input", paths[1]]);
        let rows = rows(name);
        assert_eq!((said.lines().count(), rows.len()), (10, 10));
        for (line, row) in said.lines().zip(&rows) {
            agrees(&serde_json::from_str(line).unwrap(), row);
        }
    }
}

/// The event without the type that replay puts first.
pub fn untyped(line: &str, kind: &str) -> String {
    let head = format!("{{\"type\":\"{kind}\",");
    line.strip_prefix(&head)
        .map_or_else(|| panic!("{line}"), |rest| format!("{{{rest}"))
}

fn rows(part: &str) -> Vec<BTreeMap<String, f64>> {
    let text = std::fs::read_to_string(reference("measures_mc.csv")).unwrap();
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let rows = lines
        .filter(|line| line.starts_with(&format!("{part},")))
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
    let mut estimates = Vec::new();
    let mut priors = Vec::new();
    let measure = |name: &str| event["measures"][name].as_f64();
    let exact = |expected: f64| (1e-9 * expected.abs()).max(1e-12);
    for (column, &expected) in row {
        let (measured, tolerance) = if column == "window" {
            continue;
        } else if column == "prior_condition" {
            (measure("label_shift_condition"), 1e-6)
        } else if column.starts_with("prior_") {
            priors.push(expected);
            continue;
        } else if column.starts_with("estimated_") {
            estimates.push(expected);
            continue;
        } else if let Some(class) = column.strip_prefix("kl_class_") {
            let classes = event["classes"].as_array().unwrap();
            let found = classes
                .iter()
                .find(|shift| shift["class"] == class)
                .unwrap();
            (found["bits"].as_f64(), exact(expected))
        } else if let Some(name) = column.strip_suffix("_exact") {
            // A bucket of the histogram is 1 %, or 0.001 bit.
            let tolerance = if name == "entropy_shift" {
                0.01
            } else {
                (0.01 * expected).max(0.001)
            };
            (measure(name), tolerance)
        } else {
            (measure(column), exact(expected))
        };
        close(column, measured, expected, tolerance);
        compared += 1;
    }
    assert_eq!((compared, priors.len(), estimates.len()), (32, 3, 4));

    estimates.sort_by(f64::total_cmp);
    let middle = f64::midpoint(estimates[1], estimates[2]);
    for (name, expected) in [
        ("estimated_accuracy_least", estimates[0]),
        ("estimated_accuracy", middle),
        ("estimated_accuracy_most", estimates[3]),
    ] {
        close(name, measure(name), expected, 0.01);
    }
    // In order of class; none is below 0, so that they sum to 1 but for how C was rounded.
    let sum: f64 = priors.iter().sum();
    let off = priors
        .iter()
        .zip(PRIORS)
        .map(|(now, before)| (now / sum - before).abs());
    close(
        "label_shift",
        measure("label_shift"),
        off.sum::<f64>() / 2.0,
        1e-6,
    );
    assert_eq!(event["measures"]["labelled"], 6_000);
    assert_eq!(event["measures"]["unknown_labels"], 0);
}

#[track_caller]
fn close(name: &str, measured: Option<f64>, expected: f64, tolerance: f64) {
    let measured = measured.unwrap_or_else(|| panic!("{name} is absent"));
    assert!(
        (measured - expected).abs() <= tolerance,
        "{name}: {measured} instead of {expected}"
    );
}
