//! How the daemon stands, as the API shows it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::alert::state::AlertState;
use crate::engine::TopicPartition;
use crate::engine::status::{ModelStatus, PartitionStatus, Status, StreamStatus};
use crate::observation::rfc3339;

/// Everything that is shown, at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub phase: Phase,
    /// What goes wrong and is being retried, in words.
    pub problems: Vec<String>,
    pub status: Status,
    /// The next offset to be written of each partition, as last heard.
    pub end_offsets: BTreeMap<TopicPartition, i64>,
}

/// What the daemon is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not reading yet.
    Starting {
        waiting_for: String,
    },
    /// Another instance is active.
    Standby {
        active_store: String,
    },
    Active,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Starting {
            waiting_for: "the start to begin".to_owned(),
        }
    }
}

impl View {
    /// Records between what has been read and the end, where both are known.
    pub fn lag(&self, partition: &PartitionStatus) -> Option<i64> {
        let end = self.end_offsets.get(&partition.at)?;
        // The end was heard of a while ago, and may have been passed since.
        Some((end - partition.position?).max(0))
    }

    pub fn is_ready(&self) -> bool {
        !matches!(self.phase, Phase::Starting { .. })
    }

    /// `GET /readyz`, and the head of the status.
    pub fn readiness(&self) -> Value {
        let mut value = match &self.phase {
            Phase::Starting { waiting_for } => {
                json!({ "state": "starting", "waiting_for": waiting_for })
            }
            Phase::Standby { active_store } => {
                json!({ "state": "standby", "active_store": active_store })
            }
            Phase::Active => json!({ "state": "active" }),
        };
        if !self.problems.is_empty() {
            value["problems"] = json!(self.problems);
        }
        value
    }

    /// `GET /api/v1/status`
    pub fn to_json(&self) -> Value {
        let mut value = self.readiness();
        value["outbox_entries"] = json!(self.status.outbox_entries);
        value["models"] = self.status.models.iter().map(model).collect();
        let partition = |partition: &PartitionStatus| {
            let mut value = json!({
                "topic": partition.at.topic,
                "partition": partition.at.partition,
            });
            insert(&mut value, "position", partition.position);
            insert(&mut value, "lag", self.lag(partition));
            insert(&mut value, "newest", partition.newest_ms.map(rfc3339));
            value
        };
        value["partitions"] = self.status.partitions.iter().map(partition).collect();
        value
    }
}

fn model(model: &ModelStatus) -> Value {
    let counters = &model.counters;
    let rejected: BTreeMap<&str, u64> = model
        .rejected
        .iter()
        .map(|(reason, &count)| (reason.name(), count))
        .collect();
    let mut value = json!({
        "name": model.name,
        "records": counters.records,
        "rejected": counters.rejected,
        "rejected_since_start": rejected,
        "late": counters.late,
        "dropped": counters.too_late,
        "windows": counters.windows,
        "open_panes": model.open_panes,
    });
    insert(&mut value, "decided_to", model.decided_to_ms.map(rfc3339));
    insert(&mut value, "silence_seconds", model.silence_s);
    if let Some((name, version)) = &model.baseline {
        value["baseline"] = json!({ "name": name, "version": version });
    }
    if let Some((closed_ms, of_ms)) = model.learning {
        value["learning"] = json!({ "closed_ms": closed_ms, "of_ms": of_ms });
    }
    if let Some(review) = &model.review {
        let counts = review.counts;
        value["review"] = json!({ "records": counts.records, "suppressed": counts.suppressed });
        insert(&mut value["review"], "line", review.line_bits);
    }
    value["streams"] = model.streams.iter().map(stream).collect();
    value
}

fn stream(stream: &StreamStatus) -> Value {
    let mut value = json!({ "stream": stream.key });
    if let Some(latest) = &stream.latest {
        insert(&mut value, "window", latest.window.as_ref());
        insert(&mut value, "baseline", latest.baseline.as_ref());
        value["measures"] = json!(latest.measures);
        value["classes"] = json!(latest.classes);
        if !latest.evidence.is_empty() {
            value["evidence"] = json!(latest.evidence);
        }
    }
    let alert = |(rule, state): &(String, AlertState)| {
        let mut value = json!({ "rule": rule, "state": state.name() });
        if let AlertState::Pending { starts_ms } | AlertState::Firing { starts_ms, .. } = *state {
            value["starts_at"] = json!(rfc3339(starts_ms));
        }
        value
    };
    value["alerts"] = stream.alerts.iter().map(alert).collect();
    value
}

/// What does not exist is absent, not null.
fn insert(object: &mut Value, key: &str, value: Option<impl serde::Serialize>) {
    if let Some(value) = value {
        object[key] = json!(value);
    }
}
