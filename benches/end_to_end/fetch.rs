//! What fetching ahead brings: rate, CPU time and memory, by how much may wait in the queue and how
//! long a full queue is left alone.

use std::fs::OpenOptions;
use std::io::Write as _;

use super::bare::Took;
use super::process::{PARTITIONS, median};
use super::rate;
use crate::daemon::Site;

const RUNS: usize = 3;

const QUEUE_KBYTES: [usize; 6] = [1_024, 2_048, 4_096, 8_192, 16_384, 65_536];
const BACKOFF_MS: [usize; 3] = [1, 5, 100];

/// What is tried, one by one.
#[derive(Clone, Copy)]
struct Setting {
    queue_kbytes: usize,
    backoff_ms: usize,
}

impl Setting {
    fn all() -> Vec<Self> {
        let queues = QUEUE_KBYTES.map(|queue_kbytes| Self {
            queue_kbytes,
            backoff_ms: 5,
        });
        let backoffs = BACKOFF_MS.map(|backoff_ms| Self {
            queue_kbytes: 16_384,
            backoff_ms,
        });
        queues.into_iter().chain(backoffs).collect()
    }

    fn apply(self, site: &Site) {
        site.set_property("fetch.queue.backoff.ms", &self.backoff_ms.to_string());
        let mut config = OpenOptions::new().append(true).open(site.config()).unwrap();
        write!(
            config,
            "\n[limits]\nfetch_queue_kbytes = {}\n",
            self.queue_kbytes
        )
        .unwrap();
    }
}

pub fn run() {
    println!(
        "\nfetching ahead from {PARTITIONS} partitions, medians of {RUNS} runs in turn\n\n\
         |    K | fetch_queue_kbytes | backoff | records/s | CPU µs a record | at most |\n\
         | ---: | -----------------: | ------: | --------: | --------------: | ------: |"
    );
    for (classes, records) in [(10, 4_000_000), (1_000, 100_000)] {
        let site = rate::filled("fetch", classes, records);
        rate::run_klaxond(&site, "first", |_| {});
        let settings = Setting::all();
        let mut took: Vec<Vec<Took>> = vec![Vec::new(); settings.len()];
        for run in 0..RUNS {
            for (i, setting) in settings.iter().enumerate() {
                let name = format!("{i}-{run}");
                took[i].push(rate::run_klaxond(&site, &name, |site| setting.apply(site)));
            }
        }
        for (setting, runs) in settings.iter().zip(&took) {
            let of = |value: fn(&Took) -> f64| median(runs.iter().map(value).collect());
            println!(
                "| {classes:4} | {:18} | {:4} ms | {:9.0} | {:15.2} | {:4.0} MB |",
                setting.queue_kbytes,
                setting.backoff_ms,
                records as f64 / of(|took| took.seconds),
                of(|took| took.cpu_seconds) * 1e6 / records as f64,
                of(|took| took.peak_mb),
            );
        }
    }
}
