//! A histogram of one number a record, in buckets of hdrhistogram with two significant digits over
//! thousandths: of entropies in bits, and of doubts (see `labelled`) in a unit of their own.
//!
//! A bucket is named by the least number in it. Counts are kept apart from hdrhistogram's own array
//! (6 KB each), because most panes hold few records; the bucketing, and so the quantiles, are its.

use std::sync::LazyLock;

use super::counts::Counts;

/// Thousandths of a bit beyond which everything is in the last bucket: 32 bits are the entropy of
/// four billion classes.
const MOST: u64 = 32_767;

const DIGITS: u8 = 2;

/// Bits in one unit of the histogram.
const RESOLUTION: f64 = 1e-3;

/// The bucket of each thousandth, and the greatest number in it.
static BUCKETS: LazyLock<Vec<(u16, u16)>> = LazyLock::new(|| {
    let histogram = hdrhistogram::Histogram::<u8>::new_with_bounds(1, MOST, DIGITS)
        .expect("1 to 32,767 in two digits are bounds that hdrhistogram takes");
    let bucket = |value| {
        let (least, greatest) = (
            histogram.lowest_equivalent(value),
            histogram.highest_equivalent(value),
        );
        (least as u16, greatest.min(MOST) as u16)
    };
    (0..=MOST).map(bucket).collect()
});

/// How many records had which entropy, or which doubt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(Counts);

impl Histogram {
    /// Of counts by bucket; none where a key is no bucket.
    pub fn of(counts: Counts) -> Option<Self> {
        let is_bucket = |(key, _): (u32, u64)| {
            BUCKETS
                .get(key as usize)
                .is_some_and(|&(least, _)| u32::from(least) == key)
        };
        let known = counts.iter().all(is_bucket);
        known.then_some(Self(counts))
    }

    pub fn counts(&self) -> &Counts {
        &self.0
    }

    /// Counts one record's entropy, at least 0.
    pub fn add(&mut self, entropy_bits: f64) {
        // To the nearest; `as` cuts off and saturates, and the index is within the table.
        let thousandths = ((entropy_bits / RESOLUTION + 0.5) as u64).min(MOST);
        self.0.add(BUCKETS[thousandths as usize].0.into(), 1);
    }

    pub fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    pub fn subtract(&mut self, other: &Self) {
        self.0.subtract(&other.0);
    }

    /// The entropy, in bits, that a share `quantile` of the records does not exceed: the record of
    /// rank ⌈quantile · n⌉, in the middle of its bucket. None without records.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let total = self.0.total();
        let rank = ((quantile * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut below = 0;
        for (bucket, count) in self.0.iter() {
            below += count;
            if below >= rank {
                let (least, greatest) = BUCKETS[bucket as usize];
                return Some((f64::from(least) + f64::from(greatest)) / 2.0 * RESOLUTION);
            }
        }
        None
    }

    /// Kolmogorov–Smirnov distance of the two: the largest difference of the shares of records up
    /// to some entropy, in [0, 1]. 0 where either has no records.
    pub fn distance(&self, other: &Self) -> f64 {
        let (total, other_total) = (self.0.total() as f64, other.0.total() as f64);
        if total == 0.0 || other_total == 0.0 {
            return 0.0;
        }
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let (mut below, mut other_below, mut most) = (0, 0, 0.0_f64);
        while let Some(bucket) = mine
            .peek()
            .into_iter()
            .chain(theirs.peek())
            .map(|e| e.0)
            .min()
        {
            if let Some((_, count)) = mine.next_if(|entry| entry.0 == bucket) {
                below += count;
            }
            if let Some((_, count)) = theirs.next_if(|entry| entry.0 == bucket) {
                other_below += count;
            }
            most = most.max((below as f64 / total - other_below as f64 / other_total).abs());
        }
        most
    }
}
