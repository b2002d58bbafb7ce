//! The parts that only some models have: labels and segments.

use proptest::prelude::*;

use super::*;

/// A record over three classes, with a label and a tag's value, or without.
type Record = ([f64; 3], Label, Option<u32>);

fn records() -> impl Strategy<Value = Vec<Record>> {
    let weights = (0..100_u32, 0..100_u32, 1..100_u32).prop_map(|(a, b, c)| {
        let total = f64::from(a + b + c);
        [a, b, c].map(|weight| f64::from(weight) / total)
    });
    let label = prop_oneof![
        Just(Label::None),
        Just(Label::Unknown),
        (0..3_usize).prop_map(Label::Class)
    ];
    let one = (weights, label, prop::option::of(0..4_u32));
    // Runs of one kind, so that summaries without a part meet others.
    let run = (any::<bool>(), prop::collection::vec(one, 0..20));
    run.prop_map(|(plain, mut records)| {
        if plain {
            records.retain(|record| record.1 == Label::None && record.2.is_none());
        }
        records
    })
}

fn add(summary: &mut Summary, (p, label, value): &Record, time_ms: Millis) {
    summary.add(p, time_ms);
    if *label != Label::None {
        summary.add_label(p, *label);
    }
    if let Some(value) = value {
        let value = format!("v{value}");
        let tags = [("a", value.as_str()), ("b", "all")];
        summary.add_tags(p, tags.into_iter());
    }
}

fn summary(records: &[Record]) -> Summary {
    let mut summary = Summary::new(3);
    for (time_ms, record) in records.iter().enumerate() {
        add(&mut summary, record, time_ms as Millis);
    }
    summary
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
        prop_assert_eq!(&merged(&Summary::new(3), &a), &a);
    }

    #[test]
    fn any_cut_of_the_records_merges_to_the_same(records in records(), at in 0..20_usize) {
        let whole = summary(&records);
        let at = at.min(records.len());
        let mut parts = Summary::new(3);
        for (time_ms, record) in records.iter().enumerate().skip(at) {
            add(&mut parts, record, time_ms as Millis);
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
        prop_assert_eq!(Summary::decode(&summary.encode()).unwrap(), summary);
    }

    #[test]
    fn no_bytes_make_reading_panic(records in records(), at in 0..1000_usize, byte: u8) {
        let mut bytes = summary(&records).encode();
        let at = at.min(bytes.len() - 1);
        bytes[at] = byte;
        let _ = Summary::decode(&bytes);
        let _ = Summary::decode(&bytes[..at]);
    }

    /// Whatever is believed of the bytes can be merged and taken away again.
    #[test]
    fn what_is_read_can_be_reckoned_with(records in records(), at in 0..1000_usize, byte: u8) {
        let mut bytes = summary(&records).encode();
        let at = at.min(bytes.len() - 1);
        bytes[at] = byte;
        let Ok(read) = Summary::decode(&bytes) else { return Ok(()) };
        let mut both = merged(&read, &read);
        both.subtract(&read);
        prop_assert_eq!(both, read);
    }
}

/// Three records over two classes. (3/4, 1/4) with label 0: surprise log2(4/3), Brier 2/16, right.
/// (1/4, 3/4) with label 0: surprise 2, Brier 2·9/16, wrong. (1/2, 1/2) without a label. Bins of
/// 15: ⌊15·0.75⌋ = 11. The calibration error is |(0.75 + 0.75) - 1| / 2.
#[test]
fn sums_of_labels_are_what_they_are_by_hand() {
    let mut summary = Summary::new(2);
    for (p, label) in [
        ([0.75, 0.25], Label::Class(0)),
        ([0.25, 0.75], Label::Class(0)),
        ([0.5, 0.5], Label::None),
        ([0.5, 0.5], Label::Unknown),
        ([0.5, 0.5], Label::Class(2)),
    ] {
        summary.add(&p, 0);
        summary.add_label(&p, label);
    }
    let labelled = summary.labelled().unwrap();
    let close = |value: Option<f64>, expected: f64| {
        assert!((value.unwrap() - expected).abs() < 1e-11, "{value:?}");
    };
    assert_eq!((labelled.records(), labelled.unknown()), (2, 2));
    close(
        labelled.cross_entropy(),
        ((4.0_f64 / 3.0).log2() + 2.0) / 2.0,
    );
    close(labelled.accuracy(), 0.5);
    close(labelled.brier(), (2.0 / 16.0 + 18.0 / 16.0) / 2.0);
    close(labelled.calibration_error(), 0.25);
    close(labelled.confidence(), 0.75);
    let by_label: Vec<_> = labelled.by_label().collect();
    assert_eq!(by_label, [(0, 2, vec![1.0, 1.0])]);
    // Doubts in 1/20,000: a half is 10,000, in the bucket of width 64 from 9,984; a quarter 5,000,
    // in that of width 32 from 4,992.
    let buckets = labelled.doubts().map(|d| d.iter().collect::<Vec<_>>());
    assert_eq!(buckets, [vec![(9984, 3)], vec![(4992, 1)], vec![(4992, 1)]]);
    assert_eq!(labelled.entropies().total(), 2);
}

#[test]
fn a_label_that_was_thought_impossible_has_a_finite_surprise() {
    let mut summary = Summary::new(2);
    summary.add(&[1.0, 0.0], 0);
    summary.add_label(&[1.0, 0.0], Label::Class(1));
    let labelled = summary.labelled().unwrap();
    // -log2 1e-12
    assert!((labelled.cross_entropy().unwrap() - 39.863_137_138_648_355).abs() < 1e-9);
    assert_eq!(labelled.brier(), Some(2.0));
    assert_eq!(labelled.calibration_error(), Some(1.0));
    assert_eq!(Summary::decode(&summary.encode()).unwrap(), summary);
}

#[test]
fn probabilities_are_summed_by_label_up_to_a_number_of_classes() {
    for (classes, summed) in [
        (MOST_CONFUSION_CLASSES, true),
        (MOST_CONFUSION_CLASSES + 1, false),
    ] {
        let mut p = vec![0.0; classes];
        p[classes - 1] = 1.0;
        let mut summary = Summary::new(classes);
        summary.add(&p, 0);
        summary.add_label(&p, Label::Class(classes - 1));
        let (label, records, sums) = summary.labelled().unwrap().by_label().next().unwrap();
        assert_eq!((label, records, !sums.is_empty()), (classes - 1, 1, summed));
        let both = merged(&summary, &summary);
        assert_eq!(Summary::decode(&both.encode()).unwrap(), both);
        let mut one = both.clone();
        one.subtract(&summary);
        assert_eq!(one, summary);
    }
}

/// The segments of the tag `t`: value, records.
fn sizes(summary: &Summary) -> Vec<(String, u64)> {
    let segments = summary.segments().unwrap().tag("t").unwrap();
    let size = |(value, segment): (&String, &Segment)| (value.clone(), segment.records());
    segments.iter().map(size).collect()
}

fn tagged(values: impl Iterator<Item = usize>) -> Summary {
    let mut summary = Summary::new(2);
    for value in values {
        let p = [0.25, 0.75];
        summary.add(&p, 0);
        let value = format!("{value:03}");
        summary.add_tags(&p, [("t", value.as_str())].into_iter());
    }
    summary
}

/// 300 values, of which the first 256 in order of name stay whole, whichever came first and
/// however they were put together.
#[test]
fn an_open_pane_keeps_the_first_values_whole() {
    let twice = || (0..300).chain(0..300);
    let in_order = tagged(twice());
    let backwards = tagged(twice().rev());
    assert_eq!(in_order, backwards);
    for parts in [2, 3, 7] {
        let mut merged = Summary::new(2);
        for part in 0..parts {
            merged.merge(&tagged(twice().filter(|value| value % parts == part)));
            merged.keep_first_segments();
        }
        assert_eq!(merged, in_order);
    }
    let sizes = sizes(&in_order);
    assert_eq!(sizes.len(), MOST_OPEN_SEGMENTS + 1);
    assert_eq!(sizes[0], (OTHER.to_owned(), 2 * (300 - 256)));
    assert_eq!(sizes[1], ("000".to_owned(), 2));
    assert_eq!(sizes[256], ("255".to_owned(), 2));
}

/// Of 3 × a, 2 × b, 2 × c, 1 × d: a, and of b and c the first.
#[test]
fn a_closed_pane_keeps_the_values_with_most_records() {
    let mut summary = Summary::new(2);
    for value in ["d", "b", "a", "c", "a", "b", "c", "a"] {
        let p = [0.5, 0.5];
        summary.add(&p, 0);
        summary.add_tags(&p, [("t", value)].into_iter());
    }
    let size = |value: &str, records| (value.to_owned(), records);
    summary.keep_largest_segments(4);
    assert_eq!(sizes(&summary).len(), 4);
    summary.keep_largest_segments(2);
    let kept = [size(OTHER, 3), size("a", 3), size("b", 2)];
    assert_eq!(sizes(&summary), kept);
    // Others are not a value of their own.
    summary.keep_largest_segments(2);
    assert_eq!(sizes(&summary), kept);
    let segments = summary.segments().unwrap().tag("t").unwrap();
    assert_eq!(segments[OTHER].mean(), [0.5, 0.5]);
    assert_eq!(segments[OTHER].entropy(), 1.0);
}

/// The sections of one record of one class with the label 0 and the tag t = v, by the layouts in
/// `labelled` and `segments` (postcard: see `bytes_are_what_the_format_says`).
#[test]
fn bytes_of_the_parts_are_what_the_format_says() {
    let mut plain = Summary::new(1);
    plain.add(&[1.0], 3);
    let mut summary = plain.clone();
    summary.add_label(&[1.0], Label::Class(0));
    summary.add_tags(&[1.0], [("t", "v")].into_iter());
    let one = [0x80, 0x80, 0x80, 0x80, 0x80, 0x20];
    // No unknown label, no surprise, no Brier; 15 bins, the last of them with confidence 1, right.
    let mut labelled = vec![0, 0, 0, 15];
    labelled.extend([0; 28]);
    labelled.extend(one.iter().chain(&[1]));
    // One label: 0, one record, one sum. No doubts but one, of 0, that was right. Entropy 0.
    labelled.extend([1, 0, 1, 1].iter().chain(&one));
    labelled.extend([0, 0, 1, 0, 1, 1, 0, 1]);
    // One tag of one letter with one segment: one record, no entropy, one sum.
    let mut segments = vec![1, 1, b't', 1, 1, b'v', 1, 0, 1];
    segments.extend(one);
    let mut expected = plain.encode();
    for (tag, body) in [(9, labelled), (10, segments)] {
        expected.extend([tag, body.len() as u8, 0, 0, 0]);
        expected.extend(body);
    }
    assert_eq!(summary.encode(), expected);
}

#[test]
fn parts_that_no_records_give_are_refused() {
    type Bins = Vec<(u128, u64)>;
    type Labels = Vec<(u32, u64, Vec<u128>)>;
    type Pairs = Vec<(u32, u64)>;
    let mut plain = Summary::new(2);
    plain.add(&[0.5, 0.5], 0);
    plain.add(&[0.5, 0.5], 0);
    let with = |tag: u8, body: Vec<u8>| {
        let mut bytes = plain.encode();
        bytes.push(tag);
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(body);
        Summary::decode(&bytes).is_ok()
    };
    let half = 1_u128 << 39;
    let bins = |right: u64| -> Bins {
        let mut bins = vec![(0, 0); 15];
        bins[7] = (half, right);
        bins
    };
    let doubt = |records: u64| -> Pairs { vec![(9984, records)] };
    let labelled = |unknown: u64, bins: Bins, labels: Labels, doubts: [Pairs; 3], h: Pairs| {
        let [unlabelled, wrong, right] = doubts;
        let sums = (1_u128 << 40, half);
        let stored = (unknown, sums, bins, labels, (unlabelled, wrong, right), h);
        with(9, postcard::to_stdvec(&stored).unwrap())
    };
    let one = |label: u32| -> Labels { vec![(label, 1, vec![half, half])] };
    let doubts = || [doubt(1), vec![], doubt(1)];
    let h = || vec![(1000, 1)];
    assert!(labelled(1, bins(1), one(0), doubts(), h()));
    for (what, accepted) in [
        (
            "more unknown than unlabelled",
            labelled(2, bins(1), one(0), doubts(), h()),
        ),
        (
            "right without a bin",
            labelled(0, bins(0), one(0), doubts(), h()),
        ),
        ("bins", labelled(0, vec![(0, 1)], one(0), doubts(), h())),
        (
            "a label that is no class",
            labelled(0, bins(1), one(2), doubts(), h()),
        ),
        ("no label", labelled(0, bins(1), vec![], doubts(), h())),
        (
            "twice",
            labelled(0, bins(1), [one(0), one(0)].concat(), doubts(), h()),
        ),
        (
            "too much",
            labelled(
                0,
                bins(1),
                vec![(0, 1, vec![4 * half, half])],
                doubts(),
                h(),
            ),
        ),
        (
            "too few lanes",
            labelled(0, bins(1), vec![(0, 1, vec![half])], doubts(), h()),
        ),
        (
            "records",
            labelled(0, bins(1), one(0), [doubt(2), vec![], doubt(1)], h()),
        ),
        (
            "no bucket",
            labelled(0, bins(1), one(0), [vec![(9985, 1)], vec![], doubt(1)], h()),
        ),
        (
            "entropies",
            labelled(0, bins(1), one(0), doubts(), vec![(1000, 2)]),
        ),
        (
            "none",
            labelled(0, vec![(0, 0); 15], vec![], [const { vec![] }; 3], vec![]),
        ),
    ] {
        assert!(!accepted, "{what}");
    }

    type Segments = Vec<(&'static str, Vec<(&'static str, u64, u128, Vec<u128>)>)>;
    let segments = |stored: Segments| with(10, postcard::to_stdvec(&stored).unwrap());
    let segment = |value, records: u64| (value, records, 0, vec![half, half]);
    assert!(segments(vec![(
        "t",
        vec![segment("a", 1), segment("b", 1)]
    )]));
    for (what, stored) in [
        ("no tags", vec![]),
        ("no segments", vec![("t", vec![])]),
        ("twice", vec![("t", vec![segment("a", 1), segment("a", 1)])]),
        (
            "tag",
            vec![("t", vec![segment("a", 1)]), ("t", vec![segment("b", 1)])],
        ),
        ("empty", vec![("t", vec![segment("a", 0)])]),
        (
            "records",
            vec![("t", vec![segment("a", 2), segment("b", 1)])],
        ),
        ("lanes", vec![("t", vec![("a", 1, 0, vec![half])])]),
        (
            "too much",
            vec![("t", vec![("a", 1, 0, vec![4 * half, half])])],
        ),
        (
            "entropy",
            vec![("t", vec![("a", 1, (1 << 46) + 1, vec![half, half])])],
        ),
    ] {
        assert!(!segments(stored), "{what}");
    }
}
