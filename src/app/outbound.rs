//! The outbox on its way: entries become messages, messages steps of the publisher.
//!
//! One step is out at a time. A long outbox goes in several: all but the last name neither positions
//! nor new watermarks, since what those cover is not wholly out before the last.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Instant;
use crate::config::Config;
use crate::config::valid::OutputConfig;
use crate::engine::outbox::{Entry, Publication};
use crate::engine::review::UNCERTAIN;
use crate::engine::{Engine, TopicPartition};
use crate::kafka::{
    Copied, KafkaError, Marker, Message, Outcome, OwnedRecord, Positions, Record, Reread, Status,
    Step, Watermarks, copy_of,
};

use super::outside::{Kafka, Publisher};

/// Dead letters and review records of one step that have to be read again: all are held at once.
const MOST_REREAD: usize = 64;

/// A record's place.
type Place = (TopicPartition, i64);

/// A publication that takes longer is told of: a broker that says nothing is noticed by its clients
/// after a minute or more.
const LONG: Duration = Duration::from_secs(10);

/// A step at the publisher.
struct Flight {
    /// What is out once it has arrived.
    covers: Watermarks,
    since: Instant,
}

pub struct Outbound {
    kafka: Rc<dyn Kafka>,
    topics: OutputConfig,
    publisher: Box<dyn Publisher>,
    store: String,
    beat: u64,
    /// Records whose dead letters or review records are not out.
    held: BTreeMap<Place, OwnedRecord>,
    held_bytes: usize,
    /// What the last checkpoint covers.
    positions: Positions,
    watermarks: Watermarks,
    /// What is known to be out.
    covered: Watermarks,
    /// The step that is out.
    flight: Option<Flight>,
    /// A step has arrived: nobody else leads.
    confirmed: bool,
    problem: Option<KafkaError>,
}

impl Outbound {
    pub fn new(
        config: &Config,
        kafka: Rc<dyn Kafka>,
        publisher: Box<dyn Publisher>,
        store: String,
        beat: u64,
        covered: Watermarks,
    ) -> Self {
        Self {
            kafka,
            topics: config.output.clone(),
            publisher,
            store,
            beat,
            held: BTreeMap::new(),
            held_bytes: 0,
            positions: Positions::new(),
            watermarks: Watermarks::default(),
            covered,
            flight: None,
            confirmed: false,
            problem: None,
        }
    }

    /// A step is out.
    pub fn is_busy(&self) -> bool {
        self.flight.is_some()
    }

    /// Some step has arrived.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    pub fn outcome(&self, timeout: Duration) -> Option<Outcome> {
        self.publisher.outcome(timeout)
    }

    /// Keeps a record that is to be published again, so that it need not be read again.
    pub fn hold(&mut self, record: &Record<'_>) {
        let at = TopicPartition {
            topic: record.at.topic.to_owned(),
            partition: record.at.partition,
        };
        let owned = record.to_owned();
        self.held_bytes += owned.bytes();
        if let Some(before) = self.held.insert((at, record.offset), owned) {
            self.held_bytes -= before.bytes();
        }
    }

    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The engine's state is durable as it is.
    pub fn covers(&mut self, engine: &Engine) {
        self.positions = engine.settled_positions();
        self.watermarks = engine.watermarks().into_iter().collect();
    }

    /// Hands the next step over: entries of the outbox, as many as go into one, or the marker alone.
    /// True where it was the last of the outbox; then, if so wished, it releases the marker.
    pub fn publish(&mut self, engine: &Engine, release: bool, now: Instant) -> bool {
        let entries: Vec<&Entry> = self.next_entries(engine);
        let number = entries
            .last()
            .map_or(engine.outbox().last(), |entry| entry.number);
        let is_last = number == engine.outbox().last();
        let outputs = match self.messages(&entries) {
            Ok(outputs) => outputs,
            Err(error) => {
                if self.problem.as_ref() != Some(&error) && !error.is_transient() {
                    tracing::warn!(%error, "records to be published cannot be read again yet");
                }
                self.problem = Some(error);
                return false;
            }
        };
        self.problem = None;
        self.beat += 1;
        let covers = if is_last {
            &self.watermarks
        } else {
            &self.covered
        }
        .clone();
        let step = Step {
            id: number,
            outputs,
            positions: if is_last {
                self.positions.clone()
            } else {
                Positions::new()
            },
            marker: Marker {
                number,
                store: self.store.clone(),
                beat: self.beat,
                watermarks: covers.clone(),
                released: release && is_last,
            },
        };
        if self.publisher.publish(step) {
            self.flight = Some(Flight { covers, since: now });
        }
        is_last
    }

    /// The step that was out has arrived.
    pub fn published(&mut self, engine: &mut Engine, number: u64) {
        for entry in engine
            .outbox()
            .entries()
            .take_while(|entry| entry.number <= number)
        {
            if let Some(place) = self.place(entry)
                && let Some(record) = self.held.remove(&place)
            {
                self.held_bytes -= record.bytes();
            }
        }
        if let Some(Flight { covers, .. }) = self.flight.take() {
            self.covered = covers;
        }
        self.confirmed = true;
        engine.published(number);
    }

    /// What is in the way of publication.
    pub fn problem(&self, now: Instant) -> Option<String> {
        if let Some(error) = &self.problem {
            return Some(format!("publishing waits: {error}"));
        }
        match self.publisher.status() {
            Status::Retrying {
                attempts, error, ..
            }
            | Status::StartingAgain { attempts, error } => Some(format!(
                "publishing failed {attempts} times so far: {error}"
            )),
            Status::Starting | Status::Ready | Status::Stopped => {
                let flight = self.flight.as_ref()?;
                let out_for = now.saturating_duration_since(flight.since);
                (out_for >= LONG).then(|| {
                    let seconds = out_for.as_secs();
                    format!(
                        "a publication has been under way for {seconds} s: kafka does not answer"
                    )
                })
            }
        }
    }

    fn next_entries<'e>(&self, engine: &'e Engine) -> Vec<&'e Entry> {
        let mut to_reread = 0;
        let fits = |entry: &&Entry| {
            let place = self.place(entry);
            let is_away = place.is_some_and(|place| !self.held.contains_key(&place));
            to_reread += usize::from(is_away);
            to_reread <= MOST_REREAD
        };
        engine.outbox().entries().take_while(fits).collect()
    }

    fn messages(&self, entries: &[&Entry]) -> Result<Vec<Message>, KafkaError> {
        let mut away: BTreeMap<Place, Option<OwnedRecord>> = BTreeMap::new();
        let places = entries.iter().filter_map(|entry| self.place(entry));
        let wanted: Vec<Place> = places.filter(|p| !self.held.contains_key(p)).collect();
        let found = self.kafka.reread(&wanted)?;
        for (place, found) in wanted.into_iter().zip(found) {
            let record = match found {
                Reread::Found(record) => Some(record),
                Reread::Gone => None,
            };
            away.insert(place, record);
        }
        let message = |entry: &&Entry| self.message(entry, &away);
        Ok(entries.iter().filter_map(message).collect())
    }

    /// None where the topic it was for is no longer configured.
    fn message(
        &self,
        entry: &Entry,
        away: &BTreeMap<Place, Option<OwnedRecord>>,
    ) -> Option<Message> {
        match &entry.publication {
            Publication::Alert {
                key,
                payload,
                headers,
            } => {
                let header = |(name, value): (&String, &String)| {
                    (name.clone(), Some(value.clone().into_bytes()))
                };
                Some(Message {
                    topic: self.topics.alerts.clone(),
                    key: Some(key.clone().into_bytes()),
                    payload: Some(payload.clone().into_bytes()),
                    headers: headers.iter().map(header).collect(),
                    may_shrink: false,
                })
            }
            Publication::Window { key, payload } => Some(Message {
                topic: self.topics.windows.clone()?,
                key: Some(key.clone().into_bytes()),
                payload: Some(payload.clone().into_bytes()),
                ..Message::default()
            }),
            Publication::DeadLetter {
                model,
                topic,
                partition,
                offset,
                rejection,
            } => {
                let copied = Copied {
                    model,
                    topic,
                    partition: *partition,
                    offset: *offset,
                    reason: rejection.reason.name(),
                    detail: &rejection.detail,
                    entropy_bits: None,
                };
                let original = self.original(entry, away)?;
                Some(copy_of(self.topics.dead_letter.as_ref()?, copied, original))
            }
            Publication::Review {
                model,
                topic,
                partition,
                offset,
                entropy_bits,
                detail,
            } => {
                let copied = Copied {
                    model,
                    topic,
                    partition: *partition,
                    offset: *offset,
                    reason: UNCERTAIN,
                    detail,
                    entropy_bits: Some(*entropy_bits),
                };
                let original = self.original(entry, away)?;
                Some(copy_of(self.topics.review.as_ref()?, copied, original))
            }
        }
    }

    /// The record that an entry is to be a copy of, the inner none where it is gone from its topic.
    fn original(
        &self,
        entry: &Entry,
        away: &BTreeMap<Place, Option<OwnedRecord>>,
    ) -> Option<Option<OwnedRecord>> {
        let place = self.place(entry)?;
        let held = self.held.get(&place).or_else(|| away.get(&place)?.as_ref());
        Some(held.cloned())
    }

    /// Where the record is that an entry is to be a copy of; none for other entries, and where the
    /// topic it was for is no longer configured.
    fn place(&self, entry: &Entry) -> Option<Place> {
        let (to, topic, &partition, &offset) = match &entry.publication {
            Publication::DeadLetter {
                topic,
                partition,
                offset,
                ..
            } => (&self.topics.dead_letter, topic, partition, offset),
            Publication::Review {
                topic,
                partition,
                offset,
                ..
            } => (&self.topics.review, topic, partition, offset),
            Publication::Alert { .. } | Publication::Window { .. } => return None,
        };
        let at = TopicPartition {
            topic: topic.clone(),
            partition,
        };
        to.is_some().then_some((at, offset))
    }
}
