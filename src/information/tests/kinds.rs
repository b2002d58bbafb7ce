//! Ensembles against `tests/reference`; independent labels and parts of a distribution by hand.

use super::super::{ensemble, multilabel, top_k};
use super::*;

/// Golden records of five members: as many of each record's members as there are, and what they give.
fn golden(text: &str) -> Vec<(Vec<Vec<f64>>, [f64; 3])> {
    let all: Value = serde_json::from_str(text).unwrap();
    let members = all["probs_member_record_class"].as_array().unwrap();
    let column = |name: &str| floats(&all[name]);
    let (pe, ee, bald) = (column("PE"), column("EE"), column("BALD"));
    let record = |i: usize| {
        let rows = members.iter().map(|member| floats(&member[i])).collect();
        (rows, [pe[i], ee[i], bald[i]])
    };
    (0..pe.len()).map(record).collect()
}

fn clean() -> Vec<(Vec<Vec<f64>>, [f64; 3])> {
    golden(include_str!(
        "../../../tests/reference/ensemble_records_clean.json"
    ))
}

fn nonsense() -> Vec<(Vec<Vec<f64>>, [f64; 3])> {
    golden(include_str!(
        "../../../tests/reference/ensemble_records_ood_uniform.json"
    ))
}

#[test]
fn ensembles_agree_with_the_reference() {
    for records in [clean(), nonsense()] {
        assert_eq!(records.len(), 20);
        for (members, [total, expected, disagreement]) in records {
            let mut values = members.concat();
            let expected_bits = ensemble::pool(&mut values, members.len()).unwrap();
            let bits = entropy(&values);
            // The file's results are of unrounded probabilities, which it has to ten decimals:
            // plain Python is up to 1.5e-9 off them as well.
            near(bits * LN_2, total, 1.5e-9);
            near(expected_bits * LN_2, expected, 1.5e-9);
            near((bits - expected_bits) * LN_2, disagreement, 1e-9);
        }
    }
}

/// Over whole sets, what is not known grows from clean digits over noise to nonsense; and so it does
/// between the records of the first and of the last.
#[test]
fn disagreement_tells_nonsense_from_noise() {
    let text = include_str!("../../../tests/reference/ensemble_decomposition.csv");
    let row = |line: &str| -> [f64; 3] {
        let fields: Vec<&str> = line.split(',').collect();
        [4, 5, 6].map(|column| fields[column].parse().unwrap())
    };
    let sets: Vec<[f64; 3]> = text.lines().skip(1).map(row).collect();
    assert_eq!(sets.len(), 5);
    for [total, expected, disagreement] in &sets {
        near(expected + disagreement, *total, 1e-9);
    }
    let share = |records: Vec<(Vec<Vec<f64>>, [f64; 3])>| {
        let (mut total, mut expected) = (0.0, 0.0);
        for (members, _) in records {
            let mut values = members.concat();
            expected += ensemble::pool(&mut values, members.len()).unwrap();
            total += entropy(&values);
        }
        (total - expected) / total
    };
    let (first, last) = (sets[0], sets[4]);
    near(share(clean()), first[2] / first[0], 0.1);
    near(share(nonsense()), last[2] / last[0], 0.1);
}

#[test]
fn the_first_member_that_is_no_distribution_is_named() {
    let pool = |mut values: Vec<f64>, members| ensemble::pool(&mut values, members);
    let off = Invalid::SumOff { sum: 1.5 };
    assert_eq!(pool(vec![0.5, 0.5, 1.0, 0.5], 2), Err((1, off)));
    assert_eq!(pool(vec![], 3), Err((0, Invalid::Empty)));
    // One sure of each: all of the bit is disagreement.
    let mut values = vec![1.0, 0.0, 0.0, 1.0];
    assert_eq!(ensemble::pool(&mut values, 2), Ok(0.0));
    assert_eq!(values, [0.5, 0.5]);
}

/// By arithmetic in Python, label by label.
#[test]
fn independent_labels_by_hand() {
    let (p, q) = ([0.7, 0.1], [0.40625, 0.4]);
    near(
        multilabel::entropy(&[0.9, 0.2]),
        1.190_923_688_476_643_5,
        1e-12,
    );
    near(multilabel::entropy(&p), 1.350_286_492_819_973_8, 1e-12);
    near(multilabel::tv(&p, &q), 0.593_75, 1e-12);
    near(multilabel::linf(&p, &q), 0.3, 1e-12);
    assert_eq!(multilabel::confidence(&[0.9, 0.5, 0.0, 0.25]), 0.7875);
    // (1.5 + 0.25) / (4 + 0.5), and with half a count for and against: (1 + 0.5) / (4 + 1).
    near(
        multilabel::smooth_probabilities(&[1.5], 4.0)[0],
        1.75 / 4.5,
        1e-15,
    );
    near(multilabel::smooth_counts(&[1.0], 4.0)[0], 0.3, 1e-15);
}

#[test]
fn labels_are_probabilities_each() {
    let of = |mut values: Vec<f64>| multilabel::probabilities(&mut values).map(|()| values);
    assert_eq!(of(vec![1.0 + 1e-7, -1e-7, 0.9]), Ok(vec![1.0, 0.0, 0.9]));
    assert_eq!(of(vec![]), Err(Invalid::Empty));
    let (index, value) = (1, 1.5);
    assert_eq!(
        of(vec![0.5, value]),
        Err(Invalid::LabelAboveOne { index, value })
    );
    let value = -0.5;
    assert_eq!(
        of(vec![0.5, value]),
        Err(Invalid::Negative { index, value })
    );
    assert!(matches!(
        of(vec![f64::NAN]),
        Err(Invalid::NotFinite { index: 0, .. })
    ));
}

/// Half and a quarter of ten tokens are known: the quarter left is on one token, or spread on eight.
/// 1.5 = ½·1 + ¼·2 + ¼·2 bits, and a quarter of log2 8 = 3 bits more.
#[test]
fn bounds_of_a_part_by_hand() {
    let of = |p: &[f64], vocabulary| {
        let mut logs: Vec<f64> = p.iter().map(|p| p.ln()).collect();
        top_k::bounds(&mut logs, vocabulary)
    };
    let bounds = of(&[0.5, 0.25], 10).unwrap();
    near(bounds.least_bits, 1.5, 1e-12);
    near(bounds.most_bits, 2.25, 1e-12);
    // All is known: there is nothing between the bounds.
    let whole = of(&[0.5, 0.25, 0.25], 3).unwrap();
    near(whole.least_bits, 1.5, 1e-12);
    assert_eq!(whole.least_bits, whole.most_bits);
    // Rounded above 1.
    let above = of(&[0.75, 0.2505], 10).unwrap();
    assert_eq!(above.least_bits, above.most_bits);
    assert_eq!(of(&[], 10), Err(Invalid::Empty));
    assert!(matches!(of(&[0.5, 0.75], 10), Err(Invalid::SumOff { .. })));
    assert!(matches!(of(&[0.5, 0.25], 2), Err(Invalid::SumOff { .. })));
    assert!(matches!(
        of(&[f64::INFINITY], 10),
        Err(Invalid::NotFinite { .. })
    ));
    assert!(matches!(
        top_k::bounds(&mut [1e9], 10),
        Err(Invalid::SumOff { .. })
    ));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn labels_have_the_same_bits_at_every_width() {
    let mut random = fastrand::Rng::with_seed(12);
    for labels in [1, 7, 8, 9, 100] {
        let p: Vec<f64> = (0..labels).map(|_| random.f64()).collect();
        let all = super::super::vector::forced::with_each(|| multilabel::entropy(&p).to_bits());
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{labels}");
    }
}

fn any_labels() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    let p = || prop_oneof![Just(0.0), Just(1.0), 0.0..1e-9, 0.0..1.0];
    (1..12_usize).prop_flat_map(move |labels| {
        (
            prop::collection::vec(p(), labels),
            prop::collection::vec(p(), labels),
        )
    })
}

proptest! {
    /// The mean is unsure of all that its members are unsure of, and no more than log2 M beyond.
    #[test]
    fn disagreement_lies_between_none_and_all(
        members in prop::collection::vec(distributions(4), 1..6),
    ) {
        let mut values = members.concat();
        let expected_bits = ensemble::pool(&mut values, members.len()).unwrap();
        prop_assert_eq!(values.len(), 4);
        prop_assert!((values.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let disagreement = entropy(&values) - expected_bits;
        let most = (members.len() as f64).log2().min(2.0);
        prop_assert!((-1e-9..=most + 1e-9).contains(&disagreement), "{disagreement}");
    }

    /// A single label is the binary distribution; several are their sum.
    #[test]
    fn labels_are_sums_of_binary_distributions((p, q) in any_labels()) {
        let each = |of: fn(&[f64], &[f64]) -> f64| -> f64 {
            p.iter().zip(&q).map(|(&p, &q)| of(&[1.0 - p, p], &[1.0 - q, q])).sum()
        };
        let entropies: f64 = p.iter().map(|&p| entropy(&[1.0 - p, p])).sum();
        near(multilabel::entropy(&p), entropies, 1e-9);
        near(multilabel::js(&p, &q), each(js), 1e-9);
        let smooth = multilabel::smooth_probabilities(&q, 1.0);
        let kl = multilabel::kl(&p, &smooth);
        prop_assert!(kl.is_finite() && kl >= 0.0);
        prop_assert!((0.0..=p.len() as f64 + 1e-9).contains(&multilabel::js(&p, &q)));
        prop_assert_eq!(multilabel::js(&p, &p), 0.0);
        prop_assert_eq!(multilabel::hellinger(&p, &p), 0.0);
        prop_assert!(multilabel::hellinger(&p, &q) <= (p.len() as f64).sqrt() + 1e-9);
    }

    /// Whatever the rest is, the entropy of the whole lies within the bounds of its part.
    #[test]
    fn the_whole_lies_within_the_bounds_of_a_part(p in distributions(8), known in 1..=8_usize) {
        let mut sorted = p.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let mut logs: Vec<f64> = sorted[..known].iter().map(|p| p.ln()).collect();
        let bounds = top_k::bounds(&mut logs, 8).unwrap();
        let whole = entropy(&p);
        prop_assert!(bounds.least_bits <= whole + 1e-9, "{bounds:?} {whole}");
        prop_assert!(whole <= bounds.most_bits + 1e-9, "{bounds:?} {whole}");
    }
}
