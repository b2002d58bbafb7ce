//! What is decided and not yet known to be published, numbered in the order in which it came about.
//!
//! The numbers are what the marker in Kafka counts by: everything up to it is out, everything
//! after it is not. A record that goes out again, refused or referred, is held as a reference: its
//! bytes are in Kafka already.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::output::{Output, Referred, Rejected, WindowEvent};
use super::sound::MOST;
use crate::alert::event::{AlertEvent, cloud_event_headers};
use crate::observation::Rejection;

/// One message to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub number: u64,
    pub publication: Publication,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Publication {
    Alert {
        key: String,
        payload: String,
        headers: BTreeMap<String, String>,
    },
    Window {
        key: String,
        payload: String,
    },
    DeadLetter {
        model: String,
        topic: String,
        partition: i32,
        offset: i64,
        rejection: Rejection,
    },
    Review {
        model: String,
        topic: String,
        partition: i32,
        offset: i64,
        entropy_bits: f64,
        detail: String,
    },
}

/// Entries in order of number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outbox {
    /// The number of the newest entry ever; 0 before any.
    last: u64,
    entries: VecDeque<Entry>,
}

impl Outbox {
    /// Numbers go on after `last`.
    pub fn after(last: u64) -> Self {
        Self {
            last,
            entries: VecDeque::new(),
        }
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Whether the numbers are such as [`Outbox::push`] gives: each after the one before it.
    pub(super) fn is_sound(&self) -> bool {
        let mut numbers = self.entries.iter().map(|entry| entry.number);
        numbers.clone().is_sorted_by(|a, b| a < b)
            && numbers.next_back().is_none_or(|newest| newest <= self.last)
            && self.last <= MOST
    }

    pub fn push(&mut self, publication: Publication) {
        self.last += 1;
        self.entries.push_back(Entry {
            number: self.last,
            publication,
        });
    }

    /// Everything up to this number is out.
    pub fn published(&mut self, number: u64) {
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.number <= number)
        {
            self.entries.pop_front();
        }
    }
}

impl Publication {
    /// The message of an output; none for what is not published.
    pub fn of(output: &Output, group: &str) -> Option<Self> {
        match output {
            Output::Alert(event) => Some(Self::alert(event, group)),
            Output::Window(event) => Some(Self::window(event)),
            Output::Rejected(rejected) => Some(Self::dead_letter(rejected)),
            Output::Referred(referred) => Some(Self::review(referred)),
            Output::History(_) | Output::Learnt(_) => None,
        }
    }

    fn alert(event: &AlertEvent, group: &str) -> Self {
        Self::Alert {
            key: event.fingerprint.clone(),
            payload: json(event),
            headers: cloud_event_headers(event, group),
        }
    }

    fn window(event: &WindowEvent) -> Self {
        Self::Window {
            key: json(&(&event.model, &event.stream)),
            payload: json(event),
        }
    }

    fn dead_letter(rejected: &Rejected) -> Self {
        Self::DeadLetter {
            model: rejected.model.clone(),
            topic: rejected.topic.clone(),
            partition: rejected.partition,
            offset: rejected.offset,
            rejection: rejected.rejection.clone(),
        }
    }

    fn review(referred: &Referred) -> Self {
        Self::Review {
            model: referred.model.clone(),
            topic: referred.topic.clone(),
            partition: referred.partition,
            offset: referred.offset,
            entropy_bits: referred.entropy_bits,
            detail: referred.detail.clone(),
        }
    }
}

fn json(event: &impl Serialize) -> String {
    serde_json::to_string(event).expect("events are maps with string keys and finite numbers")
}
