//! The second half of the engine: windows that close, rules, evidence, and checkpoints.
//!
//! `cargo bench --bench decisions [FILTER]`. Every stream has two records in each pane, windows of five
//! minutes that slide by ten seconds and are full, a baseline, and a rule on entropy and one on kl;
//! `budgets` has a budget of false alarms too.

use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use klaxond::alert::budget::Budget;
use klaxond::baseline::yardstick::Yardstick;
use klaxond::evidence::PaneSums;
use klaxond::evidence::state::{Evidence, Watch};
use klaxond::observation::StreamKey;

#[path = "common/streams.rs"]
mod streams;
use streams::{PANES, START_MS, Traffic, budget, names, spec};

/// Streams and classes.
const SIZES: [(usize, usize); 4] = [(100, 10), (100, 100), (1_000, 10), (1_000, 100)];

fn main() {
    divan::main();
}

mod close_a_slide {
    use super::*;

    fn close(bencher: Bencher, (streams, classes): (usize, usize), budgets: Vec<Budget>) {
        let mut traffic = Traffic::new(streams, classes);
        let mut decide = traffic.decide(spec(streams, budgets), PANES);
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
    let mut traffic = Traffic::new(streams, classes);
    let engine = traffic.engine(spec(streams, vec![budget()]), PANES);
    let bytes = engine.checkpoint().len();
    bencher
        .counter(BytesCount::new(bytes))
        .bench_local(|| black_box(engine.checkpoint()));
}
