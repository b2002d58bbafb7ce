//! The mergeable summary: all that a pane, a window or a baseline keeps of its records.
//!
//! A commutative group, exactly: sums are fixed-point integers in units of 2^-40, so the order and
//! the grouping of merges never change a bit, and `subtract` undoes `merge`.

use crate::observation::Millis;

/// Sums and counts of `records` distributions over `classes()` classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {}

impl Summary {
    /// Of no records, over `classes` classes.
    pub fn new(classes: usize) -> Self;
    /// Adds one record: a valid distribution over `classes()` classes.
    pub fn add(&mut self, probabilities: &[f64], time_ms: Millis);
    /// Exact; commutative and associative with `==`. Both must have as many classes.
    pub fn merge(&mut self, other: &Self);
    /// Undoes `merge(other)`, but for `span`, which cannot be taken back: it keeps its value
    /// while records remain (the owner of the parts recomputes it: `set_span`), and is None for no records.
    pub fn subtract(&mut self, other: &Self);
    pub fn classes(&self) -> usize;
    pub fn records(&self) -> u64;
    /// Least and greatest event time.
    pub fn span(&self) -> Option<(Millis, Millis)>;
    pub fn set_span(&mut self, span: Option<(Millis, Millis)>);
    // readers as floats (what measures are computed from): sums in f64
    pub fn mean(&self) -> Vec<f64>;                 // p̄, n > 0 else empty
    pub fn probability_sums(&self) -> Vec<f64>;     // Σp_k
    pub fn variances(&self) -> Vec<f64>;            // population, Σp²/N - mean², ≥ 0
    pub fn entropy_mean(&self) -> f64;              // bits
    pub fn entropy_variance(&self) -> f64;
    pub fn confidence(&self) -> f64; pub fn margin(&self) -> f64;
    pub fn argmax_counts(&self) -> Vec<u64>;
    pub fn entropy_quantile(&self, q: f64) -> Option<f64>;   // bits; rank ceil(q n); middle of the bucket
    pub fn entropy_histogram(&self) -> &Histogram;
    pub fn encode(&self, out: &mut Vec<u8>); pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;  // versioned, tagged sections
    pub fn memory_bytes(&self) -> usize;            // estimate
}
