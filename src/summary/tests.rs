mod parts;

use proptest::prelude::*;

use super::*;

mod kinds;

/// Distributions over three classes, by integer weights so that cases are exact to read.
fn records() -> impl Strategy<Value = Vec<[f64; 3]>> {
    let one = (0..1000_u32, 0..1000_u32, 1..1000_u32).prop_map(|(a, b, c)| {
        let total = f64::from(a + b + c);
        [a, b, c].map(|weight| f64::from(weight) / total)
    });
    prop::collection::vec(one, 0..40)
}

fn summary(records: &[[f64; 3]]) -> Summary {
    let mut summary = Summary::new(3);
    for (time_ms, record) in records.iter().enumerate() {
        summary.add(record, time_ms as Millis);
    }
    summary
}

fn merged(a: &Summary, b: &Summary) -> Summary {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

proptest! {
    #[test]
    fn merging_is_exactly_commutative_and_associative(
        a in records(), b in records(), c in records(),
    ) {
        let (a, b, c) = (summary(&a), summary(&b), summary(&c));
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(&merged(&a, &Summary::new(3)), &a);
    }

    #[test]
    fn any_cut_of_the_records_merges_to_the_same(records in records(), at in 0..40_usize) {
        let whole = summary(&records);
        let mut parts = Summary::new(3);
        let at = at.min(records.len());
        for (time_ms, record) in records.iter().enumerate().skip(at) {
            parts.add(record, time_ms as Millis);
        }
        parts.merge(&summary(&records[..at]));
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn subtracting_undoes_merging(a in records(), b in records()) {
        let (a, b) = (summary(&a), summary(&b));
        let mut both = merged(&a, &b);
        both.subtract(&b);
        both.span = a.span;
        prop_assert_eq!(both, a);
    }

    #[test]
    fn bytes_are_read_back_as_they_were(records in records()) {
        let summary = summary(&records);
        prop_assert_eq!(Summary::decode(&summary.encode()).unwrap(), summary.clone());
        let json = serde_json::to_string(&summary).unwrap();
        prop_assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary.clone());
        let stored = postcard::to_stdvec(&summary).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Summary>(&stored).unwrap(), summary);
    }

    #[test]
    fn no_bytes_make_reading_panic(
        records in records(), at in 0..400_usize, byte: u8, noise: Vec<u8>,
    ) {
        let mut bytes = summary(&records).encode();
        let at = at.min(bytes.len() - 1);
        bytes[at] = byte;
        let _ = Summary::decode(&bytes);
        let _ = Summary::decode(&bytes[..at]);
        let _ = Summary::decode(&noise);
    }
}

/// 2^25 records, by doubling: past the 2^24 that 64-bit lanes are sure to hold.
#[test]
fn sums_widen_and_narrow_with_the_number_of_records() {
    let one = summary(&[[1.0, 0.0, 0.0]]);
    let mut many = one.clone();
    let mut before = one.clone();
    for _ in 0..25 {
        before = many.clone();
        many.merge(&before);
    }
    assert_eq!(many.records(), 1 << 25);
    assert!(matches!(many.sums, Lanes::Wide(_)));
    assert_eq!(many.mean(), [1.0, 0.0, 0.0]);
    assert_eq!(Summary::decode(&many.encode()).unwrap(), many);
    many.subtract(&before);
    assert_eq!(many, before);
    many.subtract(&one);
    assert!(
        matches!(many.sums, Lanes::Narrow(_)),
        "one below 2^24 records"
    );
    many.merge(&one);
    assert_eq!(many, before);
}

/// Two records over two classes at 5 and 7 ms: (1, 0) and (1/2, 1/2). By hand, in units of
/// 2^40 = 1099511627776: Σp = (1.5, 0.5), Σp² = (1.25, 0.25), Σh = Σh² = 1 (0 bits and 1 bit),
/// Σmax = 1.5, Σmargin = 1. The lowest class wins the tie. Entropy 0 is bucket 0; 1 bit is 1000
/// thousandths, in the bucket of width 8 from 1000 (buckets of two digits are as wide as 256 of
/// them span a power of two: from 512 on, 4; from 1024 on, 8; so from 512 to 1023 width 4).
#[test]
fn sums_are_what_they_are_by_hand() {
    let mut summary = Summary::new(2);
    summary.add(&[1.0, 0.0], 7);
    summary.add(&[0.5, 0.5], 5);
    let unit = 1_u128 << 40;
    assert_eq!(
        summary.sums.units().collect::<Vec<_>>(),
        [unit * 3 / 2, unit / 2]
    );
    assert_eq!(
        summary.squares.units().collect::<Vec<_>>(),
        [unit * 5 / 4, unit / 4]
    );
    let scalars = Scalars {
        entropy: unit,
        entropy_squares: unit,
        confidence: unit * 3 / 2,
        margin: unit,
    };
    assert_eq!(summary.scalars, scalars);
    assert_eq!(summary.argmax_counts(), [2.0, 0.0]);
    assert_eq!(
        summary.histogram.iter().collect::<Vec<_>>(),
        [(0, 1), (1000, 1)]
    );
    assert_eq!(summary.span(), Some((5, 7)));
    assert_eq!(summary.mean(), [0.75, 0.25]);
    // E p² - (E p)²: 0.625 - 0.5625, 0.125 - 0.0625.
    assert_eq!(summary.variances(), [0.0625, 0.0625]);
}

/// The bytes of a record of one class at 3 ms, by the table in `codec`: postcard's varints carry
/// seven bits a byte, lowest first, so 2^40 is `80 80 80 80 80 20`; signed numbers are zigzagged,
/// so 3 is 6.
#[test]
fn bytes_are_what_the_format_says() {
    let mut summary = Summary::new(1);
    summary.add(&[1.0], 3);
    let one = [0x80, 0x80, 0x80, 0x80, 0x80, 0x20];
    let mut expected = vec![1];
    // Records 1; no entropy; largest 1, margin 1 (there is no second); a span from 3 to 3.
    expected.extend([1, 18, 0, 0, 0, 1, 0, 0]);
    expected.extend(one.iter().chain(&one).chain(&[1, 6, 6]));
    for tag in [2, 3] {
        expected.extend([tag, 7, 0, 0, 0, 1].iter().chain(&one));
    }
    for tag in [4, 5] {
        expected.extend([tag, 3, 0, 0, 0, 1, 0, 1]);
    }
    assert_eq!(summary.encode(), expected);
}

#[test]
fn newer_bytes_are_refused_by_name() {
    let bytes = Summary::new(1).encode();
    let newer = [&[2], &bytes[1..]].concat();
    assert_eq!(Summary::decode(&newer), Err(DecodeError::NewerVersion(2)));
    let more = [&bytes[..], &[200, 0, 0, 0, 0]].concat();
    assert_eq!(Summary::decode(&more), Err(DecodeError::NewerSection(200)));
}

/// Bytes of `records` records of one class, made by hand: sums by the argument, all else right.
fn by_hand(records: u64, entropy: u128, argmax: &[(u32, u64)], span: (Millis, Millis)) -> Vec<u8> {
    let mut bytes = vec![1];
    let mut section = |tag: u8, body: Vec<u8>| {
        bytes.push(tag);
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(body);
    };
    let core = (records, (entropy, 0_u128, 0_u128, 0_u128), Some(span));
    section(1, postcard::to_stdvec(&core).unwrap());
    for tag in [2, 3] {
        section(tag, postcard::to_stdvec(&vec![0_u128; 2]).unwrap());
    }
    section(4, postcard::to_stdvec(argmax).unwrap());
    section(5, postcard::to_stdvec(&vec![(0_u32, records)]).unwrap());
    bytes
}

#[test]
fn sums_that_no_records_give_are_refused() {
    let sound = by_hand(4, 4 << 46, &[(0, 3), (1, 1)], (0, 9));
    assert_eq!(Summary::decode(&sound).unwrap().records(), 4);
    for wrong in [
        by_hand(4, (4 << 46) + 1, &[(0, 3), (1, 1)], (0, 9)),
        by_hand(4, 0, &[(0, 3), (1, 2)], (0, 9)),
        // Their total is 4 to 64 bits.
        by_hand(4, 0, &[(0, u64::MAX), (1, 5)], (0, 9)),
        by_hand(1 << 48, 0, &[(0, 1 << 48)], (0, 9)),
        by_hand(4, 0, &[(0, 4)], (Millis::MIN, 9)),
        by_hand(4, 0, &[(0, 4)], (0, Millis::MAX)),
    ] {
        assert!(Summary::decode(&wrong).is_err(), "{wrong:?}");
    }
}

/// A hundred records of 0 bits and one of 1 bit: the median is 0; the 100th of 101 is 0 and the
/// 101st is 1 bit, within its bucket of [1000, 1003] thousandths.
#[test]
fn quantiles_are_of_the_record_of_that_rank() {
    let mut histogram = Histogram::default();
    for _ in 0..100 {
        histogram.add(0.0);
    }
    histogram.add(1.0);
    assert_eq!(histogram.quantile(0.5), Some(0.0));
    assert_eq!(histogram.quantile(100.0 / 101.0), Some(0.0));
    let last = histogram.quantile(1.0).unwrap();
    assert!((1.0..=1.003).contains(&last), "{last}");
    assert_eq!(Histogram::default().quantile(0.5), None);
}

/// Shares up to 0 bits: 1/2 and 1/4. Everything up to 1 bit: 1 and 1.
#[test]
fn distance_is_the_largest_difference_of_shares() {
    let of = |entropies: &[f64]| {
        let mut histogram = Histogram::default();
        entropies.iter().for_each(|&h| histogram.add(h));
        histogram
    };
    let (a, b) = (of(&[0.0, 1.0]), of(&[0.0, 1.0, 1.0, 1.0]));
    assert_eq!(a.distance(&b), 0.25);
    assert_eq!(b.distance(&a), 0.25);
    assert_eq!(a.distance(&a), 0.0);
}

#[test]
fn entropies_beyond_the_histogram_are_in_its_last_bucket() {
    let mut histogram = Histogram::default();
    histogram.add(1e300);
    assert!(histogram.quantile(0.5).unwrap() > 32.0);
}

/// Rounded as the standard library rounds, and the same with vectors of every width.
#[test]
fn units_are_rounded_to_nearest_and_even() {
    use super::lanes::to_units;
    let mut random = fastrand::Rng::with_seed(8);
    let unit = 2_f64.powi(-40);
    for _ in 0..100_000 {
        let scale = 2_f64.powi(random.i32(-45..11));
        for value in [random.f64() * scale, random.u32(..) as f64 * unit / 2.0] {
            let expected = (value / unit).round_ties_even() as u64;
            assert_eq!(to_units(value), expected, "{value:e}");
        }
    }
    for value in [-0.0, -1.0, f64::NAN, f64::NEG_INFINITY, f64::MIN_POSITIVE] {
        assert_eq!(to_units(value), 0, "{value:e}");
    }
    assert_eq!(to_units(f64::INFINITY), 1 << 51);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn vectors_of_every_width_give_the_same_summary() {
    use crate::information::vector::forced;
    let mut random = fastrand::Rng::with_seed(9);
    for classes in [1, 2, 7, 8, 9, 100, 1003] {
        let weights: Vec<f64> = (0..classes).map(|_| random.f64()).collect();
        let total: f64 = weights.iter().sum();
        let p: Vec<f64> = weights.iter().map(|w| w / total).collect();
        let all = forced::with_each(|| {
            let mut summary = Summary::new(classes);
            summary.add(&p, 1);
            summary
        });
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{classes}");
    }
}
