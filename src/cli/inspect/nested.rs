//! Records that are more than one distribution: an ensemble's members, a language model's tokens.

use serde_json::Value;

use crate::decode::{Decoder, DecoderSpec, Kind, NoHeaders, Record, Scratch};
use crate::information::distribution;

/// The vocabulary that is proposed, for its owner to correct.
pub const PROPOSED_VOCABULARY: u64 = 128_256;

/// How many members, and over how many classes: of an array of at least two arrays that are
/// distributions, each over as many classes.
fn members(value: &Value) -> Option<(usize, usize)> {
    let rows = value.as_array().filter(|rows| rows.len() >= 2)?;
    let mut classes = None;
    for row in rows {
        let numbers: Option<Vec<f64>> = row.as_array()?.iter().map(Value::as_f64).collect();
        let mut numbers = numbers.filter(|numbers| numbers.len() >= 2)?;
        let as_many = *classes.get_or_insert(numbers.len()) == numbers.len();
        if !as_many || distribution::probabilities(&mut numbers).is_err() {
            return None;
        }
    }
    Some((rows.len(), classes?))
}

/// Whether a value may be an ensemble's.
pub fn is_nested(value: &Value) -> bool {
    members(value).is_some()
}

/// Members and classes of the values at one pointer, if at least `least` are ensembles of as many.
pub fn ensemble(values: &[&Value], least: f64) -> Option<(usize, usize)> {
    let found: Vec<(usize, usize)> = values.iter().filter_map(|value| members(value)).collect();
    let first = *found.first()?;
    let same = found.iter().filter(|other| **other == first).count();
    (same as f64 >= least).then_some(first)
}

/// `json` with the kind of a language model's responses, if at least `least` payloads can be read so.
pub fn tokens<'a>(
    json: &DecoderSpec,
    payloads: impl Iterator<Item = &'a [u8]>,
    least: f64,
) -> Option<DecoderSpec> {
    let spec = DecoderSpec {
        kind: Kind::TopK {
            vocabulary: PROPOSED_VOCABULARY,
            max_tokens: 100_000,
        },
        ..json.clone()
    };
    let decoder = Decoder::new(spec.clone());
    let mut scratch = Scratch::default();
    let read = payloads.filter(|payload| {
        let record = Record {
            payload: Some(payload),
            // Any time, so that only the tokens decide.
            timestamp_ms: Some(0),
            headers: &NoHeaders,
        };
        decoder.decode(&record, &mut scratch).is_ok()
    });
    (read.count() as f64 >= least).then_some(spec)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::guess::{Sample, guess};
    use super::*;

    fn guessed(document: Value) -> super::super::guess::Guess {
        let sample = Sample {
            partition: 0,
            timestamp_ms: Some(1_795_168_800_000),
            payload: document.to_string().into_bytes(),
        };
        guess(&vec![sample; 10]).unwrap()
    }

    #[test]
    fn an_ensemble_is_seen() {
        let found = guessed(json!({ "out": { "m": [[0.5, 0.5], [0.9, 0.1], [1, 0]] } }));
        assert!(matches!(found.spec.kind, Kind::Ensemble { .. }));
        assert_eq!(found.spec.probabilities.as_deref(), Some("/out/m"));
        let lines = found.lines.join("\n");
        assert!(lines.contains("kind = \"ensemble\""), "{lines}");
        assert!(lines.contains("members = \"/out/m\""), "{lines}");
        assert!(found.notes[0].contains("3 members"), "{:?}", found.notes);
        // One row is a distribution, and rows that do not sum to 1 are no members.
        let found = guessed(json!({ "m": [[0.5, 0.5]] }));
        assert_eq!(found.spec.kind, Kind::Probabilities);
    }

    #[test]
    fn log_probabilities_of_tokens_are_seen() {
        let found = guessed(json!({
            "created": 1_795_168_800,
            "choices": [{ "logprobs": { "content": [
                { "token": "a", "logprob": -0.5, "top_logprobs": [{ "token": "a", "logprob": -0.5 }] }
            ] } }],
        }));
        assert!(matches!(found.spec.kind, Kind::TopK { .. }));
        assert_eq!(found.spec.timestamp.as_deref(), Some("/created"));
        let lines = found.lines.join("\n");
        assert!(
            lines.contains("kind = \"top_k\"\nvocabulary = 128256"),
            "{lines}"
        );
        assert!(
            lines.contains("fields = { timestamp = \"/created\" }"),
            "{lines}"
        );
    }
}
