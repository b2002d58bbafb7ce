//! What a restart changes: nothing.

use crate::broker::broker;
use crate::daemon::Site;
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
    let (windows, alerts): (Vec<&str>, Vec<&str>) = said
        .lines()
        .partition(|line| line.starts_with("{\"type\":\"window\""));
    let windows: Vec<String> = windows.iter().map(|line| untyped(line, "window")).collect();
    let alerts: Vec<String> = alerts.iter().map(|line| untyped(line, "alert")).collect();
    (windows, alerts)
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
    crate::daemon::wait_for("all records", || {
        let status = daemon.status()?;
        let model = &status["models"][0];
        let counted = model["records"].as_u64()? + model["dropped"].as_u64()?;
        (counted == records.len() as u64).then_some(())
    });
    daemon.stop();
}
