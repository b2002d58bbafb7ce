//! One attempt at publishing a step, and what its failure means.
//!
//! The order within a transaction is what makes it fast: the wrapper's commit waits in slices of
//! 100 ms for messages in flight, so they are waited for first, in slices of a millisecond, then the
//! offsets are sent, then the commit finds nothing to wait for. An abort fails with messages in
//! flight, so it purges them first.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use rdkafka::error::{KafkaError as Native, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Marker;
use super::cluster::{Cluster, list_of};
use super::copied::{DETAIL, OWN_HEADERS};
use super::error::{Class, KafkaError, class};
use super::group::Group;
use super::health::Callbacks;
use super::publisher::{Message, Step, Stop};
use crate::config::valid::Delivery;

/// How long one blocking call of the library may take before we look whether to go on.
const CALL: Duration = Duration::from_secs(3);

/// Looks at what is in flight, this long each; the first [`QUICK_LOOKS`] of them, then longer ones.
const QUICK_LOOK: Duration = Duration::from_millis(1);
const LONG_LOOK: Duration = Duration::from_millis(20);
const QUICK_LOOKS: u32 = 200;

/// Why an attempt failed.
pub(super) enum Failure {
    /// Some message is too large, and the step has been changed for it: to be tried at once.
    Shrunk,
    /// It may pass; everything of the attempt has been undone.
    Again(KafkaError),
    Fenced(Option<Marker>),
    Fatal(KafkaError),
    /// Nobody waits for it any more.
    Dropped,
}

/// The producer and the two groups that it commits for.
pub(super) struct Session {
    cluster: Cluster,
    alerts: String,
    delivery: Delivery,
    producer: BaseProducer<Callbacks>,
    input: Group,
    outbox: Group,
    stop: Stop,
    /// The places of messages that were refused as too large in company: sent alone, for it may have
    /// been the company.
    suspects: BTreeSet<usize>,
    /// At-least-once only: the marker as it must be found.
    expected: Option<Marker>,
}

impl Session {
    pub(super) fn open(cluster: &Cluster, alerts: &str, stop: Stop) -> Result<Self, KafkaError> {
        let mut config = cluster.producer_config();
        let delivery = cluster.config().delivery;
        if delivery == Delivery::ExactlyOnce {
            config.set("transactional.id", &cluster.config().group);
        }
        Ok(Self {
            cluster: cluster.clone(),
            alerts: alerts.to_owned(),
            delivery,
            producer: cluster.create(&config, true)?,
            input: Group::input(cluster)?,
            outbox: Group::outbox(cluster)?,
            stop,
            suspects: BTreeSet::new(),
            expected: None,
        })
    }

    /// Takes the transactional id: fences whoever held it and ends what it had open.
    pub(super) fn init(&mut self) -> Result<(), Failure> {
        match self.delivery {
            Delivery::ExactlyOnce => {
                let id = &self.cluster.config().group;
                let doing = format!(
                    "taking transactional id {id} (brokers without transactions need delivery = \
                     \"at-least-once\")"
                );
                self.repeat(&doing, |producer| producer.init_transactions(CALL))
            }
            Delivery::AtLeastOnce => {
                self.expected = self.marker_or_garbage()?;
                Ok(())
            }
        }
    }

    pub(super) fn read_marker(&self) -> Result<Option<Marker>, KafkaError> {
        self.outbox.read_marker(&self.alerts)
    }

    /// A marker that cannot be read is not ours: as good as none.
    fn marker_or_garbage(&self) -> Result<Option<Marker>, Failure> {
        match self.read_marker() {
            Ok(marker) => Ok(marker),
            Err(KafkaError::Marker { .. }) => Ok(None),
            Err(error) if error.is_transient() => Err(Failure::Again(error)),
            Err(error) => Err(Failure::Fatal(error)),
        }
    }

    pub(super) fn begin_step(&mut self) {
        self.suspects.clear();
    }

    pub(super) fn attempt(&mut self, step: &mut Step) -> Result<(), Failure> {
        if self.stop.is_set() {
            return Err(Failure::Dropped);
        }
        let result = match self.delivery {
            Delivery::ExactlyOnce => {
                let result = self.transaction(step);
                match result {
                    Err(Failure::Again(_) | Failure::Shrunk) => self.abort().and(result),
                    other => other,
                }
            }
            Delivery::AtLeastOnce => self.send_and_commit(step),
        };
        if result.is_ok() {
            self.cluster.health().worked();
        }
        result
    }

    fn transaction(&mut self, step: &mut Step) -> Result<(), Failure> {
        self.call("beginning a transaction", |producer| {
            producer.begin_transaction()
        })?;
        self.send_all(step)?;
        let positions = list_of(&step.positions).map_err(Failure::Again)?;
        for (group, offsets) in [
            (&self.input, positions),
            (&self.outbox, self.marker_list(&step.marker)),
        ] {
            if offsets.count() == 0 {
                continue;
            }
            let doing = format!("sending the positions of group {}", group.name());
            self.repeat(&doing, |producer| {
                // Afresh for each call: it holds the group's generation.
                let Some(metadata) = group.metadata() else {
                    return Err(Native::Canceled);
                };
                producer.send_offsets_to_transaction(&offsets, &metadata, CALL)
            })?;
        }
        self.repeat("committing a transaction", |producer| {
            producer.commit_transaction(CALL)
        })
    }

    fn send_and_commit(&mut self, step: &mut Step) -> Result<(), Failure> {
        let found = self.marker_or_garbage()?;
        if found.is_some() && found != self.expected {
            return Err(Failure::Fenced(found));
        }
        self.send_all(step)?;
        let committed = self
            .input
            .commit(&step.positions)
            .and_then(|()| self.outbox.commit_list(&self.marker_list(&step.marker)));
        committed.map_err(Failure::Again)?;
        // As it will be read: see `Marker::encode` for what may be lost.
        let (offset, metadata) = step.marker.encode();
        self.expected = Marker::parse(offset, &metadata).ok();
        Ok(())
    }

    fn marker_list(&self, marker: &Marker) -> TopicPartitionList {
        let at = Marker::place(&self.alerts);
        let (offset, metadata) = marker.encode();
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&at.topic, at.partition);
        element.set_metadata(metadata);
        element
            .set_offset(Offset::Offset(offset))
            .expect("a marker's number is not negative");
        list
    }

    /// Sends every message and waits until each is delivered.
    fn send_all(&mut self, step: &mut Step) -> Result<(), Failure> {
        self.producer.context().take_undelivered();
        for place in 0..step.outputs.len() {
            let alone = self.suspects.contains(&place);
            if alone {
                self.drain()?;
                self.check_delivered(step)?;
            }
            if let Err(code) = self.send(place, &step.outputs[place])? {
                return Err(self.not_delivered(step, place, code));
            }
            if alone {
                self.drain()?;
                self.check_delivered(step)?;
            }
        }
        self.drain()?;
        self.check_delivered(step)
    }

    /// Puts a message into the producer's queue, waiting for room. The inner error is the message's.
    fn send(
        &self,
        place: usize,
        message: &Message,
    ) -> Result<Result<(), RDKafkaErrorCode>, Failure> {
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
        for (key, value) in &message.headers {
            let value = value.as_deref();
            headers = headers.insert(Header { key, value });
        }
        let mut record = BaseRecord::<[u8], [u8], usize> {
            topic: &message.topic,
            partition: None,
            payload: message.payload.as_deref(),
            key: message.key.as_deref(),
            timestamp: None,
            headers: Some(headers),
            delivery_opaque: place,
        };
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(Ok(())),
                Err((Native::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.look(QUICK_LOOK)?;
                }
                Err((Native::MessageProduction(code), _)) => return Ok(Err(code)),
                Err((error, _)) => {
                    let doing = format!("writing to topic {}", message.topic);
                    return Err(self.failure(&doing, &message.topic, &error));
                }
            }
        }
    }

    fn look(&self, time: Duration) -> Result<(), Failure> {
        self.producer.poll(Duration::ZERO);
        // Not polling with a time: the wrapper turns in circles for the last millisecond of it.
        thread::sleep(time);
        if self.stop.is_set() {
            return Err(Failure::Dropped);
        }
        Ok(())
    }

    /// Waits until nothing is in flight. Messages that cannot be delivered end by their own timeout.
    fn drain(&self) -> Result<(), Failure> {
        let mut looks = 0;
        while self.producer.in_flight_count() > 0 {
            self.look(if looks < QUICK_LOOKS {
                QUICK_LOOK
            } else {
                LONG_LOOK
            })?;
            looks = looks.saturating_add(1);
        }
        Ok(())
    }

    fn check_delivered(&mut self, step: &mut Step) -> Result<(), Failure> {
        let undelivered = self.producer.context().take_undelivered();
        let too_large = |&&(_, code): &&(usize, RDKafkaErrorCode)| {
            code == RDKafkaErrorCode::MessageSizeTooLarge
        };
        let mut refused = undelivered
            .iter()
            .filter(too_large)
            .map(|&(place, _)| place);
        if let Some(place) = refused.next() {
            if self.suspects.contains(&place) {
                return Err(self.shrink(&mut step.outputs[place]));
            }
            self.suspects.insert(place);
            self.suspects.extend(refused);
            return Err(Failure::Shrunk);
        }
        match undelivered.first() {
            Some(&(place, code)) => Err(self.not_delivered(step, place, code)),
            None => Ok(()),
        }
    }

    fn not_delivered(&self, step: &mut Step, place: usize, code: RDKafkaErrorCode) -> Failure {
        let message = &mut step.outputs[place];
        if code == RDKafkaErrorCode::MessageSizeTooLarge {
            return self.shrink(message);
        }
        let doing = format!("writing to topic {}", message.topic);
        let error = Native::MessageProduction(code);
        self.failure(&doing, &message.topic, &error)
    }

    /// Takes away the largest part that is not ours.
    fn shrink(&self, message: &mut Message) -> Failure {
        if message.may_shrink
            && let Some(what) = shrink(message)
        {
            tracing::warn!(
                topic = message.topic,
                left_out = what,
                "the copy of a record is larger than its topic takes"
            );
            return Failure::Shrunk;
        }
        Failure::Again(KafkaError::TooLarge {
            topic: message.topic.clone(),
            bytes: size(message),
        })
    }

    fn abort(&self) -> Result<(), Failure> {
        self.producer
            .purge(PurgeConfig::default().queue().inflight());
        self.drain()?;
        match self.repeat("aborting a transaction", |producer| {
            producer.abort_transaction(CALL)
        }) {
            // There was none to abort.
            Err(Failure::Again(_)) => Ok(()),
            other => other,
        }
    }

    /// A call that is to be made again while it says so.
    fn repeat(
        &self,
        doing: &str,
        mut call: impl FnMut(&BaseProducer<Callbacks>) -> Result<(), Native>,
    ) -> Result<(), Failure> {
        loop {
            match call(&self.producer) {
                Err(Native::Transaction(error)) if error.is_retriable() => {
                    tracing::debug!(doing, %error, "once more");
                    self.look(LONG_LOOK)?;
                }
                Ok(()) => return Ok(()),
                Err(error) => return Err(self.failure(doing, "", &error)),
            }
        }
    }

    fn call(
        &self,
        doing: &str,
        call: impl FnOnce(&BaseProducer<Callbacks>) -> Result<(), Native>,
    ) -> Result<(), Failure> {
        call(&self.producer).map_err(|error| self.failure(doing, "", &error))
    }

    /// What an error of the library means for the step.
    fn failure(&self, doing: &str, subject: &str, error: &Native) -> Failure {
        if let Some((code, reason)) = self.producer.client().fatal_error() {
            return match class(code) {
                Class::Fenced => Failure::Fenced(None),
                Class::Other => Failure::Fatal(KafkaError::Refused {
                    doing: doing.to_owned(),
                    detail: reason,
                }),
                _ => Failure::Fatal(self.cluster.explain_code(doing, subject, code)),
            };
        }
        Failure::Again(match error {
            Native::Transaction(error) if class(error.code()) == Class::Other => {
                KafkaError::Refused {
                    doing: doing.to_owned(),
                    detail: error.string(),
                }
            }
            other => self.cluster.explain(doing, subject, other),
        })
    }

    /// Serves the library's log and errors.
    pub(super) fn serve(&self) {
        self.producer.poll(Duration::ZERO);
        self.input.serve();
        self.outbox.serve();
    }

    /// Waits between attempts.
    pub(super) fn rest(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() && !self.stop.is_set() {
            let slice = left.min(LONG_LOOK * 5);
            self.producer.poll(slice);
            self.input.serve();
            self.outbox.serve();
            left -= slice;
        }
    }
}

fn size(message: &Message) -> usize {
    let of = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
    let headers = message
        .headers
        .iter()
        .map(|(name, value)| name.len() + of(value));
    of(&message.key) + of(&message.payload) + headers.sum::<usize>()
}

/// Drops the payload, then key and foreign headers; says which, in the message as well. None where
/// nothing is left to drop.
fn shrink(message: &mut Message) -> Option<&'static str> {
    let before = size(message);
    let is_ours = |name: &str| OWN_HEADERS.contains(&name);
    let what = if message.payload.take().is_some() {
        "payload"
    } else if message.key.is_some() || message.headers.iter().any(|(name, _)| !is_ours(name)) {
        message.key = None;
        message.headers.retain(|(name, _)| is_ours(name));
        "key and headers"
    } else {
        return None;
    };
    let left_out = before - size(message);
    let note = format!("{what} of {left_out} bytes left out: more than the topic takes");
    match message.headers.iter_mut().find(|(name, _)| name == DETAIL) {
        Some((_, Some(detail))) => detail.extend_from_slice(format!("; {note}").as_bytes()),
        Some((_, empty)) => *empty = Some(note.into_bytes()),
        None => message
            .headers
            .push((DETAIL.to_owned(), Some(note.into_bytes()))),
    }
    Some(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_gives_up_its_payload_then_its_key_and_headers() {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        let mut message = Message {
            topic: "dead".to_owned(),
            key: Some(b"k".to_vec()),
            payload: Some(vec![0; 10]),
            headers: vec![header("trace", "t"), header(DETAIL, "not JSON")],
            may_shrink: true,
        };
        assert_eq!(shrink(&mut message), Some("payload"));
        assert_eq!(message.payload, None);
        assert_eq!(message.key.as_deref(), Some(&b"k"[..]));
        let detail = "not JSON; payload of 10 bytes left out: more than the topic takes";
        assert_eq!(message.headers[1], header(DETAIL, detail));

        assert_eq!(shrink(&mut message), Some("key and headers"));
        // "k", "trace", "t"
        let detail =
            format!("{detail}; key and headers of 7 bytes left out: more than the topic takes");
        assert_eq!(message.headers, [header(DETAIL, &detail)]);
        assert_eq!(message.key, None);
        assert_eq!(shrink(&mut message), None);
    }
}
