//! Logs: to stderr, structured, filtered by `KLAXOND_LOG` (or `RUST_LOG`), `info` unless told.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Installs the log for the rest of the process. `default` is the filter where none is set.
pub fn init(format: LogFormat, default: &str) {
    let wanted = std::env::var("KLAXOND_LOG").or_else(|_| std::env::var("RUST_LOG"));
    let filter = EnvFilter::new(wanted.as_deref().unwrap_or(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Text => {
            use std::io::IsTerminal as _;
            log.with_target(false)
                .with_ansi(std::io::stderr().is_terminal())
                .try_init()
        }
        LogFormat::Json => log.json().try_init(),
    };
    // A second call is a test's: the first log stays.
    drop(installed);
}
