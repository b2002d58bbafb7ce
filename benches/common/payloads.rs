//! Records as they lie in a topic, and a model that reads them.
//!
//! Distributions are softmaxes of normal logits (sd 2), written as Python's `json` writes floats:
//! shortest digits that give the float again, an exponent below 1e-4.

use std::fmt::Write as _;

use klaxond::alert::rule::Rule;
use klaxond::decode::{DecoderSpec, DimensionSource, Format, Kind, NoHeaders, Record};
use klaxond::engine::spec::{BaselineSpec, ModelLimits, ModelSpec};
use klaxond::window::WindowSpec;

/// 2026-11-23T10:00:00Z.
pub const START_MS: i64 = 1_795_428_000_000;

/// Payloads that are read one after the other.
pub struct Ring(Vec<Vec<u8>>);

/// How many digits the floats of a payload have.
#[derive(Clone, Copy)]
pub enum Digits {
    /// As many as it takes to give the float again.
    All,
    /// `round(p, 6)`.
    Six,
}

impl Ring {
    pub fn json(classes: usize, digits: Digits, id_key: &str) -> Self {
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

    pub fn f32le(classes: usize) -> Self {
        let payload = |p: Vec<f64>| p.iter().flat_map(|p| (*p as f32).to_le_bytes()).collect();
        Self(distributions(classes).into_iter().map(payload).collect())
    }

    pub fn f64le(classes: usize) -> Self {
        let payload = |p: Vec<f64>| p.iter().flat_map(|p| p.to_le_bytes()).collect();
        Self(distributions(classes).into_iter().map(payload).collect())
    }

    /// Softmaxes of uniform logits, one class more likely than the others; as 64-bit floats.
    pub fn of_a_likely_class(classes: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(1948);
        let mut payload = || {
            let mut p: Vec<f64> = (0..classes).map(|_| (2.0 * random.f64()).exp()).collect();
            p[random.usize(0..classes)] *= 2.0 * classes as f64;
            let total: f64 = p.iter().sum();
            p.iter().flat_map(|p| (p / total).to_le_bytes()).collect()
        };
        Self(
            (0..(16_000 / classes).clamp(16, 2_000))
                .map(|_| payload())
                .collect(),
        )
    }

    pub fn payloads(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// Of all payloads.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

/// Softmaxes of normal logits: few when they are long, so that they stay in the cache.
pub fn distributions(classes: usize) -> Vec<Vec<f64>> {
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

pub fn record(payload: &[u8]) -> Record<'_> {
    Record {
        payload: Some(payload),
        timestamp_ms: Some(START_MS),
        headers: &NoHeaders,
    }
}

/// Raw payloads have neither a time of their own nor dimensions.
pub fn decoder(format: Format) -> DecoderSpec {
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

pub fn model(format: Format) -> ModelSpec {
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
