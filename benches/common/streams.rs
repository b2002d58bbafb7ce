//! The streams of one model in full windows, and the halves of the engine that hold them.
//!
//! Every stream has two records in each pane of ten seconds, windows of five minutes unless the model
//! is given others, a baseline, and a rule on entropy and one on kl.

use std::collections::BTreeMap;
use std::sync::Arc;

use klaxond::alert::budget::{Allowance, Budget, Period};
use klaxond::alert::rule::{Comparison, Rule, Scope, Threshold};
use klaxond::baseline::learner::Learner;
use klaxond::baseline::{Baseline, Source};
use klaxond::decode::{DecoderSpec, DimensionSource, Format, Kind, NoHeaders, Record};
use klaxond::engine::decide::Decide;
use klaxond::engine::spec::{BaselineSpec, ModelLimits, ModelSpec};
use klaxond::engine::summarise::{Batch, Delta, Stream};
use klaxond::engine::{Engine, Published, TopicPartition};
use klaxond::evidence::state::Watch;
use klaxond::observation::StreamKey;
use klaxond::summary::Summary;
use klaxond::window::WindowSpec;
use klaxond::window::measures::Measure;
use klaxond::window::watermark::Watermark;

/// 2026-11-23T10:00:00Z.
pub const START_MS: i64 = 1_795_428_000_000;
pub const SLIDE_MS: i64 = 10_000;
/// In a window.
pub const PANES: i64 = 30;
const WINDOW: WindowSpec = WindowSpec::Time {
    length_ms: PANES * SLIDE_MS,
    slide_ms: SLIDE_MS,
};

pub fn names(classes: usize) -> Vec<String> {
    (0..classes).map(|class| class.to_string()).collect()
}

/// Records of a classifier that is fairly sure.
pub struct Traffic {
    random: fastrand::Rng,
    classes: usize,
    streams: Vec<Arc<Stream>>,
    cell: i64,
}

impl Traffic {
    pub fn new(streams: usize, classes: usize) -> Self {
        let stream = |at: usize| {
            Arc::new(Stream {
                key: StreamKey(BTreeMap::from([("stream".to_owned(), at.to_string())])),
                classes: names(classes).into(),
            })
        };
        Self {
            random: fastrand::Rng::with_seed(7),
            classes,
            streams: (0..streams).map(stream).collect(),
            cell: START_MS / SLIDE_MS,
        }
    }

    fn distribution(&mut self) -> Vec<f64> {
        let mut p: Vec<f64> = (0..self.classes)
            .map(|_| (2.0 * self.random.f64()).exp())
            .collect();
        let likely = self.random.usize(..self.classes);
        p[likely] *= 2.0 * self.classes as f64;
        let sum: f64 = p.iter().sum();
        p.iter_mut().for_each(|p| *p /= sum);
        p
    }

    fn record(&mut self, time_ms: i64, stream: usize) -> String {
        let numbers: Vec<String> = self.distribution().iter().map(f64::to_string).collect();
        let numbers = numbers.join(",");
        format!(r#"{{"probabilities":[{numbers}],"ts":{time_ms},"stream":"{stream}"}}"#)
    }

    pub fn summary(&mut self, records: usize) -> Summary {
        let mut summary = Summary::new(self.classes);
        for _ in 0..records {
            let p = self.distribution();
            summary.add(&p, self.cell * SLIDE_MS);
        }
        summary
    }

    /// Two records of each stream, and the watermark that closes them.
    pub fn next_pane(&mut self) -> (Batch, Watermark) {
        let cell = self.cell;
        let deltas = self.streams.clone().into_iter().map(|stream| Delta {
            stream,
            cell,
            joins: cell,
            summary: self.summary(2),
        });
        let batch = Batch {
            deltas: deltas.collect(),
            ..Batch::default()
        };
        self.cell += 1;
        (batch, Watermark::At(self.cell * SLIDE_MS))
    }

    /// Of the whole model, as of streams that were not seen while it was learnt.
    pub fn baseline(&mut self) -> Baseline {
        let mut learner = Learner::new(WINDOW, None);
        for pane in 0..400 {
            let summary = self.summary(20);
            let start_ms = START_MS + (pane - 400) * SLIDE_MS;
            learner.add_pane(
                &StreamKey::whole(),
                &names(self.classes),
                start_ms,
                &summary,
            );
        }
        let learnt = learner.finish("bench", "bench", Source::Imported, START_MS);
        learnt.expect("it has records")
    }

    /// A second half whose windows of so many panes are full, and slide.
    pub fn decide(&mut self, spec: ModelSpec, panes: i64) -> Decide {
        let mut decide = Decide::new(Arc::new(spec));
        decide.set_baseline(Some(Arc::new(self.baseline())));
        for _ in 0..panes + 1 {
            let (batch, watermark) = self.next_pane();
            decide.merge(batch);
            decide.advance(watermark);
            decide.take_outputs();
        }
        decide
    }

    /// An engine whose windows of so many panes are full, one pane beside them open, and all that was
    /// said published.
    pub fn engine(&mut self, spec: ModelSpec, panes: i64) -> Engine {
        let published = Published {
            group: "bench".to_owned(),
            windows: true,
            dead_letters: true,
            reviews: true,
        };
        let streams = self.streams.len();
        let mut engine = Engine::new(vec![spec], Some(published));
        engine.set_baseline("bench", Some(Arc::new(self.baseline())));
        let partition = engine.add_partition(TopicPartition {
            topic: "predictions".to_owned(),
            partition: 0,
        });
        let mut offset = 0;
        for pane in 0..panes + 2 {
            for i in 0..2 * streams {
                let record = self.record(START_MS + pane * SLIDE_MS, i % streams);
                let record = Record {
                    payload: Some(record.as_bytes()),
                    timestamp_ms: None,
                    headers: &NoHeaders,
                };
                engine.record(partition, offset, &record, None);
                offset += 1;
            }
            engine.step(0);
            engine.take_outputs();
            engine.published(u64::MAX);
        }
        engine
    }
}

pub fn budget() -> Budget {
    Budget {
        name: "changed".to_owned(),
        allowance: Allowance {
            alarms: 1,
            period: Period::Windows(1 << 30),
            text: "1 per 1073741824 windows".to_owned(),
        },
        watch: Watch::ALL,
        keep_firing_ms: 0,
        severity: "critical".to_owned(),
        scope: Scope::Streams,
        is_shared: false,
    }
}

fn rule(name: &str, measure: Measure, above: f64) -> Rule {
    Rule {
        name: name.to_owned(),
        measure,
        comparison: Comparison::Above,
        threshold: Threshold::Absolute(above),
        clear: None,
        for_ms: 60_000,
        keep_firing_ms: 0,
        min_records: 50,
        severity: "warning".to_owned(),
        scope: Scope::Streams,
    }
}

pub fn spec(streams: usize, budgets: Vec<Budget>) -> ModelSpec {
    ModelSpec {
        name: "bench".to_owned(),
        topics: vec!["predictions".to_owned()],
        decoder: DecoderSpec {
            format: Format::Json,
            kind: Kind::Probabilities,
            probabilities: Some("/probabilities".to_owned()),
            timestamp: Some("/ts".to_owned()),
            dimensions: vec![(
                "stream".to_owned(),
                DimensionSource::Pointer("/stream".to_owned()),
            )],
            tags: Vec::new(),
            label: None,
            max_payload_bytes: 1 << 20,
            max_classes: 10_000,
        },
        classes: None,
        window: WINDOW,
        lateness_ms: 0,
        idle_after_ms: 30_000,
        max_ahead_ms: 300_000,
        baseline: BaselineSpec::Named("bench".to_owned()),
        season: None,
        min_baseline_records: 1_000,
        forget_streams_after_ms: 86_400_000,
        rules: vec![
            rule("uncertain", Measure::Entropy, 3.0),
            rule("drifted", Measure::Kl, 1.0),
        ],
        budgets,
        review: None,
        limits: ModelLimits {
            streams,
            open_panes: 1_000,
        },
    }
}
