//! The command line: one file a subcommand.
//!
//! Results go to stdout, logs to stderr. Exit codes: 0 done, 1 failed, 64 bad usage or config.

pub mod alerts;
pub mod baseline;
pub mod check;
pub mod demo;
pub mod inspect;
mod records;
mod render;
pub mod replay;
pub mod run;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::config::{self, Config};
use crate::engine::spec::ModelSpec;
use crate::telemetry::{self, LogFormat};

/// Bad usage or config (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// Watches deployed models through what they output: reads their predictions from Kafka, measures
/// uncertainty and drift in sliding windows, and writes alerts to Kafka.
#[derive(Debug, Parser)]
#[command(name = "klaxond", version, max_term_width = 100)]
struct Cli {
    /// How log lines look; what is logged is set by the environment variable KLAXOND_LOG
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Run(run::Args),
    /// See it work: broker, traffic and daemon in one process, nothing to set up
    Demo(demo::Args),
    /// Check a configuration file: every problem with its key path and line
    Check(check::Args),
    /// Look at a topic's records, say which format they are in, and print a config for it
    Inspect(inspect::Args),
    /// Learn, look at, and choose what windows are measured against
    Baseline(baseline::Args),
    /// Run records from a file through the same engine: windows and alerts as JSON lines
    Replay(replay::Args),
    /// Follow the alerts topic, readable
    Alerts(alerts::Args),
}

/// What a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON value a line.
    Json,
    /// For people.
    Text,
}

/// How a command ends other than well.
#[derive(Debug)]
pub enum Failure {
    /// The arguments or the configuration are wrong.
    Usage(anyhow::Error),
    /// It could not be done.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Failure {
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self::Usage(anyhow::anyhow!("{message}"))
    }
}

/// Runs the program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no error.
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let default_log = match cli.command {
        Command::Run(_) => "info",
        _ => "warn",
    };
    telemetry::init(cli.log_format, default_log);
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Baseline(args) => baseline::run(args),
        Command::Replay(args) => replay::run(&args),
        Command::Alerts(args) => alerts::run(&args),
    };
    let (error, code) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(error)) if is_broken_pipe(&error) => return ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => (error, EXIT_USAGE),
        Err(Failure::Failed(error)) => (error, 1),
    };
    let _ = writeln!(io::stderr(), "klaxond: {error:#}");
    ExitCode::from(code)
}

/// Whoever read our output has seen enough (`klaxond replay … | head`).
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Loads a configuration, its warnings to stderr.
fn load(path: &Path) -> Result<Config, Failure> {
    let checked = config::load(path).map_err(|problems| Failure::Usage(problems.into()))?;
    for warning in &checked.warnings {
        tracing::warn!("{warning}");
    }
    Ok(checked.config)
}

/// The model of this name; without a name, the only one.
fn choose<'a>(models: &'a [ModelSpec], name: Option<&str>) -> Result<&'a ModelSpec, Failure> {
    let names = || {
        models
            .iter()
            .map(|m| m.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (name, models) {
        (None, [only]) => Ok(only),
        (None, _) => Err(Failure::usage(format!(
            "say which with --model: {}",
            names()
        ))),
        (Some(name), _) => models
            .iter()
            .find(|model| model.name == name)
            .ok_or_else(|| {
                Failure::usage(format!(
                    "there is no model {name}; the configuration has {}",
                    names()
                ))
            }),
    }
}
