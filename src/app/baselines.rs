//! What can be asked of baselines, on an open store: the same whether the daemon is asked through
//! its API or the command line opens the store itself.

mod shown;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::baseline::learner::Learner;
use crate::baseline::{Baseline, Source};
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::output::HistoryEntry;
use crate::engine::spec::{BaselineSpec, ModelSpec};
use crate::http::{Ask, Refusal, Stretch};
use crate::observation::{Millis, rfc3339};
use crate::store::{NewBaseline, Store, StoreError};

pub use shown::{Shown, ShownEvidence, ShownSight};

/// Why a baseline cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no baseline {name}")]
    NoName { name: String },
    #[error("there is no version {version} of baseline {name}")]
    NoVersion { name: String, version: u32 },
    #[error("there is no model {name}; the configuration has {known}")]
    NoModel { name: String, known: String },
    #[error(
        "model {model} has no records in history from {} to {}",
        rfc3339(*from_ms),
        rfc3339(*to_ms)
    )]
    NoRecords {
        model: String,
        from_ms: Millis,
        to_ms: Millis,
    },
}

impl From<BaselineError> for Refusal {
    fn from(error: BaselineError) -> Self {
        let told = error.to_string();
        match error {
            BaselineError::Store(StoreError::NoBaseline { .. })
            | BaselineError::NoName { .. }
            | BaselineError::NoVersion { .. }
            | BaselineError::NoModel { .. } => Self::NotFound(told),
            BaselineError::Store(StoreError::NotAnExport { .. }) => Self::Invalid(told),
            BaselineError::Store(StoreError::ActiveBaseline { .. })
            | BaselineError::NoRecords { .. } => Self::Conflict(told),
            BaselineError::Store(_) => Self::Failed(told),
        }
    }
}

/// An answer, and the baseline whose active version may be another one now.
pub struct Done {
    pub value: Value,
    pub changed: Option<String>,
}

impl Done {
    fn told(value: impl Serialize) -> Self {
        Self {
            value: json!(value),
            changed: None,
        }
    }

    fn changed(name: String, value: impl Serialize) -> Self {
        Self {
            value: json!(value),
            changed: Some(name),
        }
    }
}

/// The answer to what puts a version into the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub name: String,
    pub version: u32,
    pub records: u64,
    pub streams: u64,
    /// Whether it is what windows are measured against from now on.
    pub active: bool,
}

/// Answers a question on an open store. `live` are the closed panes that are not in its history yet.
///
/// # Errors
/// There is no such thing; it cannot be done; the store fails.
pub fn answer(
    store: &Store,
    live: Vec<HistoryEntry>,
    config: &Config,
    ask: Ask,
    now_ms: Millis,
) -> Result<Done, BaselineError> {
    match ask {
        Ask::List {} => Ok(Done::told(store.baselines()?)),
        Ask::Show { name, version } => {
            let baseline = find(store, &name, version)?;
            let active = store.active(&name)? == Some(baseline.version);
            let spec = config.models.iter().find(|spec| name_for(spec) == name);
            Ok(Done::told(shown::shown(&Arc::new(baseline), active, spec)))
        }
        Ask::Export { name, version } => Ok(Done::told(crate::store::export(&find(
            store, &name, version,
        )?)?)),
        Ask::Activate { name, version } => {
            store.activate(&name, version)?;
            Ok(Done::changed(name, ()))
        }
        Ask::Delete { name, version } => {
            store.delete_baseline(&name, version)?;
            Ok(Done::told(()))
        }
        Ask::Capture {
            model,
            stretch,
            activate,
        } => {
            let spec = model_named(config, &model)?;
            let baseline = capture(store, live, spec, stretch, now_ms)?;
            put(store, baseline, activate)
        }
        Ask::Import { export, activate } => {
            put(store, crate::store::import(&export)?.baseline, activate)
        }
    }
}

/// Stores a new version. The first of its name is active even where that was not asked for.
fn put(store: &Store, baseline: Baseline, activate: bool) -> Result<Done, BaselineError> {
    let name = baseline.name.clone();
    let active = activate || store.active(&name)?.is_none();
    let (records, streams) = (
        baseline.whole.summary.records(),
        baseline.streams.len() as u64,
    );
    let version = store.put_baseline(&NewBaseline {
        baseline,
        activate: active,
    })?;
    let stored = Stored {
        name: name.clone(),
        version,
        records,
        streams,
        active,
    };
    Ok(Done::changed(name, stored))
}

fn model_named<'c>(config: &'c Config, name: &str) -> Result<&'c ModelSpec, BaselineError> {
    config
        .models
        .iter()
        .find(|model| model.name == name)
        .ok_or_else(|| {
            let known: Vec<&str> = config
                .models
                .iter()
                .map(|model| model.name.as_str())
                .collect();
            BaselineError::NoModel {
                name: name.to_owned(),
                known: known.join(", "),
            }
        })
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
    let no_name = || BaselineError::NoName {
        name: name.to_owned(),
    };
    let version = match version {
        Some(version) => version,
        None => match store.active(name)? {
            Some(active) => active,
            None => {
                let all = store.baselines()?;
                let newest = all.iter().filter(|info| info.about.name == name);
                newest
                    .map(|info| info.about.version)
                    .max()
                    .ok_or_else(no_name)?
            }
        },
    };
    let no_version = || BaselineError::NoVersion {
        name: name.to_owned(),
        version,
    };
    store.baseline(name, version)?.ok_or_else(no_version)
}

/// The closed panes of a model that a store's checkpoint holds, and its history does not.
///
/// # Errors
/// The store fails.
pub fn live_panes(
    store: &Store,
    config: &Config,
    model: &str,
) -> Result<Vec<HistoryEntry>, BaselineError> {
    let mut engine = Engine::new(config.models.clone(), None);
    let checkpoint = match store.read_checkpoint() {
        Ok(checkpoint) => checkpoint,
        // What is in history can be learnt from all the same.
        Err(StoreError::CheckpointLost { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let restored = checkpoint.is_some_and(|c| engine.restore(&c.state).is_ok());
    Ok(if restored {
        engine.live_panes(model)
    } else {
        Vec::new()
    })
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
        Stretch::LastMs(length_ms) => {
            let to_ms = live
                .iter()
                .map(|entry| entry.end_ms)
                .max()
                .unwrap_or(now_ms);
            (to_ms.saturating_sub(length_ms), to_ms)
        }
    };
    let within = |entry: &HistoryEntry| entry.start_ms >= from_ms && entry.end_ms <= to_ms;
    let mut learner = Learner::from_tiles(spec.window, spec.season);
    for entry in store.history(&spec.name, from_ms, to_ms) {
        let entry = entry?;
        learner.add_pane(
            &entry.stream,
            &entry.classes,
            entry.start_ms,
            &entry.summary,
        );
    }
    // After what is in history, in order of time.
    let mut live: Vec<HistoryEntry> = live.into_iter().filter(within).collect();
    live.sort_by(|a, b| (a.start_ms, &a.stream).cmp(&(b.start_ms, &b.stream)));
    for entry in &live {
        learner.add_pane(
            &entry.stream,
            &entry.classes,
            entry.start_ms,
            &entry.summary,
        );
    }
    let name = name_for(spec);
    learner
        .finish(name, &spec.name, Source::Captured, now_ms)
        .ok_or_else(|| BaselineError::NoRecords {
            model: spec.name.clone(),
            from_ms,
            to_ms,
        })
}
