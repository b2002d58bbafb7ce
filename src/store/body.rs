//! Values of any length in pieces that sled handles well, and whole or not at all.
//!
//! sled 0.34 puts large values into files that it never removes, and a damaged database can open
//! with values missing. So a body is cut into pieces of at most [`PIECE_BYTES`], and its head says
//! how long the whole is and what its checksum is. The head, with the first piece, is at the body's
//! own key (short bodies take one key, and a scan of heads does not touch the rest); piece i from 1 on
//! is at `key::piece(key, i)`.
//!
//! ```text
//! key           format u8 = 1 │ length u64 LE │ crc32 u32 LE │ piece 0
//! p key 1       piece 1                         (every piece but the last is PIECE_BYTES long)
//! p key 2       piece 2 …
//! ```
//!
//! What is in a body begins with a format byte of its own: [`encode`] and [`decode`].

use std::ops::Bound;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sled::{Batch, Tree};

use super::key;

/// With the head, a value stays below the 4 KB above which sled may write blob files.
pub const PIECE_BYTES: usize = 4_080;
pub const HEAD_BYTES: usize = 13;
const FORMAT: u8 = 1;

/// Why a body is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("its head has {found} bytes instead of at least {HEAD_BYTES}")]
    ShortHead { found: usize },
    #[error("it has format {found}, this build knows {known}")]
    Format { found: u8, known: u8 },
    #[error("piece {index} of {pieces} is missing")]
    Missing { index: u32, pieces: u32 },
    #[error("{found} of {length} bytes are there")]
    Length { found: u64, length: u64 },
    #[error("its CRC32 is {found:08x} instead of {crc32:08x}")]
    Checksum { found: u32, crc32: u32 },
    #[error("it is empty")]
    Empty,
    #[error("its content cannot be decoded: {0}")]
    Content(#[from] postcard::Error),
    #[error("{0} bytes follow its content")]
    Trailing(usize),
    #[error(transparent)]
    Sled(#[from] sled::Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    length: u64,
    crc32: u32,
}

impl Head {
    fn of(body: &[u8]) -> Self {
        Self {
            length: body.len() as u64,
            crc32: crc32fast::hash(body),
        }
    }

    fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + PIECE_BYTES);
        bytes.push(FORMAT);
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.crc32.to_le_bytes());
        bytes
    }

    /// The head, and the piece that follows it.
    pub fn decode(value: &[u8]) -> Result<(Self, &[u8]), BodyError> {
        let short = || BodyError::ShortHead { found: value.len() };
        let (&format, rest) = value.split_first().ok_or_else(short)?;
        if format != FORMAT {
            return Err(BodyError::Format {
                found: format,
                known: FORMAT,
            });
        }
        let (length, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (crc32, piece) = rest.split_first_chunk().ok_or_else(short)?;
        let head = Self {
            length: u64::from_le_bytes(*length),
            crc32: u32::from_le_bytes(*crc32),
        };
        Ok((head, piece))
    }

    /// How many pieces follow the first.
    fn further_pieces(self) -> u32 {
        let pieces = self.length.div_ceil(PIECE_BYTES as u64);
        u32::try_from(pieces.saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Bytes of all keys and values of a body with this head at a key of `key_bytes`.
    pub fn stored_bytes(self, key_bytes: usize) -> u64 {
        let piece_key = key_bytes as u64 + 5;
        key_bytes as u64
            + HEAD_BYTES as u64
            + self.length
            + u64::from(self.further_pieces()) * piece_key
    }
}

/// Adds to `batch` what replaces the body at `key` by `body`.
pub fn put(tree: &Tree, batch: &mut Batch, key: &[u8], body: &[u8]) -> Result<Head, sled::Error> {
    let head = Head::of(body);
    let mut pieces = body.chunks(PIECE_BYTES);
    let mut value = head.encode();
    value.extend_from_slice(pieces.next().unwrap_or_default());
    batch.insert(key, value);
    for (index, piece) in (1..).zip(pieces) {
        batch.insert(key::piece(key, index), piece);
    }
    remove_pieces_after(tree, batch, key, head.further_pieces())?;
    Ok(head)
}

/// Adds to `batch` the removal of the body at `key`, damaged or not.
pub fn remove(tree: &Tree, batch: &mut Batch, key: &[u8]) -> Result<(), sled::Error> {
    batch.remove(key);
    remove_pieces_after(tree, batch, key, 0)
}

/// Looks for what is there, not for what the head says, so that a damaged head leaves nothing behind.
fn remove_pieces_after(
    tree: &Tree,
    batch: &mut Batch,
    key: &[u8],
    last: u32,
) -> Result<(), sled::Error> {
    let beyond = (
        Bound::Excluded(key::piece(key, last)),
        Bound::Included(key::piece(key, u32::MAX)),
    );
    for piece in tree.range(beyond).keys() {
        batch.remove(piece?);
    }
    Ok(())
}

/// The body at `key`; None if there is none.
pub fn get(tree: &Tree, key: &[u8]) -> Result<Option<Vec<u8>>, BodyError> {
    let mut head = tree.get(key)?;
    loop {
        let Some(value) = head else { return Ok(None) };
        let body = assemble(tree, key, &value);
        if body.is_ok() {
            return body.map(Some);
        }
        // Another thread may have replaced or removed the body between two reads.
        head = tree.get(key)?;
        if head.as_ref() == Some(&value) {
            return body.map(Some);
        }
    }
}

fn assemble(tree: &Tree, key: &[u8], value: &[u8]) -> Result<Vec<u8>, BodyError> {
    let (head, first) = Head::decode(value)?;
    let further = head.further_pieces();
    let mut body = first.to_owned();
    let mut stored = tree.range(key::piece(key, 1)..=key::piece(key, further));
    for index in 1..=further {
        let (found, piece) = stored.next().ok_or(BodyError::Missing {
            index,
            pieces: further,
        })??;
        if found != key::piece(key, index) {
            return Err(BodyError::Missing {
                index,
                pieces: further,
            });
        }
        body.extend_from_slice(&piece);
    }
    if body.len() as u64 != head.length {
        return Err(BodyError::Length {
            found: body.len() as u64,
            length: head.length,
        });
    }
    let found = crc32fast::hash(&body);
    if found != head.crc32 {
        return Err(BodyError::Checksum {
            found,
            crc32: head.crc32,
        });
    }
    Ok(body)
}

/// `format`, then `value` in postcard.
pub fn encode<T: Serialize>(format: u8, value: &T) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(value, vec![format])
}

/// Undoes [`encode`] of the same format; every byte must be used.
pub fn decode<T: DeserializeOwned>(format: u8, bytes: &[u8]) -> Result<T, BodyError> {
    let content = after_format(format, bytes)?;
    let (value, rest) = postcard::take_from_bytes(content)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(BodyError::Trailing(rest.len()))
    }
}

/// What follows the format byte, if that is `known`.
pub fn after_format(known: u8, bytes: &[u8]) -> Result<&[u8], BodyError> {
    match bytes.split_first() {
        None => Err(BodyError::Empty),
        Some((&found, _)) if found != known => Err(BodyError::Format { found, known }),
        Some((_, content)) => Ok(content),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree() -> sled::Db {
        sled::Config::new().temporary(true).open().unwrap()
    }

    fn write(tree: &Tree, key: &[u8], body: &[u8]) -> Head {
        let mut batch = Batch::default();
        let head = put(tree, &mut batch, key, body).unwrap();
        tree.apply_batch(batch).unwrap();
        head
    }

    fn bytes_there(tree: &Tree) -> u64 {
        let entries = tree.iter().map(Result::unwrap);
        entries
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum()
    }

    #[test]
    fn bodies_come_back_and_no_value_is_long() {
        let tree = tree();
        for length in [0, 1, 4_079, 4_080, 4_081, 8_160, 8_161, 100_000, 5] {
            let body: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let head = write(&tree, b"k", &body);
            assert_eq!(get(&tree, b"k").unwrap(), Some(body));
            assert_eq!(head.stored_bytes(1), bytes_there(&tree), "{length}");
            assert!(
                tree.iter()
                    .values()
                    .all(|value| value.unwrap().len() <= 4_096)
            );
        }
        let mut batch = Batch::default();
        remove(&tree, &mut batch, b"k").unwrap();
        tree.apply_batch(batch).unwrap();
        assert_eq!(tree.len(), 0);
        assert_eq!(get(&tree, b"k").unwrap(), None);
    }

    #[test]
    fn bodies_at_neighbouring_keys_stay_apart() {
        let tree = tree();
        let long = vec![7; 10_000];
        for key in [[1, 1], [1, 2], [1, 3]] {
            write(&tree, &key, &long);
        }
        write(&tree, &[1, 2], b"short");
        assert_eq!(get(&tree, &[1, 1]).unwrap(), Some(long.clone()));
        assert_eq!(get(&tree, &[1, 3]).unwrap(), Some(long));
    }

    #[test]
    fn the_bytes_of_a_head_are_fixed() {
        let tree = tree();
        // CRC-32 of "123456789" is cbf43926, the check value of its definition.
        write(&tree, b"k", b"123456789");
        let golden = b"\x01\x09\0\0\0\0\0\0\0\x26\x39\xf4\xcb123456789";
        assert_eq!(tree.get(b"k").unwrap().unwrap(), golden);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let tree = tree();
        write(&tree, b"k", &[3; 4_100]);
        for (key, value) in tree.iter().map(Result::unwrap) {
            for at in (0..value.len()).filter(|at| *at < 16 || at % 500 == 0) {
                let mut changed = value.to_vec();
                changed[at] ^= 4;
                tree.insert(&key, changed).unwrap();
                assert!(get(&tree, b"k").is_err(), "{key:?} {at}");
            }
            tree.insert(&key, value).unwrap();
        }
        assert!(get(&tree, b"k").is_ok());
    }

    #[test]
    fn content_is_decoded_whole_and_in_its_own_format() {
        let bytes = encode(3, &7_u8).unwrap();
        assert_eq!(decode::<u8>(3, &bytes).unwrap(), 7);
        let said = |format, bytes: &[u8]| decode::<u8>(format, bytes).unwrap_err().to_string();
        assert_eq!(said(3, &[3, 7, 0]), "1 bytes follow its content");
        assert_eq!(said(2, &bytes), "it has format 3, this build knows 2");
        assert_eq!(said(3, &[]), "it is empty");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_as_a_head_without_a_panic(mut bytes: Vec<u8>) {
            let tree = tree();
            for _ in 0..2 {
                tree.insert(b"k", bytes.as_slice()).unwrap();
                let _ = get(&tree, b"k");
                if let Ok((head, _)) = Head::decode(&bytes) {
                    let _ = head.stored_bytes(3);
                }
                bytes.insert(0, FORMAT);
            }
        }
    }
}
