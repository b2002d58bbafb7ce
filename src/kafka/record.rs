//! One record as it came, borrowed from the library's buffer or taken out of it.

use rdkafka::message::{BorrowedMessage, Message as _};

use super::native::Raw;
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
    pub(super) fn new(at: At<'a>, message: Raw<'a>) -> Self {
        Self {
            at,
            offset: message.offset(),
            key: message.key(),
            payload: message.payload(),
            timestamp_ms: message.timestamp_ms(),
            headers: RecordHeaders {
                message: Some(message),
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
    message: Option<Raw<'a>>,
}

impl<'a> RecordHeaders<'a> {
    fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        self.message.into_iter().flat_map(Raw::headers)
    }

    fn to_owned(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let owned =
            |(name, value): (&str, Option<&[u8]>)| (name.to_owned(), value.map(<[u8]>::to_vec));
        self.iter().map(owned).collect()
    }
}

impl Headers for RecordHeaders<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().filter(|&(key, _)| key == name).last()?.1
    }
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
        Record::new(at, Raw::of(message)).to_owned()
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
