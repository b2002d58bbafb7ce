//! What can be asked of baselines, on an open store: the same whether the daemon is asked through
//! its API or the command line opens the store itself.

use crate::baseline::learner::Learner;
use crate::baseline::{Baseline, Source};
use crate::engine::output::HistoryEntry;
use crate::engine::spec::{BaselineSpec, ModelSpec};
use crate::observation::{Millis, rfc3339};
use crate::store::{Store, StoreError};

/// Why a baseline cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no baseline {name}")]
    NoName { name: String },
    #[error("there is no version {version} of baseline {name}")]
    NoVersion { name: String, version: u32 },
    #[error(
        "model {model} has no records in history from {} to {}",
        rfc3339(*from_ms),
        rfc3339(*to_ms)
    )]
    NoRecords { model: String, from_ms: Millis, to_ms: Millis },
}

/// Which stretch of event time to learn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// So much, up to the newest closed pane.
    Last(Millis),
    Between { from_ms: Millis, to_ms: Millis },
}

/// The name under which a model's baselines are kept.
pub fn name_for(spec: &ModelSpec) -> &str {
    match &spec.baseline {
        BaselineSpec::Named(name) => name,
        BaselineSpec::None | BaselineSpec::Learn { .. } => &spec.name,
    }
}

/// The active version of the model's baseline; none where it has none.
pub fn active(store: &Store, spec: &ModelSpec) -> Result<Option<Baseline>, StoreError> {
    if spec.baseline == BaselineSpec::None {
        return Ok(None);
    }
    let name = name_for(spec);
    match store.active(name)? {
        Some(version) => store.baseline(name, version),
        None => Ok(None),
    }
}

/// The version of this number, else the active one, else the newest.
pub fn find(store: &Store, name: &str, version: Option<u32>) -> Result<Baseline, BaselineError> {
    let no_name = || BaselineError::NoName { name: name.to_owned() };
    let version = match version {
        Some(version) => version,
        None => match store.active(name)? {
            Some(active) => active,
            None => {
                let all = store.baselines()?;
                let newest = all.iter().filter(|info| info.about.name == name);
                newest.map(|info| info.about.version).max().ok_or_else(no_name)?
            }
        },
    };
    let no_version = || BaselineError::NoVersion { name: name.to_owned(), version };
    store.baseline(name, version)?.ok_or_else(no_version)
}

/// Learns from the history of a model, with `live` the closed panes that are not in it yet.
pub fn capture(
    store: &Store,
    live: Vec<HistoryEntry>,
    spec: &ModelSpec,
    stretch: Stretch,
    now_ms: Millis,
) -> Result<Baseline, BaselineError> {
    let (from_ms, to_ms) = match stretch {
        Stretch::Between { from_ms, to_ms } => (from_ms, to_ms),
        Stretch::Last(length_ms) => {
            let to_ms = live.iter().map(|entry| entry.end_ms).max().unwrap_or(now_ms);
            (to_ms.saturating_sub(length_ms), to_ms)
        }
    };
    let within = |entry: &HistoryEntry| entry.start_ms >= from_ms && entry.end_ms <= to_ms;
    let mut learner = Learner::new(spec.window);
    for entry in store.history(&spec.name, from_ms, to_ms) {
        let entry = entry?;
        learner.add_pane(&entry.stream, &entry.classes, entry.start_ms, &entry.summary);
    }
    // After what is in history, in order of time.
    let mut live: Vec<HistoryEntry> = live.into_iter().filter(within).collect();
    live.sort_by(|a, b| (a.start_ms, &a.stream).cmp(&(b.start_ms, &b.stream)));
    for entry in &live {
        learner.add_pane(&entry.stream, &entry.classes, entry.start_ms, &entry.summary);
    }
    let name = name_for(spec);
    learner.finish(name, &spec.name, Source::Captured, now_ms).ok_or_else(|| {
        BaselineError::NoRecords { model: spec.name.clone(), from_ms, to_ms }
    })
}
