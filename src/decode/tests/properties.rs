//! Laws for all bytes: no panic, nothing that is not finite, harmless details, no order of keys.

use proptest::prelude::*;

use super::*;

const FORMATS: [Format; 3] = [Format::Json, Format::F32Le, Format::F64Le];
const KINDS: [Kind; 7] = [
    Kind::Probabilities,
    Kind::Logits,
    Kind::LogProbabilities,
    Kind::Binary,
    Kind::Multilabel,
    Kind::Ensemble {
        members: Some(2),
        max_members: 3,
    },
    Kind::TopK {
        vocabulary: 5,
        max_tokens: 3,
    },
];

/// Decodes with every format and kind, and holds each outcome to what is promised.
fn check(payload: &[u8]) -> Result<(), TestCaseError> {
    for format in FORMATS {
        for kind in KINDS {
            for base in [spec(), bare()] {
                let (scratch, result) = decode(
                    DecoderSpec {
                        format,
                        kind,
                        ..base
                    },
                    payload,
                );
                match result {
                    Ok(()) => check_accepted(&scratch)?,
                    Err(rejection) => check_refused(&rejection)?,
                }
            }
        }
    }
    Ok(())
}

fn check_accepted(scratch: &Scratch) -> Result<(), TestCaseError> {
    let p = &scratch.probabilities;
    prop_assert!(p.len() <= spec().max_classes);
    prop_assert!(p.iter().all(|p| (0.0..=1.0 + 1e-12).contains(p)), "{p:?}");
    let is_distribution = (p.iter().sum::<f64>() - 1.0).abs() < 1e-9;
    match scratch.form {
        Form::Distribution => prop_assert!(is_distribution, "{p:?}"),
        Form::Ensemble { expected_bits } => {
            prop_assert!(is_distribution, "{p:?}");
            prop_assert!(
                (0.0..=2.0 + 1e-9).contains(&expected_bits),
                "{expected_bits}"
            );
        }
        Form::Multilabel => prop_assert!(!p.is_empty()),
        Form::Response(response) => {
            prop_assert!(p.is_empty() && (1..=3).contains(&response.tokens));
            let most = response.tokens as f64 * 5_f64.log2() + 1e-9;
            let bounds = (response.least_bits, response.most_bits);
            prop_assert!(
                0.0 <= bounds.0 && bounds.0 <= bounds.1 && bounds.1 <= most,
                "{bounds:?}"
            );
        }
    }
    prop_assert!(scratch.class_names.is_empty() || scratch.class_names.len() == p.len());
    prop_assert!(
        scratch.class_names.is_sorted_by(|a, b| a < b),
        "{:?}",
        scratch.class_names
    );
    prop_assert!(
        scratch
            .dimensions
            .iter()
            .all(|text| text.len() <= MAX_TEXT_BYTES)
    );
    prop_assert!(scratch.time_ms.and_then(timestamp::from_millis).is_some());
    Ok(())
}

fn check_refused(rejection: &Rejection) -> Result<(), TestCaseError> {
    let detail = &rejection.detail;
    prop_assert!(
        detail.len() <= 600 && !detail.chars().any(char::is_control),
        "{detail:?}"
    );
    Ok(())
}

/// Documents near enough to what is wanted that most of the reading happens.
fn value() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("NaN".to_owned()),
        Just("-Infinity".to_owned()),
        Just("1e999".to_owned()),
        Just("1".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:e}")),
        (0.0..1.0f64).prop_map(|p| format!("[{p}, {}]", 1.0 - p)),
        (0.0..1.0f64).prop_map(|p| format!(r#"{{"b": {p}, "a": {}}}"#, 1.0 - p)),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("\"2024-01-02T03:04:05.678Z\"".to_owned()),
        (0.0..1.0f64).prop_map(|p| format!("[[{p}, {}], [1, 0]]", 1.0 - p)),
        (-12.0..0.0f64).prop_map(|l| format!(r#"[{{"token": "a", "logprob": {l}}}, {l}]"#)),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let key = prop_oneof![
            "out",
            "p",
            "ts",
            "v",
            "y",
            "device",
            "country",
            "probs",
            "logits",
            "tokens",
            "top_logprobs",
            "logprob",
            "[a-c]"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|v| format!("[{}]", v.join(","))),
            prop::collection::vec((key, inner), 0..5).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| format!("{key:?}: {value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
    .boxed()
}

/// The members of a document that [`spec`] or [`bare`] may accept, in any order. Most values are
/// good, so that what comes after a bad one is reached.
fn members(value: BoxedStrategy<String>) -> BoxedStrategy<Vec<String>> {
    let mostly = |good: &[&'static str]| {
        let good = prop::sample::select(good.to_vec()).prop_map(str::to_owned);
        prop_oneof![5 => good, 1 => value.clone()]
    };
    let p = || {
        mostly(&[
            "[0.25, 0.75]",
            "{\"b\": 0.5, \"a\": 0.5}",
            "[[0, 0, 1]]",
            "0.5",
            "[-3e2]",
            "[[0.5, 0.5], [1, 0]]",
            "[{\"a\": -1.5, \"b\": -0.5}, [-0.5]]",
            "{\"content\": [{\"token\": \"a\", \"logprob\": -1, \"top_logprobs\": [-2]}]}",
        ])
    };
    let ts = mostly(&["\"2024-01-02T03:04:05.678Z\"", "1704164645.678"]);
    let text = || mostly(&["\"DE\"", "7", "null"]);
    let (y, device) = (mostly(&["\"cat\"", "1", "true"]), text());
    (
        "(probs|logits|tokens|x)",
        p(),
        p(),
        text(),
        ts,
        text(),
        y,
        device,
    )
        .prop_map(|(name, usual, p, country, ts, v, y, device)| {
            vec![
                format!("\"{name}\": {usual}"),
                format!(r#""out": {{"p": {p}, "country": {country}, "device": {device}}}"#),
                format!("\"y\": {y}"),
                format!("\"ts\": {ts}"),
                format!("\"v\": {v}"),
            ]
        })
        .prop_shuffle()
        .boxed()
}

pub(super) fn object(members: &[String]) -> String {
    format!("{{{}}}", members.join(", "))
}

pub(super) fn document() -> impl Strategy<Value = String> {
    prop_oneof![1 => value(), 4 => members(value()).prop_map(|members| object(&members))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes(payload in prop::collection::vec(any::<u8>(), 0..64)) {
        check(&payload)?;
    }

    #[test]
    fn any_document(document in document()) {
        check(document.as_bytes())?;
    }

    #[test]
    fn any_damaged_document(
        document in document(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut payload = document.into_bytes();
        for (at, byte) in damage {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        check(&payload)?;
        check(&payload[..cut.index(payload.len())])?;
    }

    #[test]
    fn any_floats(floats in prop::collection::vec(prop::num::f64::ANY, 0..6)) {
        check(&floats.iter().flat_map(|f| f.to_le_bytes()).collect::<Vec<_>>())?;
        check(&floats.iter().flat_map(|f| (*f as f32).to_le_bytes()).collect::<Vec<_>>())?;
    }

    /// Whatever is wrong or right with a document, the order of its keys has no part in it.
    #[test]
    fn the_order_of_keys_is_nothing(
        members in members(value().prop_filter("json's own numbers", |value| {
            !["NaN", "Infinity", "1e999"].iter().any(|token| value.contains(token))
        }).boxed()),
    ) {
        let mut sorted = members.clone();
        sorted.sort();
        for spec in [spec(), bare()] {
            let (one, first) = decode(spec.clone(), object(&members));
            let (other, second) = decode(spec, object(&sorted));
            let (first, second) = (first.map_err(|r| r.reason), second.map_err(|r| r.reason));
            prop_assert_eq!(first, second);
            if first.is_ok() {
                prop_assert_eq!(one.label(), other.label());
                prop_assert_eq!(one.probabilities, other.probabilities);
                prop_assert_eq!(one.class_names, other.class_names);
                prop_assert_eq!(one.dimensions, other.dimensions);
                prop_assert_eq!(one.tags, other.tags);
            }
            if first != Err(Reason::Malformed) {
                prop_assert_eq!(one.time_ms, other.time_ms);
            }
        }
    }

    /// Shortest decimal texts of floats, through JSON and back to the bit (but for what
    /// renormalising does, which f64le gets as well).
    #[test]
    fn json_and_raw_agree(weights in prop::collection::vec(0.0..1.0f64, 1..5)) {
        let total: f64 = weights.iter().sum();
        prop_assume!(total > 1e-9);
        let p: Vec<f64> = weights.iter().map(|w| w / total).collect();
        let raw = DecoderSpec { format: Format::F64Le, ..bare() };
        let raw = accepted(raw, p.iter().flat_map(|p| p.to_le_bytes()).collect::<Vec<_>>());
        let json = accepted(bare(), format!(r#"{{"probs": {p:?}}}"#));
        for (a, b) in json.probabilities.iter().zip(&raw.probabilities) {
            prop_assert!((a - b).abs() <= 1e-15, "{a} {b}");
        }
    }
}
