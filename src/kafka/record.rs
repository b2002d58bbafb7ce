//! One record as it came, borrowed from the library's buffer or taken out of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::Message as _;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers as _};

use crate::decode::Headers;
use crate::observation::Millis;

/// A partition of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<'a> {
    /// Its place: 0, 1, 2… in the order in which partitions were added.
    pub slot: usize,
    pub topic: &'a str,
    pub partition: i32,
}

/// A record in the library's buffer.
pub struct Record<'a> {
    pub at: At<'a>,
    message: &'a BorrowedMessage<'a>,
}

impl<'a> Record<'a> {
    pub(super) fn new(at: At<'a>, message: &'a BorrowedMessage<'a>) -> Self {
        Self { at, message }
    }

    pub fn offset(&self) -> i64 {
        self.message.offset()
    }

    pub fn key(&self) -> Option<&'a [u8]> {
        self.message.key()
    }

    /// None: a tombstone.
    pub fn payload(&self) -> Option<&'a [u8]> {
        self.message.payload()
    }

    /// Kafka's timestamp; none where the record has none.
    pub fn timestamp_ms(&self) -> Option<Millis> {
        self.message.timestamp().to_millis()
    }

    /// Costs nothing until one is asked for.
    pub fn headers(&self) -> RecordHeaders<'a> {
        RecordHeaders {
            headers: self.message.headers(),
        }
    }

    /// A copy that outlives the buffer.
    pub fn to_owned(&self) -> OwnedRecord {
        OwnedRecord::of(self.message)
    }
}

/// A record's headers, read when asked for.
pub struct RecordHeaders<'a> {
    headers: Option<&'a BorrowedHeaders>,
}

impl Headers for RecordHeaders<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let headers = self.headers?;
        let last_named = |index| header(headers, index).filter(|&(key, _)| key == name);
        (0..headers.count()).rev().find_map(last_named)?.1
    }
}

/// The header at an index; none where its name is not UTF-8, which the library's wrapper answers
/// with a panic.
fn header(headers: &BorrowedHeaders, index: usize) -> Option<(&str, Option<&[u8]>)> {
    catch_unwind(AssertUnwindSafe(|| headers.try_get(index)))
        .ok()
        .flatten()
        .map(|header| (header.key, header.value))
}

/// A record out of the library's buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedRecord {
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    /// In their order; one whose name is not UTF-8 is left out.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp_ms: Option<Millis>,
}

impl OwnedRecord {
    pub(super) fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            (0..headers.count())
                .filter_map(|index| header(headers, index))
                .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                .collect()
        });
        Self {
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers,
            timestamp_ms: message.timestamp().to_millis(),
        }
    }

    /// What it takes to hold it, in bytes.
    pub fn bytes(&self) -> usize {
        let of = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + of(value));
        of(&self.key) + of(&self.payload) + headers.sum::<usize>()
    }
}
