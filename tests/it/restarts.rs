//! What a restart changes: nothing.

use crate::broker::broker;
use crate::daemon::{Site, wait_for};
use crate::input::{SCENE, lines, scene, spread};
use crate::reference::untyped;

/// A site whose store has a baseline: the scene's first act.
pub fn prepared(name: &str) -> (Site, Vec<String>) {
    let site = Site::new(name, SCENE);
    let records = scene(60);
    import(&site, &records);
    (site, records)
}

pub fn import(site: &Site, records: &[String]) {
    let file = site.write("baseline.ndjson", lines(&records[..600]));
    site.done(&["baseline", "import", "--input", file.to_str().unwrap()]);
}

/// What a run without interruption says: windows and alerts.
pub fn uninterrupted(site: &Site, records: &[String]) -> (Vec<String>, Vec<String>) {
    let file = site.write("all.ndjson", lines(records));
    let said = site.done(&["replay", "--input", file.to_str().unwrap()]);
    let of_type = |kind: &str| -> Vec<String> {
        let head = format!("{{\"type\":\"{kind}\",");
        let lines = said.lines().filter(|line| line.starts_with(&head));
        lines.map(|line| untyped(line, kind)).collect()
    };
    (of_type("window"), of_type("alert"))
}

/// What has been published is the beginning of what an uninterrupted run says, and nothing is said
/// twice. (The newest panes stay open, as no partition is idle.)
pub fn is_as_uninterrupted(site: &Site, records: &[String]) {
    let (windows, alerts) = uninterrupted(site, records);
    let published = site.windows(windows.len() - 1);
    assert_eq!(published, windows[..published.len()]);
    let topic = broker().read(&site.topic("alerts"));
    let topic: Vec<String> = topic.iter().map(crate::broker::Seen::text).collect();
    assert_eq!(topic, alerts);
    assert!(alerts.len() >= 4, "two rules fire and resolve");
}

#[test]
fn clean_restarts_go_on_where_they_were() {
    let (site, records) = prepared("clean-restarts");
    site.create_topics(2);
    for part in records.chunks(500) {
        let daemon = site.start_active();
        broker().write(&site.input(), spread(part, 2));
        daemon.stop();
    }
    let daemon = site.start_active();
    is_as_uninterrupted(&site, &records);
    daemon.stop();
    // Lag tools work: everything that was read is committed.
    let positions = broker().positions(&site.name, &site.input(), 2);
    assert_eq!(positions, [Some(900), Some(900)]);
}

#[test]
fn kills_lose_nothing_and_repeat_nothing() {
    let (site, records) = prepared("kills");
    site.create_topics(2);
    for (i, part) in records.chunks(300).enumerate() {
        let daemon = site.start_active();
        broker().write(&site.input(), spread(part, 2));
        // At different moments: from at once to after the windows are out.
        std::thread::sleep(std::time::Duration::from_millis(i as u64 * 40));
        daemon.kill();
    }
    let daemon = site.start_active();
    is_as_uninterrupted(&site, &records);
    daemon.stop();
}

#[test]
fn partitions_that_are_added_are_read_from_their_beginning() {
    let (site, records) = prepared("added-partitions");
    site.create_topics(1);
    let daemon = site.start_active();
    broker().write(&site.input(), spread(&records[..900], 1));
    site.windows(10);
    broker().set_partitions(&site.input(), 2);
    broker().write(&site.input(), spread(&records[900..], 2));
    // Found by looking, which takes up to 20 s. By then the other partition is far ahead: most of
    // what waited is too late for every window, and is counted as that.
    wait_for("all records", || {
        let status = daemon.status()?;
        let model = &status["models"][0];
        let counted = model["records"].as_u64()? + model["dropped"].as_u64()?;
        (counted == records.len() as u64).then_some(())
    });
    daemon.stop();
}

/// What retention takes before it is read is said, with its number; what is left is read.
#[test]
fn records_that_are_gone_are_counted_and_an_alert_of_their_own() {
    let (site, records) = prepared("gap");
    site.create_topics(1);
    broker().write(&site.input(), spread(&records[..600], 1));
    let daemon = site.start_active();
    site.windows(11);
    daemon.stop();
    broker().write(&site.input(), spread(&records[600..], 1));
    broker().delete_before(&site.input(), 0, 1_000);
    let daemon = site.start_active();
    let event = wait_for("the alert", || {
        let seen = broker().read(&site.topic("alerts"));
        let found = seen.iter().map(crate::broker::Seen::json);
        found.into_iter().find(|event| event["rule"] == "lost")
    });
    assert_eq!(
        (&event["status"], &event["value"]),
        (&"firing".into(), &400.0.into())
    );
    assert_eq!(event["severity"], "critical");
    let (_, metrics) = daemon.get("/metrics").unwrap();
    assert!(
        metrics.contains("klaxond_lost_records_total 400\n"),
        "{metrics}"
    );
    wait_for("the rest", || {
        let status = daemon.status()?;
        (status["partitions"][0]["position"] == 1_800 && status["models"][0]["records"] == 1_400)
            .then_some(())
    });
    daemon.stop();
}

#[test]
fn a_topic_that_was_made_anew_is_read_from_its_beginning() {
    let (site, records) = prepared("anew");
    site.create_topics(1);
    broker().write(&site.input(), spread(&records[..900], 1));
    let daemon = site.start_active();
    site.windows(16);
    daemon.stop();
    broker().delete_topic(&site.input());
    wait_for("the topic's end", || {
        let topics = [(site.input(), 1)];
        let topics: Vec<(&str, i32)> = topics.iter().map(|(t, p)| (t.as_str(), *p)).collect();
        broker().try_create_topics(&topics).then_some(())
    });
    broker().write(&site.input(), spread(&records[900..1_200], 1));
    let daemon = site.start_active();
    wait_for("the new records", || {
        let status = daemon.status()?;
        (status["partitions"][0]["position"] == 300 && status["models"][0]["records"] == 1_200)
            .then_some(())
    });
    assert!(site.log().contains("it was made anew"), "{}", site.log());
    daemon.stop();
}

/// The store is lost when records have been read, and no window has closed yet.
#[test]
fn a_store_that_is_lost_early_loses_no_record() {
    let (site, records) = prepared("early-loss");
    site.create_topics(2);
    let of = |wanted: i32, range: std::ops::Range<usize>| {
        let records = &records;
        range
            .filter(move |i| *i as i32 % 2 == wanted)
            .map(move |i| {
                let ts = crate::input::T0 + i as i64 * 100;
                (wanted, Some(records[i].as_bytes()), Some(ts))
            })
    };
    broker().write_at(&site.input(), of(0, 0..200));
    let daemon = site.start_active();
    wait_for("what there is", || {
        (daemon.status()?["partitions"][0]["position"] == 100).then_some(())
    });
    daemon.stop();
    std::fs::remove_dir_all(site.path("store")).unwrap();
    import(&site, &records);
    broker().write_at(&site.input(), of(1, 0..200));
    for partition in [0, 1] {
        broker().write_at(&site.input(), of(partition, 200..records.len()));
    }
    let daemon = site.start_active();
    is_as_uninterrupted(&site, &records);
    daemon.stop();
}
