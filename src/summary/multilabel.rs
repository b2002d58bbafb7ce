//! The part of independent labels, which is that they are: the sums are those of distributions.
//!
//! | sum | of K labels |
//! | --- | --- |
//! | Σp, Σp² | of each label's probability |
//! | Σh, Σh², histogram | of the sum of the binary entropies, up to K bits |
//! | Σ max | of the mean over labels of max(p, 1 - p) |
//! | Σ margin | of the mean over labels of \|2p - 1\| |
//! | argmax counts | records in which the label applies: p > 1/2, as the lowest class wins a tie of (1 - p, p) |

use super::Summary;
use super::lanes::to_wide_units;
use crate::information::multilabel::{confidence, entropy};
use crate::observation::Millis;

/// The largest entropy that sums are kept of: larger ones, of more labels than that of which each is a
/// coin toss, count as this.
const MOST_BITS: f64 = 16_384.0;

/// How many of the records are of independent labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Multilabel {
    pub records: u64,
}

impl Multilabel {
    pub fn merge(&mut self, other: &Self) {
        self.records += other.records;
    }

    pub fn subtract(&mut self, other: &Self) {
        self.records -= other.records;
    }
}

impl Summary {
    /// Adds one record: a valid probability for each of `classes()` labels.
    pub fn add_multilabel(&mut self, probabilities: &[f64], time_ms: Millis) -> f64 {
        let entropy_bits = entropy(probabilities).min(MOST_BITS);
        let confidence = confidence(probabilities);
        self.records += 1;
        self.multilabel.records += 1;
        self.fit();
        self.sums.add(probabilities);
        self.squares.add_squares(probabilities);
        self.scalars.entropy += to_wide_units(entropy_bits);
        self.scalars.entropy_squares += to_wide_units(entropy_bits * entropy_bits);
        self.scalars.confidence += to_wide_units(confidence);
        self.scalars.margin += to_wide_units(2.0 * confidence - 1.0);
        for (label, &p) in probabilities.iter().enumerate() {
            if p > 0.5 {
                self.argmax.add(label as u32, 1);
            }
        }
        self.histogram.add(entropy_bits);
        self.widen(Some((time_ms, time_ms)));
        entropy_bits
    }
}
