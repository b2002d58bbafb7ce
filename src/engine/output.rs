//! What the engine says: window events, alert events, refused and uncertain records, history,
//! baselines.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::alert::budget::EvidenceInfo;
use crate::alert::event::{AlertEvent, ClassShift, WindowInfo};
use crate::baseline::Baseline;
use crate::baseline::yardstick::BaselineInfo;
use crate::observation::{Millis, Rejection, StreamKey};
use crate::summary::Summary;
use crate::window::measures::Measures;

/// One thing to write, in the order in which it came about.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Window(Box<WindowEvent>),
    Alert(Box<AlertEvent>),
    Rejected(Rejected),
    Referred(Referred),
    /// For the store's history.
    History(Box<HistoryEntry>),
    /// The model's baseline has been learnt.
    Learnt(Box<Baseline>),
}

/// Every measure of one window, as published. Key order is the order of the fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WindowEvent {
    pub model: String,
    pub stream: StreamKey,
    pub window: WindowInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Arc<BaselineInfo>>,
    pub measures: Measures,
    /// The largest contributions to kl.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassShift>,
    /// Of rules with a budget, by rule.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, EvidenceInfo>,
}

/// A refused record, by where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    pub model: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub rejection: Rejection,
}

/// An uncertain record for the review topic, by where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Referred {
    pub model: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub entropy_bits: f64,
    /// Why, as a sentence for a person.
    pub detail: String,
}

/// Records of one stream that left its window, gathered into a tile of history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    pub model: String,
    pub stream: StreamKey,
    pub classes: Vec<String>,
    pub start_ms: Millis,
    pub end_ms: Millis,
    pub summary: Summary,
}
