//! Distributions, entropy and divergence.
pub mod distribution;
pub mod divergence;
pub mod entropy;
