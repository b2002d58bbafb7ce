//! The command line: exit codes, and what goes where.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::broker::broker;
use crate::daemon::{Site, klaxond};
use crate::input::{SCENE, lines, scene, spread};
use crate::restarts;

#[test]
fn help_and_version_are_no_errors() {
    let help = klaxond(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    for command in [
        "run", "demo", "check", "inspect", "baseline", "replay", "alerts",
    ] {
        assert!(help.contains(command), "{help}");
        assert_eq!(klaxond(&[command, "--help"]).status.code(), Some(0));
    }
    assert_eq!(klaxond(&["--version"]).status.code(), Some(0));
}

#[test]
fn bad_usage_and_bad_files_end_with_64() {
    for arguments in [
        &["frobnicate"][..],
        &["run"],
        &["run", "--config", "/no/such/file"],
        &["check", "--config", "/no/such/file"],
        &["replay", "--config", "/no/such/file", "--input", "-"],
    ] {
        let output = klaxond(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
    let site = Site::new("usage", SCENE);
    let file = site.write("in.ndjson", "");
    let input = file.to_str().unwrap();
    let refused = site.run(&["baseline", "capture", "--from", "2026-11-20T10:00:00Z"]);
    assert_eq!(refused.status.code(), Some(64));
    let refused = site.run(&["replay", "--input", input, "--model", "n"]);
    assert_eq!(refused.status.code(), Some(64));
    let refused = site.run(&["replay", "--input", "/no/such/file"]);
    assert_eq!(
        refused.status.code(),
        Some(1),
        "the usage is right, the file is not there"
    );
}

#[test]
fn the_daemon_s_threads_stand_back_for_others() {
    let site = Site::new("priority", SCENE);
    site.create_topics(1);
    let daemon = site.start_active();
    let level = |stat: &Path| -> i32 {
        let stat = fs::read_to_string(stat).unwrap();
        // Behind the name, which may hold spaces, the nineteenth of all is the seventeenth.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(16).unwrap().parse().unwrap()
    };
    let expected = (level(Path::new("/proc/self/stat")) + 5).min(19);
    let levels: Vec<i32> = fs::read_dir(format!("/proc/{}/task", daemon.id()))
        .unwrap()
        .map(|task| level(&task.unwrap().path().join("stat")))
        .collect();
    assert!(levels.len() > 3, "{levels:?}");
    assert!(levels.iter().all(|level| *level == expected), "{levels:?}");
    daemon.stop();
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let site = Site::new("pipe", SCENE);
    restarts::import(&site, &scene(600));
    let file = site.write("in.ndjson", lines(&scene(600)));
    let mut child = Command::new(env!("CARGO_BIN_EXE_klaxond"))
        .args(["replay", "--config"])
        .arg(site.config())
        .arg("--input")
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// The five-minute path: from a topic to an alert.
#[test]
fn inspect_prints_a_configuration_that_works() {
    let site = Site::new("inspected", SCENE);
    site.create_topics(3);
    broker().create_topics(&[
        ("klaxond.alerts", 1),
        ("klaxond.windows", 1),
        ("klaxond.dead-letter", 1),
    ]);
    broker().write(&site.input(), spread(&scene(60), 3));
    let output = klaxond(&[
        "inspect",
        "--brokers",
        &broker().address,
        "--topic",
        &site.input(),
    ]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("fields = { probabilities = \"/p\", timestamp = \"/ts\" }"),
        "{text}"
    );
    assert!(text.contains("all of them can be read"), "{text}");
    std::fs::write(
        site.config(),
        text.replace("klaxond-data", site.path("s").to_str().unwrap()),
    )
    .unwrap();
    let check = site.done(&["check"]);
    assert!(check.contains("can run"), "{check}");

    let nothing = klaxond(&[
        "inspect",
        "--brokers",
        &broker().address,
        "--topic",
        "klaxond.windows",
    ]);
    assert_eq!(nothing.status.code(), Some(1));
    let why = String::from_utf8(nothing.stderr).unwrap();
    assert!(
        why.contains("topic klaxond.windows has no records"),
        "{why}"
    );
    let missing = klaxond(&[
        "inspect",
        "--brokers",
        &broker().address,
        "--topic",
        "nowhere",
    ]);
    let why = String::from_utf8(missing.stderr).unwrap();
    assert!(why.contains("topic nowhere does not exist"), "{why}");
}
