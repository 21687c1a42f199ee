//! Comparing the mount, and the files on disk, with the model.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rustix::io::Errno;
use serde_json::Value;

use crate::common::{
    METADATA, STORES, disk_name, file_name, mime_type, names, staged, wait_until, xattr,
};
use crate::expected::Place;
use crate::run::{Run, shown};
use crate::writers::whole;

impl Run {
    /// A record and the listing of its store.
    #[track_caller]
    pub(crate) fn check(&mut self, place: &Place) {
        self.check_listing(&place.0);
        self.check_value_on_disk(place);
        let path = self.path(place);
        let opened = File::open(&path);
        let Some(expected) = self.model.shown(place) else {
            let errno = opened.as_ref().err().and_then(Errno::from_io_error);
            assert_eq!(errno, Some(Errno::NOENT), "{place:?} is not there: {opened:?}");
            return;
        };
        let seen = whole(&opened.unwrap_or_else(|error| panic!("{place:?}: {error}")));
        if self.model.is_made_twice(place) {
            let record = self.model.record(place).unwrap();
            assert!(seen == expected || seen == record.bytes, "{place:?} is {}", shown(&seen));
            return;
        }
        assert!(seen == expected, "{place:?} is {}, not {}", shown(&seen), shown(expected));
        let new = self.model.new_record(place).map(|session| (session.mode, &session.set_type));
        if let Some((mode, set_type)) = new {
            self.check_stat(place, expected.len(), mode);
            let known = xattr(&path, "user.mime_type").ok();
            assert_eq!(known, *set_type, "type of {place:?}, which is being made");
            return;
        }
        let record = self.model.record(place).unwrap();
        if !record.by_sdk {
            self.check_stat(place, expected.len(), record.mode);
        }
        let content_type = mime_type(&path);
        let types = &record.types;
        assert!(
            types.is_empty() || types.contains(&content_type),
            "{place:?} is {content_type}, not {types:?}"
        );
        self.model.record_mut(place).unwrap().types = vec![content_type];
    }

    /// On disk there is what is published, and nothing else.
    #[track_caller]
    fn check_value_on_disk(&self, place: &Place) {
        match self.model.record(place) {
            None => {
                assert!(!self.value_path(place).exists(), "{place:?} is not on disk");
                assert!(!self.sidecar_path(place).exists(), "{place:?} has no sidecar on disk");
            }
            Some(record) => {
                let on_disk = fs::read(self.value_path(place)).unwrap();
                assert!(on_disk == record.bytes, "{place:?} on disk is {}", shown(&on_disk));
            }
        }
    }

    #[track_caller]
    fn check_stat(&self, place: &Place, len: usize, mode: Option<u32>) {
        let stat = fs::metadata(self.path(place)).unwrap();
        assert_eq!(stat.len(), len as u64, "stat of {place:?}");
        if let Some(mode) = mode {
            assert_eq!(stat.permissions().mode() & 0o777, mode, "mode of {place:?}");
        }
    }

    /// The names in a store.
    #[track_caller]
    pub(crate) fn check_listing(&self, store: &str) {
        let path = self.mount().store(store);
        if !self.model.stores.contains_key(store) {
            let listed = fs::read_dir(&path);
            assert!(listed.is_err(), "store {store:?} is not there");
            return;
        }
        let keys = self.model.shown_keys(store);
        let mut expected: BTreeSet<String> = keys.iter().map(|key| file_name(key)).collect();
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
        let of_store = |store: &String| {
            let keys = self.model.shown_keys(store).into_iter();
            keys.map(|key| (store.clone(), key)).collect::<Vec<Place>>()
        };
        let places: Vec<Place> = self.model.stores.keys().flat_map(of_store).collect();
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
        let left = staged(&self.storage.path());
        assert!(left.is_empty(), "files are left in .storefs: {left:?}");
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
        wait_until("what a dead daemon left is gone", || staged(&self.storage.path()).is_empty());
    }
}
