use std::path::Path;

use super::*;
use crate::alert::rule::Threshold;
use crate::decode::{DimensionSource, Format, Kind};
use crate::engine::spec::BaselineSpec;
use crate::window::WindowSpec;
use valid::{Delivery, StartAt};

const EXAMPLE: &str = include_str!("../../config/klaxond.toml");

fn no_env(_: &str) -> Option<String> {
    None
}

fn no_files(path: &Path) -> io::Result<String> {
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        path.display().to_string(),
    ))
}

fn read(text: &str) -> Result<Checked, Problems> {
    parse(text, "k.toml", &no_env, &no_files)
}

fn problems(text: &str) -> Vec<String> {
    let Problems(problems) = read(text).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

/// The least that runs, with more of a model.
fn with(model: &str) -> String {
    format!(
        "[kafka]\nbrokers = \"b:1\"\n[output]\nalerts = \"a\"\n[store]\npath = \"/s\"\n\
         [models.m]\ntopics = [\"t\"]\nwindow = {{ length = \"5m\", slide = \"10s\" }}\n{model}"
    )
}

fn model(text: &str) -> crate::engine::spec::ModelSpec {
    read(&with(text)).unwrap().config.models.remove(0)
}

fn problem(model: &str) -> String {
    let problems = problems(&with(model));
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

#[test]
fn the_annotated_example_is_valid_and_names_every_key() {
    let source = Source::new(EXAMPLE, "config/klaxond.toml", &no_env, &no_files);
    let root = source.parse().unwrap();
    let config = sections::read(&source, &root);
    let silent: Vec<String> = source
        .asked()
        .into_iter()
        // A word on its own, in a comment or not.
        .filter(|key| {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            !EXAMPLE.split(|c| !is_word(c)).any(|word| word == key)
        })
        .collect();
    assert_eq!(
        silent,
        Vec::<String>::new(),
        "keys that the example does not show"
    );
    let (problems, warnings) = source.into_problems();
    assert_eq!((problems, warnings), (Vec::new(), Vec::new()));
    let config = config.unwrap();
    assert_eq!(config.models.len(), 2);
    let fraud = &config.models[0];
    assert_eq!(fraud.name, "fraud");
    assert_eq!(fraud.lateness_ms, 2_000);
    assert_eq!(fraud.limits.streams, 200);
    assert_eq!(fraud.rules.len(), 6);
    let country = (
        "country".to_owned(),
        DimensionSource::Header("country".to_owned()),
    );
    assert_eq!(fraud.decoder.dimensions[0], country);
}

/// What the example says is the default, is.
#[test]
fn the_examples_defaults_are_the_defaults() {
    let minimal = read(&with("")).unwrap().config;
    let example = read(EXAMPLE).unwrap().config;
    assert_eq!(minimal.limits, example.limits);
    assert_eq!(minimal.http, example.http);
    assert_eq!(minimal.store.history_ms, example.store.history_ms);
    let (m, e) = (&minimal.kafka, &example.kafka);
    assert_eq!(
        (&m.group, m.start_at, m.delivery),
        (&e.group, e.start_at, e.delivery)
    );
    // Its second model takes everything from [defaults] and [limits].
    let (minimal, tickets) = (&minimal.models[0], &example.models[1]);
    assert_eq!(minimal.limits, tickets.limits);
    assert_eq!(minimal.lateness_ms, tickets.lateness_ms);
    assert_eq!(minimal.idle_after_ms, tickets.idle_after_ms);
    assert_eq!(minimal.max_ahead_ms, tickets.max_ahead_ms);
    assert_eq!(
        minimal.forget_streams_after_ms,
        tickets.forget_streams_after_ms
    );
    assert_eq!(minimal.min_baseline_records, tickets.min_baseline_records);
    let limits = |model: &crate::engine::spec::ModelSpec| {
        (model.decoder.max_classes, model.decoder.max_payload_bytes)
    };
    assert_eq!(limits(minimal), limits(tickets));
}

#[test]
fn every_problem_is_told_at_once_with_line_and_path() {
    let text = "[kafka]\nbroker = \"b:1\"\n\
                [output]\nalerts = \"a b\"\n\
                [models.m]\ntopics = [\"t\"]\nwindow = { length = \"5m\", slide = \"7s\" }\n\
                [[models.m.alerts]]\nname = \"x\"\nmeasure = \"entropi\"\nabove = 1\n";
    let told = problems(text);
    let expected = [
        ("k.toml:1: kafka.brokers: ", "is missing"),
        ("k.toml:1: store: ", "is missing"),
        ("k.toml:2: kafka.broker: ", "brokers"),
        ("k.toml:4: output.alerts: ", "\"a b\" is no topic name"),
        ("k.toml:7: models.m.window", "multiple"),
        ("k.toml:10: models.m.alerts", "did you mean \"entropy\"?"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, (head, message)) in told.iter().zip(expected) {
        assert!(
            told.starts_with(head) && told.contains(message),
            "{told} / {head} / {message}"
        );
    }
}

#[test]
fn text_that_is_no_toml_is_one_problem() {
    let told = problems("[kafka\nbrokers = 1");
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("k.toml:1: "), "{told:?}");
}

#[test]
fn secrets_come_from_outside_and_are_never_shown() {
    let env = |name: &str| (name == "PASSWORD").then(|| "hunter2".to_owned());
    let files = |path: &Path| {
        if path == Path::new("/run/user") {
            Ok("alice\n".to_owned())
        } else {
            no_files(path)
        }
    };
    let of = |properties: &str| {
        let text = with("").replace(
            "[output]",
            &format!("properties = {{ {properties} }}\n[output]"),
        );
        parse(&text, "k.toml", &env, &files)
    };
    let read = of(
        "\"sasl.password\" = \"${PASSWORD}\", \"sasl.username\" = \"${file:/run/user}\", \"x\" = \"$${y}\"",
    );
    let config = read.unwrap().config;
    let property = |key: &str| config.kafka.properties[key].as_str();
    assert_eq!(property("sasl.password"), "hunter2");
    assert_eq!(property("sasl.username"), "alice");
    assert_eq!(property("x"), "${y}");
    assert!(!format!("{config:?}").contains("hunter2"));

    let Problems(missing) = of("\"sasl.password\" = \"${PASSWORT}\"").unwrap_err();
    assert!(
        missing[0]
            .message
            .contains("no environment variable PASSWORT"),
        "{}",
        missing[0]
    );
    // A value that is wrong is quoted as it is written.
    let text = with("").replace("[output]", "start_at = \"${PASSWORD}\"\n[output]");
    let Problems(wrong) = parse(&text, "k.toml", &env, &files).unwrap_err();
    assert!(!wrong[0].message.contains("hunter2"), "{}", wrong[0]);
}

#[test]
fn kafka_says_where_to_begin_and_how_to_deliver() {
    let of = |line: &str| read(&with("").replace("[output]", &format!("{line}\n[output]")));
    let kafka = |line: &str| of(line).unwrap().config.kafka;
    assert_eq!(kafka("").start_at, StartAt::Latest);
    assert_eq!(kafka("start_at = \"earliest\"").start_at, StartAt::Earliest);
    // date -d 2026-11-23T10:00:00Z +%s
    let time = kafka("start_at = \"2026-11-23T10:00:00Z\"").start_at;
    assert_eq!(time, StartAt::Time(1_795_428_000_000));
    assert_eq!(
        kafka("delivery = \"at-least-once\"").delivery,
        Delivery::AtLeastOnce
    );
    for line in [
        "start_at = \"yesterday\"",
        "delivery = \"twice\"",
        "properties = { \"group.id\" = \"g\" }",
    ] {
        assert!(of(line).is_err(), "{line}");
    }
}

#[test]
fn windows_are_of_time_or_of_records() {
    let of = |window: &str| {
        let text = with("").replace("{ length = \"5m\", slide = \"10s\" }", window);
        read(&text).map(|checked| checked.config.models[0].window)
    };
    let time = WindowSpec::Time {
        length_ms: 60_000,
        slide_ms: 20_000,
    };
    assert_eq!(of("{ length = \"1m\", slide = \"20s\" }").unwrap(), time);
    let count = WindowSpec::Count {
        records: 500,
        slide: 50,
        slice_ms: 1_000,
    };
    assert_eq!(of("{ records = 500, slide = 50 }").unwrap(), count);
    for window in [
        "{ length = \"1m\" }",
        "{ length = \"1m\", slide = \"0s\" }",
        "{ length = \"1m\", slide = \"2m\" }",
        "{ length = \"1m\", slide = \"25s\" }",
        "{ records = 50, slide = 500 }",
        "{ records = 50, slide = \"1m\" }",
        "{ records = 50, slide = 5, length = \"1m\" }",
        "\"1m\"",
    ] {
        assert!(of(window).is_err(), "{window}");
    }
}

#[test]
fn formats_and_kinds() {
    let raw = model("format = \"f64le\"\nkind = \"logits\"\n");
    assert_eq!(
        (raw.decoder.format, raw.decoder.kind),
        (Format::F64Le, Kind::Logits)
    );
    let told = problem("format = \"f32le\"\nfields = { timestamp = \"/ts\" }\n");
    assert!(
        told.contains("models.m.fields.timestamp") && told.contains("raw floats"),
        "{told}"
    );
    let told = problem("fields = { probabilities = \"p\" }\n");
    assert!(told.contains("models.m.fields.probabilities"), "{told}");
    let told = problem("kind = \"multilabel\"\n");
    assert!(told.contains("is not supported by this version"), "{told}");
    let told = problem("dimensions = { country = \"country\" }\n");
    assert!(
        told.contains("\"/country\"") && told.contains("header:country"),
        "{told}"
    );
    let told = problem("classes = [\"a\", \"a\"]\n");
    assert!(told.contains("names a class twice"), "{told}");
}

#[test]
fn baselines_are_named_learnt_or_none() {
    assert_eq!(model("").baseline, BaselineSpec::None);
    assert_eq!(
        model("baseline = \"v7\"\n").baseline,
        BaselineSpec::Named("v7".to_owned())
    );
    let learnt = BaselineSpec::Learn {
        duration_ms: 86_400_000,
    };
    assert_eq!(model("baseline = { learn = \"24h\" }\n").baseline, learnt);
}

fn rule(lines: &str) -> String {
    format!("baseline = \"b\"\n[[models.m.alerts]]\nname = \"r\"\n{lines}\n")
}

#[test]
fn thresholds_are_numbers_or_relative() {
    let threshold = |lines: &str| model(&rule(lines)).rules[0].threshold;
    assert_eq!(
        threshold("measure = \"kl\"\nabove = 1"),
        Threshold::Absolute(1.0)
    );
    let percent = threshold("measure = \"entropy\"\nabove = \"baseline + 20%\"");
    assert_eq!(percent, Threshold::Percent(0.2));
    let deviations = threshold("measure = \"entropy\"\nbelow = \"baseline - 3 sd\"");
    assert_eq!(deviations, Threshold::Deviations(-3.0));
    let silence = threshold("measure = \"silence\"\nabove = \"5m\"");
    assert_eq!(silence, Threshold::Absolute(300.0));
    for (lines, why) in [
        (
            "measure = \"kl\"\nabove = \"baseline + 20%\"",
            "measured against the baseline itself",
        ),
        ("measure = \"entropy\"\nabove = \"20%\"", "is no threshold"),
        ("measure = \"entropy\"\nabove = nan", "number"),
        ("measure = \"entropy\"", "above or below"),
        ("measure = \"entropy\"\nabove = 1\nbelow = 0.5", "two rules"),
        (
            "measure = \"entropy\"\nabove = 0.5\nclear = 0.6",
            "below the threshold",
        ),
        (
            "measure = \"token_entropy\"\nabove = 0.5",
            "not measured by this version",
        ),
        (
            "false_alarms = \"1 per 30d\"",
            "not supported by this version",
        ),
    ] {
        let told = problem(&rule(lines));
        assert!(told.contains(why), "{lines}: {told}");
    }
}

#[test]
fn labels_and_tags_are_pointers_or_headers() {
    let pointer = |text: &str| DimensionSource::Pointer(text.to_owned());
    let header = |text: &str| DimensionSource::Header(text.to_owned());
    let json = model("fields = { label = \"/y\" }\ntags = { a = \"/a\", b = \"header:x\" }\n");
    assert_eq!(json.decoder.label, Some(pointer("/y")));
    let tags = [
        ("a".to_owned(), pointer("/a")),
        ("b".to_owned(), header("x")),
    ];
    assert_eq!(json.decoder.tags, tags);
    let raw = model("format = \"f32le\"\nfields = { label = \"header:y\" }\n");
    assert_eq!(raw.decoder.label, Some(header("y")));
    assert_eq!(model("").decoder.label, None);
    let many: Vec<String> = (0..9).map(|i| format!("t{i} = \"/t{i}\"")).collect();
    for (lines, path, why) in [
        ("fields = { label = \"y\" }", "fields.label", "\"header:y\""),
        (
            "fields = { probabilities = \"/p\", label = \"/p/0\" }",
            "fields.label",
            "lies within",
        ),
        (
            "format = \"f32le\"\nfields = { label = \"/y\" }",
            "fields.label",
            "name a header",
        ),
        (
            "tags = { region = \"region\" }",
            "tags.region",
            "\"/region\"",
        ),
        ("tags = \"region\"", "tags", "has to be a table"),
        (
            &format!("tags = {{ {} }}", many.join(", ")),
            "tags",
            "are 9; the most is 8",
        ),
        (
            "dimensions = { overflow = \"/o\" }",
            "dimensions.overflow",
            "take another",
        ),
    ] {
        let told = problem(&format!("{lines}\n"));
        assert!(
            told.contains(&format!("models.m.{path}: ")) && told.contains(why),
            "{told}"
        );
    }
}

#[test]
fn rules_on_labels_and_tags_need_them() {
    let of = |measure: &str, more: &str| with(&format!("{more}\n{}", rule(measure)));
    let labels = "fields = { label = \"/y\" }";
    let tags = "tags = { a = \"/a\" }";
    for (measure, given, why) in [
        ("accuracy", labels, "accuracy needs labels: fields.label"),
        ("labelled", labels, "needs labels"),
        ("unknown_labels", labels, "needs labels"),
        ("estimated_accuracy_least", labels, "needs labels"),
        ("label_shift", labels, "needs labels"),
        ("segment_information", tags, "needs tags"),
    ] {
        let lines = format!("measure = \"{measure}\"\nabove = 0.5");
        let told = problems(&of(&lines, "")).join("\n");
        assert!(
            told.contains("models.m.alerts[0].measure: ") && told.contains(why),
            "{told}"
        );
        assert!(read(&of(&lines, given)).is_ok(), "{measure}");
    }
    let relative = "measure = \"accuracy\"\nbelow = \"baseline - 5%\"";
    assert!(read(&of(relative, labels)).is_ok());
    let against = "measure = \"estimated_accuracy\"\nbelow = \"baseline - 5%\"";
    let told = problems(&of(against, labels)).join("\n");
    assert!(told.contains("against the baseline itself"), "{told}");
    let classes: Vec<String> = (0..65).map(|class| format!("\"{class}\"")).collect();
    let wide = format!("{labels}\nclasses = [{}]", classes.join(", "));
    let told = problems(&of("measure = \"label_shift\"\nabove = 0.5", &wide)).join("\n");
    assert!(told.contains("over 64 classes at most"), "{told}");
}

#[test]
fn every_model_watches_what_it_refuses_and_what_it_misses() {
    let names = |text: &str| -> Vec<(String, Threshold)> {
        let rules = model(text).rules.into_iter();
        rules.map(|rule| (rule.name, rule.threshold)).collect()
    };
    let own = [("rejected", 0.05), ("lost", 0.0)];
    let own = own.map(|(name, above)| (name.to_owned(), Threshold::Absolute(above)));
    assert_eq!(names(""), own);
    let with_rule = names(&rule("measure = \"rejected_share\"\nabove = 0.5"));
    assert_eq!(with_rule[1..], own[1..]);
    assert_eq!(with_rule[0].0, "r");
}

#[test]
fn rules_that_can_never_fire_are_told() {
    let warning = |lines: &str| {
        let checked = read(&with(&format!("classes = [\"a\", \"b\"]\n{}", rule(lines)))).unwrap();
        checked
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    // Two classes have at most one bit.
    let told = warning("measure = \"entropy\"\nabove = 1");
    assert!(
        told.contains("can never fire: entropy is at most 1"),
        "{told}"
    );
    let told = warning("measure = \"confidence\"\nbelow = 0");
    assert!(told.contains("can never fire"), "{told}");
    assert_eq!(warning("measure = \"entropy\"\nabove = 0.9"), "");
    let without = "[[models.m.alerts]]\nname = \"r\"\nmeasure = \"kl\"\nabove = 1\n";
    let told = problem(without);
    assert!(told.contains("needs a baseline"), "{told}");
}

#[test]
fn topics_do_not_feed_themselves() {
    let told = problems(&with("").replace("alerts = \"a\"", "alerts = \"t\""));
    assert!(told[0].contains("it would feed itself"), "{told:?}");
    let told = problems(&with("").replace("alerts = \"a\"", "alerts = \"a\"\nwindows = \"a\""));
    assert!(
        told[0].contains("is the topic of output.alerts too"),
        "{told:?}"
    );
}

#[test]
fn a_file_that_is_not_there_is_one_problem() {
    let Problems(told) = load(Path::new("/no/such/klaxond.toml")).unwrap_err();
    let told = told[0].to_string();
    assert!(
        told.starts_with("/no/such/klaxond.toml: cannot be read"),
        "{told}"
    );
}
