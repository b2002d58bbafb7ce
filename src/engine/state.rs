//! Everything that one model's decisions depend on.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::judge::{Alerts, Measured, Voice};
use super::output::HistoryEntry;
use super::restore::{Seeds, firing};
use super::spec::{BaselineSpec, ModelSpec};
use super::weigh::Evidences;
use crate::baseline::learner::Learner;
use crate::baseline::yardstick::{Yardstick, Yardsticks};
use crate::observation::{Millis, StreamKey};
use crate::summary::Summary;
use crate::window::WindowSpec;
use crate::window::sliding::{Pane, Sliding};
use crate::window::traffic::{Refusals, Traffic};
use crate::window::watermark::Cell;

/// Everything that one model's decisions depend on; part of the checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(super) window: WindowSpec,
    /// The next cell to close; none before any has.
    pub(super) next: Option<Cell>,
    pub(super) open: BTreeMap<Cell, OpenCell>,
    pub(super) streams: BTreeMap<StreamKey, StreamState>,
    /// All streams together, for a model with dimensions.
    pub(super) whole: Option<StreamState>,
    pub(super) traffic: Traffic,
    /// Rejections from partitions that have given no time yet.
    pub(super) untimed_rejections: Refusals,
    /// Of the rules on `rejected_share` and `silence`.
    pub(super) model_alerts: Alerts,
    /// Alerts that fire on streams that have not been seen since a takeover.
    pub(super) seeds: Seeds,
    pub(super) learning: Option<Learner>,
    /// What has been published by another instance.
    pub(super) settled: Option<Settled>,
    /// By the wall clock.
    pub(super) last_arrival_ms: Option<Millis>,
    /// Records that were gone before they were read.
    pub(super) lost: Option<Lost>,
    pub counters: Counters,
}

/// Totals since the state began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Records in panes.
    pub records: u64,
    pub rejected: u64,
    /// Counted, but not in every window that covers them.
    pub late: u64,
    /// Dropped: older than every window still to come.
    pub too_late: u64,
    pub windows: u64,
}

/// Records that were gone before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lost {
    pub(super) records: u64,
    /// When the last of them were missed, by the wall clock.
    pub(super) at_ms: Millis,
}

/// What another instance has published, where this one took over without its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settled {
    /// Records before this time were not read again.
    pub(super) from_ms: Millis,
    /// Windows that end at this time or before are out.
    pub(super) to_ms: Millis,
}

/// A cell that has not closed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenCell {
    pub(super) streams: BTreeMap<StreamKey, OpenStream>,
    pub(super) rejected: Refusals,
}

/// One stream's records in an open cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenStream {
    pub(super) classes: Arc<[String]>,
    pub(super) on_time: Option<Summary>,
    /// By the cell that they belong to.
    pub(super) late: BTreeMap<Cell, Summary>,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StreamState {
    pub(super) classes: Arc<[String]>,
    pub(super) sliding: Sliding,
    pub(super) alerts: Alerts,
    /// Of rules with a budget.
    pub(super) evidence: Evidences,
    /// When the newest cell that held records of it ended.
    pub(super) active_ms: Millis,
    /// History being gathered.
    pub(super) tile: Option<Pane>,
    #[serde(skip)]
    pub(super) view: View,
}

/// What follows from the state and the active baseline; made again after a restart.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// None: not looked up yet.
    pub(super) yardstick: Option<Option<Arc<Yardstick>>>,
    pub(super) latest: Option<Arc<Measured>>,
}

/// A view never makes two states differ.
impl PartialEq for View {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl State {
    pub(super) fn new(spec: &ModelSpec) -> Self {
        let learning = matches!(spec.baseline, BaselineSpec::Learn { .. });
        Self {
            window: spec.window,
            next: None,
            open: BTreeMap::new(),
            streams: BTreeMap::new(),
            whole: None,
            traffic: Traffic::default(),
            untimed_rejections: Refusals::default(),
            model_alerts: Alerts::new(),
            seeds: Seeds::new(),
            learning: learning.then(|| Learner::new(spec.window, spec.season)),
            settled: None,
            last_arrival_ms: None,
            lost: None,
            counters: Counters::default(),
        }
    }

    /// What is to be said of a window that ends then.
    pub(super) fn voice(&self, end_ms: Millis) -> Voice {
        let length_ms = match self.window {
            WindowSpec::Time { length_ms, .. } => length_ms,
            WindowSpec::Count { .. } => 0,
        };
        match self.settled {
            Some(settled) if end_ms <= settled.to_ms => {
                if end_ms - length_ms < settled.from_ms {
                    Voice::None
                } else {
                    Voice::Silent
                }
            }
            _ => Voice::Aloud,
        }
    }
}

impl StreamState {
    pub(super) fn new(
        classes: Arc<[String]>,
        active_ms: Millis,
        seeds: Option<BTreeMap<String, Millis>>,
    ) -> Self {
        let seeds = seeds.unwrap_or_default();
        Self {
            sliding: Sliding::new(classes.len()),
            classes,
            alerts: seeds
                .into_iter()
                .map(|(rule, starts_ms)| (rule, firing(starts_ms)))
                .collect(),
            evidence: Evidences::new(),
            active_ms,
            tile: None,
            view: View::default(),
        }
    }

    pub(super) fn yardstick(
        &mut self,
        baseline: Option<&mut Yardsticks>,
        key: &StreamKey,
    ) -> Option<Arc<Yardstick>> {
        let classes = &self.classes;
        self.view
            .yardstick
            .get_or_insert_with(|| baseline?.of(key, classes))
            .clone()
    }

    /// Gathers a pane that left the window into the tile; gives the tile before it when full.
    pub(super) fn gather(
        &mut self,
        spec: &ModelSpec,
        key: &StreamKey,
        pane: Pane,
    ) -> Option<HistoryEntry> {
        let tile_ms = spec.window.tile_ms();
        let same = |tile: &Pane| match spec.window {
            WindowSpec::Time { .. } => {
                tile.start_ms.div_euclid(tile_ms) == pane.start_ms.div_euclid(tile_ms)
            }
            WindowSpec::Count { .. } => pane.end_ms - tile.start_ms <= tile_ms,
        };
        match &mut self.tile {
            Some(tile) if same(tile) => {
                tile.absorb(&pane);
                None
            }
            tile => tile.replace(pane).map(|full| self.entry(spec, key, full)),
        }
    }

    pub(super) fn entry(&self, spec: &ModelSpec, key: &StreamKey, tile: Pane) -> HistoryEntry {
        HistoryEntry {
            model: spec.name.clone(),
            stream: key.clone(),
            classes: self.classes.to_vec(),
            start_ms: tile.start_ms,
            end_ms: tile.end_ms,
            summary: tile.summary,
        }
    }
}
