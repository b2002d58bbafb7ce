//! `klaxond replay`: what it says, by hand.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::daemon::Site;

/// Windows of four seconds, of a model of this format; without a broker in sight.
fn site(name: &str, model: &str) -> Site {
    let text = format!(
        "[models.m]\ntopics = [\"TOPIC\"]\nlateness = \"0s\"\n\
         window = {{ length = \"4s\", slide = \"2s\" }}\n{model}"
    );
    Site::new(name, &text)
}

fn events(said: &str) -> Vec<Value> {
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_window_by_hand() {
    let site = site(
        "by-hand",
        "fields = { probabilities = \"/p\", timestamp = \"/ts\" }\n",
    );
    // Four records a second apart, entropies 1, 0, 1 and 2·¼·2 + ½·1 = 1.5 bits, of which the last
    // has three classes and is refused.
    let file = site.write(
        "in.ndjson",
        "{\"p\":[0.5,0.5],\"ts\":\"2026-11-20T10:00:00Z\"}\n\
         {\"p\":[1,0],\"ts\":\"2026-11-20T10:00:01Z\"}\n\
         {\"p\":[0.5,0.5],\"ts\":\"2026-11-20T10:00:02Z\"}\n\
         {\"p\":[0.25,0.25,0.5],\"ts\":\"2026-11-20T10:00:03Z\"}\n",
    );
    let said = site.done(&["replay", "--input", file.to_str().unwrap()]);
    let first = said.lines().next().unwrap();
    // Of panes [0 s, 2 s): records 1 and 2. Mean (0.75, 0.25): its entropy is
    // 0.75·log2(4/3) + 0.25·2 = 0.811278 bits.
    let head = "{\"type\":\"window\",\"model\":\"m\",\"stream\":{},\"window\":{\
                \"start\":\"2026-11-20T09:59:58.000Z\",\"end\":\"2026-11-20T10:00:02.000Z\",\
                \"records\":2,\"late\":0,\"complete\":false},\"measures\":{";
    let rejected = "{\"type\":\"rejected\",\"reason\":\"class_mismatch\",\"line\":4}";
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.contains(&rejected), "{said}");
    let windows: Vec<&&str> = lines
        .iter()
        .filter(|line| line.contains("\"window\""))
        .collect();
    assert!(windows[0].starts_with(head), "{first}");
    let window: Value = serde_json::from_str(windows[0]).unwrap();
    let measures = &window["measures"];
    let close = |name: &str, expected: f64| {
        let found = measures[name].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-6, "{name}: {found}");
    };
    close("entropy", 0.5);
    close("marginal_entropy", 0.811_278);
    close("information", 0.311_278);
    close("confidence", 0.75);
    close("margin", 0.5);
    assert_eq!(measures["records"], 2);
    let second: Value = serde_json::from_str(windows[1]).unwrap();
    assert_eq!(second["window"]["records"], 3);
    assert_eq!(second["window"]["complete"], true);
    // One of four records was refused.
    assert_eq!(second["measures"]["rejected_share"], 0.25);
    assert_eq!(windows.len(), 2);
    let again = site.done(&["replay", "--input", file.to_str().unwrap()]);
    assert_eq!(again, said, "same bytes in, same bytes out");
}

/// Every kind and format that says the distribution (¼, ¾): 0.811278 bits.
#[test]
fn every_kind_says_the_same() {
    let le32 = |values: [f32; 2]| {
        values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let le64 = |values: [f64; 2]| {
        values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let three = 3.0_f64.ln();
    let json = |text: String| format!("{text}\n").into_bytes();
    let cases: [(&str, Vec<u8>); 8] = [
        ("", json("{\"probabilities\":[0.25,0.75]}".to_owned())),
        (
            "fields = { probabilities = \"/y\" }",
            json("{\"y\":{\"b\":0.75,\"a\":0.25}}".to_owned()),
        ),
        (
            "kind = \"logits\"",
            json(format!("{{\"probabilities\":[5,{}]}}", 5.0 + three)),
        ),
        (
            "kind = \"log_probabilities\"",
            json(format!(
                "{{\"probabilities\":[{},{}]}}",
                0.25_f64.ln(),
                0.75_f64.ln()
            )),
        ),
        (
            "kind = \"binary\"\nfields = { probabilities = \"/p\" }",
            json("{\"p\":0.75}".to_owned()),
        ),
        (
            "format = \"f32le\"\nclasses = [\"a\", \"b\"]",
            le32([0.25, 0.75]),
        ),
        (
            "format = \"f64le\"\nclasses = [\"a\", \"b\"]",
            le64([0.25, 0.75]),
        ),
        (
            "format = \"f64le\"\nkind = \"logits\"\nclasses = [\"a\", \"b\"]",
            le64([-1.0, -1.0 + three]),
        ),
    ];
    for (i, (model, record)) in cases.iter().enumerate() {
        let site = site(&format!("kind-{i}"), &format!("{model}\n"));
        let file = site.write("in", record.repeat(4));
        let said = site.done(&[
            "replay",
            "--input",
            file.to_str().unwrap(),
            "--start",
            "2026-11-20T10:00:00Z",
            "--every",
            "1s",
        ]);
        let events = events(&said);
        assert_eq!(events.len(), 2, "{model}: {said}");
        let entropy = events[1]["measures"]["entropy"].as_f64().unwrap();
        assert!((entropy - 0.811_278).abs() < 1e-5, "{model}: {entropy}");
        assert_eq!(events[1]["window"]["records"], 4);
    }
}

#[test]
fn stdin_streams_and_a_baseline_from_a_file() {
    let site = site(
        "stdin",
        "fields = { probabilities = \"/p\", timestamp = \"/ts\" }\n\
         dimensions = { country = \"/c\" }\nbaseline = \"b\"\n\
         [[models.m.alerts]]\nname = \"moved\"\nmeasure = \"kl\"\nabove = 0.1\nmin_records = 1\n\
         scope = \"whole\"\n",
    );
    let record = |i: i64, p: f64, country: &str| {
        let ts = crate::input::T0 + i * 500;
        format!(
            "{{\"p\":[{p},{}],\"c\":\"{country}\",\"ts\":{ts}}}\n",
            1.0 - p
        )
    };
    let healthy: String = (0..40)
        .map(|i| record(i, 0.75, ["DE", "FR"][i as usize % 2]))
        .collect();
    let moved: String = (0..40)
        .map(|i| record(i, 0.25, ["DE", "FR"][i as usize % 2]))
        .collect();
    let baseline = site.write("healthy.ndjson", healthy);
    let input = site.write("moved.ndjson", moved);
    let output = Command::new(env!("CARGO_BIN_EXE_klaxond"))
        .args(["replay", "--input", "-", "--baseline-input"])
        .arg(baseline)
        .arg("--config")
        .arg(site.config())
        .stdin(Stdio::from(std::fs::File::open(input).unwrap()))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let events = events(&String::from_utf8(output.stdout).unwrap());
    let countries: std::collections::BTreeSet<String> = events
        .iter()
        .map(|event| event["stream"].to_string())
        .collect();
    let expected = ["{\"country\":\"DE\"}", "{\"country\":\"FR\"}", "{}"];
    assert_eq!(countries.into_iter().collect::<Vec<_>>(), expected);
    // D((¼,¾)‖q) with q = ((30, 10) + ¼) / 40.5 = (0.746914, 0.253086), by hand: 0.780692 bits.
    let window = events
        .iter()
        .find(|event| event["stream"] == serde_json::json!({}))
        .unwrap();
    let kl = window["measures"]["kl"].as_f64().unwrap();
    assert!((kl - 0.780_692).abs() < 1e-6, "{kl}");
    let alerts: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "alert")
        .collect();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0]["stream"], serde_json::json!({}));
    assert!(!site.path("store").exists(), "replay writes nothing");
}

#[test]
fn windows_by_count() {
    let text = "[models.m]\ntopics = [\"TOPIC\"]\nlateness = \"0s\"\n\
                fields = { probabilities = \"/p\", timestamp = \"/ts\" }\n\
                window = { records = 30, slide = 10, slice = \"1s\" }\n";
    let site = Site::new("count", text);
    // Four records a second: a pane is three seconds (the first to hold ten), twelve records.
    let records: Vec<String> = (0..96)
        .map(|i| crate::input::record(i, 250, &[0.5, 0.5]))
        .collect();
    let file = site.write("in.ndjson", crate::input::lines(&records));
    let events = events(&site.done(&["replay", "--input", file.to_str().unwrap()]));
    let counts: Vec<u64> = events
        .iter()
        .map(|event| event["window"]["records"].as_u64().unwrap())
        .collect();
    // The least run of panes with at least thirty: three.
    assert_eq!(counts, [12, 24, 36, 36, 36, 36, 36, 36]);
    assert_eq!(events[2]["window"]["complete"], true);
    assert_eq!(events[1]["window"]["complete"], false);
}

#[test]
fn a_model_that_takes_kafkas_time_needs_one() {
    let site = site("no-time", "");
    let file = site.write("in.ndjson", "{\"probabilities\":[0.5,0.5]}\n");
    let refused = site.run(&["replay", "--input", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(64));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("--start and --every"), "{why}");
}

/// Records that are more than one distribution, a good one and bad ones, by hand.
///
/// - Members (1, 0) and (1/2, 1/2): their mean (3/4, 1/4) has 0.811278 bits, of which they have 0.5
///   by themselves.
/// - Labels 1/4 and 1/2: 0.811278 + 1 bits.
/// - Half and a quarter known of ten tokens: 1.5 bits, and a quarter of log2 8 more.
#[test]
fn kinds_that_are_more_than_a_distribution() {
    let (half, quarter) = (0.5_f64.ln(), 0.25_f64.ln());
    let token = format!("{{\"a\":{half},\"b\":{quarter},\"c\":-9999.0}}");
    let cases = [
        (
            "kind = \"ensemble\"",
            "{\"members\":[[1,0],[0.5,0.5]]}".to_owned(),
            "{\"members\":[[1,0],[0.5,0.4]]}",
            "sum_off",
            [("entropy", 0.811_278), ("disagreement", 0.311_278)],
        ),
        (
            "kind = \"multilabel\"",
            "{\"probs\":{\"x\":0.25,\"y\":0.5}}".to_owned(),
            "{\"probs\":{\"x\":0.25,\"z\":0.5}}",
            "class_mismatch",
            [("entropy", 1.811_278), ("entropy_normalized", 0.905_639)],
        ),
        (
            "kind = \"top_k\"\nvocabulary = 10",
            format!("{{\"choices\":[{{\"logprobs\":{{\"top_logprobs\":[{token}]}}}}]}}"),
            "{\"choices\":[{\"logprobs\":null}]}",
            "missing_field",
            [("token_entropy", 1.5), ("token_entropy_most", 2.25)],
        ),
    ];
    for (i, (model, good, bad, reason, expected)) in cases.iter().enumerate() {
        let site = site(&format!("nested-{i}"), &format!("{model}\n"));
        let file = site.write("in.ndjson", format!("{good}\n{bad}\n{good}\n"));
        let file = file.to_str().unwrap();
        let (start, every) = ("2026-11-20T10:00:00Z", "500ms");
        let args = [
            "replay", "--input", file, "--start", start, "--every", every,
        ];
        let events = events(&site.done(&args));
        let of = |kind: &'static str| events.iter().filter(move |e| e["type"] == kind);
        let refused: Vec<&Value> = of("rejected").map(|event| &event["reason"]).collect();
        assert_eq!(refused, [reason], "{model}");
        let window = of("window").next().unwrap();
        assert_eq!(window["window"]["records"], 2);
        for (name, value) in expected {
            let found = window["measures"][name].as_f64().unwrap();
            assert!((found - value).abs() < 1e-6, "{model} {name}: {found}");
        }
    }
}
