//! The store as a whole: opening, locking, damage, size.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::testing::{Dir, entry, new_baseline};
use super::*;

/// A store with checkpoints, a baseline and some history, closed.
fn filled() -> Dir {
    let dir = Dir::new();
    let store = dir.open();
    store.put_baseline(&new_baseline("b", true)).unwrap();
    for i in 0..4 {
        let history = vec![entry("m", &"x".repeat(9_000), i, i + 1)];
        let step = StepWrites {
            history,
            ..StepWrites::default()
        };
        store
            .write_checkpoint(&vec![i as u8; 300_000], &step)
            .unwrap();
    }
    drop(store);
    dir.wait_until_closed();
    dir
}

fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.metadata().unwrap() {
            it if it.is_dir() => size(&entry.path()),
            it => it.len(),
        })
        .sum()
}

#[test]
fn a_store_keeps_its_identity_and_checkpoints_until_it_starts_over() {
    let dir = Dir::new();
    let store = dir.open();
    assert!(store.created());
    let first = store.identity();
    drop(store);
    let store = dir.open();
    assert!(!store.created());
    assert_eq!(store.identity(), first);
    let step = StepWrites::default();
    store.write_checkpoint(&[1; 50_000], &step).unwrap();
    store.write_checkpoint(&[2; 50_000], &step).unwrap();
    store.put_baseline(&new_baseline("kept", true)).unwrap();
    let second = store.start_over().unwrap();
    assert_ne!(second, first);
    drop(store);
    let store = dir.open();
    assert_eq!(store.identity(), second);
    assert_eq!(store.read_checkpoint().unwrap(), None);
    assert_eq!(store.active("kept").unwrap(), Some(1));
    store.write_checkpoint(&[3; 10], &step).unwrap();
    let checkpoint = store.read_checkpoint().unwrap().unwrap();
    assert_eq!((checkpoint.sequence, checkpoint.fell_back), (1, None));
}

#[test]
fn after_a_failed_write_there_are_reads_and_no_writes() {
    let dir = filled();
    let store = dir.open();
    store.writer().failed = true;
    let error = store.start_over().unwrap_err();
    assert!(matches!(error, StoreError::WriteFailed { .. }), "{error}");
    assert!(store.read_checkpoint().unwrap().is_some());
    drop(store);
    dir.open().start_over().unwrap();
}

#[test]
fn missing_directories_are_created() {
    let dir = Dir::new();
    let path = dir.0.path().join("a/b");
    Store::open(&path).unwrap();
    assert!(path.join("db").exists());
}

#[test]
fn a_second_opening_is_refused() {
    let dir = Dir::new();
    let _store = dir.open();
    let error = Store::open(dir.0.path()).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&dir.0.path().display().to_string())
    );
}

#[test]
fn a_path_that_is_a_file_is_an_io_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Store::open(file.path()).map(|_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Io {
                action: "created",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_newer_format_is_refused() {
    let dir = filled();
    let store = dir.open();
    store
        .db
        .insert(key::FORMAT, &(FORMAT + 1).to_be_bytes())
        .unwrap();
    drop(store);
    let error = dir.try_open().map(|_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Newer {
                found: 2,
                supported: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn the_format_and_the_meta_keep_their_bytes() {
    let dir = Dir::new();
    let store = dir.open();
    store.write_checkpoint(b"", &StepWrites::default()).unwrap();
    assert_eq!(store.db.get(b"m/format").unwrap().unwrap(), [0, 0, 0, 1]);
    let body = body::get(&store.db, b"m/meta").unwrap().unwrap();
    let identity = store.identity().into_bytes();
    assert_eq!(body, [&[1], identity.as_slice(), &[1, 0, 0]].concat());
}

#[test]
fn a_store_without_its_format_or_meta_is_damaged() {
    for key in [key::FORMAT, key::META] {
        let dir = filled();
        let store = dir.open();
        store.db.remove(key).unwrap();
        drop(store);
        let error = dir.try_open().map(|_| ()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(
            error.to_string().contains("move the directory away"),
            "{error}"
        );
    }
}

/// Opens what is left of a [`filled`] store and reads everything: errors are fine, and so are
/// values of an earlier step, but not a panic or a value that was never written. True if everything was there.
fn read_all(dir: &Dir) -> bool {
    let Ok(store) = dir.try_open() else {
        return false;
    };
    let mut whole = !store.created();
    match store.read_checkpoint() {
        Ok(Some(checkpoint)) => {
            let expected = vec![checkpoint.sequence as u8 - 1; 300_000];
            assert!(
                checkpoint.state == expected,
                "state of {}",
                checkpoint.sequence
            );
            whole &= checkpoint.sequence == 4 && checkpoint.fell_back.is_none();
        }
        Ok(None) | Err(_) => whole = false,
    }
    match store.baseline("b", 1) {
        Ok(Some(found)) => assert_eq!(found.name, "b"),
        Ok(None) | Err(_) => whole = false,
    }
    whole &= store.baselines().is_ok_and(|infos| infos.len() == 1);
    let history: Vec<_> = store.history("m", 0, 100).collect();
    for entry in history.iter().flatten() {
        assert_eq!(entry.end_ms, entry.start_ms + 1);
    }
    whole && history.len() == 4 && history.iter().all(Result::is_ok)
}

#[test]
fn a_damaged_file_gives_errors_or_what_was_written_earlier() {
    let original = filled();
    let copy = |dir: &Dir| {
        for entry in fs::read_dir(original.0.path()).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), dir.0.path().join(entry.file_name())).unwrap();
            }
        }
        fs::read(dir.0.path().join("db")).unwrap()
    };
    let whole = Dir::new();
    let length = copy(&whole).len();
    assert!(read_all(&whole), "the copy is whole before it is damaged");
    let mut harmed = 0;
    for step in 0..40 {
        let at = length * step / 40;
        let truncated = Dir::new();
        let bytes = copy(&truncated);
        fs::write(truncated.0.path().join("db"), &bytes[..at]).unwrap();
        harmed += u32::from(!read_all(&truncated));

        let overwritten = Dir::new();
        let mut bytes = copy(&overwritten);
        let end = (at + 20_000).min(length);
        bytes[at..end].fill(0xa5);
        fs::write(overwritten.0.path().join("db"), &bytes).unwrap();
        harmed += u32::from(!read_all(&overwritten));
    }
    assert!(
        harmed >= 50,
        "only {harmed} of 80 damages were noticed: they miss the data"
    );
}

#[test]
fn a_long_file_that_holds_nothing_is_damaged_and_not_a_new_store() {
    let dir = filled();
    fs::write(dir.0.path().join("db"), vec![0xa5; 2 << 20]).unwrap();
    let error = dir.try_open().map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn an_opening_that_was_killed_before_the_first_write_can_be_repeated() {
    let dir = Dir::new();
    drop(sled::open(dir.0.path()).unwrap());
    assert!(dir.open().created());
}

#[test]
fn checkpoints_do_not_fill_the_disk() {
    let dir = Dir::new();
    let store = dir.open();
    for i in 0..500_u32 {
        let state: Vec<u8> = (0..100_000)
            .flat_map(|j: u32| (i ^ j).to_le_bytes())
            .collect();
        store
            .write_checkpoint(&state, &StepWrites::default())
            .unwrap();
    }
    let bytes = size(dir.0.path());
    assert!(
        bytes < 16 << 20,
        "{bytes} bytes for three checkpoints of 400 kB"
    );
    assert_eq!(fs::read_dir(dir.0.path().join("blobs")).unwrap().count(), 0);
}

#[test]
fn history_that_is_trimmed_gives_its_space_back() {
    let dir = Dir::new();
    let store = dir.open();
    for i in 0..300_i64 {
        let history = (0..10)
            .map(|j| entry("m", &format!("{j:05000}"), i * 10, i * 10 + 10))
            .collect();
        let step = StepWrites {
            history,
            ..StepWrites::default()
        };
        store.write_checkpoint(b"", &step).unwrap();
        store.trim_history(i * 10 - 200, 1_000_000).unwrap();
    }
    assert!(store.history_bytes() <= 1_000_000);
    let bytes = size(dir.0.path());
    assert!(bytes < 16 << 20, "{bytes} bytes for 1 MB of history");
}

#[test]
fn threads_read_while_one_writes() {
    let dir = Dir::new();
    let store = dir.open();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0..100_i64 {
                let history = vec![entry("m", &"x".repeat(20_000), i % 3, 10 + i)];
                let step = StepWrites {
                    history,
                    ..StepWrites::default()
                };
                store.write_checkpoint(&[0; 50_000], &step).unwrap();
                store.trim_history(i % 3, u64::MAX).unwrap();
            }
        });
        while !writer.is_finished() {
            for entry in store.history("m", 0, 1_000) {
                entry.unwrap();
            }
        }
    });
}

/// Not a test: what [`a_killed_writer_leaves_whole_steps`] starts as a process of its own, and kills.
#[test]
#[ignore = "writes until it is killed"]
fn write_until_killed() {
    let Some(path) = std::env::var_os("KLAXOND_TEST_STORE") else {
        return;
    };
    let store = Store::open(Path::new(&path)).unwrap();
    loop {
        let next = store
            .read_checkpoint()
            .unwrap()
            .map_or(1, |it| it.sequence + 1);
        let at = next as i64;
        let step = StepWrites {
            history: vec![entry("m", &"x".repeat(9_000), at, at + 1)],
            baselines: vec![new_baseline("b", true)],
        };
        store
            .write_checkpoint(&vec![next as u8; 200_000], &step)
            .unwrap();
        println!("wrote {next}");
    }
}

#[test]
fn a_killed_writer_leaves_whole_steps() {
    let dir = Dir::new();
    let mut written = 0;
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::tests::write_until_killed",
                "--ignored",
                "--nocapture",
            ])
            .env("KLAXOND_TEST_STORE", dir.0.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let mut reported = || {
            let text = lines.find_map(|line| line.strip_prefix("wrote ").map(str::to_owned));
            text.map(|text| text.parse::<u64>().unwrap())
        };
        // Killed at once after a report, the next write is at another place in each round.
        let mut last = (0..=round).map_while(|_| reported()).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        last = std::iter::from_fn(reported).last().unwrap_or(last);
        assert!(last > written, "each round writes");
        written = last;

        let store = dir.open();
        let found = store.read_checkpoint().unwrap().unwrap();
        let sequence = found.sequence;
        assert!(
            sequence == last || sequence == last + 1,
            "{sequence} after {last}"
        );
        assert_eq!(found.fell_back, None);
        assert!(found.state == vec![sequence as u8; 200_000]);
        assert_eq!(
            store
                .history("m", 0, i64::MAX)
                .filter(Result::is_ok)
                .count() as u64,
            sequence
        );
        assert_eq!(store.active("b").unwrap().map(u64::from), Some(sequence));
        assert_eq!(store.baselines().unwrap().len() as u64, sequence);
    }
}
