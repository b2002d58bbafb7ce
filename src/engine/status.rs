//! How the engine stands, as plain data: what metrics, the API and the terminal show.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decide::Decide;
use super::judge::Measured;
use super::review::ReviewCounts;
use super::spec::BaselineSpec;
use super::state::{Counters, View};
use super::{Engine, TopicPartition};
use crate::alert::state::AlertState;
use crate::observation::{Millis, Reason, StreamKey};

/// All models at one moment.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub models: Vec<ModelStatus>,
    pub partitions: Vec<PartitionStatus>,
    pub outbox_entries: usize,
}

#[derive(Clone, Debug)]
pub struct ModelStatus {
    pub name: String,
    pub counters: Counters,
    /// Since the process started.
    pub rejected: BTreeMap<Reason, u64>,
    /// Windows that end at this time or before are decided.
    pub decided_to_ms: Option<Millis>,
    pub open_panes: usize,
    /// Name and version of the baseline that windows are measured against.
    pub baseline: Option<(String, u32)>,
    /// While learning: how much event time of how much has closed.
    pub learning: Option<(Millis, Millis)>,
    /// Seconds since the last record arrived, by the wall clock.
    pub silence_s: Option<f64>,
    /// Of a model that refers records.
    pub review: Option<ReviewStatus>,
    pub streams: Vec<StreamStatus>,
}

/// What is referred for review.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReviewStatus {
    pub counts: ReviewCounts,
    /// The line of the whole model, in bits; none while there is no baseline to draw it by.
    pub line_bits: Option<f64>,
}

#[derive(Clone, Debug)]
pub struct StreamStatus {
    pub key: StreamKey,
    /// The newest window.
    pub latest: Option<Arc<Measured>>,
    /// It is over other classes than the baseline, which it therefore has no use for.
    pub is_unfit: bool,
    /// By rule.
    pub alerts: Vec<(String, AlertState)>,
}

#[derive(Clone, Debug)]
pub struct PartitionStatus {
    pub at: TopicPartition,
    pub position: Option<i64>,
    pub newest_ms: Option<Millis>,
}

impl Engine {
    /// How it stands at `now_ms` by the wall clock.
    pub fn status(&self, now_ms: Millis) -> Status {
        let models = self.models.iter().map(|model| {
            let mut status = model.decide.status(now_ms);
            status.rejected.clone_from(&model.rejected);
            status.review = model.spec.review.map(|_| ReviewStatus {
                counts: model.referrals.counts,
                line_bits: model.summarise.lines().of_whole(),
            });
            status
        });
        let newest = |id: usize| {
            let times = self
                .models
                .iter()
                .flat_map(|m| &m.times)
                .filter(|(i, _)| i.0 == id);
            times.filter_map(|(_, time)| time.newest_ms()).max()
        };
        let partitions = self
            .partitions
            .iter()
            .enumerate()
            .map(|(id, p)| PartitionStatus {
                at: p.at.clone(),
                position: p.position,
                newest_ms: newest(id),
            });
        Status {
            models: models.collect(),
            partitions: partitions.collect(),
            outbox_entries: self.outbox.len(),
        }
    }
}

impl Decide {
    /// How the model stands at `now_ms` by the wall clock; what was rejected and referred
    /// is not known here.
    pub fn status(&self, now_ms: Millis) -> ModelStatus {
        let state = &self.state;
        let whole = StreamKey::whole();
        let no_view = View::default();
        let model = (&whole, &no_view, &state.model_alerts);
        let of_whole = state.whole.iter().map(|s| (&whole, &s.view, &s.alerts));
        let of_streams = state.streams.iter().map(|(k, s)| (k, &s.view, &s.alerts));
        let streams = [model].into_iter().chain(of_whole).chain(of_streams);
        let learning = match (&state.learning, &self.spec.baseline) {
            (Some(learner), &BaselineSpec::Learn { duration_ms }) => {
                let started = learner.started_ms();
                let closed = started
                    .zip(self.decided_to_ms())
                    .map_or(0, |(from, to)| to - from);
                Some((closed, duration_ms))
            }
            _ => None,
        };
        ModelStatus {
            name: self.spec.name.clone(),
            counters: state.counters,
            rejected: BTreeMap::new(),
            decided_to_ms: self.decided_to_ms(),
            open_panes: state.open.len(),
            baseline: self.baseline().map(|b| (b.name.clone(), b.version)),
            learning,
            silence_s: state
                .last_arrival_ms
                .map(|last| (now_ms - last).max(0) as f64 / 1000.0),
            review: None,
            streams: streams
                .map(|(key, view, alerts)| StreamStatus {
                    key: key.clone(),
                    latest: view.latest.clone(),
                    is_unfit: self.baseline.is_some() && matches!(view.yardstick, Some(None)),
                    alerts: alerts
                        .iter()
                        .map(|(rule, a)| (rule.clone(), a.state))
                        .collect(),
                })
                .collect(),
        }
    }
}
