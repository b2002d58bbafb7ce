//! History: the summaries of closed panes, for charts, captures and backtests.
//!
//! An entry is one pane of one stream, at (model, start, stream); writing it again replaces it. The
//! value is `format u8 = 1 │ postcard (end_ms, stream, classes, summary)`. Two bounds, both applied by
//! [`Store::trim_history`]: an age, and a number of bytes, of which the oldest go first whatever
//! their model.

use std::collections::{BTreeMap, VecDeque};
use std::iter::Peekable;

use sled::{Batch, IVec};

use super::body::Head;
use super::error::guarded;
use super::{Meta, Store, StoreError, key};
use crate::engine::output::HistoryEntry;
use crate::observation::{Millis, StreamKey};
use crate::summary::Summary;

pub(super) const FORMAT: u8 = 1;
/// Entries that one write removes: bounds the memory of a batch, and how long other writes wait.
const TRIM_BATCH: usize = 1_000;

impl Store {
    /// The entries of a model whose [start, end) lies within [`from_ms`, `to_ms`), in order of start
    /// and then of stream. An entry that cannot be read is an error in its place, and the next follows.
    pub fn history(&self, model: &str, from_ms: Millis, to_ms: Millis) -> History<'_> {
        // A reversed range is empty; sled's would panic.
        let (from, to) = (
            key::history_from(model, from_ms),
            key::history_from(model, to_ms.max(from_ms)),
        );
        History {
            store: self,
            model: model.to_owned(),
            to_ms,
            keys: self.db.range(from..to).peekable(),
            ready: VecDeque::new(),
        }
    }

    /// Removes the entries that start before `before_ms`; then, if history has more than `most_bytes`,
    /// the oldest until a sixteenth is free (so that a full store does not trim at every step).
    /// Durable on return; gives the number of entries removed.
    pub fn trim_history(&self, before_ms: Millis, most_bytes: u64) -> Result<u64, StoreError> {
        let full = self.history_bytes() > most_bytes;
        let most_bytes = if full {
            most_bytes - most_bytes / 16
        } else {
            most_bytes
        };
        let mut removed = 0;
        loop {
            let batch = self.trim_some(before_ms, most_bytes)?;
            removed += batch as u64;
            if batch < TRIM_BATCH {
                return Ok(removed);
            }
        }
    }

    /// Puts entries into a batch. Of two for the same pane and stream the later counts.
    pub(super) fn add_history(
        &self,
        meta: &mut Meta,
        batch: &mut Batch,
        entries: &[HistoryEntry],
    ) -> Result<(), StoreError> {
        let entries: BTreeMap<Vec<u8>, &HistoryEntry> = entries
            .iter()
            .map(|entry| {
                (
                    key::history(&entry.model, entry.start_ms, &entry.stream),
                    entry,
                )
            })
            .collect();
        for (key, entry) in entries {
            let replaced = self.db.get(&key).map_err(self.sled("read"))?;
            let replaced = replaced.map_or(0, |value| stored_bytes(&key, &value));
            let value = (entry.end_ms, &entry.stream, &entry.classes, &entry.summary);
            let head = self.put_value(batch, &key, FORMAT, "a history entry", &value)?;
            let bytes = meta.history_bytes + head.stored_bytes(key.len());
            meta.history_bytes = bytes.saturating_sub(replaced);
        }
        Ok(())
    }

    fn trim_some(&self, before_ms: Millis, most_bytes: u64) -> Result<usize, StoreError> {
        let mut removed = 0;
        let oldest = guarded(&self.path, || self.oldest(before_ms, most_bytes))?;
        if oldest.is_empty() {
            return Ok(0);
        }
        self.write(|meta, batch| {
            for key in oldest {
                // Written again or removed since: its bytes are those of the moment.
                if let Some(value) = self.db.get(&key).map_err(self.sled("read"))? {
                    self.remove(batch, &key)?;
                    let bytes = stored_bytes(&key, &value);
                    meta.history_bytes = meta.history_bytes.saturating_sub(bytes);
                }
                removed += 1;
            }
            Ok(removed)
        })
    }

    /// Keys of the oldest entries over all models, up to a batch of them: those that start before
    /// `before_ms`, and those that history has to lose to come down to `most_bytes`.
    fn oldest(&self, before_ms: Millis, most_bytes: u64) -> Result<Vec<IVec>, StoreError> {
        let mut bytes = self.history_bytes();
        let mut cursors = BTreeMap::new();
        let mut model = self.db.range(key::HISTORY..key::AFTER_HISTORY);
        while let Some(cursor) = Cursor::next(model).map_err(self.sled("read"))? {
            let after = key::after_model(&cursor.key);
            model = self.db.range(after.as_slice()..key::AFTER_HISTORY);
            let rest = self.db.range(cursor.key.as_ref()..after.as_slice());
            if let Some(cursor) = Cursor::next(rest).map_err(self.sled("read"))? {
                cursors.insert((cursor.start_ms, cursor.key.clone()), cursor);
            }
        }
        let mut oldest = Vec::new();
        while oldest.len() < TRIM_BATCH
            && let Some(((start_ms, key), cursor)) = cursors.pop_first()
            && (start_ms < before_ms || bytes > most_bytes)
        {
            bytes = bytes.saturating_sub(cursor.bytes);
            oldest.push(key);
            if let Some(next) = Cursor::next(cursor.rest).map_err(self.sled("read"))? {
                cursors.insert((next.start_ms, next.key.clone()), next);
            }
        }
        Ok(oldest)
    }

    fn read_entry(&self, model: &str, key: &[u8]) -> Result<Option<HistoryEntry>, StoreError> {
        let Some(start_ms) = key::history_start(key) else {
            return Ok(None);
        };
        let what = || format!("the history entry of model {model} that starts at {start_ms} ms");
        let stored = self.get_value::<Stored>(key, FORMAT, what)?;
        Ok(
            stored.map(|(end_ms, stream, classes, summary)| HistoryEntry {
                model: model.to_owned(),
                stream,
                classes,
                start_ms,
                end_ms,
                summary,
            }),
        )
    }
}

/// End, stream, class names, summary.
pub(super) type Stored = (Millis, StreamKey, Vec<String>, Summary);

/// Entries of a model, in order of time.
pub struct History<'a> {
    store: &'a Store,
    model: String,
    to_ms: Millis,
    keys: Peekable<sled::Iter>,
    /// Of one start, in order of stream.
    ready: VecDeque<Result<HistoryEntry, StoreError>>,
}

impl Iterator for History<'_> {
    type Item = Result<HistoryEntry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            match guarded(&self.store.path, || self.next_start()) {
                Ok(Some(keys)) => self.read(&keys),
                Ok(None) => return None,
                Err(error) => {
                    // The scan cannot go on from a place that it could not read.
                    self.keys = self.store.db.range::<&[u8], _>(..[].as_slice()).peekable();
                    return Some(Err(error));
                }
            }
        }
        self.ready.pop_front()
    }
}

impl History<'_> {
    /// The keys of the next start.
    fn next_start(&mut self) -> Result<Option<Vec<IVec>>, StoreError> {
        let failed = self.store.sled("read");
        let Some(first) = self.keys.next() else {
            return Ok(None);
        };
        let first = first.map_err(&failed)?.0;
        let start = key::history_start(&first);
        let mut keys = vec![first];
        while let Some(next) = self.keys.next_if(|next| {
            next.as_ref()
                .is_ok_and(|(key, _)| key::history_start(key) == start)
        }) {
            keys.push(next.map_err(&failed)?.0);
        }
        Ok(Some(keys))
    }

    fn read(&mut self, keys: &[IVec]) {
        let mut entries = Vec::with_capacity(keys.len());
        for key in keys {
            match self.store.read_entry(&self.model, key) {
                Ok(Some(entry)) if entry.end_ms <= self.to_ms => entries.push(entry),
                // It ends later, or was removed by another thread just now.
                Ok(_) => {}
                Err(error) => self.ready.push_back(Err(error)),
            }
        }
        entries.sort_by(|a, b| a.stream.cmp(&b.stream));
        self.ready.extend(entries.into_iter().map(Ok));
    }
}

/// A model's oldest entry, and those after it.
struct Cursor {
    start_ms: Millis,
    key: IVec,
    bytes: u64,
    rest: sled::Iter,
}

impl Cursor {
    fn next(mut rest: sled::Iter) -> Result<Option<Self>, sled::Error> {
        for entry in &mut rest {
            let (key, value) = entry?;
            if let Some(start_ms) = key::history_start(&key) {
                let bytes = stored_bytes(&key, &value);
                return Ok(Some(Self {
                    start_ms,
                    key,
                    bytes,
                    rest,
                }));
            }
        }
        Ok(None)
    }
}

/// Of the body at `key` whose first value is `value`; of that value alone where its head is damaged.
fn stored_bytes(key: &[u8], value: &[u8]) -> u64 {
    Head::decode(value).map_or((key.len() + value.len()) as u64, |(head, _)| {
        head.stored_bytes(key.len())
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Dir, entry};
    use super::*;
    use crate::store::{StepWrites, body};

    fn write(store: &Store, history: Vec<HistoryEntry>) {
        store
            .write_checkpoint(
                b"",
                &StepWrites {
                    history,
                    ..StepWrites::default()
                },
            )
            .unwrap();
    }

    fn read(store: &Store, model: &str, from_ms: Millis, to_ms: Millis) -> Vec<HistoryEntry> {
        store
            .history(model, from_ms, to_ms)
            .map(Result::unwrap)
            .collect()
    }

    /// By adding up all keys and values that are there.
    fn bytes_there(store: &Store) -> u64 {
        let sizes = |prefix: &[u8]| -> u64 {
            let entries = store.db.scan_prefix(prefix).map(Result::unwrap);
            entries
                .map(|(key, value)| (key.len() + value.len()) as u64)
                .sum()
        };
        sizes(b"h") + sizes(b"ph")
    }

    #[test]
    fn entries_come_back_in_order_of_time_and_then_of_stream() {
        let dir = Dir::new();
        let store = dir.open();
        let streams = ["DE", "AT", "CH", "FR", "a", ""];
        let mut expected = Vec::new();
        for start in [-20, -10, 0, 10, 1_000_000] {
            expected.extend(
                streams
                    .iter()
                    .map(|stream| entry("fraud", stream, start, start + 10)),
            );
        }
        let mut shuffled = expected.clone();
        shuffled.reverse();
        shuffled.push(entry("other", "DE", 0, 10));
        write(&store, shuffled);
        expected.sort_by(|a, b| (a.start_ms, &a.stream).cmp(&(b.start_ms, &b.stream)));
        assert_eq!(read(&store, "fraud", i64::MIN, i64::MAX), expected);
        assert_eq!(read(&store, "other", i64::MIN, i64::MAX).len(), 1);
        assert_eq!(read(&store, "frau", i64::MIN, i64::MAX).len(), 0);
    }

    #[test]
    fn only_entries_that_lie_within_the_range_are_given() {
        let dir = Dir::new();
        let store = dir.open();
        write(
            &store,
            (0..5)
                .map(|i| entry("m", "s", i * 10, i * 10 + 10))
                .collect(),
        );
        let starts = |from_ms, to_ms| -> Vec<Millis> {
            read(&store, "m", from_ms, to_ms)
                .iter()
                .map(|entry| entry.start_ms)
                .collect()
        };
        assert_eq!(starts(10, 30), [10, 20]);
        assert_eq!(starts(11, 30), [20]);
        assert_eq!(starts(10, 29), [10]);
        assert!(starts(30, 10).is_empty());
        assert!(starts(10, 10).is_empty());
    }

    #[test]
    fn writing_an_entry_again_replaces_it() {
        let dir = Dir::new();
        let store = dir.open();
        let long = "x".repeat(20_000);
        for end_ms in [10, 11] {
            write(
                &store,
                vec![entry("m", &long, 0, end_ms), entry("m", "s", 0, end_ms)],
            );
            assert_eq!(store.history_bytes(), bytes_there(&store));
        }
        let twice = vec![entry("m", "s", 0, 12), entry("m", "s", 0, 13)];
        write(&store, twice);
        let ends: Vec<_> = read(&store, "m", 0, 100)
            .iter()
            .map(|entry| entry.end_ms)
            .collect();
        assert_eq!(ends, [13, 11]);
    }

    #[test]
    fn the_byte_count_follows_writes_and_trims_and_survives() {
        let dir = Dir::new();
        let mut store = dir.open();
        for i in 0..30 {
            write(
                &store,
                vec![entry("m", &"x".repeat(i * 1_000), i as i64, i as i64 + 1)],
            );
        }
        assert_eq!(store.history_bytes(), bytes_there(&store));
        assert_eq!(store.trim_history(7, u64::MAX).unwrap(), 7);
        assert_eq!(store.history_bytes(), bytes_there(&store));
        let bytes = store.history_bytes();
        drop(store);
        store = dir.open();
        assert_eq!(store.history_bytes(), bytes);
        assert_eq!(store.trim_history(i64::MAX, u64::MAX).unwrap(), 23);
        assert_eq!((store.history_bytes(), bytes_there(&store)), (0, 0));
    }

    #[test]
    fn the_oldest_go_first_whatever_their_model() {
        let dir = Dir::new();
        let store = dir.open();
        let models = ["b", "a", "longer"];
        for (i, model) in models.iter().cycle().take(2_500).enumerate() {
            let start_ms = i as i64;
            write_unsynced(&store, entry(model, "s", start_ms, start_ms + 1));
        }
        let most = store.history_bytes() / 2;
        let removed = store.trim_history(100, most).unwrap();
        assert!((1_250..=1_400).contains(&removed), "{removed}");
        assert!(store.history_bytes() <= most);
        let mut starts: Vec<_> = models
            .iter()
            .flat_map(|model| read(&store, model, 0, 10_000))
            .map(|entry| entry.start_ms as u64)
            .collect();
        starts.sort_unstable();
        assert_eq!(starts, (removed..2_500).collect::<Vec<_>>());
        assert_eq!(store.trim_history(100, most).unwrap(), 0);
    }

    /// Without a disk write for each: the test needs thousands.
    fn write_unsynced(store: &Store, entry: HistoryEntry) {
        let mut writer = store.writer();
        let mut batch = Batch::default();
        store
            .add_history(&mut writer.meta, &mut batch, &[entry])
            .unwrap();
        store.db.apply_batch(batch).unwrap();
    }

    #[test]
    fn a_damaged_entry_is_an_error_in_its_place() {
        let dir = Dir::new();
        let store = dir.open();
        write(
            &store,
            (0..3)
                .map(|i| entry("m", "s", i * 10, i * 10 + 10))
                .collect(),
        );
        let key = key::history("m", 10, &entry("m", "s", 10, 20).stream);
        let mut value = store.db.get(&key).unwrap().unwrap().to_vec();
        *value.last_mut().unwrap() ^= 1;
        store.db.insert(key, value).unwrap();
        let read: Vec<_> = store.history("m", 0, 100).collect();
        assert_eq!(
            read.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, false, true]
        );
        let said = read[1].as_ref().unwrap_err().to_string();
        assert!(said.contains("model m that starts at 10 ms"), "{said}");
        assert_eq!(store.trim_history(i64::MAX, 0).unwrap(), 3);
        assert_eq!(bytes_there(&store), 0);
    }

    #[test]
    fn an_entry_that_is_removed_while_history_is_read_is_left_out() {
        let dir = Dir::new();
        let store = dir.open();
        write(
            &store,
            (0..3)
                .map(|i| entry("m", "s", i * 10, i * 10 + 10))
                .collect(),
        );
        let mut history = store.history("m", 0, 100);
        assert_eq!(history.next().unwrap().unwrap().start_ms, 0);
        store.trim_history(20, u64::MAX).unwrap();
        let starts: Vec<_> = history.map(|entry| entry.unwrap().start_ms).collect();
        assert_eq!(starts, [20]);
    }

    #[test]
    fn the_bytes_of_an_entry_are_fixed() {
        let dir = Dir::new();
        let store = dir.open();
        let entry = entry("m", "DE", 0, 10);
        write(&store, vec![entry.clone()]);
        let key = key::history("m", 0, &entry.stream);
        let stored = body::get(&store.db, &key).unwrap().unwrap();
        // Format; end, zigzag; one pair of two strings; two class names.
        let golden = b"\x01\x14\x01\x07country\x02DE\x02\x02no\x03yes";
        assert_eq!(stored[..golden.len()], golden[..]);
        // The summary's bytes, whose format is its own, after their length.
        assert_eq!(
            stored[golden.len()..],
            postcard::to_stdvec(&entry.summary).unwrap()
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_decoded_without_a_panic(mut bytes: Vec<u8>) {
            let _ = body::decode::<Stored>(FORMAT, &bytes);
            bytes.insert(0, FORMAT);
            let _ = body::decode::<Stored>(FORMAT, &bytes);
        }
    }
}
