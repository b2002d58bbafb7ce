//! Records that tests feed.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

pub fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reference")
        .join(name)
}

/// Rows of `input_mc.csv.gz`: the probabilities of one part, and the true class.
pub fn mc(part: &str) -> Vec<([f64; 3], u32)> {
    let file = std::fs::File::open(reference("input_mc.csv.gz")).unwrap();
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let rows = text.lines().skip(1).filter_map(|line| {
        let mut fields = line.split(',');
        (fields.next() == Some(part)).then(|| {
            let p = [0, 1, 2].map(|_| fields.next().unwrap().parse().unwrap());
            (p, fields.nth(1).unwrap().parse().unwrap())
        })
    });
    rows.collect()
}

/// A whole multiple of ten minutes, well in the past: 2026-11-20T10:00:00Z.
pub const T0: i64 = 1_795_168_800_000;

/// Record `i` of a model that outputs `p`, every `every_ms`.
pub fn record(i: usize, every_ms: i64, p: &[f64]) -> String {
    let ts = T0 + i as i64 * every_ms;
    format!("{{\"p\":{p:?},\"ts\":{ts}}}")
}

/// A whole scene of a model with two classes, one record each 100 ms: sure, then unsure and with
/// other classes, then as before. `seconds` each.
pub fn scene(seconds: usize) -> Vec<String> {
    // A small generator, so that records differ and are always the same.
    let mut state: u64 = 1948;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    let per_act = seconds * 10;
    (0..3 * per_act)
        .map(|i| {
            let drifted = (per_act..2 * per_act).contains(&i);
            let p = if drifted {
                0.3 + 0.3 * random()
            } else {
                0.02 + 0.1 * random()
            };
            record(i, 100, &[1.0 - p, p])
        })
        .collect()
}

/// The models that fit [`scene`], with rules that see it.
pub const SCENE: &str = r#"
[models.m]
topics = ["TOPIC"]
fields = { probabilities = "/p", timestamp = "/ts" }
classes = ["no", "yes"]
lateness = "0s"
idle_after = "1h"
window = { length = "10s", slide = "5s" }
baseline = "m"

[[models.m.alerts]]
name = "uncertain"
measure = "entropy"
above = 0.7
clear = 0.6
severity = "critical"

[[models.m.alerts]]
name = "drifted"
measure = "kl"
above = 0.05
for = "5s"
"#;

/// One record a line.
pub fn lines(records: &[String]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

/// Round robin over partitions.
pub fn spread<'a>(
    records: &'a [String],
    partitions: i32,
) -> impl Iterator<Item = (i32, Option<&'a [u8]>)> {
    let at =
        move |(i, record): (usize, &'a String)| (i as i32 % partitions, Some(record.as_bytes()));
    records.iter().enumerate().map(at)
}
