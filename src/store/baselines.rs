//! Baselines by name and version.
//!
//! Versions of a name count from 1 in the order of storing; a version never changes, and its number
//! is never given again, even when it is deleted. At most one version of a name is active.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sled::Batch;

use super::{Meta, Store, StoreError, baseline_body, key};
use crate::baseline::{Baseline, Source};
use crate::observation::Millis;

pub(super) const ABOUT_FORMAT: u8 = 1;
pub(super) const VERSIONS_FORMAT: u8 = 1;

/// A baseline to store.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBaseline {
    /// Its version is assigned by the store, whatever it says.
    pub baseline: Baseline,
    /// Whether it becomes the active version of its name.
    pub activate: bool,
}

/// What lists say of a baseline version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineInfo {
    #[serde(flatten)]
    pub about: About,
    pub active: bool,
}

/// What never changes of a baseline version; stored beside it, so that a list reads no summaries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub name: String,
    pub version: u32,
    /// The model that it was learnt for.
    pub model: String,
    pub source: Source,
    pub created_ms: Millis,
    /// In the summary of the whole.
    pub records: u64,
    /// That have a summary of their own.
    pub streams: u64,
}

impl About {
    pub(super) fn of(baseline: &Baseline) -> Self {
        Self {
            name: baseline.name.clone(),
            version: baseline.version,
            model: baseline.model.clone(),
            source: baseline.source,
            created_ms: baseline.created_ms,
            records: baseline.whole.summary.records(),
            streams: baseline.streams.len() as u64,
        }
    }
}

/// That a baseline has no bytes.
pub(super) fn unwritable(detail: postcard::Error) -> StoreError {
    StoreError::Unwritable {
        what: "a baseline",
        detail,
    }
}

/// Of a name. It outlives its versions, so that their numbers are not given again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Versions {
    last: u32,
    active: Option<u32>,
}

impl Store {
    /// Stores a baseline as the next version of its name and gives the version; durable on return.
    pub fn put_baseline(&self, new: &NewBaseline) -> Result<u32, StoreError> {
        let versions =
            self.write(|meta, batch| self.add_baselines(meta, batch, std::slice::from_ref(new)))?;
        Ok(versions[0])
    }

    /// All versions of all names, in order of name and version.
    pub fn baselines(&self) -> Result<Vec<BaselineInfo>, StoreError> {
        let mut names: BTreeMap<String, Versions> = BTreeMap::new();
        let mut infos = Vec::new();
        for info_key in self.keys(key::BASELINE_INFOS)? {
            let what = || "what is known about a baseline".to_owned();
            // None: deleted by another thread just now.
            let Some(about) = self.get_value::<About>(&info_key, ABOUT_FORMAT, what)? else {
                continue;
            };
            if !names.contains_key(&about.name) {
                names.insert(about.name.clone(), self.versions(&about.name)?);
            }
            let active = names[&about.name].active == Some(about.version);
            infos.push(BaselineInfo { about, active });
        }
        infos.sort_by(|a, b| {
            (&a.about.name, a.about.version).cmp(&(&b.about.name, b.about.version))
        });
        Ok(infos)
    }

    /// None if there is no such version.
    pub fn baseline(&self, name: &str, version: u32) -> Result<Option<Baseline>, StoreError> {
        let key = key::baseline_body(name, version);
        self.get_with(&key, baseline_body::decode, || {
            format!("version {version} of baseline {name}")
        })
    }

    /// The active version of a name; None if it has none.
    pub fn active(&self, name: &str) -> Result<Option<u32>, StoreError> {
        Ok(self.versions(name)?.active)
    }

    /// Makes `version` the active one of its name; durable on return.
    pub fn activate(&self, name: &str, version: u32) -> Result<(), StoreError> {
        self.write(|_, batch| {
            let mut versions = self.existing(name, version)?;
            versions.active = Some(version);
            self.put_versions(batch, name, versions)
        })
    }

    /// Deletes a version that is not the active one; durable on return.
    pub fn delete_baseline(&self, name: &str, version: u32) -> Result<(), StoreError> {
        self.write(|meta, batch| {
            if self.existing(name, version)?.active == Some(version) {
                return Err(StoreError::ActiveBaseline {
                    name: name.to_owned(),
                    version,
                });
            }
            self.remove(batch, &key::baseline_info(name, version))?;
            self.remove(batch, &key::baseline_body(name, version))?;
            meta.baselines = meta.baselines.saturating_sub(1);
            Ok(())
        })
    }

    /// Puts baselines into a batch. Gives their versions, in their order.
    pub(super) fn add_baselines(
        &self,
        meta: &mut Meta,
        batch: &mut Batch,
        new: &[NewBaseline],
    ) -> Result<Vec<u32>, StoreError> {
        // The tree does not see what is in the batch, and a name may come twice.
        let mut names: BTreeMap<&str, Versions> = BTreeMap::new();
        let mut assigned = Vec::with_capacity(new.len());
        for NewBaseline { baseline, activate } in new {
            let name = baseline.name.as_str();
            let mut versions = match names.get(name) {
                Some(versions) => *versions,
                None => self.versions(name)?,
            };
            versions.last += 1;
            let version = versions.last;
            if *activate {
                versions.active = Some(version);
            }
            names.insert(name, versions);

            let baseline = Baseline {
                version,
                ..baseline.clone()
            };
            let about = About::of(&baseline);
            let key = key::baseline_info(name, version);
            self.put_value(
                batch,
                &key,
                ABOUT_FORMAT,
                "what is known about a baseline",
                &about,
            )?;
            let key = key::baseline_body(name, version);
            let body = baseline_body::encode(&baseline).map_err(unwritable)?;
            self.put(batch, &key, &body)?;
            meta.baselines += 1;
            assigned.push(version);
        }
        for (name, versions) in names {
            self.put_versions(batch, name, versions)?;
        }
        Ok(assigned)
    }

    /// The versions of a name of which `version` is stored.
    fn existing(&self, name: &str, version: u32) -> Result<Versions, StoreError> {
        let stored = self.db.contains_key(key::baseline_info(name, version));
        if stored.map_err(self.sled("read"))? {
            self.versions(name)
        } else {
            Err(StoreError::NoBaseline {
                name: name.to_owned(),
                version,
            })
        }
    }

    fn versions(&self, name: &str) -> Result<Versions, StoreError> {
        let key = key::baseline_versions(name);
        let stored = self.get_value(&key, VERSIONS_FORMAT, || {
            format!("the list of versions of baseline {name}")
        })?;
        Ok(stored.unwrap_or_default())
    }

    fn put_versions(
        &self,
        batch: &mut Batch,
        name: &str,
        versions: Versions,
    ) -> Result<(), StoreError> {
        let key = key::baseline_versions(name);
        self.put_value(
            batch,
            &key,
            VERSIONS_FORMAT,
            "the versions of a baseline",
            &versions,
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Dir, baseline, new_baseline};
    use super::*;
    use crate::store::body;

    fn listed(store: &Store) -> Vec<(String, u32, bool)> {
        let infos = store.baselines().unwrap();
        infos
            .into_iter()
            .map(|info| (info.about.name, info.about.version, info.active))
            .collect()
    }

    #[test]
    fn a_baseline_comes_back_as_it_was_after_reopening() {
        let dir = Dir::new();
        assert_eq!(
            dir.open().put_baseline(&new_baseline("b", false)).unwrap(),
            1
        );
        let store = dir.open();
        let stored = store.baseline("b", 1).unwrap().unwrap();
        assert_eq!(
            stored,
            Baseline {
                version: 1,
                ..baseline("b")
            }
        );
        assert_eq!(store.baseline("b", 2).unwrap(), None);
        assert_eq!(store.baseline("c", 1).unwrap(), None);
        assert_eq!(store.active("b").unwrap(), None);
        let about = About::of(&stored);
        assert_eq!((about.records, about.streams), (3, 2));
        assert_eq!(
            store.baselines().unwrap(),
            [BaselineInfo {
                about,
                active: false
            }]
        );
    }

    #[test]
    fn versions_count_by_name_and_the_list_is_in_order() {
        let dir = Dir::new();
        let store = dir.open();
        let names = ["long name", "b", "b", "a"];
        let versions = names.map(|name| store.put_baseline(&new_baseline(name, true)).unwrap());
        assert_eq!(versions, [1, 1, 2, 1]);
        let row = |name: &str, version, active| (name.to_owned(), version, active);
        assert_eq!(
            listed(&store),
            [
                row("a", 1, true),
                row("b", 1, false),
                row("b", 2, true),
                row("long name", 1, true)
            ]
        );
        store.activate("b", 1).unwrap();
        drop(store);
        assert_eq!(dir.open().active("b").unwrap(), Some(1));
    }

    #[test]
    fn a_version_number_is_never_given_again() {
        let dir = Dir::new();
        let store = dir.open();
        for activate in [true, false] {
            store.put_baseline(&new_baseline("b", activate)).unwrap();
        }
        store.delete_baseline("b", 2).unwrap();
        assert_eq!(store.baseline("b", 2).unwrap(), None);
        assert_eq!(store.put_baseline(&new_baseline("b", false)).unwrap(), 3);
        assert_eq!(listed(&store).len(), 2);
    }

    #[test]
    fn a_deleted_version_leaves_nothing_behind() {
        let dir = Dir::new();
        let store = dir.open();
        store.put_baseline(&new_baseline("b", false)).unwrap();
        assert!(store.db.scan_prefix(b"pb").count() > 1);
        store.delete_baseline("b", 1).unwrap();
        for family in ["b", "i", "p"] {
            assert_eq!(store.db.scan_prefix(family).count(), 0, "{family}");
        }
    }

    #[test]
    fn what_is_active_or_not_there_is_not_deleted() {
        let dir = Dir::new();
        let store = dir.open();
        store.put_baseline(&new_baseline("b", true)).unwrap();
        assert_eq!(
            store.delete_baseline("b", 1).unwrap_err().to_string(),
            "version 1 of baseline b is the active one: activate another first"
        );
        let error = store.delete_baseline("b", 2).unwrap_err().to_string();
        assert_eq!(error, "there is no version 2 of baseline b");
        assert!(matches!(
            store.activate("c", 1),
            Err(StoreError::NoBaseline { .. })
        ));
        // A refused write is not a failed one.
        store.put_baseline(&new_baseline("b", true)).unwrap();
        store.delete_baseline("b", 1).unwrap();
    }

    #[test]
    fn a_damaged_baseline_is_an_error_that_names_it_and_the_others_are_there() {
        let dir = Dir::new();
        let store = dir.open();
        for _ in 0..2 {
            store.put_baseline(&new_baseline("b", true)).unwrap();
        }
        store
            .db
            .remove(key::piece(&key::baseline_body("b", 1), 1))
            .unwrap();
        let said = store.baseline("b", 1).unwrap_err().to_string();
        assert!(
            said.starts_with("version 1 of baseline b cannot be read from the store: piece 1 of")
        );
        assert!(store.baseline("b", 2).unwrap().is_some());
        assert_eq!(listed(&store).len(), 2);
    }

    #[test]
    fn the_bytes_about_a_baseline_are_fixed() {
        let about = About {
            name: "b".to_owned(),
            version: 300,
            model: "m".to_owned(),
            source: Source::Captured,
            created_ms: -1,
            records: 5,
            streams: 2,
        };
        let golden = b"\x01\x01b\xac\x02\x01m\x01\x01\x05\x02";
        assert_eq!(body::encode(ABOUT_FORMAT, &about).unwrap(), golden);
        assert_eq!(body::decode::<About>(ABOUT_FORMAT, golden).unwrap(), about);
        let versions = Versions {
            last: 300,
            active: Some(2),
        };
        assert_eq!(
            body::encode(VERSIONS_FORMAT, &versions).unwrap(),
            b"\x01\xac\x02\x01\x02"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_decoded_without_a_panic(mut bytes: Vec<u8>) {
            for _ in 0..2 {
                let _ = body::decode::<About>(ABOUT_FORMAT, &bytes);
                let _ = body::decode::<Versions>(VERSIONS_FORMAT, &bytes);
                let _ = baseline_body::decode(&bytes);
                bytes.insert(0, 1);
            }
        }
    }
}
