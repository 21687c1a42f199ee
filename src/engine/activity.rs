//! Which stores were read or changed since their metadata was written last (P17).

use std::collections::{BTreeMap, BTreeSet};

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
    /// Whether each change has moved the times itself, so that only reads are noted.
    changes_move_times: bool,
    /// Bounded by the stores that were used since the last write-back, which ends every entry.
    pending: Mutex<Table, Pending>,
    /// Signalled when `pending` gets its first store and when it is closed.
    moved: Condvar,
    /// Signalled when somebody is done with a store's times.
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    stores: BTreeMap<StoreName, Times>,
    /// The stores whose times somebody has taken and not settled yet.
    taken: BTreeSet<StoreName>,
    closed: bool,
}

/// The times of a store, taken to be written. Dropped before they are [`done`](Self::done), they are given back, unless
/// newer ones have come; that wakes nobody, so a write that failed is tried again with the next activity.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    activity: &'a Activity,
    store: StoreName,
    times: Option<Times>,
}

impl Taken<'_> {
    /// What is to be written, if anything has moved.
    pub(super) fn times(&self) -> Option<Times> {
        self.times
    }

    /// The store has got another name, and with it what has moved since.
    pub(super) fn renamed(mut self, to: &StoreName) {
        let mut pending = self.activity.pending.lock();
        let since = pending.stores.remove(&self.store);
        for times in [self.times.take(), since].into_iter().flatten() {
            merge(&mut pending, to, times);
        }
    }

    /// The times are written, or nobody wants them any more.
    pub(super) fn done(mut self) {
        self.times = None;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut pending = self.activity.pending.lock();
        pending.taken.remove(&self.store);
        if let Some(times) = self.times {
            merge(&mut pending, &self.store, times);
        }
        drop(pending);
        self.activity.settled.notify_all();
    }
}

impl Activity {
    /// Of a storage in which changes move the times of their store, or do not.
    pub(super) fn new(changes_move_times: bool) -> Self {
        Self { changes_move_times, ..Self::default() }
    }

    /// Notes a read of the store.
    pub(super) fn accessed(&self, store: &StoreName) {
        self.note(store, Times { accessed_at: Some(Timestamp::now()), modified_at: None });
    }

    /// Notes a change of the store; a change counts as an access (FORMAT 4.4).
    pub(super) fn modified(&self, store: &StoreName) {
        if self.changes_move_times {
            return;
        }
        let now = Some(Timestamp::now());
        self.note(store, Times { accessed_at: now, modified_at: now });
    }

    pub(super) fn active(&self) -> Vec<StoreName> {
        self.pending.lock().stores.keys().cloned().collect()
    }

    /// Takes a store's times, to write them. Waits for whoever has taken them before: an fsync must not return while
    /// another is about to write what it has found nothing of.
    pub(super) fn take(&self, store: &StoreName) -> Taken<'_> {
        let mut pending = self.pending.lock();
        while pending.taken.contains(store) {
            self.settled.wait(&mut pending);
        }
        pending.taken.insert(store.clone());
        let times = pending.stores.remove(store);
        Taken { activity: self, store: store.clone(), times }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::memory::MemoryBackend;
    use crate::engine::Storage;
    use crate::model::Key;

    #[test]
    fn p17_a_write_back_ends_every_entry_also_of_stores_that_are_gone() {
        let storage = Storage::with_backend(Arc::new(MemoryBackend::new()), None);
        let key = Key::new("k").unwrap();
        for number in 0..1000 {
            let store = storage.create_store(&StoreName::new(&number.to_string()).unwrap());
            let store = store.unwrap();
            store.set_value(&key, "v", None).unwrap();
            if number % 2 == 0 {
                storage.backend().drop_store(store.name()).unwrap();
            }
        }
        assert_eq!(storage.activity().active().len(), 1000);
        storage.write_back().unwrap();
        assert!(storage.activity().active().is_empty());
    }

    #[test]
    fn what_was_never_there_is_not_noted() {
        let storage = Storage::with_backend(Arc::new(MemoryBackend::new()), None);
        let (store, key) = (storage.store(&StoreName::default_store()), Key::new("k").unwrap());
        assert!(store.open_value(&key).is_err() && store.record_exists(&key).is_err());
        assert!(storage.activity().active().is_empty());
    }

    #[test]
    fn p17_times_move_with_their_store_and_outlive_a_write_that_fails() {
        let (activity, [old, new]) = (Activity::default(), ["old", "new"].map(StoreName::new));
        let (old, new) = (old.unwrap(), new.unwrap());
        activity.modified(&old);
        drop(activity.take(&old));
        assert_eq!(activity.active(), std::slice::from_ref(&old), "it was not done");
        let taken = activity.take(&old);
        activity.accessed(&old);
        taken.renamed(&new);
        assert_eq!(activity.active(), std::slice::from_ref(&new));
        let taken = activity.take(&new);
        let times = taken.times().unwrap();
        assert!(times.modified_at.is_some() && times.accessed_at >= times.modified_at);
        taken.done();
        assert!(activity.active().is_empty() && activity.take(&new).times().is_none());
    }
}
