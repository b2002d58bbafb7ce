//! Which values of a JSON document are wanted, as a tree that one pass can walk along.
//!
//! Each configured pointer is a path from the root; a node says what the value at its path is
//! wanted for. The distribution's own node has nothing below it: where another pointer leads into
//! the distribution, it finds nothing.

use std::sync::Arc;

use super::{DecoderSpec, DimensionSource, Format, Kind, Text, text};

/// The names that are tried at the top level when no pointer to the distribution is configured, the
/// most specific first. One that another pointer uses or leads through is not tried.
pub const USUAL_NAMES: [&str; 6] = [
    "probabilities",
    "probs",
    "predictions",
    "scores",
    "outputs",
    "logits",
];

/// What is tried before them for an ensemble.
const USUAL_MEMBERS: &str = "/members";

/// What is tried for a language model: where OpenAI has it, and the same without its envelope.
const USUAL_TOKENS: [&str; 4] = [
    "/choices/0/logprobs",
    "/logprobs",
    "/top_logprobs",
    "/tokens",
];

/// The pointers that are tried when none is configured, in order.
pub fn usual_names(kind: Kind) -> Vec<String> {
    let names = || USUAL_NAMES.iter().map(|name| format!("/{name}"));
    match kind {
        Kind::TopK { .. } => USUAL_TOKENS.map(str::to_owned).into(),
        Kind::Ensemble { .. } => [USUAL_MEMBERS.to_owned()]
            .into_iter()
            .chain(names())
            .collect(),
        _ => names().collect(),
    }
}

/// The keys that a JSON pointer (RFC 6901) goes through; none for `""`, the whole document.
///
/// # Errors
/// What is wrong with it, for the reader of a config file.
pub fn parse_pointer(pointer: &str) -> Result<Vec<String>, String> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let Some(path) = pointer.strip_prefix('/') else {
        return Err(format!(
            "a json pointer starts with a slash: \"/{pointer}\""
        ));
    };
    path.split('/').map(unescape).collect()
}

/// `~1` is a slash and `~0` a tilde.
fn unescape(key: &str) -> Result<String, String> {
    let mut parts = key.split('~');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match part.as_bytes().first() {
            Some(b'0') => ('~', &part[1..]),
            Some(b'1') => ('/', &part[1..]),
            _ => return Err("in a json pointer ~ is written ~0, and / in a key ~1".to_owned()),
        };
        out.push(character);
        out.push_str(rest);
    }
    Ok(out)
}

#[derive(Debug)]
pub(super) struct Fields {
    nodes: Vec<Node>,
    /// Where the distribution may be, by rank: the first that is there is read. Fit for messages.
    pub distributions: Vec<String>,
    /// Whether `distributions` are the usual names.
    pub usual: bool,
    /// No other fields' is this one: what is known of these nodes holds for no others.
    pub identity: Arc<()>,
}

/// What the value at one path is wanted for.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The distribution, with its rank in [`Fields::distributions`].
    pub distribution: Option<usize>,
    pub time: bool,
    pub texts: Vec<Text>,
    children: Vec<Child>,
}

#[derive(Debug)]
struct Child {
    key: String,
    /// The key as an array's index, where it is one.
    index: Option<usize>,
    node: usize,
}

impl Node {
    /// Whether nothing but values below it is wanted.
    pub fn is_only_a_way(&self) -> bool {
        self.distribution.is_none() && !self.time && self.texts.is_empty()
    }
}

impl Fields {
    pub const ROOT: usize = 0;

    /// A pointer that [`parse_pointer`] refuses finds nothing. A raw payload has no fields.
    pub fn new(spec: &DecoderSpec) -> Self {
        let mut fields = Self {
            nodes: vec![Node::default()],
            distributions: Vec::new(),
            usual: false,
            identity: Arc::default(),
        };
        if spec.format != Format::Json {
            fields.distributions.push("the payload".to_owned());
            return fields;
        }
        if let Some(node) = spec.timestamp.as_deref().and_then(|p| fields.insert(p)) {
            fields.nodes[node].time = true;
        }
        for (text, source) in spec.texts() {
            if let DimensionSource::Pointer(pointer) = source
                && let Some(node) = fields.insert(pointer)
            {
                fields.nodes[node].texts.push(text);
            }
        }
        match &spec.probabilities {
            Some(pointer) => {
                fields.distributions.push(label(pointer));
                if let Some(node) = fields.insert(pointer) {
                    fields.nodes[node].distribution = Some(0);
                }
            }
            None => fields.insert_usual_names(spec.kind),
        }
        fields
    }

    fn insert_usual_names(&mut self, kind: Kind) {
        self.usual = true;
        for pointer in usual_names(kind) {
            let known = self.nodes.len();
            // One that is new is used for nothing else.
            if let Some(node) = self.insert(&pointer).filter(|&node| node >= known) {
                self.nodes[node].distribution = Some(self.distributions.len());
                self.distributions.push(pointer);
            }
        }
    }

    fn insert(&mut self, pointer: &str) -> Option<usize> {
        let keys = parse_pointer(pointer).ok()?;
        Some(
            keys.into_iter()
                .fold(Self::ROOT, |parent, key| self.child(parent, key)),
        )
    }

    /// The child of `parent` under `key`, made if it is not there.
    fn child(&mut self, parent: usize, key: String) -> usize {
        if let Some(node) = self.child_by_key(parent, &key) {
            return node;
        }
        let node = self.nodes.len();
        self.nodes.push(Node::default());
        let index = array_index(&key);
        self.nodes[parent].children.push(Child { key, index, node });
        node
    }

    pub fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// What is wanted under `key` of the object at `parent`. A handful of keys: a walk is fastest.
    pub fn child_by_key(&self, parent: usize, key: &str) -> Option<usize> {
        let children = &self.nodes[parent].children;
        children
            .iter()
            .find(|child| child.key == key)
            .map(|child| child.node)
    }

    /// As [`Self::child_by_key`], for a key that may not be UTF-8.
    pub fn child_by_bytes(&self, parent: usize, key: &[u8]) -> Option<usize> {
        let children = &self.nodes[parent].children;
        children
            .iter()
            .find(|child| text::is_same(child.key.as_bytes(), key))
            .map(|child| child.node)
    }

    /// What is wanted at `index` of the array at `parent`.
    pub fn child_by_index(&self, parent: usize, index: usize) -> Option<usize> {
        let children = &self.nodes[parent].children;
        children
            .iter()
            .find(|child| child.index == Some(index))
            .map(|child| child.node)
    }
}

/// Digits without a leading zero, as RFC 6901 has them.
fn array_index(key: &str) -> Option<usize> {
    let plain = key == "0" || !key.starts_with('0');
    (plain && key.bytes().all(|b| b.is_ascii_digit()))
        .then(|| key.parse().ok())
        .flatten()
}

/// A pointer as messages show it: on one line whatever it holds.
pub(super) fn label(pointer: &str) -> String {
    if pointer.is_empty() {
        "the document".to_owned()
    } else {
        pointer.escape_debug().to_string()
    }
}
