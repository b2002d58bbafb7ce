//! The mergeable summary: all that a pane, a window or a baseline keeps of its records.
//!
//! A commutative monoid, exactly: sums are fixed-point integers in units of 2^-40, so that neither
//! the order nor the grouping of merges changes a bit, and `subtract` undoes `merge`. That is what
//! lets a window be kept by adding the pane that comes and taking away the one that goes, and what
//! makes results independent of how partitions, batches and restarts cut the stream. One record's
//! rounding is 4.5e-13.
//!
//! Summaries that meet have as many classes each: a stream's never change, and whoever merges
//! streams compares their classes first.

mod codec;
mod counts;
mod histogram;
mod labelled;
mod lanes;
mod members;
mod multilabel;
mod nature;
mod responses;
mod segments;
#[cfg(test)]
mod tests;

use crate::information::entropy::{entropy, top_two};
use crate::observation::{Form, Millis};
pub use codec::DecodeError;
use counts::Counts;
pub use histogram::Histogram;
pub use labelled::{Label, Labelled, MOST_CONFUSION_CLASSES};
use lanes::{Lanes, from_units, to_units};
use members::Members;
use multilabel::Multilabel;
use responses::Responses;
pub use responses::TokenMeans;
pub use segments::{MOST_OPEN_SEGMENTS, MOST_SEGMENTS, OTHER, Segment, Segments};

/// Sums and counts of records, each a distribution over `classes()` classes; or, as
/// [`Summary::nature`] says, as many labels, or tokens without classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    records: u64,
    /// Σp and Σp², by class.
    sums: Lanes,
    squares: Lanes,
    scalars: Scalars,
    /// How often each class was the most probable; of several, the lowest.
    argmax: Counts,
    histogram: Histogram,
    /// Least and greatest event time.
    span: Option<(Millis, Millis)>,
    // Parts that only some kinds of records have. Each counts its own records and is all zeros
    // without them, so that taking them away leaves no trace.
    members: Members,
    multilabel: Multilabel,
    responses: Responses,
    /// Of the records of a model with labels; none where it has no records.
    labelled: Option<Box<Labelled>>,
    /// Of the records of a model with tags; the same.
    segments: Option<Box<Segments>>,
}

/// Sums of one number a record, in units of 2^-40.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Scalars {
    /// Σh, in bits, and Σh².
    entropy: u128,
    entropy_squares: u128,
    /// Σ of the largest probability, and of its distance to the second.
    confidence: u128,
    margin: u128,
}

impl Summary {
    /// Of no records.
    pub fn new(classes: usize) -> Self {
        Self {
            records: 0,
            sums: Lanes::new(classes),
            squares: Lanes::new(classes),
            scalars: Scalars::default(),
            argmax: Counts::default(),
            histogram: Histogram::default(),
            span: None,
            members: Members::default(),
            multilabel: Multilabel::default(),
            responses: Responses::default(),
            labelled: None,
            segments: None,
        }
    }

    /// Adds one record: a valid distribution over `classes()` classes. Gives its entropy in bits.
    pub fn add(&mut self, probabilities: &[f64], time_ms: Millis) -> f64 {
        let entropy_bits = entropy(probabilities);
        let top = top_two(probabilities);
        self.records += 1;
        self.fit();
        self.sums.add(probabilities);
        self.squares.add_squares(probabilities);
        self.scalars.entropy += u128::from(to_units(entropy_bits));
        self.scalars.entropy_squares += u128::from(to_units(entropy_bits * entropy_bits));
        self.scalars.confidence += u128::from(to_units(top.first));
        self.scalars.margin += u128::from(to_units(top.first - top.second));
        self.argmax.add(top.class as u32, 1);
        self.histogram.add(entropy_bits);
        self.widen(Some((time_ms, time_ms)));
        entropy_bits
    }

    /// Adds one record of any form, whose numbers are `numbers`. Gives its entropy in bits.
    pub fn add_observation(&mut self, numbers: &[f64], form: &Form, time_ms: Millis) -> f64 {
        match form {
            Form::Distribution => self.add(numbers, time_ms),
            Form::Ensemble { expected_bits } => self.add_ensemble(numbers, *expected_bits, time_ms),
            Form::Multilabel => self.add_multilabel(numbers, time_ms),
            Form::Response(response) => self.add_response(response, time_ms),
        }
    }

    /// Adds the label of a record that was added, where the model has labels.
    pub fn add_label(&mut self, probabilities: &[f64], label: Label) {
        self.labelled
            .get_or_insert_default()
            .add(probabilities, label);
    }

    /// Adds the tags (name and value) of a record that was added, where the model has tags.
    pub fn add_tags<'a>(
        &mut self,
        probabilities: &[f64],
        tags: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        self.segments
            .get_or_insert_default()
            .add(probabilities, tags);
    }

    /// Bounds the segments of a pane that is open, after merging.
    pub fn keep_first_segments(&mut self) {
        if let Some(segments) = &mut self.segments {
            segments.keep_first();
        }
    }

    /// Keeps of each tag the `most` values with most records, and puts the others together.
    pub fn keep_largest_segments(&mut self, most: usize) {
        if let Some(segments) = &mut self.segments {
            segments.keep_largest(most);
        }
    }

    /// Adds the records of `other`, exactly.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(
            self.classes(),
            other.classes(),
            "summaries that meet have like classes"
        );
        self.records += other.records;
        self.fit();
        self.sums.merge(&other.sums);
        self.squares.merge(&other.squares);
        self.scalars.entropy += other.scalars.entropy;
        self.scalars.entropy_squares += other.scalars.entropy_squares;
        self.scalars.confidence += other.scalars.confidence;
        self.scalars.margin += other.scalars.margin;
        self.argmax.merge(&other.argmax);
        self.histogram.merge(&other.histogram);
        self.members.merge(&other.members);
        self.multilabel.merge(&other.multilabel);
        self.responses.merge(&other.responses);
        self.widen(other.span);
        if let Some(labelled) = &other.labelled {
            self.labelled.get_or_insert_default().merge(labelled);
        }
        if let Some(segments) = &other.segments {
            self.segments.get_or_insert_default().merge(segments);
        }
    }

    /// Takes the records of `other`, which were merged before, away again. The span alone cannot
    /// shrink: it stays while records remain.
    pub fn subtract(&mut self, other: &Self) {
        self.records -= other.records;
        self.sums.subtract(&other.sums);
        self.squares.subtract(&other.squares);
        self.fit();
        self.scalars.entropy -= other.scalars.entropy;
        self.scalars.entropy_squares -= other.scalars.entropy_squares;
        self.scalars.confidence -= other.scalars.confidence;
        self.scalars.margin -= other.scalars.margin;
        self.argmax.subtract(&other.argmax);
        self.histogram.subtract(&other.histogram);
        self.members.subtract(&other.members);
        self.multilabel.subtract(&other.multilabel);
        self.responses.subtract(&other.responses);
        self.span = self.span.filter(|_| self.records > 0);
        if let (Some(held), Some(labelled)) = (&mut self.labelled, &other.labelled) {
            held.subtract(labelled);
            self.labelled.take_if(|held| held.is_empty());
        }
        if let (Some(held), Some(segments)) = (&mut self.segments, &other.segments) {
            held.subtract(segments);
            self.segments.take_if(|held| held.is_empty());
        }
    }

    fn fit(&mut self) {
        self.sums.fit(self.records);
        self.squares.fit(self.records);
    }

    fn widen(&mut self, by: Option<(Millis, Millis)>) {
        self.span = match (self.span, by) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (span, None) | (None, span) => span,
        };
    }

    pub fn classes(&self) -> usize {
        self.sums.len()
    }

    pub fn records(&self) -> u64 {
        self.records
    }

    /// Least and greatest event time; none without records.
    pub fn span(&self) -> Option<(Millis, Millis)> {
        self.span
    }

    /// Σp, by class.
    pub fn probability_sums(&self) -> Vec<f64> {
        self.sums.numbers()
    }

    /// Σp², by class.
    pub fn square_sums(&self) -> Vec<f64> {
        self.squares.numbers()
    }

    /// Σh and Σh², in bits and their square.
    pub fn entropy_sums(&self) -> (f64, f64) {
        let Scalars {
            entropy,
            entropy_squares,
            ..
        } = self.scalars;
        (from_units(entropy), from_units(entropy_squares))
    }

    /// The mean distribution; zeros without records.
    pub fn mean(&self) -> Vec<f64> {
        self.means(&self.sums)
    }

    /// The population variance of each class's probability, at least 0.
    pub fn variances(&self) -> Vec<f64> {
        let mut variances = self.means(&self.squares);
        for (square, mean) in variances.iter_mut().zip(self.mean()) {
            *square = (*square - mean * mean).max(0.0);
        }
        variances
    }

    /// Mean entropy of the records, in bits; 0 without records, as are the other means.
    pub fn entropy(&self) -> f64 {
        self.per_record(self.scalars.entropy)
    }

    /// The population variance of the records' entropies, in bits², at least 0.
    pub fn entropy_variance(&self) -> f64 {
        let mean = self.entropy();
        (self.per_record(self.scalars.entropy_squares) - mean * mean).max(0.0)
    }

    /// Mean largest probability.
    pub fn confidence(&self) -> f64 {
        self.per_record(self.scalars.confidence)
    }

    /// Mean distance of the largest probability to the second.
    pub fn margin(&self) -> f64 {
        self.per_record(self.scalars.margin)
    }

    /// How often each class was the most probable; of labels, how often each applied.
    pub fn argmax_counts(&self) -> Vec<f64> {
        let mut counts = vec![0.0; self.classes()];
        for (class, count) in self.argmax.iter() {
            counts[class as usize] = count as f64;
        }
        counts
    }

    /// The distribution of the records' entropies.
    pub fn histogram(&self) -> &Histogram {
        &self.histogram
    }

    /// What is known of labels; none where the model has none.
    pub fn labelled(&self) -> Option<&Labelled> {
        self.labelled.as_deref()
    }

    /// The segments that tags make; none where the model has no tags.
    pub fn segments(&self) -> Option<&Segments> {
        self.segments.as_deref()
    }

    fn means(&self, sums: &Lanes) -> Vec<f64> {
        let mut means = sums.numbers();
        // Without records they are zeros.
        let records = self.records.max(1) as f64;
        means.iter_mut().for_each(|sum| *sum /= records);
        means
    }

    fn per_record(&self, units: u128) -> f64 {
        if self.records == 0 {
            0.0
        } else {
            from_units(units) / self.records as f64
        }
    }
}
