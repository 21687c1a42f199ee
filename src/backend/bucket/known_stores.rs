//! Which stores were seen of late, and how they are laid out.
//!
//! In a bucket a store is no thing of its own: it is there as long as any object lies in it. To ask before each write would
//! cost each write a round trip. So what was seen of late is believed, for [`LATE`]: a record that is written into a store
//! which others have dropped no longer ago than that makes the store anew. What this process does to a store, it knows.

use std::time::{Duration, Instant, SystemTime};

use crate::backend::directory::dialect::Dialect;
use crate::backend::elsewhere::Generations;
use crate::model::StoreName;
use crate::ranks::{Mutex, Table};

/// For so long what was seen of a store is believed.
pub(super) const LATE: Duration = Duration::from_secs(5);

/// So many stores are remembered.
const MOST: u64 = 1 << 14;

/// A store as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownStore {
    pub(super) dialect: Dialect,
    /// Whether its metadata is there.
    pub(super) has_metadata: bool,
    /// When it was changed last, as far as is known.
    pub(super) modified: SystemTime,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    known: KnownStore,
    looked: Instant,
    /// Whether this process has put a record into it while it had no metadata.
    was_written_bare: bool,
}

/// The stores that were seen.
#[derive(Debug)]
pub(super) struct KnownStores {
    table: Mutex<Table, Generations<StoreName, Entry>>,
}

impl Default for KnownStores {
    fn default() -> Self {
        Self { table: Mutex::new(Generations::new(MOST)) }
    }
}

impl KnownStores {
    /// A store as it was seen no longer ago than `within`.
    pub(super) fn of_late(&self, store: &StoreName, within: Duration) -> Option<KnownStore> {
        let mut table = self.table.lock();
        let entry = table.get(store).filter(|entry| entry.looked.elapsed() < within)?;
        Some(entry.known)
    }

    /// The layout that a store was seen to have, whenever that was.
    pub(super) fn dialect(&self, store: &StoreName) -> Option<Dialect> {
        self.table.lock().get(store).map(|entry| entry.known.dialect)
    }

    /// Notes what a look has told that began at a moment. What was changed here meanwhile stays newer.
    pub(super) fn note(&self, store: &StoreName, known: KnownStore, looked: Instant) -> KnownStore {
        let mut table = self.table.lock();
        let before = table.get(store).copied();
        let modified = before.map_or(known.modified, |b| b.known.modified.max(known.modified));
        let known = KnownStore { modified, ..known };
        let was_written_bare = before.is_some_and(|before| before.was_written_bare);
        table.insert(store.clone(), Entry { known, looked, was_written_bare }, 1);
        known
    }

    /// This process has changed a record of a store at a moment.
    pub(super) fn changed(&self, store: &StoreName, at: SystemTime, is_made: bool) {
        if let Some(entry) = self.table.lock().get(store) {
            entry.known.modified = entry.known.modified.max(at);
            entry.was_written_bare |= is_made && !entry.known.has_metadata;
        }
    }

    /// Whether this process has put a record into a store that had no metadata then.
    pub(super) fn was_written_bare(&self, store: &StoreName) -> bool {
        self.table.lock().get(store).is_some_and(|entry| entry.was_written_bare)
    }

    /// The store's times were set, maybe back, or its name is another's, or it is gone.
    pub(super) fn forget(&self, store: &StoreName) {
        self.table.lock().remove(store);
    }
}
