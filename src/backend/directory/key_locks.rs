//! One writer at a time for each record, within this process.
//!
//! A record is two files, and two publishes of one key must not interleave: the value of one under the type of
//! the other would stay. Other processes are not held off; each of their files is replaced whole.

use parking_lot::{Mutex, MutexGuard};

use crate::model::{Key, StoreName};
use crate::ranks::{self, Holding};
use crate::stripes::stripe_of;

/// So many records can be published at a time; more than the threads that serve a mount.
const LOCKS: usize = 64;

/// Locks that are shared by all records, chosen by their names.
#[derive(Debug)]
pub(super) struct KeyLocks {
    locks: [Mutex<()>; LOCKS],
}

impl Default for KeyLocks {
    fn default() -> Self {
        Self { locks: std::array::from_fn(|_| Mutex::new(())) }
    }
}

/// What holds one record, or two.
#[derive(Debug)]
pub(super) struct Held<'a> {
    _locks: [Option<MutexGuard<'a, ()>>; 2],
    /// Given back after the locks are.
    _holding: Holding,
}

impl KeyLocks {
    /// Holds one record.
    pub(super) fn hold(&self, store: &StoreName, key: &Key) -> Held<'_> {
        self.hold_both((store, key), (store, key))
    }

    /// Holds two records, in an order that all callers keep.
    pub(super) fn hold_both(&self, one: (&StoreName, &Key), other: (&StoreName, &Key)) -> Held<'_> {
        let holding = Holding::begin::<ranks::Key>();
        let (one, other) = (stripe_of(one, LOCKS), stripe_of(other, LOCKS));
        let second = if one == other { None } else { self.locks.get(one.max(other)) };
        let locks = [self.locks.get(one.min(other)), second].map(|lock| lock.map(Mutex::lock));
        Held { _locks: locks, _holding: holding }
    }
}
