//! Checkpoints: the engine's state, and what the same step adds to history and baselines, in one
//! atomic and durable write.
//!
//! Two slots are written in turn: checkpoint n is in slot n mod 2. So the one before the newest is
//! whole whatever happens to the newest, and a reader takes the newest that verifies. Its body is
//! `format u8 = 1 │ sequence u64 LE │ state`.

use sled::Batch;

use super::body::{self, BodyError};
use super::error::guarded;
use super::{Meta, NewBaseline, Store, StoreError, key};
use crate::engine::output::HistoryEntry;

const FORMAT: u8 = 1;
const SLOTS: u8 = 2;
/// Format and sequence.
const HEAD_BYTES: usize = 9;

/// What a step adds to the store beside the state.
#[derive(Clone, Debug, Default)]
pub struct StepWrites {
    pub history: Vec<HistoryEntry>,
    pub baselines: Vec<NewBaseline>,
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
    /// Writes the state and `step` as one atomic step, durable on return. Gives the versions of
    /// the step's baselines, in their order.
    ///
    /// A write that failed half-way is the last: later ones give [`StoreError::WriteFailed`].
    pub fn write_checkpoint(
        &self,
        state: &[u8],
        step: &StepWrites,
    ) -> Result<Vec<u32>, StoreError> {
        self.write(|meta, batch| {
            meta.sequence += 1;
            let body = encode(meta.sequence, state);
            self.put(batch, &key::checkpoint(slot(meta.sequence)), &body)?;
            self.add_history(meta, batch, &step.history)?;
            self.add_baselines(meta, batch, &step.baselines)
        })
    }

    /// The newest checkpoint that can be read; None if none was ever written. The next write
    /// keeps the one that is returned here and replaces the other.
    ///
    /// [`StoreError::CheckpointLost`] if there have been checkpoints and none can be read.
    pub fn read_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        let mut writer = self.writer();
        let written = writer.meta.sequence;
        let mut found = Vec::new();
        let mut damage = Vec::new();
        for slot in 0..SLOTS {
            match guarded(&self.path, || Ok(self.read_slot(slot))) {
                Ok(Ok(Some(checkpoint))) => found.push(checkpoint),
                Ok(Ok(None)) => damage.push(format!("slot {slot} is empty")),
                Ok(Err(error)) => damage.push(format!("slot {slot}: {error}")),
                Err(panic) => damage.push(format!("slot {slot}: {panic}")),
            }
        }
        let damage = damage.join("; ");
        let Some((sequence, state)) = found.into_iter().max_by_key(|&(sequence, _)| sequence)
        else {
            if written == 0 {
                return Ok(None);
            }
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

pub(super) fn encode(sequence: u64, state: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(HEAD_BYTES + state.len());
    body.push(FORMAT);
    body.extend(sequence.to_le_bytes());
    body.extend_from_slice(state);
    body
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
        for length in [100_000, 100_000, 10, 10] {
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
            [1, 2]
        );
        let store = dir.open();
        assert_eq!(store.active("fraud-v7").unwrap(), Some(1));
        let history: Vec<_> = store.history("fraud", 0, 10).map(Result::unwrap).collect();
        assert_eq!(history, step.history);
    }

    #[test]
    fn a_checkpoint_cut_off_half_way_leaves_the_one_before() {
        let dir = Dir::new();
        let store = dir.open();
        store
            .write_checkpoint(&state(1, 50_000), &StepWrites::default())
            .unwrap();
        store
            .write_checkpoint(&state(2, 50_000), &StepWrites::default())
            .unwrap();
        // Checkpoint 3 would take the slot of 1: some of its pieces, and no head.
        let key = key::checkpoint(slot(3));
        store
            .db
            .insert(key::piece(&key, 2), state(3, PIECE_BYTES))
            .unwrap();
        let expected = Checkpoint {
            state: state(2, 50_000),
            sequence: 2,
            fell_back: None,
        };
        assert_eq!(read(&store), expected);
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
            said.starts_with("checkpoint 3 is lost, 2 is there (slot 1: its CRC32"),
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
                .contains("slot 0 is empty; slot 1: piece 3 of 12 is missing")
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
        let golden = b"\x01\x02\x01\0\0\0\0\0\0state";
        assert_eq!(encode(258, b"state"), golden);
        assert_eq!(decode(golden.to_vec()).unwrap(), (258, b"state".to_vec()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes: Vec<u8>) {
            let _ = decode(bytes);
        }
    }
}
