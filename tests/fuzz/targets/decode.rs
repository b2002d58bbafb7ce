//! A record's bytes through a decoder: every format and kind, with and without pointers, dimensions
//! and headers.
//!
//! Input: `how u8 │ fields u8 │ header length u8 │ header │ payload`; the bits are in `spec`.

#![no_main]

use klaxond::decode::{
    Decoder, DecoderSpec, DimensionSource, Format, Headers, Kind, MAX_TEXT_BYTES, Record, Scratch,
};
use klaxond::observation::{Form, Millis, NO_VALUE, Rejection, rfc3339};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// RFC 3339 ends with the year 9999; jiff stops a day and two hours short of it, for its offsets.
const YEARS: std::ops::RangeInclusive<Millis> = -377_705_116_800_000..=253_402_300_799_999;
const KAFKA_MS: Millis = 1_795_000_000_000;
/// "At most a few hundred bytes whatever the payload".
const MAX_DETAIL_BYTES: usize = 600;

struct OneHeader<'a>(&'a [u8]);

impl Headers for OneHeader<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        (name == "h").then_some(self.0)
    }
}

fn spec(how: u8, fields: u8) -> DecoderSpec {
    let format = match how & 3 {
        0 | 1 => Format::Json,
        2 => Format::F32Le,
        _ => Format::F64Le,
    };
    let kind = match ((how >> 2) & 3, how & 16 != 0) {
        (0, false) => Kind::Probabilities,
        (1, false) => Kind::Logits,
        (2, false) => Kind::LogProbabilities,
        (_, false) => Kind::Binary,
        (0, true) => Kind::Multilabel,
        (1, true) => Kind::TopK {
            vocabulary: 50,
            max_tokens: 100,
        },
        (_, true) => Kind::Ensemble {
            members: Some(2),
            max_members: 5,
        },
    };
    let probabilities = match fields & 3 {
        0 => Some("/p"),
        1 => None,
        2 => Some("/a/0/b~1c"),
        _ => Some(""),
    };
    let mut dimensions = Vec::new();
    if fields & 8 != 0 {
        dimensions.push(("header", DimensionSource::Header("h".to_owned())));
    }
    if fields & 16 != 0 {
        dimensions.push(("value", DimensionSource::Pointer("/v".to_owned())));
        dimensions.push(("within", DimensionSource::Pointer("/a/1".to_owned())));
    }
    let tag = || ("tag".to_owned(), DimensionSource::Pointer("/v".to_owned()));
    let tags = (fields & 64 != 0).then(tag);
    let small = fields & 32 != 0;
    DecoderSpec {
        format,
        kind,
        probabilities: probabilities.map(str::to_owned),
        timestamp: (fields & 4 != 0).then(|| "/t".to_owned()),
        dimensions: dimensions
            .into_iter()
            .map(|(name, source)| (name.to_owned(), source))
            .collect(),
        tags: tags.into_iter().collect(),
        label: (fields & 128 != 0).then(|| DimensionSource::Pointer("/l".to_owned())),
        max_payload_bytes: if small { 256 } else { 1 << 20 },
        max_classes: if small { 4 } else { 1_000 },
    }
}

/// What a decoder said, without the memory that it works in.
#[derive(Debug, PartialEq)]
struct Said {
    verdict: Result<(Vec<f64>, Vec<String>, Vec<String>), Rejection>,
    /// Of an accepted record.
    form: Option<Form>,
    tags: Vec<String>,
    label: Option<String>,
    time_ms: Option<Millis>,
}

fn decode(decoder: &Decoder, record: &Record<'_>, scratch: &mut Scratch) -> Said {
    let verdict = decoder.decode(record, scratch).map(|()| {
        (
            scratch.probabilities.clone(),
            scratch.class_names.clone(),
            scratch.dimensions.clone(),
        )
    });
    let accepted = verdict.is_ok();
    let tags = scratch.tags.iter().filter(|_| accepted);
    let label = scratch.label().filter(|_| accepted);
    Said {
        form: verdict.is_ok().then_some(scratch.form),
        verdict,
        tags: tags.cloned().collect(),
        label: label.map(str::to_owned),
        time_ms: scratch.time_ms,
    }
}

fn check(spec: &DecoderSpec, said: &Said) {
    if let Some(time_ms) = said.time_ms {
        assert!(YEARS.contains(&time_ms), "{}", rfc3339(time_ms));
    }
    match &said.verdict {
        Ok((probabilities, names, dimensions)) => {
            assert!(said.time_ms.is_some(), "accepted without a time");
            assert!(probabilities.len() <= spec.max_classes.max(2));
            assert!(probabilities.iter().all(|p| p.is_finite() && *p >= 0.0));
            let sum: f64 = probabilities.iter().sum();
            match said.form {
                Some(Form::Response(response)) => {
                    assert!(probabilities.is_empty() && response.tokens > 0);
                    assert!(0.0 <= response.least_bits);
                    assert!(response.least_bits <= response.most_bits);
                    assert!(response.most_bits.is_finite());
                }
                Some(Form::Multilabel) => assert!(probabilities.iter().all(|p| *p <= 1.0)),
                _ => assert!((sum - 1.0).abs() <= 1e-9, "{sum}"),
            }
            assert!(names.is_empty() || names.len() == probabilities.len());
            assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
            assert_eq!(dimensions.len(), spec.dimensions.len());
            let texts = names.iter().chain(dimensions);
            assert!(texts.into_iter().all(|t| t.len() <= MAX_TEXT_BYTES));
        }
        Err(Rejection { detail, .. }) => {
            assert!(!detail.is_empty() && detail.len() <= MAX_DETAIL_BYTES);
            assert!(!detail.contains(char::is_control), "{detail:?}");
        }
    }
}

/// What was accepted is JSON to another parser too, which finds the same numbers in it.
fn check_against_serde(spec: &DecoderSpec, said: &Said, payload: &[u8]) {
    let Ok((probabilities, names, dimensions)) = &said.verdict else {
        return;
    };
    let skipped: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(payload);
    assert!(skipped.is_ok(), "accepted what is no JSON");
    let (Some(pointer), Kind::Probabilities) = (&spec.probabilities, spec.kind) else {
        return;
    };
    // Strings that are skipped are not looked at, and serde_json has limits of its own.
    let Ok(document) = serde_json::from_slice::<Value>(payload) else {
        return;
    };
    let found = document
        .pointer(pointer)
        .expect("the distribution is there");
    let number = |value: &Value| value.as_f64().expect("a number is a number");
    let mut numbers: Vec<(Option<&str>, f64)> = match found {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (Some(name.as_str()), number(value)))
            .collect(),
        Value::Array(values) => match values.as_slice() {
            [Value::Array(values)] => values.iter().map(|v| (None, number(v))).collect(),
            values => values.iter().map(|v| (None, number(v))).collect(),
        },
        other => panic!("accepted {other}"),
    };
    numbers.sort_by_key(|(name, _)| *name);
    let sum: f64 = numbers.iter().map(|(_, p)| p.max(0.0)).sum();
    assert_eq!(numbers.len(), probabilities.len());
    for (at, ((name, expected), got)) in numbers.iter().zip(probabilities).enumerate() {
        assert_eq!(*name, names.get(at).map(String::as_str));
        let expected = expected.max(0.0) / sum;
        assert!((got - expected).abs() <= 1e-12, "{got} for {expected}");
    }
    for ((_, source), got) in spec.dimensions.iter().zip(dimensions) {
        if let DimensionSource::Pointer(pointer) = source {
            match document.pointer(pointer) {
                None | Some(Value::Null) => assert_eq!(got, NO_VALUE),
                Some(Value::String(text)) => assert_eq!(got, text),
                Some(Value::Bool(flag)) => assert_eq!(got, &flag.to_string()),
                Some(Value::Number(number)) => {
                    assert_eq!(got.parse::<f64>().ok(), number.as_f64());
                }
                Some(other) => panic!("a dimension is {other}"),
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [how, fields, length, rest @ ..] = data else {
        return;
    };
    let Some((header, payload)) = rest.split_at_checked(usize::from(*length)) else {
        return;
    };
    let spec = spec(*how, *fields);
    let decoder = Decoder::new(spec.clone());
    let headers = OneHeader(header);
    let record = Record {
        payload: (how & 64 == 0).then_some(payload),
        timestamp_ms: (how & 32 == 0).then(|| match header {
            [64, time @ ..] if time.len() == 8 => {
                Millis::from_le_bytes(time.try_into().expect("there are eight"))
            }
            _ => KAFKA_MS,
        }),
        headers: &headers,
    };

    let said = decode(&decoder, &record, &mut Scratch::default());
    check(&spec, &said);
    if spec.format == Format::Json && record.payload.is_some() {
        check_against_serde(&spec, &said, payload);
    }

    // What another record left in the scratch says nothing.
    let mut used = Scratch::default();
    let other = Record {
        payload: Some(br#"{"p":{"b":0.25,"a":0.75},"v":"x","t":1,"a":[2,3]}"#),
        timestamp_ms: Some(1),
        headers: &OneHeader(b"y"),
    };
    let _ = decoder.decode(&other, &mut used);
    assert_eq!(decode(&decoder, &record, &mut used), said);
});
