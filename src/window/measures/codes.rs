//! How measures are stored in binary: as a number that stays theirs whatever measures join the table.
//!
//! In formats that people read, a measure is its name.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Measure;

/// In order of their numbers, from 0: new ones go to the end.
const CODES: &[Measure] = &[
    Measure::Confidence,
    Measure::CrossEntropyBaseline,
    Measure::EffectiveClasses,
    Measure::Entropy,
    Measure::EntropyNormalized,
    Measure::EntropyP50,
    Measure::EntropyP95,
    Measure::EntropyP99,
    Measure::EntropyShift,
    Measure::Hellinger,
    Measure::Information,
    Measure::Jeffreys,
    Measure::Js,
    Measure::JsDistance,
    Measure::Kl,
    Measure::KlNoise,
    Measure::KlReverse,
    Measure::LabelKl,
    Measure::Late,
    Measure::Linf,
    Measure::LostRecords,
    Measure::Margin,
    Measure::MarginalEntropy,
    Measure::Perplexity,
    Measure::Records,
    Measure::RejectedShare,
    Measure::Silence,
    Measure::Tv,
    Measure::EnsembleEntropy,
    Measure::ExpectedEntropy,
    Measure::Disagreement,
    Measure::TokenEntropy,
    Measure::TokenEntropyMost,
    Measure::TokenPerplexity,
    Measure::TokenPerplexityMost,
    Measure::ResponseTokens,
    Measure::Accuracy,
    Measure::Brier,
    Measure::CalibrationError,
    Measure::CrossEntropy,
    Measure::EstimatedAccuracy,
    Measure::EstimatedAccuracyLeast,
    Measure::EstimatedAccuracyMost,
    Measure::LabelShift,
    Measure::LabelShiftCondition,
    Measure::Labelled,
    Measure::SegmentInformation,
    Measure::UnknownLabels,
];

impl Serialize for Measure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.serialize_str(self.name());
        }
        let code = CODES.iter().position(|measure| measure == self);
        let code = code.expect("every measure has a code, as a test says");
        serializer.serialize_u32(code as u32)
    }
}

impl<'de> Deserialize<'de> for Measure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let name = String::deserialize(deserializer)?;
            return Self::from_name(&name).ok_or_else(|| D::Error::custom("no such measure"));
        }
        let code = u32::deserialize(deserializer)?;
        let found = CODES.get(code as usize).copied();
        found.ok_or_else(|| D::Error::custom("a measure of a later build"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_has_one_code() {
        let mut coded = CODES.to_vec();
        coded.sort();
        assert_eq!(coded, Measure::ALL);
        for measure in Measure::ALL {
            let bytes = postcard::to_stdvec(measure).unwrap();
            assert_eq!(postcard::from_bytes::<Measure>(&bytes), Ok(*measure));
            let json = serde_json::to_string(measure).unwrap();
            assert_eq!(json, format!("{:?}", measure.name()));
            assert_eq!(serde_json::from_str::<Measure>(&json).unwrap(), *measure);
        }
    }

    /// The numbers of the first table, in which they were a measure's place: stored baselines have
    /// them.
    #[test]
    fn codes_stay_what_they_were() {
        for (code, name) in [(0, "confidence"), (3, "entropy"), (14, "kl"), (27, "tv")] {
            let measure: Measure = postcard::from_bytes(&[code]).unwrap();
            assert_eq!(measure.name(), name);
        }
        assert!(postcard::from_bytes::<Measure>(&[127]).is_err());
    }
}
