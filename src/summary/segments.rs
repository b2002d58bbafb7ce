//! Sums by the values of a tag: the segments that it splits a stream's records into.
//!
//! A segment is kept by the name of its value, so that segments of panes, windows and baselines
//! meet. Merging and subtracting are exact and know no bound, since a window has no more of them
//! than its panes. The bound is kept where records come in:
//!
//! - While a pane is open it keeps the [`MOST_OPEN_SEGMENTS`] values of a tag that come first in
//!   order of name; the records of the others are in the segment [`OTHER`]. Which values are first
//!   does not depend on the order of records or merges, and a value that is first among all is
//!   first among some: so its sums are whole, however the pane was put together.
//! - When a pane closes, it keeps the [`MOST_SEGMENTS`] with most records.

use std::collections::BTreeMap;

use super::lanes::{Lanes, from_units, to_units};
use crate::information::entropy::entropy;

/// Values of a tag that a closed pane keeps: the others are in [`OTHER`].
pub const MOST_SEGMENTS: usize = 32;

/// Values of a tag that an open pane or a baseline keeps.
pub const MOST_OPEN_SEGMENTS: usize = 256;

/// The segment of all that is too many.
pub const OTHER: &str = "(other)";

/// Segments by tag and value; no tag is without segments, no segment without records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments(BTreeMap<String, BTreeMap<String, Segment>>);

/// The records of one value of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    records: u64,
    /// Σp, by class.
    sums: Lanes,
    /// Σh, in units of 2^-40 bits.
    entropy: u128,
}

/// As it is stored: tag; of each of its values, records, Σh and Σp.
pub(super) type Stored = Vec<(String, Vec<StoredSegment>)>;
type StoredSegment = (String, u64, u128, Vec<u128>);

impl Segments {
    /// Adds a record to the segments of its tags' values.
    pub(super) fn add<'a>(
        &mut self,
        probabilities: &[f64],
        tags: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        let entropy = u128::from(to_units(entropy(probabilities)));
        for (tag, value) in tags {
            let segments = match self.0.get_mut(tag) {
                Some(segments) => segments,
                None => self.0.entry(tag.to_owned()).or_default(),
            };
            let segment = match segments.get_mut(value) {
                Some(segment) => segment,
                None => segments
                    .entry(value.to_owned())
                    .or_insert_with(|| Segment::new(probabilities.len())),
            };
            segment.records += 1;
            segment.sums.fit(segment.records);
            segment.sums.add(probabilities);
            segment.entropy += entropy;
            keep_first(segments);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (tag, segments) in &other.0 {
            let held = self.0.entry(tag.clone()).or_default();
            for (value, segment) in segments {
                merge_into(held, value, segment);
            }
        }
    }

    /// Takes records that were merged before away.
    pub(super) fn subtract(&mut self, other: &Self) {
        for (tag, segments) in &other.0 {
            let Some(held) = self.0.get_mut(tag) else {
                continue;
            };
            for (value, segment) in segments {
                if let Some(held) = held.get_mut(value) {
                    held.subtract(segment);
                }
            }
            held.retain(|_, segment| segment.records > 0);
        }
        self.0.retain(|_, segments| !segments.is_empty());
    }

    /// Puts all but the first [`MOST_OPEN_SEGMENTS`] values of each tag into [`OTHER`].
    pub(super) fn keep_first(&mut self) {
        self.0.values_mut().for_each(keep_first);
    }

    /// Puts all but the `most` values with most records of each tag into [`OTHER`]; of values with
    /// as many, the first in order of name stay.
    pub(super) fn keep_largest(&mut self, most: usize) {
        for segments in self.0.values_mut() {
            if named(segments) <= most {
                continue;
            }
            let names = segments.iter().filter(|(value, _)| *value != OTHER);
            let mut by_size: Vec<(u64, String)> = names
                .map(|(value, segment)| (segment.records, value.clone()))
                .collect();
            by_size.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
            for (_, value) in by_size.drain(most..) {
                put_with_others(segments, &value);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tags with their segments by value, both in order of name.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, Segment>)> {
        self.0
            .iter()
            .map(|(tag, segments)| (tag.as_str(), segments))
    }

    /// The segments of a tag, by value.
    pub fn tag(&self, tag: &str) -> Option<&BTreeMap<String, Segment>> {
        self.0.get(tag)
    }

    pub(super) fn stored(&self) -> Stored {
        let segment = |(value, segment): (&String, &Segment)| {
            let sums = segment.sums.units().collect();
            (value.clone(), segment.records, segment.entropy, sums)
        };
        let tag = |(tag, segments): (&String, &BTreeMap<String, Segment>)| {
            (tag.clone(), segments.iter().map(segment).collect())
        };
        self.0.iter().map(tag).collect()
    }

    /// Of what was stored, in a summary of so many classes and records; else what no records give.
    pub(super) fn of(stored: Stored, classes: usize, records: u64) -> Result<Self, &'static str> {
        let mut tags = BTreeMap::new();
        for (tag, stored) in stored {
            let mut segments = BTreeMap::new();
            let mut left = records;
            for (value, records, entropy, sums) in stored {
                left = left
                    .checked_sub(records)
                    .ok_or("segments have more records than there are")?;
                // An entropy is at most 64 bits, as in the whole.
                let fits = records > 0 && sums.len() == classes;
                if !fits || entropy > u128::from(records) << 46 {
                    return Err("a segment is not one of these records");
                }
                let sums = Lanes::of(&sums, records).ok_or("a sum is more than its segment's")?;
                let segment = Segment {
                    records,
                    sums,
                    entropy,
                };
                if segments.insert(value, segment).is_some() {
                    return Err("a segment is there twice");
                }
            }
            if segments.is_empty() || tags.insert(tag, segments).is_some() {
                return Err("a tag is there twice, or has no segments");
            }
        }
        match tags.is_empty() {
            true => Err("there are no segments"),
            false => Ok(Self(tags)),
        }
    }
}

impl Segment {
    fn new(classes: usize) -> Self {
        Self {
            records: 0,
            sums: Lanes::new(classes),
            entropy: 0,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.sums.fit(self.records);
        self.sums.merge(&other.sums);
        self.entropy += other.entropy;
    }

    fn subtract(&mut self, other: &Self) {
        self.records -= other.records;
        self.sums.subtract(&other.sums);
        self.sums.fit(self.records);
        self.entropy -= other.entropy;
    }

    /// At least one.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Σp, by class.
    pub fn probability_sums(&self) -> impl Iterator<Item = f64> {
        self.sums.units().map(from_units)
    }

    /// The mean distribution.
    pub fn mean(&self) -> Vec<f64> {
        let records = self.records as f64;
        self.probability_sums().map(|sum| sum / records).collect()
    }

    /// Mean entropy of the records, in bits.
    pub fn entropy(&self) -> f64 {
        from_units(self.entropy) / self.records as f64
    }
}

fn merge_into(segments: &mut BTreeMap<String, Segment>, value: &str, more: &Segment) {
    match segments.get_mut(value) {
        Some(segment) => segment.merge(more),
        None => drop(segments.insert(value.to_owned(), more.clone())),
    }
}

/// How many of the segments are of a value by itself.
fn named(segments: &BTreeMap<String, Segment>) -> usize {
    segments.len() - usize::from(segments.contains_key(OTHER))
}

fn keep_first(segments: &mut BTreeMap<String, Segment>) {
    // One more is the usual case, and has OTHER in it when there are too many.
    if segments.len() <= MOST_OPEN_SEGMENTS {
        return;
    }
    while named(segments) > MOST_OPEN_SEGMENTS {
        let last = segments.keys().rev().find(|value| *value != OTHER).cloned();
        let Some(last) = last else { return };
        put_with_others(segments, &last);
    }
}

fn put_with_others(segments: &mut BTreeMap<String, Segment>, value: &str) {
    if let Some(segment) = segments.remove(value) {
        merge_into(segments, OTHER, &segment);
    }
}
