//! What is kept of the records of a model whose records may say their true class.
//!
//! Labels come with all records, with some, or (after the baseline) with none. So there are two
//! kinds of sums here: of records with a label, for the measures of right and wrong, and of all
//! records, by confidence, from which accuracy is estimated where there are no labels. A label that
//! is no class of the model leaves its record without one, and is counted.
//!
//! Confidences are kept in a histogram of the *doubt*, 1 - confidence, in buckets of two significant
//! digits over 1/20,000: nowhere wider than 0.4 %, and finest where confident models have most of
//! their records. Probabilities that were rounded to two, three or four decimals lie in the middle
//! of a step of it, so that equal ones are in one bucket.

use super::counts::Counts;
use super::histogram::Histogram;
use super::lanes::{Lanes, from_units, to_units};
use crate::information::entropy::{entropy, top_two};

/// Most classes of which the probabilities are summed by label, K² sums: beyond it there is no
/// label shift.
pub const MOST_CONFUSION_CLASSES: usize = 64;

/// The least probability of a label: one of 0 would make a cross entropy infinite.
const LEAST_PROBABILITY: f64 = 1e-12;

/// Equal bins of the calibration error, and what keeps a confidence of 0.6 in one bin whatever its
/// last digit.
const BINS: usize = 15;
const NUDGE: f64 = 1e-9;

/// What a histogram of thousandths takes for a doubt of 1: its unit is then 1/20,000.
const DOUBT: f64 = 20.0;

/// What a record says of its true class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Nothing.
    None,
    /// The class of this index.
    Class(usize),
    /// Something that is no class.
    Unknown,
}

/// Sums and counts of records that may have a label. Sums are in units of 2^-40.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    unknown: u64,
    /// Σ -log2 of the label's probability, and Σ of the squared distance to the label's vector.
    surprise: u128,
    brier: u128,
    bins: [Bin; BINS],
    /// Sorted by label.
    by_label: Vec<OfLabel>,
    /// Every record is in one of them.
    unlabelled: Histogram,
    wrong: Histogram,
    right: Histogram,
    /// Of the records with a label.
    entropies: Histogram,
}

/// The records with a label of one range of confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bin {
    confidence: u128,
    right: u64,
}

/// The records of one label; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OfLabel {
    label: u32,
    records: u64,
    /// Σp by class; without lanes where there are more than [`MOST_CONFUSION_CLASSES`].
    sums: Lanes,
}

/// As it is stored: unknown labels; Σ surprise, Σ Brier; bins (Σ confidence, right); by label (label,
/// records, Σp); buckets and counts of the doubts without a label, wrong and right; and of entropies.
pub(super) type Stored = (
    u64,
    (u128, u128),
    Vec<(u128, u64)>,
    Vec<(u32, u64, Vec<u128>)>,
    (Pairs, Pairs, Pairs),
    Pairs,
);
type Pairs = Vec<(u32, u64)>;

impl Labelled {
    /// Adds a record: a valid distribution, and a label below its length.
    pub(super) fn add(&mut self, probabilities: &[f64], label: Label) {
        let top = top_two(probabilities);
        let doubt = DOUBT * (1.0 - top.first).max(0.0);
        let label = match label {
            Label::Class(label) if label < probabilities.len() => label,
            Label::None => return self.unlabelled.add(doubt),
            Label::Class(_) | Label::Unknown => {
                self.unknown += 1;
                return self.unlabelled.add(doubt);
            }
        };
        let right = top.class == label;
        match right {
            true => self.right.add(doubt),
            false => self.wrong.add(doubt),
        }
        self.entropies.add(entropy(probabilities));
        let probability = probabilities[label];
        let surprise_bits = -probability.max(LEAST_PROBABILITY).log2();
        self.surprise += u128::from(to_units(surprise_bits.max(0.0)));
        self.brier += u128::from(to_units(brier(probabilities, label)));
        let bin = (top.first * BINS as f64 + NUDGE) as usize;
        let bin = &mut self.bins[bin.min(BINS - 1)];
        bin.confidence += u128::from(to_units(top.first));
        bin.right += u64::from(right);
        self.add_by_label(probabilities, label as u32);
    }

    fn add_by_label(&mut self, probabilities: &[f64], label: u32) {
        let lanes = lanes_of(probabilities.len());
        let of_label = of_label(&mut self.by_label, label, lanes);
        of_label.records += 1;
        of_label.sums.fit(of_label.records);
        if lanes > 0 {
            of_label.sums.add(probabilities);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.unknown += other.unknown;
        self.surprise += other.surprise;
        self.brier += other.brier;
        for (bin, more) in self.bins.iter_mut().zip(&other.bins) {
            bin.confidence += more.confidence;
            bin.right += more.right;
        }
        for more in &other.by_label {
            let held = of_label(&mut self.by_label, more.label, more.sums.len());
            held.records += more.records;
            held.sums.fit(held.records);
            held.sums.merge(&more.sums);
        }
        self.unlabelled.merge(&other.unlabelled);
        self.wrong.merge(&other.wrong);
        self.right.merge(&other.right);
        self.entropies.merge(&other.entropies);
    }

    /// Takes records that were merged before away.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.unknown -= other.unknown;
        self.surprise -= other.surprise;
        self.brier -= other.brier;
        for (bin, less) in self.bins.iter_mut().zip(&other.bins) {
            bin.confidence -= less.confidence;
            bin.right -= less.right;
        }
        for less in &other.by_label {
            let held = of_label(&mut self.by_label, less.label, less.sums.len());
            held.records -= less.records;
            held.sums.subtract(&less.sums);
            held.sums.fit(held.records);
        }
        self.by_label.retain(|of_label| of_label.records > 0);
        self.unlabelled.subtract(&other.unlabelled);
        self.wrong.subtract(&other.wrong);
        self.right.subtract(&other.right);
        self.entropies.subtract(&other.entropies);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.doubts().iter().all(|doubts| doubts.total() == 0)
    }

    /// Records with a label.
    pub fn records(&self) -> u64 {
        self.by_label.iter().map(|of_label| of_label.records).sum()
    }

    /// Labels that are no class.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Mean -log2 of the label's probability, in bits; none without labels, as are the other means.
    pub fn cross_entropy(&self) -> Option<f64> {
        self.per_label(from_units(self.surprise))
    }

    /// The share of the labels that were the most probable class; of several such, the lowest.
    pub fn accuracy(&self) -> Option<f64> {
        self.per_label(self.right.total() as f64)
    }

    /// Mean Σ(p - y)² over the classes, y being 1 for the label and 0 else: in [0, 2].
    pub fn brier(&self) -> Option<f64> {
        self.per_label(from_units(self.brier))
    }

    /// The expected calibration error: the mean distance of confidence and accuracy over 15 equal
    /// bins of confidence, by their records (Naeini et al. 2015).
    pub fn calibration_error(&self) -> Option<f64> {
        let gap = |bin: &Bin| (from_units(bin.confidence) - bin.right as f64).abs();
        self.per_label(self.bins.iter().map(gap).sum())
    }

    /// Mean confidence of the records with a label.
    pub fn confidence(&self) -> Option<f64> {
        let sum: u128 = self.bins.iter().map(|bin| bin.confidence).sum();
        self.per_label(from_units(sum))
    }

    fn per_label(&self, sum: f64) -> Option<f64> {
        let records = self.records();
        (records > 0).then(|| sum / records as f64)
    }

    /// Of each label that is there, by class: its index, its records, and Σp over them by class,
    /// empty where there are more than [`MOST_CONFUSION_CLASSES`].
    pub fn by_label(&self) -> impl Iterator<Item = (usize, u64, Vec<f64>)> {
        self.by_label.iter().map(|of_label| {
            let sums = of_label.sums.units().map(from_units).collect();
            (of_label.label as usize, of_label.records, sums)
        })
    }

    /// Histograms of the doubt: of the records without a label, of those that were wrong, and of
    /// those that were right.
    pub fn doubts(&self) -> [&Histogram; 3] {
        [&self.unlabelled, &self.wrong, &self.right]
    }

    /// Of the entropy of the records with a label.
    pub fn entropies(&self) -> &Histogram {
        &self.entropies
    }

    pub(super) fn stored(&self) -> Stored {
        let pairs = |histogram: &Histogram| histogram.iter().collect();
        let of_label = |of: &OfLabel| (of.label, of.records, of.sums.units().collect());
        (
            self.unknown,
            (self.surprise, self.brier),
            self.bins.map(|bin| (bin.confidence, bin.right)).to_vec(),
            self.by_label.iter().map(of_label).collect(),
            (
                pairs(&self.unlabelled),
                pairs(&self.wrong),
                pairs(&self.right),
            ),
            pairs(&self.entropies),
        )
    }

    /// Of what was stored, in a summary of so many classes and records; else what no records give.
    pub(super) fn of(stored: Stored, classes: usize, records: u64) -> Result<Self, &'static str> {
        let (unknown, (surprise, brier), bins, by_label, doubts, entropies) = stored;
        let histogram = |pairs: Pairs| {
            Counts::of(pairs)
                .and_then(Histogram::of)
                .ok_or("a histogram of labelled records is none")
        };
        let sorted = by_label.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let within = |&(label, records, ref sums): &(u32, u64, Vec<u128>)| {
            (label as usize) < classes && records > 0 && sums.len() == lanes_of(classes)
        };
        if !sorted || !by_label.iter().all(within) {
            return Err("labels are out of order, or are no classes");
        }
        let of_label = |(label, records, sums): (u32, u64, Vec<u128>)| {
            let sums = Lanes::of(&sums, records)?;
            Some(OfLabel {
                label,
                records,
                sums,
            })
        };
        let by_label: Option<Vec<OfLabel>> = by_label.into_iter().map(of_label).collect();
        let bin = |(confidence, right)| Bin { confidence, right };
        let bins: Vec<Bin> = bins.into_iter().map(bin).collect();
        let labelled = Self {
            unknown,
            surprise,
            brier,
            bins: bins.try_into().map_err(|_| "there are not 15 bins")?,
            by_label: by_label.ok_or("a sum is more than its labels can give")?,
            unlabelled: histogram(doubts.0)?,
            wrong: histogram(doubts.1)?,
            right: histogram(doubts.2)?,
            entropies: histogram(entropies)?,
        };
        match labelled.adds_up(records) {
            true => Ok(labelled),
            false => Err("labelled records do not add up"),
        }
    }

    /// Whether the parts are of the same records, of which a summary has `most`.
    fn adds_up(&self, most: u64) -> bool {
        let [unlabelled, wrong, right] = self.doubts().map(|doubts| doubts.total());
        let by_label = total(self.by_label.iter().map(|of_label| of_label.records));
        let in_bins = total(self.bins.iter().map(|bin| bin.right));
        let Some(labelled) = wrong.checked_add(right) else {
            return false;
        };
        let observed = labelled.checked_add(unlabelled);
        // In units a record: 1 is 2^40, a surprise at most 40 bits, a Brier score 2.
        let at_most = |sum: u128, bits: u32| sum <= u128::from(labelled) << bits;
        observed.is_some_and(|observed| observed > 0 && observed <= most)
            && by_label == Some(labelled)
            && in_bins == Some(right)
            && self.entropies.total() == labelled
            && self.unknown <= unlabelled
            && at_most(self.surprise, 46)
            && at_most(self.brier, 42)
            && self.bins.iter().all(|bin| at_most(bin.confidence, 40))
    }
}

/// None where it is beyond 64 bits.
fn total(mut counts: impl Iterator<Item = u64>) -> Option<u64> {
    counts.try_fold(0_u64, |sum, count| sum.checked_add(count))
}

fn lanes_of(classes: usize) -> usize {
    if classes <= MOST_CONFUSION_CLASSES {
        classes
    } else {
        0
    }
}

/// The sums of a label, made if it has none.
fn of_label(by_label: &mut Vec<OfLabel>, label: u32, lanes: usize) -> &mut OfLabel {
    let at = by_label.partition_point(|of_label| of_label.label < label);
    if by_label
        .get(at)
        .is_none_or(|of_label| of_label.label != label)
    {
        let fresh = OfLabel {
            label,
            records: 0,
            sums: Lanes::new(lanes),
        };
        by_label.insert(at, fresh);
    }
    &mut by_label[at]
}

/// Σ(p - y)²
fn brier(probabilities: &[f64], label: usize) -> f64 {
    let off = |(class, &p): (usize, &f64)| p - f64::from(u8::from(class == label));
    probabilities
        .iter()
        .enumerate()
        .map(off)
        .map(|off| off * off)
        .sum()
}
