//! `kind` of a model, and what only some kinds have: `members`, `vocabulary`, and where in a
//! document the members or tokens are.

use super::reader::Reader;
use crate::decode::{Format, Kind, parse_pointer};

/// The most tokens that a vocabulary may have: log2 of it is at most 31 bits.
const MOST_VOCABULARY: u64 = 1 << 31;

/// Bounds of a record's parts.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub members: usize,
    pub tokens: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            members: 1_000,
            tokens: 100_000,
        }
    }
}

impl Bounds {
    /// Takes the limits of one model in, or of all.
    pub fn read(&mut self, table: &Reader<'_>) {
        let set = |value: &mut usize, key, range| {
            *value = table
                .integer(key, range)
                .map_or(*value, |number| number as usize);
        };
        set(&mut self.members, "members", 1..1_000_000);
        set(&mut self.tokens, "tokens", 1..4_000_000);
    }
}

/// The model's kind; none where it is wrong.
pub fn read(table: &Reader<'_>, format: Format, bounds: Bounds) -> Option<Kind> {
    let ensemble = Kind::Ensemble {
        members: None,
        max_members: bounds.members,
    };
    let top_k = Kind::TopK {
        vocabulary: 0,
        max_tokens: bounds.tokens,
    };
    let kinds = [
        ("probabilities", Kind::Probabilities),
        ("logits", Kind::Logits),
        ("log_probabilities", Kind::LogProbabilities),
        ("binary", Kind::Binary),
        ("multilabel", Kind::Multilabel),
        ("ensemble", ensemble),
        ("top_k", top_k),
    ];
    let kind = table.one_of("kind", &kinds);
    let members = table.integer("members", 1..1_000_000);
    let vocabulary = table.integer("vocabulary", 2..MOST_VOCABULARY + 1);
    if kind.is_none() && table.has("kind") {
        return None;
    }
    let kind = kind.unwrap_or(Kind::Probabilities);
    let is_json = format == Format::Json;
    if table.has("members") && (is_json || !matches!(kind, Kind::Ensemble { .. })) {
        let why = "is for kind = \"ensemble\" in raw floats; in JSON each array is a member";
        table.problem("members", why);
    }
    if table.has("vocabulary") && !matches!(kind, Kind::TopK { .. }) {
        table.problem("vocabulary", "is for kind = \"top_k\"");
    }
    match kind {
        Kind::Ensemble { .. } => of_ensemble(table, is_json, members, bounds),
        Kind::TopK { .. } => of_tokens(table, is_json, vocabulary, bounds),
        kind => Some(kind),
    }
}

fn of_ensemble(
    table: &Reader<'_>,
    is_json: bool,
    members: Option<u64>,
    bounds: Bounds,
) -> Option<Kind> {
    if !is_json && !table.has("members") {
        let why = "is missing: raw floats do not say how many members share them";
        table.problem("members", why);
        return None;
    }
    let members = members.map(|members| members as usize);
    if members.is_some_and(|members| members > bounds.members) {
        let most = bounds.members;
        table.problem("members", format!("is more than limits.members, {most}"));
    }
    Some(Kind::Ensemble {
        members,
        max_members: bounds.members,
    })
}

fn of_tokens(
    table: &Reader<'_>,
    is_json: bool,
    vocabulary: Option<u64>,
    bounds: Bounds,
) -> Option<Kind> {
    if !is_json {
        table.problem("kind", "\"top_k\" is read from JSON only");
    }
    if !table.has("vocabulary") {
        let why = "is missing: how many tokens the model chooses from (vocabulary = 128256)";
        table.problem("vocabulary", why);
    }
    if table.has("classes") {
        table.problem("classes", "are none of a top_k model: it has tokens");
    }
    Some(Kind::TopK {
        vocabulary: vocabulary?,
        max_tokens: bounds.tokens,
    })
}

/// The pointer to the distribution, the members or the tokens, under the key that the kind has for it,
/// and that key.
pub fn pointer(fields: &Reader<'_>, kind: Option<Kind>) -> (Option<String>, &'static str) {
    let read = |key: &'static str| {
        let found = fields.parsed(key, |text| parse_pointer(text).map(|_| text.to_owned()));
        found.map(|pointer| (Some(pointer), key))
    };
    let (distribution, members, tokens) = (read("probabilities"), read("members"), read("tokens"));
    let only = |key: &str, kind: &str| {
        if fields.has(key) {
            fields.problem(key, format!("is for kind = \"{kind}\""));
        }
    };
    let none = (None, "probabilities");
    match kind {
        Some(Kind::Ensemble { .. }) => {
            only("tokens", "top_k");
            if members.is_some() && distribution.is_some() {
                fields.problem("members", "cannot stand beside probabilities");
            }
            members.or(distribution).unwrap_or(none)
        }
        Some(Kind::TopK { .. }) => {
            only("members", "ensemble");
            if fields.has("probabilities") {
                fields.problem("probabilities", "is \"tokens\" for kind = \"top_k\"");
            }
            tokens.unwrap_or(none)
        }
        _ => {
            only("members", "ensemble");
            only("tokens", "top_k");
            distribution.unwrap_or(none)
        }
    }
}
