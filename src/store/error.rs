//! What can go wrong in the store, in words that say what to do.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("another process has the store at {} open", path.display())]
    Locked { path: PathBuf },
    #[error(
        "the store at {} has format {found}, this build reads formats up to {supported}: run the \
         build that wrote it, or move the directory away to begin a new store",
        path.display()
    )]
    Newer {
        path: PathBuf,
        found: u32,
        supported: u32,
    },
    /// The database as a whole: nothing more can be expected of it.
    #[error(
        "the store at {} is damaged ({detail}): move the directory away and start again; the state \
         is rebuilt from Kafka, baselines are restored from their exports",
        path.display()
    )]
    Damaged { path: PathBuf, detail: String },
    /// The store works, and none of its checkpoints can be read.
    #[error(
        "no checkpoint in the store at {} can be read ({detail}): the state has to be rebuilt from \
         Kafka",
        path.display()
    )]
    CheckpointLost { path: PathBuf, detail: String },
    /// One value; the others are as good as ever.
    #[error("{what} cannot be read from the store: {detail}")]
    Unreadable { what: String, detail: String },
    #[error("{what} cannot be put into bytes: {detail}")]
    Unwritable {
        what: &'static str,
        detail: postcard::Error,
    },
    #[error("the store at {} cannot be {action}: {error}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    /// What reached the disk is unknown until the store is opened again.
    #[error("the store at {} takes no more writes because one failed: restart", path.display())]
    WriteFailed { path: PathBuf },
    #[error("there is no version {version} of baseline {name}")]
    NoBaseline { name: String, version: u32 },
    #[error("version {version} of baseline {name} is the active one: activate another first")]
    ActiveBaseline { name: String, version: u32 },
    #[error("not a baseline export: {detail}")]
    NotAnExport { detail: String },
}

impl StoreError {
    /// `action` completes "the store cannot be …".
    pub(super) fn of_sled(action: &'static str, path: &Path, error: sled::Error) -> Self {
        let path = path.to_owned();
        match error {
            // sled wraps the refused lock in an error of kind Other; only its text tells.
            sled::Error::Io(error)
                if error.to_string().starts_with("could not acquire lock")
                    && error.to_string().contains("WouldBlock") =>
            {
                Self::Locked { path }
            }
            sled::Error::Io(error) => Self::Io {
                action,
                path,
                error: plain(error),
            },
            other => Self::Damaged {
                path,
                detail: other.to_string(),
            },
        }
    }
}

/// sled hands a copy of an error around that has the debug text of the first inside: its kind is what
/// a person can read.
fn plain(error: io::Error) -> io::Error {
    if error.get_ref().is_some() && error.kind() != io::ErrorKind::Other {
        return error.kind().into();
    }
    error
}

/// Runs `work` and turns a panic into [`StoreError::Damaged`]: sled panics on damaged files, at
/// open and wherever it first reads the damage. The panic's own message still goes to stderr,
/// because hiding it would take the hook away from every other thread.
pub(super) fn guarded<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // No state of ours is left half changed: a writer stays marked as failed (see `Store::write`).
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(StoreError::Damaged {
            path: path.to_owned(),
            detail: panic_text(&*panic),
        })
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given");
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_in_words() {
        // The form that sled gives to its copies of an error.
        let first = io::Error::from_raw_os_error(28);
        let copy = io::Error::new(first.kind(), format!("{first:?}"));
        let error = StoreError::of_sled("written", Path::new("/data"), sled::Error::Io(copy));
        assert_eq!(
            error.to_string(),
            "the store at /data cannot be written: no storage space"
        );
    }

    #[test]
    fn a_panic_becomes_an_error_that_says_what_to_do() {
        for work in [|| panic!("at page 7"), || panic!("at page {}", 7)] {
            let error = guarded::<()>(Path::new("/data"), work).unwrap_err();
            let said = error.to_string();
            assert!(
                said.starts_with("the store at /data is damaged (at page 7): move the directory"),
                "{said}"
            );
        }
    }
}
