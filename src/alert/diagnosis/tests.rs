use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::baseline::learner::Learner;
use crate::baseline::{Source, Spread};
use crate::observation::StreamKey;
use crate::window::WindowSpec;
use crate::window::measures::{Measures, measures};

const PANE_MS: i64 = 10 * 60 * 1000;

/// 200 panes of `pane`, over a day and more; windows of two.
fn yardstick(pane: &[[f64; 3]]) -> Yardstick {
    let window = WindowSpec::Time {
        length_ms: 2 * PANE_MS,
        slide_ms: PANE_MS,
    };
    let mut learner = Learner::new(window, None);
    let classes = ["a", "b", "c"].map(str::to_owned);
    for at in 0..200 {
        learner.add_pane(
            &StreamKey::whole(),
            &classes,
            at * PANE_MS,
            &summary(pane, at * PANE_MS),
        );
    }
    let baseline = learner.finish("b", "m", Source::Learnt, 0).unwrap();
    Yardstick::new(&Arc::new(baseline), &StreamKey::whole(), &classes, 1).unwrap()
}

fn summary(records: &[[f64; 3]], time_ms: i64) -> Summary {
    let mut summary = Summary::new(3);
    records.iter().for_each(|p| {
        summary.add(p, time_ms);
    });
    summary
}

/// 100 records of which each class has so many, each as sure of its own.
fn shares(counts: [usize; 3], sure: f64) -> Vec<[f64; 3]> {
    let rest = (1.0 - sure) / 2.0;
    let of = |class: usize| {
        let mut p = [rest; 3];
        p[class] = sure;
        std::iter::repeat_n(p, counts[class])
    };
    (0..3).flat_map(of).collect()
}

fn said(
    window: &[[f64; 3]],
    yardstick: &Yardstick,
    change: impl FnOnce(&mut Facts<'_>),
) -> Diagnosis {
    let window = summary(window, 0);
    let values: Measures = measures(&window, Some(&yardstick.reference));
    let mut facts = Facts {
        stream: &StreamKey::whole(),
        measures: &values,
        yardstick: Some(yardstick),
        classes: &class_shifts(&window, yardstick),
        length_ms: None,
        rejections: &[],
        segments: &[],
        ensemble: None,
        estimated_accuracy: None,
        channel: None,
    };
    change(&mut facts);
    diagnose(&facts)
}

/// Of two hundred windows, with this standard deviation.
fn reading(before: f64, now: f64, sd: f64) -> Reading {
    let spread = Spread {
        windows: 200,
        mean: before,
        sd,
    };
    Reading {
        before,
        now,
        spread: Some(spread),
    }
}

/// expected_entropy and disagreement of the reference's five networks, on clean digits and on
/// changed ones (ensemble_decomposition.csv); beside them, members that agree on noise.
#[test]
fn members_tell_unknown_inputs_from_noise() {
    let baseline = yardstick(&shares([50, 30, 20], 0.95));
    let unsure = shares([50, 30, 20], 0.7).repeat(10);
    let cause = |expected, disagreement| {
        let ensemble = Ensemble {
            expected_entropy: reading(0.2250, expected, 0.01),
            disagreement: reading(0.0297, disagreement, 0.003),
        };
        let said = said(&unsure, &baseline, |facts| facts.ensemble = Some(ensemble));
        said.cause.unwrap()
    };
    for (expected, disagreement) in [
        (0.3858, 0.1249),
        (0.5021, 0.3576),
        (1.0167, 0.2069),
        (0.7871, 0.6312),
    ] {
        assert_eq!(cause(expected, disagreement), Cause::UnknownInputs);
    }
    assert_eq!(cause(0.8, 0.0297), Cause::NoisyInputs);
    assert_eq!(cause(0.8, 0.0410), Cause::NoisyInputs);
    // 0.06 of 0.635 more is less than the usual 0.0297 of 0.2547, and more than half of it.
    assert_eq!(cause(0.8, 0.0897), Cause::LessCertain);
}

#[test]
fn members_that_disagree_are_told_where_mean_entropy_stands_still() {
    let baseline = yardstick(&shares([50, 30, 20], 0.95));
    let ensemble = Ensemble {
        expected_entropy: reading(0.2, 0.15, 0.02),
        disagreement: reading(0.03, 0.08, 0.003),
    };
    let same = shares([50, 30, 20], 0.95);
    let said = said(&same, &baseline, |facts| facts.ensemble = Some(ensemble));
    assert_eq!(said.cause, Some(Cause::UnknownInputs));
    assert!(
        said.summary.contains("disagreement 0.03 → 0.08 bits"),
        "{said:?}"
    );
}

#[test]
fn the_sentence_has_the_numbers() {
    let baseline = yardstick(&shares([50, 30, 20], 1.0));
    let moved = shares([20, 60, 20], 1.0).repeat(10);
    let said = said(&moved, &baseline, |facts| {
        facts.estimated_accuracy = Some((0.6, 0.75));
    });
    assert_eq!(said.cause, Some(Cause::NewClassMix));
    // By hand: noise (0.5 + 0.7 + 0.8) / (2 ln 2) (1/1,000 + 1/20,000) = 0.00151;
    // 0.6 log2(0.6/0.3) - 0.3/ln 2 = 0.167 and 0.2 log2(0.2/0.5) + 0.3/ln 2 = 0.168 bits.
    assert!(
        said.summary.contains(
            "bits, noise 0.00151): a 50 % → 20 % (0.168 bits), b 30 % → 60 % (0.167 bits)"
        ),
        "{}",
        said.summary
    );
    assert!(
        said.summary.ends_with("estimated accuracy 60 % to 75 %"),
        "{}",
        said.summary
    );
}

#[test]
fn a_class_within_noise_is_not_named() {
    let baseline = yardstick(&shares([50, 30, 20], 1.0));
    let moved = shares([36, 44, 20], 1.0).repeat(4);
    let said = said(&moved, &baseline, |_| {});
    assert!(said.summary.contains("b 30 % → 44 %"), "{}", said.summary);
    assert!(!said.summary.contains("c 20 %"), "{}", said.summary);
}

/// Nine parts of ten of the window are stuck; the rest is as before. By hand: 0.3 · 0.95 +
/// 0.7 · 0.025 = 0.3025, and 0.9 · 0.999 + 0.1 · 0.3025 = 0.929.
#[test]
fn a_collapse_is_told_while_the_window_still_holds_what_was_before() {
    let baseline = yardstick(&shares([50, 30, 20], 0.95));
    let mut window = shares([0, 900, 0], 0.999);
    window.extend(shares([50, 30, 20], 0.95));
    let said = said(&window, &baseline, |_| {});
    assert_eq!(said.cause, Some(Cause::OneAnswer));
    assert!(
        said.summary
            .contains("says b to almost everybody (30.2 % → 92.9 %)"),
        "{}",
        said.summary
    );
    assert!(
        said.summary.contains("depend less on the inputs"),
        "{}",
        said.summary
    );
}

#[test]
fn without_a_baseline_that_is_said_and_refusals_are_still_told() {
    let baseline = yardstick(&shares([50, 30, 20], 1.0));
    let window = shares([50, 30, 20], 1.0);
    let none = said(&window, &baseline, |facts| facts.yardstick = None);
    assert_eq!(none.cause, Some(Cause::NoBaseline));
    let mut values = Measures::default();
    values.insert(Measure::RejectedShare, 0.6);
    let refusals = [
        (crate::observation::Reason::SumOff, 10),
        (crate::observation::Reason::ClassMismatch, 50),
    ];
    let refused = diagnose(&Facts {
        stream: &StreamKey::whole(),
        measures: &values,
        yardstick: None,
        classes: &[],
        length_ms: None,
        rejections: &refusals,
        segments: &[],
        ensemble: None,
        estimated_accuracy: None,
        channel: None,
    });
    assert_eq!(refused.cause, Some(Cause::ProducerChanged));
    assert_eq!(
        refused.summary,
        "the producer changed: 60 % of the records are refused; they are over other classes (50 of 60 \
         refused records: class_mismatch)"
    );
}

#[test]
fn a_budget_that_is_spent_on_many_small_windows_says_so() {
    let baseline = yardstick(&shares([50, 30, 20], 0.9));
    let said = said(&shares([50, 30, 20], 0.9), &baseline, |facts| {
        facts.channel = Some("entropy up");
    });
    assert_eq!(said.cause, Some(Cause::WithinNoise));
    assert!(
        said.summary
            .contains("the evidence (entropy up) has gathered"),
        "{}",
        said.summary
    );
}

#[test]
fn a_program_reads_the_cause() {
    let said = Diagnosis {
        summary: "s".into(),
        cause: Some(Cause::NewClassMix),
        classes: Vec::new(),
    };
    let json = serde_json::to_string(&said).unwrap();
    assert_eq!(json, r#"{"summary":"s","cause":"new_class_mix"}"#);
}

#[test]
fn few_windows_say_less() {
    let moved = reading(1.0, 1.06, 0.01);
    assert!(chance::is_clear(&moved));
    let few = |windows, sd| Reading {
        spread: Some(Spread {
            windows,
            mean: 1.0,
            sd,
        }),
        ..moved
    };
    assert!(!chance::is_clear(&few(5, 0.01)));
    assert!(chance::is_clear(&few(5, 0.007)));
    assert!(!chance::is_clear(&few(1, 0.0)));
}

#[test]
fn numbers_have_three_significant_digits() {
    let cases = [
        (0.0, "0"),
        (0.71, "0.71"),
        (0.000_412_34, "0.000412"),
        (12.345, "12.3"),
        (4812.0, "4812"),
        (1e-9, "1.0e-9"),
        (-0.25, "-0.25"),
        (1.0, "1"),
    ];
    for (value, text) in cases {
        assert_eq!(number(value), text);
    }
}

fn any_records(classes: usize) -> impl Strategy<Value = Vec<Vec<f64>>> {
    let weights = prop::collection::vec(prop_oneof![Just(0.0), 0.0..1e-9, 0.0..1.0], classes);
    let record = weights.prop_map(|mut record| {
        record[0] += 1e-3;
        let total: f64 = record.iter().sum();
        record.iter_mut().for_each(|p| *p /= total);
        record
    });
    prop::collection::vec(record, 1..40)
}

proptest! {
    /// One class, classes without mass, outputs without variance, a baseline of one window or none:
    /// whatever there is, something is said, and with numbers.
    #[test]
    fn every_window_has_a_diagnosis(
        (window, baseline) in (1..5_usize).prop_flat_map(|k| (any_records(k), any_records(k))),
        windows in 0..4_i64,
    ) {
        let summary = |records: &[Vec<f64>], time_ms| {
            let mut summary = Summary::new(records[0].len());
            records.iter().for_each(|p| { summary.add(p, time_ms); });
            summary
        };
        let mut learner = Learner::new(WindowSpec::Time { length_ms: 10, slide_ms: 5 }, None);
        let classes: Vec<String> = (0..window[0].len()).map(|k| k.to_string()).collect();
        for at in 0..=windows {
            learner.add_pane(&StreamKey::whole(), &classes, at * 10, &summary(&baseline, at * 10));
        }
        let baseline = learner.finish("b", "m", Source::Learnt, 0).unwrap();
        let whole = StreamKey::whole();
        let yardstick = Yardstick::new(&Arc::new(baseline), &whole, &classes, 1).unwrap();
        let window = summary(&window, 0);
        let said = diagnose(&Facts {
            stream: &whole,
            measures: &measures(&window, Some(&yardstick.reference)),
            yardstick: Some(&yardstick),
            classes: &class_shifts(&window, &yardstick),
            length_ms: Some(10),
            rejections: &[],
            segments: &[],
            ensemble: None,
            estimated_accuracy: None,
            channel: None,
        });
        let numbers = !said.summary.contains("NaN") && !said.summary.contains("inf ");
        prop_assert!(numbers, "{}", said.summary);
        let same = yardstick.summary();
        let said = diagnose(&Facts {
            stream: &whole,
            measures: &measures(same, Some(&yardstick.reference)),
            yardstick: Some(&yardstick),
            classes: &class_shifts(same, &yardstick),
            length_ms: None,
            rejections: &[],
            segments: &[],
            ensemble: None,
            estimated_accuracy: None,
            channel: None,
        });
        prop_assert_eq!(said.cause, Some(Cause::WithinNoise));
    }
}
