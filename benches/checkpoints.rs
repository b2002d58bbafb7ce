//! What checkpoints cost in steady live operation: the engine and the store, driven as the daemon does.
//!
//! `cargo bench --bench checkpoints [-- STEPS [STREAMS [CLASSES]]]`. Every stream has two records in each
//! slide of ten seconds, and windows of five minutes are full. Event time is the wall's: a step ends
//! when a slide closes and, as nothing else happens in between, five seconds later. The benchmark does
//! not wait for that time to pass. The store is a real one in a temporary directory, with every fsync,
//! and its history is trimmed to 16 MB once a minute.
//!
//! The share of a core is the process's CPU time, without what reading records and closing windows
//! take, over the time that the steps stand for. sled gives space back a segment at a time, each time
//! that it flushes in the background: ten times between two steps in life. Here it flushes a hundred
//! times as often, which is four times a step of 100 streams x 100 classes.

#[allow(dead_code)]
#[path = "end_to_end/process.rs"]
mod process;
#[allow(dead_code, reason = "for the other benchmarks")]
#[path = "common/streams.rs"]
mod streams;
#[allow(dead_code)]
#[path = "end_to_end/traffic.rs"]
mod traffic;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use klaxond::decode::{DecoderSpec, NoHeaders, Record};
use klaxond::engine::output::Output;
use klaxond::engine::spec::ModelSpec;
use klaxond::engine::{Engine, PartitionId, Published, TopicPartition};
use klaxond::store::{StepWrites, Store};

use streams::{PANES, SLIDE_MS};

/// What the daemon lets pass without a step, at most.
const STEP: Duration = Duration::from_secs(5);
const STEPS_A_SLIDE: u64 = 2;
const STEPS_A_TRIM: u64 = 12;
const FLUSH_EVERY: Duration = Duration::from_millis(5);
const HISTORY_BYTES: u64 = 16 << 20;
/// Records that are made once and come again and again.
const PAYLOADS: usize = 2_000;
const ROWS: u64 = 12;

fn main() {
    // cargo passes --bench.
    let numbers = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .map(|word| word.parse::<usize>().expect("arguments are numbers"));
    let numbers: Vec<usize> = numbers.collect();
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    run(number(0, 1_200) as u64, number(1, 100), number(2, 100));
}

fn run(steps: u64, streams: usize, classes: usize) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open_flushing(directory.path(), FLUSH_EVERY).expect("a new store");
    let mut live = Live::new(streams, classes);
    for _ in 0..PANES * STEPS_A_SLIDE as i64 {
        live.next_half();
        live.engine.take_outputs();
        live.engine.published(u64::MAX);
    }
    println!("checkpoints of {streams} streams x {classes} classes, windows of 5 m / 10 s filled");
    println!("resident before the first: {:.0} MB\n", memory("VmRSS"));
    println!(
        "|    steps | stand for |   bytes | to make | in all   | longest | of a core | history | on disk | resident | at most |\n\
         | -------: | --------: | ------: | ------: | -------: | ------: | --------: | ------: | ------: | -------: | ------: |"
    );
    let mut row = Row::default();
    let mut cost = Cost::begin();
    for step in 1..=steps {
        let mut make = Duration::ZERO;
        cost.aside(|| {
            live.next_half();
            make = live.make();
        });
        row.add(live.checkpoint(&store, make));
        if step % STEPS_A_TRIM == 0 {
            let trimmed = store.trim_history(0, HISTORY_BYTES);
            trimmed.expect("history is trimmed");
        }
        if step % steps.div_ceil(ROWS) == 0 || step == steps {
            let share = cost.seconds() / (row.steps() as f64 * STEP.as_secs_f64());
            row.print(step, share, &store, directory.path());
            row = Row::default();
            cost = Cost::begin();
        }
    }
}

/// The CPU time of a part of the run.
struct Cost {
    began: f64,
    aside: f64,
}

impl Cost {
    fn begin() -> Self {
        Self {
            began: process::cpu_seconds(std::process::id()),
            aside: 0.0,
        }
    }

    /// Does what is not counted, on this thread alone.
    fn aside(&mut self, work: impl FnOnce()) {
        let before = thread_seconds();
        work();
        self.aside += thread_seconds() - before;
    }

    fn seconds(&self) -> f64 {
        process::cpu_seconds(std::process::id()) - self.began - self.aside
    }
}

/// CPU time of this thread so far.
fn thread_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = stat.split_whitespace().next().map(str::parse::<f64>);
    nanoseconds.expect("three numbers").expect("a number") / 1e9
}

fn memory(line: &str) -> f64 {
    process::memory_mb(std::process::id(), line)
}

/// One checkpoint.
struct Took {
    bytes: u64,
    /// Its bytes alone, once more: the store takes them as they are made.
    make: Duration,
    whole: Duration,
}

#[derive(Default)]
struct Row(Vec<Took>);

impl Row {
    fn add(&mut self, took: Took) {
        self.0.push(took);
    }

    fn steps(&self) -> usize {
        self.0.len()
    }

    fn print(&self, step: u64, share: f64, store: &Store, directory: &Path) {
        let median = |of: fn(&Took) -> f64| process::median(self.0.iter().map(of).collect());
        let ms = |it: Duration| it.as_secs_f64() * 1e3;
        let longest = self.0.iter().map(|it| ms(it.whole));
        println!(
            "| {step:8} | {:7.1} h | {:4.1} MB | {:4.1} ms | {:5.1} ms | {:4.0} ms | {:7.2} % | {:4.1} MB | {:4.0} MB | {:5.0} MB | {:4.0} MB |",
            step as f64 * STEP.as_secs_f64() / 3_600.0,
            median(|it| it.bytes as f64) / 1e6,
            median(|it| it.make.as_secs_f64() * 1e3),
            median(|it| it.whole.as_secs_f64() * 1e3),
            longest.fold(0.0, f64::max),
            share * 100.0,
            store.history_bytes() as f64 / 1e6,
            size(directory) as f64 / 1e6,
            memory("VmRSS"),
            memory("VmHWM"),
        );
    }
}

/// Of all files below a directory, as long as they are.
fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("a directory");
    entries
        .map(|entry| entry.expect("an entry"))
        .map(|entry| match entry.metadata() {
            Ok(it) if it.is_dir() => size(&entry.path()),
            Ok(it) => it.len(),
            // Removed just now.
            Err(_) => 0,
        })
        .sum()
}

/// An engine whose records keep coming.
struct Live {
    engine: Engine,
    partition: PartitionId,
    streams: usize,
    payloads: Vec<Vec<u8>>,
    /// Records read so far.
    offset: i64,
    halves: i64,
}

impl Live {
    fn new(streams: usize, classes: usize) -> Self {
        let published = Published {
            group: "bench".to_owned(),
            windows: true,
            dead_letters: true,
            reviews: true,
        };
        let mut engine = Engine::new(vec![spec(streams)], Some(published));
        let partition = engine.add_partition(TopicPartition {
            topic: "predictions".to_owned(),
            partition: 0,
        });
        let mut rng = fastrand::Rng::with_seed(1948);
        // As many as the least multiple of the streams.
        let payloads = (0..PAYLOADS.next_multiple_of(streams)).map(|i| {
            let p = traffic::distribution(&mut rng, classes);
            traffic::record(&p, traffic::T0, i % streams)
        });
        Self {
            engine,
            partition,
            streams,
            payloads: payloads.collect(),
            offset: 0,
            halves: 0,
        }
    }

    /// Half a slide's records: one of each stream. Of the first half the first record closes the slide
    /// before.
    fn next_half(&mut self) {
        let from_ms = traffic::T0 + self.halves * SLIDE_MS / STEPS_A_SLIDE as i64;
        for i in 0..self.streams {
            let payload = &self.payloads[self.offset as usize % self.payloads.len()];
            let time_ms = from_ms + (i * 4_000 / self.streams) as i64;
            let record = Record {
                payload: Some(payload),
                timestamp_ms: Some(time_ms),
                headers: &NoHeaders,
            };
            let taken = self
                .engine
                .record(self.partition, self.offset, &record, Some(time_ms));
            assert!(!taken, "a record was refused");
            self.offset += 1;
        }
        self.halves += 1;
        self.engine.step(from_ms);
    }

    /// The time that a checkpoint's bytes take, which go nowhere.
    fn make(&self) -> Duration {
        let began = Instant::now();
        self.engine.checkpoint_parts(&mut |part| {
            black_box(part);
        });
        began.elapsed()
    }

    /// As the daemon ends a step. What it publishes is out at once.
    fn checkpoint(&mut self, store: &Store, make: Duration) -> Took {
        let outputs = self.engine.take_outputs();
        let history = outputs.into_iter().filter_map(|output| match output {
            Output::History(entry) => Some(*entry),
            _ => None,
        });
        let writes = StepWrites {
            history: history.collect(),
            ..StepWrites::default()
        };
        let began = Instant::now();
        let written = store.write_checkpoint(&self.engine, &writes);
        let whole = began.elapsed();
        self.engine.published(u64::MAX);
        Took {
            bytes: written.expect("a write").bytes,
            make,
            whole,
        }
    }
}

/// The other benchmarks' model, with records as `traffic` writes them, dated by Kafka.
fn spec(streams: usize) -> ModelSpec {
    let spec = streams::spec(streams, Vec::new());
    ModelSpec {
        decoder: DecoderSpec {
            probabilities: Some("/p".to_owned()),
            timestamp: None,
            ..spec.decoder
        },
        ..spec
    }
}
