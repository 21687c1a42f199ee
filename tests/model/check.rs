//! Comparing the mount, and the files on disk, with the model.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::io::Errno;
use serde_json::Value;

use crate::common::{METADATA, STORES, disk_name, file_name, mime_type, names, wait_until};
use crate::expected::Place;
use crate::run::{Run, shown};
use crate::writers::read_at;

impl Run {
    /// A record and the listing of its store.
    #[track_caller]
    pub(crate) fn check(&mut self, place: &Place) {
        self.check_listing(&place.0);
        let path = self.path(place);
        let opened = File::open(&path);
        let Some(record) = self.model.record(place) else {
            let errno = opened.as_ref().err().and_then(Errno::from_io_error);
            assert_eq!(errno, Some(Errno::NOENT), "{place:?} is not there: {opened:?}");
            assert!(!self.value_path(place).exists(), "{place:?} is not on disk");
            assert!(!self.sidecar_path(place).exists(), "{place:?} has no sidecar on disk");
            return;
        };
        let expected = &record.bytes;
        let file = opened.unwrap_or_else(|error| panic!("{place:?}: {error}"));
        assert_eq!(file.metadata().unwrap().len(), expected.len() as u64, "length of {place:?}");
        let mut seen = vec![0; expected.len() + 1];
        let count = read_at(&file, &mut seen, 0);
        seen.truncate(count);
        assert!(seen == *expected, "{place:?} is {}, not {}", shown(&seen), shown(expected));
        let on_disk = fs::read(self.value_path(place)).unwrap();
        assert!(on_disk == *expected, "{place:?} on disk is {}", shown(&on_disk));
        if !record.by_sdk {
            let stat = fs::metadata(&path).unwrap();
            assert_eq!(stat.len(), expected.len() as u64, "stat of {place:?}");
            if let Some(mode) = record.mode {
                assert_eq!(stat.permissions().mode() & 0o777, mode, "mode of {place:?}");
            }
        }
        let content_type = mime_type(&path);
        let types = &record.types;
        assert!(
            types.is_empty() || types.contains(&content_type),
            "{place:?} is {content_type}, not {types:?}"
        );
        self.model.record_mut(place).unwrap().types = vec![content_type];
    }

    /// The names in a store.
    #[track_caller]
    pub(crate) fn check_listing(&self, store: &str) {
        let path = self.mount().store(store);
        let Some(records) = self.model.stores.get(store) else {
            let listed = fs::read_dir(&path);
            assert!(listed.is_err(), "store {store:?} is not there");
            return;
        };
        let mut expected: BTreeSet<String> = records.keys().map(|key| file_name(key)).collect();
        expected.insert(METADATA.to_owned());
        assert_eq!(names(&path), expected, "listing of {store:?}");
    }

    /// The names of the stores.
    #[track_caller]
    pub(crate) fn check_stores(&self) {
        let expected: BTreeSet<String> = self.model.stores.keys().cloned().collect();
        assert_eq!(names(&self.mount().stores()), expected, "the stores");
    }

    #[track_caller]
    pub(crate) fn check_all(&mut self) {
        self.check_stores();
        let of_store = |(store, records): (&String, &std::collections::BTreeMap<String, _>)| {
            records.keys().map(|key| (store.clone(), key.clone())).collect::<Vec<Place>>()
        };
        let places: Vec<Place> = self.model.stores.iter().flat_map(of_store).collect();
        for place in places {
            self.check(&place);
        }
    }

    /// What is on disk when nothing is mounted: the values, sidecars that agree with them, the metadata, and
    /// nothing else.
    #[track_caller]
    pub(crate) fn check_disk(&self) {
        for (store, records) in &self.model.stores {
            let mut expected = BTreeSet::from([METADATA.to_owned()]);
            for (key, record) in records {
                let place = (store.clone(), key.clone());
                expected.insert(disk_name(key));
                let value = fs::read(self.value_path(&place)).unwrap();
                assert!(value == record.bytes, "{place:?} on disk is {}", shown(&value));
                if record.bare {
                    continue;
                }
                expected.insert(format!("{}.{METADATA}", disk_name(key)));
                let sidecar = fs::read(self.sidecar_path(&place)).unwrap();
                let sidecar: Value = serde_json::from_slice(&sidecar).unwrap();
                assert_eq!(sidecar["key"], **key, "{place:?}");
                assert_eq!(sidecar["size"], record.bytes.len(), "{place:?}");
                let content_type = sidecar["contentType"].as_str().unwrap().to_owned();
                assert!(
                    record.types.is_empty() || record.types.contains(&content_type),
                    "{place:?} is {content_type} on disk, not {:?}",
                    record.types
                );
            }
            assert_eq!(names(&self.storage.store(store)), expected, "{store:?} on disk");
            let metadata = fs::read(self.storage.store(store).join(METADATA)).unwrap();
            let metadata: Value = serde_json::from_slice(&metadata).unwrap();
            let name = if store == "default" { Value::Null } else { store.as_str().into() };
            assert_eq!(metadata["name"], name, "name of {store:?}");
        }
        let on_disk = names(&self.storage.path().join(STORES));
        let expected: BTreeSet<String> = self.model.stores.keys().cloned().collect();
        assert_eq!(on_disk, expected, "stores on disk");
        let left = files_under(&self.storage.path().join(".storefs"));
        assert_eq!(left, 0, "files are left in .storefs");
    }

    /// The number of a record's value file.
    pub(crate) fn disk_inode(&self, place: &Place) -> Option<u64> {
        fs::metadata(self.value_path(place)).ok().map(|stat| stat.ino())
    }

    /// Waits until the version that the model has is on disk, in another file than before.
    pub(crate) fn await_publish(&self, place: &Place, before: Option<u64>) {
        let expected = &self.model.record(place).unwrap().bytes;
        wait_until("a record that was only made or emptied is published", || {
            let published = self.disk_inode(place) != before
                && fs::read(self.value_path(place)).is_ok_and(|bytes| bytes == *expected);
            let sidecar = fs::read(self.sidecar_path(place)).unwrap_or_default();
            let sidecar: Value = serde_json::from_slice(&sidecar).unwrap_or_default();
            published && sidecar["size"] == expected.len()
        });
    }

    /// Waits until nothing of a dead daemon is left, which goes in the background.
    pub(crate) fn await_healing(&self) {
        let own = self.storage.path().join(".storefs");
        wait_until("what a dead daemon left is gone", || files_under(&own) == 0);
    }
}

/// Files, not directories, anywhere under a directory; some may go while this looks.
fn files_under(dir: &Path) -> usize {
    let Ok(listed) = fs::read_dir(dir) else { return 0 };
    let count = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files_under(&entry.path()),
        Ok(_) => 1,
        Err(_) => 0,
    };
    listed.flatten().map(count).sum()
}
