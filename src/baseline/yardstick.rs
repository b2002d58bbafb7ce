//! A baseline made ready to measure one stream by.

use std::sync::Arc;

use super::{Baseline, Learnt};
use crate::observation::StreamKey;
use crate::summary::Summary;
use crate::window::measures::{Measures, Reference, measures};

/// What one stream is measured against: its own part of the baseline, or the whole model's.
#[derive(Debug)]
pub struct Yardstick {
    baseline: Arc<Baseline>,
    /// Whose part of the baseline this is; the whole's when the stream's own is too small.
    pub stream: StreamKey,
    pub reference: Reference,
    /// The baseline's own values of the measures that need none.
    pub own: Measures,
}

impl Yardstick {
    /// For a stream of these classes. None where the baseline is over other classes.
    pub fn new(
        baseline: &Arc<Baseline>,
        stream: &StreamKey,
        classes: &[String],
        min_records: u64,
    ) -> Option<Self> {
        let own = baseline
            .streams
            .get(stream)
            .filter(|own| own.summary.records() >= min_records);
        let (stream, learnt) = match own {
            Some(own) => (stream.clone(), own),
            None => (StreamKey::whole(), &baseline.whole),
        };
        if learnt.classes != classes || learnt.summary.records() == 0 {
            return None;
        }
        Some(Self {
            baseline: Arc::clone(baseline),
            stream,
            reference: Reference::new(&learnt.summary),
            own: measures(&learnt.summary, None),
        })
    }

    pub fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    pub fn learnt(&self) -> &Learnt {
        self.baseline.part(&self.stream)
    }

    pub fn summary(&self) -> &Summary {
        &self.learnt().summary
    }
}
