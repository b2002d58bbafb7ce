//! One pass over a JSON document, keeping what is wanted and skipping the rest unread.
//!
//! No tree is built: at each key the walk goes one step down [`Fields`] or skips the value, so the
//! stack is as deep as the longest pointer however deep the document is. Strings that are skipped
//! are not checked for UTF-8, nor are skipped numbers for their range.
//!
//! A wanted value that is not what it should be does not end the pass: the time may come after it.
//! So the document's only error is broken JSON, which includes a wanted key that is repeated (which
//! of the two was meant?); everything else is a finding, and findings do not depend on the order of
//! keys.

use std::fmt;

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::decimal::Rows;
use super::fast::Layout;
use super::fields::{Fields, Node};
use super::members::Members;
use super::numbers::{Numbers, Shape};
use super::text::{self, MAX_TEXT_BYTES, quoted};
use super::tokens::{Known, Tokens};
use super::{DecoderSpec, Kind, Scratch, nonfinite, timestamp};
use crate::observation::{Millis, Reason, Rejection};

/// Memory of the pass that is used again for the next record.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    pub members: Vec<(String, f64)>,
    /// Which nodes of [`Fields`] the document has had.
    pub seen: Vec<bool>,
    /// What the last documents looked like.
    pub layout: Layout,
    /// Of an ensemble, the member at hand.
    pub row: Vec<f64>,
    /// Of rows of numbers.
    pub rows: Rows,
    /// Of a response, the token at hand.
    pub known: Known,
}

impl Buffers {
    pub fn forget_seen(&mut self, fields: &Fields) {
        self.seen.clear();
        self.seen.resize(fields.len(), false);
    }
}

/// What a document holds of what is wanted, beside what went into the scratch. It is filled where it
/// is: moving it costs as much as reading a number.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The distribution's rank in [`Fields::distributions`] and shape, or why it is none.
    pub distribution: Option<(usize, Result<Shape, Rejection>)>,
    /// The first of the wanted texts (dimensions, tags, the label) that has no usable value.
    pub text: Option<Rejection>,
    /// The time was there, and is none.
    pub time: Option<Rejection>,
}

/// Reads one document into `scratch`: the distribution's numbers as they are, texts by pointer,
/// the time; and says what it found.
///
/// # Errors
/// Broken JSON. A time that came before the break is kept.
pub(super) fn read(
    fields: &Fields,
    spec: &DecoderSpec,
    payload: &[u8],
    scratch: &mut Scratch,
    findings: &mut Findings,
) -> Result<(), Rejection> {
    let mut pass = Pass::new(fields, spec, scratch);
    let Err(error) = pass.run(payload) else {
        *findings = pass.findings;
        return Ok(());
    };
    let place = (error.line(), error.column());
    let Some(token) = nonfinite::token_at(payload, place.0, place.1) else {
        return Err(broken(&error));
    };
    let inside = pass.inside;
    let mut pass = Pass::new(fields, spec, scratch);
    pass.run(&nonfinite::neutralised(payload))
        .map_err(|error| broken(&error))?;

    let token = quoted(token);
    let place = format!("at line {} column {}", place.0, place.1);
    *findings = pass.findings;
    match &mut findings.distribution {
        Some((rank, outcome)) if inside == Some(*rank) => {
            let field = &fields.distributions[*rank];
            let detail = format!("{field}: {token} is not a finite number, {place}");
            *outcome = Err(Rejection::new(Reason::NotFinite, detail));
            Ok(())
        }
        _ => {
            let detail = format!("{token} is no number that json or a 64-bit float has, {place}");
            Err(Rejection::new(Reason::Malformed, detail))
        }
    }
}

/// The parser's messages quote nothing of the document; ours quote a configured key.
fn broken(error: &serde_json::Error) -> Rejection {
    Rejection::new(
        Reason::Malformed,
        format!("the payload is not usable json: {error}"),
    )
}

struct Pass<'a> {
    fields: &'a Fields,
    spec: &'a DecoderSpec,
    scratch: &'a mut Scratch,
    findings: Findings,
    /// The rank of the distribution that is being read, and still so if the pass broke off there.
    inside: Option<usize>,
}

impl<'a> Pass<'a> {
    fn new(fields: &'a Fields, spec: &'a DecoderSpec, scratch: &'a mut Scratch) -> Self {
        scratch.buffers.forget_seen(fields);
        Self {
            fields,
            spec,
            scratch,
            findings: Findings::default(),
            inside: None,
        }
    }

    fn run(&mut self, payload: &[u8]) -> Result<(), serde_json::Error> {
        let mut document = serde_json::Deserializer::from_slice(payload);
        Value {
            pass: self,
            node: Fields::ROOT,
        }
        .deserialize(&mut document)?;
        document.end()
    }

    fn distribution<'de, D: Deserializer<'de>>(
        &mut self,
        rank: usize,
        deserializer: D,
    ) -> Result<(), D::Error> {
        if self
            .findings
            .distribution
            .as_ref()
            .is_some_and(|(found, _)| *found < rank)
        {
            return IgnoredAny::deserialize(deserializer).map(drop);
        }
        self.inside = Some(rank);
        let outcome = self.read(rank, deserializer)?;
        self.inside = None;
        if outcome != Ok(Shape::Null) {
            self.findings.distribution = Some((rank, outcome));
        }
        Ok(())
    }

    /// Reads the distribution as the model's kind has it.
    fn read<'de, D: Deserializer<'de>>(
        &mut self,
        rank: usize,
        deserializer: D,
    ) -> Result<Result<Shape, Rejection>, D::Error> {
        let Scratch {
            probabilities,
            class_names,
            buffers,
            ..
        } = &mut *self.scratch;
        let (field, max_classes) = (&self.fields.distributions[rank], self.spec.max_classes);
        let (names, members) = (class_names, &mut buffers.members);
        match self.spec.kind {
            Kind::TopK {
                vocabulary,
                max_tokens,
            } => Tokens {
                field,
                vocabulary,
                max_tokens,
                max_known: max_classes,
                known: &mut buffers.known,
                problem: None,
            }
            .deserialize(deserializer),
            Kind::Ensemble { max_members, .. } => Members {
                row: Numbers {
                    field,
                    max_classes,
                    values: &mut buffers.row,
                    names,
                    members,
                },
                max_members,
                all: probabilities,
            }
            .deserialize(deserializer),
            _ => Numbers {
                field,
                max_classes,
                values: probabilities,
                names,
                members,
            }
            .deserialize(deserializer),
        }
    }

    /// Marks that a node's value comes.
    fn see<E: Error>(&mut self, node: usize, key: &str) -> Result<(), E> {
        let seen = &mut self.scratch.buffers.seen[node];
        if *seen {
            return Err(E::custom(format_args!(
                "the key {} is repeated",
                quoted(key)
            )));
        }
        *seen = true;
        Ok(())
    }
}

/// Reads the value at a node.
struct Value<'p, 'a> {
    pass: &'p mut Pass<'a>,
    node: usize,
}

impl<'a> Value<'_, 'a> {
    fn wanted(&self) -> &'a Node {
        self.pass.fields.node(self.node)
    }

    /// Writes the value's text wherever it is wanted.
    fn texts(&mut self, write: impl Fn(&mut String)) {
        for &text in &self.wanted().texts {
            write(self.pass.scratch.slot(text));
        }
    }

    /// Refuses the value wherever its text is wanted.
    #[cold]
    fn refuse_texts(&mut self, problem: fmt::Arguments<'_>) {
        if let Some(&text) = self.wanted().texts.first() {
            let rejection = super::text_refused(self.pass.spec, text, problem);
            self.pass.findings.text.get_or_insert(rejection);
        }
    }

    /// Keeps the value's time where it is wanted as that; `shown` gives it to a message.
    fn time(&mut self, time: Option<Millis>, shown: impl Fn() -> String) {
        if !self.wanted().time {
            return;
        }
        match time {
            Some(ms) => self.pass.scratch.time_ms = Some(ms),
            None => {
                let shown = shown();
                let problem = format_args!(
                    "{shown} is neither rfc 3339 nor a number since the epoch in the years -9999 \
                     to 9999"
                );
                self.refuse_time(Reason::BadTimestamp, problem);
            }
        }
    }

    #[cold]
    fn refuse_time(&mut self, reason: Reason, problem: fmt::Arguments<'_>) {
        let rejection = super::time_refused(reason, self.pass.spec, problem);
        self.pass.findings.time.get_or_insert(rejection);
    }

    /// A value of a type that is no text and no time.
    fn refuse(&mut self, kind: &str) {
        self.refuse_texts(format_args!(
            "expected a string, number or boolean, found {kind}"
        ));
        if self.wanted().time {
            let problem = format_args!("expected rfc 3339 or a number, found {kind}");
            self.refuse_time(Reason::WrongType, problem);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.wanted().distribution {
            Some(rank) => self.pass.distribution(rank, deserializer),
            None => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a json value")
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        if value.len() <= MAX_TEXT_BYTES {
            self.texts(|slot| {
                text::keep(slot, value);
            });
        } else {
            let bytes = value.len();
            self.refuse_texts(format_args!("{bytes} bytes, more than {MAX_TEXT_BYTES}"));
        }
        if self.wanted().time {
            self.time(timestamp::from_text(value), || quoted(value));
        }
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.texts(|slot| text::keep_integer(slot, value.into()));
        self.time(timestamp::from_integer(value.into()), || value.to_string());
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.texts(|slot| text::keep_integer(slot, value.into()));
        self.time(timestamp::from_integer(value.into()), || value.to_string());
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.texts(|slot| text::keep_float(slot, value));
        self.time(timestamp::from_float(value), || format!("{value:?}"));
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.texts(|slot| {
            text::keep(slot, if value { "true" } else { "false" });
        });
        if self.wanted().time {
            let problem = format_args!("expected rfc 3339 or a number, found a boolean");
            self.refuse_time(Reason::WrongType, problem);
        }
        Ok(())
    }

    /// `null` is as good as absent.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<(), A::Error> {
        self.refuse("an array");
        for index in 0_usize.. {
            let more = match self.pass.fields.child_by_index(self.node, index) {
                Some(node) => array.next_element_seed(Value {
                    pass: &mut *self.pass,
                    node,
                })?,
                None => array.next_element::<IgnoredAny>()?.map(|_| ()),
            };
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        self.refuse("an object");
        while let Some(node) = object.next_key_seed(Key {
            pass: &mut *self.pass,
            node: self.node,
        })? {
            match node {
                Some(node) => object.next_value_seed(Value {
                    pass: &mut *self.pass,
                    node,
                })?,
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Reads a key of the object at a node: the node of its value, if that is wanted.
struct Key<'p, 'a> {
    pass: &'p mut Pass<'a>,
    node: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        let node = self.pass.fields.child_by_key(self.node, key);
        if let Some(node) = node {
            self.pass.see(node, key)?;
        }
        Ok(node)
    }
}
