//! The second half of the engine: windows that close, rules, evidence, and checkpoints.
//!
//! `cargo bench --bench decisions [FILTER]`. Every stream has two records in each pane, windows of five
//! minutes that slide by ten seconds and are full, a baseline, and a rule on entropy and one on kl;
//! `budgets` has a budget of false alarms too.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use klaxond::alert::budget::{Allowance, Budget, Period};
use klaxond::alert::rule::{Comparison, Rule, Scope, Threshold};
use klaxond::baseline::learner::Learner;
use klaxond::baseline::yardstick::Yardstick;
use klaxond::baseline::{Baseline, Source};
use klaxond::decode::{DecoderSpec, DimensionSource, Format, Kind, NoHeaders, Record};
use klaxond::engine::decide::Decide;
use klaxond::engine::spec::{BaselineSpec, ModelLimits, ModelSpec};
use klaxond::engine::summarise::{Batch, Delta, Stream};
use klaxond::engine::{Engine, Published, TopicPartition};
use klaxond::evidence::PaneSums;
use klaxond::evidence::state::{Evidence, Watch};
use klaxond::observation::StreamKey;
use klaxond::summary::Summary;
use klaxond::window::WindowSpec;
use klaxond::window::measures::Measure;
use klaxond::window::watermark::Watermark;

/// 2026-11-23T10:00:00Z.
const START_MS: i64 = 1_795_428_000_000;
const SLIDE_MS: i64 = 10_000;
const PANES: i64 = 30;
const WINDOW: WindowSpec = WindowSpec::Time {
    length_ms: PANES * SLIDE_MS,
    slide_ms: SLIDE_MS,
};

/// Streams and classes.
const SIZES: [(usize, usize); 4] = [(100, 10), (100, 100), (1_000, 10), (1_000, 100)];

fn main() {
    divan::main();
}

mod close_a_slide {
    use super::*;

    fn close(bencher: Bencher, (streams, classes): (usize, usize), budgets: Vec<Budget>) {
        let mut traffic = Traffic::new(streams, classes);
        let mut decide = Decide::new(Arc::new(spec(streams, budgets)));
        decide.set_baseline(Some(Arc::new(traffic.baseline())));
        for _ in 0..PANES + 1 {
            let (batch, watermark) = traffic.next_pane();
            decide.merge(batch);
            decide.advance(watermark);
            decide.take_outputs();
        }
        let counted = bencher.counter(ItemsCount::new(streams));
        let inputs = counted.with_inputs(|| traffic.next_pane());
        inputs.bench_local_values(|(batch, watermark)| {
            decide.merge(batch);
            decide.advance(watermark);
            black_box(decide.take_outputs());
        });
    }

    #[divan::bench(args = SIZES, sample_count = 20, sample_size = 1)]
    fn lines(bencher: Bencher, size: (usize, usize)) {
        close(bencher, size, Vec::new());
    }

    #[divan::bench(args = SIZES, sample_count = 20, sample_size = 1)]
    fn budgets(bencher: Bencher, size: (usize, usize)) {
        close(bencher, size, vec![budget()]);
    }
}

#[divan::bench(args = [10, 100, 1000])]
fn merge_a_pane(bencher: Bencher, classes: usize) {
    let mut traffic = Traffic::new(1, classes);
    let (mut whole, pane) = (traffic.summary(20), traffic.summary(20));
    bencher.bench_local(|| {
        whole.merge(black_box(&pane));
        whole.subtract(black_box(&pane));
    });
}

#[divan::bench(args = [10, 100, 1000])]
fn weigh_a_pane(bencher: Bencher, classes: usize) {
    let mut traffic = Traffic::new(1, classes);
    let baseline = Arc::new(traffic.baseline());
    let yardstick = Yardstick::new(&baseline, &StreamKey::whole(), &names(classes), 0);
    let yardstick = yardstick.expect("the baseline is over these classes");
    let detector = yardstick.detector.as_ref().expect("it was fitted");
    let mut evidence = Evidence::new(detector);
    let pane = PaneSums::of(&traffic.summary(20)).expect("it has records");
    bencher.bench_local(|| {
        evidence.step(detector, Watch::ALL, START_MS, black_box(&pane));
        black_box(evidence.read(detector, Watch::ALL));
    });
}

/// From the engine's state to bytes.
#[divan::bench(args = SIZES, sample_count = 10, sample_size = 1)]
fn checkpoint(bencher: Bencher, (streams, classes): (usize, usize)) {
    let published = Published {
        group: "bench".to_owned(),
        windows: true,
        dead_letters: true,
        reviews: true,
    };
    let mut engine = Engine::new(vec![spec(streams, vec![budget()])], Some(published));
    let mut traffic = Traffic::new(streams, classes);
    engine.set_baseline("bench", Some(Arc::new(traffic.baseline())));
    let partition = engine.add_partition(TopicPartition {
        topic: "predictions".to_owned(),
        partition: 0,
    });
    let mut offset = 0;
    for pane in 0..PANES + 2 {
        for i in 0..2 * streams {
            let record = traffic.record(START_MS + pane * SLIDE_MS, i % streams);
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
    let bytes = engine.checkpoint().len();
    bencher
        .counter(BytesCount::new(bytes))
        .bench_local(|| black_box(engine.checkpoint()));
}

fn names(classes: usize) -> Vec<String> {
    (0..classes).map(|class| class.to_string()).collect()
}

/// Records of a classifier that is fairly sure.
struct Traffic {
    random: fastrand::Rng,
    classes: usize,
    streams: Vec<Arc<Stream>>,
    cell: i64,
}

impl Traffic {
    fn new(streams: usize, classes: usize) -> Self {
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

    fn summary(&mut self, records: usize) -> Summary {
        let mut summary = Summary::new(self.classes);
        for _ in 0..records {
            let p = self.distribution();
            summary.add(&p, self.cell * SLIDE_MS);
        }
        summary
    }

    /// Two records of each stream, and the watermark that closes them.
    fn next_pane(&mut self) -> (Batch, Watermark) {
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
    fn baseline(&mut self) -> Baseline {
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
}

fn budget() -> Budget {
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

fn spec(streams: usize, budgets: Vec<Budget>) -> ModelSpec {
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
