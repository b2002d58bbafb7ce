//! A summary as bytes: `version u8 = 1`, then sections, each `tag u8 │ length u32 LE │ body`.
//!
//! | tag | body (postcard) |
//! | --- | --- |
//! | 1 | records u64; Σh, Σh², Σ max, Σ margin as u128; the span |
//! | 2 | Σp, a list of u128 |
//! | 3 | Σp², a list of u128 |
//! | 4 | argmax counts, a list of (class u32, count u64) |
//! | 5 | the histogram, a list of (bucket u32, count u64) |
//! | 6 | of ensembles: records u64; Σ of the members' mean entropy as u128 |
//! | 7 | of independent labels: records u64 |
//! | 8 | of responses: records u64, tokens u64; Σ least, Σ most, Σ log2 V as u128 |
//! | 9 | of records that may have a label, where there are any: see `labelled` |
//! | 10 | segments by tag, where there are any: see `segments` |
//!
//! Sections from 6 on are there where a record is of their kind.
//!
//! Later kinds of sums become further sections, so that older bytes stay readable as they are. A
//! section that this build does not know is refused: dropping it would lose what it holds.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::counts::Counts;
use super::histogram::Histogram;
use super::labelled::Labelled;
use super::lanes::Lanes;
use super::members::Members;
use super::multilabel::Multilabel;
use super::responses::Responses;
use super::segments::Segments;
use super::{Scalars, Summary};
use crate::observation::{Millis, can_be_time};

const VERSION: u8 = 1;

const CORE: u8 = 1;
const SUMS: u8 = 2;
const SQUARES: u8 = 3;
const ARGMAX: u8 = 4;
const HISTOGRAM: u8 = 5;
const MEMBERS: u8 = 6;
const MULTILABEL: u8 = 7;
const RESPONSES: u8 = 8;
const LABELLED: u8 = 9;
const SEGMENTS: u8 = 10;
/// The highest tag of all.
const LAST: u8 = SEGMENTS;

/// A million a second for nine years; so that merging thousands of summaries does not overflow.
const MOST_RECORDS: u64 = 1 << 48;

/// Why bytes are not a summary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("summary version {0} is newer than this build's ({VERSION})")]
    NewerVersion(u8),
    #[error("summary section {0} is newer than this build")]
    NewerSection(u8),
    #[error("summary cannot be read: {0}")]
    Malformed(&'static str),
}

/// Records; Σh, Σh², Σ max, Σ margin; span.
type Core = (u64, (u128, u128, u128, u128), Option<(Millis, Millis)>);
/// Keys and counts.
type Pairs = Vec<(u32, u64)>;
/// Records and tokens; Σ least, Σ most, Σ log2 V.
type ResponseSums = (u64, u64, (u128, u128, u128));

impl Summary {
    pub fn encode(&self) -> Vec<u8> {
        let Scalars {
            entropy,
            entropy_squares,
            confidence,
            margin,
        } = self.scalars;
        let core: Core = (
            self.records,
            (entropy, entropy_squares, confidence, margin),
            self.span,
        );
        let mut bytes = vec![VERSION];
        section(&mut bytes, CORE, &core);
        section(&mut bytes, SUMS, &self.sums.units().collect::<Vec<_>>());
        section(
            &mut bytes,
            SQUARES,
            &self.squares.units().collect::<Vec<_>>(),
        );
        section(&mut bytes, ARGMAX, &self.argmax.iter().collect::<Pairs>());
        section(
            &mut bytes,
            HISTOGRAM,
            &self.histogram.iter().collect::<Pairs>(),
        );
        self.encode_parts(&mut bytes);
        if let Some(labelled) = &self.labelled {
            section(&mut bytes, LABELLED, &labelled.stored());
        }
        if let Some(segments) = &self.segments {
            section(&mut bytes, SEGMENTS, &segments.stored());
        }
        bytes
    }

    /// # Errors
    /// Bytes of a newer build, or bytes that no summary has: sums that so many records cannot give,
    /// counts that do not add up.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let sections = Sections::of(bytes)?;
        let (records, scalars, span): Core = sections.read(CORE)?;
        let sums: Vec<u128> = sections.read(SUMS)?;
        let squares: Vec<u128> = sections.read(SQUARES)?;
        let malformed = DecodeError::Malformed;
        if sums.len() != squares.len() {
            return Err(malformed("as many sums as squares are needed"));
        }
        let classes = sums.len() as u64;
        let lanes = |sums: &[u128]| {
            Lanes::of(sums, records).ok_or(malformed("a sum is more than its records can give"))
        };
        let counts = |pairs: Pairs| Counts::of(pairs).ok_or(malformed("counts are out of order"));
        let argmax = counts(sections.read(ARGMAX)?)?;
        let histogram = Histogram::of(counts(sections.read(HISTOGRAM)?)?)
            .ok_or(malformed("a bucket is none of the histogram's"))?;
        let within = argmax.iter().all(|(class, _)| u64::from(class) < classes);
        let parts = Parts::of(&sections, records)?;
        let counted = match parts.multilabel.records {
            0 => argmax.total() == records - parts.responses.records,
            _ => argmax.iter().all(|(_, count)| count <= records),
        };
        if !within || !counted || histogram.total() != records {
            return Err(malformed("counts do not add up to the records"));
        }
        if span.is_some() != (records > 0)
            || span.is_some_and(|(first, last)| {
                first > last || !can_be_time(first) || !can_be_time(last)
            })
        {
            return Err(malformed("the span is not that of its records"));
        }
        if records >= MOST_RECORDS {
            return Err(malformed("there are more records than can be counted"));
        }
        let (entropy, entropy_squares, confidence, margin) = scalars;
        // In units a record: a probability is at most 2^40; an entropy 64 bits of 2^40, and 2^14 bits
        // where it is of labels.
        let most = |units: u32| u128::from(records) << units;
        let most_bits: u32 = if parts.multilabel.records == 0 { 6 } else { 14 };
        if entropy > most(40 + most_bits)
            || entropy_squares > most(40 + 2 * most_bits)
            || confidence > most(40)
            || margin > most(40)
        {
            return Err(malformed("a sum is more than its records can give"));
        }
        let labelled = sections.read_optional(LABELLED)?;
        let labelled =
            labelled.map(|stored| Labelled::of(stored, sums.len(), records).map(Box::new));
        let segments = sections.read_optional(SEGMENTS)?;
        let segments =
            segments.map(|stored| Segments::of(stored, sums.len(), records).map(Box::new));
        Ok(Self {
            records,
            sums: lanes(&sums)?,
            squares: lanes(&squares)?,
            scalars: Scalars {
                entropy,
                entropy_squares,
                confidence,
                margin,
            },
            argmax,
            histogram,
            span,
            members: parts.members,
            multilabel: parts.multilabel,
            responses: parts.responses,
            labelled: labelled.transpose().map_err(malformed)?,
            segments: segments.transpose().map_err(malformed)?,
        })
    }
}

impl Summary {
    fn encode_parts(&self, bytes: &mut Vec<u8>) {
        let Members {
            records,
            expected_entropy,
        } = self.members;
        if records > 0 {
            section(bytes, MEMBERS, &(records, expected_entropy));
        }
        if self.multilabel.records > 0 {
            section(bytes, MULTILABEL, &self.multilabel.records);
        }
        let Responses {
            records,
            tokens,
            least,
            most,
            greatest,
        } = self.responses;
        if records > 0 {
            let sums: ResponseSums = (records, tokens, (least, most, greatest));
            section(bytes, RESPONSES, &sums);
        }
    }
}

fn section(bytes: &mut Vec<u8>, tag: u8, body: &impl Serialize) {
    let body = postcard::to_stdvec(body).expect("numbers into memory have nothing to fail on");
    let length =
        u32::try_from(body.len()).expect("a section is far below 4 GiB: classes are bounded");
    bytes.push(tag);
    bytes.extend(length.to_le_bytes());
    bytes.extend(body);
}

/// The parts that only some kinds of records have.
struct Parts {
    members: Members,
    multilabel: Multilabel,
    responses: Responses,
}

impl Parts {
    /// For a summary of `records` records.
    fn of(sections: &Sections<'_>, records: u64) -> Result<Self, DecodeError> {
        let (members, expected_entropy): (u64, u128) =
            sections.read_optional(MEMBERS)?.unwrap_or_default();
        let multilabel: u64 = sections.read_optional(MULTILABEL)?.unwrap_or_default();
        let responses: ResponseSums = sections.read_optional(RESPONSES)?.unwrap_or_default();
        let (responses, tokens, (least, most, greatest)) = responses;
        // Entropies of classes and tokens are at most 64 bits.
        let within = |sum: u128, count: u64| sum <= u128::from(count) << 46;
        let sound = members <= records
            && multilabel <= records
            && responses <= records
            && tokens >= responses
            && tokens < MOST_RECORDS
            && within(expected_entropy, members)
            && within(least, tokens)
            && within(most, tokens)
            && within(greatest, responses);
        if !sound {
            let what = "a part's sums are more than its records can give";
            return Err(DecodeError::Malformed(what));
        }
        Ok(Self {
            members: Members {
                records: members,
                expected_entropy,
            },
            multilabel: Multilabel {
                records: multilabel,
            },
            responses: Responses {
                records: responses,
                tokens,
                least,
                most,
                greatest,
            },
        })
    }
}

/// The bodies of a summary's sections, by tag.
struct Sections<'a>([Option<&'a [u8]>; LAST as usize + 1]);

impl<'a> Sections<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let malformed = DecodeError::Malformed;
        let (&version, mut rest) = bytes.split_first().ok_or(malformed("there are no bytes"))?;
        if version != VERSION {
            return Err(DecodeError::NewerVersion(version));
        }
        let mut found = Self([None; LAST as usize + 1]);
        while let Some((&tag, after)) = rest.split_first() {
            let cut = malformed("a section is cut off");
            let (length, after) = after.split_first_chunk().ok_or(cut.clone())?;
            let length = u32::from_le_bytes(*length) as usize;
            let body = after.get(..length).ok_or(cut)?;
            let place = found.0.get_mut(usize::from(tag));
            *place.ok_or(DecodeError::NewerSection(tag))? = Some(body);
            rest = &after[length..];
        }
        Ok(found)
    }

    fn read<T: DeserializeOwned>(&self, tag: u8) -> Result<T, DecodeError> {
        self.read_optional(tag)?
            .ok_or(DecodeError::Malformed("a section is missing"))
    }

    /// None where the section is not there.
    fn read_optional<T: DeserializeOwned>(&self, tag: u8) -> Result<Option<T>, DecodeError> {
        let Some(body) = self.0[usize::from(tag)] else {
            return Ok(None);
        };
        match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(Some(value)),
            Ok(_) => Err(DecodeError::Malformed("a section is too long")),
            Err(_) => Err(DecodeError::Malformed("a section is not what its tag says")),
        }
    }
}

/// The bytes above; in formats that people read, their hexadecimal digits.
impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.encode();
        if serializer.is_human_readable() {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            serializer.serialize_str(&digits)
        } else {
            serializer.serialize_bytes(&bytes)
        }
    }
}

impl<'de> Deserialize<'de> for Summary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = if deserializer.is_human_readable() {
            from_hex(&String::deserialize(deserializer)?)
                .ok_or_else(|| D::Error::custom("a summary is a string of hexadecimal digits"))?
        } else {
            Vec::<u8>::deserialize(deserializer)?
        };
        Self::decode(&bytes).map_err(D::Error::custom)
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair)
                .ok()
                .filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}
