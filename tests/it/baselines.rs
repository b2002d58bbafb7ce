//! `klaxond baseline`, with the daemon running and without.

use serde_json::Value;

use crate::broker::broker;
use crate::daemon::Site;
use crate::input::{SCENE, T0, lines, record, scene, spread};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

fn versions(site: &Site) -> Vec<(u64, bool)> {
    let listed = json(&site.done(&["baseline", "list", "--output", "json"]));
    let one = |info: &Value| (info["version"].as_u64().unwrap(), info["active"] == true);
    listed.as_array().unwrap().iter().map(one).collect()
}

#[test]
fn a_baseline_is_captured_from_what_the_daemon_has_seen() {
    let site = Site::new("capture", SCENE);
    site.create_topics(2);
    assert!(site.done(&["baseline", "list"]).is_empty());
    let records = scene(60);
    broker().write(&site.input(), spread(&records[..1_200], 2));
    let daemon = site.start_active();
    // Records 0 to 1199 are two minutes; the pane of the newest stays open.
    let windows = site.windows(23);
    assert_eq!(json(&windows[22])["measures"].get("kl"), None);

    // Live: history and the panes that windows still hold.
    let at = |ms: i64| jiff_text(T0 + ms);
    let (from, to) = (at(0), at(60_000));
    let range = [
        "baseline", "capture", "--from", &from, "--to", &to, "--output", "json",
    ];
    let stored = json(&site.done(&range));
    assert_eq!(
        (&stored["name"], &stored["version"]),
        (&"m".into(), &1.into())
    );
    // The first minute: 600 records, whatever of them is in history already.
    assert_eq!(
        (&stored["records"], &stored["active"]),
        (&600.into(), &true.into())
    );
    // The newest closed pane ends at 1:55, tiles are 10 s wide.
    let last = json(&site.done(&["baseline", "capture", "--last", "35s", "--output", "json"]));
    assert_eq!(
        (&last["version"], &last["records"]),
        (&2.into(), &350.into())
    );
    assert_eq!(last["active"], false, "the first one is");
    assert_eq!(versions(&site), [(1, true), (2, false)]);

    // From the next window on it is measured against.
    broker().write(&site.input(), spread(&records[1_200..1_500], 2));
    let window = json(&site.windows(28)[27]);
    assert_eq!(window["baseline"]["version"], 1);
    assert!(window["measures"]["kl"].as_f64().is_some());
    site.done(&["baseline", "activate", "--version", "2"]);
    broker().write(&site.input(), spread(&records[1_500..], 2));
    let window = json(&site.windows(33)[32]);
    assert_eq!(window["baseline"]["version"], 2);

    let refused = site.run(&["baseline", "delete", "--version", "2"]);
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        why.contains("version 2 of baseline m is the active one"),
        "{why}"
    );
    let exported = site.done(&["baseline", "export", "--version", "1"]);
    let shown = json(&site.done(&["baseline", "show", "--version", "1", "--output", "json"]));
    daemon.stop();

    // Without the daemon: the same answers.
    assert_eq!(versions(&site), [(1, false), (2, true)]);
    assert_eq!(
        site.done(&["baseline", "export", "--version", "1"]),
        exported
    );
    let again = json(&site.done(&["baseline", "show", "--version", "1", "--output", "json"]));
    assert_eq!(again, shown);
    assert_eq!(shown["records"], 600);
    let stored = json(&site.done(&range));
    assert_eq!(
        (&stored["version"], &stored["records"]),
        (&3.into(), &600.into())
    );
    site.done(&["baseline", "delete", "--version", "3"]);

    // And into another store.
    let other = site.sibling(SCENE);
    let file = other.write("export.json", &exported);
    let said = other.done(&["baseline", "import", "--input", file.to_str().unwrap()]);
    assert!(said.contains("m version 1: 600 records"), "{said}");
    assert_eq!(other.done(&["baseline", "export"]), exported);
    let sketch = other.done(&["baseline", "show"]);
    for word in [
        "m version 1",
        ", active",
        "600 records",
        "provisional",
        "no ",
        "yes",
        "█",
        "entropy",
    ] {
        assert!(sketch.contains(word), "{word}: {sketch}");
    }
}

#[test]
fn a_baseline_is_learnt_from_the_stream() {
    let learning = SCENE.replace("baseline = \"m\"", "baseline = { learn = \"30s\" }");
    let site = Site::new("learnt", &learning);
    site.create_topics(1);
    let records = scene(60);
    let daemon = site.start_active();
    broker().write(&site.input(), spread(&records[..200], 1));
    site.windows(3);
    // What has been learnt so far survives.
    daemon.kill();
    broker().write(&site.input(), spread(&records[200..600], 1));
    let daemon = site.start_active();
    let windows: Vec<Value> = site.windows(11).iter().map(|window| json(window)).collect();
    let first = windows
        .iter()
        .position(|window| window.get("baseline").is_some())
        .unwrap();
    // Windows end each 5 s; the one that ends at 30 s is the last without.
    assert_eq!(first, 6);
    let baseline = &windows[first]["baseline"];
    assert_eq!(
        (&baseline["name"], &baseline["version"]),
        (&"m".into(), &1.into())
    );
    assert_eq!(baseline["records"], 300);
    assert_eq!(baseline["provisional"], true);
    daemon.stop();
    assert_eq!(versions(&site), [(1, true)]);
}

#[test]
fn what_cannot_be_learnt_from_is_said() {
    let site = Site::new("unlearnable", SCENE);
    let file = site.write("bad.ndjson", "{}\n{}\n");
    let refused = site.run(&["baseline", "import", "--input", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        why.contains("none of the 2 records of") && why.contains("missing_field"),
        "{why}"
    );
    let refused = site.run(&["baseline", "capture", "--last", "1h"]);
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("there is no store at"), "{why}");
    // Streams are learnt too, and those of another model are not taken for ours.
    let records: Vec<String> = (0..100).map(|i| record(i, 100, &[0.5, 0.5])).collect();
    let file = site.write("good.ndjson", lines(&records));
    let refused = site.run(&[
        "baseline",
        "import",
        "--model",
        "n",
        "--input",
        file.to_str().unwrap(),
    ]);
    assert_eq!(refused.status.code(), Some(64));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        why.contains("there is no model n; the configuration has m"),
        "{why}"
    );
}

fn jiff_text(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap().to_string()
}
