//! How cost grows: with classes, streams, the length of windows, partitions, and models.
//!
//! `cargo bench --bench growth` measures, prints every number, and draws the plots of the README into
//! `benches/plots/`. `-- classes`, `-- streams`, `-- window`, `-- partitions` and `-- models` do one
//! part. The first three are of the engine alone, on one core; the others of the program, reading a
//! topic of Apache Kafka on the same machine.

#[allow(dead_code)]
#[path = "../tests/it/broker.rs"]
mod broker;
#[allow(dead_code)]
#[path = "../tests/it/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "for the other benchmarks")]
#[path = "common/payloads.rs"]
mod payloads;
#[allow(dead_code, reason = "for the other benchmarks")]
#[path = "end_to_end/process.rs"]
mod process;
#[path = "end_to_end/reader.rs"]
mod reader;
#[path = "common/streams.rs"]
mod streams;
#[allow(dead_code, reason = "for the other benchmarks")]
#[path = "end_to_end/traffic.rs"]
mod traffic;
mod growth {
    pub mod axis;
    pub mod classes;
    pub mod measure;
    pub mod plot;
    pub mod reading;
    pub mod slides;
}

use growth::{classes, measure, reading, slides};

#[global_allocator]
static ALLOCATOR: measure::Counting = measure::Counting;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // cargo passes --bench.
    let is_all = arguments.iter().all(|word| word.starts_with("--"));
    let parts: [(&str, fn()); 5] = [
        ("classes", classes::run),
        ("streams", slides::by_streams),
        ("window", slides::by_panes),
        ("partitions", reading::by_partitions),
        ("models", reading::by_models),
    ];
    for (name, run) in parts {
        if is_all || arguments.iter().any(|word| word == name) {
            run();
        }
    }
}
