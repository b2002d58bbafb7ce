//! The measures of a window: the table of names, and how each follows from a summary.

mod codes;
mod kinds;
mod label_shift;
mod labels;
mod of_labels;
mod values;

pub use kinds::Extent;
pub use label_shift::{Priors, estimated_priors};
pub use labels::{EstimatedAccuracy, Estimator};
pub use values::{Reference, contributions, measures};

use std::collections::BTreeMap;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use kinds::{bits, classes, most_surprise, one, one_a_label, root_of_labels, two, unbounded};

/// Declares the measures in one table, in order of name.
macro_rules! measures {
    ($($variant:ident $name:literal $unit:ident $needs:ident $most:expr;)*) => {
        /// A named number of a window.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Measure {
            $($variant,)*
        }

        impl Measure {
            /// In order of name.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub fn unit(self) -> &'static str {
                match self { $(Self::$variant => $unit,)* }
            }

            pub fn needs(self) -> Needs {
                match self { $(Self::$variant => Needs::$needs,)* }
            }

            /// The greatest value that it can have for records of this extent; none where there is
            /// no bound, or none without their size. The least is 0.
            pub fn greatest(self, extent: Extent) -> Option<f64> {
                let bounds: [(Self, fn(Extent) -> Option<f64>); Self::ALL.len()] =
                    [$((Self::$variant, $most),)*];
                bounds[self as usize].1(extent)
            }
        }
    };
}

const BITS: &str = "bits";
const SHARE: &str = "share";
const RECORDS: &str = "records";
const CLASSES: &str = "classes";
const TOKENS: &str = "tokens";
const SECONDS: &str = "seconds";
/// A distance that has no unit.
const NONE: &str = "";

/// What a measure needs beside the window itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Window,
    /// Labels of the window's records.
    Labels,
    /// Tags of the window's records.
    Tags,
    Baseline,
    /// Labels of the baseline's records.
    LabelledBaseline,
    /// Counts of the model as a whole.
    Model,
}

impl Needs {
    /// Whether a window alone gives it. A baseline then has a value of its own, and a spread.
    pub fn is_of_window(self) -> bool {
        matches!(self, Self::Window | Self::Labels | Self::Tags)
    }

    pub fn is_of_baseline(self) -> bool {
        matches!(self, Self::Baseline | Self::LabelledBaseline)
    }

    /// Whether the model's records have to have labels for it.
    pub fn is_of_labels(self) -> bool {
        matches!(self, Self::Labels | Self::LabelledBaseline)
    }
}

measures! {
    Accuracy "accuracy" SHARE Labels one;
    Brier "brier" NONE Labels two;
    CalibrationError "calibration_error" SHARE Labels one;
    Confidence "confidence" SHARE Window one;
    CrossEntropy "cross_entropy" BITS Labels most_surprise;
    CrossEntropyBaseline "cross_entropy_baseline" BITS Baseline unbounded;
    Disagreement "disagreement" BITS Window bits;
    EffectiveClasses "effective_classes" CLASSES Window classes;
    EnsembleEntropy "ensemble_entropy" BITS Window bits;
    Entropy "entropy" BITS Window bits;
    EntropyNormalized "entropy_normalized" SHARE Window one;
    EntropyP50 "entropy_p50" BITS Window bits;
    EntropyP95 "entropy_p95" BITS Window bits;
    EntropyP99 "entropy_p99" BITS Window bits;
    EntropyShift "entropy_shift" SHARE Baseline one;
    EstimatedAccuracy "estimated_accuracy" SHARE LabelledBaseline one;
    EstimatedAccuracyLeast "estimated_accuracy_least" SHARE LabelledBaseline one;
    EstimatedAccuracyMost "estimated_accuracy_most" SHARE LabelledBaseline one;
    ExpectedEntropy "expected_entropy" BITS Window bits;
    Hellinger "hellinger" NONE Baseline root_of_labels;
    Information "information" BITS Window bits;
    Jeffreys "jeffreys" BITS Baseline unbounded;
    Js "js" BITS Baseline one_a_label;
    JsDistance "js_distance" NONE Baseline root_of_labels;
    Kl "kl" BITS Baseline unbounded;
    KlNoise "kl_noise" BITS Baseline unbounded;
    KlReverse "kl_reverse" BITS Baseline unbounded;
    LabelKl "label_kl" BITS Baseline unbounded;
    LabelShift "label_shift" SHARE LabelledBaseline one;
    LabelShiftCondition "label_shift_condition" NONE LabelledBaseline unbounded;
    Labelled "labelled" RECORDS Labels unbounded;
    Late "late" RECORDS Window unbounded;
    Linf "linf" SHARE Baseline one;
    LostRecords "lost_records" RECORDS Model unbounded;
    Margin "margin" SHARE Window one;
    MarginalEntropy "marginal_entropy" BITS Window bits;
    Perplexity "perplexity" CLASSES Window classes;
    Records "records" RECORDS Window unbounded;
    RejectedShare "rejected_share" SHARE Model one;
    ResponseTokens "response_tokens" TOKENS Window unbounded;
    SegmentInformation "segment_information" BITS Tags bits;
    Silence "silence" SECONDS Model unbounded;
    TokenEntropy "token_entropy" BITS Window bits;
    TokenEntropyMost "token_entropy_most" BITS Window bits;
    TokenPerplexity "token_perplexity" TOKENS Window classes;
    TokenPerplexityMost "token_perplexity_most" TOKENS Window classes;
    Tv "tv" SHARE Baseline one_a_label;
    UnknownLabels "unknown_labels" RECORDS Labels unbounded;
}

impl Measure {
    /// The measure of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|measure| measure.name() == name)
    }
}

/// Measures that exist. All are finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Measures([Option<f64>; Measure::ALL.len()]);

impl Measures {
    pub fn get(&self, measure: Measure) -> Option<f64> {
        self.0[measure as usize]
    }

    /// A value that is not finite is left out.
    pub fn insert(&mut self, measure: Measure, value: f64) {
        self.0[measure as usize] = Some(value).filter(|value| value.is_finite());
    }

    /// In order of name.
    pub fn iter(&self) -> impl Iterator<Item = (Measure, f64)> {
        let all = Measure::ALL.iter().zip(self.0);
        all.filter_map(|(&measure, value)| Some((measure, value?)))
    }
}

impl Default for Measures {
    fn default() -> Self {
        Self([None; Measure::ALL.len()])
    }
}

impl FromIterator<(Measure, f64)> for Measures {
    fn from_iter<I: IntoIterator<Item = (Measure, f64)>>(all: I) -> Self {
        let mut measures = Self::default();
        for (measure, value) in all {
            measures.insert(measure, value);
        }
        measures
    }
}

impl<'de> Deserialize<'de> for Measures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let by_name = BTreeMap::<Measure, f64>::deserialize(deserializer)?;
        Ok(by_name.into_iter().collect())
    }
}

/// Counts of records as whole numbers, the rest as floats.
impl Serialize for Measures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.iter().count()))?;
        for (measure, value) in self.iter() {
            if measure.unit() == RECORDS {
                map.serialize_entry(measure.name(), &(value as u64))?;
            } else {
                map.serialize_entry(measure.name(), &value)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_of_name() {
        assert!(
            Measure::ALL
                .windows(2)
                .all(|pair| pair[0].name() < pair[1].name())
        );
        assert!(
            Measure::ALL
                .iter()
                .all(|&m| Measure::from_name(m.name()) == Some(m))
        );
        assert_eq!(Measure::from_name("entropies"), None);
    }

    #[test]
    fn counts_are_whole_numbers_in_json() {
        let measures: Measures = [(Measure::Records, 20.0), (Measure::Kl, 0.0)]
            .into_iter()
            .collect();
        assert_eq!(
            serde_json::to_string(&measures).unwrap(),
            r#"{"kl":0.0,"records":20}"#
        );
    }
}
