use std::path::Path;

use super::*;
use crate::alert::budget::Period;
use crate::alert::rule::{Scope, Threshold};
use crate::decode::{DimensionSource, Format, Kind};
use crate::engine::spec::{BaselineSpec, Rate, ReviewLine, ReviewSpec};
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

#[test]
fn kinds_that_are_more_than_a_distribution() {
    let kind = |text: &str| model(text).decoder.kind;
    assert_eq!(kind("kind = \"multilabel\"\n"), Kind::Multilabel);
    let ensemble = Kind::Ensemble {
        members: Some(5),
        max_members: 1_000,
    };
    let raw = "format = \"f32le\"\nkind = \"ensemble\"\n";
    assert_eq!(kind(&format!("{raw}members = 5\n")), ensemble);
    let nested =
        model("kind = \"ensemble\"\nfields = { members = \"/m\" }\nlimits = { members = 7 }\n");
    assert_eq!(nested.decoder.probabilities.as_deref(), Some("/m"));
    let ensemble = Kind::Ensemble {
        members: None,
        max_members: 7,
    };
    assert_eq!(nested.decoder.kind, ensemble);
    let top_k = "kind = \"top_k\"\nvocabulary = 128256\n";
    let tokens = model(&format!("{top_k}fields = {{ tokens = \"/t\" }}\n"));
    assert_eq!(tokens.decoder.probabilities.as_deref(), Some("/t"));
    let vocabulary = 128_256;
    let max_tokens = 100_000;
    assert_eq!(
        tokens.decoder.kind,
        Kind::TopK {
            vocabulary,
            max_tokens
        }
    );
    for (text, why) in [
        (raw, "models.m.members: is missing"),
        ("kind = \"ensemble\"\nmembers = 5\n", "in raw floats"),
        ("members = 5\n", "in raw floats"),
        ("kind = \"top_k\"\n", "models.m.vocabulary: is missing"),
        ("vocabulary = 5\n", "is for kind = \"top_k\""),
        (&format!("{top_k}format = \"f32le\"\n"), "from JSON only"),
        (&format!("{top_k}classes = [\"a\"]\n"), "it has tokens"),
        (
            "fields = { members = \"/m\" }\n",
            "is for kind = \"ensemble\"",
        ),
        ("fields = { tokens = \"/m\" }\n", "is for kind = \"top_k\""),
        (
            &format!("{top_k}fields = {{ probabilities = \"/m\" }}\n"),
            "is \"tokens\" for",
        ),
        ("kind = \"entropy\"\n", "is none of \"probabilities\""),
    ] {
        let told = problem(text);
        assert!(told.contains(why), "{text}: {told}");
    }
}

/// A rule on what a kind does not have could never fire.
#[test]
fn measures_are_those_of_the_kind() {
    let rule = |kind: &str, measure: &str| {
        let model = format!("kind = \"{kind}\"\n");
        let model = match kind {
            "top_k" => format!("{model}vocabulary = 16\n"),
            _ => model,
        };
        let alert = format!("name = \"r\"\nmeasure = \"{measure}\"\nabove = 1.5\n");
        with(&format!(
            "{model}baseline = \"b\"\n[[models.m.alerts]]\n{alert}"
        ))
    };
    for (kind, measure) in [
        ("ensemble", "disagreement"),
        ("ensemble", "kl"),
        ("multilabel", "kl"),
        ("top_k", "entropy"),
        ("top_k", "token_entropy_most"),
    ] {
        let checked = read(&rule(kind, measure)).unwrap();
        assert_eq!(checked.warnings, [], "{kind} {measure}");
    }
    for (kind, measure, why) in [
        ("probabilities", "disagreement", "needs kind = \"ensemble\""),
        ("multilabel", "token_entropy", "needs kind = \"top_k\""),
        (
            "multilabel",
            "perplexity",
            "does not exist for kind = \"multilabel\"",
        ),
        ("top_k", "kl", "does not exist for kind = \"top_k\""),
    ] {
        let told = problems(&rule(kind, measure));
        assert!(told.len() == 1 && told[0].contains(why), "{told:?}");
    }
    // Of a vocabulary of 16 no token has more than 4 bits.
    let text = rule("top_k", "entropy").replace("above = 1.5", "above = 4");
    let warning = read(&text).unwrap().warnings.remove(0).to_string();
    assert!(warning.contains("is at most 4"), "{warning}");
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
            "measure = \"evidence\"\nabove = 13",
            "give false_alarms instead",
        ),
    ] {
        let told = problem(&rule(lines));
        assert!(told.contains(why), "{lines}: {told}");
    }
}

#[test]
fn a_budget_of_false_alarms_is_a_rule_without_a_line() {
    let budgets = |lines: &str| model(&rule(lines)).budgets;
    let budget =
        budgets("false_alarms = \"2 per 30d\"\nwatch = [\"kl\"]\nscope = \"whole\"").remove(0);
    assert_eq!((budget.allowance.alarms, budget.is_shared), (2, false));
    assert_eq!(budget.allowance.period, Period::Time(30 * 24 * 3_600_000));
    assert!(budget.watch.kl && !budget.watch.entropy && !budget.watch.classes);
    assert_eq!(budget.scope, Scope::Whole);
    let names: Vec<String> = model("").rules.into_iter().map(|rule| rule.name).collect();
    assert_eq!(names, ["rejected", "lost"]);
    for (lines, why) in [
        ("false_alarms = \"often\"", "is no budget of false alarms"),
        (
            "false_alarms = \"1 per 30d\"\nabove = 3",
            "cannot stand beside false_alarms",
        ),
        (
            "false_alarms = \"1 per 30d\"\nfor = \"1m\"",
            "cannot stand beside false_alarms",
        ),
        (
            "false_alarms = \"1 per 1 windows\"",
            "more than an alarm every 2 windows",
        ),
        (
            "false_alarms = \"1 per 30d\"\nwatch = [\"entropi\"]",
            "did you mean \"entropy\"?",
        ),
        ("false_alarms = \"1 per 30d\"\nwatch = []", "is empty"),
    ] {
        let told = problem(&rule(lines));
        assert!(told.contains(why), "{lines}: {told}");
    }
    let bare = "[[models.m.alerts]]\nname = \"r\"\nfalse_alarms = \"1 per 30d\"";
    assert!(problem(bare).contains("needs a baseline"));
    let counted = with(&rule("false_alarms = \"1 per 30d\"")).replace(
        "length = \"5m\", slide = \"10s\"",
        "records = 5000, slide = 500",
    );
    assert!(problems(&counted)[0].contains("give it in windows"));
}

#[test]
fn the_budget_of_the_defaults_is_every_model_s_that_has_none() {
    let shared = |model: &str| {
        let text = format!(
            "{}\n[defaults]\nfalse_alarms = \"1 per 30d\"\n",
            with(model)
        );
        let checked = read(&text).unwrap();
        let budgets = checked.config.models[0].budgets.clone();
        let budgets: Vec<_> = budgets.into_iter().map(|b| (b.name, b.is_shared)).collect();
        (budgets, checked.warnings.len())
    };
    let changed = |name: &str, is_shared| vec![(name.to_owned(), is_shared)];
    assert_eq!(shared("baseline = \"b\""), (changed("changed", true), 0));
    let own = rule("false_alarms = \"1 per 7d\"");
    assert_eq!(shared(&own), (changed("r", false), 0));
    assert_eq!(shared(""), (Vec::new(), 1));
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
            "kind = \"multilabel\"\nfields = { label = \"/y\" }",
            "fields.label",
            "distributions over classes",
        ),
        (
            "kind = \"multilabel\"\ntags = { a = \"/a\" }",
            "tags",
            "distributions over classes",
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
fn what_is_referred_has_a_line_a_rate_and_a_topic() {
    let text = |review: &str| {
        let text = with(&format!(
            "baseline = \"b\"\nclasses = [\"a\", \"b\"]\nreview = {review}\n"
        ));
        text.replace("alerts = \"a\"", "alerts = \"a\"\nreview = \"r\"")
    };
    let of = |review: &str| read(&text(review)).unwrap().config.models[0].review;
    let spec = |line, records, period_ms| {
        let rate = Rate { records, period_ms };
        Some(ReviewSpec { line, rate })
    };
    let above = ReviewLine::Above(0.7);
    assert_eq!(of("{ above = 0.7 }"), spec(above, 10, 60_000));
    assert_eq!(
        of("{ above = 0.7, rate = \"200 per 24h\" }"),
        spec(above, 200, 86_400_000)
    );
    assert_eq!(
        of("{ quantile = 0.99, rate = \"1 per 1s\" }"),
        spec(ReviewLine::Quantile(0.99), 1, 1_000)
    );
    assert_eq!(model("").review, None);
    for (review, path, why) in [
        ("{}", "models.m.review: ", "needs a line"),
        (
            "{ above = 0.7, quantile = 0.9 }",
            ".quantile: ",
            "beside above",
        ),
        ("{ above = -1 }", "review.above: ", "at least 0"),
        ("{ above = inf }", "review.above: ", "number"),
        ("{ quantile = 1 }", "review.quantile: ", "between 0 and 1"),
        ("{ above = 0.7, rate = 10 }", "review.rate: ", "a string"),
        ("{ above = 0.7, rate = \"10/m\" }", ".rate: ", "10 per 1m"),
        (
            "{ above = 0.7, rate = \"0 per 1m\" }",
            ".rate: ",
            "1 to 1000",
        ),
        (
            "{ above = 0.7, rate = \"1 per 2d\" }",
            ".rate: ",
            "1s to 1d",
        ),
        ("{ above = 0.7, below = 1 }", "review.below: ", "not a key"),
    ] {
        let told = problems(&text(review));
        assert_eq!(told.len(), 1, "{review}: {told:?}");
        assert!(told[0].contains(path) && told[0].contains(why), "{told:?}");
    }
    let told = problem("review = { above = 0.7 }\n");
    assert!(
        told.contains("models.m.review") && told.contains("set output.review"),
        "{told}"
    );
    let without = text("{ quantile = 0.9 }").replace("baseline = \"b\"", "");
    assert!(problems(&without)[0].contains("it needs a baseline"));

    let warnings = |text: &str| -> Vec<String> {
        let warnings = read(text).unwrap().warnings;
        warnings.iter().map(ToString::to_string).collect()
    };
    assert_eq!(warnings(&text("{ above = 0.7 }")), Vec::<String>::new());
    let told = warnings(&text("{ above = 1 }"));
    assert!(
        told[0].contains("entropy of a record is at most 1"),
        "{told:?}"
    );
    let told = warnings(&text("{ above = 0.7 }").replace("review = {", "# {"));
    assert!(
        told[0].contains("output.review") && told[0].contains("stays empty"),
        "{told:?}"
    );
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
