//! Holding off the users of a store's directory while it is replaced.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::model::StoreName;
use crate::stripes::stripe_of;

/// Stores share this many gates, chosen by their names.
const GATES: usize = 16;

/// Gates that the users of a store's directory pass and those who replace it close. Rank 2: passed or closed
/// before the directory is opened, so that nothing is moved into, or missed in, one that has just left its place.
#[derive(Debug)]
pub(super) struct StoreGates {
    gates: [RwLock<()>; GATES],
}

impl Default for StoreGates {
    fn default() -> Self {
        Self { gates: std::array::from_fn(|_| RwLock::new(())) }
    }
}

impl StoreGates {
    /// Passes the gate of a store. The same thread may pass several, also one twice.
    pub(super) fn pass(&self, store: &StoreName) -> Option<RwLockReadGuard<'_, ()>> {
        self.gates.get(stripe_of(store, GATES)).map(RwLock::read_recursive)
    }

    /// Closes the gate of a store, and waits for those who have passed it.
    pub(super) fn close(&self, store: &StoreName) -> Option<RwLockWriteGuard<'_, ()>> {
        self.gates.get(stripe_of(store, GATES)).map(RwLock::write)
    }
}
