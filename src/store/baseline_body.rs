//! A baseline as the store keeps it, and as older builds kept it.
//!
//! | format | differs |
//! | --- | --- |
//! | 2 | |
//! | 1 | it has no fit for evidence |

use std::collections::BTreeMap;

use serde::Deserialize;

use super::body::{self, BodyError};
use crate::baseline::{Baseline, Learnt, Source, Spread};
use crate::observation::{Millis, StreamKey};
use crate::summary::Summary;
use crate::window::WindowSpec;
use crate::window::measures::Measure;

const FORMAT: u8 = 2;

pub(super) fn encode(baseline: &Baseline) -> Result<Vec<u8>, postcard::Error> {
    body::encode(FORMAT, baseline)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Baseline, BodyError> {
    let baseline = if bytes.first() == Some(&1) {
        body::decode::<Baseline1>(1, bytes)?.into()
    } else {
        body::decode::<Baseline>(FORMAT, bytes)?
    };
    Ok(baseline)
}

#[derive(Deserialize)]
struct Baseline1 {
    name: String,
    version: u32,
    model: String,
    source: Source,
    created_ms: Millis,
    window: WindowSpec,
    whole: Learnt1,
    streams: BTreeMap<StreamKey, Learnt1>,
}

#[derive(Deserialize)]
struct Learnt1 {
    summary: Summary,
    classes: Vec<String>,
    panes: u64,
    spread: BTreeMap<Measure, Spread>,
}

impl From<Baseline1> for Baseline {
    fn from(old: Baseline1) -> Self {
        Self {
            name: old.name,
            version: old.version,
            model: old.model,
            source: old.source,
            created_ms: old.created_ms,
            window: old.window,
            whole: old.whole.into(),
            streams: (old.streams.into_iter())
                .map(|(stream, learnt)| (stream, learnt.into()))
                .collect(),
        }
    }
}

impl From<Learnt1> for Learnt {
    fn from(old: Learnt1) -> Self {
        Self {
            summary: old.summary,
            classes: old.classes,
            panes: old.panes,
            spread: old.spread,
            fit: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by a build of format 1 from 60 records: (0.5, 0.5) for every third, else (0.75, 0.25),
    /// a second apart. The entropies are 1 and 0.811278 bits: 0.874186 in the mean, in each of the
    /// three back-to-back windows of 20 records but for which of them has seven thirds.
    #[test]
    fn baselines_of_format_1_stay_readable() {
        let export = include_str!("baseline_format_1.json");
        let baseline = super::super::import(export).unwrap().baseline;
        let learnt = &baseline.streams[&StreamKey([("v".to_owned(), "7".to_owned())].into())];
        assert_eq!((learnt, learnt.fit.is_none()), (&baseline.whole, true));
        assert_eq!(learnt.summary.records(), 60);
        assert_eq!(learnt.classes, ["no", "yes"]);
        let names: Vec<&str> = learnt.spread.keys().map(|measure| measure.name()).collect();
        assert_eq!(names.len(), 12);
        let entropy = learnt.spread[&Measure::Entropy];
        assert_eq!(entropy.windows, 3);
        assert!((entropy.mean - 0.874_186).abs() < 1e-6);
        assert_eq!(learnt.spread[&Measure::Records].mean, 20.0);
    }
}
