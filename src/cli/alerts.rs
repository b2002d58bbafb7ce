//! `klaxond alerts`: the alerts topic, followed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::{Failure, Format, render};
use crate::alert::event::{AlertEvent, Status};
use crate::kafka::{AlertEvents, AlertItem, Cluster, From};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long)]
    config: PathBuf,
    /// Print every event that the topic still has, not only those that fire now
    #[arg(long)]
    all: bool,
    /// End when the topic has been read to its end, instead of waiting for more
    #[arg(long)]
    no_follow: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = super::load(&args.config)?;
    let cluster = Cluster::new(&config.kafka)?;
    let mut events = AlertEvents::open(&cluster, &config.output.alerts, From::Beginning)?;
    let mut firing: BTreeMap<String, String> = BTreeMap::new();
    let mut caught_up = args.all;
    loop {
        match events.next(Duration::from_secs(1))? {
            Some(AlertItem::Record(record)) => {
                let Some(payload) = record.payload else {
                    continue;
                };
                let Some((event, line)) = read(&payload, args.output) else {
                    tracing::warn!("a record of the alerts topic is no alert event: skipped");
                    continue;
                };
                if caught_up {
                    print(&line)?;
                } else if event.status == Status::Firing {
                    firing.insert(event.fingerprint, line);
                } else {
                    firing.remove(&event.fingerprint);
                }
            }
            Some(AlertItem::CaughtUp) => {
                for line in std::mem::take(&mut firing).into_values() {
                    print(&line)?;
                }
                if args.no_follow {
                    return Ok(());
                }
                caught_up = true;
            }
            None => {}
        }
    }
}

/// An event, and how it is shown.
fn read(payload: &[u8], output: Format) -> Option<(AlertEvent, String)> {
    let event: AlertEvent = serde_json::from_slice(payload).ok()?;
    let line = match output {
        Format::Text => render::alert(&event),
        Format::Json => String::from_utf8(payload.to_vec()).ok()?,
    };
    Some((event, line))
}

fn print(line: &str) -> std::io::Result<()> {
    let mut out = anstream::stdout();
    writeln!(out, "{line}")?;
    out.flush()
}
