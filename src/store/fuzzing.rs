//! What a fuzzer hands bytes to: each format of the store by its number.
//!
//! | number | format |
//! | --- | --- |
//! | 0 | a body: its head and first piece, and a second piece of as many bytes as the next byte says |
//! | 1 | the meta |
//! | 2 | a checkpoint's sequence and state |
//! | 3 | a baseline |
//! | 4 | what lists say of a baseline |
//! | 5 | the versions of a baseline's name |
//! | 6 | a history entry |
//! | 7 | a summary |
//! | 8 | an export, which is text |
//! | 9 | a history entry's key |

use serde::Serialize;
use serde::de::DeserializeOwned;
use sled::Db;
use std::sync::LazyLock;

use super::{Meta, baseline_body, baselines, body, checkpoint, export, history, import, key};
use crate::summary::Summary;

static DB: LazyLock<Db> = LazyLock::new(|| {
    let config = sled::Config::new().temporary(true).flush_every_ms(None);
    config.open().expect("a database in memory opens")
});

/// Reads the bytes; what can be read, comes back as it was after it is written.
///
/// # Panics
/// Where it does not.
pub fn round_trip(format: u8, bytes: &[u8]) {
    match format {
        0 => whole_body(bytes),
        1 => value::<Meta>(super::META_FORMAT, bytes),
        2 => {
            if let Ok((sequence, state)) = checkpoint::decode(bytes.to_vec()) {
                let written = [checkpoint::head(sequence).as_slice(), &state].concat();
                assert_eq!(written, bytes);
            }
        }
        3 => {
            if let Ok(baseline) = baseline_body::decode(bytes) {
                let written =
                    baseline_body::encode(&baseline).expect("what was read can be written");
                let again = baseline_body::decode(&written).expect("what was written can be read");
                assert_eq!(baseline_body::encode(&again).ok(), Some(written));
            }
        }
        4 => value::<baselines::About>(baselines::ABOUT_FORMAT, bytes),
        5 => value::<baselines::Versions>(baselines::VERSIONS_FORMAT, bytes),
        6 => value::<history::Stored>(history::FORMAT, bytes),
        7 => {
            if let Ok(summary) = Summary::decode(bytes) {
                assert_eq!(Summary::decode(&summary.encode()), Ok(summary.clone()));
                use_summary(&summary);
            }
        }
        8 => {
            let Some(new) = std::str::from_utf8(bytes).ok().and_then(|t| import(t).ok()) else {
                return;
            };
            let text = export(&new.baseline).expect("a baseline can be exported");
            let again = import(&text).expect("an export can be imported");
            assert_eq!(export(&again.baseline).ok(), Some(text));
        }
        9 => {
            let _ = key::history_start(bytes);
            assert!(key::after_model(bytes).as_slice() > bytes || bytes.is_empty());
        }
        _ => {}
    }
}

/// Bytes are compared and not values: a float may be NaN.
fn value<T: Serialize + DeserializeOwned>(format: u8, bytes: &[u8]) {
    let Ok(value) = body::decode::<T>(format, bytes) else {
        return;
    };
    let written = body::encode(format, &value).expect("what was read can be written");
    let again: T = body::decode(format, &written).expect("what was written can be read");
    assert_eq!(body::encode(format, &again).ok(), Some(written));
}

/// Everything that is derived from a summary is a number.
fn use_summary(summary: &Summary) {
    let mean = summary.mean();
    let numbers = [summary.entropy(), summary.confidence(), summary.margin()];
    let all = mean.iter().chain(&numbers);
    assert!(all.into_iter().all(|n| n.is_finite() && *n >= 0.0));
    assert_eq!(summary.argmax_counts().len(), summary.classes());
    let mut twice = summary.clone();
    twice.merge(summary);
    assert_eq!(twice.records(), summary.records() * 2);
    twice.subtract(summary);
    assert_eq!(&twice, summary);
}

fn whole_body(bytes: &[u8]) {
    let Some((&second, rest)) = bytes.split_first() else {
        return;
    };
    let (first, second) = rest.split_at(rest.len().saturating_sub(second.into()));
    let key = b"k".as_slice();
    let read = || {
        DB.insert(key, first)?;
        DB.insert(key::piece(key, 1), second)?;
        body::get(&DB, key)
    };
    if let Ok(Some(content)) = read() {
        let held: usize = first.len() - body::HEAD_BYTES + second.len();
        assert!(content.len() <= held, "more came out than went in");
    }
}
