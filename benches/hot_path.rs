//! The way of a record from bytes into its Summary, whole and in parts, on one core.
//!
//! `cargo bench --bench hot_path [FILTER]`. Every figure is for a ring of records that differ, so
//! that no branch is learnt by heart; throughput is in bytes of payload and in records. Beside them
//! stand limits of the machine at hand: a pass that only adds the payload's bytes, and one that only
//! copies them.
//!
//! `json_simple` has an escape in its first key, which is enough for the fast path to leave a record
//! to serde_json.

use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use klaxond::decode::{Decoder, DimensionSource, Format, Headers, Record, Scratch};
use klaxond::engine::summarise::Summarise;
use klaxond::engine::{Engine, TopicPartition};
use klaxond::information::distribution::probabilities;
use klaxond::information::entropy::{entropy, top_two};
use klaxond::summary::Summary;
use klaxond::window::watermark::PartitionTime;

#[path = "common/payloads.rs"]
mod payloads;
use payloads::{Digits, Ring, START_MS, decoder, distributions, model, record};

const CLASSES: [usize; 4] = [2, 10, 100, 1000];

fn main() {
    divan::main();
}

mod limits {
    use super::*;

    #[divan::bench(args = CLASSES)]
    fn add_the_bytes(bencher: Bencher, classes: usize) {
        let ring = Ring::json(classes, Digits::All, "id");
        bench(&ring, bencher, |payload| {
            let sum: u64 = payload.iter().map(|byte| u64::from(*byte)).sum();
            black_box(sum);
        });
    }

    #[divan::bench(args = CLASSES)]
    fn copy_the_bytes(bencher: Bencher, classes: usize) {
        let ring = Ring::json(classes, Digits::All, "id");
        let mut copy = Vec::new();
        bench(&ring, bencher, move |payload| {
            copy.clear();
            copy.extend_from_slice(payload);
            black_box(&copy);
        });
    }
}

mod decode {
    use super::*;

    fn decode(bencher: Bencher, format: Format, ring: &Ring) {
        let decoder = Decoder::new(decoder(format));
        let mut scratch = Scratch::default();
        bench(ring, bencher, move |payload| {
            decoder
                .decode(&record(payload), &mut scratch)
                .expect("the payload is good");
            black_box(&scratch);
        });
    }

    #[divan::bench(args = CLASSES)]
    fn json(bencher: Bencher, classes: usize) {
        decode(
            bencher,
            Format::Json,
            &Ring::json(classes, Digits::All, "id"),
        );
    }

    #[divan::bench(args = CLASSES)]
    fn json_simple(bencher: Bencher, classes: usize) {
        let ring = Ring::json(classes, Digits::All, "\\u0069d");
        decode(bencher, Format::Json, &ring);
    }

    #[divan::bench(args = CLASSES)]
    fn json_6_digits(bencher: Bencher, classes: usize) {
        decode(
            bencher,
            Format::Json,
            &Ring::json(classes, Digits::Six, "id"),
        );
    }

    #[divan::bench(args = CLASSES)]
    fn f32le(bencher: Bencher, classes: usize) {
        decode(bencher, Format::F32Le, &Ring::f32le(classes));
    }

    #[divan::bench(args = CLASSES)]
    fn f64le(bencher: Bencher, classes: usize) {
        decode(bencher, Format::F64Le, &Ring::f64le(classes));
    }
}

/// Decode and all that follows until the record is in its Summary.
mod summarise {
    use super::*;

    fn summarise(bencher: Bencher, format: Format, ring: &Ring) {
        let mut summarise = Summarise::new(Arc::new(model(format)));
        let mut partition = PartitionTime::default();
        bench(ring, bencher, move |payload| {
            summarise
                .record(&mut partition, &record(payload), None)
                .expect("the payload is good");
        });
    }

    #[divan::bench(args = CLASSES)]
    fn json(bencher: Bencher, classes: usize) {
        summarise(
            bencher,
            Format::Json,
            &Ring::json(classes, Digits::All, "id"),
        );
    }

    #[divan::bench(args = CLASSES)]
    fn json_simple(bencher: Bencher, classes: usize) {
        let ring = Ring::json(classes, Digits::All, "\\u0069d");
        summarise(bencher, Format::Json, &ring);
    }

    #[divan::bench(args = CLASSES)]
    fn json_6_digits(bencher: Bencher, classes: usize) {
        summarise(
            bencher,
            Format::Json,
            &Ring::json(classes, Digits::Six, "id"),
        );
    }

    #[divan::bench(args = CLASSES)]
    fn f32le(bencher: Bencher, classes: usize) {
        summarise(bencher, Format::F32Le, &Ring::f32le(classes));
    }

    #[divan::bench(args = CLASSES)]
    fn f64le(bencher: Bencher, classes: usize) {
        summarise(bencher, Format::F64Le, &Ring::f64le(classes));
    }
}

/// All that the engine does: decode, summarise and decide, in batches as the daemon reads them, while
/// event time goes on. Records of three streams in turn, whose distributions have a likely class; as
/// floats, so that little of it is decoding.
mod engine {
    use super::*;

    const BATCH: i64 = 4_096;
    /// Records a second of event time.
    const RATE: i64 = 6_000;

    struct Stream([u8; 1]);

    impl Headers for Stream {
        fn get(&self, _name: &str) -> Option<&[u8]> {
            Some(&self.0)
        }
    }

    #[divan::bench(args = CLASSES)]
    fn batches(bencher: Bencher, classes: usize) {
        let mut model = model(Format::F64Le);
        let stream = DimensionSource::Header("stream".to_owned());
        model.decoder.dimensions = vec![("stream".to_owned(), stream)];
        let mut engine = Engine::new(vec![model], None);
        let id = engine.add_partition(TopicPartition {
            topic: "predictions".to_owned(),
            partition: 0,
        });
        let ring = Ring::of_a_likely_class(classes);
        let streams = [b"a", b"b", b"c"].map(|name| Stream(*name));
        let mut offset = 0;
        bencher
            .counter(ItemsCount::new(BATCH as usize))
            .bench_local(|| {
                for _ in 0..BATCH {
                    let time_ms = START_MS + offset * 1_000 / RATE;
                    let record = Record {
                        payload: Some(black_box(
                            &ring.payloads()[offset as usize % ring.payloads().len()],
                        )),
                        timestamp_ms: Some(time_ms),
                        headers: &streams[offset as usize % streams.len()],
                    };
                    engine.record(id, offset, &record, Some(time_ms));
                    offset += 1;
                }
                engine.step(START_MS + offset * 1_000 / RATE);
                black_box(engine.take_outputs());
            });
    }
}

/// What is done to each distribution, one by one. Bytes are those of its floats.
mod kernels {
    use super::*;

    fn kernel(bencher: Bencher, classes: usize, mut run: impl FnMut(&mut Vec<f64>)) {
        let distributions = distributions(classes);
        let mut p = Vec::new();
        bencher
            .counter(BytesCount::new(
                distributions.len() * classes * size_of::<f64>(),
            ))
            .counter(ItemsCount::new(distributions.len()))
            .bench_local(|| {
                for distribution in &distributions {
                    p.clone_from(black_box(distribution));
                    run(&mut p);
                }
            });
    }

    /// What each of the others pays for its input.
    #[divan::bench(args = CLASSES)]
    fn nothing(bencher: Bencher, classes: usize) {
        kernel(bencher, classes, |p| {
            black_box(p);
        });
    }

    #[divan::bench(args = CLASSES)]
    fn probabilities_(bencher: Bencher, classes: usize) {
        kernel(bencher, classes, |p| {
            probabilities(p).expect("they are");
            black_box(p);
        });
    }

    #[divan::bench(args = CLASSES)]
    fn entropy_(bencher: Bencher, classes: usize) {
        kernel(bencher, classes, |p| {
            black_box(entropy(p));
        });
    }

    #[divan::bench(args = CLASSES)]
    fn top_two_(bencher: Bencher, classes: usize) {
        kernel(bencher, classes, |p| {
            black_box(top_two(p));
        });
    }

    #[divan::bench(args = CLASSES)]
    fn summary_add(bencher: Bencher, classes: usize) {
        let mut summary = Summary::new(classes);
        kernel(bencher, classes, move |p| {
            summary.add(p, START_MS);
        });
    }

    #[divan::bench(args = CLASSES)]
    fn summary_merge(bencher: Bencher, classes: usize) {
        let mut pane = Summary::new(classes);
        for p in distributions(classes) {
            pane.add(&p, START_MS);
        }
        let mut window = pane.clone();
        bencher
            .counter(ItemsCount::new(1_usize))
            .bench_local(|| window.merge(black_box(&pane)));
    }
}

/// Runs it over all payloads, as one item each.
fn bench(ring: &Ring, bencher: Bencher, mut run: impl FnMut(&[u8])) {
    bencher
        .counter(BytesCount::new(ring.bytes()))
        .counter(ItemsCount::new(ring.payloads().len()))
        .bench_local(|| {
            for payload in ring.payloads() {
                run(black_box(payload));
            }
        });
}
