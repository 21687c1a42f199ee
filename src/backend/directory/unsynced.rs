//! What this process has put into the stores and nobody has made durable yet (P5).
//!
//! A close publishes without making durable. A later fsync, of the record or of its store's directory, must make
//! up for that, and knows the store alone.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;
use rustix::io::Errno;

use super::DirectoryBackend;
use super::layout;
use super::tree::{self, Identity, StoreDir};
use crate::model::{Error, Key, Result, StoreName};

/// So many records of a store are made durable one by one; if there are more, all that the disk has to write is
/// written.
const ONE_BY_ONE: usize = 256;

/// The stores of a storage; leaf locks.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    records: Mutex<HashMap<StoreName, Names>>,
    /// The directories that are stores durably, with their metadata.
    places: Mutex<HashMap<StoreName, Identity>>,
}

/// Disk names of values, or too many of them.
#[derive(Debug)]
enum Names {
    These(BTreeSet<Vec<u8>>),
    Many,
}

impl Names {
    fn add(&mut self, name: Vec<u8>) {
        if let Self::These(names) = self {
            names.insert(name);
            if names.len() > ONE_BY_ONE {
                *self = Self::Many;
            }
        }
    }

    fn add_all(&mut self, other: Self) {
        match other {
            Self::These(names) => names.into_iter().for_each(|name| self.add(name)),
            Self::Many => *self = Self::Many,
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Unsynced {
    /// A value or its sidecar is new under this name.
    pub(super) fn note(&self, store: &StoreName, value_name: &[u8]) {
        self.give_back(store, Names::These(BTreeSet::from([value_name.to_vec()])));
    }

    /// The record of this name is durable, value and sidecar.
    pub(super) fn is_durable(&self, store: &StoreName, value_name: &[u8]) {
        if let Some(Names::These(names)) = self.records.lock().get_mut(store) {
            names.remove(value_name);
        }
    }

    /// A store's directory has got another name.
    pub(super) fn rename_store(&self, from: &StoreName, to: &StoreName) {
        let mut places = self.places.lock();
        places.remove(from);
        places.remove(to);
        drop(places);
        let moved = self.records.lock().remove(from);
        if let Some(names) = moved {
            self.give_back(to, names);
        }
    }

    /// A store is no more.
    pub(super) fn forget_store(&self, store: &StoreName) {
        self.places.lock().remove(store);
        self.records.lock().remove(store);
    }

    fn give_back(&self, store: &StoreName, names: Names) {
        self.records.lock().entry(store.clone()).or_default().add_all(names);
    }
}

impl DirectoryBackend {
    /// Makes durable what this process has put into a store, and the store itself.
    pub(super) fn sync_directory(&self, dir: &StoreDir) -> Result<()> {
        let names = self.shared.unsynced.records.lock().remove(&dir.name).unwrap_or_default();
        let synced = match &names {
            Names::Many => rustix::fs::syncfs(&dir.fd).map_err(|error| dir.not_durable(error)),
            Names::These(names) => names.iter().try_for_each(|name| {
                sync_file(dir, name)?;
                sync_file(dir, &layout::sidecar_of(name))
            }),
        };
        let synced = synced
            .and_then(|()| self.sync_place(dir))
            .and_then(|()| rustix::fs::fsync(&dir.fd).map_err(|error| dir.not_durable(error)));
        if synced.is_err() {
            self.shared.unsynced.give_back(&dir.name, names);
        }
        synced
    }

    /// Makes a record durable, whoever has published it.
    pub(super) fn sync_one(&self, dir: &StoreDir, key: &Key) -> Result<()> {
        let (name, _) = self.locate(dir, key)?;
        sync_file(dir, &name)?;
        sync_file(dir, &layout::sidecar_of(&name))?;
        self.sync_directory(dir)
    }

    /// Makes durable which stores there are.
    pub(super) fn sync_names_of_stores(&self) -> Result<()> {
        let failed = |error: Errno| Error::io(format!("sync '{}'", layout::STORES), error);
        if let Some(stores) = tree::open_stores(&self.shared.root)? {
            rustix::fs::fsync(stores).map_err(failed)?;
        }
        rustix::fs::fsync(&self.shared.root).map_err(failed)
    }

    /// Makes durable that the store is where it is, with its metadata, unless it is known to be. What is durable
    /// in a directory is lost if the directory has no durable name.
    pub(super) fn sync_place(&self, dir: &StoreDir) -> Result<()> {
        let failed = |error| dir.not_durable(error);
        let identity = tree::identity(&dir.fd).map_err(failed)?;
        if self.shared.unsynced.places.lock().get(&dir.name) == Some(&identity) {
            return Ok(());
        }
        sync_file(dir, layout::METADATA.as_bytes())?;
        rustix::fs::fsync(&dir.fd).map_err(failed)?;
        for ancestor in self.ancestors(&dir.name)? {
            rustix::fs::fsync(ancestor).map_err(failed)?;
        }
        self.shared.unsynced.places.lock().insert(dir.name.clone(), identity);
        Ok(())
    }
}

/// Makes a file of a store durable, if it is there.
pub(super) fn sync_file(dir: &StoreDir, name: &[u8]) -> Result<()> {
    match tree::open_file(&dir.fd, name).and_then(rustix::fs::fsync) {
        Ok(()) | Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(()),
        Err(error) => Err(dir.not_durable(error)),
    }
}

impl StoreDir {
    fn not_durable(&self, error: Errno) -> Error {
        Error::io(format!("sync store '{}'", self.name), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str) -> StoreName {
        StoreName::new(name).unwrap()
    }

    fn noted(unsynced: &Unsynced, name: &str) -> Option<usize> {
        match unsynced.records.lock().get(&store(name)) {
            Some(Names::These(names)) => Some(names.len()),
            Some(Names::Many) => Some(usize::MAX),
            None => None,
        }
    }

    #[test]
    fn p5_records_wait_for_an_fsync_under_the_name_of_their_store() {
        let unsynced = Unsynced::default();
        unsynced.note(&store("old"), b"a");
        unsynced.note(&store("old"), b"b");
        unsynced.note(&store("old"), b"b");
        unsynced.is_durable(&store("old"), b"a");
        unsynced.note(&store("new"), b"c");
        unsynced.rename_store(&store("old"), &store("new"));
        assert_eq!((noted(&unsynced, "old"), noted(&unsynced, "new")), (None, Some(2)));
        unsynced.forget_store(&store("new"));
        assert_eq!(noted(&unsynced, "new"), None);
    }

    #[test]
    fn p5_too_many_records_are_never_forgotten() {
        let unsynced = Unsynced::default();
        for number in 0..=ONE_BY_ONE {
            unsynced.note(&store("s"), number.to_string().as_bytes());
        }
        unsynced.is_durable(&store("s"), b"0");
        unsynced.note(&store("s"), b"one more");
        assert_eq!(noted(&unsynced, "s"), Some(usize::MAX));
    }
}
