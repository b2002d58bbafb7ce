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
    pub offset: i64,
    pub key: Option<&'a [u8]>,
    /// None: a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Kafka's timestamp; none where the record has none.
    pub timestamp_ms: Option<Millis>,
    /// Costs nothing until one is asked for.
    pub headers: RecordHeaders<'a>,
}

impl<'a> Record<'a> {
    pub(super) fn new(at: At<'a>, message: &'a BorrowedMessage<'a>) -> Self {
        Self {
            at,
            offset: message.offset(),
            key: message.key(),
            payload: message.payload(),
            timestamp_ms: message.timestamp().to_millis(),
            headers: RecordHeaders {
                headers: message.headers(),
            },
        }
    }

    /// A copy that outlives the buffer.
    pub fn to_owned(&self) -> OwnedRecord {
        OwnedRecord {
            key: self.key.map(<[u8]>::to_vec),
            payload: self.payload.map(<[u8]>::to_vec),
            headers: self.headers.to_owned(),
            timestamp_ms: self.timestamp_ms,
        }
    }
}

/// A record's headers, read when asked for. By default there are none.
#[derive(Default)]
pub struct RecordHeaders<'a> {
    headers: Option<&'a BorrowedHeaders>,
}

impl RecordHeaders<'_> {
    fn to_owned(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let Some(headers) = self.headers else {
            return Vec::new();
        };
        (0..headers.count())
            .filter_map(|index| header(headers, index))
            .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
            .collect()
    }
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
        let at = At {
            slot: 0,
            topic: message.topic(),
            partition: message.partition(),
        };
        Record::new(at, message).to_owned()
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
