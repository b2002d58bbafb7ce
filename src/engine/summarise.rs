//! The first half of the engine: records of one model to deltas.
//!
//! A record is decoded, placed in its stream and its cell of event time, and added to the summary
//! of that (stream, cell). What comes out is a batch of [`Delta`]s, which the second half merges.
//! The halves share nothing else, so that a topic could lie between them.
//!
//! Which records are late is decided here, by the partition's own watermark at the record's place
//! in it (see [`crate::window::watermark`]): cutting the input into other batches changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::review::{Lines, Uncertain};
use crate::baseline::Baseline;
use crate::decode::{Decoder, Record, Scratch};
use crate::engine::spec::ModelSpec;
use crate::observation::{Millis, Reason, Rejection, StreamKey};
use crate::summary::{Label, Summary};
use crate::window::traffic::Refusals;
use crate::window::watermark::{Cell, PartitionTime, cell_of};

/// A stream and its classes.
#[derive(Debug, PartialEq)]
pub struct Stream {
    pub key: StreamKey,
    /// Shared by streams that have the same.
    pub classes: Arc<[String]>,
}

/// Records of one stream in one cell.
#[derive(Debug)]
pub struct Delta {
    pub stream: Arc<Stream>,
    pub cell: Cell,
    /// The cell with whose closing the records begin to count: their own, or a later one when they
    /// are late.
    pub joins: Cell,
    pub summary: Summary,
}

/// What has been read since the last batch was taken.
#[derive(Debug, Default)]
pub struct Batch {
    pub deltas: Vec<Delta>,
    /// Rejections by the cell they count in; none: their partition has given no time yet.
    pub rejected: BTreeMap<Option<Cell>, Refusals>,
    /// Records older than every window that is still to come.
    pub too_late: u64,
}

/// One stream's place in the table.
#[derive(Debug)]
struct Known {
    stream: Arc<Stream>,
    /// The class names sorted, as an object's are; and where each class is among them.
    sorted: Vec<String>,
    order: Vec<usize>,
    /// Where its latest record went: most of the next go there too.
    latest: Option<(Place, usize)>,
    /// Records of a greater entropy, in bits, are uncertain; none: none is.
    line_bits: Option<f64>,
}

/// What the records of one stream that share a delta have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    batch: u64,
    cell: Cell,
    joins: Cell,
}

/// The streams that are known.
#[derive(Debug, Default)]
struct Table {
    known: Vec<Known>,
    /// Where in `known` a stream is, by dimension values in the order of the spec's dimensions.
    by_values: HashMap<Vec<String>, usize, RandomState>,
    /// Of all the streams beyond the limit.
    overflow: Option<Known>,
}

/// Decodes and summarises the records of one model.
#[derive(Debug)]
pub struct Summarise {
    spec: Arc<ModelSpec>,
    decoder: Decoder,
    scratch: Scratch,
    /// The distribution in the order of the stream's classes.
    ordered: Vec<f64>,
    table: Table,
    batch: Batch,
    /// How many batches were taken before this one.
    batches: u64,
    /// Where in the batch a stream's delta is; streams by address, which is theirs alone.
    places: HashMap<(usize, Place), usize, RandomState>,
    lines: Lines,
}

impl Summarise {
    pub fn new(spec: Arc<ModelSpec>) -> Self {
        Self {
            decoder: Decoder::new(spec.decoder.clone()),
            lines: Lines::new(&spec),
            spec,
            scratch: Scratch::default(),
            ordered: Vec::new(),
            table: Table::default(),
            batch: Batch::default(),
            batches: 0,
            places: HashMap::default(),
        }
    }

    /// Which records are uncertain.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Draws the lines by this baseline from the next record on.
    pub fn set_baseline(&mut self, baseline: Option<Arc<Baseline>>) {
        self.lines.set_baseline(baseline);
        for known in self.table.known.iter_mut().chain(&mut self.table.overflow) {
            known.line_bits = self.lines.of(&known.stream);
        }
    }

    /// Makes a stream of an earlier run known again, with the classes it had.
    pub fn know(&mut self, key: &StreamKey, classes: Vec<String>) {
        let known = Known::new(key.clone(), self.table.shared(classes), &self.lines);
        if *key == StreamKey::overflow() {
            self.table.overflow = Some(known);
        } else {
            let dimensions = &self.spec.decoder.dimensions;
            let value = |name| key.0.get(name).cloned().unwrap_or_default();
            let values = dimensions.iter().map(|(name, _)| value(name)).collect();
            self.table.insert(values, known);
        }
    }

    /// Makes room for another stream.
    pub fn forget(&mut self, key: &StreamKey) {
        self.table
            .overflow
            .take_if(|known| known.stream.key == *key);
        self.table.forget(key);
    }

    /// Takes what has been summarised since the last call.
    pub fn take(&mut self) -> Batch {
        self.places.clear();
        self.batches += 1;
        std::mem::take(&mut self.batch)
    }

    /// Reads one record of the partition whose time is `partition`, at `now_ms` by the wall clock.
    /// Says so if it is uncertain.
    ///
    /// # Errors
    /// Why the record is refused; it has been counted as such.
    pub fn record(
        &mut self,
        partition: &mut PartitionTime,
        record: &Record<'_>,
        now_ms: Option<Millis>,
    ) -> Result<Option<Uncertain>, Rejection> {
        let read = self.read(record, now_ms);
        let first_open = partition.first_open(self.spec.lateness_ms, self.spec.window.cell_ms());
        let added = read.and_then(|()| self.add(first_open));
        match self.scratch.time_ms {
            Some(time_ms) => partition.advance(time_ms),
            None => {
                if let Some(now_ms) = now_ms {
                    partition.nothing_to_give(now_ms, false);
                }
            }
        }
        if let Err(rejection) = &added {
            let time_ms = self.scratch.time_ms.or(partition.newest_ms());
            let cell = time_ms.map(|time| cell_of(time, self.spec.window.cell_ms()));
            let cell = cell.map(|cell| first_open.map_or(cell, |open| cell.max(open)));
            let refusals = self.batch.rejected.entry(cell).or_default();
            refusals.add(rejection.reason);
        }
        added
    }

    /// Decodes; afterwards the scratch's time is there only if it may be used.
    fn read(&mut self, record: &Record<'_>, now_ms: Option<Millis>) -> Result<(), Rejection> {
        let decoded = self.decoder.decode(record, &mut self.scratch);
        let (Some(time_ms), Some(now_ms)) = (self.scratch.time_ms, now_ms) else {
            return decoded;
        };
        let ahead_ms = time_ms.saturating_sub(now_ms);
        if ahead_ms <= self.spec.max_ahead_ms {
            return decoded;
        }
        self.scratch.time_ms = None;
        decoded.and_then(|()| {
            Err(Rejection::new(
                Reason::AheadOfClock,
                format!(
                    "dated {}, {} s ahead of the clock; max_ahead is {} s",
                    crate::observation::rfc3339(time_ms),
                    ahead_ms / 1000,
                    self.spec.max_ahead_ms / 1000
                ),
            ))
        })
    }

    /// Adds the decoded record to its delta.
    fn add(&mut self, first_open: Option<Cell>) -> Result<Option<Uncertain>, Rejection> {
        let Some(time_ms) = self.scratch.time_ms else {
            return Err(Rejection::new(
                Reason::BadTimestamp,
                "the record has no time",
            ));
        };
        let known = self.table.stream(&self.spec, &self.lines, &self.scratch)?;
        let probabilities = known.arrange(&self.scratch, &mut self.ordered)?;
        let cell = cell_of(time_ms, self.spec.window.cell_ms());
        let joins = first_open.map_or(cell, |open| cell.max(open));
        if self
            .spec
            .window
            .panes()
            .is_some_and(|panes| cell + panes <= joins)
        {
            self.batch.too_late += 1;
            return Ok(None);
        }
        let place = Place {
            batch: self.batches,
            cell,
            joins,
        };
        let deltas = &mut self.batch.deltas;
        let at = match known.latest {
            Some((latest, at)) if latest == place => at,
            _ => {
                let address = Arc::as_ptr(&known.stream) as usize;
                *self.places.entry((address, place)).or_insert_with(|| {
                    deltas.push(Delta {
                        stream: Arc::clone(&known.stream),
                        cell,
                        joins,
                        summary: Summary::new(known.stream.classes.len()),
                    });
                    deltas.len() - 1
                })
            }
        };
        known.latest = Some((place, at));
        let summary = &mut deltas[at].summary;
        let entropy_bits = summary.add_observation(probabilities, &self.scratch.form, time_ms);
        let decoder = &self.spec.decoder;
        if decoder.label.is_some() {
            summary.add_label(probabilities, known.label(self.scratch.label()));
        }
        if !decoder.tags.is_empty() {
            let names = decoder.tags.iter().map(|(name, _)| name.as_str());
            let values = self.scratch.tags.iter().map(String::as_str);
            summary.add_tags(probabilities, names.zip(values));
        }
        let line_bits = known.line_bits.filter(|&line| entropy_bits > line);
        Ok(line_bits.map(|line_bits| Uncertain {
            entropy_bits,
            line_bits,
        }))
    }
}

impl Table {
    /// The stream of the record in the scratch, made known if it is new.
    fn stream(
        &mut self,
        spec: &ModelSpec,
        lines: &Lines,
        scratch: &Scratch,
    ) -> Result<&mut Known, Rejection> {
        let values = scratch.dimensions.as_slice();
        let found = match values {
            // Without dimensions there is one stream.
            [] => (!self.known.is_empty()).then_some(0),
            _ => self.by_values.get(values).copied(),
        };
        let at = match found {
            Some(at) => at,
            None if self.known.len() < spec.limits.streams => {
                let names = spec.decoder.dimensions.iter().map(|(name, _)| name.clone());
                let key = StreamKey(names.zip(values.iter().cloned()).collect());
                let classes = self.shared(classes_of(spec, scratch)?);
                let known = Known::new(key, classes, lines);
                self.insert(values.to_vec(), known)
            }
            None => {
                return Ok(match &mut self.overflow {
                    Some(known) => known,
                    none => {
                        let classes = classes_of(spec, scratch)?;
                        none.insert(Known::new(StreamKey::overflow(), classes.into(), lines))
                    }
                });
            }
        };
        Ok(&mut self.known[at])
    }

    /// The classes, where they are the first stream's, as that has them.
    fn shared(&self, classes: Vec<String>) -> Arc<[String]> {
        let first = self.known.first().map(|known| &known.stream.classes);
        let same = first.filter(|first| ***first == *classes);
        same.cloned().unwrap_or_else(|| classes.into())
    }

    fn insert(&mut self, values: Vec<String>, known: Known) -> usize {
        match self.by_values.get(&values) {
            Some(&at) => {
                self.known[at] = known;
                at
            }
            None => {
                let at = self.known.len();
                self.known.push(known);
                self.by_values.insert(values, at);
                at
            }
        }
    }

    fn forget(&mut self, key: &StreamKey) {
        let Some(at) = self.known.iter().position(|known| known.stream.key == *key) else {
            return;
        };
        self.known.remove(at);
        self.by_values.retain(|_, place| *place != at);
        for place in self.by_values.values_mut().filter(|place| **place > at) {
            *place -= 1;
        }
    }
}

/// The classes of a stream that begins with the record in the scratch.
fn classes_of(spec: &ModelSpec, scratch: &Scratch) -> Result<Vec<String>, Rejection> {
    let found = scratch.probabilities.len();
    match &spec.classes {
        Some(classes) if classes.len() == found => Ok(classes.clone()),
        Some(classes) => Err(wrong_count(found, classes.len())),
        None if scratch.class_names.is_empty() => Ok((0..found).map(|k| k.to_string()).collect()),
        None => Ok(scratch.class_names.clone()),
    }
}

impl Known {
    fn new(key: StreamKey, classes: Arc<[String]>, lines: &Lines) -> Self {
        let mut sorted = classes.to_vec();
        sorted.sort_unstable();
        let order = classes
            .iter()
            .map(|class| sorted.partition_point(|s| s < class))
            .collect();
        let stream = Stream { key, classes };
        Self {
            line_bits: lines.of(&stream),
            stream: Arc::new(stream),
            sorted,
            order,
            latest: None,
        }
    }

    /// The class that a label's text names; else, where the text is a number, the class of this
    /// index; else, of two classes, the one that a truth value stands for.
    fn label(&self, text: Option<&str>) -> Label {
        let Some(text) = text else {
            return Label::None;
        };
        if let Ok(at) = self
            .sorted
            .binary_search_by(|class| class.as_str().cmp(text))
        {
            let class = self.order.iter().position(|&place| place == at);
            return class.map_or(Label::Unknown, Label::Class);
        }
        let classes = self.order.len();
        let index = match text {
            "false" if classes == 2 => Some(0),
            "true" if classes == 2 => Some(1),
            _ => text.parse().ok(),
        };
        index
            .filter(|&index: &usize| index < classes)
            .map_or(Label::Unknown, Label::Class)
    }

    /// The record's distribution in the order of the stream's classes.
    fn arrange<'a>(
        &self,
        scratch: &'a Scratch,
        ordered: &'a mut Vec<f64>,
    ) -> Result<&'a [f64], Rejection> {
        let found = scratch.probabilities.len();
        if found != self.order.len() {
            return Err(wrong_count(found, self.order.len()));
        }
        if scratch.class_names.is_empty() {
            return Ok(&scratch.probabilities);
        }
        if let Some(name) = scratch
            .class_names
            .iter()
            .zip(&self.sorted)
            .find(|(a, b)| a != b)
        {
            return Err(Rejection::new(
                Reason::ClassMismatch,
                format!(
                    "class {:.60?} is not one of the stream's, {:.60?} is missing",
                    name.0, name.1
                ),
            ));
        }
        ordered.clear();
        ordered.extend(self.order.iter().map(|&at| scratch.probabilities[at]));
        Ok(ordered)
    }
}

fn wrong_count(found: usize, expected: usize) -> Rejection {
    Rejection::new(
        Reason::ClassMismatch,
        format!("{found} classes, but the stream has {expected}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_classes_or_number_them() {
        let known = |classes: &[&str]| {
            let classes = classes.iter().map(|&class| class.to_owned());
            Known::new(StreamKey::whole(), classes.collect(), &Lines::default())
        };
        let cases: [(&[&str], &str, Label); 13] = [
            (&["legit", "fraud"], "fraud", Label::Class(1)),
            (&["legit", "fraud"], "legit", Label::Class(0)),
            (&["legit", "fraud"], "1", Label::Class(1)),
            (&["legit", "fraud"], "2", Label::Unknown),
            (&["legit", "fraud"], "-1", Label::Unknown),
            (&["legit", "fraud"], "Fraud", Label::Unknown),
            (&["legit", "fraud"], "", Label::Unknown),
            (&["legit", "fraud"], "true", Label::Class(1)),
            (&["legit", "fraud"], "false", Label::Class(0)),
            (&["true", "false"], "true", Label::Class(0)),
            (&["a", "b", "c"], "true", Label::Unknown),
            // A name comes before a number.
            (&["2", "1", "0"], "2", Label::Class(0)),
            (&["0", "1", "2"], "2", Label::Class(2)),
        ];
        for (classes, text, label) in cases {
            assert_eq!(
                known(classes).label(Some(text)),
                label,
                "{classes:?} {text}"
            );
        }
        assert_eq!(known(&["a"]).label(None), Label::None);
    }

    #[test]
    fn the_others_are_found_when_a_stream_is_forgotten() {
        let key = |value: &str| StreamKey(BTreeMap::from([("d".to_owned(), value.to_owned())]));
        let mut table = Table::default();
        for value in ["a", "b", "c"] {
            let known = Known::new(key(value), Arc::default(), &Lines::default());
            table.insert(vec![value.to_owned()], known);
        }
        table.forget(&key("b"));
        assert_eq!((table.known.len(), table.by_values.len()), (2, 2));
        for (values, at) in &table.by_values {
            assert_eq!(table.known[*at].stream.key, key(&values[0]));
        }
    }
}
