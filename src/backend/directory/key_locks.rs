//! One writer at a time for each record, within this process.
//!
//! A record is two files, and two publishes of one key must not interleave: the value of one under the type of
//! the other would stay. Other processes are not held off; each of their files is replaced whole.

use parking_lot::{Mutex, MutexGuard};

use crate::model::{Key, StoreName};
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
    _first: Option<MutexGuard<'a, ()>>,
    _second: Option<MutexGuard<'a, ()>>,
}

impl KeyLocks {
    /// Holds one record.
    pub(super) fn hold(&self, store: &StoreName, key: &Key) -> Held<'_> {
        Held { _first: self.lock(index(store, key)), _second: None }
    }

    /// Holds two records, in an order that all callers keep.
    pub(super) fn hold_both(&self, one: (&StoreName, &Key), other: (&StoreName, &Key)) -> Held<'_> {
        let (one, other) = (index(one.0, one.1), index(other.0, other.1));
        let first = self.lock(one.min(other));
        let second = if one == other { None } else { self.lock(one.max(other)) };
        Held { _first: first, _second: second }
    }

    fn lock(&self, index: usize) -> Option<MutexGuard<'_, ()>> {
        self.locks.get(index).map(Mutex::lock)
    }
}

fn index(store: &StoreName, key: &Key) -> usize {
    stripe_of((store, key), LOCKS)
}
