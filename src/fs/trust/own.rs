//! Changes that this mount makes: they are on the disk a moment before the table of inodes knows of them, and are
//! nobody else's.

use crate::ranks::{Condvar, Mutex, Table};

/// The changes that are under way.
#[derive(Debug, Default)]
pub(super) struct OwnChanges {
    changes: Mutex<Table, Changes>,
    /// Signalled when one is done.
    done: Condvar,
}

#[derive(Debug, Default)]
struct Changes {
    /// The names of the records that are being changed.
    names: Vec<u64>,
    /// How many have begun.
    count: u64,
}

/// A change that this mount makes to records. Dropped when the table of inodes knows of it.
pub(in crate::fs) struct OwnChange<'a> {
    all: &'a OwnChanges,
    names: Vec<u64>,
}

impl Drop for OwnChange<'_> {
    fn drop(&mut self) {
        let mut changes = self.all.changes.lock();
        for name in &self.names {
            if let Some(at) = changes.names.iter().position(|own| own == name) {
                changes.names.swap_remove(at);
            }
        }
        self.all.done.notify_all();
    }
}

impl OwnChanges {
    /// Announces a change of the records with these names.
    pub(super) fn begin(&self, names: Vec<u64>) -> OwnChange<'_> {
        let mut changes = self.changes.lock();
        changes.names.extend(&names);
        changes.count += 1;
        OwnChange { all: self, names }
    }

    /// Notes a change that is done already.
    pub(super) fn note(&self) {
        self.changes.lock().count += 1;
    }

    /// How many changes have begun.
    pub(super) fn count(&self) -> u64 {
        self.changes.lock().count
    }

    /// Waits until this mount changes the record no more. Gives back how many changes have begun.
    pub(super) fn wait_for(&self, name: u64) -> u64 {
        let mut changes = self.changes.lock();
        while changes.names.contains(&name) {
            self.done.wait(&mut changes);
        }
        changes.count
    }
}
