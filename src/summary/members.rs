//! The part of ensembles: how uncertain the members are, each by itself.

use super::Summary;
use super::lanes::{from_units, to_units};
use crate::observation::Millis;

/// Sums over the records that are of ensembles; zeros where none is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    pub records: u64,
    /// Σ of the mean entropy of a record's members, in units of 2^-40 bits.
    pub expected_entropy: u128,
}

impl Members {
    pub fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.expected_entropy += other.expected_entropy;
    }

    pub fn subtract(&mut self, other: &Self) {
        self.records -= other.records;
        self.expected_entropy -= other.expected_entropy;
    }
}

impl Summary {
    /// Adds one record: the mean of its members' distributions, and the mean of their entropies. Gives
    /// the entropy of the mean in bits, as the others give their record's.
    pub fn add_ensemble(&mut self, mean: &[f64], expected_bits: f64, time_ms: Millis) -> f64 {
        self.members.records += 1;
        self.members.expected_entropy += u128::from(to_units(expected_bits));
        self.add(mean, time_ms)
    }

    /// Mean over records of the mean entropy of their members, in bits; none where a record is of no
    /// ensemble, or there is none.
    pub fn expected_entropy(&self) -> Option<f64> {
        let all = self.records > 0 && self.members.records == self.records;
        all.then(|| from_units(self.members.expected_entropy) / self.records as f64)
    }
}
