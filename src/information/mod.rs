//! What can be said about a distribution over classes: that it is one, how uncertain it is, and how
//! far it lies from another. All in bits, over plain slices; imports nothing of ours.
//!
//! A *valid distribution* here is what [`distribution`] leaves behind: at least one value, each
//! finite and at least 0, summing to 1 but for rounding. The other modules take that as given and
//! return finite numbers, never below 0, for every valid input.
//!
//! | module | says |
//! | --- | --- |
//! | [`distribution`] | whether numbers are a distribution, and makes them one |
//! | [`entropy`] | how uncertain one distribution is |
//! | [`divergence`] | how far one lies from another |
//! | [`ensemble`] | what members of an ensemble say together, and each by itself |
//! | [`multilabel`] | the same of independent labels |
//! | [`top_k`] | between which an entropy lies that is known in part |
//! | [`noise`] | how far sampling alone would move it |
//! | [`least_squares`] | what solves the small systems that classes make |
//! | `log2`, [`exp`], [`vector`] | what the others are made of where it must be fast |

pub mod distribution;
pub mod divergence;
pub mod ensemble;
pub mod entropy;
pub mod exp;
pub mod least_squares;
mod log2;
pub mod multilabel;
pub mod noise;
pub mod top_k;
pub mod vector;

#[cfg(test)]
mod tests;
