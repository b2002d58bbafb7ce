//! The mergeable summary: all that a pane, a window or a baseline keeps of its records.
//!
//! A commutative group, exactly: sums are fixed-point integers in units of 2^-40, so the order and
//! the grouping of merges never change a bit, and `subtract` undoes `merge`.

use crate::observation::Millis;

/// Sums and counts of `records` distributions over `classes()` classes.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Summary {}

impl Summary {
    /// Of no records, over `classes` classes.
    pub fn new(classes: usize) -> Self {
        unimplemented!()
    }
    /// Adds one record: a valid distribution over `classes()` classes.
    pub fn add(&mut self, probabilities: &[f64], time_ms: Millis) {
        unimplemented!()
    }
    /// Exact; commutative and associative with `==`. Both must have as many classes.
    pub fn merge(&mut self, other: &Self) {
        unimplemented!()
    }
    /// Undoes `merge(other)`, but for `span`, which cannot be taken back: it keeps its value
    /// while records remain (the owner of the parts recomputes it: `set_span`), and is None for no records.
    pub fn subtract(&mut self, other: &Self) {
        unimplemented!()
    }
    pub fn classes(&self) -> usize {
        unimplemented!()
    }
    pub fn records(&self) -> u64 {
        unimplemented!()
    }
    /// Least and greatest event time.
    pub fn span(&self) -> Option<(Millis, Millis)> {
        unimplemented!()
    }
    pub fn set_span(&mut self, span: Option<(Millis, Millis)>) {
        unimplemented!()
    }
    // readers as floats (what measures are computed from): sums in f64
    pub fn mean(&self) -> Vec<f64> {
        unimplemented!()
    } // p̄, n > 0 else empty
    pub fn probability_sums(&self) -> Vec<f64> {
        unimplemented!()
    } // Σp_k
    pub fn variances(&self) -> Vec<f64> {
        unimplemented!()
    } // population, Σp²/N - mean², ≥ 0
    pub fn entropy_mean(&self) -> f64 {
        unimplemented!()
    } // bits
    pub fn entropy_variance(&self) -> f64 {
        unimplemented!()
    }
    pub fn confidence(&self) -> f64 {
        unimplemented!()
    }
    pub fn margin(&self) -> f64 {
        unimplemented!()
    }
    pub fn argmax_counts(&self) -> Vec<u64> {
        unimplemented!()
    }
    pub fn entropy_quantile(&self, q: f64) -> Option<f64> {
        unimplemented!()
    } // bits; rank ceil(q n); middle of the bucket
    pub fn entropy_histogram(&self) -> &Histogram {
        unimplemented!()
    }
    pub fn encode(&self, out: &mut Vec<u8>) {
        unimplemented!()
    }
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        unimplemented!()
    } // versioned, tagged sections
    pub fn memory_bytes(&self) -> usize {
        unimplemented!()
    } // estimate
}

/// Counts of record entropies by bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram;
/// Why bytes are not a summary.
#[derive(Debug, thiserror::Error)]
#[error("not a summary")]
pub struct DecodeError;
