//! Bytes to observations. One file a wire format; all of them fill the same [`Scratch`], which is
//! reused from record to record so that the steady state allocates nothing.
//!
//! A decoder never panics and never yields a non-finite number, whatever the bytes.

use crate::observation::{Millis, Rejection};

/// The bytes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object, with pointers to what is wanted.
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
    LogProbabilities,
    /// One p in [0, 1], which becomes (1 - p, p).
    Binary,
}

/// Where a dimension's value is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DimensionSource {
    /// A JSON pointer (RFC 6901) into the payload.
    Pointer(String),
    /// A Kafka header's name.
    Header(String),
}

/// A model's input, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecoderSpec {
    pub format: Format,
    pub kind: Kind,
    /// JSON pointer to the distribution; none: the usual names are tried (`probabilities`, `probs`,
    /// `predictions`, `scores`, `outputs`, `logits`, in this order, at the top level).
    pub probabilities: Option<String>,
    /// JSON pointer to the event time; none: Kafka's timestamp.
    pub timestamp: Option<String>,
    /// By dimension name, sorted.
    pub dimensions: Vec<(String, DimensionSource)>,
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
    /// The distribution: finite, each at least 0, summing to 1 but for rounding.
    pub probabilities: Vec<f64>,
    /// Class names when the record was an object of name to number: sorted, parallel to
    /// `probabilities`. Empty when it was an array.
    pub class_names: Vec<String>,
    /// Dimension values, parallel to [`DecoderSpec::dimensions`]; `(none)` where absent.
    pub dimensions: Vec<String>,
    /// The event time. After a rejection: the usable time of the refused record, if it had one.
    pub time_ms: Option<Millis>,
}

/// Reads records of one model.
#[derive(Debug)]
pub struct Decoder {
    spec: DecoderSpec,
}

impl Decoder {
    pub fn new(spec: DecoderSpec) -> Self {
        Self { spec }
    }

    /// Fills `scratch` from one record. On success its fields are all valid and `time_ms` is there.
    ///
    /// # Errors
    /// The record's one reason. `scratch.time_ms` may still hold its time.
    pub fn decode(&self, _record: &Record<'_>, _scratch: &mut Scratch) -> Result<(), Rejection> {
        let _ = &self.spec;
        unimplemented!()
    }
}
