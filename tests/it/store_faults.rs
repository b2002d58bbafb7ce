//! What happens to the store: a full disk, a file that is cut off or damaged, a store of a later
//! build, one that is lost and whose baselines come back from an export. The outcome is an error that
//! says what to do, or a rebuild that says why; what is published is the same.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::broker::broker;
use crate::daemon::Site;
use crate::input::{SCENE, scene, spread};
use crate::restarts::{is_as_uninterrupted, prepared};

/// Room for the log, and less than the part of its first half megabyte that a database soon has used.
const FULL: u64 = 32 << 10;

/// The scene without a baseline, which a store that is lost would take along.
fn alone() -> String {
    let drifted = SCENE
        .find("[[models.m.alerts]]\nname = \"drifted\"")
        .unwrap();
    let rule = "[[models.m.alerts]]\n\
                name = \"unsure\"\n\
                measure = \"confidence\"\n\
                below = 0.7\n\
                clear = 0.8\n";
    format!(
        "{}{rule}",
        SCENE[..drifted].replace("baseline = \"m\"\n", "")
    )
}

#[test]
fn a_full_disk_ends_it_and_with_room_again_it_goes_on() {
    let (site, records) = prepared("disk-full");
    site.create_topics(2);
    let daemon = site.start_limitable();
    broker().write(&site.input(), spread(&records[..900], 2));
    site.windows(15);
    daemon.limit_files(FULL);
    broker().write(&site.input(), spread(&records[900..], 2));
    assert_eq!(daemon.exit_code(), Some(1));
    let said = site.log();
    let why = format!(
        "the store at {} cannot be written: file too large",
        site.path("store").display()
    );
    assert!(said.contains(&why), "{said}");

    // As it is found by whoever starts it again: nothing has changed.
    let daemon = site.start_limitable();
    daemon.limit_files(FULL);
    assert_eq!(daemon.exit_code(), Some(1));

    let daemon = site.start_active();
    is_as_uninterrupted(&site, &records);
    daemon.stop();
}

/// The ways in which the database file is found, as functions of how long its written part is.
type Damage = fn(&File, u64);

/// sled makes room half a megabyte at a time, in zeros.
fn written(file: &File) -> u64 {
    let mut content = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut content, 0).unwrap();
    let last = content.iter().rposition(|byte| *byte != 0).unwrap();
    last as u64 + 1
}

fn flip(file: &File, from: u64, bytes: usize) {
    let mut content = vec![0; bytes];
    let read = file.read_at(&mut content, from).unwrap();
    content.truncate(read);
    for byte in &mut content {
        *byte ^= 0x5a;
    }
    file.write_all_at(&content, from).unwrap();
}

const DAMAGES: [(&str, Damage); 9] = [
    ("cut to nothing", |file, _| file.set_len(0).unwrap()),
    ("cut to a tenth", |file, length| {
        file.set_len(length / 10).unwrap()
    }),
    ("cut to a half", |file, length| {
        file.set_len(length / 2).unwrap()
    }),
    ("its last 2 kB cut off", |file, length| {
        file.set_len(length.saturating_sub(2_000)).unwrap();
    }),
    ("its first 4 kB damaged", |file, _| flip(file, 0, 4_096)),
    ("one byte in its first third", |file, length| {
        flip(file, length / 3, 1)
    }),
    ("1 kB in its middle", |file, length| {
        flip(file, length / 2, 1_000)
    }),
    ("1 kB near its end", |file, length| {
        flip(file, length - 3_000, 1_000)
    }),
    ("all of it damaged", |file, length| {
        flip(file, 0, length as usize)
    }),
];

#[test]
fn a_store_that_is_cut_off_or_damaged_is_told_and_shows_in_nothing_else() {
    let site = Site::new("damaged-store", &alone());
    let records = scene(60);
    site.create_topics(2);
    for (part, (how, damage)) in records.chunks(200).zip(DAMAGES) {
        let daemon = site.start_active();
        broker().write(&site.input(), spread(part, 2));
        let position = |status: &serde_json::Value| status["partitions"][0]["position"].as_u64();
        let goal = broker().end_offset(&site.input(), 0) as u64;
        crate::daemon::wait_for("the records", || {
            (position(&daemon.status()?)? == goal).then_some(())
        });
        daemon.stop();
        let db = File::options()
            .read(true)
            .write(true)
            .open(site.path("store").join("db"))
            .unwrap();
        damage(&db, written(&db));
        drop(db);
        let before = site.log().len();
        let outcome = outcome(&site, before);
        println!("{how}: {outcome}");
    }
    let daemon = site.start_active();
    is_as_uninterrupted(&site, &records);
    daemon.stop();
}

/// Starts it once; where it says that the store has to go, it goes.
fn outcome(site: &Site, before: usize) -> String {
    let daemon = site.start();
    let ended = crate::daemon::wait_for("an outcome", || match daemon.status() {
        Some(status) if status["state"] == "active" => Some(false),
        _ => site.log()[before..]
            .contains("move the directory away")
            .then_some(true),
    });
    let said = site.log()[before..].to_owned();
    if ended {
        assert_eq!(daemon.exit_code(), Some(1));
        fs::remove_dir_all(site.path("store")).unwrap();
        return "has to be moved away".to_owned();
    }
    daemon.stop();
    if said.contains("rebuilding the state from Kafka") {
        "rebuilt".to_owned()
    } else {
        assert!(said.contains("going on where it was"), "{said}");
        "goes on".to_owned()
    }
}

/// Everything that is in a store.
fn content(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let db = sled::open(path).unwrap();
    let pairs = db.iter().map(|pair| {
        let (key, value) = pair.unwrap();
        (key.to_vec(), value.to_vec())
    });
    pairs.collect()
}

fn set_format(path: &Path, format: u32) {
    let db = sled::open(path).unwrap();
    db.insert("m/format", &format.to_be_bytes()).unwrap();
    db.flush().unwrap();
}

#[test]
fn a_store_of_a_later_build_is_left_as_it_is() {
    let (site, records) = prepared("later-build");
    site.create_topics(2);
    let daemon = site.start_active();
    broker().write(&site.input(), spread(&records[..900], 2));
    site.windows(15);
    daemon.stop();
    let store = site.path("store");
    set_format(&store, 1_000);
    let before = content(&store);
    assert_eq!(site.start().exit_code(), Some(1));
    let said = site.log();
    assert!(
        said.contains(
            "has format 1000, this build reads formats up to 1: run the build that wrote it"
        ),
        "{said}"
    );
    let listed = site.run(&["baseline", "list"]);
    assert_eq!(listed.status.code(), Some(1));
    assert!(content(&store) == before, "the store has changed");
    set_format(&store, 1);
    broker().write(&site.input(), spread(&records[900..], 2));
    let daemon = site.start_active();
    is_as_uninterrupted(&site, &records);
    daemon.stop();
}

#[test]
fn a_baseline_comes_back_from_its_export_after_the_loss_of_the_store() {
    let (site, records) = prepared("restored-baseline");
    site.create_topics(2);
    let daemon = site.start_active();
    broker().write(&site.input(), spread(&records[..900], 2));
    site.windows(15);
    let export = site.done(&["baseline", "export"]);
    daemon.stop();
    fs::remove_dir_all(site.path("store")).unwrap();
    let file = site.write("export.json", &export);
    site.done(&["baseline", "import", "--input", file.to_str().unwrap()]);
    broker().write(&site.input(), spread(&records[900..], 2));
    let daemon = site.start_active();
    is_as_uninterrupted(&site, &records);
    assert_eq!(site.done(&["baseline", "export"]), export);
    daemon.stop();
}
