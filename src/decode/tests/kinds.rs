//! Kinds whose records are more than one distribution: what is accepted and as what, and why not.

use super::*;
use crate::observation::{Form, Response};

const ENSEMBLE: Kind = Kind::Ensemble {
    members: None,
    max_members: 3,
};

const TOP_K: Kind = Kind::TopK {
    vocabulary: 10,
    max_tokens: 3,
};

fn of(kind: Kind) -> DecoderSpec {
    DecoderSpec { kind, ..bare() }
}

#[track_caller]
fn refused(spec: DecoderSpec, payload: impl AsRef<[u8]>, reason: Reason, detail: &str) {
    let result = decode(spec, payload).1;
    assert_eq!(result, Err(Rejection::new(reason, detail)));
}

/// Members (1, 0) and (0, 1) are certain: their mean has one bit, all of it disagreement.
#[test]
fn an_ensemble_is_the_mean_of_its_members() {
    let split = Form::Ensemble { expected_bits: 0.0 };
    for name in ["members", "probabilities", "predictions"] {
        let scratch = accepted(of(ENSEMBLE), format!(r#"{{"{name}": [[1, 0], [0, 1]]}}"#));
        assert_eq!(scratch.probabilities, [0.5, 0.5], "{name}");
        assert_eq!(scratch.form, split);
    }
    // The next may have another number of members.
    let scratch = accepted(of(ENSEMBLE), r#"{"probs": [[0.5, 0.5]]}"#);
    assert_eq!(scratch.form, Form::Ensemble { expected_bits: 1.0 });
    let members = Some(2);
    for (format, payload) in [
        (
            Format::F32Le,
            [1.0_f32, 0.0, 0.0, 1.0].map(f32::to_le_bytes).concat(),
        ),
        (
            Format::F64Le,
            [1.0_f64, 0.0, 0.0, 1.0].map(f64::to_le_bytes).concat(),
        ),
    ] {
        let kind = Kind::Ensemble {
            members,
            max_members: 3,
        };
        let scratch = accepted(DecoderSpec { format, ..of(kind) }, payload);
        assert_eq!(scratch.probabilities, [0.5, 0.5]);
        assert_eq!(scratch.form, split);
    }
}

#[test]
fn no_ensemble() {
    let of_value = |value: &str, reason, detail: &str| {
        let payload = format!(r#"{{"members": {value}}}"#);
        refused(
            of(ENSEMBLE),
            payload,
            reason,
            &format!("/members: {detail}"),
        );
    };
    let expected = "expected an array of the members' arrays, found";
    for (value, found) in [
        ("0.5", "a number"),
        ("{\"a\": [1]}", "an object"),
        ("\"x\"", "a string"),
        ("true", "a boolean"),
        ("[]", "an empty one"),
    ] {
        of_value(value, Reason::WrongType, &format!("{expected} {found}"));
    }
    let member = "member 1: expected an array of numbers, found";
    for (value, reason, detail) in [
        ("[[1], 1]", Reason::WrongType, format!("{member} a number")),
        ("[[1], null]", Reason::WrongType, format!("{member} null")),
        (
            "[[1], {\"a\": 1}]",
            Reason::WrongType,
            format!("{member} an object"),
        ),
        (
            "[[1, 0], [\"x\", 1]]",
            Reason::WrongType,
            "member 1: expected a number at index 0, found a string".to_owned(),
        ),
        (
            "[[1, 0], [1, 0, 0]]",
            Reason::ClassMismatch,
            "member 1 has 3 classes, and the first 2".to_owned(),
        ),
        (
            "[[1, 0], []]",
            Reason::ClassMismatch,
            "member 1 has 0 classes, and the first 2".to_owned(),
        ),
        (
            "[[], []]",
            Reason::WrongType,
            "member 0: there are no values".to_owned(),
        ),
        (
            "[[1, 0, 0, 0, 0]]",
            Reason::TooManyClasses,
            "member 0: more than limits.classes = 4 classes".to_owned(),
        ),
        (
            "[[1], [1], [1], [1]]",
            Reason::TooManyMembers,
            "more than limits.members = 3 members".to_owned(),
        ),
        (
            "[[1, 0], [1.5, -0.5]]",
            Reason::Negative,
            "member 1: the value at index 1 is -0.5, below -0.000001".to_owned(),
        ),
        (
            "[[1, 0.5], [1, 0]]",
            Reason::SumOff,
            "member 0: the values sum to 1.5, off 1 by more than 0.001".to_owned(),
        ),
        (
            "[[1, 0], [NaN, 1]]",
            Reason::NotFinite,
            "\"NaN\" is not a finite number, at line 1 column 23".to_owned(),
        ),
    ] {
        of_value(value, reason, &detail);
    }
    let nowhere = "none of /members, /probabilities, /probs, /predictions, /scores, /outputs, \
                   /logits is there; fields.members says where else to look";
    for payload in ["{}", r#"{"members": null}"#] {
        refused(of(ENSEMBLE), payload, Reason::MissingField, nowhere);
    }
    let kind = Kind::Ensemble {
        members: Some(2),
        max_members: 3,
    };
    let raw = || DecoderSpec {
        format: Format::F32Le,
        ..of(kind)
    };
    let detail = "the payload: 3 floats are not as many for 2 members";
    refused(raw(), [0; 12], Reason::Malformed, detail);
    let detail = "the payload: 5 classes, more than limits.classes = 4";
    refused(raw(), [0; 40], Reason::TooManyClasses, detail);
    let payload = [1.0_f32, f32::NAN].map(f32::to_le_bytes).concat();
    let detail = "the payload: member 1: the value at index 0 is NaN, not a finite number";
    refused(raw(), payload, Reason::NotFinite, detail);
}

#[test]
fn labels_are_independent() {
    let scratch = accepted(
        of(Kind::Multilabel),
        r#"{"scores": [0.9, 0.75, 0, 1.0000001]}"#,
    );
    assert_eq!(scratch.probabilities, [0.9, 0.75, 0.0, 1.0]);
    assert_eq!(scratch.form, Form::Multilabel);
    let scratch = accepted(of(Kind::Multilabel), r#"{"scores": {"b": 0.9, "a": 0.75}}"#);
    assert_eq!(scratch.class_names, ["a", "b"]);
    assert_eq!(scratch.probabilities, [0.75, 0.9]);
    let raw = DecoderSpec {
        format: Format::F32Le,
        ..of(Kind::Multilabel)
    };
    let scratch = accepted(raw, [0.5_f32, 0.75].map(f32::to_le_bytes).concat());
    assert_eq!(scratch.probabilities, [0.5, 0.75]);
    let refused = |value: &str, reason, detail: &str| {
        let payload = format!(r#"{{"scores": {value}}}"#);
        refused(
            of(Kind::Multilabel),
            payload,
            reason,
            &format!("/scores: {detail}"),
        );
    };
    let detail = "the value at index 1 is 1.5, above 1 by more than 0.000001";
    refused("[0.5, 1.5]", Reason::SumOff, detail);
    let named = format!("{}, class \"b\"", detail);
    refused(r#"{"a": 0.5, "b": 1.5}"#, Reason::SumOff, &named);
    let detail = "the value at index 0 is -0.5, below -0.000001";
    refused("[-0.5]", Reason::Negative, detail);
    refused("[]", Reason::WrongType, "there are no values");
}

/// Half and a quarter known of ten tokens: 1.5 bits, and up to a quarter of log2 8 more.
const HALF_AND_QUARTER: (f64, f64) = (1.5, 2.25);

#[track_caller]
fn response(spec: DecoderSpec, payload: &str) -> Response {
    let scratch = accepted(spec, payload);
    assert!(scratch.probabilities.is_empty() && scratch.class_names.is_empty());
    match scratch.form {
        Form::Response(response) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_layouts_of_log_probabilities() {
    let (half, quarter) = (0.5_f64.ln(), 0.25_f64.ln());
    let listed = |own: f64, top: &str| {
        format!(
            r#"{{"choices": [{{"index": 0, "logprobs": {{"refusal": null, "content": [{{"token": "a",
            "bytes": [97], "id": 17, "logprob": {own}, "top_logprobs": {top}}}]}}}}], "created": 1702685778}}"#
        )
    };
    let top =
        format!(r#"[{{"token": "a", "logprob": {half}}}, {{"logprob": {quarter}, "token": "b"}}]"#);
    let half_of_it = format!(r#"[{{"token": "a", "logprob": {half}}}]"#);
    for payload in [
        // Chat: the chosen token is listed, or is not.
        listed(half, &top),
        listed(quarter, &half_of_it),
        // The chosen one is below the likeliest.
        listed(-9999.0, &top),
        // Legacy completions, with an echoed prompt's first token.
        format!(
            r#"{{"choices": [{{"logprobs": {{"tokens": ["x", "a"], "token_logprobs": [null, {half}],
            "top_logprobs": [null, {{"a": {half}, "b": {quarter}, "c": -9999.0}}], "text_offset": [0]}}}}]}}"#
        ),
        // vLLM's own.
        format!(
            r#"{{"logprobs": [{{"17": {{"logprob": {half}, "rank": 1}}, "5": {{"logprob": {quarter}}}}}]}}"#
        ),
        format!(r#"{{"tokens": [[{half}, {quarter}, null]]}}"#),
        format!(r#"{{"top_logprobs": [{{"logprob": {half}, "b": {quarter}}}]}}"#),
        format!(r#"{{"tokens": [{top}]}}"#),
    ] {
        let found = response(of(TOP_K), &payload);
        assert_eq!((found.tokens, found.vocabulary), (1, 10), "{payload}");
        let (least, most) = HALF_AND_QUARTER;
        assert!(
            (found.least_bits - least).abs() < 1e-12,
            "{found:?} {payload}"
        );
        assert!(
            (found.most_bits - most).abs() < 1e-12,
            "{found:?} {payload}"
        );
    }
}

/// The numbers of OpenAI's documentation, of a vocabulary of 1,000; bits by arithmetic in Python.
#[test]
fn tokens_of_a_response_add_up() {
    let kind = Kind::TopK {
        vocabulary: 1000,
        max_tokens: 3,
    };
    let spec = || DecoderSpec {
        probabilities: Some("/lp".to_owned()),
        timestamp: Some("/created".to_owned()),
        ..of(kind)
    };
    let payload = r#"{"lp": [{"Hello": -0.317, "Hi": -1.319}, {"I": -0.509, "Without": -1.697}],
                      "created": 1702685778}"#;
    let found = response(spec(), payload);
    assert_eq!(found.tokens, 2);
    let (least, most) = (
        0.875_525_081_739_046_4 + 1.367_304_304_419_660_2,
        0.918_033_511_032_908 + 3.516_014_317_712_587,
    );
    assert!((found.least_bits - least).abs() < 1e-9, "{found:?}");
    assert!((found.most_bits - most).abs() < 1e-9, "{found:?}");
}

#[test]
fn no_tokens() {
    let of_value = |value: &str, reason, detail: &str| {
        let payload = format!(r#"{{"tokens": {value}}}"#);
        refused(of(TOP_K), payload, reason, &format!("/tokens: {detail}"));
    };
    let expected = "expected an array of tokens, or an object with content or top_logprobs, found";
    for (value, found) in [
        ("-1", "a number"),
        ("\"x\"", "a string"),
        ("false", "a boolean"),
        ("{\"a\": -1}", "an object with neither"),
        (
            "{\"content\": [[-1]], \"top_logprobs\": [[-1]], \"x\": 1}",
            "an object with both",
        ),
        ("{\"content\": {}}", "an object"),
    ] {
        of_value(value, Reason::WrongType, &format!("{expected} {found}"));
    }
    let token = "token 1: expected the log-probabilities of a token, found";
    let number = "token 0: expected a log-probability, found";
    for (value, detail) in [
        ("[]", "there are no tokens".to_owned()),
        ("[null]", "there are no tokens".to_owned()),
        ("[[-1], -1]", format!("{token} a number")),
        ("[[-1], \"x\"]", format!("{token} a string")),
        ("[[\"x\"]]", format!("{number} a string")),
        ("[[[-1]]]", format!("{number} an array")),
        (
            "[[{\"a\": 1}]]",
            format!("{number} an object without a logprob"),
        ),
        ("[{\"a\": \"x\"}]", format!("{number} a string")),
        (
            "[{\"top_logprobs\": {\"a\": -1}}]",
            format!("{number} an object"),
        ),
        ("[[]]", "token 0: no log-probability above -9999".to_owned()),
        (
            "[[-9999.0, -1e5]]",
            "token 0: no log-probability above -9999".to_owned(),
        ),
    ] {
        of_value(value, Reason::WrongType, &detail);
    }
    let detail = "token 0: more than limits.classes = 4 log-probabilities";
    for value in [
        "[[-9, -9, -9, -9, -9]]",
        r#"[{"a": -9, "b": -9, "c": -9, "d": -9, "e": -9}]"#,
    ] {
        of_value(value, Reason::TooManyClasses, detail);
    }
    let detail = "more than limits.tokens = 3 tokens";
    of_value("[[-1], [-1], [-1], [-1]]", Reason::TooManyTokens, detail);
    let off = "as probabilities, the values sum to 2, off 1 by more than 0.001";
    of_value("[[-1], [0, 0]]", Reason::SumOff, &format!("token 1: {off}"));
    let detail = "\"-Infinity\" is not a finite number, at line 1 column 15";
    of_value("[[-Infinity]]", Reason::NotFinite, detail);
    let kind = Kind::TopK {
        vocabulary: 2,
        max_tokens: 3,
    };
    let detail = "/tokens: token 0: 3 log-probabilities, of a vocabulary of 2";
    refused(
        of(kind),
        r#"{"tokens": [[-1, -2, -3]]}"#,
        Reason::ClassMismatch,
        detail,
    );
    let nowhere = "none of /choices/0/logprobs, /logprobs, /top_logprobs, /tokens is there; \
                   fields.tokens says where else to look";
    for payload in ["{}", r#"{"choices": [{"logprobs": {"content": null}}]}"#] {
        refused(of(TOP_K), payload, Reason::MissingField, nowhere);
    }
    let raw = DecoderSpec {
        format: Format::F32Le,
        ..of(TOP_K)
    };
    let detail = "the payload: an array is not of this kind";
    refused(raw, [0; 8], Reason::WrongType, detail);
}

/// What one record left in the scratch says nothing of the next.
#[test]
fn forms_do_not_stay() {
    let mut scratch = Scratch::default();
    let mut form = |kind: Kind, payload: &str| {
        let record = Record {
            payload: Some(payload.as_bytes()),
            timestamp_ms: Some(T),
            headers: &NoHeaders,
        };
        Decoder::new(of(kind))
            .decode(&record, &mut scratch)
            .unwrap();
        (
            scratch.form,
            scratch.probabilities.len(),
            scratch.class_names.len(),
        )
    };
    assert_eq!(
        form(Kind::Multilabel, r#"{"probs": {"a": 1}}"#),
        (Form::Multilabel, 1, 1)
    );
    let (first, length, names) = form(ENSEMBLE, r#"{"probs": [[1, 0], [1, 0]]}"#);
    assert_eq!(
        (first, length, names),
        (Form::Ensemble { expected_bits: 0.0 }, 2, 0)
    );
    assert!(matches!(
        form(TOP_K, r#"{"tokens": [[-1]]}"#),
        (Form::Response(_), 0, 0)
    ));
    assert_eq!(
        form(Kind::Probabilities, r#"{"probs": [1]}"#),
        (Form::Distribution, 1, 0)
    );
}
