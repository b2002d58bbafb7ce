//! The way of a record from bytes into its Summary, whole and in parts, on one core.
//!
//! `cargo bench --bench hot_path [FILTER]`. Every figure is for a ring of records that differ, so
//! that no branch is learnt by heart; throughput is in bytes of payload and in records. Beside them
//! stand limits of the machine at hand: a pass that only adds the payload's bytes, and one that only
//! copies them.
//!
//! Distributions are softmaxes of normal logits (sd 2), written as Python's `json` writes floats:
//! shortest digits that give the float again, an exponent below 1e-4. `json_simple` has an escape in
//! its first key, which is enough for the fast path to leave a record to serde_json.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use klaxond::alert::rule::Rule;
use klaxond::decode::{
    Decoder, DecoderSpec, DimensionSource, Format, Kind, NoHeaders, Record, Scratch,
};
use klaxond::engine::spec::{BaselineSpec, ModelLimits, ModelSpec};
use klaxond::engine::summarise::Summarise;
use klaxond::information::distribution::probabilities;
use klaxond::information::entropy::{entropy, top_two};
use klaxond::summary::Summary;
use klaxond::window::WindowSpec;
use klaxond::window::watermark::PartitionTime;

const CLASSES: [usize; 4] = [2, 10, 100, 1000];

/// 2026-11-23T10:00:00Z.
const START_MS: i64 = 1_795_428_000_000;

fn main() {
    divan::main();
}

mod limits {
    use super::*;

    #[divan::bench(args = CLASSES)]
    fn add_the_bytes(bencher: Bencher, classes: usize) {
        let ring = Ring::json(classes, Digits::All, "id");
        ring.bench(bencher, |payload| {
            let sum: u64 = payload.iter().map(|byte| u64::from(*byte)).sum();
            black_box(sum);
        });
    }

    #[divan::bench(args = CLASSES)]
    fn copy_the_bytes(bencher: Bencher, classes: usize) {
        let ring = Ring::json(classes, Digits::All, "id");
        let mut copy = Vec::new();
        ring.bench(bencher, move |payload| {
            copy.clear();
            copy.extend_from_slice(payload);
            black_box(&copy);
        });
    }
}

mod decode {
    use super::*;

    fn decode(bencher: Bencher, format: Format, ring: &Ring) {
        let decoder = Decoder::new(decoder(format));
        let mut scratch = Scratch::default();
        ring.bench(bencher, move |payload| {
            decoder
                .decode(&record(payload), &mut scratch)
                .expect("the payload is good");
            black_box(&scratch);
        });
    }

    #[divan::bench(args = CLASSES)]
    fn json(bencher: Bencher, classes: usize) {
        decode(
            bencher,
            Format::Json,
            &Ring::json(classes, Digits::All, "id"),
        );
    }

    #[divan::bench(args = CLASSES)]
    fn json_simple(bencher: Bencher, classes: usize) {
        let ring = Ring::json(classes, Digits::All, "\\u0069d");
        decode(bencher, Format::Json, &ring);
    }

    #[divan::bench(args = CLASSES)]
    fn json_6_digits(bencher: Bencher, classes: usize) {
        decode(
            bencher,
            Format::Json,
            &Ring::json(classes, Digits::Six, "id"),
        );
    }

    #[divan::bench(args = CLASSES)]
    fn f32le(bencher: Bencher, classes: usize) {
        decode(bencher, Format::F32Le, &Ring::f32le(classes));
    }

    #[divan::bench(args = CLASSES)]
    fn f64le(bencher: Bencher, classes: usize) {
        decode(bencher, Format::F64Le, &Ring::f64le(classes));
    }
}

/// Decode and all that follows until the record is in its Summary.
mod summarise {
    use super::*;

    fn summarise(bencher: Bencher, format: Format, ring: &Ring) {
        let mut summarise = Summarise::new(Arc::new(model(format)));
        let mut partition = PartitionTime::default();
        ring.bench(bencher, move |payload| {
            summarise
                .record(&mut partition, &record(payload), None)
                .expect("the payload is good");
        });
    }

    #[divan::bench(args = CLASSES)]
    fn json(bencher: Bencher, classes: usize) {
        summarise(
            bencher,
            Format::Json,
            &Ring::json(classes, Digits::All, "id"),
        );
    }

    #[divan::bench(args = CLASSES)]
    fn json_simple(bencher: Bencher, classes: usize) {
        let ring = Ring::json(classes, Digits::All, "\\u0069d");
        summarise(bencher, Format::Json, &ring);
    }

    #[divan::bench(args = CLASSES)]
    fn json_6_digits(bencher: Bencher, classes: usize) {
        summarise(
            bencher,
            Format::Json,
            &Ring::json(classes, Digits::Six, "id"),
        );
    }

    #[divan::bench(args = CLASSES)]
    fn f32le(bencher: Bencher, classes: usize) {
        summarise(bencher, Format::F32Le, &Ring::f32le(classes));
    }

    #[divan::bench(args = CLASSES)]
    fn f64le(bencher: Bencher, classes: usize) {
        summarise(bencher, Format::F64Le, &Ring::f64le(classes));
    }
}

/// What is done to each distribution, one by one. Bytes are those of its floats.
mod kernels {
    use super::*;

    fn kernel(bencher: Bencher, classes: usize, mut run: impl FnMut(&mut Vec<f64>)) {
        let distributions = distributions(classes);
        let mut p = Vec::new();
        bencher
            .counter(BytesCount::new(
                distributions.len() * classes * size_of::<f64>(),
            ))
            .counter(ItemsCount::new(distributions.len()))
            .bench_local(|| {
                for distribution in &distributions {
                    p.clone_from(black_box(distribution));
                    run(&mut p);
                }
            });
    }

    /// What each of the others pays for its input.
    #[divan::bench(args = CLASSES)]
    fn nothing(bencher: Bencher, classes: usize) {
        kernel(bencher, classes, |p| {
            black_box(p);
        });
    }

    #[divan::bench(args = CLASSES)]
    fn probabilities_(bencher: Bencher, classes: usize) {
        kernel(bencher, classes, |p| {
            probabilities(p).expect("they are");
            black_box(p);
        });
    }

    #[divan::bench(args = CLASSES)]
    fn entropy_(bencher: Bencher, classes: usize) {
        kernel(bencher, classes, |p| {
            black_box(entropy(p));
        });
    }

    #[divan::bench(args = CLASSES)]
    fn top_two_(bencher: Bencher, classes: usize) {
        kernel(bencher, classes, |p| {
            black_box(top_two(p));
        });
    }

    #[divan::bench(args = CLASSES)]
    fn summary_add(bencher: Bencher, classes: usize) {
        let mut summary = Summary::new(classes);
        kernel(bencher, classes, move |p| {
            summary.add(p, START_MS);
        });
    }

    #[divan::bench(args = CLASSES)]
    fn summary_merge(bencher: Bencher, classes: usize) {
        let mut pane = Summary::new(classes);
        for p in distributions(classes) {
            pane.add(&p, START_MS);
        }
        let mut window = pane.clone();
        bencher
            .counter(ItemsCount::new(1_usize))
            .bench_local(|| window.merge(black_box(&pane)));
    }
}

/// Payloads that are read one after the other.
struct Ring(Vec<Vec<u8>>);

/// How many digits the floats of a payload have.
#[derive(Clone, Copy)]
enum Digits {
    /// As many as it takes to give the float again.
    All,
    /// `round(p, 6)`.
    Six,
}

impl Ring {
    fn json(classes: usize, digits: Digits, id_key: &str) -> Self {
        let document = |(i, p): (usize, Vec<f64>)| {
            let numbers: Vec<_> = p.iter().map(|p| python(*p, digits)).collect();
            let time_ms = START_MS as usize + i * 10;
            let country = ["DE", "FR", "PL", "SE"][i % 4];
            format!(
                "{{\"{id_key}\": {i}, \"ts\": {time_ms}, \"country\": \"{country}\", \
                 \"probabilities\": [{}]}}",
                numbers.join(", ")
            )
            .into_bytes()
        };
        Self(
            distributions(classes)
                .into_iter()
                .enumerate()
                .map(document)
                .collect(),
        )
    }

    fn f32le(classes: usize) -> Self {
        let payload = |p: Vec<f64>| p.iter().flat_map(|p| (*p as f32).to_le_bytes()).collect();
        Self(distributions(classes).into_iter().map(payload).collect())
    }

    fn f64le(classes: usize) -> Self {
        let payload = |p: Vec<f64>| p.iter().flat_map(|p| p.to_le_bytes()).collect();
        Self(distributions(classes).into_iter().map(payload).collect())
    }

    fn bench(&self, bencher: Bencher, mut run: impl FnMut(&[u8])) {
        bencher
            .counter(BytesCount::new(self.0.iter().map(Vec::len).sum::<usize>()))
            .counter(ItemsCount::new(self.0.len()))
            .bench_local(|| {
                for payload in &self.0 {
                    run(black_box(payload));
                }
            });
    }
}

/// Softmaxes of normal logits: few when they are long, so that they stay in the cache.
fn distributions(classes: usize) -> Vec<Vec<f64>> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut normal = || {
        let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * random.f64()).cos()
    };
    let mut distribution = || {
        let weights: Vec<f64> = (0..classes).map(|_| (2.0 * normal()).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / total).collect()
    };
    (0..(16_000 / classes).clamp(16, 500))
        .map(|_| distribution())
        .collect()
}

/// A float as Python's `json` writes it.
fn python(p: f64, digits: Digits) -> String {
    let p = match digits {
        Digits::All => p,
        Digits::Six => (p * 1e6).round() / 1e6,
    };
    if p == 0.0 || p >= 1e-4 {
        return format!("{p:?}");
    }
    let text = format!("{p:e}");
    let (mantissa, exponent) = text.split_once("e-").expect("it is below 1");
    let mut out = String::new();
    let _ = write!(out, "{mantissa}e-{exponent:0>2}"); // a String takes everything
    out
}

fn record(payload: &[u8]) -> Record<'_> {
    Record {
        payload: Some(payload),
        timestamp_ms: Some(START_MS),
        headers: &NoHeaders,
    }
}

/// Raw payloads have neither a time of their own nor dimensions.
fn decoder(format: Format) -> DecoderSpec {
    let json = format == Format::Json;
    let country = (
        "country".to_owned(),
        DimensionSource::Pointer("/country".to_owned()),
    );
    DecoderSpec {
        format,
        kind: Kind::Probabilities,
        probabilities: None,
        timestamp: json.then(|| "/ts".to_owned()),
        dimensions: if json { vec![country] } else { Vec::new() },
        tags: Vec::new(),
        label: None,
        max_payload_bytes: 1 << 20,
        max_classes: 10_000,
    }
}

fn model(format: Format) -> ModelSpec {
    ModelSpec {
        name: "bench".to_owned(),
        topics: vec!["predictions".to_owned()],
        decoder: decoder(format),
        classes: None,
        window: WindowSpec::Time {
            length_ms: 300_000,
            slide_ms: 10_000,
        },
        lateness_ms: 5_000,
        idle_after_ms: 30_000,
        max_ahead_ms: 300_000,
        baseline: BaselineSpec::None,
        min_baseline_records: 1_000,
        forget_streams_after_ms: 86_400_000,
        rules: Vec::<Rule>::new(),
        budgets: Vec::new(),
        season: None,
        review: None,
        limits: ModelLimits {
            streams: 1_000,
            open_panes: 1_000,
        },
    }
}
