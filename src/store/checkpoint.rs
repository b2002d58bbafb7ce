//! Checkpoints: the engine's state, and what the same step adds to history and baselines, in one
//! atomic and durable step.
//!
//! Three slots are written in turn: checkpoint n is in slot n mod 3. A state is too long for one batch of
//! sled's, which keeps all that it replaces in memory until its end. So the state's pieces are written
//! ahead into the slot of n, and one batch makes the checkpoint: it has the slot's head, the step, and
//! the meta that counts to n. Until then n - 1 and n - 2 are whole, and n does not verify; after it n and n - 1
//! are, whatever happens to the third. A reader takes the newest that verifies. Its body is
//! `format u8 = 2 │ sequence u64 LE │ state`; format 1 had two slots.

use sled::Batch;

use super::body::{self, Ahead, BodyError};
use super::error::guarded;
use super::{Meta, NewBaseline, Store, StoreError, key};
use crate::engine::Engine;
use crate::engine::output::HistoryEntry;

const FORMAT: u8 = 2;
const SLOTS: u8 = 3;
/// Format and sequence.
const HEAD_BYTES: usize = 9;

/// Bytes that are given part by part, so that they need not be in memory as a whole.
pub trait Content {
    fn each_part(&self, each: &mut dyn FnMut(&[u8]));
}

impl Content for Engine {
    fn each_part(&self, each: &mut dyn FnMut(&[u8])) {
        self.checkpoint_parts(each);
    }
}

impl<T: AsRef<[u8]>> Content for T {
    fn each_part(&self, each: &mut dyn FnMut(&[u8])) {
        each(self.as_ref());
    }
}

/// What a step adds to the store beside the state.
#[derive(Clone, Debug, Default)]
pub struct StepWrites {
    pub history: Vec<HistoryEntry>,
    pub baselines: Vec<NewBaseline>,
}

/// A checkpoint that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Of the state.
    pub bytes: u64,
    /// Of the step's baselines, in their order.
    pub versions: Vec<u32>,
}

/// The newest checkpoint that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub state: Vec<u8>,
    /// From 1, in the order of writing.
    pub sequence: u64,
    /// Why this is not the last that was written, if it is not.
    pub fell_back: Option<String>,
}

impl Store {
    /// Writes the state and `step` as one atomic step, durable on return.
    ///
    /// A write that failed half-way is the last: later ones give [`StoreError::WriteFailed`].
    pub fn write_checkpoint(
        &self,
        state: &dyn Content,
        step: &StepWrites,
    ) -> Result<Written, StoreError> {
        self.write(|meta, batch| {
            meta.sequence += 1;
            let key = key::checkpoint(slot(meta.sequence));
            let mut body = Ahead::new(&self.db, &key);
            body.take(&head(meta.sequence));
            state.each_part(&mut |part| body.take(part));
            let body = body.finish(batch).map_err(self.sled("written"))?;
            self.add_history(meta, batch, &step.history)?;
            let versions = self.add_baselines(meta, batch, &step.baselines)?;
            Ok(Written {
                bytes: body.length() - HEAD_BYTES as u64,
                versions,
            })
        })
    }

    /// The newest checkpoint that can be read; None if none was ever written. The next write
    /// keeps the one that is returned here and replaces another.
    ///
    /// [`StoreError::CheckpointLost`] if there have been checkpoints and none can be read.
    pub fn read_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        let mut writer = self.writer();
        let written = writer.meta.sequence;
        if written == 0 {
            return Ok(None);
        }
        let mut newest: Option<(u64, Vec<u8>)> = None;
        let mut damage = Vec::new();
        // From where the last one should be, so that one state is in memory, and not all.
        for before in 0..u64::from(SLOTS) {
            let slot = slot(written + u64::from(SLOTS) - before);
            match guarded(&self.path, || Ok(self.read_slot(slot))) {
                Ok(Ok(Some(found))) => {
                    let is_next = found.0 + before == written;
                    if newest.as_ref().is_none_or(|(newest, _)| found.0 > *newest) {
                        newest = Some(found);
                    }
                    if is_next {
                        break;
                    }
                }
                Ok(Ok(None)) => damage.push(format!("slot {slot} is empty")),
                Ok(Err(error)) => damage.push(format!("slot {slot}: {error}")),
                Err(panic) => damage.push(format!("slot {slot}: {panic}")),
            }
        }
        let damage = damage.join("; ");
        let Some((sequence, state)) = newest else {
            return Err(StoreError::CheckpointLost {
                path: self.path.clone(),
                detail: damage,
            });
        };
        writer.meta.sequence = sequence;
        let fell_back = (sequence < written)
            .then(|| format!("checkpoint {written} is lost, {sequence} is there ({damage})"));
        Ok(Some(Checkpoint {
            state,
            sequence,
            fell_back,
        }))
    }

    /// As if none had ever been written.
    pub(super) fn remove_checkpoints(
        &self,
        meta: &mut Meta,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        meta.sequence = 0;
        (0..SLOTS).try_for_each(|slot| self.remove(batch, &key::checkpoint(slot)))
    }

    /// Sequence and state.
    fn read_slot(&self, slot: u8) -> Result<Option<(u64, Vec<u8>)>, BodyError> {
        body::get(&self.db, &key::checkpoint(slot))?
            .map(decode)
            .transpose()
    }
}

fn slot(sequence: u64) -> u8 {
    (sequence % u64::from(SLOTS)) as u8
}

/// What precedes the state.
pub(super) fn head(sequence: u64) -> [u8; HEAD_BYTES] {
    let mut head = [FORMAT; HEAD_BYTES];
    head[1..].copy_from_slice(&sequence.to_le_bytes());
    head
}

pub(super) fn decode(mut body: Vec<u8>) -> Result<(u64, Vec<u8>), BodyError> {
    let content = body::after_format(FORMAT, &body)?;
    let (sequence, _) = content
        .split_first_chunk()
        .ok_or(BodyError::ShortHead { found: body.len() })?;
    let sequence = u64::from_le_bytes(*sequence);
    body.drain(..HEAD_BYTES);
    Ok((sequence, body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Dir, entry, new_baseline};
    use super::*;
    use crate::store::body::PIECE_BYTES;

    /// Bytes without a period that a piece could hide.
    fn state(seed: u8, length: usize) -> Vec<u8> {
        (0..length).map(|i| (i % 251) as u8 ^ seed).collect()
    }

    fn read(store: &Store) -> Checkpoint {
        store.read_checkpoint().unwrap().unwrap()
    }

    fn damage_piece(store: &Store, sequence: u64, index: u32) {
        let key = key::piece(&key::checkpoint(slot(sequence)), index);
        let mut value = store.db.get(&key).unwrap().unwrap().to_vec();
        value[7] ^= 1;
        store.db.insert(key, value).unwrap();
    }

    #[test]
    fn a_new_store_has_no_checkpoint() {
        let dir = Dir::new();
        assert_eq!(dir.open().read_checkpoint().unwrap(), None);
    }

    #[test]
    fn states_of_any_length_come_back_after_reopening() {
        let dir = Dir::new();
        let lengths = [
            0,
            1,
            PIECE_BYTES - 9,
            PIECE_BYTES - 8,
            PIECE_BYTES * 5,
            1_000_000,
            3,
        ];
        for (i, length) in lengths.into_iter().enumerate() {
            let written = state(i as u8, length);
            dir.open()
                .write_checkpoint(&written, &StepWrites::default())
                .unwrap();
            let expected = Checkpoint {
                state: written,
                sequence: i as u64 + 1,
                fell_back: None,
            };
            assert_eq!(read(&dir.open()), expected);
        }
    }

    #[test]
    fn a_shorter_state_removes_the_pieces_that_it_does_not_need() {
        let dir = Dir::new();
        let store = dir.open();
        for length in [100_000, 100_000, 100_000, 10, 10, 10] {
            store
                .write_checkpoint(&state(0, length), &StepWrites::default())
                .unwrap();
        }
        assert_eq!(store.db.scan_prefix(b"p").count(), 0);
    }

    #[test]
    fn the_step_is_stored_with_the_state() {
        let dir = Dir::new();
        let step = StepWrites {
            history: vec![entry("fraud", "DE", 0, 10)],
            baselines: vec![
                new_baseline("fraud-v7", true),
                new_baseline("fraud-v7", false),
            ],
        };
        assert_eq!(
            dir.open().write_checkpoint(b"state", &step).unwrap(),
            Written {
                bytes: 5,
                versions: vec![1, 2]
            }
        );
        let store = dir.open();
        assert_eq!(store.active("fraud-v7").unwrap(), Some(1));
        let history: Vec<_> = store.history("fraud", 0, 10).map(Result::unwrap).collect();
        assert_eq!(history, step.history);
    }

    #[test]
    fn a_checkpoint_cut_off_half_way_leaves_the_two_before() {
        let dir = Dir::new();
        let store = dir.open();
        for i in 1..=4 {
            store
                .write_checkpoint(&state(i, 1_000_000), &StepWrites::default())
                .unwrap();
        }
        // Checkpoint 5 is written ahead into the slot of 2, and its batch is not applied.
        let key = key::checkpoint(slot(5));
        let mut cut_off = Ahead::new(&store.db, &key);
        cut_off.take(&head(5));
        cut_off.take(&state(5, 1_000_000));
        cut_off.finish(&mut Batch::default()).unwrap();
        drop(store);

        let store = dir.open();
        let expected = |sequence, fell_back| Checkpoint {
            state: state(sequence as u8, 1_000_000),
            sequence,
            fell_back,
        };
        assert!(store.read_slot(slot(5)).is_err());
        assert_eq!(read(&store), expected(4, None));
        damage_piece(&store, 4, 1);
        let back = read(&store);
        assert_eq!(back, expected(3, back.fell_back.clone()));
        assert!(back.fell_back.is_some());
    }

    #[test]
    fn a_damaged_checkpoint_gives_way_to_the_one_before_and_is_replaced_next() {
        let dir = Dir::new();
        let store = dir.open();
        for i in 1..=3 {
            store
                .write_checkpoint(&state(i, 50_000), &StepWrites::default())
                .unwrap();
        }
        damage_piece(&store, 3, 4);
        let back = read(&store);
        assert_eq!((back.sequence, back.state), (2, state(2, 50_000)));
        let said = back.fell_back.unwrap();
        assert!(
            said.starts_with("checkpoint 3 is lost, 2 is there (slot 0: its CRC32"),
            "{said}"
        );

        store
            .write_checkpoint(&state(9, 50_000), &StepWrites::default())
            .unwrap();
        let again = read(&store);
        assert_eq!(
            (again.sequence, again.state, again.fell_back),
            (3, state(9, 50_000), None)
        );
        damage_piece(&store, 3, 1);
        assert_eq!(read(&store).state, state(2, 50_000));
    }

    #[test]
    fn a_missing_head_or_piece_is_damage_too() {
        let dir = Dir::new();
        let store = dir.open();
        for i in 1..=2 {
            store
                .write_checkpoint(&state(i, 50_000), &StepWrites::default())
                .unwrap();
        }
        store.db.remove(key::checkpoint(slot(2))).unwrap();
        assert_eq!(read(&store).sequence, 1);
        store
            .db
            .remove(key::piece(&key::checkpoint(slot(1)), 3))
            .unwrap();
        let error = store.read_checkpoint().unwrap_err();
        assert!(
            matches!(error, StoreError::CheckpointLost { .. }),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains("slot 1: piece 3 of 12 is missing; slot 0 is empty; slot 2 is empty")
        );
    }

    #[test]
    fn both_damaged_is_an_error_until_the_next_write() {
        let dir = Dir::new();
        let store = dir.open();
        for i in 1..=2 {
            store
                .write_checkpoint(&state(i, 50_000), &StepWrites::default())
                .unwrap();
        }
        damage_piece(&store, 1, 1);
        damage_piece(&store, 2, 1);
        assert!(matches!(
            store.read_checkpoint(),
            Err(StoreError::CheckpointLost { .. })
        ));
        store
            .write_checkpoint(b"rebuilt", &StepWrites::default())
            .unwrap();
        let rebuilt = read(&store);
        assert_eq!(
            (rebuilt.state.as_slice(), rebuilt.fell_back),
            (b"rebuilt".as_slice(), None)
        );
    }

    #[test]
    fn the_bytes_of_a_checkpoint_are_fixed() {
        let golden = b"\x02\x02\x01\0\0\0\0\0\0state";
        assert_eq!(head(258), golden[..HEAD_BYTES]);
        assert_eq!(decode(golden.to_vec()).unwrap(), (258, b"state".to_vec()));
        let older = b"\x01\x02\x01\0\0\0\0\0\0state".to_vec();
        let said = decode(older).unwrap_err().to_string();
        assert_eq!(said, "it has format 1, this build knows 2");
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes: Vec<u8>) {
            let _ = decode(bytes);
        }
    }
}
