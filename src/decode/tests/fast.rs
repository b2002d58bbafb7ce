//! The fast way against the simple one, which defines what is right: the same records accepted, as
//! the same to the bit, and the others refused in the same words.

use proptest::prelude::*;

use super::properties::{document, object};
use super::*;

/// All that comes of a record.
type Outcome = (
    Result<(), Rejection>,
    (
        Vec<u64>,
        Vec<String>,
        Vec<String>,
        Vec<String>,
        Option<String>,
    ),
    Option<Millis>,
);

fn outcome(read: ReadJson, spec: &DecoderSpec, payload: &[u8]) -> Outcome {
    let mut scratch = Scratch::default();
    let record = Record {
        payload: Some(payload),
        timestamp_ms: Some(T),
        headers: &NoHeaders,
    };
    let result = Decoder::new(spec.clone()).decode_by(read, &record, &mut scratch);
    let bits = scratch.probabilities.iter().map(|p| p.to_bits()).collect();
    let label = scratch.label().map(str::to_owned);
    let found = match result {
        Ok(()) => (
            bits,
            scratch.class_names,
            scratch.dimensions,
            scratch.tags,
            label,
        ),
        Err(_) => Default::default(),
    };
    (result, found, scratch.time_ms)
}

fn read_fast(spec: &DecoderSpec, payload: &[u8]) -> bool {
    let (mut scratch, mut findings) = (Scratch::sized(spec), Findings::default());
    let fields = Fields::new(spec);
    super::super::fast::read(&fields, spec, payload, &mut scratch, &mut findings).is_some()
}

impl Scratch {
    fn sized(spec: &DecoderSpec) -> Self {
        Self {
            dimensions: vec![String::new(); spec.dimensions.len()],
            tags: vec![String::new(); spec.tags.len()],
            ..Self::default()
        }
    }
}

#[track_caller]
fn same(spec: &DecoderSpec, payload: &[u8]) {
    let fast = outcome(Decoder::json, spec, payload);
    let simple = outcome(Decoder::simple_json, spec, payload);
    assert_eq!(fast, simple, "{}", String::from_utf8_lossy(payload));
}

fn specs() -> Vec<DecoderSpec> {
    let dimension = |p: &str| ("d".to_owned(), DimensionSource::Pointer(p.to_owned()));
    vec![
        spec(),
        bare(),
        DecoderSpec {
            kind: Kind::Logits,
            dimensions: vec![dimension("/logits/0"), dimension("/out/0"), dimension("/v")],
            ..bare()
        },
        DecoderSpec {
            kind: Kind::Binary,
            probabilities: Some(String::new()),
            ..bare()
        },
        DecoderSpec {
            probabilities: Some("/out/p/1".to_owned()),
            timestamp: Some("/v".to_owned()),
            dimensions: vec![dimension("/v")],
            tags: vec![dimension("/v"), dimension("/out/p/0")],
            label: Some(DimensionSource::Pointer("/v".to_owned())),
            ..bare()
        },
    ]
}

#[test]
fn usual_documents_are_read_fast() {
    for (spec, payload) in [
        (bare(), r#"{"probs": [0.25, 0.75]}"#),
        (bare(), "{\"probs\":[[1,0 ]\n]\t}\r\n"),
        (
            bare(),
            r#"{"ü": "ü", "x": [{"y": [-1.5e+9, true, false, null, {}, []]}], "probs": 1}"#,
        ),
        (
            bare(),
            r#"{"logits": {"a": 1}, "probs": {"b": 5.25e-05, "a": 0.5}, "outputs": 1}"#,
        ),
        (
            spec(),
            r#"{"out": {"country": "DE", "p": [1.0]}, "v": 7, "ts": 1704164645678}"#,
        ),
        (
            spec(),
            r#"{"out": {"p": [1e-7, 1.5E3]}, "v": 7.5, "ts": 1704164645.678, "y": 2}"#,
        ),
        (
            spec(),
            r#"{"out": {"p": null}, "v": true, "ts": "2024-01-02T03:04:05.678Z"}"#,
        ),
    ] {
        assert!(read_fast(&spec, payload.as_bytes()), "{payload}");
        same(&spec, payload.as_bytes());
    }
}

#[test]
fn doubts_are_left_to_the_simple_way() {
    for (spec, payload) in [
        (bare(), r#"{"pr\u006fbs": [0.25, 0.75]}"#),
        (bare(), r#"{"probs": [0.25, 0.75], "x": "\n"}"#),
        (bare(), "{\"probs\": [0.25, 0.75], \"x\": \"\t\"}"),
        (bare(), r#"{"probs": [0.25, 0.75]} {}"#),
        (bare(), r#"{"probs": [0.25, 0.75], "probs": [1]}"#),
        (bare(), r#"{"probs": [0.25, NaN]}"#),
        (bare(), r#"{"probs": [0.25, 1e999]}"#),
        (bare(), r#"{"probs": [0.25, 00.75]}"#),
        (bare(), r#"{"probs": [0.25, 01.75]}"#),
        (bare(), r#"{"probs": [0.25, 0.]}"#),
        (bare(), r#"{"probs": [0.25, 0.5.5]}"#),
        (bare(), r#"{"probs": [0.25, 0.5e-]}"#),
        (bare(), r#"{"probs": [0.25, -]}"#),
        (bare(), r#"{"probs": [0.25 0.5]}"#),
        (bare(), r#"{"probs": [0.25, 0.5,]}"#),
        (bare(), r#"{"probs": [0.2, 0.2, 0.2, 0.2, 0.2]}"#),
        (spec(), r#"{"out": 1e999, "ts": 5}"#),
        (
            spec(),
            r#"{"out": {"p": [1]}, "ts": 5, "v": 1234567890123456789012}"#,
        ),
        (spec(), r#"{"out": {"p": [1]}, "ts": 5, "v": -0}"#),
        (spec(), r#"{"out": {"p": [1]}, "ts": [5], "v": 1}"#),
        (spec(), r#"{"out": {"p": [1]}, "ts": true, "v": 1}"#),
        (spec(), r#"{"out": {"p": [1]}, "ts": "soon", "v": 1}"#),
        (spec(), r#"{"out": {"p": [1]}, "ts": 5, "y": [1]}"#),
        (spec(), r#"{"out": {"p": [1], "device": {}}, "ts": 5}"#),
    ] {
        assert!(!read_fast(&spec, payload.as_bytes()), "{payload}");
        same(&spec, payload.as_bytes());
    }
}

#[test]
fn any_cut_and_any_byte_of_a_document() {
    let long = format!("{}1", "0.0123456789012345678, ".repeat(2));
    let payload = format!(
        r#"{{"ü": [{{"y": [-1.5e+9, "x y"]}}], "ts": 1704164645678, "v": "7", "y": 1,
            "out": {{"p": [{long}, 5.25e-05], "country": "DE", "device": 3.5}}, "probs": {{"a": 0.5, "b": 0.5}}}}"#
    );
    let payload = payload.as_bytes();
    for spec in &specs() {
        for at in 0..payload.len() {
            same(spec, &payload[..at]);
            let mut other = payload.to_vec();
            for byte in b"\0 \"\\,:[]{}0195.eE+-anNtf\x1f\x7f\x80\xc3\xff" {
                other[at] = *byte;
                same(spec, &other);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn any_document(document in document()) {
        for spec in &specs() {
            same(spec, document.as_bytes());
        }
    }

    #[test]
    fn any_damaged_document(
        document in document(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
    ) {
        let mut payload = document.into_bytes();
        for (at, byte) in damage {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        for spec in &specs() {
            same(spec, &payload);
        }
    }

    #[test]
    fn a_key_that_is_repeated(document in document(), again in document()) {
        let body = |text: &str| text.trim_matches(['{', '}']).to_owned();
        let payload = object(&[body(&document), body(&again)]);
        for spec in &specs() {
            same(spec, payload.as_bytes());
        }
    }
}

/// `PROPTEST_CASES=1000000` for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(1_000)
}
