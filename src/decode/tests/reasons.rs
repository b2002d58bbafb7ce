//! Every reason a decoder gives, with the whole detail.

use super::*;

#[track_caller]
fn refused(spec: DecoderSpec, payload: impl AsRef<[u8]>, reason: Reason, detail: &str) -> Scratch {
    let (scratch, result) = decode(spec, payload);
    assert_eq!(result, Err(Rejection::new(reason, detail)));
    scratch
}

/// The distribution alone, under a usual name.
#[track_caller]
fn refused_value(value: &str, reason: Reason, detail: &str) {
    let payload = format!(r#"{{"probs": {value}}}"#);
    let scratch = refused(bare(), payload, reason, detail);
    assert_eq!(
        scratch.time_ms,
        Some(T),
        "a refused record has Kafka's time"
    );
}

#[test]
fn nothing_to_read() {
    let decode = |payload: Option<&[u8]>| {
        let mut scratch = Scratch::default();
        let record = Record {
            payload,
            timestamp_ms: Some(T),
            headers: &NoHeaders,
        };
        let result = Decoder::new(bare()).decode(&record, &mut scratch);
        assert_eq!(scratch.time_ms, Some(T));
        result
    };
    let rejection = |reason, detail| Err(Rejection::new(reason, detail));
    assert_eq!(
        decode(None),
        rejection(Reason::Tombstone, "the record has no value")
    );
    assert_eq!(
        decode(Some(b"")),
        rejection(Reason::Empty, "the record's value has no bytes")
    );
    let limit = "1001 bytes, more than limits.payload_bytes = 1000";
    assert_eq!(
        decode(Some(&[b' '; 1001])),
        rejection(Reason::TooLarge, limit)
    );
    let at_the_limit = format!("{:1000}", r#"{"probs": [1]}"#);
    assert_eq!(decode(Some(at_the_limit.as_bytes())), Ok(()));
}

#[test]
fn broken_json() {
    let unusable = "the payload is not usable json: ";
    for (payload, detail) in [
        (&b"nonsense"[..], "expected ident at line 1 column 2"),
        (b" \n ", "EOF while parsing a value at line 2 column 1"),
        (
            b"{\"probs\": [1]",
            "EOF while parsing an object at line 1 column 13",
        ),
        (
            b"{\"probs\": [1]} {}",
            "trailing characters at line 1 column 16",
        ),
        (
            b"{\"probs\": [1]}\0",
            "trailing characters at line 1 column 15",
        ),
        (b"{\"probs\": [1],}", "trailing comma at line 1 column 15"),
        (b"{\"probs\": [01]}", "invalid number at line 1 column 13"),
        (b"{\"probs\": [.5]}", "expected value at line 1 column 12"),
        (b"\xef\xbb\xbf{}", "expected value at line 1 column 1"),
        (
            b"{\"\xff\": 1}",
            "invalid unicode code point at line 1 column 3",
        ),
        (
            b"{\"probs\": [1], \"probs\": [1]}",
            "the key \"probs\" is repeated at line 1 column 22",
        ),
    ] {
        refused(
            bare(),
            payload,
            Reason::Malformed,
            &format!("{unusable}{detail}"),
        );
    }
    // Through two objects of the same name, the values at hand differ.
    let payload = r#"{"out": {"p": [1]}, "ts": 5, "out": {"country": "DE"}}"#;
    let detail = format!("{unusable}the key \"out\" is repeated at line 1 column 34");
    let scratch = refused(spec(), payload, Reason::Malformed, &detail);
    assert_eq!(scratch.time_ms, Some(5000), "the time before the break");
    refused_value(
        r#"{"a": 0.5, "a": 0.5}"#,
        Reason::Malformed,
        "/probs: class \"a\" is repeated",
    );
}

#[test]
fn missing_fields() {
    let usual = "none of /probabilities, /probs, /predictions, /scores, /outputs, /logits is there; \
                 fields.probabilities says where else to look";
    for payload in [
        "{}",
        "[0.5, 0.5]",
        "7",
        "null",
        r#"{"probs": null}"#,
        r#"{"a": {"probs": 1}}"#,
    ] {
        refused(bare(), payload, Reason::MissingField, usual);
    }
    let scratch = refused(
        spec(),
        r#"{"ts": 5}"#,
        Reason::MissingField,
        "/out/p: absent or null",
    );
    assert_eq!(scratch.time_ms, Some(5000));
    for payload in [
        r#"{"out": {"p": [1]}}"#,
        r#"{"out": {"p": [1]}, "ts": null}"#,
    ] {
        let detail = "timestamp /ts: absent or null";
        let scratch = refused(spec(), payload, Reason::MissingField, detail);
        assert_eq!(scratch.time_ms, None, "Kafka's time is not the model's");
    }
}

#[test]
fn wrong_types_of_the_distribution() {
    let expected = "/probs: expected an array of numbers, or an object of class name to number, ";
    for (value, found) in [
        ("\"0.5, 0.5\"", "found a string"),
        ("true", "found a boolean"),
        (
            "1",
            "found a number; a single probability is of the kind \"binary\"",
        ),
    ] {
        refused_value(value, Reason::WrongType, &format!("{expected}{found}"));
    }
    let rows = "/probs: expected one array of numbers, found several rows; point at one, as \
                \"/probs/0\"";
    for (value, detail) in [
        ("[[0.5, 0.5], [0.1, 0.9]]", rows),
        ("[[0.5, 0.5], 3]", rows),
        (
            "[0.5, \"0.5\"]",
            "/probs: expected a number at index 1, found a string",
        ),
        ("[null]", "/probs: expected a number at index 0, found null"),
        (
            "[1, [1]]",
            "/probs: expected a number at index 1, found an array",
        ),
        (
            "[[[1]]]",
            "/probs: expected a number at index 0, found an array",
        ),
        (
            "[{\"a\": [1, {}]}, 1]",
            "/probs: expected a number at index 0, found an object",
        ),
        (
            "{\"a\": [1]}",
            "/probs: expected a number for class \"a\", found an array",
        ),
        (
            "{\"a\": 1, \"b\\n\": {}}",
            "/probs: expected a number for class \"b\\n\", found an object",
        ),
        ("[]", "/probs: there are no values"),
        ("[[]]", "/probs: there are no values"),
        ("{}", "/probs: there are no values"),
    ] {
        refused_value(value, Reason::WrongType, detail);
    }
    let name = "é".repeat(200);
    let detail = format!(
        "/probs: the name of class \"{}…\" has 400 bytes, more than 256",
        "é".repeat(32)
    );
    refused_value(&format!(r#"{{"{name}": 1}}"#), Reason::WrongType, &detail);
    for (value, found) in [
        ("[0.1, 0.9]", "2 numbers"),
        ("[]", "0 numbers"),
        ("{\"a\": 1}", "an object"),
    ] {
        let spec = DecoderSpec {
            kind: Kind::Binary,
            ..bare()
        };
        let detail = format!("/probs: expected one probability, found {found}");
        refused(
            spec,
            format!(r#"{{"probs": {value}}}"#),
            Reason::WrongType,
            &detail,
        );
    }
}

#[test]
fn wrong_types_of_dimensions_and_time() {
    let payload = |rest: &str| format!(r#"{{"out": {{"p": [1]}}, {rest}}}"#);
    let detail = "dimension version: expected a string, number or boolean, found an array";
    let scratch = refused(
        spec(),
        payload(r#""v": [1], "ts": 5"#),
        Reason::WrongType,
        detail,
    );
    assert_eq!(scratch.time_ms, Some(5000));
    let detail = "dimension version: expected a string, number or boolean, found an object";
    refused(
        spec(),
        payload(r#""v": {"a": 1}, "ts": 5"#),
        Reason::WrongType,
        detail,
    );
    let long = payload(&format!(r#""v": "{}", "ts": 5"#, "x".repeat(257)));
    let detail = "dimension version: 257 bytes, more than 256";
    refused(spec(), long, Reason::WrongType, detail);
    for (value, kind) in [
        ("true", "a boolean"),
        ("[5]", "an array"),
        ("{}", "an object"),
    ] {
        let detail = format!("timestamp /ts: expected rfc 3339 or a number, found {kind}");
        refused(
            spec(),
            payload(&format!(r#""ts": {value}"#)),
            Reason::WrongType,
            &detail,
        );
    }
}

#[test]
fn headers_that_are_no_dimensions() {
    let decode = |value: &[u8]| {
        let payload = Some(&br#"{"out": {"p": [1]}, "ts": 5}"#[..]);
        let headers = &Map(vec![("x-region", value.to_vec())]);
        let record = Record {
            payload,
            timestamp_ms: None,
            headers,
        };
        Decoder::new(spec()).decode(&record, &mut Scratch::default())
    };
    let wrong = |detail| Err(Rejection::new(Reason::WrongType, detail));
    assert_eq!(
        decode(b"\xff"),
        wrong("dimension region: header \"x-region\" is not utf-8")
    );
    assert_eq!(
        decode(&[b'x'; 257]),
        wrong("dimension region: 257 bytes, more than 256")
    );
    assert_eq!(decode(&[b'x'; 256]), Ok(()));
}

#[test]
fn numbers_that_are_not_finite() {
    for (value, token, column) in [
        ("[0.5, NaN]", "NaN", 17),
        ("[Infinity, NaN]", "Infinity", 12),
        ("[-Infinity]", "-Infinity", 13),
        ("[nan]", "nan", 13),
        ("[-inf]", "-inf", 13),
        ("[1e999]", "1e999", 16),
        ("[-1e999]", "-1e999", 17),
        ("NaN", "NaN", 11),
        ("{\"a\": NaN}", "NaN", 17),
        ("[[0.5, NaN]]", "NaN", 18),
        // what is wrong with the rest comes after
        ("[0.5, NaN, \"\", [NaN, {\"NaN\": \"NaN\"}]]", "NaN", 17),
    ] {
        let place = format!("at line 1 column {column}");
        let detail = format!("/probs: \"{token}\" is not a finite number, {place}");
        refused_value(value, Reason::NotFinite, &detail);
    }
    // A quotation mark in a string does not end it.
    let detail = "/probs: \"NaN\" is not a finite number, at line 1 column 23";
    refused(
        bare(),
        r#"{"x": "\"", "probs": [NaN]}"#,
        Reason::NotFinite,
        detail,
    );
    // The time is found after it, on another line.
    let payload = "{\n \"out\": {\"p\": [NaN, 0.5,\n Infinity]},\n \"ts\": 5}";
    let detail = "/out/p: \"NaN\" is not a finite number, at line 2 column 16";
    let scratch = refused(spec(), payload, Reason::NotFinite, detail);
    assert_eq!(scratch.time_ms, Some(5000));

    let raw = DecoderSpec {
        format: Format::F32Le,
        ..bare()
    };
    let payload = [0.5f32, f32::NAN].map(f32::to_le_bytes).concat();
    let detail = "the payload: the value at index 1 is NaN, not a finite number";
    refused(raw, payload, Reason::NotFinite, detail);
    for kind in [
        Kind::Logits,
        Kind::LogProbabilities,
        Kind::Binary,
        Kind::Probabilities,
    ] {
        let raw = DecoderSpec {
            format: Format::F64Le,
            kind,
            ..bare()
        };
        let detail = "the payload: the value at index 0 is inf, not a finite number";
        refused(raw, f64::INFINITY.to_le_bytes(), Reason::NotFinite, detail);
    }
}

#[test]
fn numbers_that_are_not_finite_elsewhere() {
    let no = "is no number that json or a 64-bit float has, at line 1 column";
    for (payload, token, column) in [
        (r#"{"x": NaN, "probs": [1]}"#, "NaN", 7),
        (r#"{"probs": [1], "x": [-Infinity]}"#, "-Infinity", 23),
        // not the distribution after all
        (r#"{"probs": [NaN], "probabilities": [1]}"#, "NaN", 12),
        ("NaN", "NaN", 1),
    ] {
        refused(
            bare(),
            payload,
            Reason::Malformed,
            &format!("\"{token}\" {no} {column}"),
        );
    }
    let payload = r#"{"out": {"p": [1]}, "ts": 1e999}"#;
    refused(
        spec(),
        payload,
        Reason::Malformed,
        &format!("\"1e999\" {no} 31"),
    );
    // In a string, or in what is broken besides, it is nothing.
    let unusable = "the payload is not usable json:";
    let detail = format!("{unusable} EOF while parsing a list at line 1 column 14");
    refused(bare(), r#"{"probs": [NaN"#, Reason::Malformed, &detail);
    let detail = format!(
        "{unusable} control character (\\u0000-\\u001F) found while parsing a string \
         at line 2 column 0"
    );
    refused(
        bare(),
        "{\"probs\": [\"NaN\n\"]}",
        Reason::Malformed,
        &detail,
    );
}

#[test]
fn numbers_that_are_no_distribution() {
    refused_value(
        "[1.5, -0.5]",
        Reason::Negative,
        "/probs: the value at index 1 is -0.5, below -0.000001",
    );
    refused_value(
        r#"{"b": 1.5, "a": -0.5}"#,
        Reason::Negative,
        "/probs: the value at index 0 is -0.5, below -0.000001, class \"a\"",
    );
    let detail = "/probs: the values sum to 1.5, off 1 by more than 0.001";
    refused_value("[1, 0.5]", Reason::SumOff, detail);
    let binary = || DecoderSpec {
        kind: Kind::Binary,
        ..bare()
    };
    let detail = "/probs: the value is 1.5, above 1 by more than 0.000001";
    refused(binary(), r#"{"probs": 1.5}"#, Reason::SumOff, detail);
    let detail = "/probs: the value at index 0 is -1, below -0.000001";
    refused(binary(), r#"{"probs": [-1]}"#, Reason::Negative, detail);
}

#[test]
fn too_many_classes() {
    let detail = "/probs: more than limits.classes = 4 classes";
    // The fifth is not looked at, nor is what comes after it.
    refused_value("[1, 0, 0, 0, 0, 0]", Reason::TooManyClasses, detail);
    refused_value("[1, 0, 0, 0, 0, \"x\", []]", Reason::TooManyClasses, detail);
    let object = r#"{"a": 1, "b": 0, "c": 0, "d": 0, "e": 0, "f": 0}"#;
    refused_value(object, Reason::TooManyClasses, detail);
    let raw = DecoderSpec {
        format: Format::F32Le,
        ..bare()
    };
    let detail = "the payload: 5 classes, more than limits.classes = 4";
    let scratch = refused(raw, [0; 20], Reason::TooManyClasses, detail);
    assert_eq!(scratch.probabilities.capacity(), 0, "charged before growth");
    accepted(bare(), r#"{"probs": [1, 0, 0, 0]}"#);
}

#[test]
fn raw_lengths() {
    let raw = |format| DecoderSpec { format, ..bare() };
    let detail = "the payload: 7 bytes are not a whole number of 32-bit floats";
    refused(raw(Format::F32Le), [0; 7], Reason::Malformed, detail);
    let detail = "the payload: 12 bytes are not a whole number of 64-bit floats";
    refused(raw(Format::F64Le), [0; 12], Reason::Malformed, detail);
}

#[test]
fn bad_timestamps() {
    let no = "is neither rfc 3339 nor a number since the epoch in the years -9999 to 9999";
    for (value, shown) in [
        ("\"yesterday\"", "\"yesterday\""),
        ("\"2024-01-02T03:04:05\"", "\"2024-01-02T03:04:05\""),
        ("\"2024-13-02T03:04:05Z\"", "\"2024-13-02T03:04:05Z\""),
        ("\"1704164645\"", "\"1704164645\""),
        ("\"\\u001b[31m\"", "\"\\u{1b}[31m\""),
        // Its nanoseconds could be written, but not its milliseconds.
        (
            "\"9999-12-30T22:00:00.998Z\"",
            "\"9999-12-30T22:00:00.998Z\"",
        ),
        ("1e30", "1e30"),
        ("-1e308", "-1e308"),
    ] {
        let payload = format!(r#"{{"out": {{"p": [1]}}, "ts": {value}}}"#);
        let detail = format!("timestamp /ts: {shown} {no}");
        let scratch = refused(spec(), payload, Reason::BadTimestamp, &detail);
        assert_eq!(scratch.time_ms, None);
    }
    let decode = |timestamp_ms| {
        let record = Record {
            payload: Some(b"{\"probs\": [1]}"),
            timestamp_ms,
            headers: &NoHeaders,
        };
        let mut scratch = Scratch::default();
        let result = Decoder::new(bare()).decode(&record, &mut scratch);
        assert_eq!(scratch.time_ms, None);
        result
    };
    let bad = |detail: &str| Err(Rejection::new(Reason::BadTimestamp, detail));
    assert_eq!(decode(None), bad("the record has no kafka timestamp"));
    let detail = format!(
        "kafka's timestamp {} is outside the years -9999 to 9999",
        i64::MAX
    );
    assert_eq!(decode(Some(i64::MAX)), bad(&detail));
}

/// Each line's record has what the line says wrong with it, and all that the lines below say.
#[test]
fn the_first_of_several_reasons() {
    let record = |rest: &str| format!(r#"{{"ts": "x", "v": [], "out": {{"p": {rest}"#);
    for (payload, reason) in [
        (record("[2"), Reason::Malformed),
        (record("[2]}}"), Reason::SumOff),
        (record("[1]}}"), Reason::WrongType),
        (record("[1]}}").replace("[],", "1,"), Reason::BadTimestamp),
    ] {
        assert_eq!(decode(spec(), payload).1.map_err(|r| r.reason), Err(reason));
    }
}
