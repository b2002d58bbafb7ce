//! The parts that only some kinds of records have: the laws of the whole hold for them.

use super::*;
use crate::observation::{Form, Nature, Response};

/// A record of two classes or labels, of any form that has them.
fn any_form() -> impl Strategy<Value = (Vec<f64>, Form)> {
    let p = || (0..=1000_u32).prop_map(|weight| f64::from(weight) / 1000.0);
    prop_oneof![
        p().prop_map(|p| (vec![1.0 - p, p], Form::Distribution)),
        (p(), 0.0..1.0).prop_map(|(p, expected_bits)| {
            (vec![1.0 - p, p], Form::Ensemble { expected_bits })
        }),
        (p(), p()).prop_map(|(p, q)| (vec![p, q], Form::Multilabel)),
    ]
}

fn any_response() -> impl Strategy<Value = (Vec<f64>, Form)> {
    (1..500_u64, 0.0..4.0, 0.0..3.0).prop_map(|(tokens, least, more)| {
        let response = Response {
            tokens,
            least_bits: least * tokens as f64,
            most_bits: (least + more) * tokens as f64,
            vocabulary: 128,
        };
        (Vec::new(), Form::Response(response))
    })
}

type Records = Vec<(Vec<f64>, Form)>;

/// Records that may meet in one summary, and how many classes it has.
fn several() -> impl Strategy<Value = (usize, Records, Records, Records)> {
    fn three(
        classes: usize,
        of: impl Strategy<Value = (Vec<f64>, Form)>,
    ) -> impl Strategy<Value = (usize, Records, Records, Records)> {
        let records = prop::collection::vec(of, 0..45);
        let cuts = (0..45_usize, 0..45_usize);
        (records, cuts).prop_map(move |(mut a, (first, second))| {
            let mut b = a.split_off(first.min(a.len()));
            let c = b.split_off(second.min(b.len()));
            (classes, a, b, c)
        })
    }
    prop_oneof![
        three(2, any_form()).boxed(),
        three(0, any_response()).boxed()
    ]
}

fn of(classes: usize, records: &Records) -> Summary {
    let mut summary = Summary::new(classes);
    for (numbers, form) in records {
        summary.add_observation(numbers, form, 5);
    }
    summary
}

proptest! {
    #[test]
    fn merging_is_exactly_commutative_and_associative((classes, a, b, c) in several()) {
        let whole = of(classes, &[a.clone(), b.clone(), c.clone()].concat());
        let (a, b, c) = (of(classes, &a), of(classes, &b), of(classes, &c));
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), whole.clone());
        prop_assert_eq!(merged(&a, &merged(&b, &c)), whole);
        prop_assert_eq!(&merged(&a, &Summary::new(classes)), &a);
    }

    #[test]
    fn subtracting_leaves_no_trace((classes, a, b, _) in several()) {
        let (a, b) = (of(classes, &a), of(classes, &b));
        let mut both = merged(&a, &b);
        both.subtract(&b);
        both.span = a.span;
        prop_assert_eq!(both, a);
    }

    #[test]
    fn bytes_are_read_back_as_they_were((classes, a, ..) in several()) {
        let summary = of(classes, &a);
        let bytes = summary.encode();
        prop_assert_eq!(Summary::decode(&bytes), Ok(summary));
    }

    #[test]
    fn no_bytes_make_reading_panic(
        (classes, a, ..) in several(), at: prop::sample::Index, byte: u8,
    ) {
        let mut bytes = of(classes, &a).encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        // What is read can be merged and measured.
        if let Ok(read) = Summary::decode(&bytes) {
            let mut twice = merged(&read, &read);
            twice.subtract(&read);
            prop_assert_eq!(twice.encode(), read.encode());
            let _ = (read.token_means(), read.expected_entropy(), read.greatest_entropy());
        }
        let _ = Summary::decode(&bytes[..at]);
    }
}

/// Two labels, (0.75, 0.5) and (0, 0): entropies hb(0.75) + 1 and 0; confidences 0.625 and 1; only
/// the first label of the first record applies, since a tie is decided against.
#[test]
fn labels_by_hand() {
    let mut summary = Summary::new(2);
    summary.add_multilabel(&[0.75, 0.5], 1);
    summary.add_multilabel(&[0.0, 0.0], 2);
    let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-11, "{got} {want}");
    // -0.75 log2 0.75 - 0.25 log2 0.25 = 0.811278…
    near(summary.entropy(), (1.0 + 0.811_278_124_459_132_8) / 2.0);
    near(summary.confidence(), (0.625 + 1.0) / 2.0);
    near(summary.margin(), (0.25 + 1.0) / 2.0);
    assert_eq!(summary.mean(), [0.375, 0.25]);
    assert_eq!(summary.argmax_counts(), [1.0, 0.0]);
    assert_eq!(summary.nature(), Some(Nature::Multilabel));
    assert_eq!(summary.greatest_entropy(), Some(2.0));
}

/// A response of one token between 1 and 3 bits, and one of three between 0 and 3 in all: a token has
/// 1/4 to 6/4 bits, but a response (1 + 0)/2.
#[test]
fn tokens_weigh_alike_and_responses_alike() {
    let mut summary = Summary::new(0);
    for (tokens, least_bits, most_bits) in [(1, 1.0, 3.0), (3, 0.0, 3.0)] {
        let response = Response {
            tokens,
            least_bits,
            most_bits,
            vocabulary: 64,
        };
        summary.add_response(&response, 1);
    }
    let means = TokenMeans {
        least_bits: 0.25,
        most_bits: 1.5,
        tokens: 2.0,
    };
    assert_eq!(summary.token_means(), Some(means));
    assert_eq!(summary.entropy(), 0.5);
    assert_eq!(summary.nature(), Some(Nature::Response));
    assert_eq!(summary.greatest_entropy(), Some(6.0));
    assert!(summary.mean().is_empty() && summary.argmax_counts().is_empty());
}

#[test]
fn records_that_differ_have_no_nature() {
    let mut summary = Summary::new(2);
    assert_eq!(summary.nature(), Some(Nature::Distribution));
    summary.add_ensemble(&[0.5, 0.5], 0.25, 0);
    assert_eq!(summary.nature(), Some(Nature::Ensemble));
    assert_eq!(summary.expected_entropy(), Some(0.25));
    summary.add(&[1.0, 0.0], 0);
    // Distributions all, but not all of ensembles.
    assert_eq!(summary.nature(), Some(Nature::Distribution));
    assert_eq!(summary.expected_entropy(), None);
    assert_eq!(summary.greatest_entropy(), Some(1.0));
    summary.add_multilabel(&[1.0, 0.0], 0);
    assert_eq!((summary.nature(), summary.greatest_entropy()), (None, None));
}

/// 20,000 labels at a coin toss each are 20,000 bits, of which 16,384 are counted.
#[test]
fn entropies_of_many_labels_are_kept_up_to_a_bound() {
    let mut summary = Summary::new(20_000);
    summary.add_multilabel(&vec![0.5; 20_000], 0);
    assert_eq!(summary.entropy(), 16_384.0);
    assert_eq!(Summary::decode(&summary.encode()), Ok(summary.clone()));
    let mut some = Summary::new(100);
    some.add_multilabel(&[0.5; 100], 0);
    assert_eq!(some.entropy(), 100.0);
    let median = some.histogram().quantile(0.5).unwrap();
    assert!((99.0..101.0).contains(&median), "{median}");
}

#[test]
fn parts_that_no_records_give_are_refused() {
    let mut summary = Summary::new(0);
    let response = Response {
        tokens: 2,
        least_bits: 1.0,
        most_bits: 2.0,
        vocabulary: 4,
    };
    summary.add_response(&response, 0);
    for spoil in [
        |s: &mut Summary| s.responses.records = 2,
        |s: &mut Summary| {
            s.responses = Responses {
                records: 1,
                ..Responses::default()
            };
        },
        |s: &mut Summary| s.responses.tokens = 1 << 50,
        |s: &mut Summary| s.responses.most = u128::MAX,
        |s: &mut Summary| s.responses.greatest = u128::MAX,
        |s: &mut Summary| s.members.records = 2,
        |s: &mut Summary| s.multilabel.records = 2,
    ] {
        let mut spoilt = summary.clone();
        spoil(&mut spoilt);
        assert!(Summary::decode(&spoilt.encode()).is_err(), "{spoilt:?}");
    }
    assert!(Summary::decode(&summary.encode()).is_ok());
}
