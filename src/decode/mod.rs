//! Bytes to observations. One file a wire format; all of them fill the same [`Scratch`], which is
//! reused from record to record so that the steady state allocates nothing of ours.
//!
//! A decoder never panics and never yields a non-finite number, whatever the bytes. A refused
//! record has exactly one reason, the first of:
//!
//! 1. there is no payload to read: `tombstone`, `empty`, `too_large`;
//! 2. the payload is not in its format: `malformed`;
//! 3. the distribution: `missing_field`, `wrong_type`, `too_many_classes`, `too_many_members`,
//!    `too_many_tokens`, `class_mismatch` (within one record), `not_finite`, `negative`, `sum_off`,
//!    and `malformed` for a class that is named twice;
//! 4. a dimension, a tag or the label: `wrong_type`;
//! 5. the time: `missing_field`, `wrong_type`, `bad_timestamp`.
//!
//! So the reason does not depend on the order of a document's keys. (One exception: of several
//! numbers that JSON does not have, the first in the document decides whether they are the
//! distribution's.) Time is looked for all the same: rejections are counted where they belong in
//! event time.
//!
//! | file | does |
//! | --- | --- |
//! | `fast` | one pass over a document that is as documents usually are; the others go to `json` |
//! | `decimal` | a number's text to the nearest float |
//! | `json` | one pass over a document, along the tree of wanted values that `fields` makes |
//! | `numbers` | the distribution's numbers out of JSON |
//! | `members` | those of an ensemble's members |
//! | `tokens` | the log-probabilities of a language model's tokens |
//! | `nonfinite` | `NaN` and its like, which JSON does not have |
//! | `raw` | floats without anything around them |
//! | `timestamp`, `text` | times and strings as producers write them |

mod decimal;
mod fast;
mod fields;
mod json;
mod members;
mod nonfinite;
mod numbers;
mod raw;
mod text;
mod timestamp;
mod tokens;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str;

use self::fields::{Fields, label};
use self::json::Findings;
use self::numbers::Shape;
use crate::information::distribution::{self, Invalid};
use crate::information::{ensemble, multilabel};
use crate::observation::{Form, Millis, NO_VALUE, Nature, Reason, Rejection};

pub use self::fields::{USUAL_NAMES, parse_pointer, usual_names};
pub use self::text::MAX_TEXT_BYTES;

/// The bytes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON document, with pointers to what is wanted.
    Json,
    /// K little-endian 32-bit floats.
    F32Le,
    /// K little-endian 64-bit floats.
    F64Le,
}

/// What the numbers of a record are. See the table "What a record must be".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Probabilities,
    Logits,
    /// Natural logarithms. In a raw payload negative infinity is the logarithm of 0.
    LogProbabilities,
    /// One p in [0, 1], which becomes (1 - p, p).
    Binary,
    /// Probabilities of K independent labels, each in [0, 1].
    Multilabel,
    /// Probabilities of M members of an ensemble, M × K. In JSON an array of arrays, and M is each
    /// record's own; in a raw payload one member after the other.
    Ensemble {
        /// Of a raw payload; at least 1, none is taken as 1.
        members: Option<usize>,
        /// Of a JSON document.
        max_members: usize,
    },
    /// Natural log-probabilities of a language model's likeliest tokens, for each token of a
    /// response; in JSON only. [`DecoderSpec::max_classes`] bounds how many are known of each.
    TopK {
        /// How many tokens the model chooses from.
        vocabulary: u64,
        max_tokens: usize,
    },
}

impl Kind {
    /// What its records say.
    pub fn nature(self) -> Nature {
        match self {
            Self::Probabilities | Self::Logits | Self::LogProbabilities | Self::Binary => {
                Nature::Distribution
            }
            Self::Multilabel => Nature::Multilabel,
            Self::Ensemble { .. } => Nature::Ensemble,
            Self::TopK { .. } => Nature::Response,
        }
    }

    /// Whether the general way through JSON is the only one.
    fn is_nested(self) -> bool {
        matches!(self, Self::Ensemble { .. } | Self::TopK { .. })
    }
}

/// Where the value of a dimension or a tag, or the label, is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DimensionSource {
    /// A JSON pointer (RFC 6901) into the payload. Strings, numbers and booleans are taken as their
    /// text; numbers that are equal have one text.
    Pointer(String),
    /// A Kafka header's name. Its value is UTF-8.
    Header(String),
}

/// A model's input, as configured.
///
/// Pointers are such as [`parse_pointer`] accepts; another finds nothing. Neither does one that
/// leads into the distribution, nor, in raw formats, any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecoderSpec {
    pub format: Format,
    pub kind: Kind,
    /// JSON pointer to the distribution; none: the first of [`usual_names`] that is there.
    ///
    /// It is an array of numbers (an array of one such array will do), an object of class name to
    /// number, for [`Kind::Binary`] a number, for [`Kind::Ensemble`] an array of arrays of numbers,
    /// and for [`Kind::TopK`] what `tokens` reads.
    pub probabilities: Option<String>,
    /// JSON pointer to the event time, which is RFC 3339 text or a number since the Unix epoch in
    /// seconds (below 1e11), milliseconds (1e14), microseconds (1e17) or nanoseconds; none: Kafka's
    /// timestamp.
    pub timestamp: Option<String>,
    /// By dimension name, sorted.
    pub dimensions: Vec<(String, DimensionSource)>,
    /// By tag name, sorted. Values are read as those of dimensions are.
    pub tags: Vec<(String, DimensionSource)>,
    /// The true class; none: the model's records have no labels. Read as a dimension's value is, and
    /// a record without it is one without a label.
    pub label: Option<DimensionSource>,
    pub max_payload_bytes: usize,
    pub max_classes: usize,
}

/// Read access to a record's headers.
pub trait Headers {
    /// The value of the last header of this name.
    fn get(&self, name: &str) -> Option<&[u8]>;
}

/// A record without headers.
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn get(&self, _name: &str) -> Option<&[u8]> {
        None
    }
}

/// One record as it came.
pub struct Record<'a> {
    /// None: a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Kafka's timestamp; none where the record has none.
    pub timestamp_ms: Option<Millis>,
    pub headers: &'a dyn Headers,
}

/// What a decoder found; reused between records.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The distribution: finite, each at least 0, summing to 1 but for rounding. Of independent labels
    /// each in [0, 1]; of a response empty. Unspecified after a rejection.
    pub probabilities: Vec<f64>,
    /// What `probabilities` is, and what was said beside it. Unspecified after a rejection.
    pub form: Form,
    /// Class names when the record was an object of name to number: sorted, distinct, parallel to
    /// `probabilities`. Empty when it was an array. Unspecified after a rejection.
    pub class_names: Vec<String>,
    /// Dimension values, parallel to [`DecoderSpec::dimensions`], each at most [`MAX_TEXT_BYTES`]
    /// long; [`NO_VALUE`] where absent. Unspecified after a rejection.
    pub dimensions: Vec<String>,
    /// The same of [`DecoderSpec::tags`].
    pub tags: Vec<String>,
    /// Its text, where `has_label` is true: memory that is used again.
    label: String,
    has_label: bool,
    /// The event time, in a range that can be written as RFC 3339. After a rejection: the usable
    /// time of the refused record, if it had one.
    pub time_ms: Option<Millis>,
    buffers: json::Buffers,
}

/// Which text of a record a value is wanted as.
#[derive(Clone, Copy, Debug)]
enum Text {
    /// Index into [`DecoderSpec::dimensions`].
    Dimension(usize),
    /// Index into [`DecoderSpec::tags`].
    Tag(usize),
    Label,
}

impl Scratch {
    /// The text of the record's label; none where it has none. Unspecified after a rejection.
    pub fn label(&self) -> Option<&str> {
        self.has_label.then_some(self.label.as_str())
    }

    /// Where a text goes that is about to be there.
    fn slot(&mut self, text: Text) -> &mut String {
        match text {
            Text::Dimension(i) => &mut self.dimensions[i],
            Text::Tag(i) => &mut self.tags[i],
            Text::Label => {
                self.has_label = true;
                &mut self.label
            }
        }
    }
}

/// Reads records of one model.
#[derive(Debug)]
pub struct Decoder {
    spec: DecoderSpec,
    fields: Fields,
    /// The texts that come from headers, with their names.
    headers: Vec<(Text, String)>,
}

/// The fast way with the simple one behind it, or, for tests, the simple one alone.
type ReadJson =
    fn(&Decoder, &Record<'_>, &[u8], &mut Scratch, &mut Findings) -> Result<(), Rejection>;

impl Decoder {
    pub fn new(spec: DecoderSpec) -> Self {
        let by_header = |(text, source): (Text, &DimensionSource)| match source {
            DimensionSource::Header(name) => Some((text, name.clone())),
            DimensionSource::Pointer(_) => None,
        };
        Self {
            fields: Fields::new(&spec),
            headers: spec.texts().filter_map(by_header).collect(),
            spec,
        }
    }

    /// Fills `scratch` from one record. On success its fields are all valid and `time_ms` is there.
    ///
    /// # Errors
    /// The record's one reason. `scratch.time_ms` may still hold its time.
    pub fn decode(&self, record: &Record<'_>, scratch: &mut Scratch) -> Result<(), Rejection> {
        self.decode_by(Self::json, record, scratch)
    }

    fn decode_by(
        &self,
        read_json: ReadJson,
        record: &Record<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), Rejection> {
        self.reset(record, scratch);
        let payload = self.payload(record)?;
        let mut findings = Findings::default();
        match self.spec.format {
            Format::Json => read_json(self, record, payload, scratch, &mut findings)?,
            Format::F32Le => self.raw(raw::f32le, payload, scratch, &mut findings)?,
            Format::F64Le => self.raw(raw::f64le, payload, scratch, &mut findings)?,
        }
        let (field, shape) = match findings.distribution {
            Some((_, Err(rejection))) => return Err(rejection),
            Some((rank, Ok(ref shape))) => (self.fields.distributions[rank].as_str(), shape),
            None => return Err(self.no_distribution()),
        };
        self.distribution(field, shape, scratch)?;
        findings.text.map_or(Ok(()), Err)?;
        self.header_texts(record.headers, scratch)?;
        findings.time.map_or(Ok(()), Err)?;
        scratch
            .time_ms
            .map(drop)
            .ok_or_else(|| self.no_time(record))
    }

    fn reset(&self, record: &Record<'_>, scratch: &mut Scratch) {
        for (values, sources) in [
            (&mut scratch.dimensions, &self.spec.dimensions),
            (&mut scratch.tags, &self.spec.tags),
        ] {
            values.resize_with(sources.len(), String::new);
            for value in values {
                text::keep(value, NO_VALUE);
            }
        }
        scratch.has_label = false;
        scratch.time_ms = match self.spec.timestamp {
            None => record.timestamp_ms.and_then(timestamp::from_millis),
            Some(_) => None,
        };
    }

    fn payload<'a>(&self, record: &Record<'a>) -> Result<&'a [u8], Rejection> {
        let limit = self.spec.max_payload_bytes;
        match record.payload {
            None => Err(Rejection::new(Reason::Tombstone, "the record has no value")),
            Some([]) => Err(Rejection::new(
                Reason::Empty,
                "the record's value has no bytes",
            )),
            Some(payload) if payload.len() > limit => {
                let bytes = payload.len();
                let detail = format!("{bytes} bytes, more than limits.payload_bytes = {limit}");
                Err(Rejection::new(Reason::TooLarge, detail))
            }
            Some(payload) => Ok(payload),
        }
    }

    /// Nearly all records go the fast way; the simple one decides what is left.
    fn json(
        &self,
        record: &Record<'_>,
        payload: &[u8],
        scratch: &mut Scratch,
        findings: &mut Findings,
    ) -> Result<(), Rejection> {
        if !self.spec.kind.is_nested()
            && fast::read(&self.fields, &self.spec, payload, scratch, findings).is_some()
        {
            return Ok(());
        }
        self.reset(record, scratch);
        self.simple_json(record, payload, scratch, findings)
    }

    fn simple_json(
        &self,
        _record: &Record<'_>,
        payload: &[u8],
        scratch: &mut Scratch,
        findings: &mut Findings,
    ) -> Result<(), Rejection> {
        json::read(&self.fields, &self.spec, payload, scratch, findings)
    }

    fn raw(
        &self,
        read: raw::Read,
        payload: &[u8],
        scratch: &mut Scratch,
        findings: &mut Findings,
    ) -> Result<(), Rejection> {
        scratch.class_names.clear();
        let (members, shape) = match self.spec.kind {
            Kind::Ensemble { members, .. } => {
                let members = members.unwrap_or(1).max(1);
                (members, Shape::Members(members))
            }
            _ => (1, Shape::Array),
        };
        let most = self.spec.max_classes;
        read(payload, members, most, &mut scratch.probabilities)?;
        findings.distribution = Some((0, Ok(shape)));
        Ok(())
    }

    /// Makes the numbers that were read a distribution, by the model's kind.
    fn distribution(
        &self,
        field: &str,
        shape: &Shape,
        scratch: &mut Scratch,
    ) -> Result<(), Rejection> {
        let values = &mut scratch.probabilities;
        scratch.form = Form::Distribution;
        let outcome = match (self.spec.kind, shape) {
            (Kind::Ensemble { .. }, &Shape::Members(members)) => {
                let expected_bits = ensemble::pool(values, members)
                    .map_err(|(member, invalid)| not_a_member(field, member, invalid))?;
                scratch.form = Form::Ensemble { expected_bits };
                return Ok(());
            }
            (Kind::TopK { .. }, &Shape::Tokens(response)) => {
                values.clear();
                scratch.class_names.clear();
                scratch.form = Form::Response(response);
                return Ok(());
            }
            (Kind::Ensemble { .. } | Kind::TopK { .. }, shape) => {
                let detail = format!("{field}: {} is not of this kind", shape.what());
                return Err(Rejection::new(Reason::WrongType, detail));
            }
            (Kind::Binary, Shape::Number | Shape::Array) if values.len() == 1 => {
                distribution::binary(values[0]).map(|(no, yes)| {
                    values.clear();
                    values.extend([no, yes]);
                })
            }
            (Kind::Binary, Shape::Object) => {
                let detail = format!("{field}: expected one probability, found an object");
                return Err(Rejection::new(Reason::WrongType, detail));
            }
            (Kind::Binary, _) => {
                let found = values.len();
                let detail = format!("{field}: expected one probability, found {found} numbers");
                return Err(Rejection::new(Reason::WrongType, detail));
            }
            (_, Shape::Number) => {
                let detail = format!(
                    "{field}: expected an array of numbers, or an object of class name to number, \
                     found a number; a single probability is of the kind \"binary\""
                );
                return Err(Rejection::new(Reason::WrongType, detail));
            }
            (Kind::Probabilities, _) => distribution::probabilities(values),
            (Kind::Multilabel, _) => {
                scratch.form = Form::Multilabel;
                multilabel::probabilities(values)
            }
            (Kind::Logits, _) => distribution::logits(values),
            (Kind::LogProbabilities, _) => distribution::log_probabilities(values),
        };
        outcome.map_err(|invalid| not_a_distribution(field, &scratch.class_names, invalid))
    }

    /// Dimensions, tags and the label that come from headers, whatever the format.
    fn header_texts(&self, headers: &dyn Headers, scratch: &mut Scratch) -> Result<(), Rejection> {
        for &(text, ref header) in &self.headers {
            let Some(value) = headers.get(header) else {
                continue;
            };
            let value = str::from_utf8(value).map_err(|_| {
                text_refused(
                    &self.spec,
                    text,
                    format_args!("header \"{}\" is not utf-8", label(header)),
                )
            })?;
            if !text::keep(scratch.slot(text), value) {
                let bytes = value.len();
                let problem = format_args!("{bytes} bytes, more than {MAX_TEXT_BYTES}");
                return Err(text_refused(&self.spec, text, problem));
            }
        }
        Ok(())
    }

    #[cold]
    fn no_distribution(&self) -> Rejection {
        let fields = self.fields.distributions.join(", ");
        let detail = if self.fields.usual {
            let key = match self.spec.kind {
                Kind::Ensemble { .. } => "members",
                Kind::TopK { .. } => "tokens",
                _ => "probabilities",
            };
            format!("none of {fields} is there; fields.{key} says where else to look")
        } else {
            format!("{fields}: absent or null")
        };
        Rejection::new(Reason::MissingField, detail)
    }

    #[cold]
    fn no_time(&self, record: &Record<'_>) -> Rejection {
        if self.spec.timestamp.is_some() {
            return time_refused(
                Reason::MissingField,
                &self.spec,
                format_args!("absent or null"),
            );
        }
        let detail = match record.timestamp_ms {
            None => "the record has no kafka timestamp".to_owned(),
            Some(ms) => format!("kafka's timestamp {ms} is outside the years -9999 to 9999"),
        };
        Rejection::new(Reason::BadTimestamp, detail)
    }
}

fn reason(invalid: Invalid) -> Reason {
    match invalid {
        Invalid::Empty => Reason::WrongType,
        Invalid::NotFinite { .. } => Reason::NotFinite,
        Invalid::Negative { .. } => Reason::Negative,
        Invalid::AboveOne { .. } | Invalid::LabelAboveOne { .. } | Invalid::SumOff { .. } => {
            Reason::SumOff
        }
    }
}

#[cold]
fn not_a_member(field: &str, member: usize, invalid: Invalid) -> Rejection {
    Rejection::new(
        reason(invalid),
        format!("{field}: member {member}: {invalid}"),
    )
}

#[cold]
fn not_a_distribution(field: &str, names: &[String], invalid: Invalid) -> Rejection {
    let reason = reason(invalid);
    let class = match invalid {
        Invalid::NotFinite { index, .. }
        | Invalid::Negative { index, .. }
        | Invalid::LabelAboveOne { index, .. } => names.get(index),
        _ => None,
    };
    let of_class = class
        .map(|name| format!(", class {}", text::quoted(name)))
        .unwrap_or_default();
    Rejection::new(reason, format!("{field}: {invalid}{of_class}"))
}

impl DecoderSpec {
    /// Every text that is wanted, and where it is found.
    fn texts(&self) -> impl Iterator<Item = (Text, &DimensionSource)> {
        let dimensions = self.dimensions.iter().enumerate();
        let tags = self.tags.iter().enumerate();
        dimensions
            .map(|(i, (_, source))| (Text::Dimension(i), source))
            .chain(tags.map(|(i, (_, source))| (Text::Tag(i), source)))
            .chain(self.label.iter().map(|source| (Text::Label, source)))
    }
}

#[cold]
fn text_refused(spec: &DecoderSpec, text: Text, problem: fmt::Arguments<'_>) -> Rejection {
    let what = match text {
        Text::Dimension(i) => format!("dimension {}", label(&spec.dimensions[i].0)),
        Text::Tag(i) => format!("tag {}", label(&spec.tags[i].0)),
        Text::Label => "label".to_owned(),
    };
    Rejection::new(Reason::WrongType, format!("{what}: {problem}"))
}

#[cold]
fn time_refused(reason: Reason, spec: &DecoderSpec, problem: fmt::Arguments<'_>) -> Rejection {
    let pointer = spec.timestamp.as_deref().map(label).unwrap_or_default();
    Rejection::new(reason, format!("timestamp {pointer}: {problem}"))
}
