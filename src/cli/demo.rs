//! `klaxond demo`: broker, traffic and daemon in one process, for two minutes.
//!
//! Everything is real but the broker, which is librdkafka's mock cluster: other processes can
//! connect to it, and the daemon that watches is the one that `klaxond run` starts.

mod traffic;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anstream::println;
use anyhow::Context as _;
use serde_json::json;

use super::{Failure, render};
use crate::app;
use crate::clock::{self, Instant};
use crate::config::{self, Checked};
use crate::engine::output::Output;
use crate::kafka::{Embedded, Traffic};
use crate::shutdown::Shutdown;
use traffic::{ACTS, Act, CLASSES};

/// Tickets a second; two partitions share them.
const RATE: u32 = 100;
const PARTITIONS: i32 = 2;
const TOPIC: &str = "tickets.predictions";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Port of the HTTP API and the metrics on loopback; another is taken if it is in use
    #[arg(long, default_value_t = 9187)]
    port: u16,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let folder = tempfile::tempdir().context("cannot make a folder for the store")?;
    let broker = Embedded::start(&[
        (TOPIC, PARTITIONS),
        ("klaxond.alerts", 1),
        ("klaxond.windows", 1),
        ("klaxond.dead-letter", 1),
    ])?;
    let listen = free_port(args.port)?;
    let text = config_text(broker.bootstrap(), folder.path(), listen);
    let Checked { config, .. } = config::parse(&text, "demo", &|_| None, &|path| {
        Err(std::io::Error::other(path.display().to_string()))
    })?;
    introduce(broker.bootstrap(), listen);

    let shutdown = Shutdown::default();
    let producer = Traffic::to(&broker)?;
    let (stop, stopped) = mpsc::channel::<()>();
    let play = {
        let shutdown = shutdown.clone();
        thread::spawn(move || {
            let played = play(&producer, &stopped);
            shutdown.request();
            played
        })
    };
    let watched = app::run(config, shutdown, &mut |output| show(output));
    drop(stop);
    let played = play
        .join()
        .map_err(|_| anyhow::anyhow!("the traffic ended in a panic"))?;
    watched?;
    played?;
    println!(
        "\n{}",
        render::dim("the play is over; nothing was left behind")
    );
    Ok(())
}

/// The port that was asked for, or a free one.
fn free_port(wanted: u16) -> Result<SocketAddr, Failure> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let bound = TcpListener::bind(at(wanted)).or_else(|_| TcpListener::bind(at(0)));
    Ok(bound
        .and_then(|listener| listener.local_addr())
        .context("cannot listen on loopback")?)
}

fn config_text(brokers: &str, folder: &Path, listen: SocketAddr) -> String {
    let classes = CLASSES.map(|class| format!("{class:?}")).join(", ");
    let learn = ACTS[0].seconds - 4;
    format!(
        r#"
[kafka]
brokers = "{brokers}"
start_at = "earliest"
# The embedded broker has no transactions.
delivery = "at-least-once"

[output]
alerts = "klaxond.alerts"
windows = "klaxond.windows"
dead_letter = "klaxond.dead-letter"

[store]
path = {folder:?}

[http]
listen = "{listen}"

[models.tickets]
topics = ["{TOPIC}"]
format = "json"
fields = {{ probabilities = "/probabilities", timestamp = "/ts" }}
classes = [{classes}]
lateness = "500ms"
idle_after = "2s"
window = {{ length = "8s", slide = "2s" }}
baseline = {{ learn = "{learn}s" }}

[[models.tickets.alerts]]
name = "drifted"
measure = "kl"
above = 0.08
clear = 0.04
severity = "critical"

[[models.tickets.alerts]]
name = "uncertain"
measure = "entropy"
above = "baseline + 40%"
clear = "baseline + 20%"

[[models.tickets.alerts]]
name = "collapsed"
measure = "marginal_entropy"
below = 0.5
clear = 1.0
severity = "critical"

[[models.tickets.alerts]]
name = "changed"
false_alarms = "1 per 8640 windows"
"#
    )
}

fn introduce(brokers: &str, listen: SocketAddr) {
    let seconds: u64 = ACTS.iter().map(|act| act.seconds).sum();
    println!(
        "{}\n\
         A classifier of support tickets writes its probabilities to a Kafka topic, {RATE} a second.\n\
         klaxond reads them: every 2 seconds one line about the last 8. Things go wrong on\n\
         purpose, for {seconds} seconds; Ctrl-C ends it.\n\n\
         While it runs, any Kafka client can look (kcat, for example), and so can curl:\n  \
         kcat -C -b {brokers} -t {TOPIC}        what the model says\n  \
         kcat -C -b {brokers} -t klaxond.alerts     what klaxond says\n  \
         curl http://{listen}/metrics\n",
        render::bold("klaxond demo")
    );
}

/// Plays every act; ends early when the daemon has ended.
fn play(producer: &Traffic, stopped: &mpsc::Receiver<()>) -> Result<(), anyhow::Error> {
    let mut random = fastrand::Rng::with_seed(1948);
    for act in &ACTS {
        println!(
            "\n{}  {}",
            render::bold(&format!("── {} ──", act.title)),
            render::dim(act.story)
        );
        if !perform(act, producer, &mut random, stopped)? {
            return Ok(());
        }
    }
    Ok(())
}

/// One act, at its rate by the clock; false when the daemon has ended.
fn perform(
    act: &Act,
    producer: &Traffic,
    random: &mut fastrand::Rng,
    stopped: &mpsc::Receiver<()>,
) -> Result<bool, anyhow::Error> {
    let began = Instant::now();
    let every = Duration::from_secs(1) / RATE;
    for ticket in 0..act.seconds as u32 * RATE {
        let due = began + every * ticket;
        match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(false),
        }
        let probabilities = act.output(random);
        let value =
            json!({ "ticket": ticket, "probabilities": probabilities, "ts": clock::now_ms() });
        let partition = ticket as i32 % PARTITIONS;
        producer.send(TOPIC, partition, value.to_string().as_bytes())?;
    }
    Ok(true)
}

fn show(output: &Output) {
    match output {
        Output::Window(event) => println!("{}", render::window(event)),
        Output::Alert(event) => println!("{}", render::alert(event)),
        Output::Learnt(baseline) => println!(
            "{}",
            render::bold(&format!(
                "learnt what normal is from {} records: the next windows are measured against it",
                baseline.whole.summary.records()
            ))
        ),
        Output::Rejected(_) | Output::Referred(_) | Output::History(_) => {}
    }
}
