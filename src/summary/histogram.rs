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

const DIGITS: u8 = 2;

/// Bits in one unit of the histogram.
const RESOLUTION: f64 = 1e-3;

/// Where the bounds of buckets come from.
static BOUNDS: LazyLock<hdrhistogram::Histogram<u8>> = LazyLock::new(|| {
    hdrhistogram::Histogram::new_with_bounds(1, MOST, DIGITS)
        .expect("1 to 16,383,999 in two digits are bounds that hdrhistogram takes")
});

/// Numbers below this have a bucket each; from there on buckets are twice as wide with each doubling.
const EXACT: u64 = 256;

/// The place of a number's bucket among all, which are numbered without gaps.
fn place_of(thousandths: u64) -> u32 {
    let thousandths = thousandths.min(MOST);
    let doublings = u64::BITS - (thousandths / EXACT).leading_zeros();
    EXACT as u32 / 2 * doublings + (thousandths >> doublings) as u32
}

/// The least number in the bucket.
fn least_of(place: u32) -> u32 {
    let half = EXACT as u32 / 2;
    let doublings = (place / half).saturating_sub(1);
    (place - half * doublings) << doublings
}

/// How many records had which entropy, or which doubt; by the place of the bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(Counts);

impl Histogram {
    /// Of counts by bucket; none where a key is no bucket.
    pub fn of(counts: Counts) -> Option<Self> {
        let place = |(bucket, count): (u32, u64)| {
            let place = place_of(bucket.into());
            (least_of(place) == bucket).then_some((place, count))
        };
        let places: Option<Vec<(u32, u64)>> = counts.iter().map(place).collect();
        Counts::of(places?).map(Self)
    }

    /// Buckets and counts, by bucket.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, u64)> {
        self.0.iter().map(|(place, count)| (least_of(place), count))
    }

    /// How many records there are.
    pub fn total(&self) -> u64 {
        self.0.total()
    }

    /// Counts one record's entropy, at least 0.
    pub fn add(&mut self, entropy_bits: f64) {
        // To the nearest; `as` cuts off and saturates.
        let thousandths = (entropy_bits / RESOLUTION + 0.5) as u64;
        self.0.add(place_of(thousandths), 1);
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
        for (bucket, count) in self.iter() {
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
        let mut theirs = other.0.iter().peekable();
        let (mut below, mut other_below, mut most) = (0, 0, 0.0_f64);
        let mut compare = |below: u64, other_below: u64| {
            most = most.max((below as f64 / total - other_below as f64 / other_total).abs());
        };
        for (bucket, count) in self.0.iter() {
            // From one of these buckets to the next only the other's share grows: the two differ most
            // where it begins to, or where it ends.
            while let Some((_, more)) = theirs.next_if(|entry| entry.0 < bucket) {
                other_below += more;
            }
            compare(below, other_below);
            below += count;
            if let Some((_, more)) = theirs.next_if(|entry| entry.0 == bucket) {
                other_below += more;
            }
            compare(below, other_below);
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_hdrhistogram_without_gaps() {
        let mut expected = 0;
        for number in 0..300_000 {
            let least = BOUNDS.lowest_equivalent(number);
            if least == number && number > 0 {
                expected += 1;
            }
            assert_eq!(place_of(number), expected, "{number}");
            assert_eq!(u64::from(least_of(expected)), least, "{number}");
        }
        for number in [MOST - 70_000, MOST - 1, MOST, MOST + 1, u64::MAX] {
            let least = BOUNDS.lowest_equivalent(number.min(MOST));
            assert_eq!(u64::from(least_of(place_of(number))), least);
        }
    }
}
