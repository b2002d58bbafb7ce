//! `klaxond replay`: records from a file through the same engine, windows and alerts as JSON lines;
//! with `review`, so are the records that would be referred.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::records::{self, Cadence};
use super::{Failure, Format, baseline, render};
use crate::app;
use crate::baseline::Source;
use crate::clock;
use crate::config::duration;
use crate::engine::output::Output;
use crate::engine::review::UNCERTAIN;
use crate::engine::spec::ModelSpec;
use crate::observation::Millis;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long)]
    config: PathBuf,
    /// Records, one value a line as it would be in Kafka; - is stdin
    #[arg(long)]
    input: PathBuf,
    /// Which model's records they are; needed when the configuration has several
    #[arg(long)]
    model: Option<String>,
    /// Learn the baseline from these records first, instead of taking the store's active one
    #[arg(long)]
    baseline_input: Option<PathBuf>,
    /// The first record's time, where the model takes the time from Kafka (RFC 3339)
    #[arg(long, value_parser = duration::parse_time, requires = "every")]
    start: Option<Millis>,
    /// The time between two records ("100ms")
    #[arg(long, value_parser = duration::parse, requires = "start")]
    every: Option<Millis>,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Json)]
    output: Format,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = super::load(&args.config)?;
    let spec = super::choose(&config.models, args.model.as_deref())?;
    let cadence = args.start.zip(args.every);
    let cadence = cadence.map(|(start_ms, every_ms)| Cadence { start_ms, every_ms });
    let baseline = match &args.baseline_input {
        Some(path) => Some(records::learn(spec, path, cadence, Source::Imported)?),
        None => baseline::active(&config, spec)?,
    };
    let mut engine = records::engine(spec);
    // Of the other models that share the budget of the defaults, at least one stream each.
    let shares = |other: &&ModelSpec| other.budgets.iter().any(|budget| budget.is_shared);
    let others = config.models.iter().filter(|other| other.name != spec.name);
    engine.set_outside(others.filter(shares).count() as u64);
    if baseline.is_none()
        && let Some(lacking) = app::lacking(spec)
    {
        tracing::warn!("{lacking}");
    }
    engine.set_baseline(&spec.name, baseline.map(Arc::new));
    let stdout: Box<dyn Write> = match args.output {
        Format::Json => Box::new(io::stdout().lock()),
        Format::Text => Box::new(anstream::stdout().lock()),
    };
    let mut out = BufWriter::new(stdout);
    records::feed(
        &mut engine,
        spec,
        &args.input,
        cadence,
        clock::now_ms(),
        |engine| {
            for output in engine.take_outputs() {
                write(&mut out, &output, args.output)?;
            }
            Ok(())
        },
    )?;
    out.flush()?;
    let dropped = engine
        .status(clock::now_ms())
        .models
        .first()
        .map(|m| m.counters.too_late);
    if let Some(records) = dropped.filter(|&records| records > 0) {
        tracing::warn!(
            records,
            "records were dropped: older than every window that was still to come when they were read"
        );
    }
    Ok(())
}

fn write(out: &mut impl Write, output: &Output, format: Format) -> Result<(), Failure> {
    match (format, output) {
        (Format::Json, Output::Window(event)) => line(out, "window", event)?,
        (Format::Json, Output::Alert(event)) => line(out, "alert", event)?,
        (Format::Json, Output::Rejected(refused)) => {
            let (reason, number) = (refused.rejection.reason, refused.offset + 1);
            writeln!(
                out,
                r#"{{"type":"rejected","reason":"{reason}","line":{number}}}"#
            )?;
        }
        (Format::Json, Output::Referred(referred)) => {
            let (entropy, number) = (referred.entropy_bits, referred.offset + 1);
            writeln!(
                out,
                r#"{{"type":"review","reason":"{UNCERTAIN}","entropy":{entropy},"line":{number}}}"#
            )?;
        }
        (Format::Text, Output::Window(event)) => writeln!(out, "{}", render::window(event))?,
        (Format::Text, Output::Alert(event)) => writeln!(out, "{}", render::alert(event))?,
        (Format::Text, Output::Rejected(refused)) => {
            let (rejection, number) = (&refused.rejection, refused.offset + 1);
            writeln!(
                out,
                "line {number} refused: {}: {}",
                rejection.reason, rejection.detail
            )?;
        }
        (Format::Text, Output::Referred(referred)) => {
            let number = referred.offset + 1;
            writeln!(out, "line {number} for review: {}", referred.detail)?;
        }
        (_, Output::History(_) | Output::Learnt(_)) => {}
    }
    Ok(())
}

/// The event as one JSON line, its type first.
fn line(out: &mut impl Write, kind: &str, event: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(event)?;
    let fields = json.strip_prefix('{').unwrap_or(&json);
    writeln!(out, r#"{{"type":"{kind}",{fields}"#)?;
    Ok(())
}
