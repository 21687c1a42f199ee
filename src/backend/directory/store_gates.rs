//! Holding off the users of a store's directory while it is replaced.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::layout;
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
        self.gate(store).map(RwLock::read_recursive)
    }

    /// Closes the gate of a store, and waits for those who have passed it.
    pub(super) fn close(&self, store: &StoreName) -> Option<RwLockWriteGuard<'_, ()>> {
        self.gate(store).map(RwLock::write)
    }

    /// A store's directory has one gate, also when it is shown as a plain one, and so has what is in it.
    fn gate(&self, store: &StoreName) -> Option<&RwLock<()>> {
        let mut path = store.components();
        let name = match (path.next(), path.next()) {
            (Some(layout::STORES), Some(name)) => name,
            _ => store.as_str(),
        };
        self.gates.get(stripe_of(name, GATES))
    }
}
