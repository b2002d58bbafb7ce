//! Counts by small whole numbers, in memory by the record and not by the key while few are there.

use serde::{Deserialize, Serialize};

/// How often each key was counted. Keys never counted are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Sorted by key; no count is 0.
    entries: Vec<(u32, u64)>,
}

impl Counts {
    /// Of entries sorted by key, without repeats or zeros; none if they are not, or if their total
    /// is beyond 64 bits.
    pub fn of(entries: Vec<(u32, u64)>) -> Option<Self> {
        let sorted = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let counted = entries.iter().all(|&(_, count)| count > 0);
        let total = entries
            .iter()
            .try_fold(0_u64, |sum, e| sum.checked_add(e.1));
        (sorted && counted && total.is_some()).then_some(Self { entries })
    }

    pub fn add(&mut self, key: u32, count: u64) {
        // Once every key up to it has been seen, a key's place is its number.
        let guess = key as usize;
        if let Some(entry) = self.entries.get_mut(guess).filter(|entry| entry.0 == key) {
            entry.1 += count;
            return;
        }
        match self.entries.binary_search_by_key(&key, |&(key, _)| key) {
            Ok(at) => self.entries[at].1 += count,
            Err(at) => self.entries.insert(at, (key, count)),
        }
    }

    pub fn merge(&mut self, other: &Self) {
        if self.entries.is_empty() {
            self.entries.clone_from(&other.entries);
            return;
        }
        for &(key, count) in &other.entries {
            self.add(key, count);
        }
    }

    /// Takes counts that were merged before away.
    pub fn subtract(&mut self, other: &Self) {
        let mut emptied = false;
        for &(key, count) in &other.entries {
            if let Ok(at) = self.entries.binary_search_by_key(&key, |&(key, _)| key) {
                let held = &mut self.entries[at].1;
                *held = held.saturating_sub(count);
                emptied |= *held == 0;
            }
        }
        if emptied {
            self.entries.retain(|&(_, count)| count > 0);
        }
    }

    pub fn total(&self) -> u64 {
        self.entries.iter().map(|&(_, count)| count).sum()
    }

    /// Keys and counts, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, u64)> + DoubleEndedIterator {
        self.entries.iter().copied()
    }
}
