//! Whether the brokers can be reached, told once when it changes.
//!
//! librdkafka retries for ever and says so each time. Here its reports fold into one state: "down"
//! when every broker is, or when one refuses us; "up" at the first thing that works after that. Each
//! change is one line in the log, whatever number of clients saw it; the library's own lines go to
//! the target `librdkafka`, each distinct one once per outage, the rest at debug.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as Native;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::{ClientContext, Message as _};

use super::error::{Class, class, code};

/// Distinct lines of the library remembered, so that each is logged once; further ones go to debug.
const MAX_LINES: usize = 64;

/// The state of the connection to the brokers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// Nothing has succeeded or failed yet.
    #[default]
    Unknown,
    Up,
    /// No broker can be reached.
    Down {
        reason: String,
    },
    /// The brokers are there and refuse our credentials.
    Refused {
        reason: String,
    },
}

/// Shared by all clients of a process.
#[derive(Debug)]
pub(super) struct Health {
    brokers: String,
    /// Mirrors `state`, so that success costs one load.
    up: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    connection: Connection,
    /// The last reason that a single connection failed: "all brokers are down" does not say why.
    last_failure: String,
    lines: BTreeSet<String>,
}

impl Health {
    pub(super) fn new(brokers: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            up: AtomicBool::new(false),
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here can be left half done by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connection(&self) -> Connection {
        self.lock().connection.clone()
    }

    /// Why the last connection failed; empty if none did.
    pub(super) fn last_failure(&self) -> String {
        self.lock().last_failure.clone()
    }

    /// Something has worked.
    pub(super) fn worked(&self) {
        // For every record: reading it costs nothing.
        if self.up.load(Ordering::Relaxed) || self.up.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut inner = self.lock();
        inner.lines.clear();
        match std::mem::replace(&mut inner.connection, Connection::Up) {
            Connection::Unknown => {
                tracing::info!(brokers = %self.brokers, "connected to kafka");
            }
            Connection::Down { .. } | Connection::Refused { .. } => {
                tracing::info!(brokers = %self.brokers, "kafka is back");
            }
            Connection::Up => {}
        }
    }

    /// The library reports a failure that concerns a connection, not a request.
    pub(super) fn failed(&self, class: Class, everywhere: bool, reason: &str) {
        let mut inner = self.lock();
        match class {
            Class::Authentication => {
                inner.last_failure = reason.to_owned();
                if !matches!(inner.connection, Connection::Refused { .. }) {
                    tracing::warn!(
                        brokers = %self.brokers, reason,
                        "kafka refuses our authentication; check sasl.* and ssl.* in kafka.properties"
                    );
                    inner.connection = Connection::Refused {
                        reason: reason.to_owned(),
                    };
                }
            }
            Class::Unreachable if everywhere => {
                if matches!(inner.connection, Connection::Unknown | Connection::Up) {
                    let reason = if inner.last_failure.is_empty() {
                        reason.to_owned()
                    } else {
                        inner.last_failure.clone()
                    };
                    tracing::warn!(
                        brokers = %self.brokers, reason,
                        "no broker can be reached; trying until one can"
                    );
                    inner.connection = Connection::Down { reason };
                }
            }
            Class::Unreachable => {
                inner.last_failure = reason.to_owned();
                return;
            }
            _ => return,
        }
        self.up.store(false, Ordering::Relaxed);
    }

    /// Whether a line of the library is one that was not logged since something last changed.
    fn is_new(&self, facility: &str, line: &str) -> bool {
        // Numbers differ from repeat to repeat: durations, counts, ports.
        let shape: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
        let mut inner = self.lock();
        inner.lines.len() < MAX_LINES && inner.lines.insert(format!("{facility} {shape}"))
    }
}

/// Where librdkafka's callbacks of one client arrive.
pub(super) struct Callbacks {
    pub(super) health: std::sync::Arc<Health>,
    /// A client that rests loses its connections without anything being wrong: only those that are
    /// always at work say that the brokers are gone.
    pub(super) always_at_work: bool,
    /// Messages that were not delivered: their opaque number, and why.
    undelivered: Mutex<Vec<(usize, rdkafka::error::RDKafkaErrorCode)>>,
}

impl Callbacks {
    pub(super) fn new(health: std::sync::Arc<Health>, always_at_work: bool) -> Self {
        Self {
            health,
            always_at_work,
            undelivered: Mutex::default(),
        }
    }

    pub(super) fn take_undelivered(&self) -> Vec<(usize, rdkafka::error::RDKafkaErrorCode)> {
        let mut undelivered = self
            .undelivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut undelivered)
    }
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        // Connections are told by `Health`, the transactional id by whoever waits for it; which side a property is for is nobody's news.
        let told_elsewhere = matches!(facility, "FAIL" | "ERROR" | "REQTMOUT" | "GETPID")
            || line.contains("will be ignored");
        let loud = matches!(
            level,
            RDKafkaLogLevel::Emerg
                | RDKafkaLogLevel::Alert
                | RDKafkaLogLevel::Critical
                | RDKafkaLogLevel::Error
                | RDKafkaLogLevel::Warning
        );
        if loud && !told_elsewhere && self.health.is_new(facility, line) {
            tracing::warn!(target: "librdkafka", facility, line, "librdkafka");
        } else {
            tracing::debug!(target: "librdkafka", facility, line, "librdkafka");
        }
    }

    fn error(&self, error: Native, reason: &str) {
        let Some(code) = code(&error) else { return };
        let everywhere = code == rdkafka::error::RDKafkaErrorCode::AllBrokersDown;
        let class = class(code);
        if class == Class::Authentication || self.always_at_work {
            self.health.failed(class, everywhere, reason);
        }
        tracing::debug!(target: "librdkafka", %error, reason, "librdkafka reports an error");
    }
}

impl rdkafka::consumer::ConsumerContext for Callbacks {}

impl ProducerContext for Callbacks {
    /// The place of the message in its step.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        match result {
            Ok(_) => self.health.worked(),
            Err((error, message)) => {
                let code = code(error).unwrap_or(rdkafka::error::RDKafkaErrorCode::Unknown);
                tracing::debug!(topic = message.topic(), %error, "a message was not delivered");
                self.undelivered
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((place, code));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_once_and_back_once() {
        let health = Health::new("b:9092");
        assert_eq!(health.connection(), Connection::Unknown);
        health.failed(Class::Unreachable, false, "b:9092: connection refused");
        assert_eq!(health.connection(), Connection::Unknown);
        health.failed(Class::Unreachable, true, "1/1 brokers are down");
        let down = Connection::Down {
            reason: "b:9092: connection refused".to_owned(),
        };
        assert_eq!(health.connection(), down);
        health.worked();
        assert_eq!(health.connection(), Connection::Up);
    }

    #[test]
    fn a_refusal_outlasts_the_lost_connections_that_follow_it() {
        let health = Health::new("b:9092");
        health.failed(Class::Authentication, false, "wrong password");
        health.failed(Class::Unreachable, true, "1/1 brokers are down");
        let refused = Connection::Refused {
            reason: "wrong password".to_owned(),
        };
        assert_eq!(health.connection(), refused);
    }

    #[test]
    fn a_line_is_new_once_until_the_brokers_are_back() {
        let health = Health::new("b:9092");
        assert!(health.is_new("FETCH", "failed after 10ms"));
        assert!(!health.is_new("FETCH", "failed after 2000ms"));
        health.worked();
        assert!(health.is_new("FETCH", "failed after 7ms"));
    }

    #[test]
    fn lines_are_bounded() {
        let health = Health::new("b:9092");
        let line = |n: usize| "x".repeat(n + 1);
        assert_eq!(
            (0..200).filter(|&n| health.is_new("F", &line(n))).count(),
            MAX_LINES
        );
    }
}
