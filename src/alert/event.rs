//! The alert event, as consumers read it. Key order is the order of the fields.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::rule::Comparison;
use crate::baseline::yardstick::BaselineInfo;
use crate::observation::{Millis, StreamKey, rfc3339};
use crate::window::measures::Measures;

/// The `ce_type` of an alert event.
pub const EVENT_TYPE: &str = "io.klaxond.alert.v1";

/// One state change of one alert, as published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertEvent {
    pub id: String,
    pub fingerprint: String,
    pub status: Status,
    pub model: String,
    pub stream: StreamKey,
    pub rule: String,
    pub severity: String,
    pub measure: String,
    pub unit: Cow<'static, str>,
    pub value: f64,
    pub threshold: f64,
    pub comparison: Comparison,
    pub starts_at: String,
    pub ends_at: Option<String>,
    pub diagnosis: Diagnosis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Arc<BaselineInfo>>,
    pub measures: Measures,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Firing,
    Resolved,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// What changed, for a person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    pub summary: String,
    /// None when the alert is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassShift>,
}

/// What the measures show to have happened, for a program to branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Classes are more or less frequent; the certainty of each record has moved less, or not at
    /// all.
    NewClassMix,
    /// The shares are the baseline's, of other classes.
    ClassesReordered,
    /// Entropy is up, and the members of the ensemble disagree more.
    UnknownInputs,
    /// Entropy is up, and the members of the ensemble agree on it.
    NoisyInputs,
    /// Entropy is up, and nothing shows whether the inputs are unknown or noisy, or the outputs
    /// softened.
    LessCertain,
    /// Entropy is down, and the classes are told apart as before or better.
    MoreCertain,
    /// One class for almost every record.
    OneAnswer,
    /// Almost the same distribution for every record.
    InputsIgnored,
    /// One value of a tag explains most of the shift.
    Segment,
    /// Other classes, refused records, another rate, late records, silence.
    ProducerChanged,
    /// Records were gone from their topic before they were read.
    RecordsLost,
    /// Something moved, and the measures do not say what.
    Unclear,
    /// Nothing moved clear of noise.
    WithinNoise,
    /// There is nothing to compare with.
    NoBaseline,
}

/// One class's part in a shift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassShift {
    pub class: Arc<str>,
    /// Mean probability in the baseline.
    pub baseline: f64,
    /// Mean probability in the window.
    pub window: f64,
    /// Contribution to kl.
    pub bits: f64,
}

/// Which window an event is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowInfo {
    pub start: String,
    /// Exclusive.
    pub end: String,
    pub records: u64,
    pub late: u64,
    pub complete: bool,
}

/// Names an alert: the same for every event of one rule on one stream.
pub fn fingerprint(model: &str, stream: &StreamKey, rule: &str) -> String {
    digest(&(model, stream, rule))
}

/// Names one event of one alert: a repeat carries the same.
pub fn event_id(
    model: &str,
    stream: &StreamKey,
    rule: &str,
    starts_ms: Millis,
    status: Status,
) -> String {
    digest(&(model, stream, rule, rfc3339(starts_ms), status))
}

/// First 32 hex digits of SHA-256 over the compact JSON array.
fn digest(parts: &impl Serialize) -> String {
    let json = serde_json::to_vec(parts).expect("strings and maps of strings are always JSON");
    Sha256::digest(json)
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The CloudEvents 1.0 attributes of an event, as Kafka headers (binary mode).
pub fn cloud_event_headers(event: &AlertEvent, group: &str) -> BTreeMap<String, String> {
    let time = event.ends_at.as_ref().unwrap_or(&event.starts_at);
    BTreeMap::from(
        [
            ("ce_id", event.id.as_str()),
            ("ce_source", &format!("/klaxond/{group}/{}", event.model)),
            ("ce_specversion", "1.0"),
            ("ce_subject", &event.rule),
            ("ce_time", time),
            ("ce_type", EVENT_TYPE),
            ("content-type", "application/json"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '["fraud",{"country":"DE","version":"7"},"uncertain"]' | sha256sum | cut -c1-32`
    #[test]
    fn fingerprint_is_the_digest_of_the_compact_array() {
        let stream = StreamKey(
            [("version", "7"), ("country", "DE")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        );
        assert_eq!(
            fingerprint("fraud", &stream, "uncertain"),
            "19d0759ae4dca97cf726c95fbb857f37"
        );
        assert_eq!(
            event_id("fraud", &stream, "uncertain", 1795428010000, Status::Firing),
            "f67e565ef3219d1968752005fcfc15e4"
        );
    }
}
