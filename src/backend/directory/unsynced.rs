//! What this process has put into the stores and nobody has made durable yet (P5).
//!
//! A close publishes without making durable. A later fsync, of the record or of its store's directory, must make
//! up for that, and knows the store alone. What it makes durable stays noted until it has done so: whoever comes
//! meanwhile with an fsync of the same store does it too, and is not told that all is durable before it is.

use std::collections::{BTreeMap, HashMap};

use super::tree::Identity;
use crate::model::StoreName;
use crate::ranks::{Mutex, Table};

/// So many records of a store are made durable one by one; if there are more, all that the disk has to write is
/// written.
const ONE_BY_ONE: usize = 256;

/// So many stores are noted one by one; if there are more, the next fsync of any writes all that the disk has to write.
const MOST_STORES: usize = 1024;

/// So many stores are known to have a durable place. One that is forgotten is made durable again.
const MOST_PLACES: usize = 4096;

/// Tells a note from earlier ones. Ascending.
type Generation = u64;

/// The stores of a storage.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    notes: Mutex<Table, Notes>,
    /// The directories that are stores durably, with their metadata.
    places: Mutex<Table, HashMap<StoreName, Identity>>,
}

#[derive(Debug, Default)]
struct Notes {
    last: Generation,
    by_store: HashMap<StoreName, Pending>,
    /// The last note of any store, if there were too many stores.
    everywhere: Option<Generation>,
}

/// What is to be made durable: disk names of values, each with the last note of it, or too many of them with the last
/// note of any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    These(BTreeMap<Vec<u8>, Generation>),
    Everything(Generation),
}

impl Default for Pending {
    fn default() -> Self {
        Self::These(BTreeMap::new())
    }
}

impl Pending {
    fn add(&mut self, name: &[u8], generation: Generation) {
        match self {
            Self::Everything(last) => *last = (*last).max(generation),
            Self::These(names) => {
                match names.get_mut(name) {
                    Some(last) => *last = generation,
                    None => drop(names.insert(name.to_vec(), generation)),
                }
                if names.len() > ONE_BY_ONE {
                    let last = names.values().copied().max().unwrap_or(generation);
                    *self = Self::Everything(last);
                }
            }
        }
    }

    fn add_all(&mut self, other: Self) {
        match (&mut *self, other) {
            (_, Self::These(names)) => {
                names.iter().for_each(|(name, generation)| self.add(name, *generation));
            }
            (Self::Everything(last), Self::Everything(other)) => *last = (*last).max(other),
            (Self::These(names), Self::Everything(other)) => {
                let last = names.values().copied().fold(other, Generation::max);
                *self = Self::Everything(last);
            }
        }
    }

    /// Takes away what was noted when `done` was. Gives back whether nothing is left.
    fn remove(&mut self, done: &Self) -> bool {
        match (&mut *self, done) {
            (Self::These(names), Self::These(done)) => {
                names.retain(|name, generation| done.get(name) != Some(generation));
                names.is_empty()
            }
            (Self::These(names), Self::Everything(last)) => {
                names.retain(|_, generation| *generation > *last);
                names.is_empty()
            }
            (Self::Everything(generation), Self::Everything(last)) => *generation <= *last,
            (Self::Everything(_), Self::These(_)) => false,
        }
    }
}

impl Unsynced {
    /// A value or its sidecar is new under this name.
    pub(super) fn note(&self, store: &StoreName, value_name: &[u8]) {
        let mut notes = self.notes.lock();
        notes.last += 1;
        let generation = notes.last;
        if let Some(pending) = notes.by_store.get_mut(store) {
            pending.add(value_name, generation);
        } else if notes.by_store.len() < MOST_STORES {
            let pending = Pending::These(BTreeMap::from([(value_name.to_vec(), generation)]));
            notes.by_store.insert(store.clone(), pending);
        } else {
            notes.by_store.clear();
            notes.everywhere = Some(generation);
        }
    }

    /// What is to be made durable of a store. It stays noted until [`are_durable`](Self::are_durable).
    pub(super) fn pending(&self, store: &StoreName) -> Pending {
        let notes = self.notes.lock();
        let pending = notes.by_store.get(store).cloned();
        match notes.everywhere {
            // All that was noted up to now, of whatever store.
            Some(_) => Pending::Everything(notes.last),
            None => pending.unwrap_or_default(),
        }
    }

    /// What [`pending`](Self::pending) has told of a store is durable. What was noted since then is not.
    pub(super) fn are_durable(&self, store: &StoreName, done: &Pending) {
        let mut notes = self.notes.lock();
        if let (Some(everywhere), Pending::Everything(last)) = (notes.everywhere, done)
            && everywhere <= *last
        {
            notes.everywhere = None;
        }
        if notes.by_store.get_mut(store).is_some_and(|pending| pending.remove(done)) {
            notes.by_store.remove(store);
        }
    }

    /// The record of this name is durable, value and sidecar, by whoever holds it.
    pub(super) fn is_durable(&self, store: &StoreName, value_name: &[u8]) {
        let mut notes = self.notes.lock();
        if let Some(Pending::These(names)) = notes.by_store.get_mut(store) {
            names.remove(value_name);
            if names.is_empty() {
                notes.by_store.remove(store);
            }
        }
    }

    /// Whether this directory is that store durably.
    pub(super) fn is_in_place(&self, store: &StoreName, directory: &Identity) -> bool {
        self.places.lock().get(store) == Some(directory)
    }

    /// This directory is that store durably.
    pub(super) fn put_in_place(&self, store: &StoreName, directory: Identity) {
        let mut places = self.places.lock();
        if places.len() >= MOST_PLACES {
            places.clear();
        }
        places.insert(store.clone(), directory);
    }

    /// A store's directory has got another name.
    pub(super) fn rename_store(&self, from: &StoreName, to: &StoreName) {
        let mut places = self.places.lock();
        places.remove(from);
        places.remove(to);
        drop(places);
        let mut notes = self.notes.lock();
        if let Some(pending) = notes.by_store.remove(from) {
            notes.by_store.entry(to.clone()).or_default().add_all(pending);
        }
    }

    /// A store is no more.
    pub(super) fn forget_store(&self, store: &StoreName) {
        self.places.lock().remove(store);
        self.notes.lock().by_store.remove(store);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str) -> StoreName {
        StoreName::new(name).unwrap()
    }

    fn noted(unsynced: &Unsynced, name: &str) -> Option<usize> {
        match unsynced.notes.lock().by_store.get(&store(name))? {
            Pending::These(names) => Some(names.len()),
            Pending::Everything(_) => Some(usize::MAX),
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
        let pending = unsynced.pending(&store("s"));
        unsynced.note(&store("s"), b"one more");
        unsynced.are_durable(&store("s"), &pending);
        assert_eq!(noted(&unsynced, "s"), Some(usize::MAX), "one came during the fsync");
        unsynced.are_durable(&store("s"), &unsynced.pending(&store("s")));
        assert_eq!(noted(&unsynced, "s"), None);
    }

    #[test]
    fn p5_what_is_noted_during_an_fsync_waits_for_the_next() {
        let unsynced = Unsynced::default();
        unsynced.note(&store("s"), b"a");
        unsynced.note(&store("s"), b"b");
        let pending = unsynced.pending(&store("s"));
        assert_eq!(unsynced.pending(&store("s")), pending, "a second fsync has as much to do");
        unsynced.note(&store("s"), b"b");
        unsynced.are_durable(&store("s"), &pending);
        assert_eq!(noted(&unsynced, "s"), Some(1));
        unsynced.are_durable(&store("s"), &unsynced.pending(&store("s")));
        assert_eq!(noted(&unsynced, "s"), None);
    }

    #[test]
    fn p5_the_tables_are_bounded_and_nothing_is_missed() {
        let unsynced = Unsynced::default();
        for number in 0..100_000 {
            let store = store(&number.to_string());
            unsynced.note(&store, b"a");
            unsynced.put_in_place(&store, (0, 0, number, 0));
        }
        assert!(unsynced.notes.lock().by_store.len() <= MOST_STORES);
        assert!(unsynced.places.lock().len() <= MOST_PLACES);
        let pending = unsynced.pending(&store("7"));
        assert!(matches!(pending, Pending::Everything(_)), "{pending:?}");
        unsynced.are_durable(&store("7"), &pending);
        assert_eq!(unsynced.pending(&store("7")), Pending::default());
    }
}
