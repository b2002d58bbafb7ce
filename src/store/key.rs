//! The keys of the store's one tree; the table of their families is in the parent module.
//!
//! Texts are preceded by their length (u32, big-endian), so no key of a family is the beginning of
//! another. Numbers are big-endian, and times have their sign bit flipped, so that bytes sort as
//! numbers do.

use sha2::{Digest, Sha256};

use crate::observation::{Millis, StreamKey};

/// Where the format of the whole store is. This key and the shape of its value never change.
pub const FORMAT: &[u8] = b"m/format";
pub const META: &[u8] = b"m/meta";
/// Before every key of a [`baseline_info`].
pub const BASELINE_INFOS: &[u8] = b"i";
/// Before every key of history.
pub const HISTORY: &[u8] = b"h";
/// The end of the family, exclusive.
pub const AFTER_HISTORY: &[u8] = b"i";

/// Bytes of a stream in a history key.
const STREAM_BYTES: usize = 16;
const TIME_BYTES: usize = 8;

pub fn checkpoint(slot: u8) -> Vec<u8> {
    vec![b'c', slot]
}

pub fn baseline_versions(name: &str) -> Vec<u8> {
    text(b"v", name)
}

pub fn baseline_info(name: &str, version: u32) -> Vec<u8> {
    let mut key = text(BASELINE_INFOS, name);
    key.extend(version.to_be_bytes());
    key
}

pub fn baseline_body(name: &str, version: u32) -> Vec<u8> {
    let mut key = text(b"b", name);
    key.extend(version.to_be_bytes());
    key
}

/// The first key that an entry of `model` from `start_ms` on can have.
pub fn history_from(model: &str, start_ms: Millis) -> Vec<u8> {
    let mut key = text(HISTORY, model);
    key.extend(sortable(start_ms));
    key
}

/// The stream is there as half of its SHA-256: dimension values can be long, and sled keeps 256 keys
/// in one page, which must stay far below what it would put into a blob file.
pub fn history(model: &str, start_ms: Millis, stream: &StreamKey) -> Vec<u8> {
    let mut hash = Sha256::new();
    for (name, value) in &stream.0 {
        for part in [name, value] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    let mut key = history_from(model, start_ms);
    key.extend_from_slice(&hash.finalize()[..STREAM_BYTES]);
    key
}

/// A key that sorts after every entry of the model that `history_key` is of, before the next model's.
pub fn after_model(history_key: &[u8]) -> Vec<u8> {
    let tail = TIME_BYTES + STREAM_BYTES;
    let mut key = history_key[..history_key.len().saturating_sub(tail)].to_owned();
    key.extend([0xff; TIME_BYTES + STREAM_BYTES + 1]);
    key
}

/// The `start_ms` of a history key; None if it is too short to be one.
pub fn history_start(history_key: &[u8]) -> Option<Millis> {
    let before_stream = &history_key[..history_key.len().checked_sub(STREAM_BYTES)?];
    let time = before_stream.last_chunk::<TIME_BYTES>()?;
    Some(i64::from_be_bytes(*time) ^ i64::MIN)
}

/// Piece `index` (from 1) of the body at `owner`.
pub fn piece(owner: &[u8], index: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + owner.len() + 4);
    key.push(b'p');
    key.extend_from_slice(owner);
    key.extend(index.to_be_bytes());
    key
}

fn text(family: &[u8], text: &str) -> Vec<u8> {
    let mut key = family.to_owned();
    // A text of 4 GiB does not reach a key; if one did, its bytes would still be there.
    key.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    key.extend_from_slice(text.as_bytes());
    key
}

fn sortable(time_ms: Millis) -> [u8; TIME_BYTES] {
    (time_ms ^ i64::MIN).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_keep_their_bytes() {
        assert_eq!(checkpoint(1), b"c\x01");
        assert_eq!(baseline_versions("ab"), b"v\0\0\0\x02ab");
        assert_eq!(baseline_info("ab", 258), b"i\0\0\0\x02ab\0\0\x01\x02");
        assert_eq!(baseline_body("ab", 258), b"b\0\0\0\x02ab\0\0\x01\x02");
        assert_eq!(history_from("m", 1), b"h\0\0\0\x01m\x80\0\0\0\0\0\0\x01");
        assert_eq!(
            history_from("m", -1),
            b"h\0\0\0\x01m\x7f\xff\xff\xff\xff\xff\xff\xff"
        );
        assert_eq!(piece(b"c\x01", 3), b"pc\x01\0\0\0\x03");
        // SHA-256 of no bytes begins e3b0c442 98fc1c14 9afbf4c8 996fb924 (FIPS 180-4).
        let whole = history("m", 1, &StreamKey::whole());
        assert_eq!(
            whole[14..],
            0xe3b0_c442_98fc_1c14_9afb_f4c8_996f_b924_u128.to_be_bytes()
        );
    }

    #[test]
    fn streams_that_read_alike_have_different_keys() {
        let key = |name: &str, value: &str| {
            let stream = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            history("m", 0, &StreamKey(stream))
        };
        assert_ne!(key("a", "bc"), key("ab", "c"));
        let zeros = "\0".repeat(8);
        assert_ne!(
            key("a", &format!("{zeros}b")),
            key(&format!("a{zeros}"), "b")
        );
    }

    proptest! {
        #[test]
        fn history_keys_sort_by_time_and_give_it_back(a: i64, b: i64) {
            let (x, y) = (history_from("m", a), history_from("m", b));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(history_start(&history("m", a, &StreamKey::whole())), Some(a));
        }

        #[test]
        fn entries_of_a_model_lie_together(m: String, n: String, t: i64, u: i64) {
            let whole = StreamKey::whole();
            let (key, other) = (history(&m, t, &whole), history(&n, u, &whole));
            let end = after_model(&key);
            prop_assert!(key < end);
            prop_assert_eq!(other >= history_from(&m, i64::MIN) && other < end, m == n);
        }

        #[test]
        fn any_bytes_are_taken_as_a_key_without_a_panic(bytes: Vec<u8>) {
            let _ = history_start(&bytes);
            let _ = after_model(&bytes);
        }
    }
}
