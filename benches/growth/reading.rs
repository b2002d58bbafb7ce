//! The program reading a topic of Apache Kafka: by its partitions, and by the models that read it.

use std::time::Instant;

use super::axis::{Axis, Scale, Unit};
use super::plot::{Colour, Line, Plot};
use crate::broker::broker;
use crate::daemon::Site;
use crate::process::{cpu_seconds, median};
use crate::reader::Reader;
use crate::traffic;

const CLASSES: usize = 10;
const RUNS: usize = 3;

const PARTITIONS: [i32; 5] = [1, 4, 16, 64, 256];
const RECORDS_BY_PARTITIONS: u64 = 2_000_000;

const MODELS: [usize; 5] = [1, 2, 4, 8, 16];
const RECORDS_BY_MODELS: u64 = 500_000;
const PARTITIONS_BY_MODELS: i32 = 4;

const MODEL: &str = r#"
[models.NAME]
topics = ["TOPIC"]
fields = { probabilities = "/p", timestamp = "/ts" }
dimensions = { stream = "/stream" }
lateness = "5s"
window = { length = "5m", slide = "10s" }

[[models.NAME.alerts]]
name = "uncertain"
measure = "entropy"
above = 20.0
"#;

/// A filled topic.
struct Topic {
    site: Site,
    partitions: i32,
    records: u64,
}

/// A record.
struct Took {
    seconds: f64,
    cpu_seconds: f64,
}

pub fn by_partitions() {
    let points = PARTITIONS.map(|partitions| {
        let name = format!("growth-partitions-{partitions}");
        let topic = Topic::fill(&name, partitions, RECORDS_BY_PARTITIONS);
        (f64::from(partitions), topic.read(1))
    });
    let names = ["partitions-rate", "partitions-cpu"];
    let x = Axis::new("partitions", Unit::Count, Scale::Log);
    publish(names, x.with_marks(&[1.0, 4.0, 16.0, 64.0, 256.0]), &points);
}

pub fn by_models() {
    let topic = Topic::fill("growth-models", PARTITIONS_BY_MODELS, RECORDS_BY_MODELS);
    let points = MODELS.map(|models| (models as f64, topic.read(models)));
    let names = ["models-rate", "models-cpu"];
    let x = Axis::new("models that read the topic", Unit::Count, Scale::Linear);
    publish(names, x.with_marks(&[1.0, 2.0, 4.0, 8.0, 16.0]), &points);
}

fn publish([rate, cpu]: [&'static str; 2], x: Axis, points: &[(f64, Took)]) {
    let line = |value: fn(&Took) -> f64| {
        let mut line = Line::new("klaxond", Colour::Blue);
        line.points
            .extend(points.iter().map(|(x, took)| (*x, value(took))));
        vec![line]
    };
    let rate = Plot {
        name: rate,
        title: "Reading a topic, K = 10",
        x,
        y: Axis::new("records a second", Unit::Count, Scale::Linear),
        lines: line(|took| 1.0 / took.seconds),
    };
    rate.publish();
    let cpu = Plot {
        name: cpu,
        title: "CPU time of the program, K = 10",
        x,
        y: Axis::new("CPU time a record", Unit::Seconds, Scale::Linear),
        lines: line(|took| took.cpu_seconds),
    };
    cpu.publish();
}

impl Topic {
    /// The last record of each partition is one that every model refuses.
    fn fill(name: &str, partitions: i32, records: u64) -> Self {
        let site = Site::new(name, "");
        site.create_topics(partitions);
        traffic::fill(&site.brokers, &site.input(), partitions, CLASSES, records);
        Self {
            site,
            partitions,
            records,
        }
    }

    /// Medians of what it takes so many models to read a record.
    fn read(&self, models: usize) -> Took {
        let runs: Vec<Took> = (0..RUNS).map(|run| self.read_once(models, run)).collect();
        let of = |value: fn(&Took) -> f64| {
            median(runs.iter().map(value).collect()) / self.records as f64
        };
        Took {
            seconds: of(|took| took.seconds),
            cpu_seconds: of(|took| took.cpu_seconds),
        }
    }

    fn read_once(&self, models: usize, run: usize) -> Took {
        let name = format!("{}-{models}-{run}", self.site.name);
        let model = |m| MODEL.replace("NAME", &format!("m{m}"));
        let models_text: String = (0..models).map(model).collect();
        let site = Site::new(&name, &models_text.replace("TOPIC", &self.site.input()));
        let letters = site.topic("dead-letter");
        broker().create_topics(&[
            (&site.topic("alerts"), 1),
            (&site.topic("windows"), 1),
            (&letters, 1),
        ]);
        let reader = Reader::new(&site.brokers, &letters);
        let daemon = site.start_active();
        let (cpu, began) = (cpu_seconds(daemon.id()), Instant::now());
        for _ in 0..models * self.partitions as usize {
            reader.next();
        }
        // Of all records.
        let took = Took {
            seconds: began.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds(daemon.id()) - cpu,
        };
        daemon.kill();
        took
    }
}
