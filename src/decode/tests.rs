//! What is accepted, and as what. Why records are refused: `reasons`. What holds for all bytes:
//! `properties`. What is read fast is read right: `decimal`, `fast`.

mod decimal;
mod fast;
mod kinds;
mod properties;
mod reasons;

use super::*;

/// 2024-01-02T03:04:05.678Z, by `date -d … +%s`.
const T: Millis = 1_704_164_645_678;

struct Map(Vec<(&'static str, Vec<u8>)>);

impl Headers for Map {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .rev()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.as_slice())
    }
}

/// A JSON model with every pointer set, and a dimension from a header. One of the tags is a
/// dimension too.
fn spec() -> DecoderSpec {
    let pointer = |p: &str| DimensionSource::Pointer(p.to_owned());
    DecoderSpec {
        format: Format::Json,
        kind: Kind::Probabilities,
        probabilities: Some("/out/p".to_owned()),
        timestamp: Some("/ts".to_owned()),
        dimensions: vec![
            ("country".to_owned(), pointer("/out/country")),
            (
                "region".to_owned(),
                DimensionSource::Header("x-region".to_owned()),
            ),
            ("version".to_owned(), pointer("/v")),
        ],
        tags: vec![
            ("device".to_owned(), pointer("/out/device")),
            ("same".to_owned(), pointer("/v")),
        ],
        label: Some(pointer("/y")),
        max_payload_bytes: 1_000,
        max_classes: 4,
    }
}

/// A JSON model with nothing set: usual names, Kafka's time, no dimensions.
fn bare() -> DecoderSpec {
    DecoderSpec {
        probabilities: None,
        timestamp: None,
        dimensions: vec![],
        tags: vec![],
        label: None,
        ..spec()
    }
}

fn decode(spec: DecoderSpec, payload: impl AsRef<[u8]>) -> (Scratch, Result<(), Rejection>) {
    let mut scratch = Scratch::default();
    let record = Record {
        payload: Some(payload.as_ref()),
        timestamp_ms: Some(T),
        headers: &Map(vec![("x-region", b"eu".to_vec())]),
    };
    let result = Decoder::new(spec).decode(&record, &mut scratch);
    (scratch, result)
}

#[track_caller]
fn accepted(spec: DecoderSpec, payload: impl AsRef<[u8]>) -> Scratch {
    let (scratch, result) = decode(spec, payload);
    assert_eq!(result, Ok(()));
    scratch
}

#[test]
fn a_document_with_everything() {
    let payload = r#"
        {"y": "cat", "id": 7, "ts": "2024-01-02T04:04:05.6789+01:00", "skipped": [{"a": {"b": [1, {}]}}],
         "out": {"p": [0.25, 5e-1, 0.25], "country": "DE", "x": null}, "v": 3}"#;
    let scratch = accepted(spec(), payload);
    assert_eq!(scratch.probabilities, [0.25, 0.5, 0.25]);
    assert!(scratch.class_names.is_empty());
    assert_eq!(scratch.dimensions, ["DE", "eu", "3"]);
    assert_eq!(scratch.tags, [NO_VALUE, "3"]);
    assert_eq!(scratch.label(), Some("cat"));
    assert_eq!(scratch.time_ms, Some(T));
}

#[test]
fn an_object_of_class_name_to_number_is_sorted() {
    let scratch = accepted(
        bare(),
        r#"{"scores": {"legit": 0.75, "": 0, "fr\u0061ud": 0.25}}"#,
    );
    assert_eq!(scratch.class_names, ["", "fraud", "legit"]);
    assert_eq!(scratch.probabilities, [0.0, 0.25, 0.75]);
}

/// What is no text is refused where a label is wanted too; null and absent are no label.
#[test]
fn labels_and_tags_are_read_as_dimensions_are() {
    let of = |label: &str| {
        let payload =
            format!(r#"{{"out": {{"p": [1], "device": {label}}}, "ts": 1, "y": {label}}}"#);
        let (scratch, result) = decode(spec(), payload);
        result.map(|()| (scratch.label().map(str::to_owned), scratch.tags[0].clone()))
    };
    for (label, text) in [
        ("\"cat\"", "cat"),
        ("\"\"", ""),
        ("7", "7"),
        ("7.0", "7"),
        ("-1", "-1"),
        ("true", "true"),
    ] {
        let expected = (Some(text.to_owned()), text.to_owned());
        assert_eq!(of(label), Ok(expected), "{label}");
    }
    assert_eq!(of("null"), Ok((None, NO_VALUE.to_owned())));
    for label in [
        "[1]",
        "{}",
        &format!("{:?}", "x".repeat(MAX_TEXT_BYTES + 1)),
    ] {
        assert_eq!(of(label).unwrap_err().reason, Reason::WrongType, "{label}");
    }
    let (_, refused) = decode(spec(), r#"{"out": {"p": [1]}, "ts": 1, "y": {}}"#);
    let detail = "label: expected a string, number or boolean, found an object";
    assert_eq!(refused.unwrap_err().detail, detail);
    let (_, refused) = decode(spec(), r#"{"out": {"p": [1], "device": []}, "ts": 1}"#);
    let detail = "tag device: expected a string, number or boolean, found an array";
    assert_eq!(refused.unwrap_err().detail, detail);
}

#[test]
fn labels_and_tags_of_raw_records_are_in_headers() {
    let header = || DimensionSource::Header("x-region".to_owned());
    let raw = DecoderSpec {
        format: Format::F64Le,
        label: Some(header()),
        tags: vec![("region".to_owned(), header())],
        ..bare()
    };
    let scratch = accepted(raw.clone(), 1.0_f64.to_le_bytes());
    assert_eq!(scratch.label(), Some("eu"));
    assert_eq!(scratch.tags, ["eu"]);
    let decoder = Decoder::new(raw);
    let mut scratch = Scratch::default();
    for (value, label) in [(Some(b"a".to_vec()), Some("a")), (None, None)] {
        let headers = Map(value.map(|value| ("x-region", value)).into_iter().collect());
        let record = Record {
            payload: Some(&1.0_f64.to_le_bytes()),
            timestamp_ms: Some(T),
            headers: &headers,
        };
        assert_eq!(decoder.decode(&record, &mut scratch), Ok(()));
        assert_eq!(scratch.label(), label, "nothing stays of the record before");
    }
    let headers = Map(vec![("x-region", vec![0xff])]);
    let record = Record {
        payload: Some(&1.0_f64.to_le_bytes()),
        timestamp_ms: Some(T),
        headers: &headers,
    };
    let refused = decoder.decode(&record, &mut scratch).unwrap_err();
    assert_eq!(
        refused.detail,
        "tag region: header \"x-region\" is not utf-8"
    );
}

#[test]
fn nothing_of_a_record_stays_for_the_next() {
    let decoder = Decoder::new(DecoderSpec {
        probabilities: None,
        ..spec()
    });
    let mut scratch = Scratch::default();
    let mut decode = |payload: &str| {
        let payload = Some(payload.as_bytes());
        let record = Record {
            payload,
            timestamp_ms: Some(T),
            headers: &NoHeaders,
        };
        let result = decoder.decode(&record, &mut scratch);
        let taken = (scratch.probabilities.clone(), scratch.class_names.clone());
        (
            result.map_err(|r| r.reason),
            taken,
            scratch.dimensions.clone(),
            scratch.time_ms,
        )
    };
    let none = || vec![NO_VALUE.to_owned(); 3];
    let named = decode(r#"{"probs": {"b": 0.5, "a": 0.5}, "ts": 1, "v": "x"}"#);
    let names = vec!["a".to_owned(), "b".to_owned()];
    let dimensions = vec![NO_VALUE.to_owned(), NO_VALUE.to_owned(), "x".to_owned()];
    assert_eq!(
        named,
        (Ok(()), (vec![0.5, 0.5], names), dimensions, Some(1000))
    );
    let plain = decode(r#"{"probs": [1], "ts": 2}"#);
    assert_eq!(plain, (Ok(()), (vec![1.0], vec![]), none(), Some(2000)));
    let (result, _, dimensions, time_ms) = decode(r#"{"probs": [1]}"#);
    assert_eq!(
        (result, dimensions, time_ms),
        (Err(Reason::MissingField), none(), None)
    );
}

#[test]
fn memory_is_used_again() {
    let decoder = Decoder::new(DecoderSpec {
        probabilities: None,
        ..spec()
    });
    let mut scratch = Scratch::default();
    let payload = br#"{"probs": {"legit": 0.5, "fraud": 0.5}, "ts": 1, "v": "a version"}"#;
    let record = Record {
        payload: Some(payload),
        timestamp_ms: None,
        headers: &NoHeaders,
    };
    let mut places = Vec::new();
    // Names and members change places with every record, so that two in a row differ.
    for _ in 0..6 {
        decoder.decode(&record, &mut scratch).unwrap();
        let mut names: Vec<_> = scratch.class_names.iter().map(|s| s.as_ptr()).collect();
        names.sort();
        places.push((
            scratch.probabilities.as_ptr(),
            names,
            scratch.dimensions[2].as_ptr(),
        ));
    }
    assert_eq!(places[2..4], places[4..6]);
}

#[test]
fn usual_names_in_their_order() {
    for (payload, p) in [
        (
            r#"{"logits": [9], "probabilities": [0.25, 0.75], "probs": 4}"#,
            [0.25, 0.75],
        ),
        (
            r#"{"probs": {"b": 1, "a": 0}, "probabilities": [0.25, 0.75]}"#,
            [0.25, 0.75],
        ),
        (
            r#"{"outputs": [0.5, 0.5], "probabilities": null}"#,
            [0.5, 0.5],
        ),
        (
            r#"{"predictions": [[0.5, 0.5]], "outputs": {"p": [1]}}"#,
            [0.5, 0.5],
        ),
    ] {
        let scratch = accepted(bare(), payload);
        assert_eq!(scratch.probabilities, p, "{payload}");
        assert!(scratch.class_names.is_empty(), "{payload}");
    }
    // What a dimension is taken from is not taken for the distribution, whatever comes first.
    let dimensions = vec![(
        "v".to_owned(),
        DimensionSource::Pointer("/outputs/version".to_owned()),
    )];
    for payload in [
        r#"{"outputs": {"version": 7}, "logits": [0, 1]}"#,
        r#"{"logits": [0, 1], "outputs": {"version": 7}}"#,
    ] {
        let spec = DecoderSpec {
            kind: Kind::Logits,
            dimensions: dimensions.clone(),
            ..bare()
        };
        assert_eq!(accepted(spec, payload).dimensions, ["7"]);
    }
}

#[test]
fn pointers_by_rfc_6901() {
    let table: &[(&str, &str)] = &[
        ("", "[0.5, 0.5]"),
        ("/", r#"{"": [0.5, 0.5]}"#),
        ("/a~1b/m~0n/~01", r#"{"a/b": {"m~n": {"~1": [0.5, 0.5]}}}"#),
        ("/predictions/1", r#"{"predictions": [[1], [0.5, 0.5], 3]}"#),
        ("/0/p", r#"[{"p": [0.5, 0.5]}]"#),
        ("/o/0", r#"{"o": {"0": [0.5, 0.5]}}"#),
        ("/é x", r#"{"\u00e9 x": [0.5, 0.5]}"#),
    ];
    for (pointer, payload) in table {
        let spec = DecoderSpec {
            probabilities: Some((*pointer).to_owned()),
            ..bare()
        };
        assert_eq!(
            accepted(spec, payload).probabilities,
            [0.5, 0.5],
            "{pointer}"
        );
    }
    for (pointer, payload) in [
        ("/p/01", "{\"p\": [1, [1]]}"),
        ("/p/-", "{\"p\": [[1]]}"),
        ("/p/2", "{\"p\": [[1]]}"),
        ("/p/q", "{\"p\": 5}"),
        ("p", "{\"p\": [1]}"),
        ("/a~2", "{\"a~2\": [1]}"),
    ] {
        let spec = DecoderSpec {
            probabilities: Some(pointer.to_owned()),
            ..bare()
        };
        let reason = decode(spec, payload).1.map_err(|r| r.reason);
        assert_eq!(reason, Err(Reason::MissingField), "{pointer}");
    }
    assert!(parse_pointer("p").unwrap_err().contains("\"/p\""));
    assert!(parse_pointer("/a~").is_err() && parse_pointer("/a~2").is_err());
    assert_eq!(
        parse_pointer("/a~1b/~01/"),
        Ok(vec!["a/b".into(), "~1".into(), String::new()])
    );
}

#[test]
fn dimensions_as_text() {
    let spec = |p: &str| DecoderSpec {
        dimensions: vec![("d".to_owned(), DimensionSource::Pointer(p.to_owned()))],
        ..bare()
    };
    for (value, text) in [
        ("\"DE\"", "DE"),
        ("\"\"", ""),
        (r#""a\n\"b\u00e9""#, "a\n\"bé"),
        ("7", "7"),
        ("-7", "-7"),
        ("7.0", "7"),
        ("7.25", "7.25"),
        ("1e300", "1e300"),
        ("18446744073709551615", "18446744073709551615"),
        ("true", "true"),
        ("false", "false"),
        ("null", "(none)"),
    ] {
        let payload = format!(r#"{{"d": {value}, "probs": [1]}}"#);
        assert_eq!(accepted(spec("/d"), &payload).dimensions, [text], "{value}");
        assert_eq!(
            accepted(spec("/d/x"), &payload).dimensions,
            ["(none)"],
            "{value}"
        );
    }
    let longest = "x".repeat(MAX_TEXT_BYTES);
    let payload = format!(r#"{{"d": "{longest}", "probs": [1]}}"#);
    assert_eq!(accepted(spec("/d"), payload).dimensions, [longest]);
}

#[test]
fn times() {
    let spec = || DecoderSpec {
        timestamp: Some("/t".to_owned()),
        ..bare()
    };
    let spelled = |ms: Millis| format!("{}.{:03}", ms / 1000, ms % 1000);
    for ms in T..T + 1000 {
        let payload = format!(r#"{{"t": {}, "probs": [1]}}"#, spelled(ms));
        assert_eq!(accepted(spec(), payload).time_ms, Some(ms));
    }
    for (value, ms) in [
        ("\"2024-01-02T03:04:05.678Z\"", T),
        ("\"2024-01-02t03:04:05.678999z\"", T),
        ("\"2024-01-01T21:34:05.678-05:30\"", T),
        ("\"1969-12-31T23:59:59.9999Z\"", -1),
        ("1704164645", 1_704_164_645_000),
        ("1704164645678", T),
        ("1704164645678999", T),
        ("1704164645678999999", T),
        ("1704164645.678", T),
        ("1704164645.6789", T),
        ("1.704164645678e12", T),
        ("1704164645678999.0", T),
        ("1.704164645678e18", T),
        ("0", 0),
        ("-0.5", -500),
        ("-1", -1000),
        // the cutoffs: still seconds, then milliseconds, and so on
        ("99999999999", 99_999_999_999_000),
        ("100000000000", 100_000_000_000),
        ("99999999999999", 99_999_999_999_999),
        ("100000000000000", 100_000_000_000),
        ("99999999999999999", 99_999_999_999_999),
        ("100000000000000000", 100_000_000_000),
        ("1e11", 100_000_000_000),
        ("1e14", 100_000_000_000),
        ("1e17", 100_000_000_000),
        ("18446744073709551615", 18_446_744_073_709),
    ] {
        let scratch = accepted(spec(), format!(r#"{{"t": {value}, "probs": [1]}}"#));
        assert_eq!(scratch.time_ms, Some(ms), "{value}");
    }
}

#[test]
fn one_probability() {
    let spec = || DecoderSpec {
        kind: Kind::Binary,
        ..bare()
    };
    for payload in [
        "{\"probs\": 0.25}",
        "{\"probs\": [0.25]}",
        "{\"probs\": [[0.25]]}",
    ] {
        let scratch = accepted(spec(), payload);
        assert_eq!(scratch.probabilities, [0.75, 0.25], "{payload}");
        assert!(scratch.class_names.is_empty());
    }
    let raw = DecoderSpec {
        format: Format::F32Le,
        ..spec()
    };
    assert_eq!(
        accepted(raw, 0.25f32.to_le_bytes()).probabilities,
        [0.75, 0.25]
    );
    assert_eq!(accepted(spec(), "{\"probs\": 1}").probabilities, [0.0, 1.0]);
}

#[test]
fn logits_and_logarithms() {
    let spec = |kind| DecoderSpec { kind, ..bare() };
    // softmax of (x, x, x, x) is uniform, whatever x
    let scratch = accepted(spec(Kind::Logits), r#"{"logits": [1e3, 1e3, 1e3, 1000]}"#);
    assert_eq!(scratch.probabilities, [0.25; 4]);
    let ln_half = 0.5f64.ln();
    let payload = format!(r#"{{"logits": {{"b": {ln_half}, "a": {ln_half}}}}}"#);
    let scratch = accepted(spec(Kind::LogProbabilities), payload);
    assert_eq!(scratch.class_names, ["a", "b"]);
    assert_eq!(scratch.probabilities, [0.5; 2]);

    let raw = DecoderSpec {
        format: Format::F32Le,
        ..spec(Kind::LogProbabilities)
    };
    let payload = [0.0f32, f32::NEG_INFINITY].map(f32::to_le_bytes).concat();
    assert_eq!(accepted(raw, payload).probabilities, [1.0, 0.0]);
}

#[test]
fn raw_floats() {
    let spec = |format| DecoderSpec {
        format,
        probabilities: None,
        timestamp: None,
        ..spec()
    };
    let single = accepted(
        spec(Format::F32Le),
        [0.25f32, 0.75].map(f32::to_le_bytes).concat(),
    );
    assert_eq!(single.probabilities, [0.25, 0.75]);
    assert_eq!(single.dimensions, ["(none)", "eu", "(none)"]);
    assert_eq!(single.time_ms, Some(T));
    let double = accepted(
        spec(Format::F64Le),
        [0.25f64, 0.75].map(f64::to_le_bytes).concat(),
    );
    assert_eq!(double.probabilities, [0.25, 0.75]);
    // 0.1 in single precision is not 0.1; ten of them sum to 1 closely enough.
    let spec = DecoderSpec {
        max_classes: 10,
        ..spec(Format::F32Le)
    };
    assert_eq!(
        accepted(spec, [0.1f32; 10].map(f32::to_le_bytes).concat())
            .probabilities
            .len(),
        10
    );
}

#[test]
fn what_is_skipped_is_only_skipped() {
    // Out of range, or not UTF-8, or deep: of no concern where nothing is wanted.
    let mut payload = br#"{"a": 1e999, "b": "#.to_vec();
    payload.extend([b'"', 0xff, b'"', b',']);
    payload.extend(br#""c": [[[{"probs": [3]}]]], "probs": [1], "NaN": "NaN"}"#);
    accepted(bare(), payload);
}

#[test]
fn depth_does_not_grow_the_stack() {
    let spec = || DecoderSpec {
        max_payload_bytes: 100_000_000,
        ..bare()
    };
    for open in ["[", "{\"a\":", "{\"probs\":[[", "{\"probs\":"] {
        let payload = open.repeat(50_000_000 / open.len());
        let reason = decode(spec(), &payload).1.map_err(|r| r.reason);
        assert_eq!(reason, Err(Reason::Malformed), "{open}");
    }
    let deep = format!(
        r#"{{"a": {}{}, "probs": [1]}}"#,
        "[".repeat(500_000),
        "]".repeat(500_000)
    );
    accepted(spec(), deep);
}
