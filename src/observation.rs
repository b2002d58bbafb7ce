//! What one record says, and why a record is refused.
//!
//! A record becomes an observation (in most cases a distribution over classes: see [`Form`]; with a
//! time and a stream) or a [`Rejection`] with exactly one [`Reason`]. Nothing in between: a record is
//! never half counted.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, in event time or by the wall clock (names say which).
pub type Millis = i64;

/// Whether differences and sums of such times are sure not to overflow: within 140,000 years of the
/// epoch, far beyond what RFC 3339 can write and what windows add to it.
pub fn can_be_time(time_ms: Millis) -> bool {
    time_ms.unsigned_abs() < 1 << 52
}

/// The values of a model's dimensions, by dimension name: which stream an observation belongs to.
///
/// The empty key is the stream of a model without dimensions, and the whole of a model with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamKey(pub BTreeMap<String, String>);

/// The value of a dimension that a record does not carry.
pub const NO_VALUE: &str = "(none)";

impl StreamKey {
    /// The stream of a model without dimensions; for a model with them, all its streams together.
    pub fn whole() -> Self {
        Self::default()
    }

    /// Where records go once a model has as many streams as its limit allows.
    pub fn overflow() -> Self {
        Self(BTreeMap::from([("overflow".to_owned(), "true".to_owned())]))
    }

    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }
}

/// `country=DE,version=7`; `(all)` for the whole model.
impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(all)");
        }
        for (i, (name, value)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

/// What an observation's numbers are, and what it says beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Form {
    /// A distribution over classes.
    #[default]
    Distribution,
    /// The mean of an ensemble's distributions, with the mean of their entropies, in bits.
    Ensemble { expected_bits: f64 },
    /// A probability for each of independent labels.
    Multilabel,
    /// No numbers: the tokens of a language model's response.
    Response(Response),
}

/// What records say, as far as measures differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// A distribution over K classes; entropy up to log2 K bits.
    Distribution,
    /// The same, as the mean of an ensemble's members.
    Ensemble,
    /// K independent labels; entropy up to K bits.
    Multilabel,
    /// Tokens of a vocabulary of V, without classes; entropy up to log2 V bits.
    Response,
}

impl Nature {
    /// Whether their mean outputs can be held against each other.
    pub fn is_like(self, other: Self) -> bool {
        let over_classes = |nature| matches!(nature, Self::Distribution | Self::Ensemble);
        self == other || over_classes(self) && over_classes(other)
    }
}

/// What is known of a response's tokens together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Response {
    /// How many; at least 1.
    pub tokens: u64,
    /// Sums over the tokens of the bounds of their entropies, in bits.
    pub least_bits: f64,
    pub most_bits: f64,
    /// How many tokens the model chooses from.
    pub vocabulary: u64,
}

/// Why a record is refused. One per record; the names are label values and header values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A record without a value (Kafka's tombstone).
    Tombstone,
    /// A value of no bytes.
    Empty,
    /// Longer than `limits.payload_bytes`.
    TooLarge,
    /// Not in the format that the model is configured with.
    Malformed,
    /// The field that holds the distribution, or the time, is not there.
    MissingField,
    /// The field is there and holds something else than it should.
    WrongType,
    /// A value is NaN or infinite.
    NotFinite,
    /// A probability is below -1e-6.
    Negative,
    /// A probability is above 1 (binary, multilabel), or the sum is off 1 by more than 1e-3.
    SumOff,
    /// Another number of classes, or other names of classes, than the stream's; members of one
    /// ensemble over different numbers of them; more tokens known than the vocabulary has.
    ClassMismatch,
    /// More classes than `limits.classes`.
    TooManyClasses,
    /// More members of an ensemble than `limits.members`.
    TooManyMembers,
    /// More tokens than `limits.tokens`.
    TooManyTokens,
    /// The time cannot be read as one.
    BadTimestamp,
    /// Dated further ahead of the wall clock than `max_ahead`.
    AheadOfClock,
}

impl Reason {
    pub const ALL: [Self; 15] = [
        Self::Tombstone,
        Self::Empty,
        Self::TooLarge,
        Self::Malformed,
        Self::MissingField,
        Self::WrongType,
        Self::NotFinite,
        Self::Negative,
        Self::SumOff,
        Self::ClassMismatch,
        Self::TooManyClasses,
        Self::TooManyMembers,
        Self::TooManyTokens,
        Self::BadTimestamp,
        Self::AheadOfClock,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::NotFinite => "not_finite",
            Self::Negative => "negative",
            Self::SumOff => "sum_off",
            Self::ClassMismatch => "class_mismatch",
            Self::TooManyClasses => "too_many_classes",
            Self::TooManyMembers => "too_many_members",
            Self::TooManyTokens => "too_many_tokens",
            Self::BadTimestamp => "bad_timestamp",
            Self::AheadOfClock => "ahead_of_clock",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A refused record: the one reason, and a sentence for a person (lowercase, no full stop; it names
/// the field, the value and the limit, and is at most a few hundred bytes whatever the payload).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rejection {
    pub reason: Reason,
    pub detail: String,
}

impl Rejection {
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

/// RFC 3339 in UTC with milliseconds; times outside years -9999 to 9999 are shown as the nearest in.
pub fn rfc3339(time_ms: Millis) -> String {
    // Not from milliseconds: the last second of the range would be cut off.
    let nanos = i128::from(time_ms) * 1_000_000;
    let nearest = jiff::Timestamp::from_nanosecond(nanos).unwrap_or(if time_ms < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    format!("{nearest:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_second_is_written_to_its_millisecond() {
        let last_ms = 253_402_207_200_999;
        assert_eq!(rfc3339(last_ms - 1), "9999-12-30T22:00:00.998Z");
        assert_eq!(rfc3339(last_ms), "9999-12-30T22:00:00.999Z");
        assert_eq!(rfc3339(Millis::MAX), "9999-12-30T22:00:00.999Z");
    }
}
