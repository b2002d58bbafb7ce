//! From the record that closes a window to the alert, as a reader of committed records sees it.

use std::time::{Duration, Instant};

use super::reader::Reader;
use super::traffic::{T0, Writer};
use crate::broker::broker;
use crate::daemon::Site;

const ALERTS: usize = 300;

/// Each window ends an alert or begins one.
const MODEL: &str = r#"
[models.m]
topics = ["TOPIC"]
fields = { probabilities = "/p", timestamp = "/ts" }
lateness = "0s"
window = { length = "10s", slide = "10s" }

[[models.m.alerts]]
name = "uncertain"
measure = "entropy"
above = 0.5
"#;

pub fn run() {
    let site = Site::new("latency", MODEL);
    broker().create_topics(&[
        (&site.input(), 1),
        (&site.topic("alerts"), 1),
        (&site.topic("windows"), 1),
        (&site.topic("dead-letter"), 1),
    ]);
    let daemon = site.start_active();
    let reader = Reader::new(&site.brokers, &site.topic("alerts"));
    let writer = Writer::prompt(&site.brokers, &site.input());
    let mut rng = fastrand::Rng::with_seed(1948);
    let mut waited = Vec::new();
    for window in 0..=ALERTS {
        let record = |i: usize| {
            let (p, time_ms) = (
                if window % 2 == 0 { 0.5 } else { 0.01 },
                T0 + (window * 10_000 + i * 100) as i64,
            );
            format!(r#"{{"p":[{p},{}],"ts":{time_ms}}}"#, 1.0 - p).into_bytes()
        };
        // Wherever the daemon is between two looks of its own.
        std::thread::sleep(Duration::from_millis(rng.u64(0..100)));
        let began = Instant::now();
        writer.write(0, &record(0));
        if window > 0 {
            reader.next();
            waited.push(began.elapsed().as_secs_f64() * 1e3);
        }
        for i in 1..100 {
            writer.write(0, &record(i));
        }
        writer.flush();
    }
    daemon.stop();
    waited.sort_by(f64::total_cmp);
    let at = |share: f64| waited[((waited.len() - 1) as f64 * share) as usize];
    println!(
        "\nfrom writing the record that closes a window to reading its alert, {ALERTS} times: \
         median {:.0} ms, p99 {:.0} ms, longest {:.0} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
