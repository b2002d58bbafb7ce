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

use crate::decode::{Decoder, Record, Scratch};
use crate::engine::spec::ModelSpec;
use crate::observation::{Millis, Reason, Rejection, StreamKey};
use crate::summary::Summary;
use crate::window::watermark::{Cell, PartitionTime, cell_of};

/// A stream and its classes.
#[derive(Debug, PartialEq)]
pub struct Stream {
    pub key: StreamKey,
    pub classes: Vec<String>,
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
    pub rejected: BTreeMap<Option<Cell>, u64>,
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
}

/// The streams that are known.
#[derive(Debug, Default)]
struct Table {
    /// By dimension values, in the order of the spec's dimensions.
    known: HashMap<Vec<String>, Known>,
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
    /// Where in the batch a (stream, cell, joins) is; streams by address, which is theirs alone.
    places: HashMap<(usize, Cell, Cell), usize>,
}

impl Summarise {
    pub fn new(spec: Arc<ModelSpec>) -> Self {
        Self {
            decoder: Decoder::new(spec.decoder.clone()),
            spec,
            scratch: Scratch::default(),
            ordered: Vec::new(),
            table: Table::default(),
            batch: Batch::default(),
            places: HashMap::new(),
        }
    }

    /// Makes a stream of an earlier run known again, with the classes it had.
    pub fn know(&mut self, key: &StreamKey, classes: Vec<String>) {
        let known = Known::new(key.clone(), classes);
        if *key == StreamKey::overflow() {
            self.table.overflow = Some(known);
        } else {
            let dimensions = &self.spec.decoder.dimensions;
            let value = |name| key.0.get(name).cloned().unwrap_or_default();
            let values = dimensions.iter().map(|(name, _)| value(name)).collect();
            self.table.known.insert(values, known);
        }
    }

    /// Makes room for another stream.
    pub fn forget(&mut self, key: &StreamKey) {
        self.table
            .overflow
            .take_if(|known| known.stream.key == *key);
        self.table.known.retain(|_, known| known.stream.key != *key);
    }

    /// Takes what has been summarised since the last call.
    pub fn take(&mut self) -> Batch {
        self.places.clear();
        std::mem::take(&mut self.batch)
    }

    /// Reads one record of the partition whose time is `partition`, at `now_ms` by the wall clock.
    ///
    /// # Errors
    /// Why the record is refused; it has been counted as such.
    pub fn record(
        &mut self,
        partition: &mut PartitionTime,
        record: &Record<'_>,
        now_ms: Option<Millis>,
    ) -> Result<(), Rejection> {
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
        if added.is_err() {
            let time_ms = self.scratch.time_ms.or(partition.newest_ms());
            let cell = time_ms.map(|time| cell_of(time, self.spec.window.cell_ms()));
            let cell = cell.map(|cell| first_open.map_or(cell, |open| cell.max(open)));
            *self.batch.rejected.entry(cell).or_default() += 1;
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
    fn add(&mut self, first_open: Option<Cell>) -> Result<(), Rejection> {
        let Some(time_ms) = self.scratch.time_ms else {
            return Err(Rejection::new(
                Reason::BadTimestamp,
                "the record has no time",
            ));
        };
        let known = self.table.stream(&self.spec, &self.scratch)?;
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
            return Ok(());
        }
        let place = (Arc::as_ptr(&known.stream) as usize, cell, joins);
        let deltas = &mut self.batch.deltas;
        let at = *self.places.entry(place).or_insert_with(|| {
            deltas.push(Delta {
                stream: Arc::clone(&known.stream),
                cell,
                joins,
                summary: Summary::new(known.stream.classes.len()),
            });
            deltas.len() - 1
        });
        deltas[at].summary.add(probabilities, time_ms);
        Ok(())
    }
}

impl Table {
    /// The stream of the record in the scratch, made known if it is new.
    fn stream(&mut self, spec: &ModelSpec, scratch: &Scratch) -> Result<&Known, Rejection> {
        let values = scratch.dimensions.as_slice();
        if !self.known.contains_key(values) {
            if self.known.len() >= spec.limits.streams {
                if self.overflow.is_none() {
                    let classes = classes_of(spec, scratch)?;
                    self.overflow = Some(Known::new(StreamKey::overflow(), classes));
                }
                return self.overflow.as_ref().ok_or_else(unknown_stream);
            }
            let names = spec.decoder.dimensions.iter().map(|(name, _)| name.clone());
            let key = StreamKey(names.zip(values.iter().cloned()).collect());
            self.known
                .insert(values.to_vec(), Known::new(key, classes_of(spec, scratch)?));
        }
        self.known.get(values).ok_or_else(unknown_stream)
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
    fn new(key: StreamKey, classes: Vec<String>) -> Self {
        let mut sorted = classes.clone();
        sorted.sort_unstable();
        let order = classes
            .iter()
            .map(|class| sorted.partition_point(|s| s < class))
            .collect();
        Self {
            stream: Arc::new(Stream { key, classes }),
            sorted,
            order,
        }
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

/// Cannot be: the stream was inserted just before it is looked up.
fn unknown_stream() -> Rejection {
    Rejection::new(Reason::ClassMismatch, "the stream is not known")
}
