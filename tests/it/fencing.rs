//! Who leads, in the cases that are not a plain takeover: a transaction that the broker gives up,
//! instances that start at the same moment, one that dies again and again beside one that is well.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::broker::broker;
use crate::daemon::{Daemon, Site, wait_for};
use crate::input::{SCENE, scene, spread};
use crate::restarts::{import, is_as_uninterrupted, prepared, uninterrupted};

/// How often instances of the site have begun to lead.
fn turns(site: &Site) -> usize {
    let log = site.log();
    log.lines()
        .filter(|line| line.contains(" active partitions="))
        .count()
}

fn state(daemon: &Daemon) -> Option<String> {
    Some(daemon.status()?["state"].as_str()?.to_owned())
}

/// Events without what refused records change in them.
fn comparable(events: &[String]) -> Vec<Value> {
    let of = |event: &String| {
        let mut event: Value = serde_json::from_str(event).unwrap();
        event["measures"]["rejected_share"] = Value::Null;
        event
    };
    let events = events.iter().map(of);
    events.filter(|event| event["rule"] != "rejected").collect()
}

/// Sleeps in the middle of a publication until the broker has aborted its transaction. What it had
/// sent of it is gone, and it may not go on: it takes the state up anew.
#[test]
fn a_transaction_that_the_broker_gives_up_is_published_anew() {
    let (site, records) = prepared("given-up");
    site.set_property("transaction.timeout.ms", "3000");
    site.create_topics(2);
    let letters = site.topic("dead-letter");
    let daemon = site.start_active();
    broker().write(&site.input(), spread(&records[..900], 2));
    // Enough of what is refused for publication to take a while.
    let garbage = vec![b'{'; 8_000];
    let refused = 3_000;
    broker().write(&site.input(), vec![(0, Some(&garbage[..])); refused]);
    wait_for("a publication to interrupt", || {
        daemon.signal("STOP");
        if broker().has_open_transaction(&letters, 0) {
            return Some(());
        }
        daemon.signal("CONT");
        None
    });
    wait_for("the broker to abort it", || {
        (!broker().has_open_transaction(&letters, 0)).then_some(())
    });
    let turns_before = turns(&site);
    assert!(
        broker().read(&letters).len() < refused,
        "nothing was interrupted"
    );
    daemon.signal("CONT");
    wait_for("another turn", || {
        (turns(&site) > turns_before).then_some(())
    });
    let again = Instant::now();
    broker().write(&site.input(), spread(&records[900..], 2));
    let (windows, alerts) = uninterrupted(&site, &records);
    // The newest panes stay open.
    let published = site.windows(windows.len() - 1);
    let same = comparable(&published) == comparable(&windows[..published.len()]);
    assert!(same, "the windows differ");
    let published: Vec<String> = broker()
        .read(&site.topic("alerts"))
        .iter()
        .map(crate::broker::Seen::text)
        .collect();
    assert_eq!(comparable(&published), comparable(&alerts));
    let seen = wait_for("the dead letters", || {
        let seen = broker().read(&letters);
        (seen.len() >= refused).then_some(seen)
    });
    println!("{:?} for the rest of the dead letters", again.elapsed());
    let offsets: Vec<usize> = seen
        .iter()
        .map(|letter| letter.headers["klaxond-offset"].parse().unwrap())
        .collect();
    assert!(
        offsets.into_iter().eq(450..450 + refused),
        "each once, in order"
    );
    daemon.stop();
}

/// Three stores, one group that nobody has used yet, and several times over.
#[test]
fn of_instances_that_start_at_the_same_moment_one_leads() {
    let records = scene(20);
    let rounds: Vec<[Site; 3]> = (0..5)
        .map(|round| {
            let first = Site::new(&format!("same-moment-{round}"), SCENE);
            first.create_topics(2);
            broker().write(&first.input(), spread(&records, 2));
            let sites = [first.sibling(SCENE), first.sibling(SCENE), first];
            let file = sites[0].write("baseline.ndjson", crate::input::lines(&records[..200]));
            for site in &sites {
                site.done(&["baseline", "import", "--input", file.to_str().unwrap()]);
            }
            sites
        })
        .collect();
    let mut settled: Vec<Vec<Daemon>> = Vec::new();
    for sites in &rounds {
        let daemons: Vec<Daemon> = sites.iter().map(Site::start).collect();
        wait_for("one to lead and two to stand by", || {
            let mut states: Vec<String> = daemons.iter().map(state).collect::<Option<_>>()?;
            states.sort();
            (states == ["active", "standby", "standby"]).then_some(())
        });
        settled.push(daemons);
    }
    let of_round = |sites: &[Site; 3]| sites.each_ref().map(turns);
    let before: Vec<[usize; 3]> = rounds.iter().map(of_round).collect();
    println!("turns until settled: {before:?}");
    for turns in &before {
        assert!(turns.iter().all(|turns| *turns <= 1), "{turns:?}: in turns");
    }
    // Two beats and more of the marker.
    let until = Instant::now() + Duration::from_secs(12);
    while Instant::now() < until {
        thread::sleep(Duration::from_millis(500));
        let after: Vec<[usize; 3]> = rounds.iter().map(of_round).collect();
        assert_eq!(before, after);
    }
    for (sites, daemons) in rounds.iter().zip(&settled) {
        let states: Vec<_> = daemons.iter().map(state).collect();
        let active = states
            .iter()
            .filter(|state| state.as_deref() == Some("active"));
        assert_eq!(active.count(), 1, "{states:?}");
        is_as_uninterrupted(&sites[0], &records);
    }
}

/// An orchestrator that cannot leave well alone.
#[test]
fn one_that_dies_again_and_again_disturbs_nobody() {
    let (site, records) = prepared("crash-loop");
    site.create_topics(2);
    let other = site.sibling(SCENE);
    import(&other, &records);
    let healthy = site.start_active();
    // Whoever has published nothing yet cannot be told from one that is not there.
    broker().write(&site.input(), spread(&records[..150], 2));
    site.windows(1);
    for part in records[150..].chunks(150) {
        let dying = other.start();
        broker().write(&site.input(), spread(part, 2));
        dying.wait_until("standby");
        thread::sleep(Duration::from_secs(1));
        dying.kill();
    }
    assert_eq!((turns(&site), turns(&other)), (1, 0));
    assert_eq!(state(&healthy).as_deref(), Some("active"));
    is_as_uninterrupted(&site, &records);
    healthy.stop();
}
