//! What a window says, held to `tests/reference`, at the tolerances stated there.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;

use super::measures::{Estimator, Measure, Reference, contributions, estimated_priors, measures};
use super::segments::decomposition;
use crate::observation::Nature;
use crate::summary::{Label, Summary};

/// A record of the synthetic multiclass set, with its true class.
type Record = ([f64; 3], usize);

/// Records of part 0 (reference) and part 1 (analysis).
fn parts() -> [Vec<Record>; 2] {
    let packed = include_bytes!("../../tests/reference/input_mc.csv.gz");
    let mut text = String::new();
    GzDecoder::new(&packed[..])
        .read_to_string(&mut text)
        .unwrap();
    let mut parts = [Vec::new(), Vec::new()];
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let mut p = [0, 1, 2].map(|k| fields[k + 1].parse().unwrap());
        crate::information::distribution::probabilities(&mut p).unwrap();
        parts[fields[0].parse::<usize>().unwrap()].push((p, fields[5].parse().unwrap()));
    }
    parts
}

fn summary(records: &[Record]) -> Summary {
    let mut summary = Summary::new(3);
    for (p, label) in records {
        summary.add(p, 0);
        summary.add_label(p, Label::Class(*label));
    }
    summary
}

/// A table of numbers: the part, then values by column.
fn table(text: &str) -> Vec<(usize, BTreeMap<&str, f64>)> {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let row = |fields: Vec<&str>| {
        let part = usize::from(fields[0] == "analysis");
        let values = fields.iter().map(|value| value.parse().unwrap_or(f64::NAN));
        (part, names.iter().copied().zip(values).collect())
    };
    lines.map(row).collect()
}

#[track_caller]
fn agrees(name: &str, value: f64, expected: f64, tolerance: f64) {
    assert!(
        (value - expected).abs() <= tolerance,
        "{name}: {value}, not {expected}"
    );
}

/// Relative or absolute, whichever is wider.
fn exact(expected: f64) -> f64 {
    (expected.abs() * 1e-9).max(1e-12)
}

/// `late` and those of the model as a whole are not of a summary; nothing here has tags.
const NOT_OF_THESE: [Measure; 5] = [
    Measure::Late,
    Measure::LostRecords,
    Measure::RejectedShare,
    Measure::SegmentInformation,
    Measure::Silence,
];

#[test]
fn measures_agree_with_the_reference() {
    let parts = parts();
    let baseline = summary(&parts[0]);
    let reference = Reference::new(&baseline);
    let estimator = Estimator::new(&baseline).unwrap();
    let golden = table(include_str!("../../tests/reference/measures_mc.csv"));
    assert_eq!(golden.len(), 20);
    for (part, golden) in golden {
        let records = &parts[part][golden["window"] as usize * 6000..][..6000];
        let window = summary(records);
        let values = measures(&window, Some(&reference));
        for &measure in Measure::ALL {
            let Some(value) = values.get(measure) else {
                let is_of_classes = measure.lacking(Nature::Distribution).is_none();
                let absent = NOT_OF_THESE.contains(&measure) || !is_of_classes;
                assert!(absent, "{measure:?} is absent");
                continue;
            };
            let (expected, tolerance) = expected(measure, &golden);
            agrees(measure.name(), value, expected, tolerance);
        }
        for (class, &bits) in contributions(&window, &reference).iter().enumerate() {
            let expected = golden[format!("kl_class_{class}").as_str()];
            agrees("class", bits, expected, exact(expected));
        }
        let priors = estimated_priors(&window, &reference).unwrap();
        for (class, &prior) in priors.window.iter().enumerate() {
            agrees(
                "prior",
                prior,
                golden[format!("prior_{class}").as_str()],
                1e-6,
            );
        }
        let estimate = estimator.estimate(&window).unwrap();
        for (name, estimate) in [
            ("confidence", estimate.calibrated),
            ("difference", estimate.difference),
            ("atc_confidence", estimate.thresholded_confidence),
            ("atc_entropy", estimate.thresholded_entropy),
        ] {
            agrees(
                name,
                estimate,
                golden[format!("estimated_{name}").as_str()],
                0.01,
            );
        }
    }
}

/// What a measure should be by a row of the reference, and by how much it may be off.
fn expected(measure: Measure, golden: &BTreeMap<&str, f64>) -> (f64, f64) {
    let mut estimates = golden
        .iter()
        .filter(|(name, _)| name.starts_with("estimated_"))
        .map(|(_, &estimate)| estimate)
        .collect::<Vec<_>>();
    estimates.sort_by(f64::total_cmp);
    match measure {
        Measure::EntropyShift => (golden["entropy_shift_exact"], 0.01),
        Measure::EntropyP50 | Measure::EntropyP95 | Measure::EntropyP99 => {
            let exact = golden[format!("{}_exact", measure.name()).as_str()];
            (exact, (exact * 0.01).max(0.001))
        }
        Measure::EstimatedAccuracyLeast => (estimates[0], 0.01),
        Measure::EstimatedAccuracy => ((estimates[1] + estimates[2]) / 2.0, 0.01),
        Measure::EstimatedAccuracyMost => (estimates[3], 0.01),
        Measure::LabelShiftCondition => (golden["prior_condition"], 1e-6),
        Measure::LabelShift => {
            let priors = [0, 1, 2].map(|k| golden[format!("prior_{k}").as_str()].max(0.0));
            let sum: f64 = priors.iter().sum();
            let off = priors.iter().zip(PRIORS).map(|(p, q)| (p / sum - q).abs());
            (off.sum::<f64>() / 2.0, 1e-6)
        }
        Measure::Labelled => (6000.0, 0.0),
        Measure::UnknownLabels => (0.0, 0.0),
        _ => (golden[measure.name()], exact(golden[measure.name()])),
    }
}

/// True classes among the 60,000 rows of part 0, counted with awk.
const PRIORS: [f64; 3] = [
    19_961.0 / 60_000.0,
    20_103.0 / 60_000.0,
    19_936.0 / 60_000.0,
];

/// H(Y) and its parts over each 60,000 rows, with the segment (row / 6000) mod 3.
#[test]
fn the_decomposition_by_segments_agrees_with_the_reference() {
    let parts = parts();
    let text = include_str!("../../tests/reference/segment_decomposition_mc.csv");
    let golden = table(text);
    assert_eq!(golden.len(), 2);
    for (part, golden) in golden {
        let mut whole = Summary::new(3);
        for (row, (p, _)) in parts[part].iter().enumerate() {
            whole.add(p, 0);
            let value = ["a", "b", "c"][row / 6000 % 3];
            whole.add_tags(p, [("s", value)].into_iter());
        }
        let found = decomposition(&whole, "s").unwrap();
        let information = found.segment_information + found.information_given_segment;
        for (name, value) in [
            ("marginal_entropy", found.marginal_entropy),
            (
                "marginal_entropy_given_segment",
                found.marginal_entropy_given_segment,
            ),
            ("segment_information", found.segment_information),
            ("entropy", found.entropy),
            ("information", information),
            ("information_given_segment", found.information_given_segment),
        ] {
            agrees(name, value, golden[name], 1e-9);
        }
        let measured = measures(&whole, None).get(Measure::SegmentInformation);
        assert_eq!(measured, Some(found.segment_information));
    }
}
