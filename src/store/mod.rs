//! What outlives the process: checkpoints, baselines and history, in one sled database.
//!
//! The problem: a kill at any moment loses nothing and repeats nothing, so whatever a step changes
//! reaches the disk together or not at all; and a damaged disk is noticed, never believed. The
//! rules:
//! - Everything is in sled's default tree. One `sled::Batch` is one atomic step, and every write is
//!   one batch, then `flush`, then fsync (sled's flush alone does not reach the disk). Only pieces of a
//!   checkpoint go before it, where nothing is that counts (`checkpoint`).
//! - Every value but the format is a `body`: in pieces of at most 4 KB, with length and checksum.
//!   Within it the content has a format byte of its own.
//! - sled panics on damage: every call into it is `guarded`, and the panic becomes an error.
//! - Damage to the end of sled's log (a truncated file, above all) goes unnoticed by sled, which opens
//!   what was there earlier, of all pages or of some. So a checkpoint's sequence is compared with the
//!   meta's, and baselines are counted. Where all went back together, the marker in Kafka tells. Lost
//!   entries of history are not noticed: that would take a scan of all of it at each start.
//! - After a failed write there are no more writes: what reached the disk is unknown until the
//!   store is opened again.
//!
//! | key | value | in |
//! | --- | --- | --- |
//! | `m/format` | u32 big-endian: the format of the whole, [`FORMAT`]; not a body, for any build to read | here |
//! | `m/meta` | identity, last checkpoint, number of baselines, bytes of history | here |
//! | `c` slot u8 | a checkpoint: its sequence and the engine's state, as opaque bytes | `checkpoint` |
//! | `v` name | a baseline's last version, and the active one | `baselines` |
//! | `i` name, version u32 | about a baseline version, for lists | `baselines` |
//! | `b` name, version u32 | a baseline version | `baselines` |
//! | `h` model, start i64, stream hash 16 B | the summary of a pane of a stream | `history` |
//! | `p` key, index u32 | piece `index` ≥ 1 of the body at `key` | `body` |
//!
//! Names and models are preceded by their length; numbers in keys sort as numbers (`key`).
//!
//! Calls block on the disk: from async code, use a blocking thread. A [`Store`] is shared by
//! reference: writes take turns, and whoever reads baselines or history does not wait for the disk.

mod baseline_body;
mod baselines;
mod body;
mod checkpoint;
mod error;
mod export;
#[cfg(fuzzing)]
pub mod fuzzing;
mod history;
mod key;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sled::{Batch, Db, IVec};
use uuid::Uuid;

pub use baselines::{About, BaselineInfo, NewBaseline};
pub use checkpoint::{Checkpoint, Content, StepWrites, Written};
pub use error::StoreError;
pub use export::{export, import};
pub use history::History;

use body::BodyError;
use error::guarded;

/// The format of the whole store. A build reads this one and refuses newer ones.
pub const FORMAT: u32 = 1;

/// Of sled's page cache, whose default is 1 GiB. Of a long checkpoint, which is only written, a part is
/// enough.
const CACHE_BYTES: u64 = 16 << 20;
/// sled's background flush, which also reclaims space: each time the rest of one segment is moved. Our
/// own writes do not wait for it.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// The most that a database file has when the process was killed before the store's first write: a
/// segment of sled. A longer one without keys is not new, it has lost them.
const UNBORN_BYTES: u64 = 512 << 10;
const META_FORMAT: u8 = 1;

/// An open store. Dropping it closes it.
pub struct Store {
    path: PathBuf,
    db: Db,
    /// For fsync: sled does not do it and does not lend its own handle.
    db_file: File,
    created: bool,
    writer: Mutex<Writer>,
}

struct Writer {
    meta: Meta,
    /// A write has begun and has not succeeded.
    failed: bool,
}

/// What is true of the store as a whole. Every write stores it anew, in its batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Meta {
    identity: [u8; 16],
    /// Of the last checkpoint; 0 before the first.
    sequence: u64,
    /// Versions of all names.
    baselines: u64,
    /// See [`Store::history_bytes`].
    history_bytes: u64,
}

impl Store {
    /// Opens the store in the directory `path`, and creates what is missing.
    ///
    /// Errors: [`StoreError::Locked`], [`StoreError::Newer`], [`StoreError::Damaged`], and
    /// [`StoreError::Io`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_flushing(path, FLUSH_EVERY)
    }

    /// As [`Self::open`], with another time between background flushes: for a benchmark whose steps do
    /// not wait for the time that they stand for.
    pub fn open_flushing(path: &Path, every: Duration) -> Result<Self, StoreError> {
        let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        let io = |action| {
            move |error| StoreError::Io {
                action,
                path: path.to_owned(),
                error,
            }
        };
        fs::create_dir_all(path).map_err(io("created"))?;
        let bytes_before = fs::metadata(path.join("db")).map_or(0, |db| db.len());
        let db = guarded(path, || {
            sled::Config::new()
                .path(path)
                .cache_capacity(CACHE_BYTES)
                .flush_every_ms(Some(every_ms))
                .open()
                .map_err(|error| StoreError::of_sled("opened", path, error))
        })?;
        let db_file = File::open(path.join("db")).map_err(io("opened"))?;
        let (stored, created) = guarded(path, || read_meta(path, &db, bytes_before))?;
        let writer = Mutex::new(Writer {
            meta: stored,
            failed: false,
        });
        let store = Self {
            path: path.to_owned(),
            db,
            db_file,
            created,
            writer,
        };
        if created {
            store.write(|_, batch| {
                batch.insert(key::FORMAT, &FORMAT.to_be_bytes());
                Ok(())
            })?;
            // The files' own entries in their directories have to last, too.
            let parent = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            for directory in [Some(path), parent].into_iter().flatten() {
                File::open(directory)
                    .and_then(|it| it.sync_all())
                    .map_err(io("created"))?;
            }
        }
        Ok(store)
    }

    /// Whether this opening found nothing and began a new store.
    pub fn created(&self) -> bool {
        self.created
    }

    /// Which store this is: random, made with the store and by [`Store::start_over`].
    pub fn identity(&self) -> Uuid {
        Uuid::from_bytes(self.writer().meta.identity)
    }

    /// Forgets the checkpoints, and makes this another store in the eyes of whoever remembers its
    /// identity; both at once, and durable on return. Baselines and history stay.
    pub fn start_over(&self) -> Result<Uuid, StoreError> {
        let identity = Uuid::new_v4();
        self.write(|meta, batch| {
            meta.identity = identity.into_bytes();
            self.remove_checkpoints(meta, batch)?;
            Ok(identity)
        })
    }

    /// Bytes of all keys and values of history. sled's log takes a multiple of it on the disk.
    pub fn history_bytes(&self) -> u64 {
        self.writer().meta.history_bytes
    }

    /// The one way to write: what `fill` puts into the batch and changes in the meta is durable
    /// together, or, after an error, not at all. An error of `fill` leaves the store as it was.
    fn write<T>(
        &self,
        fill: impl FnOnce(&mut Meta, &mut Batch) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer();
        if writer.failed {
            return Err(StoreError::WriteFailed {
                path: self.path.clone(),
            });
        }
        let mut meta = writer.meta.clone();
        let mut batch = Batch::default();
        let filled = guarded(&self.path, || {
            let filled = fill(&mut meta, &mut batch)?;
            self.put_value(
                &mut batch,
                key::META,
                META_FORMAT,
                "the store's meta",
                &meta,
            )?;
            Ok(filled)
        })?;
        writer.failed = true;
        guarded(&self.path, || {
            self.db
                .apply_batch(batch)
                .and_then(|()| self.db.flush())
                .map_err(self.sled("written"))
        })?;
        self.db_file
            .sync_all()
            .map_err(|error| self.io("written", error))?;
        writer.failed = false;
        writer.meta = meta;
        Ok(filled)
    }

    fn put(&self, batch: &mut Batch, key: &[u8], body: &[u8]) -> Result<body::Head, StoreError> {
        body::put(&self.db, batch, key, body).map_err(self.sled("read"))
    }

    fn put_value<T: Serialize>(
        &self,
        batch: &mut Batch,
        key: &[u8],
        format: u8,
        what: &'static str,
        value: &T,
    ) -> Result<body::Head, StoreError> {
        let bytes = body::encode(format, value)
            .map_err(|detail| StoreError::Unwritable { what, detail })?;
        self.put(batch, key, &bytes)
    }

    fn remove(&self, batch: &mut Batch, key: &[u8]) -> Result<(), StoreError> {
        body::remove(&self.db, batch, key).map_err(self.sled("read"))
    }

    /// The value at `key`; None if there is none. `what` names it in an error.
    fn get_value<T: DeserializeOwned>(
        &self,
        key: &[u8],
        format: u8,
        what: impl Fn() -> String,
    ) -> Result<Option<T>, StoreError> {
        self.get_with(key, |bytes| body::decode(format, bytes), what)
    }

    /// The same of what has formats of its own.
    fn get_with<T>(
        &self,
        key: &[u8],
        decode: impl Fn(&[u8]) -> Result<T, BodyError>,
        what: impl Fn() -> String,
    ) -> Result<Option<T>, StoreError> {
        guarded(&self.path, || {
            body::get(&self.db, key)
                .and_then(|bytes| bytes.map(|bytes| decode(&bytes)).transpose())
                .map_err(|error| self.unreadable(what(), error))
        })
    }

    fn keys(&self, prefix: &[u8]) -> Result<Vec<IVec>, StoreError> {
        guarded(&self.path, || {
            self.db
                .scan_prefix(prefix)
                .keys()
                .collect::<Result<_, _>>()
                .map_err(self.sled("read"))
        })
    }

    fn unreadable(&self, what: String, error: BodyError) -> StoreError {
        match error {
            BodyError::Sled(error) => StoreError::of_sled("read", &self.path, error),
            other => StoreError::Unreadable {
                what,
                detail: other.to_string(),
            },
        }
    }

    fn sled(&self, action: &'static str) -> impl Fn(sled::Error) -> StoreError {
        move |error| StoreError::of_sled(action, &self.path, error)
    }

    fn io(&self, action: &'static str, error: io::Error) -> StoreError {
        StoreError::Io {
            action,
            path: self.path.clone(),
            error,
        }
    }

    /// A panic under this lock leaves the writer as it was, or marked as failed.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The meta of the store in `db`, and whether it is a new one because nothing was there.
/// `bytes_before`: of the database file before it was opened.
fn read_meta(path: &Path, db: &Db, bytes_before: u64) -> Result<(Meta, bool), StoreError> {
    let failed = |error| StoreError::of_sled("read", path, error);
    let damaged = |detail: String| StoreError::Damaged {
        path: path.to_owned(),
        detail,
    };
    let Some(format) = db.get(key::FORMAT).map_err(failed)? else {
        if !db.is_empty() || bytes_before > UNBORN_BYTES {
            return Err(damaged("its format is missing".to_owned()));
        }
        let identity = Uuid::new_v4().into_bytes();
        return Ok((
            Meta {
                identity,
                sequence: 0,
                baselines: 0,
                history_bytes: 0,
            },
            true,
        ));
    };
    match format.as_ref().try_into().map(u32::from_be_bytes) {
        Ok(FORMAT) => {}
        Ok(found) if found > FORMAT => {
            let path = path.to_owned();
            return Err(StoreError::Newer {
                path,
                found,
                supported: FORMAT,
            });
        }
        _ => return Err(damaged(format!("its format is {format:?}"))),
    }
    let meta: Meta = match body::get(db, key::META) {
        Ok(Some(bytes)) => body::decode(META_FORMAT, &bytes)
            .map_err(|error| damaged(format!("its meta: {error}")))?,
        Ok(None) => return Err(damaged("its meta is missing".to_owned())),
        Err(BodyError::Sled(error)) => return Err(failed(error)),
        Err(error) => return Err(damaged(format!("its meta: {error}"))),
    };
    let found = db.scan_prefix(key::BASELINE_INFOS).keys().count() as u64;
    if found != meta.baselines {
        tracing::error!(
            path = %path.display(),
            found,
            expected = meta.baselines,
            "baselines are lost: restore them from their exports"
        );
    }
    Ok((meta, false))
}
