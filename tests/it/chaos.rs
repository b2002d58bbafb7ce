//! Everything is killed, again and again, and nothing of it shows in what is published.
//!
//! `KLAXOND_CHAOS_ROUNDS` (30) says how often something happens, `KLAXOND_CHAOS_SEED` (1948) what.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::time::Duration;

use crate::broker::{Broker, Seen};
use crate::daemon::{Daemon, Site, wait_for};
use crate::input::{SCENE, T0};
use crate::restarts::{import, uninterrupted};

const PARTITIONS: i32 = 4;
/// Records written in each round: twenty seconds of event time.
const BATCH: usize = 200;
const EVERY_MS: i64 = 100;

fn setting(name: &str, default: u64) -> u64 {
    env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

/// Steele and Vigna's splitmix64: any seed will do.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Acts of fifteen seconds, healthy and bad in turn; one record in fifty is refused.
fn records(count: usize, random: &mut Random) -> Vec<String> {
    let record = |i: usize| {
        let ts = T0 + i as i64 * EVERY_MS;
        let bad = i >= 600 && (i / 150) % 2 == 1;
        let p = if bad {
            0.3 + 0.3 * random.unit()
        } else {
            0.02 + 0.1 * random.unit()
        };
        let rest = if random.below(50) == 0 { 2.0 } else { 1.0 - p };
        format!("{{\"p\":[{rest},{p}],\"ts\":{ts}}}")
    };
    (0..count).map(record).collect()
}

/// What happens between two batches.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Kill,
    Stop,
    /// Ended, and its store lost.
    LoseStore,
    KillBroker,
    PauseBroker,
}

fn blow(random: &mut Random) -> Blow {
    match random.below(20) {
        0..11 => Blow::Kill,
        11..14 => Blow::Stop,
        14..17 => Blow::LoseStore,
        17..19 => Blow::KillBroker,
        _ => Blow::PauseBroker,
    }
}

struct Stage {
    broker: Broker,
    site: Site,
    records: Vec<String>,
}

impl Stage {
    fn new(name: &str, rounds: usize, random: &mut Random) -> Self {
        let broker = Broker::start();
        let site = Site::on(&broker.address, name, SCENE);
        broker.create_topics(&[
            (&site.input(), PARTITIONS),
            (&site.topic("alerts"), 1),
            (&site.topic("windows"), 1),
            (&site.topic("dead-letter"), 1),
        ]);
        let records = records((rounds + 1) * BATCH, random);
        import(&site, &records);
        Self {
            broker,
            site,
            records,
        }
    }

    fn write(&self, round: usize) {
        let first = round * BATCH;
        let batch = self.records[first..first + BATCH]
            .iter()
            .enumerate()
            .map(|(i, record)| {
                let at = first + i;
                let partition = (at as i32) % PARTITIONS;
                (
                    partition,
                    Some(record.as_bytes()),
                    Some(T0 + at as i64 * EVERY_MS),
                )
            });
        self.broker.write_at(&self.site.input(), batch);
    }

    fn lose_store(&self) {
        let _ = fs::remove_dir_all(self.site.path("store"));
        import(&self.site, &self.records);
    }

    fn read(&self, what: &str) -> Vec<Seen> {
        self.broker.read(&self.site.topic(what))
    }

    /// Everything has been read, and what has been published is what a run without blows says.
    fn check(&self, daemon: &Daemon) {
        let per_partition = self.records.len() / PARTITIONS as usize;
        wait_for("all records", || {
            let status = daemon.status()?;
            let partitions = status["partitions"].as_array()?;
            let read = |partition: &serde_json::Value| partition["position"] == per_partition;
            (partitions.len() == PARTITIONS as usize && partitions.iter().all(read)).then_some(())
        });
        let (windows, alerts) = uninterrupted(&self.site, &self.records);
        // The newest pane stays open.
        let windows = &windows[..windows.len() - 1];
        let published = wait_for("all windows", || {
            let seen = self.read("windows");
            (seen.len() >= windows.len()).then_some(seen)
        });
        same("windows", &texts(&published), windows);
        let end = |event: &String| {
            let event: serde_json::Value = serde_json::from_str(event).unwrap();
            event["window"]["end"].as_str().unwrap().to_owned()
        };
        let last = end(&windows[windows.len() - 1]);
        let alerts: Vec<String> = alerts
            .into_iter()
            .filter(|alert| end(alert) <= last)
            .collect();
        same("alerts", &texts(&self.read("alerts")), &alerts);
        let mut refused: BTreeMap<(String, String), usize> = BTreeMap::new();
        for letter in self.read("dead-letter") {
            let place = |name: &str| letter.headers[name].clone();
            let place = (place("klaxond-partition"), place("klaxond-offset"));
            *refused.entry(place).or_default() += 1;
        }
        assert!(
            refused.values().all(|count| *count == 1),
            "letters twice: {refused:?}"
        );
        let expected: BTreeSet<(String, String)> = self
            .records
            .iter()
            .enumerate()
            .filter(|(_, record)| record.contains("[2,"))
            .map(|(i, _)| (i % PARTITIONS as usize, i / PARTITIONS as usize))
            .map(|(partition, offset)| (partition.to_string(), offset.to_string()))
            .collect();
        assert!(!expected.is_empty());
        let refused: BTreeSet<(String, String)> = refused.into_keys().collect();
        let differ: Vec<_> = refused.symmetric_difference(&expected).collect();
        assert!(
            differ.is_empty(),
            "letters that are missing, or too many: {differ:?}"
        );
    }
}

fn texts(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(Seen::text).collect()
}

/// Says the first difference only.
fn same(what: &str, published: &[String], expected: &[String]) {
    for (at, (published, expected)) in published.iter().zip(expected).enumerate() {
        assert_eq!(published, expected, "{what}, number {at}");
    }
    assert_eq!(published.len(), expected.len(), "number of {what}");
}

#[test]
fn blows_of_all_kinds_leave_no_trace() {
    let rounds = setting("KLAXOND_CHAOS_ROUNDS", 30) as usize;
    let seed = setting("KLAXOND_CHAOS_SEED", 1_948);
    let mut random = Random(seed);
    let mut stage = Stage::new("chaos", rounds, &mut random);
    let mut blows = Vec::new();
    let mut daemon = stage.site.start();
    for round in 0..rounds {
        stage.write(round);
        let blow = blow(&mut random);
        blows.push(blow);
        // At any moment, from before it has read the first record to long after the last.
        std::thread::sleep(Duration::from_millis(random.below(700)));
        match blow {
            Blow::Kill => {
                daemon.kill();
                daemon = stage.site.start();
            }
            Blow::Stop => {
                daemon.stop();
                daemon = stage.site.start();
            }
            Blow::LoseStore => {
                // Released, so that there is no half minute to wait; the state is lost all the same.
                daemon.wait_until("active");
                daemon.stop();
                stage.lose_store();
                daemon = stage.site.start();
            }
            Blow::KillBroker => {
                stage
                    .broker
                    .kill_and_restart(Duration::from_millis(random.below(2_000)));
            }
            Blow::PauseBroker => {
                stage.broker.signal("STOP");
                std::thread::sleep(Duration::from_millis(random.below(8_000)));
                stage.broker.signal("CONT");
            }
        }
    }
    stage.write(rounds);
    daemon.wait_until("active");
    println!("seed {seed}: {blows:?}");
    stage.check(&daemon);
    daemon.stop();
}

/// Three instances of one group, under load: whoever is active is killed or frozen, and comes back.
#[test]
fn instances_that_take_over_from_each_other_leave_no_trace() {
    let rounds = 3;
    let mut random = Random(setting("KLAXOND_CHAOS_SEED", 1_948));
    let stage = Stage::new("trio", 2 * rounds + 1, &mut random);
    let sites = [stage.site.sibling(SCENE), stage.site.sibling(SCENE)];
    for site in &sites {
        import(site, &stage.records);
    }
    let all = [&stage.site, &sites[0], &sites[1]];
    let mut daemons = all.map(Site::start);
    let is_active = |daemon: &Daemon| daemon.status().is_some_and(|s| s["state"] == "active");
    for round in 0..rounds {
        let first = wait_for("an active instance", || daemons.iter().position(is_active));
        stage.write(2 * round);
        std::thread::sleep(Duration::from_millis(random.below(500)));
        let kill = round % 2 == 0;
        daemons[first].signal(if kill { "KILL" } else { "STOP" });
        wait_for("a successor", || {
            (0..3).find(|&i| i != first && is_active(&daemons[i]))
        });
        stage.write(2 * round + 1);
        if kill {
            // Its store is as it was, and another has gone on since.
            daemons[first] = all[first].start();
        } else {
            daemons[first].signal("CONT");
        }
        daemons[first].wait_until("standby");
    }
    stage.write(2 * rounds);
    stage.write(2 * rounds + 1);
    let last = wait_for("an active instance", || daemons.iter().position(is_active));
    stage.check(&daemons[last]);
}
