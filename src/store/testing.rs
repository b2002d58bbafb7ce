//! What the store's tests share.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::{Duration, Instant};

use super::{NewBaseline, Store, StoreError};
use crate::baseline::{Baseline, Learnt, Source, Spread};
use crate::engine::output::HistoryEntry;
use crate::observation::{Millis, StreamKey};
use crate::summary::Summary;
use crate::window::WindowSpec;
use crate::window::measures::Measure;

/// A directory for a store, removed at the end.
pub struct Dir(pub tempfile::TempDir);

impl Dir {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn open(&self) -> Store {
        self.try_open().unwrap()
    }

    pub fn try_open(&self) -> Result<Store, StoreError> {
        self.wait_until_closed();
        Store::open(self.0.path())
    }

    /// Waits for sled's own threads to let go of a database that was just closed in this process.
    pub fn wait_until_closed(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let Ok(db) = File::open(self.0.path().join("db")) else {
            return;
        };
        while db.try_lock().is_err() {
            assert!(Instant::now() < deadline, "the store is still open");
            std::thread::yield_now();
        }
    }
}

pub fn stream(country: &str) -> StreamKey {
    StreamKey(BTreeMap::from([("country".to_owned(), country.to_owned())]))
}

pub fn summary() -> Summary {
    let mut summary = Summary::new(2);
    for time_ms in 0..3 {
        summary.add(&[0.25, 0.75], time_ms);
    }
    summary
}

pub fn entry(model: &str, country: &str, start_ms: Millis, end_ms: Millis) -> HistoryEntry {
    let stream = stream(country);
    HistoryEntry {
        model: model.to_owned(),
        stream,
        classes: vec!["no".to_owned(), "yes".to_owned()],
        start_ms,
        end_ms,
        summary: summary(),
    }
}

pub fn new_baseline(name: &str, activate: bool) -> NewBaseline {
    NewBaseline {
        baseline: baseline(name),
        activate,
    }
}

/// Longer than a piece.
pub fn baseline(name: &str) -> Baseline {
    let learnt = Learnt {
        summary: summary(),
        classes: (0..1_000).map(|class| format!("class {class}")).collect(),
        panes: 40,
        spread: BTreeMap::from([(
            Measure::Entropy,
            Spread {
                windows: 9,
                mean: 0.1,
                sd: 1e-300,
            },
        )]),
        fit: None,
    };
    Baseline {
        name: name.to_owned(),
        version: 0,
        model: "fraud".to_owned(),
        source: Source::Captured,
        created_ms: 1_795_000_000_000,
        window: WindowSpec::Time {
            length_ms: 300_000,
            slide_ms: 10_000,
        },
        whole: learnt.clone(),
        streams: BTreeMap::from([(stream("DE"), learnt.clone()), (stream("AT"), learnt)]),
    }
}
