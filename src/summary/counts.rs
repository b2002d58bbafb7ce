//! Counts by small whole numbers, in memory by the record and not by the key while few are there.

use std::iter::repeat_n;

/// How often each key was counted. Keys never counted are not there.
#[derive(Clone, Debug)]
pub enum Counts {
    /// Keys and counts, sorted by key; no count is 0.
    Few(Vec<(u32, u64)>),
    /// The count of each key from the first to the last: found without a search, in at most twice the
    /// memory where nothing was taken away.
    Many { first: u32, counts: Vec<u64> },
}

impl Default for Counts {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

/// However they are held.
impl PartialEq for Counts {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Counts {}

impl Counts {
    /// Of entries sorted by key, without repeats or zeros; none if they are not, or if their total
    /// is beyond 64 bits.
    pub fn of(entries: Vec<(u32, u64)>) -> Option<Self> {
        let sorted = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let counted = entries.iter().all(|&(_, count)| count > 0);
        let total = entries
            .iter()
            .try_fold(0_u64, |sum, e| sum.checked_add(e.1));
        if !sorted || !counted || total.is_none() {
            return None;
        }
        let mut counts = Self::Few(entries);
        counts.fit();
        Some(counts)
    }

    pub fn add(&mut self, key: u32, count: u64) {
        match self {
            Self::Many { first, counts } => match counts.get_mut(key.wrapping_sub(*first) as usize)
            {
                Some(held) => *held += count,
                None => self.add_beyond(key, count),
            },
            Self::Few(entries) => match entries.binary_search_by_key(&key, |&(key, _)| key) {
                Ok(at) => entries[at].1 += count,
                Err(at) => {
                    entries.insert(at, (key, count));
                    self.fit();
                }
            },
        }
    }

    /// Adds a count of a key that is not among the many.
    #[cold]
    fn add_beyond(&mut self, key: u32, count: u64) {
        if let Self::Many { first, counts } = self {
            let keys = counts.iter().filter(|count| **count > 0).count() + 1;
            let before = first.saturating_sub(key);
            let range = (counts.len() as u32 - 1 + before).max(key.saturating_sub(*first));
            if are_many(keys, range) {
                counts.splice(..0, repeat_n(0, before as usize));
                counts.resize(range as usize + 1, 0);
                *first -= before;
            } else {
                *self = Self::Few(self.iter().collect());
            }
            self.add(key, count);
        }
    }

    /// Holds the count of each key where there are many.
    fn fit(&mut self) {
        if let Self::Few(entries) = self
            && let (Some(&(first, _)), Some(&(greatest, _))) = (entries.first(), entries.last())
            && are_many(entries.len(), greatest - first)
        {
            let mut counts = vec![0; (greatest - first) as usize + 1];
            for &(key, count) in &*entries {
                counts[(key - first) as usize] = count;
            }
            *self = Self::Many { first, counts };
        }
    }

    pub fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Few(entries), _) if entries.is_empty() => self.clone_from(other),
            (
                Self::Many { first, counts },
                Self::Many {
                    first: from,
                    counts: more,
                },
            ) if *from >= *first && (from - *first) as usize + more.len() <= counts.len() => {
                let counts = &mut counts[(from - *first) as usize..];
                for (count, more) in counts.iter_mut().zip(more) {
                    *count += more;
                }
            }
            _ => other.iter().for_each(|(key, count)| self.add(key, count)),
        }
    }

    /// Takes counts that were merged before away.
    pub fn subtract(&mut self, other: &Self) {
        let mut emptied = false;
        for (key, less) in other.iter() {
            let held = match self {
                Self::Few(entries) => {
                    let at = entries.binary_search_by_key(&key, |&(key, _)| key);
                    at.ok().map(|at| &mut entries[at].1)
                }
                Self::Many { first, counts } => counts.get_mut(key.wrapping_sub(*first) as usize),
            };
            if let Some(held) = held {
                *held = held.saturating_sub(less);
                emptied |= *held == 0;
            }
        }
        if let (Self::Few(entries), true) = (self, emptied) {
            entries.retain(|&(_, count)| count > 0);
        }
    }

    pub fn total(&self) -> u64 {
        match self {
            Self::Few(entries) => entries.iter().map(|&(_, count)| count).sum(),
            Self::Many { counts, .. } => counts.iter().sum(),
        }
    }

    /// Keys and counts, by key.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, u64)> {
        let (few, first, many): (&[(u32, u64)], u32, &[u64]) = match self {
            Self::Few(entries) => (entries, 0, &[]),
            Self::Many { first, counts } => (&[], *first, counts),
        };
        let counted =
            move |(at, &count): (usize, &u64)| (count > 0).then_some((first + at as u32, count));
        let many = many.iter().enumerate().filter_map(counted);
        few.iter().copied().chain(many)
    }
}

/// Whether at least every fourth key is there of those up to `range` after the first: a count is half
/// an entry. One key is not many: where the next is, is not known.
fn are_many(keys: usize, range: u32) -> bool {
    keys > 1 && 4 * keys > range as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Keys close together, far apart, and both.
    fn entries() -> impl Strategy<Value = Vec<(u32, u64)>> {
        let key = prop_oneof![0..8_u32, 0..60_u32, 500..540_u32, 0..100_000_u32];
        prop::collection::vec((key, 1..5_u64), 0..80)
    }

    fn counts(entries: &[(u32, u64)]) -> Counts {
        let mut counts = Counts::default();
        for &(key, count) in entries {
            counts.add(key, count);
        }
        counts
    }

    fn map(entries: &[(u32, u64)]) -> BTreeMap<u32, u64> {
        let mut map = BTreeMap::new();
        for &(key, count) in entries {
            *map.entry(key).or_default() += count;
        }
        map
    }

    proptest! {
        #[test]
        fn counts_are_a_map_s_however_they_are_held(a in entries(), b in entries()) {
            let (whole, part) = (counts(&a), counts(&b));
            let expected: Vec<(u32, u64)> = map(&a).into_iter().collect();
            prop_assert_eq!(whole.iter().collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(whole.total(), a.iter().map(|e| e.1).sum::<u64>());
            prop_assert_eq!(Counts::of(expected), Some(whole.clone()));
            let mut both = whole.clone();
            both.merge(&part);
            prop_assert_eq!(&both, &counts(&[a, b.clone()].concat()));
            both.subtract(&part);
            prop_assert_eq!(&both, &whole);
            // What is taken away leaves zeros, and what follows is counted all the same.
            let mut next = whole.clone();
            next.subtract(&whole);
            prop_assert_eq!(next.total(), 0);
            for &(key, count) in &b {
                next.add(key, count);
            }
            prop_assert_eq!(&next, &part);
        }

        #[test]
        fn what_is_held_by_key_is_at_most_twice_as_large_as_by_entry(a in entries()) {
            if let Counts::Many { counts, .. } = counts(&a) {
                prop_assert!(counts.len() <= 4 * map(&a).len());
            }
        }
    }
}
