//! A histogram of one number a record, in buckets of hdrhistogram with two significant digits over
//! thousandths: of entropies in bits, and of doubts (see `labelled`) in a unit of their own.
//!
//! A bucket is named by the least number in it. Counts are kept apart from hdrhistogram's own array
//! (6 KB each), because most panes hold few records; the bucketing, and so the quantiles, are its.

use std::sync::LazyLock;

use super::counts::Counts;

/// Thousandths of a bit beyond which everything is in the last bucket: 16,384 bits, of as many
/// independent labels.
const MOST: u64 = 16_384_000 - 1;

/// Thousandths up to which buckets are looked up in a table: 32 bits are the entropy of four billion
/// classes.
const TABLED: u64 = 32_767;

const DIGITS: u8 = 2;

/// Bits in one unit of the histogram.
const RESOLUTION: f64 = 1e-3;

/// Where the bounds of buckets come from.
static BOUNDS: LazyLock<hdrhistogram::Histogram<u8>> = LazyLock::new(|| {
    hdrhistogram::Histogram::new_with_bounds(1, MOST, DIGITS)
        .expect("1 to 16,383,999 in two digits are bounds that hdrhistogram takes")
});

/// The bucket of each thousandth of the table.
static BUCKETS: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let least = |value| BOUNDS.lowest_equivalent(value) as u16;
    (0..=TABLED).map(least).collect()
});

/// The bucket of a number of thousandths.
fn bucket_of(thousandths: u64) -> u32 {
    match BUCKETS.get(thousandths as usize) {
        Some(&least) => least.into(),
        None => BOUNDS.lowest_equivalent(thousandths.min(MOST)) as u32,
    }
}

/// How many records had which entropy, or which doubt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(Counts);

impl Histogram {
    /// Of counts by bucket; none where a key is no bucket.
    pub fn of(counts: Counts) -> Option<Self> {
        let is_bucket = |(key, _): (u32, u64)| bucket_of(key.into()) == key;
        let known = counts.iter().all(is_bucket);
        known.then_some(Self(counts))
    }

    pub fn counts(&self) -> &Counts {
        &self.0
    }

    /// Counts one record's entropy, at least 0.
    pub fn add(&mut self, entropy_bits: f64) {
        // To the nearest; `as` cuts off and saturates.
        let thousandths = (entropy_bits / RESOLUTION + 0.5) as u64;
        self.0.add(bucket_of(thousandths), 1);
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
                let greatest = BOUNDS.highest_equivalent(bucket.into());
                return Some((f64::from(bucket) + greatest as f64) / 2.0 * RESOLUTION);
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
        let (mut below, mut other_below) = (0, 0);
        let (mut share, mut other_share, mut most) = (0.0, 0.0, 0.0_f64);
        loop {
            let bucket = match (mine.peek(), theirs.peek()) {
                (Some(mine), Some(theirs)) => mine.0.min(theirs.0),
                (Some(only), None) | (None, Some(only)) => only.0,
                (None, None) => return most,
            };
            if let Some((_, count)) = mine.next_if(|entry| entry.0 == bucket) {
                below += count;
                share = below as f64 / total;
            }
            if let Some((_, count)) = theirs.next_if(|entry| entry.0 == bucket) {
                other_below += count;
                other_share = other_below as f64 / other_total;
            }
            most = most.max((share - other_share).abs());
        }
    }
}
