//! The sections that are the daemon's: `[kafka]`, `[output]`, `[store]`, `[http]`, `[limits]`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use toml::Spanned;
use toml::de::DeTable;

use super::duration;
use super::model::{self, Defaults};
use super::reader::{Reader, Source};
use super::valid::{
    Config, Delivery, HttpConfig, KafkaConfig, Limits, OutputConfig, StartAt, StoreConfig,
};
use crate::engine::spec::ModelSpec;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Reads a whole document; none where a section that has no default is missing.
pub fn read<'a>(source: &'a Source<'a>, root: &'a Spanned<DeTable<'a>>) -> Option<Config> {
    let root = Reader::root(source, root);
    root.unsupported(&["cluster"]);
    let kafka = section(&root, "kafka").and_then(kafka);
    let output = section(&root, "output").and_then(output);
    let store = section(&root, "store").and_then(store);
    let http = root.table("http").map_or(Some(HttpConfig::default()), http);
    let (limits, mut defaults) = root.table("limits").map_or_else(Default::default, limits);
    if let Some(table) = root.table("defaults") {
        defaults.read(table);
    }
    let models = models(&root, &defaults);
    if let (Some(output), Some(models)) = (&output, &models) {
        apart(&root, output, models);
        reviewed(&root, output, models);
    }
    root.finish();
    Some(Config {
        kafka: kafka?,
        output: output?,
        store: store?,
        http: http?,
        models: models?,
        limits,
    })
}

fn section<'a>(root: &Reader<'a>, name: &str) -> Option<Reader<'a>> {
    let found = root.table(name);
    if found.is_none() && !root.has(name) {
        root.problem(name, "is missing");
    }
    found
}

/// Properties that klaxond sets itself, and what to use instead.
const OWN_PROPERTIES: [(&str, &str); 12] = [
    ("bootstrap.servers", "kafka.brokers"),
    ("metadata.broker.list", "kafka.brokers"),
    ("group.id", "kafka.group"),
    ("transactional.id", "kafka.group"),
    ("auto.offset.reset", "kafka.start_at"),
    ("enable.idempotence", "kafka.delivery"),
    ("queued.max.messages.kbytes", "limits.fetch_queue_kbytes"),
    (
        "enable.auto.commit",
        "nothing: klaxond commits what it has dealt with",
    ),
    (
        "enable.auto.offset.store",
        "nothing: klaxond commits what it has dealt with",
    ),
    (
        "enable.partition.eof",
        "nothing: klaxond needs to know where a partition ends",
    ),
    (
        "isolation.level",
        "nothing: klaxond reads what is committed",
    ),
    (
        "partition.assignment.strategy",
        "nothing: klaxond assigns all partitions itself",
    ),
];

fn kafka(table: Reader<'_>) -> Option<KafkaConfig> {
    let brokers = table.required("brokers");
    let group = table
        .string("group")
        .unwrap_or_else(|| "klaxond".to_owned());
    let start_at = table.parsed("start_at", |text| match text {
        "latest" => Ok(StartAt::Latest),
        "earliest" => Ok(StartAt::Earliest),
        time => duration::parse_time(time).map(StartAt::Time).map_err(|_| {
            format!("{time:?} is neither \"latest\", \"earliest\" nor a time in RFC 3339")
        }),
    });
    let delivery = [
        ("exactly-once", Delivery::ExactlyOnce),
        ("at-least-once", Delivery::AtLeastOnce),
    ];
    let delivery = table.one_of("delivery", &delivery);
    let mut properties = BTreeMap::new();
    if let Some(given) = table.table("properties") {
        let keys: Vec<String> = given.keys().map(str::to_owned).collect();
        for key in keys {
            if let Some((_, instead)) = OWN_PROPERTIES.iter().find(|(own, _)| *own == key) {
                given.value(&key);
                given.problem(&key, format!("is klaxond's own; use {instead}"));
            } else if let Some(value) = given.scalar(&key) {
                properties.insert(key, value);
            }
        }
    }
    table.finish();
    Some(KafkaConfig {
        brokers: brokers?,
        group,
        start_at: start_at.unwrap_or(StartAt::Latest),
        delivery: delivery.unwrap_or(Delivery::ExactlyOnce),
        properties,
    })
}

fn output(table: Reader<'_>) -> Option<OutputConfig> {
    let topic = |key| table.parsed(key, topic_name);
    let (alerts, windows, dead_letter) = (topic("alerts"), topic("windows"), topic("dead_letter"));
    let review = topic("review");
    if !table.has("alerts") {
        table.problem("alerts", "is missing");
    }
    table.finish();
    Some(OutputConfig {
        alerts: alerts?,
        windows,
        dead_letter,
        review,
    })
}

/// A name that Kafka takes for a topic.
pub fn topic_name(name: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.len() > 249 || matches!(name, "." | "..") || !name.chars().all(fine) {
        return Err(format!(
            "{name:?} is no topic name: up to 249 letters, digits, dots, underscores and hyphens"
        ));
    }
    Ok(name.to_owned())
}

fn store(table: Reader<'_>) -> Option<StoreConfig> {
    let path = table.required("path");
    let history = table.duration("history");
    table.finish();
    Some(StoreConfig {
        path: path?.into(),
        history_ms: history.unwrap_or(30 * DAY_MS),
    })
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9187)),
        }
    }
}

fn http(table: Reader<'_>) -> Option<HttpConfig> {
    let listen = table.parsed("listen", |text| {
        text.parse().map_err(|_| {
            format!("{text:?} is no address to listen on: write it as \"127.0.0.1:9187\"")
        })
    });
    let missing = !table.has("listen");
    table.finish();
    if missing {
        return Some(HttpConfig::default());
    }
    Some(HttpConfig { listen: listen? })
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            outbox_entries: 10_000,
            outbox_bytes: 64 << 20,
            history_bytes: 4 * GIB,
            fetch_queue_kbytes: 16_384,
        }
    }
}

fn limits(table: Reader<'_>) -> (Limits, Defaults) {
    let mut defaults = Defaults::default();
    defaults.read_limits(&table);
    let default = Limits::default();
    let size = |key, range, default| table.integer(key, range).map_or(default, |n| n as usize);
    let history_bytes = table.integer("history_bytes", MIB..1024 * GIB);
    let limits = Limits {
        outbox_entries: size("outbox_entries", 100..1_000_000, default.outbox_entries),
        outbox_bytes: size("outbox_bytes", MIB..GIB, default.outbox_bytes),
        history_bytes: history_bytes.unwrap_or(default.history_bytes),
        fetch_queue_kbytes: size(
            "fetch_queue_kbytes",
            64..2_000_000,
            default.fetch_queue_kbytes,
        ),
    };
    table.finish();
    (limits, defaults)
}

fn models(root: &Reader<'_>, defaults: &Defaults) -> Option<Vec<ModelSpec>> {
    let table = section(root, "models")?;
    let mut names: Vec<String> = table.keys().map(str::to_owned).collect();
    names.sort();
    if names.is_empty() {
        table.problem("", "has no model: add a [models.NAME] table");
    }
    let mut models = Vec::new();
    for name in &names {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > 100 || !name.chars().all(fine) {
            table.problem(
                name,
                "has a name of other than 1 to 100 letters, digits, . _ and -",
            );
        }
        models.extend(
            table
                .table(name)
                .and_then(|table| model::read(table, name, defaults)),
        );
    }
    (!names.is_empty() && models.len() == names.len()).then_some(models)
}

/// No topic may be read and written, or written for two purposes.
fn apart(root: &Reader<'_>, output: &OutputConfig, models: &[ModelSpec]) {
    let written = [
        ("alerts", Some(&output.alerts)),
        ("windows", output.windows.as_ref()),
        ("dead_letter", output.dead_letter.as_ref()),
        ("review", output.review.as_ref()),
    ];
    let Some(table) = root.table("output") else {
        return;
    };
    for (at, (key, topic)) in written.iter().enumerate() {
        let Some(topic) = topic else { continue };
        if let Some((other, _)) = written[..at]
            .iter()
            .find(|(_, other)| *other == Some(topic))
        {
            table.problem(key, format!("is the topic of output.{other} too"));
        }
        if let Some(model) = models.iter().find(|model| model.topics.contains(topic)) {
            table.problem(
                key,
                format!(
                    "{topic} is read for model {}: it would feed itself",
                    model.name
                ),
            );
        }
    }
}

/// What is referred needs a topic to go to, and the topic a model that refers.
fn reviewed(root: &Reader<'_>, output: &OutputConfig, models: &[ModelSpec]) {
    let referring = || models.iter().filter(|model| model.review.is_some());
    if output.review.is_some() {
        if let (None, Some(table)) = (referring().next(), root.table("output")) {
            table.warning("review", "stays empty: no model has review");
        }
        return;
    }
    let Some(table) = root.table("models") else {
        return;
    };
    for model in referring().filter_map(|model| table.table(&model.name)) {
        model.problem("review", "has no topic to go to: set output.review");
    }
}
