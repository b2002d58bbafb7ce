//! `[models.NAME]`: what is read, how windows are cut, what they are measured against.

use std::collections::BTreeSet;

use super::budget;
use super::duration;
use super::kind;
use super::reader::Reader;
use super::review;
use super::rule;
use super::sections::topic_name;
use crate::alert::budget::Allowance;
use crate::decode::{DecoderSpec, DimensionSource, Format, Kind, parse_pointer};
use crate::engine::spec::{BaselineSpec, ModelLimits, ModelSpec};
use crate::evidence::Season;
use crate::observation::Millis;
use crate::window::WindowSpec;
use crate::window::measures::Extent;

/// The least slide or slice: below it, windows cost more than the records in them.
const LEAST_CELL_MS: Millis = 100;
/// The most panes that a window may have: each is held in memory.
const MOST_PANES: i64 = 100_000;
/// The most tags: each is as much work a record as a stream.
const MOST_TAGS: usize = 8;

/// What a model takes where it does not say: `[defaults]`, and the limits of `[limits]`.
#[derive(Clone, Debug)]
pub struct Defaults {
    lateness_ms: Millis,
    idle_after_ms: Millis,
    max_ahead_ms: Millis,
    forget_streams_after_ms: Millis,
    min_baseline_records: u64,
    window: Option<WindowSpec>,
    false_alarms: Option<Allowance>,
    limits: ModelLimits,
    max_classes: usize,
    max_payload_bytes: usize,
    parts: kind::Bounds,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            lateness_ms: 5_000,
            idle_after_ms: 30_000,
            max_ahead_ms: 300_000,
            forget_streams_after_ms: 24 * 60 * 60 * 1000,
            min_baseline_records: 1_000,
            window: None,
            false_alarms: None,
            limits: ModelLimits {
                streams: 1_000,
                open_panes: 1_000,
            },
            max_classes: 10_000,
            max_payload_bytes: 4 << 20,
            parts: kind::Bounds::default(),
        }
    }
}

impl Defaults {
    /// Takes `[defaults]` in.
    pub fn read(&mut self, table: Reader<'_>) {
        self.read_times(&table);
        self.window = window(&table).or(self.window);
        self.false_alarms = budget::allowance(&table, "false_alarms");
        table.finish();
    }

    fn read_times(&mut self, table: &Reader<'_>) {
        let set = |value: &mut Millis, key| *value = table.duration(key).unwrap_or(*value);
        set(&mut self.lateness_ms, "lateness");
        set(&mut self.idle_after_ms, "idle_after");
        set(&mut self.max_ahead_ms, "max_ahead");
        set(&mut self.forget_streams_after_ms, "forget_streams_after");
        if let Some(records) = table.integer("min_baseline_records", 1..1 << 40) {
            self.min_baseline_records = records;
        }
    }

    /// Takes the limits of one model in, or of all.
    pub fn read_limits(&mut self, table: &Reader<'_>) {
        let set = |value: &mut usize, key, range| {
            *value = table
                .integer(key, range)
                .map_or(*value, |number| number as usize);
        };
        set(&mut self.limits.streams, "streams", 1..1_000_000);
        set(&mut self.limits.open_panes, "open_panes", 10..1_000_000);
        set(&mut self.max_classes, "classes", 1..10_000_000);
        set(&mut self.max_payload_bytes, "payload_bytes", 16..1 << 30);
        self.parts.read(table);
    }
}

/// Reads one model; none where something that it cannot do without is wrong.
pub fn read(table: Reader<'_>, name: &str, defaults: &Defaults) -> Option<ModelSpec> {
    let mut own = defaults.clone();
    own.read_times(&table);
    if let Some(limits) = table.table("limits") {
        own.read_limits(&limits);
        limits.finish();
    }
    let topics = topics(&table);
    let decoder = decoder(&table, &own);
    let classes = classes(&table, decoder.as_ref());
    let own_window = window(&table);
    if own_window.is_none() && own.window.is_none() && !table.has("window") {
        table.problem(
            "window",
            "is missing: { length = \"5m\", slide = \"10s\" }, for example",
        );
    }
    let window = own_window.or(own.window);
    let baseline = baseline(&table);
    let seasons = [Season::Daily, Season::Weekly].map(|season| (season.name(), season));
    let season = table.one_of("season", &seasons);
    if let (Some(season), Some(BaselineSpec::Learn { duration_ms })) = (season, &baseline)
        && *duration_ms < Season::LEAST_CYCLES * season.cycle_ms()
    {
        let (learn, needed) = (*duration_ms, Season::LEAST_CYCLES * season.cycle_ms());
        let (learn, needed) = (duration::display(learn), duration::display(needed));
        let why = format!("does nothing: the baseline is learnt in {learn}, and it needs {needed}");
        table.warning("season", why);
    }
    let context = rule::Context {
        extent: extent(decoder.as_ref(), classes.as_deref()),
        baseline: &baseline,
        window: window.as_ref(),
        shared: own.false_alarms.as_ref(),
        labels: decoder.as_ref().is_none_or(|d| d.label.is_some()),
        tags: decoder.as_ref().is_none_or(|d| !d.tags.is_empty()),
    };
    let rules = rule::read_all(&table, &context);
    let review = review::read(&table, &context);
    table.finish();
    Some(ModelSpec {
        name: name.to_owned(),
        topics: topics?,
        decoder: decoder?,
        classes,
        window: window?,
        lateness_ms: own.lateness_ms,
        idle_after_ms: own.idle_after_ms,
        max_ahead_ms: own.max_ahead_ms,
        baseline: baseline?,
        season,
        min_baseline_records: own.min_baseline_records,
        forget_streams_after_ms: own.forget_streams_after_ms,
        rules: rules.lines,
        budgets: rules.budgets,
        review,
        limits: own.limits,
    })
}

fn topics(table: &Reader<'_>) -> Option<Vec<String>> {
    let Some(topics) = table.strings("topics") else {
        if !table.has("topics") {
            table.problem("topics", "is missing");
        }
        return None;
    };
    if topics.is_empty() {
        table.problem("topics", "is empty");
    }
    for (at, topic) in topics.iter().enumerate() {
        if let Err(message) = topic_name(topic) {
            table.problem("topics", message);
        }
        if topics[..at].contains(topic) {
            table.problem("topics", format!("names {topic} twice"));
        }
    }
    Some(topics)
}

fn decoder(table: &Reader<'_>, limits: &Defaults) -> Option<DecoderSpec> {
    let formats = [
        ("json", Format::Json),
        ("f32le", Format::F32Le),
        ("f64le", Format::F64Le),
    ];
    let format = table.one_of("format", &formats);
    let wrong = format.is_none() && table.has("format");
    let format = format.unwrap_or(Format::Json);
    let kind = kind::read(table, format, limits.parts);
    let is_json = format == Format::Json;
    let fields = table.table("fields");
    let (mut probabilities, mut key) = (None, "probabilities");
    let mut timestamp = None;
    match &fields {
        Some(fields) if is_json => {
            (probabilities, key) = kind::pointer(fields, kind);
            let pointer = |text: &str| parse_pointer(text).map(|_| text.to_owned());
            timestamp = fields.parsed("timestamp", pointer);
        }
        Some(fields) => {
            let keys = ["probabilities", "members", "tokens", "timestamp"];
            for key in keys.into_iter().filter(|key| fields.has(key)) {
                fields.value(key);
                let why = "raw floats have no fields: the record is its distribution";
                fields.problem(key, why);
            }
        }
        None => {}
    }
    if let (Some(fields), Some(timestamp), Some(distribution)) =
        (&fields, &timestamp, &probabilities)
        && within(timestamp, distribution)
    {
        fields.problem("timestamp", format!("lies within fields.{key}"));
    }
    let place =
        |table: &Reader<'_>, key: &str| source(table, key, is_json, probabilities.as_deref());
    let label = fields.as_ref().and_then(|fields| place(fields, "label"));
    let has_classes = !matches!(kind, Some(Kind::Multilabel | Kind::TopK { .. }));
    let only_of_classes = "is for records that are distributions over classes";
    if let Some(fields) = fields {
        if label.is_some() && !has_classes {
            fields.problem("label", only_of_classes);
        }
        fields.unsupported(&["id"]);
        fields.finish();
    }
    let dimensions = sources(table, "dimensions", &place);
    let tags = sources(table, "tags", &place);
    if !tags.is_empty() && !has_classes {
        table.problem("tags", only_of_classes);
    }
    if tags.len() > MOST_TAGS {
        let found = tags.len();
        table.problem("tags", format!("are {found}; the most is {MOST_TAGS}"));
    }
    (!wrong).then_some(DecoderSpec {
        format,
        kind: kind?,
        probabilities,
        timestamp,
        dimensions,
        tags,
        label,
        max_payload_bytes: limits.max_payload_bytes,
        max_classes: limits.max_classes,
    })
}

/// What bounds of the model's measures follow from.
fn extent(decoder: Option<&DecoderSpec>, classes: Option<&[String]>) -> Extent {
    let kind = decoder.map_or(Kind::Probabilities, |decoder| decoder.kind);
    let size = match kind {
        Kind::TopK { vocabulary, .. } => Some(vocabulary as usize),
        Kind::Binary => Some(2),
        _ => classes.map(<[String]>::len),
    };
    let nature = kind.nature();
    Extent { nature, size }
}

/// Whether one pointer names the other's value or a part of it.
fn within(pointer: &str, of: &str) -> bool {
    pointer
        .strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where the values of each key of a table are found, by name.
fn sources(
    table: &Reader<'_>,
    key: &str,
    place: &dyn Fn(&Reader<'_>, &str) -> Option<DimensionSource>,
) -> Vec<(String, DimensionSource)> {
    let Some(given) = table.table(key) else {
        return Vec::new();
    };
    if key == "dimensions" && given.has("overflow") {
        given.problem(
            "overflow",
            "is the name of the stream of all that is too many; take another",
        );
    }
    let names: BTreeSet<String> = given.keys().map(str::to_owned).collect();
    let found = names
        .into_iter()
        .filter_map(|name| place(&given, &name).map(|source| (name, source)));
    let found = found.collect();
    given.finish();
    found
}

/// Where a text of a record is found: a JSON pointer outside the distribution, or a header.
fn source(
    table: &Reader<'_>,
    key: &str,
    is_json: bool,
    distribution: Option<&str>,
) -> Option<DimensionSource> {
    table.parsed(key, |text| {
        if let Some(header) = text.strip_prefix("header:") {
            return Ok(DimensionSource::Header(header.to_owned()));
        }
        if !text.starts_with('/') {
            return Err(format!(
                "{text:?} is neither a JSON pointer (\"/{text}\") nor a header (\"header:{text}\")"
            ));
        }
        if !is_json {
            return Err("raw floats have no fields: name a header".to_owned());
        }
        if distribution.is_some_and(|distribution| within(text, distribution)) {
            return Err("lies within fields.probabilities".to_owned());
        }
        parse_pointer(text).map(|_| DimensionSource::Pointer(text.to_owned()))
    })
}

fn classes(table: &Reader<'_>, decoder: Option<&DecoderSpec>) -> Option<Vec<String>> {
    let classes = table.strings("classes")?;
    let distinct: BTreeSet<&String> = classes.iter().collect();
    if distinct.len() < classes.len() {
        table.problem("classes", "names a class twice");
    }
    let binary = decoder.is_some_and(|decoder| decoder.kind == Kind::Binary);
    if classes.is_empty() {
        table.problem("classes", "is empty");
    } else if binary && classes.len() != 2 {
        let found = classes.len();
        table.problem(
            "classes",
            format!("a binary model has 2 classes, and here are {found}"),
        );
    }
    if let Some(most) = decoder
        .map(|d| d.max_classes)
        .filter(|&most| classes.len() > most)
    {
        table.problem(
            "classes",
            format!("are {}; limits.classes is {most}", classes.len()),
        );
    }
    Some(classes)
}

fn window(table: &Reader<'_>) -> Option<WindowSpec> {
    let window = table.table("window")?;
    let spec = if window.has("records") {
        count_window(&window)
    } else {
        time_window(&window)
    };
    window.finish();
    spec
}

fn time_window(window: &Reader<'_>) -> Option<WindowSpec> {
    for key in ["length", "slide"]
        .into_iter()
        .filter(|key| !window.has(key))
    {
        window.problem(key, "is missing");
    }
    let (length, slide) = (window.duration("length"), window.duration("slide"));
    let (length_ms, slide_ms) = (length?, slide?);
    let (length, slide) = (duration::display(length_ms), duration::display(slide_ms));
    if slide_ms < LEAST_CELL_MS {
        window.problem(
            "slide",
            format!("is {slide}; the least is {LEAST_CELL_MS}ms"),
        );
    } else if length_ms < slide_ms || length_ms % slide_ms != 0 {
        window.problem(
            "length",
            format!("{length} is not a multiple of slide {slide}"),
        );
    } else if length_ms / slide_ms > MOST_PANES {
        let panes = length_ms / slide_ms;
        window.problem(
            "slide",
            format!("makes {panes} panes of a window; the most is {MOST_PANES}"),
        );
    } else {
        return Some(WindowSpec::Time {
            length_ms,
            slide_ms,
        });
    }
    None
}

fn count_window(window: &Reader<'_>) -> Option<WindowSpec> {
    for key in ["slide"].into_iter().filter(|key| !window.has(key)) {
        window.problem(key, "is missing");
    }
    let records = window.integer("records", 1..1 << 40);
    let slide = window.integer("slide", 1..1 << 40);
    let slice_ms = match window.has("slice") {
        true => window.duration("slice")?,
        false => 1_000,
    };
    let (records, slide) = (records?, slide?);
    if slide > records {
        window.problem(
            "slide",
            format!("is {slide}, more than the window's {records} records"),
        );
    } else if slice_ms < LEAST_CELL_MS {
        let slice = duration::display(slice_ms);
        window.problem(
            "slice",
            format!("is {slice}; the least is {LEAST_CELL_MS}ms"),
        );
    } else if (records / slide) as i64 > MOST_PANES {
        let panes = records / slide;
        window.problem(
            "slide",
            format!("makes {panes} panes of a window; the most is {MOST_PANES}"),
        );
    } else {
        return Some(WindowSpec::Count {
            records,
            slide,
            slice_ms,
        });
    }
    None
}

/// Where the baseline comes from; none where it is wrong.
fn baseline(table: &Reader<'_>) -> Option<BaselineSpec> {
    use toml::de::DeValue;
    match table.value("baseline").map(|value| value.get_ref()) {
        None => Some(BaselineSpec::None),
        Some(DeValue::Table(_)) => {
            let learn = table.table("baseline")?;
            let duration = learn.duration("learn");
            if !learn.has("learn") {
                learn.problem("learn", "is missing: { learn = \"24h\" }, for example");
            }
            learn.finish();
            Some(BaselineSpec::Learn {
                duration_ms: duration?,
            })
        }
        Some(_) => table.string("baseline").map(BaselineSpec::Named),
    }
}
