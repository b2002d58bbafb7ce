//! A baseline made ready to measure one stream by.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Baseline, Learnt};
use crate::evidence::PaneSums;
use crate::evidence::detector::Detector;
use crate::observation::StreamKey;
use crate::summary::Summary;
use crate::window::measures::{Measures, Reference, measures};

/// Which baseline a window was measured against, as events say it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineInfo {
    pub name: String,
    pub version: u32,
    /// Empty: the whole model's.
    pub stream: StreamKey,
    pub records: u64,
    pub provisional: bool,
}

/// What one stream is measured against: its own part of the baseline, or the whole model's.
#[derive(Debug)]
pub struct Yardstick {
    baseline: Arc<Baseline>,
    /// Whose part of the baseline this is; the whole's when the stream's own is too small.
    pub stream: StreamKey,
    pub reference: Reference,
    /// What events say of it.
    pub info: Arc<BaselineInfo>,
    /// The names of the classes, for events.
    pub classes: Vec<Arc<str>>,
    /// The baseline's own values of the measures that need none.
    pub own: Measures,
    /// What evidence is weighed by; none where the baseline was not fitted.
    pub detector: Option<Detector>,
}

impl Yardstick {
    /// For a stream of these classes. None where the baseline is over other classes.
    pub fn new(
        baseline: &Arc<Baseline>,
        stream: &StreamKey,
        classes: &[String],
        min_records: u64,
    ) -> Option<Self> {
        let learnt = part_for(baseline, stream, classes, min_records)?;
        let is_own = own_part(baseline, stream, min_records).is_some();
        let stream = if is_own {
            stream.clone()
        } else {
            StreamKey::whole()
        };
        let info = BaselineInfo {
            name: baseline.name.clone(),
            version: baseline.version,
            stream: stream.clone(),
            records: learnt.summary.records(),
            provisional: learnt.is_provisional(),
        };
        Some(Self {
            baseline: Arc::clone(baseline),
            stream,
            info: Arc::new(info),
            classes: learnt
                .classes
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            reference: Reference::new(&learnt.summary),
            own: measures(&learnt.summary, None),
            detector: detector(learnt),
        })
    }

    /// For the streams that have no part of their own: one for all of them.
    fn is_whole(&self) -> bool {
        self.stream.is_whole()
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

fn detector(learnt: &Learnt) -> Option<Detector> {
    let fit = learnt.fit.as_ref()?;
    Detector::new(fit, &PaneSums::of(&learnt.summary)?)
}

/// The active baseline of a model, and what its streams are measured against.
#[derive(Debug)]
pub struct Yardsticks {
    baseline: Arc<Baseline>,
    min_records: u64,
    /// Streams without a part of their own share one.
    whole: Option<Arc<Yardstick>>,
}

impl Yardsticks {
    pub fn new(baseline: Arc<Baseline>, min_records: u64) -> Self {
        Self {
            baseline,
            min_records,
            whole: None,
        }
    }

    pub fn baseline(&self) -> &Arc<Baseline> {
        &self.baseline
    }

    /// For a stream of these classes. None where the baseline is over other classes.
    pub fn of(&mut self, stream: &StreamKey, classes: &[String]) -> Option<Arc<Yardstick>> {
        let has_own = own_part(&self.baseline, stream, self.min_records).is_some();
        if let Some(whole) = self.whole.as_ref().filter(|_| !has_own) {
            return (whole.learnt().classes == classes).then(|| Arc::clone(whole));
        }
        let made = Yardstick::new(&self.baseline, stream, classes, self.min_records)?;
        let made = Arc::new(made);
        if made.is_whole() {
            self.whole = Some(Arc::clone(&made));
        }
        Some(made)
    }
}

/// What a stream of these classes is measured against: its own part of the baseline where that has so
/// many records, else the whole's. None where that is over other classes, or of no records.
pub fn part_for<'b>(
    baseline: &'b Baseline,
    stream: &StreamKey,
    classes: &[String],
    min_records: u64,
) -> Option<&'b Learnt> {
    let learnt = own_part(baseline, stream, min_records).unwrap_or(&baseline.whole);
    (learnt.classes == classes && learnt.summary.records() > 0).then_some(learnt)
}

fn own_part<'b>(
    baseline: &'b Baseline,
    stream: &StreamKey,
    min_records: u64,
) -> Option<&'b Learnt> {
    let own = baseline.streams.get(stream);
    own.filter(|own| own.summary.records() >= min_records)
}
