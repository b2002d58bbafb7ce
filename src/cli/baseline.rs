//! `klaxond baseline`: what windows are measured against.
//!
//! With the daemon running its store is locked, and the daemon is asked through its API; without, the
//! store is opened here. Both give the same answers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anstream::{eprintln, print, println};
use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::records::{self, Cadence};
use super::{Failure, Format, render};
use crate::alert::diagnosis::{number, percent};
use crate::app::baselines::{self, Shown, ShownEvidence, ShownSight, Stored};
use crate::baseline::{Baseline, Source};
use crate::clock;
use crate::config::{Config, duration};
use crate::engine::spec::{BaselineSpec, ModelSpec};
use crate::http::{Ask, Client, ClientError, Refusal, Stretch};
use crate::observation::{Millis, rfc3339};
use crate::store::{self, BaselineInfo, Store, StoreError};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Learn a new version from what the daemon has seen
    Capture(Capture),
    /// Learn a new version from records in a file, or restore an exported one
    Import(Import),
    /// List the versions that there are
    List(List),
    /// Show a version: its distribution and its own measures
    Show(One),
    /// Measure against this version from the next window on
    Activate(Numbered),
    /// Write a version to stdout, for `import` elsewhere
    Export(One),
    /// Delete a version that is not active
    Delete(Numbered),
}

#[derive(Debug, clap::Args)]
struct Capture {
    #[command(flatten)]
    model: Model,
    /// Learn from so much event time, up to the newest window ("24h"). History is kept in tiles of up
    /// to five minutes; those that lie wholly within count
    #[arg(long, value_parser = duration::parse, conflicts_with_all = ["from", "to"])]
    last: Option<Millis>,
    /// Learn from here on (RFC 3339)
    #[arg(long, value_parser = duration::parse_time, requires = "to", required_unless_present = "last")]
    from: Option<Millis>,
    /// Learn up to here (RFC 3339)
    #[arg(long, value_parser = duration::parse_time, requires = "from")]
    to: Option<Millis>,
    /// Measure against it even if another version is active
    #[arg(long)]
    activate: bool,
    #[command(flatten)]
    format: Output,
}

#[derive(Debug, clap::Args)]
struct Import {
    #[command(flatten)]
    model: Model,
    /// Records as for replay, or a file that `export` wrote; - is stdin for records
    #[arg(long)]
    input: PathBuf,
    /// The first record's time, where the model takes the time from Kafka (RFC 3339)
    #[arg(long, value_parser = duration::parse_time, requires = "every")]
    start: Option<Millis>,
    /// The time between two records ("100ms")
    #[arg(long, value_parser = duration::parse, requires = "start")]
    every: Option<Millis>,
    /// Measure against it even if another version is active
    #[arg(long)]
    activate: bool,
    #[command(flatten)]
    format: Output,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    format: Output,
}

#[derive(Debug, clap::Args)]
struct One {
    #[command(flatten)]
    model: Model,
    /// Which version; without it the active one
    #[arg(long)]
    version: Option<u32>,
    #[command(flatten)]
    format: Output,
}

#[derive(Debug, clap::Args)]
struct Numbered {
    #[command(flatten)]
    model: Model,
    /// Which version
    #[arg(long)]
    version: u32,
}

#[derive(Debug, clap::Args)]
struct Model {
    /// The configuration file
    #[arg(long)]
    config: PathBuf,
    /// Which model; needed when the configuration has several
    #[arg(long)]
    model: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Output {
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

pub fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Capture(args) => capture(&args),
        Command::Import(args) => import(&args),
        Command::List(args) => list(&args),
        Command::Show(args) => show(&args),
        Command::Activate(args) => {
            let (config, name) = named(&args.model)?;
            let version = args.version;
            ask::<()>(
                &config,
                Ask::Activate {
                    name: name.clone(),
                    version,
                },
            )?;
            println!("{name} version {version} is active");
            Ok(())
        }
        Command::Export(args) => {
            let (config, name) = named(&args.model)?;
            let text: String = ask(
                &config,
                Ask::Export {
                    name,
                    version: args.version,
                },
            )?;
            std::io::stdout().write_all(text.as_bytes())?;
            Ok(())
        }
        Command::Delete(args) => {
            let (config, name) = named(&args.model)?;
            let version = args.version;
            ask::<()>(
                &config,
                Ask::Delete {
                    name: name.clone(),
                    version,
                },
            )?;
            println!("{name} version {version} is deleted");
            Ok(())
        }
    }
}

/// The configuration, and under which name the model's baselines are kept.
fn named(model: &Model) -> Result<(Config, String), Failure> {
    let config = super::load(&model.config)?;
    let spec = super::choose(&config.models, model.model.as_deref())?;
    let name = baselines::name_for(spec).to_owned();
    Ok((config, name))
}

fn capture(args: &Capture) -> Result<(), Failure> {
    let config = super::load(&args.model.config)?;
    let spec = super::choose(&config.models, args.model.model.as_deref())?;
    let stretch = match (args.last, args.from, args.to) {
        (Some(last_ms), ..) => Stretch::LastMs(last_ms),
        (None, Some(from_ms), Some(to_ms)) if from_ms < to_ms => {
            Stretch::Between { from_ms, to_ms }
        }
        _ => return Err(Failure::usage("--from has to be before --to")),
    };
    let order = Ask::Capture {
        model: spec.name.clone(),
        stretch,
        activate: args.activate,
    };
    tell(spec, &ask(&config, order)?, args.format.output)
}

fn import(args: &Import) -> Result<(), Failure> {
    let config = super::load(&args.model.config)?;
    let spec = super::choose(&config.models, args.model.model.as_deref())?;
    let export = match exported(&args.input)? {
        Some(text) => text,
        None => {
            let cadence = args.start.zip(args.every);
            let cadence = cadence.map(|(start_ms, every_ms)| Cadence { start_ms, every_ms });
            store::export(&records::learn(
                spec,
                &args.input,
                cadence,
                Source::Imported,
            )?)?
        }
    };
    let stored = ask(
        &config,
        Ask::Import {
            export,
            activate: args.activate,
        },
    )?;
    tell(spec, &stored, args.format.output)
}

/// The file's text, where `export` wrote it.
fn exported(path: &std::path::Path) -> Result<Option<String>, Failure> {
    use std::io::Read as _;
    const HEAD: &[u8] = br#"{"format":"klaxond-baseline""#;
    if path == std::path::Path::new("-") {
        return Ok(None);
    }
    let open = || format!("cannot read {}", path.display());
    let mut file = std::fs::File::open(path).with_context(open)?;
    let mut bytes = Vec::new();
    (&mut file)
        .take(HEAD.len() as u64)
        .read_to_end(&mut bytes)
        .with_context(open)?;
    if bytes != HEAD {
        return Ok(None);
    }
    file.read_to_end(&mut bytes).with_context(open)?;
    Ok(Some(String::from_utf8(bytes).with_context(open)?))
}

fn tell(spec: &ModelSpec, stored: &Stored, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        println!("{}", serde_json::to_string(stored)?);
        return Ok(());
    }
    let Stored {
        name,
        version,
        records,
        streams,
        active,
    } = stored;
    let streams = match streams {
        0 => String::new(),
        1 => ", 1 stream".to_owned(),
        more => format!(", {more} streams"),
    };
    println!("{name} version {version}: {records} records{streams}");
    if !active {
        println!(
            "another version is active: klaxond baseline activate --config FILE --version {version}"
        );
    } else if spec.baseline == BaselineSpec::None {
        eprintln!(
            "model {} has no baseline in its configuration: set baseline = {name:?}",
            spec.name
        );
    } else {
        println!("it is active: windows are measured against it");
    }
    Ok(())
}

fn list(args: &List) -> Result<(), Failure> {
    let config = super::load(&args.model.config)?;
    let mut all: Vec<BaselineInfo> = ask(&config, Ask::List {})?;
    if let Some(model) = args.model.model.as_deref() {
        let name = baselines::name_for(super::choose(&config.models, Some(model))?);
        all.retain(|info| info.about.name == name);
    }
    if args.format.output == Format::Json {
        println!("{}", serde_json::to_string(&all)?);
        return Ok(());
    }
    if all.is_empty() {
        eprintln!("there are no baselines yet");
        return Ok(());
    }
    let widest = all
        .iter()
        .map(|info| info.about.name.len())
        .max()
        .unwrap_or_default()
        .max(4);
    println!(
        "{:widest$}  version          records  streams  source    created",
        "name"
    );
    for BaselineInfo { about, active } in &all {
        let mark = if *active { "active" } else { "" };
        println!(
            "{:widest$}  {:>4} {mark:6} {:>12}  {:>7}  {:8}  {}",
            about.name,
            about.version,
            about.records,
            about.streams,
            source(about.source),
            rfc3339(about.created_ms)
        );
    }
    Ok(())
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Learnt => "learnt",
        Source::Captured => "captured",
        Source::Imported => "imported",
    }
}

fn show(args: &One) -> Result<(), Failure> {
    let (config, name) = named(&args.model)?;
    let shown: Shown = ask(
        &config,
        Ask::Show {
            name,
            version: args.version,
        },
    )?;
    match args.format.output {
        Format::Json => println!("{}", serde_json::to_string(&shown)?),
        Format::Text => print!("{}", sketch(&shown)),
    }
    Ok(())
}

/// As many classes and streams are drawn.
const MOST_DRAWN: usize = 20;

/// A baseline version on a screen.
fn sketch(shown: &Shown) -> String {
    let mut text = String::new();
    let head = format!("{} version {}", shown.name, shown.version);
    let active = if shown.active { ", active" } else { "" };
    let _ = writeln!(text, "{}{active}", render::bold(&head));
    let (model, how) = (&shown.model, source(shown.source));
    let _ = writeln!(text, "{how} for model {model} at {}", shown.created);
    let _ = write!(text, "{} records", shown.records);
    if let (Some(from), Some(to)) = (&shown.from, &shown.to) {
        let _ = write!(text, " from {from} to {to}");
    }
    if shown.provisional {
        let _ = write!(text, "; provisional: shorter than a day, or few panes");
    }
    text.push('\n');
    let mut classes: Vec<_> = shown.classes.iter().collect();
    classes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    let drawn = &classes[..classes.len().min(MOST_DRAWN)];
    let widest = drawn
        .iter()
        .map(|c| c.class.chars().count())
        .max()
        .unwrap_or_default();
    let most = drawn
        .first()
        .map_or(1.0, |c| c.probability)
        .max(f64::MIN_POSITIVE);
    let _ = writeln!(text, "\nmean probability of each class");
    for class in drawn {
        let bar = "█".repeat((class.probability / most * 40.0).round() as usize);
        let (name, p) = (&class.class, class.probability);
        let _ = writeln!(text, "  {name:widest$}  {p:.4}  {bar}");
    }
    if classes.len() > drawn.len() {
        let rest = &classes[drawn.len()..];
        let p: f64 = rest.iter().map(|c| c.probability).sum();
        let _ = writeln!(text, "  and {} more: {} together", rest.len(), percent(p));
    }
    let _ = writeln!(text, "\nits own measures");
    for (measure, value) in shown.measures.iter() {
        let _ = writeln!(
            text,
            "  {:18} {} {}",
            measure.name(),
            number(value),
            measure.unit()
        );
    }
    if let Some(noise) = &shown.noise {
        let _ = writeln!(
            text,
            "\nsampling alone makes, in a window of about {} records\n  kl {}, jeffreys {}, js {} \
             bits, tv {}",
            noise.records,
            number(noise.kl),
            number(noise.jeffreys),
            number(noise.js),
            number(noise.tv)
        );
    }
    if let Some(evidence) = &shown.evidence {
        sketch_evidence(&mut text, evidence);
    }
    if !shown.streams.is_empty() {
        let _ = writeln!(text, "\nstreams");
        let mut streams: Vec<_> = shown.streams.iter().collect();
        streams.sort_by_key(|stream| std::cmp::Reverse(stream.records));
        for stream in streams.iter().take(MOST_DRAWN) {
            let _ = writeln!(text, "  {:>12}  {}", stream.records, stream.stream);
        }
        if streams.len() > MOST_DRAWN {
            let _ = writeln!(text, "  and {} more", streams.len() - MOST_DRAWN);
        }
    }
    text
}

fn sketch_evidence(text: &mut String, evidence: &ShownEvidence) {
    let ShownEvidence {
        panes,
        pane_records,
        entropy_design_effect,
        greatest_class_design_effect,
        ..
    } = evidence;
    let records = number(*pane_records);
    let _ = writeln!(
        text,
        "\nfitted for budgets of false alarms, to {panes} panes of {records} records"
    );
    let _ = writeln!(
        text,
        "  batches may vary more than independent records would: entropy up to {} times, a class up to {}",
        number(*entropy_design_effect),
        number(*greatest_class_design_effect)
    );
    let blocks: Vec<String> = evidence.blocks.iter().map(u64::to_string).collect();
    if blocks.is_empty() {
        let _ = writeln!(text, "  too few panes to watch the kl of blocks");
    } else {
        let _ = writeln!(text, "  kl of blocks of {} panes", blocks.join(", "));
    }
    if let Some(season) = evidence.season {
        let lacking = if evidence.lacks_cycles {
            ": shorter than three cycles, so one mean stands for all hours"
        } else {
            ""
        };
        let _ = writeln!(text, "  season {}{lacking}", season.name());
    }
    let mut rule = None;
    for sight in &evidence.sight {
        if rule.replace(&sight.rule) != Some(&sight.rule) {
            let (name, bits) = (&sight.rule, number(sight.budget_bits));
            let _ = writeln!(
                text,
                "\nthe smallest lasting shifts that {name} finds in half of the cases, of the class that is \
                 easiest to see\n(at {bits} bits of evidence, where one stream has all of this traffic)"
            );
        }
        let _ = writeln!(
            text,
            "  within {:>4} windows  {}",
            sight.within,
            seen(sight)
        );
    }
}

/// The smallest shifts that are seen.
fn seen(sight: &ShownSight) -> String {
    let bits =
        |shift: Option<f64>, sign| shift.map(|bits| format!("entropy {sign}{} bits", number(bits)));
    let class = sight.class.as_ref().map(|shift| {
        format!(
            "{} {} → {}",
            shift.class,
            percent(shift.from),
            percent(shift.to)
        )
    });
    let parts = [
        bits(sight.entropy_up, "+"),
        bits(sight.entropy_down, "-"),
        class,
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        "no lasting shift of one mean so soon".to_owned()
    } else {
        parts.join(", ")
    }
}

/// The model's active baseline; none where there is none.
pub fn active(config: &Config, spec: &ModelSpec) -> Result<Option<Baseline>, Failure> {
    if spec.baseline == BaselineSpec::None {
        return Ok(None);
    }
    let name = baselines::name_for(spec).to_owned();
    let all: Vec<BaselineInfo> = ask(config, Ask::List {})?;
    let active = all
        .iter()
        .find(|info| info.active && info.about.name == name);
    let Some(version) = active.map(|info| info.about.version) else {
        return Ok(None);
    };
    let export: String = ask(
        config,
        Ask::Export {
            name,
            version: Some(version),
        },
    )?;
    Ok(Some(store::import(&export)?.baseline))
}

/// Asks the store, or the daemon that has it open.
fn ask<T: DeserializeOwned>(config: &Config, ask: Ask) -> Result<T, Failure> {
    let path = &config.store.path;
    let value =
        if path.join("db").exists() || matches!(ask, Ask::Import { .. }) {
            match Store::open(path) {
                Ok(store) => ask_store(&store, config, ask)?,
                Err(StoreError::Locked { .. }) => Client::new(config.http.listen)
                    .ask(&ask)
                    .map_err(|error| match error {
                        ClientError::Refused(_) => anyhow::Error::new(error),
                        unreachable @ ClientError::Unreachable { .. } => {
                            anyhow::Error::new(unreachable).context(format!(
                                "another process has the store at {} open",
                                path.display()
                            ))
                        }
                    })?,
                Err(error) => return Err(error.into()),
            }
        } else if ask == (Ask::List {}) {
            Value::Array(Vec::new())
        } else {
            let why = format!(
                "there is no store at {} yet: import a baseline, or start the daemon",
                path.display()
            );
            return Err(Failure::Failed(anyhow::anyhow!(why)));
        };
    Ok(serde_json::from_value(value)?)
}

fn ask_store(store: &Store, config: &Config, ask: Ask) -> Result<Value, Failure> {
    let live = match &ask {
        Ask::Capture { model, .. } => baselines::live_panes(store, config, model)?,
        _ => Vec::new(),
    };
    let done = baselines::answer(store, live, config, ask, clock::now_ms());
    Ok(done.map_err(Refusal::from)?.value)
}
