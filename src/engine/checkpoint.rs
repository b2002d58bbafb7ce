//! The engine's state as bytes, and back.
//!
//! A checkpoint holds everything that decisions depend on: panes, partition times, alert states,
//! learning, what has been spent on review, positions, and the outbox. It says nothing of the
//! configuration; what no longer fits it after a restart (a rule that is gone, another window, another
//! kind, other dimensions or classes) ends or begins anew, and firing alerts that go with it are
//! resolved, saying so.

use std::collections::BTreeMap;

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use super::outbox::Outbox;
use super::restore::Lost;
use super::review::Spent;
use super::sound;
use super::state::State;
use super::{Engine, PartitionId, TopicPartition};
use crate::alert::budget::Budget;
use crate::alert::rule::Rule;
use crate::observation::{Millis, StreamKey};
use crate::window::watermark::PartitionTime;

/// The version of the bytes that this build writes. A state of an older one is rebuilt from Kafka.
pub const FORMAT: u16 = 2;

/// No partition gets so far: beyond it offsets have no successors to count with.
const MOST_OFFSET: i64 = 1 << 62;

/// Why bytes are not a checkpoint that this build can go on from.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("checkpoint format {found} is newer than this build's ({FORMAT})")]
    Newer { found: u16 },
    #[error("checkpoint format {found} is older than this build's ({FORMAT})")]
    Older { found: u16 },
    #[error("checkpoint cannot be read: {0}")]
    Malformed(String),
}

/// Bytes of a part. What is serialised whole, as a summary is, makes its part longer.
const PART_BYTES: usize = 16 << 10;

/// Gathers what postcard writes, a byte or a few at a time, into parts.
struct Parts<'a> {
    part: Vec<u8>,
    each: &'a mut dyn FnMut(&[u8]),
}

impl<'a> Parts<'a> {
    fn new(each: &'a mut dyn FnMut(&[u8])) -> Self {
        Self {
            part: Vec::with_capacity(2 * PART_BYTES),
            each,
        }
    }

    fn hand_over(&mut self) {
        (self.each)(&self.part);
        self.part.clear();
    }
}

impl Flavor for Parts<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.part.extend_from_slice(bytes);
        if self.part.len() >= PART_BYTES {
            self.hand_over();
        }
        Ok(())
    }

    fn finalize(mut self) -> postcard::Result<()> {
        self.hand_over();
        Ok(())
    }
}

#[derive(Serialize)]
struct Write<'a> {
    models: BTreeMap<&'a str, WriteModel<'a>>,
    positions: BTreeMap<TopicPartition, i64>,
    settled: BTreeMap<&'a TopicPartition, i64>,
    outbox: &'a Outbox,
}

#[derive(Serialize)]
struct WriteModel<'a> {
    rules: &'a [Rule],
    budgets: &'a [Budget],
    times: BTreeMap<&'a TopicPartition, &'a PartitionTime>,
    /// What has been spent on review, of a model that refers records.
    spent: BTreeMap<&'a TopicPartition, Spent>,
    state: &'a State,
}

#[derive(Deserialize)]
struct Read {
    models: BTreeMap<String, ReadModel>,
    positions: BTreeMap<TopicPartition, i64>,
    settled: BTreeMap<TopicPartition, i64>,
    outbox: Outbox,
}

#[derive(Deserialize)]
struct ReadModel {
    rules: Vec<Rule>,
    budgets: Vec<Budget>,
    times: BTreeMap<TopicPartition, PartitionTime>,
    spent: BTreeMap<TopicPartition, Spent>,
    state: State,
}

/// An alert that fires, as the alerts topic has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiringAlert {
    pub model: String,
    pub stream: StreamKey,
    pub rule: String,
    pub starts_ms: Millis,
}

impl Engine {
    /// The state as bytes. Outputs must have been taken: what is not in the outbox is not in the
    /// checkpoint.
    pub fn checkpoint(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.checkpoint_parts(&mut |part| bytes.extend_from_slice(part));
        bytes
    }

    /// The bytes of [`Engine::checkpoint`], part by part, so that they need not be in memory as a whole.
    pub fn checkpoint_parts(&self, each: &mut dyn FnMut(&[u8])) {
        let at = |id: PartitionId| &self.partitions[id.0].at;
        let models = self.models.iter().map(|model| {
            let written = WriteModel {
                rules: &model.spec.rules,
                budgets: &model.spec.budgets,
                times: model
                    .times
                    .iter()
                    .map(|(&id, time)| (at(id), time))
                    .collect(),
                spent: model.referrals.spent().map(|(id, s)| (at(id), s)).collect(),
                state: model.decide.state(),
            };
            (model.spec.name.as_str(), written)
        });
        let write = Write {
            models: models.collect(),
            positions: self.positions(),
            settled: self
                .partitions
                .iter()
                .map(|p| (&p.at, p.settled_before))
                .collect(),
            outbox: &self.outbox,
        };
        each(&FORMAT.to_le_bytes());
        postcard::serialize_with_flavor(&write, Parts::new(each))
            .expect("plain data into memory has nothing to fail on");
    }

    /// Goes on from a checkpoint, in an engine to which its partitions have been added. Gives what
    /// was ended or begun anew because the configuration no longer fits it, for the log.
    ///
    /// # Errors
    /// Bytes of a newer build, or no checkpoint at all; the engine is then as it was.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<Vec<String>, CheckpointError> {
        let malformed = |what: &str| CheckpointError::Malformed(what.to_owned());
        let (format, body) = bytes
            .split_first_chunk()
            .ok_or_else(|| malformed("too short"))?;
        let found = u16::from_le_bytes(*format);
        if found > FORMAT {
            return Err(CheckpointError::Newer { found });
        }
        if found < FORMAT {
            return Err(CheckpointError::Older { found });
        }
        let read: Read = postcard::from_bytes(body).map_err(|e| malformed(&e.to_string()))?;

        for (name, model) in &read.models {
            sound::check(model.times.values(), &model.state)
                .map_err(|fault| malformed(&format!("model {name}: {fault}")))?;
            if !model.spent.values().all(Spent::is_sound) {
                return Err(malformed("a number is beyond all counting"));
            }
        }
        let offsets = read.positions.values().chain(read.settled.values());
        if !read.outbox.is_sound() || offsets.into_iter().any(|&offset| offset >= MOST_OFFSET) {
            return Err(malformed("a number is beyond all counting"));
        }

        let mut notes = Vec::new();
        self.outbox = read.outbox;
        for partition in &mut self.partitions {
            partition.position = read.positions.get(&partition.at).copied();
            let settled = read.settled.get(&partition.at).copied();
            partition.settled_before = settled.unwrap_or_default();
        }
        let mut stored = read.models;
        for model in &mut self.models {
            let Some(before) = stored.remove(&model.spec.name) else {
                continue;
            };
            for (&id, time) in &mut model.times {
                let at = &self.partitions[id.0].at;
                *time = before.times.get(at).cloned().unwrap_or_default();
                let spent = before.spent.get(at).copied().unwrap_or_default();
                model.referrals.restore(id, spent);
            }
            let lost = model
                .decide
                .restore(before.state, &before.rules, &before.budgets);
            notes.extend(lost.into_iter().map(|lost| note(&model.spec.name, lost)));
            self.outputs.append(&mut model.decide.take_outputs());
            for (key, classes) in model.decide.known_streams() {
                model.summarise.know(key, classes.to_vec());
            }
        }
        for (name, before) in stored {
            let why = "ends because its model is no longer configured";
            let lines = before.rules.iter().map(Rule::subject);
            let subjects = lines.chain(before.budgets.iter().map(Budget::subject));
            self.outputs
                .extend(before.state.abandon(&name, subjects, why));
            notes.push(format!(
                "model {name} is no longer configured: its state is dropped"
            ));
        }
        Ok(notes)
    }

    /// Takes up, in an engine without state, where another instance left off: alerts that fire,
    /// and the number that its outbox had reached.
    pub fn take_over(&mut self, outbox_number: u64, firing: Vec<FiringAlert>) {
        self.outbox = Outbox::after(outbox_number);
        for alert in firing {
            if let Some(model) = self.models.iter_mut().find(|m| m.spec.name == alert.model) {
                model.decide.seed(alert.stream, alert.rule, alert.starts_ms);
            }
        }
    }
}

fn note(model: &str, lost: Lost) -> String {
    match lost {
        Lost::Windows => format!("model {model} has another window: its windows begin anew"),
        Lost::Stream(stream) => {
            format!("stream {stream} of model {model} does not fit the configuration: dropped")
        }
        Lost::Learning => {
            format!("model {model} has another kind or season: it learns its baseline anew")
        }
        Lost::Rule(rule) => format!("rule {rule} of model {model} is gone: its alerts end"),
    }
}
