//! The part of language models: responses of tokens, of which the likeliest are known.
//!
//! A record is one response. What the other parts of a summary call its entropy, h, is the mean over
//! its tokens of the lower bound; what is kept here weighs every token alike. There are no classes.

use super::Summary;
use super::lanes::{from_units, to_units, to_wide_units};
use crate::observation::{Millis, Response};

/// Sums over the records that are responses; zeros where none is. In units of 2^-40 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Responses {
    pub records: u64,
    pub tokens: u64,
    /// Σ over tokens of the lower and of the upper bound of the entropy.
    pub least: u128,
    pub most: u128,
    /// Σ over records of log2 V.
    pub greatest: u128,
}

impl Responses {
    pub fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.tokens += other.tokens;
        self.least += other.least;
        self.most += other.most;
        self.greatest += other.greatest;
    }

    pub fn subtract(&mut self, other: &Self) {
        self.records -= other.records;
        self.tokens -= other.tokens;
        self.least -= other.least;
        self.most -= other.most;
        self.greatest -= other.greatest;
    }

    /// The mean of log2 V, in bits; 0 without records.
    pub fn greatest_entropy(&self) -> f64 {
        per(self.greatest, self.records)
    }
}

/// Means over the tokens of responses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenMeans {
    /// Bounds of the mean entropy of a token, in bits.
    pub least_bits: f64,
    pub most_bits: f64,
    /// Mean number of tokens of a response.
    pub tokens: f64,
}

impl Summary {
    /// Adds one response, to a summary without classes.
    pub fn add_response(&mut self, response: &Response, time_ms: Millis) -> f64 {
        let entropy_bits = response.least_bits / response.tokens.max(1) as f64;
        self.records += 1;
        self.fit();
        self.scalars.entropy += u128::from(to_units(entropy_bits));
        self.scalars.entropy_squares += u128::from(to_units(entropy_bits * entropy_bits));
        self.histogram.add(entropy_bits);
        self.widen(Some((time_ms, time_ms)));
        let sums = &mut self.responses;
        sums.records += 1;
        sums.tokens += response.tokens;
        sums.least += to_wide_units(response.least_bits);
        sums.most += to_wide_units(response.most_bits);
        sums.greatest += u128::from(to_units((response.vocabulary as f64).log2()));
        entropy_bits
    }

    /// None where a record is no response, or there is none.
    pub fn token_means(&self) -> Option<TokenMeans> {
        let Responses {
            records,
            tokens,
            least,
            most,
            ..
        } = self.responses;
        (records > 0 && records == self.records).then(|| TokenMeans {
            least_bits: per(least, tokens),
            most_bits: per(most, tokens),
            tokens: tokens as f64 / records as f64,
        })
    }
}

fn per(units: u128, count: u64) -> f64 {
    if count == 0 {
        0.0
    } else {
        from_units(units) / count as f64
    }
}
