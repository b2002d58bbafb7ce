//! What the segments of a tag say: how much of the outputs' uncertainty the tag explains, and which
//! segment explains a shift.

use std::collections::{BTreeMap, BTreeSet};

use crate::information::divergence::smooth_probabilities;
use crate::information::entropy::entropy;
use crate::summary::{OTHER, Segment, Summary};

/// H(Y) = H(Y|X) + I(Y;X|S) + I(Y;S) over the records that a tag S splits, in bits: the uncertainty
/// of the outputs is that of each record, and what inputs within segments, and segments, tell of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decomposition {
    /// H(Y), of the mean distribution.
    pub marginal_entropy: f64,
    /// H(Y|S), the mean over records of their segment's H(Y).
    pub marginal_entropy_given_segment: f64,
    /// H(Y|X), the mean entropy of a record.
    pub entropy: f64,
    /// I(Y;S), at least 0; at most the entropy of the segments' shares.
    pub segment_information: f64,
    /// I(Y;X|S), at least 0.
    pub information_given_segment: f64,
}

/// What a tag says of a window; none where the window has no segments of it.
pub fn decomposition(window: &Summary, tag: &str) -> Option<Decomposition> {
    Some(decompose(window.segments()?.tag(tag)?, window.classes()))
}

/// The greatest I(Y;S) of the window's tags, in bits; none where it has no segments.
pub fn segment_information(window: &Summary) -> Option<f64> {
    let tags = window.segments()?.tags();
    tags.map(|(_, segments)| decompose(segments, window.classes()).segment_information)
        .max_by(f64::total_cmp)
}

fn decompose(segments: &BTreeMap<String, Segment>, classes: usize) -> Decomposition {
    let whole = Whole::of(segments, classes);
    let over = |of: &dyn Fn(&Segment) -> f64| -> f64 {
        let weighed = |segment: &Segment| whole.share(segment) * of(segment);
        segments.values().map(weighed).sum()
    };
    let marginal_entropy = entropy(&whole.mean);
    let given_segment = over(&|segment| entropy(&segment.mean()));
    // Not below 0 but for rounding: entropy is concave.
    Decomposition {
        marginal_entropy,
        marginal_entropy_given_segment: given_segment,
        entropy: whole.entropy,
        segment_information: (marginal_entropy - given_segment).max(0.0),
        information_given_segment: (given_segment - whole.entropy).max(0.0),
    }
}

/// All segments of a tag together.
struct Whole {
    records: f64,
    mean: Vec<f64>,
    entropy: f64,
    sums: Vec<f64>,
}

impl Whole {
    /// Of at least one segment.
    fn of(segments: &BTreeMap<String, Segment>, classes: usize) -> Self {
        let records = segments.values().map(Segment::records).sum::<u64>() as f64;
        let mut sums = vec![0.0; classes];
        let mut entropy = 0.0;
        for segment in segments.values() {
            for (sum, more) in sums.iter_mut().zip(segment.probability_sums()) {
                *sum += more;
            }
            entropy += segment.entropy() * segment.records() as f64;
        }
        Self {
            records,
            mean: sums.iter().map(|sum| sum / records).collect(),
            entropy: entropy / records,
            sums,
        }
    }

    fn share(&self, segment: &Segment) -> f64 {
        segment.records() as f64 / self.records
    }
}

/// What one segment adds to the shift of a window from its baseline.
///
/// With w and b the shares of the segment's records in window and baseline, p_s and q_s its mean
/// outputs, and m the middle (p̄ + q̄)/2 of the whole's, it adds d_s = w(p_s - m) - b(q_s - m) to the
/// shift p̄ - q̄ of the mean output: the d_s sum to it. A segment that answers otherwise than before
/// adds something; so does one that has become more or less frequent, if its outputs are not like
/// the whole's. One that grew, and answers as the whole does, adds nothing. Window and baseline may
/// change places: then every part changes its sign alone.
///
/// In bits that is Σ_k d_sk log2(p̄_k/q̄_k), whose sum over segments is the Jeffreys divergence of p̄
/// and q̄ (both smoothed inside the logarithm). The same with mean entropies in place of outputs
/// gives the segment's part of the change of entropy.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentShift {
    pub tag: String,
    pub value: String,
    /// Shares of the records.
    pub window: f64,
    pub baseline: f64,
    /// What it adds to the Jeffreys divergence; below 0 where it moves against the shift.
    pub bits: f64,
    /// The same as a share of the whole; the shares of a tag's segments sum to 1. None where nothing
    /// has moved.
    pub share_of_bits: Option<f64>,
    /// What it adds to the change of mean entropy, in bits, and as a share of it.
    pub entropy_bits: f64,
    pub share_of_entropy: Option<f64>,
}

impl SegmentShift {
    /// By how much the share of the outputs' shift is greater than the segment's share of the
    /// records, in window or baseline. A segment that holds most records explains most of any shift:
    /// only what is beyond that points at it.
    fn excess_of_bits(&self) -> Option<f64> {
        self.share_of_bits.map(|share| share - self.of_records())
    }

    fn excess_of_entropy(&self) -> Option<f64> {
        self.share_of_entropy.map(|share| share - self.of_records())
    }

    fn of_records(&self) -> f64 {
        self.window.max(self.baseline)
    }
}

/// The shifts of all segments of the tags that window and baseline share, by tag and value. Empty
/// where they are over other classes.
pub fn segment_shifts(window: &Summary, baseline: &Summary) -> Vec<SegmentShift> {
    let (Some(now), Some(before)) = (window.segments(), baseline.segments()) else {
        return Vec::new();
    };
    if window.classes() != baseline.classes() {
        return Vec::new();
    }
    let classes = window.classes();
    now.tags()
        .filter_map(|(tag, now)| Some((tag, now, before.tag(tag)?)))
        .flat_map(|(tag, now, before)| shifts_of_tag(tag, now, before, classes))
        .collect()
}

/// By how much a segment's share of a shift has to be greater than its share of the records for
/// the shift to point at it.
const LEAST_EXCESS: f64 = 0.1;

/// The segment that the shift of the outputs points at: of those that explain more of it than their
/// share of the records, by `LEAST_EXCESS`, the one that does so most; ties by tag and value. None
/// where none does.
pub fn explains_outputs(shifts: &[SegmentShift]) -> Option<&SegmentShift> {
    first_greatest(shifts, SegmentShift::excess_of_bits)
}

/// The same for the change of mean entropy.
pub fn explains_entropy(shifts: &[SegmentShift]) -> Option<&SegmentShift> {
    first_greatest(shifts, SegmentShift::excess_of_entropy)
}

fn first_greatest(
    shifts: &[SegmentShift],
    excess: impl Fn(&SegmentShift) -> Option<f64>,
) -> Option<&SegmentShift> {
    let mut greatest = None;
    let mut most = LEAST_EXCESS;
    // What is left of many values is no segment to point at.
    for shift in shifts.iter().filter(|shift| shift.value != OTHER) {
        if let Some(excess) = excess(shift).filter(|&excess| excess > most) {
            (greatest, most) = (Some(shift), excess);
        }
    }
    greatest
}

fn shifts_of_tag(
    tag: &str,
    now: &BTreeMap<String, Segment>,
    before: &BTreeMap<String, Segment>,
    classes: usize,
) -> Vec<SegmentShift> {
    let (whole_now, whole_before) = (Whole::of(now, classes), Whole::of(before, classes));
    let smooth = |whole: &Whole| smooth_probabilities(&whole.sums);
    let ratios: Vec<f64> = smooth(&whole_now)
        .iter()
        .zip(&smooth(&whole_before))
        .map(|(p, q)| (p / q).log2())
        .collect();
    let shift = |now: f64, before: f64| now - before;
    let bits: f64 = (0..classes)
        .map(|k| shift(whole_now.mean[k], whole_before.mean[k]) * ratios[k])
        .sum();
    let entropy_bits = shift(whole_now.entropy, whole_before.entropy);
    let middle = Middle::of(&whole_now, &whole_before);
    let values: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
    let of_value = |value: &String| {
        let (now, before) = (now.get(value), before.get(value));
        let now = Part::of(now, &whole_now, &middle);
        let before = Part::of(before, &whole_before, &middle);
        let own_bits: f64 = (0..classes)
            .map(|k| shift(now.mean[k], before.mean[k]) * ratios[k])
            .sum();
        let own_entropy_bits = shift(now.entropy, before.entropy);
        SegmentShift {
            tag: tag.to_owned(),
            value: value.clone(),
            window: now.share,
            baseline: before.share,
            bits: own_bits,
            share_of_bits: share(own_bits, bits),
            entropy_bits: own_entropy_bits,
            share_of_entropy: share(own_entropy_bits, entropy_bits),
        }
    };
    values.into_iter().map(of_value).collect()
}

/// A part of a shift as a share of it; none where that is not more than rounding.
fn share(part: f64, whole: f64) -> Option<f64> {
    const ROUNDING: f64 = 1e-12;
    (whole.abs() > ROUNDING).then(|| part / whole)
}

/// Half way between two wholes.
struct Middle {
    mean: Vec<f64>,
    entropy: f64,
}

impl Middle {
    fn of(a: &Whole, b: &Whole) -> Self {
        let means = a.mean.iter().zip(&b.mean);
        Self {
            mean: means.map(|(a, b)| f64::midpoint(*a, *b)).collect(),
            entropy: f64::midpoint(a.entropy, b.entropy),
        }
    }
}

/// A segment beside the middle: its share w, w(p_s - m), and the same of entropies.
struct Part {
    share: f64,
    mean: Vec<f64>,
    entropy: f64,
}

impl Part {
    fn of(segment: Option<&Segment>, whole: &Whole, middle: &Middle) -> Self {
        let Some(segment) = segment else {
            return Self {
                share: 0.0,
                mean: vec![0.0; middle.mean.len()],
                entropy: 0.0,
            };
        };
        let share = whole.share(segment);
        let off = |(p, m): (f64, &f64)| share * (p - m);
        Self {
            share,
            mean: segment
                .mean()
                .into_iter()
                .zip(&middle.mean)
                .map(off)
                .collect(),
            entropy: share * (segment.entropy() - middle.entropy),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::window::measures::{Measure, Reference, measures};

    const SURE: [f64; 2] = [1.0, 0.0];
    const UNSURE: [f64; 2] = [0.5, 0.5];
    const OTHERWISE: [f64; 2] = [0.0, 1.0];

    /// So many records of each distribution and value of the tag `t`.
    fn summary(records: &[(usize, [f64; 2], &str)]) -> Summary {
        let mut summary = Summary::new(2);
        for &(count, p, value) in records {
            for _ in 0..count {
                summary.add(&p, 0);
                summary.add_tags(&p, [("t", value)].into_iter());
            }
        }
        summary
    }

    /// Half the records say the one class and half the other, and the tag says which: it explains
    /// all of the one bit. A tag that says nothing explains none.
    #[test]
    fn a_tag_that_is_the_answer_explains_all() {
        let both = summary(&[(2, SURE, "a"), (2, OTHERWISE, "b")]);
        let found = decomposition(&both, "t").unwrap();
        let expected = Decomposition {
            marginal_entropy: 1.0,
            marginal_entropy_given_segment: 0.0,
            entropy: 0.0,
            segment_information: 1.0,
            information_given_segment: 0.0,
        };
        assert_eq!(found, expected);
        let alike = [
            (1, SURE, "a"),
            (1, OTHERWISE, "a"),
            (1, SURE, "b"),
            (1, OTHERWISE, "b"),
        ];
        let found = decomposition(&summary(&alike), "t").unwrap();
        assert_eq!(
            (found.segment_information, found.information_given_segment),
            (0.0, 1.0)
        );
        assert_eq!(decomposition(&both, "u"), None);
    }

    #[test]
    fn of_several_tags_the_one_that_says_most_is_measured() {
        let mut both = summary(&[]);
        for (p, answer) in [(SURE, "yes"), (OTHERWISE, "no")] {
            both.add(&p, 0);
            both.add_tags(&p, [("answer", answer), ("same", "x")].into_iter());
        }
        assert_eq!(segment_information(&both), Some(1.0));
    }

    fn of<'a>(shifts: &'a [SegmentShift], value: &str) -> &'a SegmentShift {
        shifts.iter().find(|shift| shift.value == value).unwrap()
    }

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-9, "{value}, not {expected}");
    }

    /// Ten records of each of a and b say (1, 0); then b says (1/2, 1/2). Segment b moves the mean by
    /// ½((½, ½) - (1, 0)) = (-¼, ¼), which is all of it; its entropy by ½·1 bit, which is too.
    #[test]
    fn the_segment_that_answers_otherwise_explains_all() {
        let before = summary(&[(10, SURE, "a"), (10, SURE, "b")]);
        let now = summary(&[(10, SURE, "a"), (10, UNSURE, "b")]);
        let shifts = segment_shifts(&now, &before);
        let (a, b) = (of(&shifts, "a"), of(&shifts, "b"));
        assert_eq!((b.window, b.baseline), (0.5, 0.5));
        close(a.bits, 0.0);
        // p̄ = (3/4, 1/4), q̄ = (1, 0); smoothed by 1/4 a class of 20 records.
        let ratio = |p: f64, q: f64| ((p + 0.25) / (q + 0.25)).log2();
        close(b.bits, -0.25 * ratio(15.0, 20.0) + 0.25 * ratio(5.0, 0.0));
        close(b.share_of_bits.unwrap(), 1.0);
        close(a.entropy_bits, 0.0);
        close(b.entropy_bits, 0.5);
        close(b.share_of_entropy.unwrap(), 1.0);
        assert_eq!(explains_outputs(&shifts), Some(b));
        assert_eq!(explains_entropy(&shifts), Some(b));
    }

    /// c, which says (0, 1), is new with half of the records, and moves the mean from (1, 0) to
    /// (½, ½). The middle is (¾, ¼): c adds ½(0 - ¾) = -⅜ to class 0, and a and b, which fell from a
    /// half to a quarter, each (¼ - ½)(1 - ¾) = -1/16. When it goes again, the same.
    #[test]
    fn a_segment_that_comes_or_goes_explains_what_it_brings() {
        let before = summary(&[(10, SURE, "a"), (10, SURE, "b")]);
        let now = summary(&[(5, SURE, "a"), (5, SURE, "b"), (10, OTHERWISE, "c")]);
        let shifts = segment_shifts(&now, &before);
        let c = of(&shifts, "c");
        assert_eq!((c.window, c.baseline), (0.5, 0.0));
        close(c.share_of_bits.unwrap(), 0.75);
        close(of(&shifts, "a").share_of_bits.unwrap(), 0.125);
        assert_eq!(explains_outputs(&shifts), Some(c));
        assert_eq!(explains_entropy(&shifts), None, "no entropy has changed");
        let back = segment_shifts(&before, &now);
        assert_eq!(explains_outputs(&back).unwrap().value, "c");
        close(of(&back, "c").share_of_bits.unwrap(), 0.75);
    }

    /// Only the shares change: a, of (1, 0), from a half to three quarters, b, of (0, 1), to one. The
    /// middle is (⅝, ⅜): a adds ¼·⅜ to class 0, b -¼·(-⅝), of ¼.
    #[test]
    fn segments_that_grow_and_shrink_share_the_shift() {
        let before = summary(&[(10, SURE, "a"), (10, OTHERWISE, "b")]);
        let now = summary(&[(15, SURE, "a"), (5, OTHERWISE, "b")]);
        let shifts = segment_shifts(&now, &before);
        let (a, b) = (of(&shifts, "a"), of(&shifts, "b"));
        close(a.share_of_bits.unwrap(), 0.375);
        close(b.share_of_bits.unwrap(), 0.625);
        // a holds three quarters of the records, b held half.
        assert_eq!(explains_outputs(&shifts), Some(b));
    }

    /// All records of the one segment, and of most of them, moved alike: no segment is to blame.
    #[test]
    fn a_segment_that_holds_all_is_not_pointed_at() {
        let before = summary(&[(95, SURE, "web"), (5, SURE, "app")]);
        let now = summary(&[(95, UNSURE, "web"), (5, UNSURE, "app")]);
        let shifts = segment_shifts(&now, &before);
        close(of(&shifts, "web").share_of_bits.unwrap(), 0.95);
        let excess = of(&shifts, "web").excess_of_bits().unwrap();
        assert!(excess.abs() < 1e-9, "{excess}");
        assert_eq!(explains_outputs(&shifts), None);
    }

    #[test]
    fn nothing_is_explained_where_nothing_can_be() {
        let before = summary(&[(10, SURE, "a")]);
        let shifts = segment_shifts(&before, &before);
        assert_eq!(shifts[0].share_of_bits, None);
        assert_eq!(
            (explains_outputs(&shifts), explains_entropy(&shifts)),
            (None, None)
        );
        assert!(segment_shifts(&before, &Summary::new(2)).is_empty());
        let mut other_tag = Summary::new(2);
        other_tag.add(&SURE, 0);
        other_tag.add_tags(&SURE, [("u", "a")].into_iter());
        assert!(segment_shifts(&before, &other_tag).is_empty());
        let rest = summary(&[(10, UNSURE, OTHER)]);
        assert_eq!(explains_outputs(&segment_shifts(&rest, &before)), None);
    }

    fn any_summary() -> impl Strategy<Value = Summary> {
        let value = prop_oneof![Just("a"), Just("b"), Just("c")];
        let records = prop::collection::vec((0..=100_u32, value), 1..30);
        records.prop_map(|records| {
            let of = |(percent, value)| {
                let p = f64::from(percent) / 100.0;
                (100, [p, 1.0 - p], value)
            };
            summary(&records.into_iter().map(of).collect::<Vec<_>>())
        })
    }

    proptest! {
        /// H(Y) = H(Y|X) + I(Y;X|S) + I(Y;S), and no part is below 0.
        #[test]
        fn the_parts_sum_to_the_whole(window in any_summary()) {
            let d = decomposition(&window, "t").unwrap();
            let sum = d.entropy + d.information_given_segment + d.segment_information;
            prop_assert!((sum - d.marginal_entropy).abs() < 1e-9);
            prop_assert!(d.segment_information <= 3.0_f64.log2() + 1e-9);
            let measured = measures(&window, None);
            prop_assert!((measured.get(Measure::Entropy).unwrap() - d.entropy).abs() < 1e-12);
        }

        /// The segments' parts sum to the change of entropy and, but for how they are smoothed, to
        /// the Jeffreys divergence.
        #[test]
        fn shifts_sum_to_the_shift((now, before) in (any_summary(), any_summary())) {
            let shifts = segment_shifts(&now, &before);
            let sum = |of: fn(&SegmentShift) -> f64| shifts.iter().map(of).sum::<f64>();
            let entropy = now.entropy() - before.entropy();
            prop_assert!((sum(|shift| shift.entropy_bits) - entropy).abs() < 1e-9);
            let jeffreys = measures(&now, Some(&Reference::new(&before)));
            let jeffreys = jeffreys.get(Measure::Jeffreys).unwrap();
            let bits = sum(|shift| shift.bits);
            prop_assert!(bits >= -1e-9 && (bits - jeffreys).abs() < 0.02, "{bits} {jeffreys}");
            let shares: Option<f64> = shifts.iter().map(|shift| shift.share_of_bits).sum();
            prop_assert!(shares.is_none_or(|sum| (sum - 1.0).abs() < 1e-3));
        }
    }
}
