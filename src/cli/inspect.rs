//! `klaxond inspect`: what is in a topic, and a configuration for it.
//!
//! What goes to stdout is a configuration file that works as it is; what was found stands in it as
//! comments.

mod guess;
mod nested;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::Duration;

use super::Failure;
use crate::alert::diagnosis::number;
use crate::clock::Instant;
use crate::config;
use crate::config::valid::{Delivery, KafkaConfig, Limits, StartAt};
use crate::decode::{Decoder, NoHeaders, Record, Scratch};
use crate::engine::TopicPartition;
use crate::information::noise::NoiseFloor;
use crate::kafka::{Cluster, Event, Group, Positions, Source};
use crate::observation::Nature;
use crate::summary::Summary;
use guess::{Classes, Guess, Sample};

/// How long a topic may take to give its newest records.
const PATIENCE: Duration = Duration::from_secs(15);

/// The lowest line that is proposed for kl, in bits: what a share of 1 % makes that triples.
const LEAST_LINE: f64 = 0.02;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Kafka's addresses
    #[arg(long)]
    brokers: String,
    /// The topic with the model's outputs
    #[arg(long)]
    topic: String,
    /// How many of the newest records to look at
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    records: u32,
    /// A librdkafka property, such as security.protocol=SASL_SSL; may be given again
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
}

fn property(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let kafka = KafkaConfig {
        brokers: args.brokers.clone(),
        group: "klaxond-inspect".to_owned(),
        start_at: StartAt::Latest,
        delivery: Delivery::AtLeastOnce,
        properties: args.properties.iter().cloned().collect(),
    };
    let cluster = Cluster::new(&kafka)?;
    let topic = read(&cluster, &args.topic, u64::from(args.records))?;
    if topic.samples.is_empty() {
        let why = format!("topic {} has no records to look at", args.topic);
        return Err(Failure::Failed(anyhow::anyhow!(why)));
    }
    let guess = guess::guess(&topic.samples)
        .map_err(|why| anyhow::anyhow!("topic {}: {why}", args.topic))?;
    let text = document(args, &topic, &guess);
    config::parse(
        &text,
        "the configuration for it",
        &|name| std::env::var(name).ok(),
        &|path| std::fs::read_to_string(path),
    )?;
    anstream::print!("{text}");
    Ok(())
}

/// The newest records of a topic.
struct Newest {
    partitions: usize,
    /// Offsets in use, which is records but for what was compacted away.
    kept: i64,
    samples: Vec<Sample>,
}

fn read(cluster: &Cluster, topic: &str, wanted: u64) -> Result<Newest, Failure> {
    let group = Group::input(cluster)?;
    let found = group.partitions(&[topic.to_owned()])?;
    let at = |&partition: &i32| TopicPartition {
        topic: topic.to_owned(),
        partition,
    };
    let partitions: Vec<TopicPartition> = found.values().flatten().map(at).collect();
    let share = wanted.div_ceil(partitions.len() as u64) as i64;
    let (mut start, mut kept) = (Positions::new(), 0);
    for at in &partitions {
        let (low, end) = group.bounds(at)?;
        kept += end - low;
        start.insert(at.clone(), low.max(end - share));
    }
    let limits = Limits {
        fetch_queue_kbytes: 16_384,
        ..Limits::default()
    };
    let mut source = Source::new(cluster, &limits, &start)?;
    let (mut samples, mut ended) = (Vec::new(), 0);
    let mut failed = None;
    let until = Instant::now() + PATIENCE;
    while ended < partitions.len() && Instant::now() < until && failed.is_none() {
        source.poll(Duration::from_millis(100), usize::MAX, |event| {
            match event {
                // What arrives meanwhile is not waited for.
                Event::Record(_) if samples.len() as u64 >= 2 * wanted => {
                    ended = partitions.len();
                    return ControlFlow::Break(());
                }
                Event::Record(record) => samples.extend(record.payload.map(|payload| Sample {
                    partition: record.at.partition,
                    timestamp_ms: record.timestamp_ms,
                    payload: payload.to_vec(),
                })),
                Event::EndOfPartition(_) | Event::OutOfRange(_) => ended += 1,
                Event::Error { error, .. } if error.is_transient() => {}
                Event::Error { error, .. } => failed = Some(error),
            }
            ControlFlow::Continue(())
        });
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(Newest {
            partitions: partitions.len(),
            kept,
            samples,
        }),
    }
}

/// Records a second, by Kafka's timestamps; none where they do not tell.
fn rate(samples: &[Sample]) -> Option<f64> {
    let mut spans: BTreeMap<i32, (i64, i64, u32)> = BTreeMap::new();
    for sample in samples {
        let time_ms = sample.timestamp_ms?;
        let span = spans
            .entry(sample.partition)
            .or_insert((time_ms, time_ms, 0));
        *span = (span.0.min(time_ms), span.1.max(time_ms), span.2 + 1);
    }
    let of = |&(first, last, records): &(i64, i64, u32)| {
        let seconds = (last - first) as f64 / 1000.0;
        (seconds > 0.0).then(|| f64::from(records.saturating_sub(1)) / seconds)
    };
    let rates: Vec<f64> = spans.values().filter_map(of).collect();
    (!rates.is_empty()).then(|| rates.iter().sum())
}

/// Length and slide of windows that hold enough records, and the length in seconds.
fn window(rate: Option<f64>) -> (&'static str, &'static str, f64) {
    const ENOUGH: f64 = 300.0;
    const CHOICES: [(&str, &str, f64); 5] = [
        ("5m", "10s", 300.0),
        ("15m", "1m", 900.0),
        ("1h", "5m", 3_600.0),
        ("6h", "30m", 21_600.0),
        ("24h", "1h", 86_400.0),
    ];
    let rate = rate.unwrap_or(f64::INFINITY);
    let found = CHOICES
        .iter()
        .find(|(.., seconds)| rate * seconds >= ENOUGH);
    *found.unwrap_or(&CHOICES[CHOICES.len() - 1])
}

/// The configuration file.
fn document(args: &Args, topic: &Newest, guess: &Guess) -> String {
    let rate = rate(&topic.samples);
    let (length, slide, seconds) = window(rate);
    let refusals = refusals(guess, &topic.samples);
    let per_window = rate.map_or(1_000, |rate| (rate * seconds) as u64).max(1);
    let mut text = String::new();
    let mut say = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let (looked_at, of) = (topic.samples.len(), topic.partitions);
    let s = if of == 1 { "" } else { "s" };
    say(format!(
        "# Topic {}: {of} partition{s}, {} records.",
        args.topic, topic.kept
    ));
    say(format!("# Seen in the newest {looked_at}:"));
    for found in &guess.notes {
        say(format!("#   {found}"));
    }
    if let Some(rate) = rate {
        say(format!("#   about {} records a second", number(rate)));
    }
    say(match refusals.told.as_str() {
        "" => "#   all of them can be read with this configuration".to_owned(),
        summary => format!("#   refused with this configuration: {summary}"),
    });
    say(format!(
        "\n[kafka]\nbrokers = {}\ngroup = \"klaxond\"",
        toml(&args.brokers)
    ));
    if !args.properties.is_empty() {
        let pairs = args
            .properties
            .iter()
            .map(|(key, value)| format!("{} = {}", toml(key), toml(value)));
        say(format!(
            "properties = {{ {} }}",
            pairs.collect::<Vec<_>>().join(", ")
        ));
    }
    say(
        "\n# Topics that klaxond writes. They have to exist; alerts may be compacted.\n\
         [output]\nalerts = \"klaxond.alerts\"\nwindows = \"klaxond.windows\"\n\
         dead_letter = \"klaxond.dead-letter\"\n\n[store]\npath = \"klaxond-data\"\n"
            .to_owned(),
    );
    say(format!(
        "[models.{}]\ntopics = [{}]",
        model_name(&args.topic),
        toml(&args.topic)
    ));
    for line in &guess.lines {
        say(line.clone());
    }
    let enough = match rate {
        Some(_) => format!(" # about {per_window} records"),
        None => String::new(),
    };
    say(format!(
        "window = {{ length = \"{length}\", slide = \"{slide}\" }}{enough}"
    ));
    say(
        "# What is normal is learnt from the first day; until then rules that need it are quiet.\n\
         baseline = { learn = \"24h\" }\n"
            .to_owned(),
    );
    let name = model_name(&args.topic);
    say(format!(
        "[[models.{name}.alerts]]\nname = \"uncertain\"\nmeasure = \"entropy\"\n\
         above = \"baseline + 20%\"\nclear = \"baseline + 10%\"\nfor = \"1m\"\n"
    ));
    match guess.spec.kind.nature() {
        Nature::Response => return text,
        Nature::Ensemble => say(format!(
            "[[models.{name}.alerts]]\nname = \"unknown\"\nmeasure = \"disagreement\"\n\
             above = \"baseline + 50%\"\nfor = \"1m\"\n"
        )),
        Nature::Distribution | Nature::Multilabel => {}
    }
    let noise = refusals.summary.and_then(|summary| {
        let q = summary.mean();
        NoiseFloor::new(
            &summary.variances(),
            &q,
            per_window,
            per_window.saturating_mul(100),
        )
    });
    let line = noise.map_or(LEAST_LINE, |noise| (noise.kl * 10.0).max(LEAST_LINE));
    let noise = noise.map_or_else(String::new, |noise| {
        format!(" # sampling alone makes about {}", number(noise.kl))
    });
    say(format!(
        "[[models.{name}.alerts]]\nname = \"drifted\"\nmeasure = \"kl\"\nabove = {}{noise}\n\
         for = \"1m\"\nseverity = \"critical\"",
        number(line)
    ));
    text
}

/// What comes of the samples with the decoder that is proposed.
struct Refusals {
    /// Counts by reason; empty where there are none.
    told: String,
    /// Of the records that can be read.
    summary: Option<Summary>,
}

fn refusals(guess: &Guess, samples: &[Sample]) -> Refusals {
    let decoder = Decoder::new(guess.spec.clone());
    let mut scratch = Scratch::default();
    let mut reasons: BTreeMap<&str, u32> = BTreeMap::new();
    let mut of: Option<Summary> = None;
    for sample in samples {
        let record = Record {
            payload: Some(&sample.payload),
            timestamp_ms: sample.timestamp_ms,
            headers: &NoHeaders,
        };
        match decoder.decode(&record, &mut scratch) {
            Ok(()) => {
                let p = &scratch.probabilities;
                let summary = of.get_or_insert_with(|| Summary::new(p.len()));
                if summary.classes() == p.len() {
                    let time_ms = scratch.time_ms.unwrap_or_default();
                    summary.add_observation(p, &scratch.form, time_ms);
                }
            }
            Err(rejection) => *reasons.entry(rejection.reason.name()).or_default() += 1,
        }
    }
    let mut told = String::new();
    for (reason, count) in reasons {
        let comma = if told.is_empty() { "" } else { ", " };
        let _ = write!(told, "{comma}{count} {reason}");
    }
    Refusals { told, summary: of }
}

/// A topic's name as a key that needs no quotes.
fn model_name(topic: &str) -> String {
    let fine = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    topic.chars().take(100).map(fine).collect()
}

/// A TOML string.
fn toml(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Classes {
    /// How many.
    fn len(&self) -> usize {
        match self {
            Self::Counted(k) => *k,
            Self::Named(names) => names.len(),
        }
    }
}
