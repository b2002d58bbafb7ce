//! Records from a file: one a line, or, for raw floats, one each fixed number of bytes. Memory is
//! bounded by the longest record that the model accepts, whatever the file holds.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use anyhow::Context as _;

use super::Failure;
use crate::app::baselines::name_for;
use crate::baseline::{Baseline, Source};
use crate::clock;
use crate::decode::{Format, NoHeaders, Record};
use crate::engine::output::Output;
use crate::engine::spec::{BaselineSpec, ModelSpec};
use crate::engine::{Engine, PartitionId, TopicPartition};
use crate::observation::Millis;

/// How many records go between decisions. It changes nothing in what comes out.
const BATCH: u64 = 1000;

/// The name that a file's one partition goes by.
const TOPIC: &str = "(file)";

/// When the records of a file were, for a model that takes the time from Kafka.
#[derive(Clone, Copy, Debug)]
pub struct Cadence {
    pub start_ms: Millis,
    pub every_ms: Millis,
}

/// The model as it reads a file: one topic, and no time of its own but the cadence's.
fn file_spec(spec: &ModelSpec) -> ModelSpec {
    ModelSpec {
        topics: vec![TOPIC.to_owned()],
        ..spec.clone()
    }
}

/// An engine for the records of a file.
pub fn engine(spec: &ModelSpec) -> Engine {
    Engine::new(vec![file_spec(spec)], None)
}

/// A file's one partition.
pub fn file_partition() -> TopicPartition {
    TopicPartition {
        topic: TOPIC.to_owned(),
        partition: 0,
    }
}

/// Reads every record of `path` (`-`: stdin) into the engine, and closes the newest record's pane.
/// `emit` is called after each batch.
pub fn feed(
    engine: &mut Engine,
    spec: &ModelSpec,
    path: &Path,
    cadence: Option<Cadence>,
    now_ms: Millis,
    mut emit: impl FnMut(&mut Engine) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let takes_kafka_time = spec.decoder.timestamp.is_none();
    if takes_kafka_time && cadence.is_none() {
        return Err(Failure::usage(format!(
            "model {} takes its time from Kafka, which a file has not: give --start and --every, \
             or set models.{}.fields.timestamp",
            spec.name, spec.name
        )));
    }
    let progress = super::render::progress(path);
    let mut records = Records::open(spec, path)?;
    let partition = engine.add_partition(file_partition());
    let mut count = 0;
    while records
        .next()
        .with_context(|| format!("cannot read {}", path.display()))?
    {
        let timestamp_ms = cadence.filter(|_| takes_kafka_time).map(|cadence| {
            let after_ms = cadence.every_ms.saturating_mul(count as Millis);
            cadence.start_ms.saturating_add(after_ms)
        });
        // Times that were given on the command line are meant, however far ahead they are.
        let now_ms = (!takes_kafka_time).then_some(now_ms);
        read_one(
            engine,
            partition,
            count,
            &records.value,
            timestamp_ms,
            now_ms,
        );
        count += 1;
        progress.inc(records.value.len() as u64 + 1);
        if count % BATCH == 0 {
            engine.step(0);
            emit(engine)?;
        }
    }
    engine.finish();
    emit(engine)?;
    progress.finish_and_clear();
    Ok(count)
}

/// Learns a baseline from the records of a file, through the model's own decoder.
pub fn learn(
    spec: &ModelSpec,
    path: &Path,
    cadence: Option<Cadence>,
    source: Source,
) -> Result<Baseline, Failure> {
    let forever = BaselineSpec::Learn {
        duration_ms: Millis::MAX,
    };
    let teacher = ModelSpec {
        baseline: forever,
        rules: Vec::new(),
        budgets: Vec::new(),
        review: None,
        ..file_spec(spec)
    };
    let mut engine = Engine::new(vec![teacher], None);
    let mut rejected: u64 = 0;
    let mut first = None;
    let now_ms = clock::now_ms();
    let count = feed(&mut engine, spec, path, cadence, now_ms, |engine| {
        for output in engine.take_outputs() {
            if let Output::Rejected(refused) = output {
                rejected += 1;
                first.get_or_insert(refused);
            }
        }
        Ok(())
    })?;
    if let Some(first) = first {
        tracing::warn!(
            rejected,
            records = count,
            "records refused; the first is line {}: {}: {}",
            first.offset + 1,
            first.rejection.reason,
            first.rejection.detail
        );
    }
    engine
        .learnt(&spec.name, name_for(spec), source, now_ms)
        .ok_or_else(|| {
            let why = format!(
                "none of the {count} records of {} is usable",
                path.display()
            );
            Failure::Failed(anyhow::anyhow!(why))
        })
}

fn read_one(
    engine: &mut Engine,
    partition: PartitionId,
    index: u64,
    value: &[u8],
    timestamp_ms: Option<Millis>,
    now_ms: Option<Millis>,
) {
    let record = Record {
        payload: Some(value),
        timestamp_ms,
        headers: &NoHeaders,
    };
    engine.record(partition, index as i64, &record, now_ms);
}

/// The values of a file, one after the other.
struct Records {
    input: Box<dyn BufRead>,
    cut: Cut,
    value: Vec<u8>,
}

/// Where a record ends.
enum Cut {
    /// At a line's end; longer ones are cut off past `longest` bytes, so that they are refused.
    Line { longest: usize },
    /// After so many bytes.
    Bytes(usize),
}

impl Records {
    fn open(spec: &ModelSpec, path: &Path) -> Result<Self, Failure> {
        let width = match spec.decoder.format {
            Format::Json => None,
            Format::F32Le => Some(4),
            Format::F64Le => Some(8),
        };
        let cut = match (width, &spec.classes) {
            (None, _) => Cut::Line {
                longest: spec.decoder.max_payload_bytes,
            },
            (Some(width), Some(classes)) => Cut::Bytes(width * classes.len()),
            (Some(_), None) => {
                return Err(Failure::usage(format!(
                    "records of raw floats in a file are told apart by their length: set \
                     models.{}.classes",
                    spec.name
                )));
            }
        };
        let input: Box<dyn BufRead> = if path == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            let file =
                File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            Box::new(BufReader::with_capacity(1 << 20, file))
        };
        Ok(Self {
            input,
            cut,
            value: Vec::new(),
        })
    }

    /// Reads the next record into `value`; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        self.value.clear();
        match self.cut {
            Cut::Bytes(width) => {
                self.input
                    .by_ref()
                    .take(width as u64)
                    .read_to_end(&mut self.value)?;
                Ok(!self.value.is_empty())
            }
            Cut::Line { longest } => {
                // One byte more than is accepted, and the newline.
                let most = longest as u64 + 2;
                let read = self
                    .input
                    .by_ref()
                    .take(most)
                    .read_until(b'\n', &mut self.value)?;
                if self.value.last() == Some(&b'\n') {
                    self.value.pop();
                } else if read as u64 == most {
                    self.input.skip_until(b'\n')?;
                }
                Ok(read > 0)
            }
        }
    }
}
