use std::io::Read as _;

use flate2::read::GzDecoder;

use super::detector::{Detector, Direction};
use super::fit::{Fit, block_length};
use super::log::{PaneLog, capacity};
use super::state::{Channel, Evidence, Reading, Watch};
use super::*;

const FIVE_MINUTES_MS: Millis = 5 * 60 * 1000;

/// More than any baseline here has panes: nothing is merged.
const ALL: usize = 1 << 20;

fn unpack(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

fn numbers(line: &str) -> Vec<f64> {
    line.split(',')
        .map(|field| field.parse().unwrap_or(f64::NAN))
        .collect()
}

/// Panes of a hundred rows of the synthetic multiclass set: of part 0, and of part 1.
fn panes_of_rows() -> [Vec<PaneSums>; 2] {
    let text = unpack(include_bytes!("../../tests/reference/input_mc.csv.gz"));
    let mut parts = [Vec::new(), Vec::new()];
    for line in text.lines().skip(1) {
        let row = numbers(line);
        parts[row[0] as usize].push(row[1..4].to_vec());
    }
    parts.map(|rows| {
        let pane = |rows: &[Vec<f64>]| {
            let mut summary = Summary::new(3);
            for row in rows {
                let mut p = row.clone();
                crate::information::distribution::probabilities(&mut p).unwrap();
                summary.add(&p, 0);
            }
            PaneSums::of(&summary).unwrap()
        };
        rows.chunks(100).map(pane).collect()
    })
}

/// Panes of 5 to 199 records over five classes with a mean that wanders; the second part's third class
/// becomes more likely half way. With what the reference made of them.
fn uneven_panes() -> ([Vec<PaneSums>; 2], Vec<[f64; 3]>) {
    let text = unpack(include_bytes!(
        "../../tests/reference/evidence_uneven.csv.gz"
    ));
    let (mut parts, mut golden) = ([Vec::new(), Vec::new()], Vec::new());
    for row in text.lines().skip(1).map(numbers) {
        parts[row[0] as usize].push(PaneSums {
            records: row[1],
            sums: row[2..8].to_vec(),
            squares: row[8..14].to_vec(),
        });
        if row[0] == 1.0 {
            golden.push([row[14], row[15], row[16]]);
        }
    }
    (parts, golden)
}

fn fit(panes: &[PaneSums], season: Option<Season>, units: usize) -> (Fit, PaneSums) {
    let (mut log, mut total) = (PaneLog::new(season), PaneSums::default());
    let mut start_ms = 0;
    for pane in panes {
        log.add(start_ms, pane.clone(), units);
        total.add(pane);
        start_ms += FIVE_MINUTES_MS;
    }
    assert!(log.is_sound(total.sums.len()));
    (Fit::new(&log, &total, start_ms, 1).unwrap(), total)
}

fn detector(panes: &[PaneSums]) -> Detector {
    let (fit, total) = fit(panes, None, ALL);
    Detector::new(&fit, &total).unwrap()
}

/// Evidence after each pane.
fn run(detector: &Detector, watch: Watch, panes: &[PaneSums]) -> Vec<Reading> {
    let mut evidence = Evidence::new(detector);
    let starts = (0..).map(|i| i * FIVE_MINUTES_MS);
    let step = |(pane, start_ms)| {
        evidence.step(detector, watch, start_ms, pane);
        evidence.read(detector, watch).unwrap()
    };
    panes.iter().zip(starts).map(step).collect()
}

const FEATURES: Watch = Watch {
    entropy: true,
    classes: true,
    kl: false,
};
const KL: Watch = Watch {
    entropy: false,
    classes: false,
    kl: true,
};

fn agrees(detector: &Detector, panes: &[PaneSums], golden: &[[f64; 3]]) {
    let readings = [FEATURES, KL, Watch::ALL].map(|watch| run(detector, watch, panes));
    for (pane, golden) in golden.iter().enumerate() {
        for (readings, golden) in readings.iter().zip(golden) {
            let nats = readings[pane].nats;
            assert!(
                (nats - golden).abs() < 1e-6,
                "pane {pane}: {nats}, not {golden}"
            );
        }
    }
}

/// reference/evidence_path_mc.csv, which its README says crosses ln 8640 at pane 301; the change is at
/// pane 300.
#[test]
fn evidence_is_the_references_and_crosses_one_pane_after_the_change() {
    let [baseline, stream] = panes_of_rows();
    let detector = detector(&baseline);
    let text = include_str!("../../tests/reference/evidence_path_mc.csv");
    let golden: Vec<[f64; 3]> = (text.lines().skip(1).map(numbers))
        .map(|row| [row[1], row[2], row[3]])
        .collect();
    assert_eq!(golden.len(), 600);
    agrees(&detector, &stream, &golden);
    let readings = run(&detector, Watch::ALL, &stream);
    let crossed = readings.iter().position(|r| r.nats >= 8640_f64.ln());
    assert_eq!(crossed, Some(301));
    let reading = readings[310];
    assert_eq!(
        (reading.channel, reading.direction),
        (Channel::Entropy, Direction::Up)
    );
}

/// Computed by the reference (`run` of evidence.py, numpy 2 and scipy 1.17) on panes of unequal sizes:
/// with blocks of four lengths, and design effects up to 11.
#[test]
fn evidence_of_uneven_panes_is_the_references() {
    let ([baseline, stream], golden) = uneven_panes();
    agrees(&detector(&baseline), &stream, &golden);
}

/// The same baseline in a log of 768, 192 and 48 units: 2, 12 and 48 panes wide.
#[test]
fn a_log_that_merged_its_panes_fits_nearly_the_same() {
    let ([baseline, _], _) = uneven_panes();
    let (whole, _) = fit(&baseline, None, ALL);
    for units in [768, 192, 48] {
        let (merged, _) = fit(&baseline, None, units);
        let near = |a: f64, b: f64, within: f64| {
            assert!((a / b - 1.0).abs() < within, "{units} units: {a}, not {b}");
        };
        assert_eq!(merged.variances, whole.variances);
        // Batches are of other lengths, and of the longest there are only eight to fifteen.
        for (a, b) in merged.design_effects.iter().zip(&whole.design_effects) {
            near(*a, *b, 0.5);
        }
        assert_eq!(merged.blocks.len(), whole.blocks.len());
        for (a, b) in merged.blocks.iter().zip(&whole.blocks) {
            assert_eq!(a.panes, b.panes);
            near(a.records, b.records, 0.01);
            near(a.mean, b.mean, 0.05);
            near(a.shape, b.shape, 0.1);
            near(a.design_effect, b.design_effect, 0.5);
        }
    }
}

#[test]
fn the_order_of_partitions_does_not_matter_to_a_pane() {
    let [baseline, _] = panes_of_rows();
    let (mut one, mut other) = (baseline[0].clone(), baseline[1].clone());
    one.add(&baseline[1]);
    other.add(&baseline[0]);
    assert_eq!(one, other);
}

/// Each rule looks at its own channels alone, and their weights are those of what it looks at: with one
/// channel silent, half of the evidence is ln 2 less.
#[test]
fn weights_are_of_the_channels_that_are_watched() {
    let [baseline, stream] = panes_of_rows();
    let detector = detector(&baseline);
    let parts = [FEATURES, KL].map(|watch| run(&detector, watch, &stream[..20])[19].nats);
    let whole = run(&detector, Watch::ALL, &stream[..20])[19].nats;
    let expected = (parts[0].exp() / 2.0 + parts[1].exp() / 2.0).ln();
    assert!((whole - expected).abs() < 1e-12);
}

#[test]
fn evidence_begins_anew_after_an_alarm() {
    let [baseline, stream] = panes_of_rows();
    let detector = detector(&baseline);
    let mut evidence = Evidence::new(&detector);
    for pane in &stream[300..310] {
        evidence.step(&detector, Watch::ALL, 0, pane);
    }
    assert!(evidence.read(&detector, Watch::ALL).unwrap().nats > 8640_f64.ln());
    evidence.restart();
    assert_eq!(evidence.read(&detector, Watch::ALL), None);
    // What was in blocks that had not filled is not held against what comes: it has alarmed already.
    let mut fresh = Evidence::new(&detector);
    for pane in &stream[310..330] {
        evidence.step(&detector, Watch::ALL, 0, pane);
        fresh.step(&detector, Watch::ALL, 0, pane);
    }
    assert_eq!(evidence.read(&detector, KL), fresh.read(&detector, KL));
}

/// Days whose mean swings with the hour: without a season its buckets' means are off the whole's.
fn swinging_panes(days: usize) -> Vec<PaneSums> {
    let mut random = fastrand::Rng::with_seed(5);
    let pane = |at: usize| {
        let phase = at as f64 / 288.0 * std::f64::consts::TAU;
        let mut summary = Summary::new(2);
        for _ in 0..50 {
            let p = (0.3 + 0.15 * phase.sin() + 0.1 * (random.f64() - 0.5)).clamp(0.0, 1.0);
            summary.add(&[1.0 - p, p], 0);
        }
        PaneSums::of(&summary).unwrap()
    };
    (0..days * 288).map(pane).collect()
}

#[test]
fn a_season_has_means_of_its_own_by_the_hour_and_needs_three_cycles() {
    let panes = swinging_panes(6);
    let (plain, _) = fit(&panes, None, 768);
    let (daily, total) = fit(&panes, Some(Season::Daily), 768);
    // The swing is explained by the bucket, up to how it moves within three hours.
    assert!(daily.design_effects[2] < plain.design_effects[2] / 5.0);
    assert!(daily.variances[2] < plain.variances[2]);
    let buckets = daily.buckets.as_ref().unwrap();
    assert_eq!(buckets.len(), 8);
    // From 3 to 6 o'clock the sine is 0.7 to 1: its mean over that is (cos π/4 - cos π/2)/(π/4) = 0.9.
    let mean = buckets[1].sums[2] / buckets[1].records;
    assert!((mean - (0.3 + 0.15 * 0.9003)).abs() < 0.002, "{mean}");
    let (short, _) = fit(&panes[..2 * 288], Some(Season::Daily), 768);
    assert!(short.lacks_cycles() && !daily.lacks_cycles());

    // Night at noon: the whole's mean allows it, the bucket's does not.
    let seasonal = Detector::new(&daily, &total).unwrap();
    let pooled = Detector::new(&plain, &total).unwrap();
    let night = &panes[216..228];
    let noon = |detector: &Detector| {
        let mut evidence = Evidence::new(detector);
        for (pane, at) in night.iter().zip(72..) {
            evidence.step(detector, Watch::ALL, at * FIVE_MINUTES_MS, pane);
        }
        evidence.read(detector, Watch::ALL).unwrap().nats
    };
    assert!(noon(&seasonal) > 8640_f64.ln());
    assert!(noon(&pooled) < 8640_f64.ln());
}

#[test]
fn the_baselines_own_windows_are_calm_and_changed_ones_are_not() {
    let [baseline, stream] = panes_of_rows();
    let detector = detector(&baseline);
    let window = |panes: &[PaneSums]| {
        let mut window = PaneSums::default();
        panes.iter().for_each(|pane| window.add(pane));
        window
    };
    let calm = |panes: &[PaneSums]| {
        let window = window(panes);
        detector.is_calm(&window, &[(0, window.records)], Watch::ALL)
    };
    let windows = baseline.chunks(30).filter(|panes| calm(panes)).count();
    // 95 % of 20 are expected.
    assert!(windows >= 17, "{windows}");
    assert!(!calm(&stream[310..340]));
}

#[test]
fn a_log_keeps_no_more_than_its_capacity_however_long_it_is_fed() {
    let pane = PaneSums {
        records: 4.0,
        sums: vec![2.0, 3.0, 1.0],
        squares: vec![1.0, 2.0, 0.5],
    };
    let mut log = PaneLog::new(None);
    for at in 0..20_000 {
        log.add(at * 10_000, pane.clone(), 96);
        assert!(log.units.len() <= 96);
    }
    let panes: f64 = log.units.iter().map(|unit| unit.records / 4.0).sum();
    assert!(log.is_sound(3) && panes > 19_000.0, "{panes}");
    assert_eq!((capacity(1, 3), capacity(1000, 100)), (768, 24));
}

#[test]
fn one_class_and_no_records_have_nothing_to_bet_on() {
    let mut one = Summary::new(1);
    one.add(&[1.0], 0);
    assert_eq!(PaneSums::of(&one), None);
    assert_eq!(PaneSums::of(&Summary::new(3)), None);
}

#[test]
fn block_lengths_go_on_in_fours() {
    let lengths: Vec<u64> = (0..6).map(block_length).collect();
    assert_eq!(lengths, [1, 4, 12, 48, 192, 768]);
}

/// Panes of the baseline itself, drawn at random, each record's entropy a little greater: with the
/// smallest shift that is said to be found within 20 panes, half of 40 runs find it within 20.
#[test]
fn the_smallest_shift_is_found_in_the_panes_that_it_is_said_to_take() {
    let [baseline, _] = panes_of_rows();
    let detector = detector(&baseline);
    let entropy = Watch {
        entropy: true,
        classes: false,
        kl: false,
    };
    let line_nats = 8640_f64.ln();
    // The mixture of all channels gives the entropy up an eighth, where it alone has half.
    let alone = line_nats - 4_f64.ln();
    let shift = detector
        .smallest_shift(0, Direction::Up, 20, 100.0, line_nats, Watch::ALL)
        .unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    let mut found: Vec<usize> = Vec::new();
    for _ in 0..40 {
        let mut evidence = Evidence::new(&detector);
        let took = (1..).find(|_| {
            let mut pane = baseline[random.usize(..baseline.len())].clone();
            pane.squares[0] += 2.0 * shift * pane.sums[0] + pane.records * shift * shift;
            pane.sums[0] += pane.records * shift;
            evidence.step(&detector, entropy, 0, &pane);
            evidence.read(&detector, entropy).unwrap().nats >= alone
        });
        found.extend(took);
    }
    found.sort_unstable();
    assert!((14..=26).contains(&found[20]), "{found:?}");
    // A larger shift is found sooner, and none is found by a single record.
    let sooner = detector
        .smallest_shift(0, Direction::Up, 5, 100.0, line_nats, Watch::ALL)
        .unwrap();
    assert!(sooner > shift);
    assert_eq!(
        detector.smallest_shift(0, Direction::Up, 1, 1.0, line_nats, Watch::ALL),
        None
    );
}

/// Labels change one by one: the second goes from 20 to 50 %, and the blocks' kl is that of the binary
/// distributions: 0.5 ln 2.5 + 0.5 ln 0.625 = 0.2231 nats a record.
#[test]
fn labels_are_weighed_one_by_one() {
    let mut random = fastrand::Rng::with_seed(12);
    let mut pane = |second: f64| {
        let mut summary = Summary::new(3);
        for _ in 0..20 {
            let mut near = |p: f64| p + 0.1 * (random.f64() - 0.5);
            summary.add_multilabel(&[near(0.5), near(second), near(0.1)], 0);
        }
        PaneSums::of(&summary).unwrap()
    };
    let baseline: Vec<PaneSums> = (0..300).map(|_| pane(0.2)).collect();
    assert_eq!((baseline[0].sums.len(), baseline[0].squares.len()), (7, 4));
    let (fit, total) = fit(&baseline, None, ALL);
    assert_eq!(fit.classes, [0, 1, 2]);
    let detector = Detector::new(&fit, &total).unwrap();
    // While nothing changes, evidence is at most its number of panes in the mean.
    let calm = |_| {
        let panes: Vec<PaneSums> = (0..20).map(|_| pane(0.2)).collect();
        run(&detector, Watch::ALL, &panes)[19].nats.exp()
    };
    let calm: Vec<f64> = (0..100).map(calm).collect();
    assert!(calm.iter().sum::<f64>() / 100.0 < 20.0);
    let changed = pane(0.5);
    let nats = detector.block_kl(changed.records, changed.classes(), &[(0, changed.records)]);
    assert!((nats / 20.0 - 0.2231).abs() < 0.02, "{}", nats / 20.0);
    assert!(run(&detector, KL, std::slice::from_ref(&changed))[0].nats > 8640_f64.ln());
    let lasting = vec![changed; 6];
    assert!(run(&detector, FEATURES, &lasting)[5].nats > 8640_f64.ln());
}

/// Without classes there is the entropy alone.
#[test]
fn tokens_are_weighed_by_their_entropy() {
    let pane = |least_bits: f64| PaneSums {
        records: 20.0,
        sums: vec![20.0 * least_bits / 16.0],
        squares: vec![20.0 * (least_bits / 16.0).powi(2) * 1.01],
    };
    let baseline: Vec<PaneSums> = (0..300)
        .map(|i| pane(2.0 + 0.1 * f64::from(i % 7)))
        .collect();
    let detector = detector(&baseline);
    assert!(detector.blocks().is_empty());
    let stream: Vec<PaneSums> = (0..40)
        .map(|i| pane(if i < 20 { 2.3 } else { 6.0 }))
        .collect();
    let readings = run(&detector, Watch::ALL, &stream);
    assert!(readings[19].nats < 5.0, "{}", readings[19].nats);
    assert!(readings[39].nats > 8640_f64.ln(), "{}", readings[39].nats);
    assert_eq!(readings[39].channel, Channel::Entropy);
}
