//! `klaxond check`: every problem of a configuration, and what is odd about its rules.

use std::path::PathBuf;

use anstream::println;
use serde::Serialize;
use serde_json::json;

use super::{Failure, Format, baseline, render};
use crate::app;
use crate::config::{self, Checked, Problem, Problems};
use crate::kafka::Cluster;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long)]
    config: PathBuf,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// What is said of a file.
#[derive(Default, Serialize)]
struct Report {
    valid: bool,
    problems: Vec<String>,
    warnings: Vec<String>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let report = match config::load(&args.config) {
        Ok(checked) => inspect(checked)?,
        Err(Problems(problems)) => Report {
            problems: told(&problems),
            ..Report::default()
        },
    };
    match args.output {
        Format::Json => println!("{}", json!(report)),
        Format::Text => {
            for problem in &report.problems {
                println!("{} {problem}", render::red("problem"));
            }
            for warning in &report.warnings {
                println!("{} {warning}", render::yellow("warning"));
            }
            if report.valid {
                println!("{} can run", args.config.display());
            }
        }
    }
    if report.valid {
        return Ok(());
    }
    let (file, problems) = (args.config.display(), report.problems.len());
    let s = if problems == 1 { "" } else { "s" };
    Err(Failure::usage(format!(
        "{file} cannot run: {problems} problem{s}"
    )))
}

/// What the file alone does not tell: properties, and rules against the baselines that are there.
fn inspect(checked: Checked) -> Result<Report, Failure> {
    let Checked { config, warnings } = checked;
    let mut report = Report {
        warnings: told(&warnings),
        ..Report::default()
    };
    if let Err(error) = Cluster::new(&config.kafka) {
        report.problems.push(error.to_string());
    }
    for spec in &config.models {
        match baseline::active(&config, spec) {
            Ok(Some(baseline)) => {
                let baseline = std::sync::Arc::new(baseline);
                report.warnings.extend(app::review(spec, &baseline));
            }
            Ok(None) => report.warnings.extend(app::lacking(spec)),
            Err(Failure::Usage(error) | Failure::Failed(error)) => {
                report.warnings.push(format!(
                    "model {}: its baseline is not known: {error:#}",
                    spec.name
                ));
            }
        }
    }
    report.valid = report.problems.is_empty();
    Ok(report)
}

fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}
