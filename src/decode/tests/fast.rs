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
    let decoder = Decoder::new(spec.clone());
    outcome_after(read, &decoder, &mut Scratch::default(), payload)
}

/// What comes of a record after others with the same memory.
fn outcome_after(
    read: ReadJson,
    decoder: &Decoder,
    scratch: &mut Scratch,
    payload: &[u8],
) -> Outcome {
    let record = Record {
        payload: Some(payload),
        timestamp_ms: Some(T),
        headers: &NoHeaders,
    };
    let result = decoder.decode_by(read, &record, scratch);
    let bits = scratch.probabilities.iter().map(|p| p.to_bits()).collect();
    let label = scratch.label().map(str::to_owned);
    let found = match result {
        Ok(()) => (
            bits,
            scratch.class_names.clone(),
            scratch.dimensions.clone(),
            scratch.tags.clone(),
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

/// Documents one after the other, each read with what is remembered of those before it.
#[track_caller]
fn same_in_turn<'a>(spec: &DecoderSpec, payloads: impl IntoIterator<Item = &'a [u8]>) {
    let decoder = Decoder::new(spec.clone());
    let mut scratch = Scratch::default();
    for payload in payloads {
        let fast = outcome_after(Decoder::json, &decoder, &mut scratch, payload);
        let simple = outcome(Decoder::simple_json, spec, payload);
        assert_eq!(fast, simple, "{}", String::from_utf8_lossy(payload));
    }
}

#[test]
fn what_a_document_looked_like_is_nothing_to_the_next() {
    let long = "x".repeat(40);
    let (other, country) = (
        long.replacen('x', "y", 1),
        format!(r#""{long}": 1, "country": "DE""#),
    );
    for payloads in [
        // Other orders, more members and fewer.
        [
            r#"{"id": 1, "ts": 5, "v": 7, "out": {"p": [1], "country": "DE"}}"#,
            r#"{"ts": 5, "id": 1, "out": {"country": "DE", "p": [1]}, "v": 7}"#,
            r#"{"id": 1, "ts": 5, "out": {"p": [1]}}"#,
            r#"{"id": 1, "x": 3, "ts": 5, "y": 1, "v": 7, "out": {"x": {}, "p": [1], "country": "DE"}}"#,
        ],
        // A key in an object and the same key after it.
        [
            r#"{"out": {"p": [1], "v": 3}, "ts": 5}"#,
            r#"{"out": {"p": [1]}, "v": 3, "ts": 5}"#,
            r#"{"out": {"p": [1], "y": 1}, "ts": 5}"#,
            r#"{"out": {"p": [1]}, "y": 1, "ts": 5}"#,
        ],
        // A first member where there is to be a comma.
        [
            r#"{"s": 1, "out": {"p": [1]}, "ts": 5}"#,
            r#"{"out": {"country": "DE"{"p": [1]}, "ts": 5}"#,
            r#"{"s": 1, "out": {"country": "DE", "p": [1]}, "ts": 5}"#,
            r#"{"s": 1, "out": {"country": "DE" "p": [1]}, "ts": 5}"#,
        ],
        // Keys twice.
        [
            r#"{"out": {"p": [1]}, "v": 1, "v": 1, "ts": 5}"#,
            r#"{"out": {"p": [1]}, "v": 1, "v": 1, "ts": 5}"#,
            r#"{"out": {"p": [1]}, "v": 1, "x": 1, "x": 1, "ts": 5}"#,
            r#"{"out": {"p": [1], "p": [1]}, "v": 1, "ts": 5}"#,
        ],
        // Other values.
        [
            r#"{"out": {"p": [1]}, "v": 1, "ts": 5, "x": 1}"#,
            r#"{"out": null, "v": {"x": 1}, "ts": 5}"#,
            r#"{"out": {"p": {"a": 1}}, "v": null, "ts": null, "x": {"v": 1}}"#,
            r#"{"out": [{"p": [1]}], "v": true, "ts": "2024-01-02T03:04:05Z", "x": [1}"#,
        ],
        // Keys that are alike, at their starts and at their ends.
        [
            r#"{"out": {"country": "DE", "p": [1]}, "v": 7, "ts": 5, "xxxxxxxxxxxxxxxxxxxxxx": 1}"#,
            r#"{"out": {"countrz": "DE", "p": [1]}, "y": 7, "ts": 5, "xxxxxxxxxxxyxxxxxxxxxx": 1}"#,
            r#"{"oux": {"dountry": "DE", "p": [1]}, "v": 7, "ts": 5}"#,
            r#"{"out": {"count": "DE", "p": [1]}, "vv": 7, "ts2": 5, "ts": 6}"#,
        ],
        // Texts that are too long to be remembered.
        [
            &format!(r#"{{"out": {{{country}, "p": [1]}}, "{long}": 7, "ts": 5}}"#),
            &format!(r#"{{"out": {{{country}, "p": [1]}}, "{other}": 7, "ts": 5}}"#),
            &format!(
                r#"{{"out": {{{country}, "p": [1]}}, {:40}"v": 7, "ts": 5}}"#,
                ""
            ),
            &format!(
                r#"{{"out": {{{country}, "p": [1]}}, {:40}"w": 7, "ts": 5}}"#,
                ""
            ),
        ],
        // White space, and what is none.
        [
            "{\"out\":{\"p\":[1]},\"v\":7,\"ts\":5}",
            "{\"out\": {\"p\" :[1]} ,\"v\":\t7,\n\"ts\":  5}",
            "{\"out\": { \"p\":\r[1]}\n,\"v\":\t7,\n\"ts\":  5 } ",
            "{\"out\":{\"p\":[1]},\"v\":\u{b}7,\"ts\":5}",
        ],
    ] {
        let payloads = payloads.map(str::as_bytes);
        for first in payloads {
            let again = payloads.iter().flat_map(|&other| [first, other, other]);
            same_in_turn(&spec(), again);
        }
    }
}

#[test]
fn a_document_that_ends_where_another_went_on() {
    let whole: &[u8] =
        br#"{"id": "r-1", "v": 7, "out": {"p": [1, 0], "country": "DE"}, "ts": 5, "y": 1}"#;
    for spec in &specs() {
        let cuts = (0..whole.len()).flat_map(|at| [whole, &whole[..at]]);
        same_in_turn(spec, cuts);
    }
}

#[test]
fn more_members_than_are_remembered() {
    let members = |count: usize, key: char| -> Vec<String> {
        (0..count).map(|i| format!("\"{key}{i}\": {i}")).collect()
    };
    let wanted = || [r#""out": {"p": [1]}"#, r#""v": 7"#, r#""ts": 5"#].map(str::to_owned);
    let payloads: Vec<_> = (28..36)
        .flat_map(|count| [(count, 'a'), (count, 'a'), (count, 'b'), (36, 'a')])
        .map(|(count, key)| object(&[members(count, key), wanted().into()].concat()))
        .collect();
    same_in_turn(&spec(), payloads.iter().map(String::as_bytes));
    assert!(
        payloads
            .iter()
            .all(|payload| read_fast(&spec(), payload.as_bytes()))
    );
}

/// Two decoders that read two members the other way round.
fn opposites() -> [Decoder; 2] {
    let tagged = |tags: [&str; 2]| DecoderSpec {
        tags: tags
            .iter()
            .map(|tag| {
                (
                    tag[..2].to_owned(),
                    DimensionSource::Pointer(tag[2..].to_owned()),
                )
            })
            .collect(),
        ..bare()
    };
    [["t0/a", "t1/b"], ["t0/b", "t1/a"]].map(|tags| Decoder::new(tagged(tags)))
}

const OPPOSITE: &[u8] = br#"{"probs": [1], "a": "1", "b": "2"}"#;

#[test]
fn what_is_remembered_is_of_one_decoder() {
    let mut scratch = Scratch::default();
    for _ in 0..2 {
        for decoder in opposites() {
            for _ in 0..2 {
                let fast = outcome_after(Decoder::json, &decoder, &mut scratch, OPPOSITE);
                assert_eq!(fast, outcome(Decoder::simple_json, &decoder.spec, OPPOSITE));
            }
        }
    }
}

/// Otherwise the tests above are of nothing.
#[test]
fn what_is_remembered_is_used() {
    let [one, mut other] = opposites();
    other.fields.identity = one.fields.identity.clone();
    let mut scratch = Scratch::default();
    drop(outcome_after(Decoder::json, &one, &mut scratch, OPPOSITE));
    // Nodes are numbered as texts are, so its tags come the wrong way round.
    drop(outcome_after(Decoder::json, &other, &mut scratch, OPPOSITE));
    assert_eq!(scratch.tags, ["1", "2"]);
    drop(outcome_after(
        Decoder::simple_json,
        &other,
        &mut scratch,
        OPPOSITE,
    ));
    assert_eq!(scratch.tags, ["2", "1"]);
}

#[test]
fn space_after_what_is_remembered_is_no_doubt() {
    let fields = Fields::new(&spec());
    let mut scratch = Scratch::sized(&spec());
    for payload in [
        r#"{"out":{"p":[1]},"ts":5}"#,
        r#"{"out": {"p": [1]},"ts":  5}"#,
    ] {
        let (text, findings) = (payload.as_bytes(), &mut Findings::default());
        let read = super::super::fast::read(&fields, &spec(), text, &mut scratch, findings);
        assert!(read.is_some(), "{payload}");
    }
}

/// Documents that look alike more or less, some of them broken.
fn alike() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "out",
        "p",
        "ts",
        "v",
        "y",
        "country",
        "device",
        "countrz",
        "ts2",
        "x",
        "probs",
        "ü",
        "a key that is longer than what is remembered",
    ]);
    let leaf = prop::sample::select(vec![
        "1704164645678",
        "7",
        "\"DE\"",
        "null",
        "[0.25, 0.75]",
        "{\"a\": 1}",
        "{}",
        "[{\"p\": [1]}]",
    ]);
    let colon = || prop::sample::select(vec![": ", ": ", ": ", ":", " : ", ":  ", " "]);
    let comma = || prop::sample::select(vec![", ", ", ", ", ", ",", "\n,", " ", "{", ",,"]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(3, 12, 4, move |inner| {
            let member = (key.clone(), colon(), inner, comma());
            prop::collection::vec(member, 0..5).prop_map(|members| {
                let mut text = "{".to_owned();
                for (i, (key, colon, value, comma)) in members.iter().enumerate() {
                    let comma = if i == 0 { "" } else { comma };
                    text += &format!("{comma}\"{key}\"{colon}{value}");
                }
                text + "}"
            })
        })
}

/// The same without what makes most of them refused: keys in the one object are keys in the other.
fn good() -> impl Strategy<Value = String> {
    let text = || prop::sample::select(vec!["\"DE\"", "7", "null", "\"longer than eight\""]);
    let member = |key: &str, value: &str| format!("\"{key}\": {value}");
    let with_some = |always: Vec<String>, others: Vec<String>| {
        prop::sample::subsequence(others, 0..=3)
            .prop_map(move |some| [always.clone(), some].concat())
            .prop_shuffle()
    };
    let texts = move || {
        prop::array::uniform3(text()).prop_map(move |[country, v, x]| {
            vec![member("country", country), member("v", v), member("x", x)]
        })
    };
    let p = vec![member("p", "[0.25, 0.75]")];
    let inner = texts().prop_flat_map(move |texts| with_some(p.clone(), texts));
    let outer = (inner, texts()).prop_flat_map(move |(inner, texts)| {
        let always = [
            ("out", &*object(&inner)),
            ("ts", "1704164645678"),
            ("probs", "[1]"),
        ];
        let always = always.map(|(key, value)| member(key, value));
        with_some(always.into(), texts)
    });
    let comma = prop::sample::select(vec![", ", ", ", ", ", ","]);
    (outer, comma).prop_map(|(members, comma)| format!("{{{}}}", members.join(comma)))
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

    /// A few documents in any order, some of them cut.
    #[test]
    fn any_documents_in_turn(
        documents in prop::collection::vec(prop_oneof![document(), alike(), good(), good()], 1..4),
        turns in prop::collection::vec((any::<prop::sample::Index>(), prop::option::weighted(0.1, any::<prop::sample::Index>())), 1..12),
    ) {
        let payloads = turns.iter().map(|(document, cut)| {
            let document = document.get(&documents).as_bytes();
            cut.map_or(document, |cut| &document[..cut.index(document.len())])
        });
        for spec in &specs() {
            same_in_turn(spec, payloads.clone());
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
