//! What the records of a summary are, and how uncertain each could be at most.

use super::Summary;
use crate::observation::Nature;

impl Summary {
    /// What the records are; distributions where there are none. None where they differ, which is
    /// so only in windows over a change of the model's configured kind.
    pub fn nature(&self) -> Option<Nature> {
        let of = [
            (self.multilabel.records, Nature::Multilabel),
            (self.responses.records, Nature::Response),
        ];
        for (records, nature) in of {
            match records {
                0 => {}
                all if all == self.records => return Some(nature),
                _ => return None,
            }
        }
        let members = self.records > 0 && self.members.records == self.records;
        Some(match members {
            true => Nature::Ensemble,
            false => Nature::Distribution,
        })
    }

    /// The largest entropy that a record of these could have, in bits: log2 K over K classes, K for
    /// K labels, log2 V for tokens (their records' mean of it). None where records differ in nature.
    pub fn greatest_entropy(&self) -> Option<f64> {
        let classes = self.classes() as f64;
        Some(match self.nature()? {
            Nature::Distribution | Nature::Ensemble => classes.max(1.0).log2(),
            Nature::Multilabel => classes,
            Nature::Response => self.responses.greatest_entropy(),
        })
    }
}
