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
/// Of pieces that are written ahead of their head in one batch: bounds the memory that sled takes for
/// it.
const AHEAD_BYTES: usize = 256 << 10;

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

    /// Of the whole body.
    pub fn length(self) -> u64 {
        self.length
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
    let mut pieces = Pieces::new(key);
    pieces.take(body, |key, piece| {
        batch.insert(key, piece);
        Ok(())
    })?;
    pieces.finish(tree, batch)
}

/// Writes the pieces of a long body ahead of its head: each part is taken as it comes, and what makes up
/// [`AHEAD_BYTES`] goes to the tree as a batch of its own. Until [`Ahead::finish`] is applied the body at
/// `key`, old or new, does not read as whole.
pub struct Ahead<'a> {
    tree: &'a Tree,
    pieces: Pieces<'a>,
    batch: Batch,
    batched: usize,
    failed: Result<(), sled::Error>,
}

impl<'a> Ahead<'a> {
    pub fn new(tree: &'a Tree, key: &'a [u8]) -> Self {
        Self {
            tree,
            pieces: Pieces::new(key),
            batch: Batch::default(),
            batched: 0,
            failed: Ok(()),
        }
    }

    /// After an error the rest is not written: `finish` gives the error.
    pub fn take(&mut self, part: &[u8]) {
        if self.failed.is_ok() {
            self.failed = self.write(part);
        }
    }

    fn write(&mut self, part: &[u8]) -> Result<(), sled::Error> {
        let Self {
            tree,
            pieces,
            batch,
            batched,
            ..
        } = self;
        pieces.take(part, |key, piece| {
            *batched += piece.len();
            batch.insert(key, piece);
            if *batched < AHEAD_BYTES {
                return Ok(());
            }
            *batched = 0;
            tree.apply_batch(std::mem::take(batch))
        })
    }

    /// Adds to `batch` what makes the body whole: its head, and pieces that are not written yet.
    pub fn finish(self, batch: &mut Batch) -> Result<Head, sled::Error> {
        self.failed?;
        self.tree.apply_batch(self.batch)?;
        self.pieces.finish(self.tree, batch)
    }
}

/// Cuts a body into pieces.
struct Pieces<'a> {
    key: &'a [u8],
    /// The first, once it is known, with room for the head before it.
    first: Option<Vec<u8>>,
    /// The piece that is filling.
    piece: Vec<u8>,
    /// Its index.
    index: u32,
    length: u64,
    crc32: crc32fast::Hasher,
}

impl<'a> Pieces<'a> {
    fn new(key: &'a [u8]) -> Self {
        Self {
            key,
            first: None,
            piece: Vec::new(),
            index: 0,
            length: 0,
            crc32: crc32fast::Hasher::new(),
        }
    }

    /// Gives the pieces but the first that are known to be full and not the last, with their keys.
    fn take(
        &mut self,
        mut part: &[u8],
        mut each: impl FnMut(Vec<u8>, &[u8]) -> Result<(), sled::Error>,
    ) -> Result<(), sled::Error> {
        self.length += part.len() as u64;
        self.crc32.update(part);
        while !part.is_empty() {
            if self.piece.len() == PIECE_BYTES {
                if self.index == 0 {
                    self.first = Some(std::mem::take(&mut self.piece));
                } else {
                    each(key::piece(self.key, self.index), &self.piece)?;
                    self.piece.clear();
                }
                self.index += 1;
            }
            let room = PIECE_BYTES - self.piece.len();
            let (fits, rest) = part.split_at(part.len().min(room));
            self.piece.extend_from_slice(fits);
            part = rest;
        }
        Ok(())
    }

    /// Adds to `batch` the head and the last piece, and the removal of longer bodies' pieces.
    fn finish(self, tree: &Tree, batch: &mut Batch) -> Result<Head, sled::Error> {
        let head = Head {
            length: self.length,
            crc32: self.crc32.finalize(),
        };
        let mut value = head.encode();
        if let Some(first) = &self.first {
            value.extend_from_slice(first);
            batch.insert(key::piece(self.key, self.index), self.piece);
        } else {
            value.extend_from_slice(&self.piece);
        }
        batch.insert(self.key, value);
        remove_pieces_after(tree, batch, self.key, head.further_pieces())?;
        Ok(head)
    }
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_body_is_the_same_whatever_parts_it_is_given_in(
            parts in prop::collection::vec((0_usize..9_000, any::<u8>()), 0..120),
        ) {
            let (tree, other) = (tree(), tree());
            let parts = parts.iter().map(|&(length, byte)| vec![byte; length]);
            let parts: Vec<Vec<u8>> = parts.collect();
            let body = parts.concat();
            // Longer, so that pieces have to go.
            write(&tree, b"k", &vec![1; body.len() + 10_000]);
            let mut ahead = Ahead::new(&tree, b"k");
            parts.iter().for_each(|part| ahead.take(part));
            let mut batch = Batch::default();
            let head = ahead.finish(&mut batch).unwrap();
            tree.apply_batch(batch).unwrap();
            prop_assert_eq!(head, write(&other, b"k", &body));
            prop_assert_eq!(get(&tree, b"k").unwrap(), Some(body));
            prop_assert!(tree.iter().map(Result::unwrap).eq(other.iter().map(Result::unwrap)));
        }
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
