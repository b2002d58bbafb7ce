//! From records to the configuration that reads them: which field is the distribution, of which
//! kind, and where the time is. Pure: samples in, guess out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{nested, toml};
use crate::decode::{Decoder, DecoderSpec, Format, Kind, NoHeaders, Record, Scratch, USUAL_NAMES};
use crate::information::distribution;
use crate::observation::Millis;

/// A record.
#[derive(Clone, Debug)]
pub struct Sample {
    pub partition: i32,
    /// Kafka's.
    pub timestamp_ms: Option<Millis>,
    pub payload: Vec<u8>,
}

/// What the records seem to be.
#[derive(Debug)]
pub struct Guess {
    pub spec: DecoderSpec,
    /// What was seen, a line each.
    pub notes: Vec<String>,
    /// Lines of the model's table that say how to read it.
    pub lines: Vec<String>,
}

/// What a distribution is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Classes {
    /// An array of so many.
    Counted(usize),
    /// An object's names.
    Named(Vec<String>),
}

/// A field is what it seems to be if so many of the records agree.
const MOST: f64 = 0.9;

/// Fields are looked for this deep.
const DEPTH: usize = 6;

/// Names that fields of time often have.
const TIME_NAMES: [&str; 8] = [
    "ts",
    "timestamp",
    "time",
    "event_time",
    "eventtime",
    "created_at",
    "@timestamp",
    "datetime",
];

/// Names that a single probability often has.
const SCORE_NAMES: [&str; 6] = [
    "p",
    "prob",
    "probability",
    "score",
    "prediction",
    "confidence",
];

/// An event lies this close to the time at which Kafka took it.
const NEAR_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// A field with more values than this is no dimension.
const MOST_VALUES: usize = 20;

/// Guesses how to read the samples, of which there is at least one.
///
/// # Errors
/// Nothing in them can be a model's output, in words.
pub fn guess(samples: &[Sample]) -> Result<Guess, String> {
    let documents: Vec<Option<Value>> = samples
        .iter()
        .map(|sample| serde_json::from_slice(&sample.payload).ok())
        .collect();
    let json = documents
        .iter()
        .flatten()
        .filter(|value| value.is_object() || value.is_array());
    if json.count() as f64 >= MOST * samples.len() as f64 {
        guess_json(samples, &documents)
    } else {
        guess_raw(samples)
    }
}

fn spec(format: Format, kind: Kind) -> DecoderSpec {
    DecoderSpec {
        format,
        kind,
        probabilities: None,
        timestamp: None,
        dimensions: Vec::new(),
        tags: Vec::new(),
        label: None,
        max_payload_bytes: 4 << 20,
        max_classes: 10_000,
    }
}

// ---- JSON ----

/// What all samples have at one pointer.
#[derive(Default)]
struct Field<'a> {
    values: Vec<&'a Value>,
}

fn guess_json(samples: &[Sample], documents: &[Option<Value>]) -> Result<Guess, String> {
    let mut fields: BTreeMap<String, Field<'_>> = BTreeMap::new();
    for document in documents.iter().flatten() {
        walk(document, String::new(), 0, &mut fields);
    }
    let least = MOST * documents.len() as f64;
    fields.retain(|_, field| field.values.len() as f64 >= least);
    let payloads = samples.iter().map(|sample| sample.payload.as_slice());
    let json = spec(Format::Json, Kind::Probabilities);
    if let Some(spec) = nested::tokens(&json, payloads, least) {
        return Ok(guess_tokens(spec, &fields, samples));
    }
    let distribution = fields
        .iter()
        .filter_map(|(pointer, field)| distribution_of(pointer, field))
        .min_by_key(|found| found.rank());
    let Some(found) = distribution else {
        let names: Vec<&str> = fields
            .keys()
            .map(String::as_str)
            .take(MOST_VALUES)
            .collect();
        return Err(match names.as_slice() {
            [] => "its records are JSON without fields in common".to_owned(),
            names => format!(
                "no field of its records looks like a model's output (an array or an object of at \
                 least two numbers, or one probability); the fields are {}",
                names.join(", ")
            ),
        });
    };
    let mut spec = DecoderSpec {
        probabilities: Some(found.pointer.clone()),
        ..spec(Format::Json, found.kind)
    };
    let mut notes = vec![format!(
        "JSON; {} holds {}",
        shown(&found.pointer),
        found.what()
    )];
    spec.timestamp = time_of(&fields, &spec, samples);
    match &spec.timestamp {
        Some(pointer) => notes.push(format!("{} holds the time", shown(pointer))),
        None => notes.push("no field holds the time: Kafka's own is taken".to_owned()),
    }
    let mut lines = vec![
        "format = \"json\"".to_owned(),
        format!("kind = \"{}\"", name(found.kind)),
    ];
    let field = match found.kind {
        Kind::Ensemble { .. } => "members",
        _ => "probabilities",
    };
    let mut entries = vec![format!("{field} = {}", toml(&found.pointer))];
    entries.extend(
        spec.timestamp
            .iter()
            .map(|pointer| format!("timestamp = {}", toml(pointer))),
    );
    lines.push(format!("fields = {{ {} }}", entries.join(", ")));
    if let Classes::Named(names) = &found.classes {
        let names: Vec<String> = names.iter().map(|class| toml(class)).collect();
        lines.push(format!("classes = [{}]", names.join(", ")));
    } else if found.kind != Kind::Binary {
        lines.push(format!(
            "# classes = [\"…\"]  # names for the {}, in order",
            found.classes.len()
        ));
    }
    say_dimensions(&fields, &mut notes, &mut lines);
    Ok(Guess { spec, notes, lines })
}

/// A language model's responses, which `spec` reads.
fn guess_tokens(
    mut spec: DecoderSpec,
    fields: &BTreeMap<String, Field<'_>>,
    samples: &[Sample],
) -> Guess {
    let mut notes = vec!["JSON; log-probabilities of a language model's tokens".to_owned()];
    spec.timestamp = time_of(fields, &spec, samples);
    let mut lines = vec![
        "format = \"json\"".to_owned(),
        "kind = \"top_k\"".to_owned(),
        format!(
            "vocabulary = {} # how many tokens the model chooses from: put in yours",
            nested::PROPOSED_VOCABULARY
        ),
    ];
    match &spec.timestamp {
        Some(pointer) => {
            notes.push(format!("{} holds the time", shown(pointer)));
            lines.push(format!("fields = {{ timestamp = {} }}", toml(pointer)));
        }
        None => notes.push("no field holds the time: Kafka's own is taken".to_owned()),
    }
    say_dimensions(fields, &mut notes, &mut lines);
    Guess { spec, notes, lines }
}

/// What may tell streams apart.
fn say_dimensions(
    fields: &BTreeMap<String, Field<'_>>,
    notes: &mut Vec<String>,
    lines: &mut Vec<String>,
) {
    let dimensions = dimensions_of(fields);
    if !dimensions.is_empty() {
        let of = |(pointer, values): &(String, usize)| {
            let s = if *values == 1 { "" } else { "s" };
            format!("{} ({values} value{s})", shown(pointer))
        };
        let seen: Vec<String> = dimensions.iter().map(of).collect();
        notes.push(format!("may tell streams apart: {}", seen.join(", ")));
        let entry = |(pointer, _): &(String, usize)| {
            let key = pointer.rsplit('/').next().unwrap_or(pointer);
            format!("{} = {}", toml(key), toml(pointer))
        };
        let entries: Vec<String> = dimensions.iter().map(entry).collect();
        lines.push("# each combination of values is watched by itself:".to_owned());
        lines.push(format!("# dimensions = {{ {} }}", entries.join(", ")));
    }
}

/// Collects what may be wanted: numbers, strings, booleans, and whole arrays or objects of numbers.
fn walk<'a>(
    value: &'a Value,
    pointer: String,
    depth: usize,
    fields: &mut BTreeMap<String, Field<'a>>,
) {
    let keep = |pointer: String, fields: &mut BTreeMap<String, Field<'a>>| {
        fields.entry(pointer).or_default().values.push(value);
    };
    match value {
        Value::Object(members) => {
            if members.len() >= 2 && members.values().all(Value::is_number) {
                keep(pointer.clone(), fields);
            }
            if depth < DEPTH {
                for (key, member) in members {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    walk(member, format!("{pointer}/{key}"), depth + 1, fields);
                }
            }
        }
        Value::Array(_) if numbers(value).is_some() || nested::is_nested(value) => {
            keep(pointer, fields);
        }
        Value::Number(_) | Value::String(_) | Value::Bool(_) => keep(pointer, fields),
        Value::Array(_) | Value::Null => {}
    }
}

/// The numbers of an array, of an array of one array, or of an object.
fn numbers(value: &Value) -> Option<Vec<f64>> {
    let all = |values: &mut dyn Iterator<Item = &Value>| -> Option<Vec<f64>> {
        let numbers: Option<Vec<f64>> = values.map(Value::as_f64).collect();
        numbers.filter(|numbers| !numbers.is_empty())
    };
    match value {
        Value::Array(items) => match items.as_slice() {
            [Value::Array(only)] => all(&mut only.iter()),
            items => all(&mut items.iter()),
        },
        Value::Object(members) => all(&mut members.values()),
        _ => None,
    }
}

/// A field that may be a model's output.
struct Distribution {
    pointer: String,
    kind: Kind,
    classes: Classes,
    sums: Option<(f64, f64)>,
}

impl Distribution {
    /// The best comes first.
    fn rank(&self) -> (usize, usize, usize) {
        let kind = match self.kind {
            Kind::Ensemble { .. } | Kind::TopK { .. } => 0,
            Kind::Probabilities => 1,
            Kind::LogProbabilities => 2,
            Kind::Binary => 3,
            Kind::Logits | Kind::Multilabel => 4,
        };
        let top = self.pointer.strip_prefix('/').unwrap_or_default();
        let usual = USUAL_NAMES.iter().position(|name| *name == top);
        (kind, usual.unwrap_or(USUAL_NAMES.len()), self.pointer.len())
    }

    fn what(&self) -> String {
        let k = self.classes.len();
        let named = match self.classes {
            Classes::Named(_) => ", by name",
            Classes::Counted(_) => "",
        };
        match (self.kind, self.sums) {
            (Kind::Binary, _) => "one probability".to_owned(),
            (Kind::Probabilities, Some((least, most))) => {
                format!("{k} probabilities{named} (sums {least:.6} to {most:.6})")
            }
            (Kind::Probabilities, None) => format!("{k} probabilities{named}"),
            (Kind::LogProbabilities, _) => format!("{k} log-probabilities{named}"),
            (Kind::Ensemble { members, .. }, _) => {
                let members = members.unwrap_or(1);
                format!(
                    "the probabilities of {members} members of an ensemble over {k} classes (rows of \
                     a batch look the same, and are none)"
                )
            }
            (Kind::TopK { .. }, _) => "log-probabilities of a language model's tokens".to_owned(),
            (Kind::Multilabel, _) => format!("{k} probabilities of independent labels{named}"),
            (Kind::Logits, _) => {
                format!("{k} numbers that are no probabilities{named}: taken as logits")
            }
        }
    }
}

fn distribution_of(pointer: &str, field: &Field<'_>) -> Option<Distribution> {
    if field.values.iter().all(|value| value.is_number()) {
        let name = pointer.rsplit('/').next()?.to_lowercase();
        let is_score = SCORE_NAMES.contains(&name.as_str());
        let fits = |value: &Value| value.as_f64().is_some_and(|p| (0.0..=1.0).contains(&p));
        return (is_score && field.values.iter().all(|v| fits(v))).then(|| Distribution {
            pointer: pointer.to_owned(),
            kind: Kind::Binary,
            classes: Classes::Counted(2),
            sums: None,
        });
    }
    if let Some((members, k)) = nested::ensemble(&field.values, MOST * field.values.len() as f64) {
        return Some(Distribution {
            pointer: pointer.to_owned(),
            kind: Kind::Ensemble {
                members: Some(members),
                max_members: 1_000,
            },
            classes: Classes::Counted(k),
            sums: None,
        });
    }
    let vectors: Vec<Vec<f64>> = field.values.iter().filter_map(|v| numbers(v)).collect();
    let first = vectors.first().filter(|first| first.len() >= 2)?;
    let same = vectors
        .iter()
        .filter(|vector| vector.len() == first.len())
        .count();
    if (same as f64) < MOST * field.values.len() as f64 {
        return None;
    }
    let (kind, sums) = kind_of(&vectors)?;
    let classes = match field.values.iter().find_map(|value| value.as_object()) {
        Some(members) => {
            let mut names: Vec<String> = members.keys().cloned().collect();
            names.sort();
            Classes::Named(names)
        }
        None => Classes::Counted(first.len()),
    };
    Some(Distribution {
        pointer: pointer.to_owned(),
        kind,
        classes,
        sums,
    })
}

/// What most of the vectors are, and between which their sums lie.
fn kind_of(vectors: &[Vec<f64>]) -> Option<(Kind, Option<(f64, f64)>)> {
    let least = MOST * vectors.len() as f64;
    let fit = |check: fn(&mut [f64]) -> Result<(), distribution::Invalid>| {
        let fits = vectors
            .iter()
            .filter(|vector| check(&mut (*vector).clone()).is_ok());
        fits.count() as f64 >= least
    };
    if fit(distribution::probabilities) {
        let sums = vectors.iter().map(|vector| vector.iter().sum::<f64>());
        let bounds = sums.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), sum| {
            (low.min(sum), high.max(sum))
        });
        return Some((Kind::Probabilities, Some(bounds)));
    }
    if fit(distribution::log_probabilities) {
        return Some((Kind::LogProbabilities, None));
    }
    fit(distribution::logits).then_some((Kind::Logits, None))
}

/// The field that holds the time, read as the decoder would.
fn time_of(
    fields: &BTreeMap<String, Field<'_>>,
    spec: &DecoderSpec,
    samples: &[Sample],
) -> Option<String> {
    let is_near = |pointer: &&String| {
        let decoder = Decoder::new(DecoderSpec {
            timestamp: Some((*pointer).clone()),
            ..spec.clone()
        });
        let mut scratch = Scratch::default();
        let near = samples.iter().filter(|sample| {
            let record = Record {
                payload: Some(&sample.payload),
                timestamp_ms: sample.timestamp_ms,
                headers: &NoHeaders,
            };
            let read = decoder.decode(&record, &mut scratch).is_ok();
            let (found, kafka) = (scratch.time_ms, sample.timestamp_ms);
            read && found
                .zip(kafka)
                .is_some_and(|(t, kafka)| (t - kafka).abs() <= NEAR_MS)
        });
        near.count() as f64 >= MOST * samples.len() as f64
    };
    let scalar = |field: &Field<'_>| field.values.iter().all(|v| v.is_number() || v.is_string());
    let by_name = |pointer: &&String| {
        let name = pointer
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_lowercase();
        let known = TIME_NAMES.iter().position(|time| *time == name);
        (known.unwrap_or(TIME_NAMES.len()), pointer.len())
    };
    let mut candidates: Vec<&String> = fields
        .iter()
        .filter(|(_, field)| scalar(field))
        .map(|(pointer, _)| pointer)
        .collect();
    candidates.sort_by_key(by_name);
    candidates.into_iter().find(is_near).cloned()
}

/// Fields of few different strings, and how many.
fn dimensions_of(fields: &BTreeMap<String, Field<'_>>) -> Vec<(String, usize)> {
    let values = |field: &Field<'_>| -> Option<usize> {
        let texts: Option<Vec<&str>> = field.values.iter().map(|value| value.as_str()).collect();
        let texts = texts?;
        let distinct: BTreeSet<&str> = texts.iter().copied().collect();
        let few = distinct.len() <= MOST_VALUES && distinct.len() * 5 <= texts.len();
        (few && distinct.iter().all(|text| text.len() <= 64)).then_some(distinct.len())
    };
    let found = fields
        .iter()
        .filter_map(|(pointer, field)| Some((pointer.clone(), values(field)?)));
    found.take(5).collect()
}

/// A pointer in a sentence; the empty one is the whole document.
fn shown(pointer: &str) -> &str {
    if pointer.is_empty() {
        "the document itself"
    } else {
        pointer
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Probabilities => "probabilities",
        Kind::Logits => "logits",
        Kind::LogProbabilities => "log_probabilities",
        Kind::Binary => "binary",
        Kind::Multilabel => "multilabel",
        Kind::Ensemble { .. } => "ensemble",
        Kind::TopK { .. } => "top_k",
    }
}

// ---- raw floats ----

fn guess_raw(samples: &[Sample]) -> Result<Guess, String> {
    let bytes = samples[0].payload.len();
    let same = samples
        .iter()
        .filter(|sample| sample.payload.len() == bytes)
        .count();
    let mut found = None;
    if same as f64 >= MOST * samples.len() as f64 {
        for (format, width) in [(Format::F32Le, 4), (Format::F64Le, 8)] {
            if bytes == 0 || !bytes.is_multiple_of(width) || bytes / width < 2 {
                continue;
            }
            let decoded: Vec<Vec<f64>> = samples
                .iter()
                .map(|sample| floats(format, &sample.payload))
                .collect();
            // Bytes of anything are finite floats: only what sums to one is told from noise.
            if let Some((kind @ (Kind::Probabilities | Kind::LogProbabilities), sums)) =
                kind_of(&decoded)
            {
                found = Some((format, kind, bytes / width, sums));
                break;
            }
        }
    }
    let Some((format, kind, k, sums)) = found else {
        return Err(format!(
            "its records are neither JSON nor probabilities as 32- or 64-bit floats; the first of {} \
             bytes begins with {:?}",
            bytes,
            String::from_utf8_lossy(&samples[0].payload[..bytes.min(40)])
        ));
    };
    let distribution = Distribution {
        pointer: String::new(),
        kind,
        classes: Classes::Counted(k),
        sums,
    };
    let (written, width) = match format {
        Format::F64Le => ("f64le", 64),
        Format::F32Le | Format::Json => ("f32le", 32),
    };
    Ok(Guess {
        spec: spec(format, kind),
        notes: vec![
            format!("{width}-bit little-endian floats: {}", distribution.what()),
            "the time is Kafka's".to_owned(),
        ],
        lines: vec![
            format!("format = \"{written}\""),
            format!("kind = \"{}\"", name(kind)),
            format!("# classes = [\"…\"]  # names for the {k}, in order"),
        ],
    })
}

fn floats(format: Format, payload: &[u8]) -> Vec<f64> {
    match format {
        Format::F64Le => payload
            .chunks_exact(8)
            .filter_map(|chunk| chunk.try_into().ok().map(f64::from_le_bytes))
            .collect(),
        Format::F32Le | Format::Json => payload
            .chunks_exact(4)
            .filter_map(|chunk| chunk.try_into().ok().map(f32::from_le_bytes).map(f64::from))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW_MS: i64 = 1_795_168_800_000;

    fn samples(of: impl Fn(i64) -> Vec<u8>) -> Vec<Sample> {
        let sample = |i| Sample {
            partition: 0,
            timestamp_ms: Some(NOW_MS + i * 100),
            payload: of(i),
        };
        (0..50).map(sample).collect()
    }

    fn of_json(of: impl Fn(i64) -> Value) -> Result<Guess, String> {
        guess(&samples(|i| of(i).to_string().into_bytes()))
    }

    #[test]
    fn finds_nested_probabilities_time_and_dimensions() {
        let found = of_json(|i| {
            let p = (i + 1) as f64 / 100.0;
            json!({
                "id": format!("r-{i}"),
                "features": [3.5, i, 17.25],
                "outputs": { "probabilities": [p, 1.0 - p] },
                "meta": { "version": if i % 2 == 0 { "7" } else { "8" } },
                "ts": NOW_MS + i * 100 - 40,
            })
        });
        let found = found.unwrap();
        assert_eq!(found.spec.kind, Kind::Probabilities);
        assert_eq!(
            found.spec.probabilities.as_deref(),
            Some("/outputs/probabilities")
        );
        assert_eq!(found.spec.timestamp.as_deref(), Some("/ts"));
        assert!(
            found
                .lines
                .contains(&"# dimensions = { \"version\" = \"/meta/version\" }".to_owned())
        );
    }

    #[test]
    fn takes_the_names_of_an_object() {
        let found = of_json(|_| json!({ "scores": { "no": 0.25, "yes": 0.75 } })).unwrap();
        assert_eq!(found.spec.probabilities.as_deref(), Some("/scores"));
        assert!(
            found
                .lines
                .contains(&"classes = [\"no\", \"yes\"]".to_owned())
        );
    }

    #[test]
    fn tells_the_kinds_apart() {
        let kind = |value: Value| of_json(|_| value.clone()).unwrap().spec.kind;
        assert_eq!(kind(json!({ "y": [0.5, 0.5] })), Kind::Probabilities);
        // ln 0.25, ln 0.75
        let logs = [-1.386_294_361_119_890_6, -0.287_682_072_451_780_9];
        assert_eq!(kind(json!({ "y": logs })), Kind::LogProbabilities);
        assert_eq!(kind(json!({ "y": [2.5, -1.0, 0.25] })), Kind::Logits);
        assert_eq!(kind(json!({ "score": 0.3 })), Kind::Binary);
    }

    #[test]
    fn raw_floats_are_told_from_noise() {
        let floats = |values: [f32; 4]| {
            values
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        let found = guess(&samples(|_| floats([0.1, 0.2, 0.3, 0.4]))).unwrap();
        assert_eq!(found.spec.format, Format::F32Le);
        let doubles = |_| {
            [0.5_f64, 0.5]
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        assert_eq!(guess(&samples(doubles)).unwrap().spec.format, Format::F64Le);
        let error = guess(&samples(|_| b"12345678".to_vec())).map(drop);
        assert!(error.is_err());
        let error = guess(&samples(|_| b"hello, world!".to_vec())).unwrap_err();
        assert!(error.contains("neither JSON nor"), "{error}");
    }

    #[test]
    fn says_which_fields_there_are_where_none_fits() {
        let error = of_json(|i| json!({ "user": "u", "clicks": i })).unwrap_err();
        assert!(error.contains("/clicks, /user"), "{error}");
    }
}
