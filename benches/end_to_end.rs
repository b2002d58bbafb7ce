//! klaxond beside the least that reading the same topic costs, on Apache Kafka on the same machine.
//!
//! `cargo bench --bench end_to_end` starts the broker of the tests, fills a topic for each number of
//! classes, and lets two programs read it in turn, each a process of its own: a bare librdkafka
//! consumer that takes messages in batches and only counts their bytes, and klaxond with windows of
//! 5 m every 10 s. It prints records and bytes a second, CPU time a record, and how klaxond's
//! compare; then the time from a window's last record to its alert, and memory. `-- rate`,
//! `-- latency` and `-- memory` do one part; `-- fetch`, which is not among them, shows what fetching
//! ahead brings.
//!
//! When klaxond has read everything is known by what comes last in each partition: a record that it
//! has to refuse, whose dead letter an independent reader waits for.

#[allow(dead_code)]
#[path = "../tests/it/broker.rs"]
mod broker;
#[allow(dead_code)]
#[path = "../tests/it/daemon.rs"]
mod daemon;
mod end_to_end {
    pub mod bare;
    pub mod fetch;
    pub mod latency;
    pub mod memory;
    pub mod process;
    pub mod rate;
    pub mod reader;
    pub mod traffic;
}

use end_to_end::{bare, fetch, latency, memory, rate};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bare", brokers, topic, records] => bare::run(brokers, topic, records.parse().unwrap()),
        words => {
            if words.contains(&"fetch") {
                return fetch::run();
            }
            // cargo passes --bench.
            let is_all = words.iter().all(|word| word.starts_with("--"));
            let parts: [(&str, fn()); 3] = [
                ("rate", rate::run),
                ("latency", latency::run),
                ("memory", memory::run),
            ];
            for (name, run) in parts {
                if is_all || words.contains(&name) {
                    run();
                }
            }
        }
    }
}
