//! Which measures there are for which kind of records, and their bounds.
//!
//! | | distributions | ensembles | multilabel | top_k |
//! | --- | --- | --- | --- | --- |
//! | entropy, its quantiles and shift, records, late | yes | yes | up to K bits | lower bound, mean over a response's tokens |
//! | `entropy_normalized` | of log2 K | of log2 K | of K bits | of log2 V |
//! | `confidence`, `margin` | yes | yes | mean over labels of the binary ones | no |
//! | `marginal_entropy`, `information` | yes | yes | sums over labels | no |
//! | `effective_classes`, `perplexity` | yes | yes | no: there is no one answer to count | no |
//! | divergences, `kl_noise`, `cross_entropy_baseline` | yes | yes | sums over labels; distances are roots of sums of squares; `linf` the largest | no |
//! | `ensemble_entropy`, `expected_entropy`, `disagreement` | no | yes | no | no |
//! | `token_entropy…`, `token_perplexity…`, `response_tokens` | no | no | no | yes |

use super::Measure;
use crate::observation::Nature;

/// What bounds of measures follow from.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub nature: Nature,
    /// How many classes or labels there are, or tokens in the vocabulary; none where that is not
    /// known.
    pub size: Option<usize>,
}

impl Measure {
    /// Whether it is there for records of this nature.
    pub fn is_of(self, nature: Nature) -> bool {
        match self {
            Self::EnsembleEntropy | Self::ExpectedEntropy | Self::Disagreement => {
                nature == Nature::Ensemble
            }
            Self::TokenEntropy
            | Self::TokenEntropyMost
            | Self::TokenPerplexity
            | Self::TokenPerplexityMost
            | Self::ResponseTokens => nature == Nature::Response,
            Self::EffectiveClasses
            | Self::Perplexity
            | Self::Accuracy
            | Self::Brier
            | Self::CalibrationError
            | Self::CrossEntropy
            | Self::EstimatedAccuracy
            | Self::EstimatedAccuracyLeast
            | Self::EstimatedAccuracyMost
            | Self::LabelShift
            | Self::LabelShiftCondition
            | Self::Labelled
            | Self::SegmentInformation
            | Self::UnknownLabels => {
                matches!(nature, Nature::Distribution | Nature::Ensemble)
            }
            Self::Confidence
            | Self::CrossEntropyBaseline
            | Self::Hellinger
            | Self::Information
            | Self::Jeffreys
            | Self::Js
            | Self::JsDistance
            | Self::Kl
            | Self::KlNoise
            | Self::KlReverse
            | Self::LabelKl
            | Self::Linf
            | Self::Margin
            | Self::MarginalEntropy
            | Self::Tv => nature != Nature::Response,
            _ => true,
        }
    }

    /// Why a rule on it cannot be for records of this nature; none where it can.
    pub fn lacking(self, nature: Nature) -> Option<String> {
        if self.is_of(nature) {
            return None;
        }
        let name = self.name();
        let needed = [(Nature::Ensemble, "ensemble"), (Nature::Response, "top_k")];
        let only = |of: Nature| !self.is_of(Nature::Distribution) && self.is_of(of);
        Some(match needed.iter().find(|(of, _)| only(*of)) {
            Some((_, kind)) => format!("{name} needs kind = \"{kind}\""),
            None => {
                let kind = match nature {
                    Nature::Multilabel => "multilabel",
                    _ => "top_k",
                };
                format!("{name} does not exist for kind = \"{kind}\"")
            }
        })
    }
}

impl Extent {
    /// The largest entropy of a record, in bits.
    fn greatest_entropy(&self) -> Option<f64> {
        let size = self.size? as f64;
        Some(match self.nature {
            Nature::Multilabel => size,
            Nature::Distribution | Nature::Ensemble | Nature::Response => size.log2(),
        })
    }
}

// The bounds that the table of measures names.

pub(super) fn unbounded(_: Extent) -> Option<f64> {
    None
}

pub(super) fn one(_: Extent) -> Option<f64> {
    Some(1.0)
}

pub(super) fn two(_: Extent) -> Option<f64> {
    Some(2.0)
}

/// Of a label whose probability is taken as 1e-12.
pub(super) fn most_surprise(_: Extent) -> Option<f64> {
    Some(40.0)
}

pub(super) fn classes(extent: Extent) -> Option<f64> {
    extent.size.map(|size| size as f64)
}

pub(super) fn bits(extent: Extent) -> Option<f64> {
    extent.greatest_entropy()
}

/// At most 1 for one distribution, so at most K summed over labels.
pub(super) fn one_a_label(extent: Extent) -> Option<f64> {
    match extent.nature {
        Nature::Multilabel => classes(extent),
        _ => Some(1.0),
    }
}

/// The root of such a sum.
pub(super) fn root_of_labels(extent: Extent) -> Option<f64> {
    one_a_label(extent).map(f64::sqrt)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Needs;
    use super::super::{Measures, Reference, contributions, measures};
    use super::*;
    use crate::observation::{Form, Response};
    use crate::summary::Summary;

    fn labels(records: &[[f64; 2]]) -> Summary {
        let mut summary = Summary::new(2);
        records.iter().for_each(|p| {
            summary.add_multilabel(p, 0);
        });
        summary
    }

    #[track_caller]
    fn near(values: &Measures, expected: &[(Measure, f64)]) {
        for (measure, expected) in expected {
            let value = values.get(*measure).unwrap();
            let off = (value - expected).abs();
            assert!(off <= 1e-9, "{measure:?} {value}, not {expected}");
        }
    }

    /// Every number by arithmetic in Python (math.log2), label by label, from the definitions.
    #[test]
    fn labels_are_measured_by_hand() {
        let window = labels(&[[0.9, 0.2], [0.5, 0.0]]);
        let baseline = labels(&[[0.25, 0.1], [0.75, 0.6], [0.125, 0.8], [0.5, 0.1]]);
        let reference = Reference::new(&baseline);
        let values = measures(&window, Some(&reference));
        let expected = [
            (Measure::Entropy, 1.095_461_844_238_321_7),
            (Measure::EntropyNormalized, 0.547_730_922_119_160_9),
            (Measure::MarginalEntropy, 1.350_286_492_819_973_8),
            (Measure::Information, 0.254_824_648_581_652_1),
            (Measure::Confidence, 0.8),
            (Measure::Margin, 0.6),
            (Measure::Kl, 0.582_899_215_522_648),
            (Measure::KlReverse, 0.383_555_005_367_192_3),
            (Measure::Jeffreys, 0.966_454_220_889_840_3),
            (Measure::Js, 0.155_256_150_497_646_9),
            (Measure::JsDistance, 0.394_025_570_867_738_1),
            (Measure::Hellinger, 0.331_415_564_765_981_83),
            (Measure::Tv, 0.593_75),
            (Measure::Linf, 0.3),
            (Measure::CrossEntropyBaseline, 1.933_185_708_342_621_8),
            (Measure::LabelKl, 1.125_769_383_497_982_3),
            (Measure::KlNoise, 0.340_542_072_924_977_85),
        ];
        near(&values, &expected);
        assert_eq!(values.get(Measure::EffectiveClasses), None);
        let bits = contributions(&window, &reference);
        assert!(
            (bits[0] - 0.236_115_458_452_028_53).abs() < 1e-9,
            "{bits:?}"
        );
        assert!((bits[1] - 0.346_783_757_070_619_5).abs() < 1e-9, "{bits:?}");
    }

    /// One label is one binary distribution: whatever is there for both says the same.
    #[test]
    fn one_label_is_a_binary_distribution() {
        let p = [[0.1, 0.3, 0.6], [0.5, 0.9, 0.2]];
        let [label, binary] = [true, false].map(|label| {
            let [window, baseline] = p.map(|p| {
                let mut summary = Summary::new(if label { 1 } else { 2 });
                for p in p {
                    match label {
                        true => summary.add_multilabel(&[p], 0),
                        false => summary.add(&[1.0 - p, p], 0),
                    };
                }
                summary
            });
            measures(&window, Some(&Reference::new(&baseline)))
        });
        for (measure, value) in label.iter() {
            let other = binary.get(measure).unwrap();
            assert!((value - other).abs() < 1e-9, "{measure:?} {value} {other}");
        }
        assert_eq!(label.iter().count() + 2, binary.iter().count());
    }

    /// Two members that are sure of different classes, and two that agree on (1/2, 1/2): the mean is
    /// (1/2, 1/2) both times, with 1 bit.
    #[test]
    fn ensembles_are_split() {
        let mut window = Summary::new(2);
        window.add_ensemble(&[0.5, 0.5], 0.0, 0);
        window.add_ensemble(&[0.5, 0.5], 1.0, 0);
        let values = measures(&window, None);
        near(
            &values,
            &[
                (Measure::EnsembleEntropy, 1.0),
                (Measure::ExpectedEntropy, 0.5),
                (Measure::Disagreement, 0.5),
                (Measure::Entropy, 1.0),
            ],
        );
    }

    #[test]
    fn responses_have_bounds_and_no_divergence() {
        let mut window = Summary::new(0);
        let response = Response {
            tokens: 4,
            least_bits: 8.0,
            most_bits: 12.0,
            vocabulary: 1 << 16,
        };
        window.add_response(&response, 0);
        let values = measures(&window, Some(&Reference::new(&window)));
        near(
            &values,
            &[
                (Measure::Entropy, 2.0),
                (Measure::EntropyNormalized, 2.0 / 16.0),
                (Measure::TokenEntropy, 2.0),
                (Measure::TokenEntropyMost, 3.0),
                (Measure::TokenPerplexity, 4.0),
                (Measure::TokenPerplexityMost, 8.0),
                (Measure::ResponseTokens, 4.0),
                (Measure::EntropyShift, 0.0),
            ],
        );
        assert_eq!(values.get(Measure::Kl), None);
        assert!(contributions(&window, &Reference::new(&window)).is_empty());
    }

    #[test]
    fn windows_over_a_change_of_kind_are_only_counted() {
        let mut window = labels(&[[0.5, 0.5]]);
        window.add(&[0.5, 0.5], 0);
        let values = measures(&window, Some(&Reference::new(&window)));
        assert_eq!(values.iter().collect::<Vec<_>>(), [(Measure::Records, 2.0)]);
        // What is there of labels is not held against distributions.
        let mut distributions = Summary::new(2);
        distributions.add(&[0.5, 0.5], 0);
        let values = measures(
            &distributions,
            Some(&Reference::new(&labels(&[[0.5, 0.5]]))),
        );
        assert_eq!(values.get(Measure::Kl), None);
        assert_eq!(values.get(Measure::EntropyShift), None);
    }

    #[test]
    fn what_a_kind_lacks_is_said() {
        let said = |measure: Measure, nature| measure.lacking(nature);
        let needs = "disagreement needs kind = \"ensemble\"".to_owned();
        assert_eq!(said(Measure::Disagreement, Nature::Response), Some(needs));
        let needs = "token_entropy needs kind = \"top_k\"".to_owned();
        assert_eq!(
            said(Measure::TokenEntropy, Nature::Distribution),
            Some(needs)
        );
        let none = "kl does not exist for kind = \"top_k\"".to_owned();
        assert_eq!(said(Measure::Kl, Nature::Response), Some(none));
        let none = "perplexity does not exist for kind = \"multilabel\"".to_owned();
        assert_eq!(said(Measure::Perplexity, Nature::Multilabel), Some(none));
        assert_eq!(said(Measure::Kl, Nature::Ensemble), None);
    }

    fn record(nature: Nature, p: f64, more: f64) -> (Vec<f64>, Form) {
        match nature {
            Nature::Distribution => (vec![1.0 - p, p], Form::Distribution),
            Nature::Ensemble => {
                let bits = crate::information::entropy::entropy(&[1.0 - p, p]);
                let expected_bits = bits * more;
                (vec![1.0 - p, p], Form::Ensemble { expected_bits })
            }
            Nature::Multilabel => (vec![p, more], Form::Multilabel),
            Nature::Response => {
                let response = Response {
                    tokens: 3,
                    least_bits: 3.0 * p * more,
                    most_bits: 3.0 * p,
                    vocabulary: 2,
                };
                (Vec::new(), Form::Response(response))
            }
        }
    }

    proptest! {
        /// What a window of a kind has is what is said to be there, within the bounds that are said.
        #[test]
        fn measures_are_those_of_the_kind(
            records in prop::collection::vec((0.0..=1.0_f64, 0.0..=1.0_f64), 1..20),
            nature in prop::sample::select(vec![
                Nature::Distribution, Nature::Ensemble, Nature::Multilabel, Nature::Response,
            ]),
        ) {
            let mut window = Summary::new(if nature == Nature::Response { 0 } else { 2 });
            for (p, more) in records {
                let (numbers, form) = record(nature, p, more);
                window.add_observation(&numbers, &form, 0);
            }
            let values = measures(&window, Some(&Reference::new(&window)));
            let not_of_a_summary =
                [Measure::Late, Measure::LostRecords, Measure::RejectedShare, Measure::Silence];
            let expected: Vec<Measure> = Measure::ALL
                .iter()
                .copied()
                .filter(|m| m.is_of(nature) && !not_of_a_summary.contains(m))
                // These records have neither labels nor tags.
                .filter(|m| matches!(m.needs(), Needs::Window | Needs::Baseline))
                .collect();
            prop_assert_eq!(values.iter().map(|(m, _)| m).collect::<Vec<_>>(), expected);
            for (measure, value) in values.iter() {
                prop_assert!(value.is_finite() && value >= 0.0, "{measure:?} {value}");
                if let Some(most) = measure.greatest(Extent { nature, size: Some(2) }) {
                    prop_assert!(value <= most + 0.02, "{measure:?} {value} > {most}");
                }
            }
        }
    }
}
