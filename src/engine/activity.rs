//! Which stores were read or changed since their metadata was written last (P17).

use std::collections::BTreeMap;

use crate::model::StoreName;
use crate::ranks::{Condvar, Mutex, Table};
use jiff::Timestamp;

/// Times that are to be written into a store's metadata.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub(super) accessed_at: Option<Timestamp>,
    pub(super) modified_at: Option<Timestamp>,
}

/// The times of all stores that have moved and are not yet written.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Bounded by the stores that were used since the last write-back, which ends every entry.
    pending: Mutex<Table, Pending>,
    /// Signalled when `pending` gets its first store and when it is closed.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    stores: BTreeMap<StoreName, Times>,
    closed: bool,
}

impl Activity {
    /// Notes a read of the store.
    pub(super) fn accessed(&self, store: &StoreName) {
        self.note(store, Times { accessed_at: Some(Timestamp::now()), modified_at: None });
    }

    /// Notes a change of the store; a change counts as an access (FORMAT 4.4).
    pub(super) fn modified(&self, store: &StoreName) {
        let now = Some(Timestamp::now());
        self.note(store, Times { accessed_at: now, modified_at: now });
    }

    pub(super) fn active(&self) -> Vec<StoreName> {
        self.pending.lock().stores.keys().cloned().collect()
    }

    pub(super) fn take(&self, store: &StoreName) -> Option<Times> {
        self.pending.lock().stores.remove(store)
    }

    /// Gives back times that could not be written, unless newer ones have come. Wakes nobody: a write that
    /// failed is tried again with the next activity.
    pub(super) fn put_back(&self, store: &StoreName, times: Times) {
        merge(&mut self.pending.lock(), store, times);
    }

    pub(super) fn wait(&self) -> bool {
        let mut pending = self.pending.lock();
        while pending.stores.is_empty() && !pending.closed {
            self.moved.wait(&mut pending);
        }
        !pending.closed
    }

    pub(super) fn close(&self) {
        self.pending.lock().closed = true;
        self.moved.notify_all();
    }

    fn note(&self, store: &StoreName, times: Times) {
        if store.is_plain() {
            return;
        }
        let mut pending = self.pending.lock();
        let first = pending.stores.is_empty();
        merge(&mut pending, store, times);
        drop(pending);
        if first {
            self.moved.notify_all();
        }
    }
}

fn merge(pending: &mut Pending, store: &StoreName, times: Times) {
    if let Some(known) = pending.stores.get_mut(store) {
        known.accessed_at = known.accessed_at.max(times.accessed_at);
        known.modified_at = known.modified_at.max(times.modified_at);
    } else {
        pending.stores.insert(store.clone(), times);
    }
}
