//! Holding off the users of a store's directory while it is replaced.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::layout;
use super::tree::StoreDir;
use crate::model::StoreName;
use crate::ranks::{Holding, StoreGate};
use crate::stripes::stripe_of;

/// Stores share this many gates, chosen by their names.
const GATES: usize = 64;

/// Gates that the users of a store's directory pass and those who replace it close. Passed or closed before the
/// directory is opened, so that nothing is moved into, or missed in, one that has just left its place.
///
/// A gate is fair: who comes after somebody who waits to close it waits behind. So however many pass, and however
/// they overlap, a purge waits only for those who were there before it; and no thread may pass twice.
#[derive(Debug)]
pub(super) struct StoreGates {
    gates: [RwLock<()>; GATES],
}

/// The gates of one store or two that were passed. Nobody closes them meanwhile.
#[derive(Debug)]
pub(super) struct Passed<'a> {
    _gates: [Option<RwLockReadGuard<'a, ()>>; 2],
    /// Given back after the gates are.
    _holding: Holding,
}

/// The gates of one store or two that are closed. Nobody passes them meanwhile.
#[derive(Debug)]
pub(super) struct Closed<'a> {
    _gates: [Option<RwLockWriteGuard<'a, ()>>; 2],
    _holding: Holding,
}

/// A store's directory that stays in its place as long as this is kept.
#[derive(Debug)]
pub(super) struct HeldStoreDir<'a> {
    pub(super) dir: StoreDir,
    pub(super) _passed: Passed<'a>,
}

/// The directories of two stores, or twice that of one, which stay in their places as long as this is kept.
#[derive(Debug)]
pub(super) struct HeldStoreDirs<'a> {
    pub(super) from: StoreDir,
    pub(super) to: StoreDir,
    pub(super) _passed: Passed<'a>,
}

impl std::ops::Deref for HeldStoreDir<'_> {
    type Target = StoreDir;

    fn deref(&self) -> &StoreDir {
        &self.dir
    }
}

impl Default for StoreGates {
    fn default() -> Self {
        Self { gates: std::array::from_fn(|_| RwLock::new(())) }
    }
}

impl StoreGates {
    /// Passes the gate of a store.
    pub(super) fn pass(&self, store: &StoreName) -> Passed<'_> {
        self.pass_both(store, store)
    }

    /// Passes the gates of two stores, in an order that all callers keep.
    pub(super) fn pass_both(&self, one: &StoreName, other: &StoreName) -> Passed<'_> {
        let holding = Holding::begin::<StoreGate>();
        let gates = self.gates_of(one, other).map(|gate| gate.map(RwLock::read));
        Passed { _gates: gates, _holding: holding }
    }

    /// Closes the gate of a store, and waits for those who have passed it.
    pub(super) fn close(&self, store: &StoreName) -> Closed<'_> {
        self.close_both(store, store)
    }

    /// Closes the gates of two stores, in the same order.
    pub(super) fn close_both(&self, one: &StoreName, other: &StoreName) -> Closed<'_> {
        let holding = Holding::begin::<StoreGate>();
        let gates = self.gates_of(one, other).map(|gate| gate.map(RwLock::write));
        Closed { _gates: gates, _holding: holding }
    }

    /// Notes that the caller is about to do what passes gates: with debug assertions it panics if it holds one.
    pub(super) fn must_be_free() {
        drop(Holding::begin::<StoreGate>());
    }

    /// The gates of two stores in their order; one, if they share it.
    fn gates_of(&self, one: &StoreName, other: &StoreName) -> [Option<&RwLock<()>>; 2] {
        let (one, other) = (index(one), index(other));
        let second = if one == other { None } else { self.gates.get(one.max(other)) };
        [self.gates.get(one.min(other)), second]
    }
}

fn index(store: &StoreName) -> usize {
    stripe_of(directory_of(store), GATES)
}

/// What tells a store's directory from others. A store has one directory, also when that is shown as a plain one, and
/// so has what is in it.
pub(super) fn directory_of(store: &StoreName) -> &str {
    let mut path = store.components();
    match (path.next(), path.next()) {
        (Some(layout::STORES), Some(name)) => name,
        _ => store.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_stores_that_share_a_gate_pass_and_close_it_once() {
        let gates = StoreGates::default();
        let names = (0..=GATES).map(|number| StoreName::new(&format!("s{number}")).unwrap());
        let names: Vec<StoreName> = names.collect();
        for one in &names {
            for other in &names {
                drop(gates.pass_both(one, other));
                drop(gates.close_both(one, other));
            }
        }
    }

    #[test]
    fn a_store_has_one_gate_also_as_a_plain_directory() {
        let plain = StoreName::plain_root().child(layout::STORES).unwrap().child("s").unwrap();
        let below = plain.child("below").unwrap();
        let store = StoreName::new("s").unwrap();
        assert_eq!([index(&plain), index(&below)], [index(&store); 2]);
    }

    #[test]
    #[should_panic = "(store gate) is taken while one of rank"]
    fn no_thread_passes_twice() {
        let (gates, store) = (StoreGates::default(), StoreName::new("s").unwrap());
        let _passed = gates.pass(&store);
        let _twice = gates.pass(&store);
    }
}
