//! One edit at a time for the metadata of each store, within this process.

use super::store_gates::directory_of;
use crate::model::StoreName;
use crate::ranks::{Metadata, Mutex, MutexGuard};
use crate::stripes::stripe_of;

/// Stores share this many locks, chosen by their names.
const LOCKS: usize = 64;

/// Locks that are shared by all stores. Whoever holds one reads, changes and writes.
#[derive(Debug)]
pub(super) struct MetadataLocks {
    locks: [Mutex<Metadata, ()>; LOCKS],
}

impl Default for MetadataLocks {
    fn default() -> Self {
        Self { locks: std::array::from_fn(|_| Mutex::new(())) }
    }
}

impl MetadataLocks {
    /// Holds the metadata of a store, whose gate was passed.
    pub(super) fn hold(&self, store: &StoreName) -> Option<MutexGuard<'_, ()>> {
        self.locks.get(stripe_of(directory_of(store), LOCKS)).map(Mutex::lock)
    }
}
