//! Golden numbers from scipy (`tests/reference/unit_vectors.json`) and from arithmetic by hand, and
//! the laws that hold for every distribution.

use std::f64::consts::{LN_2, LOG2_E};

use proptest::prelude::*;
use serde_json::Value;

use super::distribution::{self, Invalid};
use super::divergence::*;
use super::entropy::{TopTwo, entropy, normalized, top_two};
use super::noise::{NoiseFloor, kl_noise};

mod kinds;

const VECTORS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/reference/unit_vectors.json"
));

fn vectors(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    all[part].as_array().unwrap().clone()
}

fn floats(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect()
}

/// A number of the file; it spells infinity as a string.
fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

#[track_caller]
fn near(got: f64, want: f64, tolerance: f64) {
    let off = (got - want).abs();
    assert!(
        got == want || off <= tolerance,
        "{got} is off {want} by {off:e}"
    );
}

#[test]
fn entropies_agree_with_scipy() {
    let units = vectors("units");
    assert_eq!(units.len(), 9);
    for unit in units {
        let classes = unit["K"].as_u64().unwrap() as usize;
        let p = match &unit["p"] {
            Value::String(text) if text == "uniform(1000)" => vec![1e-3; 1000],
            array => floats(array),
        };
        let h = entropy(&p);
        near(h, number(&unit["H_bits"]), 1e-12);
        near(h * LN_2, number(&unit["H_nats"]), 1e-12);
        near(
            normalized(h, (classes as f64).log2()),
            number(&unit["H_norm"]),
            1e-12,
        );
        near(top_two(&p).first, number(&unit["conf"]), 0.0);
    }
}

#[test]
fn divergences_agree_with_scipy() {
    let pairs = vectors("pairs");
    assert_eq!(pairs.len(), 12);
    for pair in pairs {
        let (p, q) = (floats(&pair["p"]), floats(&pair["q"]));
        let field = |name: &str| number(&pair[name]);
        near(kl(&p, &q), field("KL_pq") * LOG2_E, 1e-12);
        near(kl(&q, &p), field("KL_qp") * LOG2_E, 1e-12);
        near(kl(&p, &q) + kl(&q, &p), field("PSI") * LOG2_E, 2e-12);
        near(entropy(&p) + kl(&p, &q), field("CE_pq") * LOG2_E, 1e-12);
        near(js(&p, &q), field("JS_div_nats") * LOG2_E, 1e-12);
        near(js_distance(&p, &q), field("JS_dist_base2"), 1e-12);
        near(hellinger(&p, &q), field("hellinger"), 1e-12);
        near(tv(&p, &q), field("TV"), 1e-12);
        near(linf(&p, &q), field("Linf"), 1e-12);
        if !pair["kl_terms"].is_null() {
            let terms = floats(&pair["kl_terms"]);
            for (k, contribution) in contributions(&p, &q).enumerate() {
                near(contribution, (terms[k] - p[k] + q[k]) / LN_2, 1e-12);
            }
        }
    }
}

/// The test vector that the definition of the measures prints, to its six decimals (some
/// rounded, some cut off).
#[test]
fn the_published_test_vector() {
    let (base, window) = ([0.7, 0.2, 0.1], [0.5, 0.3, 0.2]);
    let printed = 1e-6;
    near(kl(&window, &base), 0.132775, printed);
    near(kl(&base, &window), 0.122806, printed);
    near(kl(&window, &base) + kl(&base, &window), 0.255581, printed);
    near(
        (kl(&window, &base) + kl(&base, &window)) * LN_2,
        0.177156,
        printed,
    );
    near(js(&window, &base), 0.031597, printed);
    near(js_distance(&window, &base), 0.177755, printed);
    near(hellinger(&window, &base), 0.148397, printed);
    near(tv(&window, &base), 0.2, 1e-15);
    near(linf(&window, &base), 0.2, 1e-15);
}

#[test]
fn entropy_of_certainty_is_a_positive_zero() {
    for p in [&[1.0][..], &[0.0, 1.0, 0.0], &[1.0 + 1e-15], &[]] {
        assert_eq!(entropy(p).to_bits(), 0.0f64.to_bits(), "{p:?}");
    }
    assert_eq!(normalized(0.0, 0.0), 0.0);
}

#[test]
fn top_two_of_ties_is_the_lowest_class() {
    let top = |class, first, second| TopTwo {
        class,
        first,
        second,
    };
    assert_eq!(top_two(&[0.2, 0.4, 0.4]), top(1, 0.4, 0.4));
    assert_eq!(top_two(&[0.5, 0.2, 0.3]), top(0, 0.5, 0.3));
    assert_eq!(top_two(&[0.2, 0.3, 0.5]), top(2, 0.5, 0.3));
    assert_eq!(top_two(&[1.0]), top(0, 1.0, 0.0));
    assert_eq!(top_two(&[]), top(0, 0.0, 0.0));
}

/// The two parts differ by -1.3e-17 here, from rounding.
#[test]
fn a_contribution_that_cancels_is_not_negative() {
    let (p, q) = ([0.762280082457942], [0.7622800829883616]);
    assert_eq!(contributions(&p, &q).collect::<Vec<_>>(), [0.0]);
}

#[test]
fn smoothing_by_hand() {
    // (0 + 0.25) / (2 + 0.5), (2 + 0.25) / (2 + 0.5): half a record over two classes.
    assert_eq!(smooth_probabilities(&[0.0, 2.0]), [0.1, 0.9]);
    // (0 + 0.5) / (4 + 1), (4 + 0.5) / (4 + 1).
    assert_eq!(smooth_counts(&[0.0, 4.0]), [0.1, 0.9]);
    assert_eq!(smooth(&[0.0, 0.0, 0.0, 0.0], 0.125), [0.25; 4]);
    assert!(smooth_probabilities(&[]).is_empty());
}

#[test]
fn probabilities_are_clipped_and_renormalised() {
    let mut p = [0.5, -1e-6, 0.5005, -0.0];
    distribution::probabilities(&mut p).unwrap();
    assert_eq!(p, [0.5 / 1.0005, 0.0, 0.5005 / 1.0005, 0.0]);
    assert!(p.iter().all(|p| p.is_sign_positive()));

    let of = |mut values: Vec<f64>| distribution::probabilities(&mut values);
    assert_eq!(of(vec![]), Err(Invalid::Empty));
    assert_eq!(
        of(vec![1.0, -2e-6]),
        Err(Invalid::Negative {
            index: 1,
            value: -2e-6
        })
    );
    assert_eq!(of(vec![0.5, 0.5011]), Err(Invalid::SumOff { sum: 1.0011 }));
    assert_eq!(of(vec![0.0, 0.0]), Err(Invalid::SumOff { sum: 0.0 }));
    // Clipping comes first: 1.0009 of ones would not pass if these were summed as they are.
    assert_eq!(of([vec![1.0], vec![-1e-6; 2000]].concat()), Ok(()));
    assert_eq!(
        of(vec![f64::MAX, f64::MAX]),
        Err(Invalid::SumOff { sum: f64::INFINITY })
    );
    let infinite = f64::INFINITY;
    assert_eq!(
        of(vec![0.0, infinite]),
        Err(Invalid::NotFinite {
            index: 1,
            value: infinite
        })
    );
    assert!(matches!(
        of(vec![f64::NAN]),
        Err(Invalid::NotFinite { index: 0, .. })
    ));
}

#[test]
fn softmax_is_stable() {
    let mut p = [1000.0, 1000.0 + 3.0f64.ln()];
    distribution::logits(&mut p).unwrap();
    near(p[0], 0.25, 1e-13);
    near(p[1], 0.75, 1e-13);

    let mut p = [f64::MAX, f64::MIN];
    distribution::logits(&mut p).unwrap();
    assert_eq!(p, [1.0, 0.0]);

    let of = |mut values: Vec<f64>| distribution::logits(&mut values);
    assert_eq!(of(vec![]), Err(Invalid::Empty));
    let value = f64::NEG_INFINITY;
    assert_eq!(
        of(vec![0.0, value]),
        Err(Invalid::NotFinite { index: 1, value })
    );
}

#[test]
fn the_logarithm_of_zero_is_minus_infinity() {
    let mut p = [0.25f64.ln(), f64::NEG_INFINITY, 0.75f64.ln()];
    distribution::log_probabilities(&mut p).unwrap();
    near(p[0], 0.25, 1e-15);
    assert_eq!(p[1], 0.0);

    let of = |mut values: Vec<f64>| distribution::log_probabilities(&mut values);
    assert_eq!(of(vec![]), Err(Invalid::Empty));
    let value = f64::INFINITY;
    assert_eq!(
        of(vec![0.0, value]),
        Err(Invalid::NotFinite { index: 1, value })
    );
    // Probabilities, taken for their logarithms: e^0.5 + e^0.5.
    assert_eq!(
        of(vec![0.5, 0.5]),
        Err(Invalid::SumOff {
            sum: 0.5f64.exp() * 2.0
        })
    );
    assert_eq!(of(vec![1e4]), Err(Invalid::SumOff { sum: f64::MAX }));
}

#[test]
fn one_probability_becomes_two() {
    assert_eq!(distribution::binary(0.25), Ok((0.75, 0.25)));
    assert_eq!(distribution::binary(1.0 + 1e-6), Ok((0.0, 1.0)));
    assert_eq!(distribution::binary(-1e-6), Ok((1.0, 0.0)));
    assert_eq!(
        distribution::binary(1.1),
        Err(Invalid::AboveOne { value: 1.1 })
    );
    assert_eq!(
        distribution::binary(-0.1),
        Err(Invalid::Negative {
            index: 0,
            value: -0.1
        })
    );
    assert!(matches!(
        distribution::binary(f64::NAN),
        Err(Invalid::NotFinite { .. })
    ));
}

#[test]
fn noise_by_hand() {
    // (0.04/0.5 + 0.04/0.5) / (2 ln 2) * (1/100 + 1/300) = 0.16 / 75 / 2 ln 2
    near(
        kl_noise(&[0.04, 0.04], &[0.5, 0.5], 100, 300).unwrap(),
        0.16 / 75.0 / 2.0 / LN_2,
        1e-18,
    );
    assert_eq!(kl_noise(&[0.04], &[1.0], 0, 10), None);
    assert_eq!(kl_noise(&[0.04], &[1.0], 10, 0), None);
    // A variance is a difference of two sums, and may come out just below 0.
    assert_eq!(kl_noise(&[-1e-18], &[1.0], 10, 10), Some(0.0));
}

/// Against exact expectations under the binomial distribution, summed over all its outcomes: the
/// share of n coin tosses against the coin's own p, for a baseline that knows p exactly.
#[test]
fn noise_floors_are_the_expected_divergences() {
    for (n, p, want) in [
        (
            1000,
            0.3,
            [
                7.227_110e-4,
                1.804_250e-4,
                1.071_687e-2,
                8.922_298e-3,
                1.156_152e-2,
            ],
        ),
        (
            400,
            0.5,
            [
                1.805_195e-3,
                4.508_458e-4,
                1.695_117e-2,
                1.411_264e-2,
                1.993_467e-2,
            ],
        ),
    ] {
        let v = p * (1.0 - p);
        let floor = NoiseFloor::new(&[v, v], &[p, 1.0 - p], n, u64::MAX).unwrap();
        let [kl, js, js_distance, hellinger, tv] = want;
        near(floor.kl / kl, 1.0, 0.005);
        near(floor.kl_reverse / kl, 1.0, 0.005);
        near(floor.jeffreys / (2.0 * kl), 1.0, 0.005);
        near(floor.js / js, 1.0, 0.005);
        near(floor.tv / tv, 1.0, 0.005);
        // Bounds: two classes are the worst case, where √(2/π) of it is met.
        for (bound, expected) in [
            (floor.js_distance, js_distance),
            (floor.hellinger, hellinger),
        ] {
            near(expected / bound, (2.0 / std::f64::consts::PI).sqrt(), 0.005);
        }
    }
}

/// K ≥ 1 weights, some of them zero, as a valid distribution.
fn distributions(classes: usize) -> impl Strategy<Value = Vec<f64>> {
    let weight = prop_oneof![Just(0.0), 0.0..1.0, 0.0..1e-12, Just(f64::MIN_POSITIVE)];
    proptest::collection::vec(weight, classes).prop_map(|mut weights| {
        let total: f64 = weights.iter().sum();
        if total < 1e-6 {
            weights[0] = 1.0;
        } else {
            weights.iter_mut().for_each(|w| *w /= total);
        }
        distribution::probabilities(&mut weights).unwrap();
        weights
    })
}

fn pairs() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    (1usize..40).prop_flat_map(|classes| (distributions(classes), distributions(classes)))
}

#[test]
fn log2_is_the_standard_library_s() {
    use super::log2::log2;
    for exponent in -1022..=0 {
        assert_eq!(log2(2_f64.powi(exponent)), f64::from(exponent));
    }
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..1_000_000 {
        let x = (1.0 - random.f64()) * 2_f64.powi(-random.i32(0..60));
        let (got, want) = (log2(x), x.log2());
        assert!(
            got.to_bits().abs_diff(want.to_bits()) <= 4,
            "{x:e}: {got} {want}"
        );
    }
    for x in [0.0, 5e-324, 1e-310] {
        assert!((x * log2(x)).abs() < 1e-300);
    }
}

#[test]
fn exp_and_ln_1p_are_the_standard_library_s() {
    use super::exp::{exp, ln_1p};
    let near = |got: f64, want: f64, units: u64, x: f64| {
        let off = got.to_bits().abs_diff(want.to_bits());
        assert!(off <= units, "{x:e}: {got} {want}");
    };
    let mut random = fastrand::Rng::with_seed(8);
    for _ in 0..1_000_000 {
        let x = (random.f64() - 0.5) * 2_f64.powi(random.i32(-60..11));
        if x > -708.0 && x < 709.0 {
            near(exp(x), x.exp(), 2, x);
        }
        let x = (random.f64() - 0.2) * 2_f64.powi(random.i32(-60..1));
        near(ln_1p(x), x.ln_1p(), 8, x);
        let x = random.f64() * 2_f64.powi(random.i32(0..55));
        near(ln_1p(x), x.ln_1p(), 8, x);
    }
    for x in [-708.1, -1e6, f64::NEG_INFINITY] {
        assert_eq!(exp(x), 0.0);
    }
    assert_eq!((exp(0.0), ln_1p(0.0)), (1.0, 0.0));
}

/// What a processor can do changes nothing, for any number of classes: not one bit.
#[cfg(target_arch = "x86_64")]
#[test]
fn vectors_of_every_width_give_the_same_bits() {
    use super::vector::forced;
    let mut random = fastrand::Rng::with_seed(5);
    for classes in (1..70).chain([1000, 1001]) {
        for _ in 0..20 {
            let weights: Vec<f64> = (0..classes).map(|_| random.f64().powi(9)).collect();
            let total: f64 = weights.iter().sum();
            let near_one = 1.0 + (random.f64() - 0.5) * 1e-3;
            let given: Vec<f64> = weights.iter().map(|w| w / total * near_one).collect();
            let all = forced::with_each(|| {
                let mut p = given.clone();
                distribution::probabilities(&mut p).unwrap();
                let (bits, top) = (entropy(&p).to_bits(), top_two(&p));
                (p.iter().map(|p| p.to_bits()).collect::<Vec<_>>(), bits, top)
            });
            assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{classes}");
        }
    }
}

/// By the definition, with the standard library's logarithm and plain sums.
#[test]
fn entropy_and_top_two_are_what_they_are_by_hand() {
    let mut random = fastrand::Rng::with_seed(6);
    for classes in (1..40).chain([257, 1000]) {
        // Few distinct weights, so that there are ties.
        let mut p: Vec<f64> = (0..classes).map(|_| f64::from(random.u8(0..9))).collect();
        p[random.usize(..classes)] += 1.0;
        let total: f64 = p.iter().sum();
        p.iter_mut().for_each(|p| *p /= total);
        let plain: f64 = p.iter().filter(|p| **p > 0.0).map(|p| -p * p.log2()).sum();
        near(entropy(&p), plain.max(0.0), 1e-12);
        let mut sorted: Vec<(usize, f64)> = p.iter().copied().enumerate().collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
        let second = sorted.get(1).map_or(0.0, |(_, p)| *p);
        let (class, first) = sorted[0];
        assert_eq!(
            top_two(&p),
            TopTwo {
                class,
                first,
                second
            }
        );
    }
}

proptest! {
    #[test]
    fn divergences_are_finite_and_not_negative((p, q) in pairs()) {
        let smooth_q = smooth_probabilities(&q);
        let forward = kl(&p, &smooth_q);
        prop_assert!(forward.is_finite() && forward >= 0.0);
        for divergence in [js, js_distance, hellinger, tv, linf] {
            let value = divergence(&p, &q);
            prop_assert!((0.0..=1.0).contains(&value), "{value}");
            prop_assert!((value - divergence(&q, &p)).abs() < 1e-12, "not symmetric");
        }
    }

    #[test]
    fn a_distribution_is_at_no_distance_from_itself((p, _) in pairs()) {
        for divergence in [kl, js, js_distance, hellinger, tv, linf] {
            prop_assert_eq!(divergence(&p, &p).to_bits(), 0.0f64.to_bits());
        }
    }

    #[test]
    fn contributions_are_not_negative_and_sum_to_kl((p, q) in pairs()) {
        let q = smooth_probabilities(&q);
        let parts: Vec<f64> = contributions(&p, &q).collect();
        prop_assert!(parts.iter().all(|part| *part >= 0.0));
        // The definition itself, without the linear parts that cancel.
        let plain: f64 =
            p.iter().zip(&q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).log2()).sum();
        prop_assert!((parts.iter().sum::<f64>() - plain).abs() < 1e-12);
        prop_assert!((kl(&p, &q) - plain).abs() < 1e-12);
    }

    #[test]
    fn entropy_lies_between_none_and_uniform((p, _) in pairs()) {
        let h = entropy(&p);
        prop_assert!(h >= 0.0 && h <= (p.len() as f64).log2() + 1e-12);
        prop_assert!((0.0..=1.0).contains(&normalized(h, (p.len() as f64).log2())));
    }

    #[test]
    fn whatever_is_accepted_is_a_distribution(
        values in proptest::collection::vec(prop_oneof![prop::num::f64::ANY, -1.0..1.0], 0..20),
    ) {
        use distribution::{log_probabilities, logits, probabilities};
        for rule in [probabilities, logits, log_probabilities] {
            let mut p = values.clone();
            if rule(&mut p).is_ok() {
                prop_assert!(p.iter().all(|p| (0.0..=1.0 + 1e-12).contains(p)), "{p:?}");
                prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }
    }
}
