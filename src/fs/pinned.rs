//! A mount that is served without opens: the kernel opens and closes files by itself, and all that it asks for of a
//! version it asks by inode.
//!
//! Nobody says then who has a version open. So its bytes are *pinned* when its name is looked up, which is before any
//! open, and let go when the kernel forgets the inode, which is after any close (P1). A pin is a descriptor: so small a
//! thing that a hundred thousand fit where their bytes would not, and it costs no read where only attributes are asked
//! for. They are bounded all the same. When the bound is near, the kernel is told to let go of the inodes that were
//! looked up longest ago, as far as nobody uses them. Where all are in use, the next lookup fails.
//!
//! The kernel opens a name that it trusts without asking. So only names of which each change is told are trusted here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::ino::Ino;
use crate::backend::Value;
use crate::ranks::{Condvar, Mutex, OpenFile, Table};

/// The fewest pins that are worth the while.
const FEWEST: usize = 64;

/// How often a waiting lookup has the kernel try again: what was in use may be so no more.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What the kernel may ask for by inode.
#[derive(Debug)]
pub(super) struct Pinned {
    /// The most pins.
    most: usize,
    inner: Mutex<Table, Inner>,
    /// Signalled when a pin goes.
    gone: Condvar,
    /// The right to have the kernel let go of inodes, which is only tried for: one thread does so and the others serve,
    /// since the kernel may wait for bytes that one of them has to bring.
    pruning: Mutex<OpenFile, ()>,
}

#[derive(Debug, Default)]
struct Inner {
    by_inode: HashMap<Ino, Pin>,
    /// Inodes in the order in which they were looked up last.
    order: BTreeMap<u64, Ino>,
    next: u64,
    /// Versions that may have been replaced or removed, and that the kernel has not let go of yet.
    stale: HashSet<Ino>,
    /// Inodes that the kernel is to be told to let go of.
    due: Vec<Ino>,
}

#[derive(Debug)]
struct Pin {
    value: Arc<dyn Value>,
    /// How many lookups of the kernel it stands for.
    lookups: u64,
    at: u64,
}

impl Pinned {
    /// As many as the system lets this process have open, less a share for everything else. `None` if it lets it
    /// have too few.
    pub(super) fn within_limits() -> Option<Self> {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = usize::try_from(limit / 4 * 3).unwrap_or(usize::MAX);
        (most >= FEWEST).then(|| Self {
            most,
            inner: Mutex::default(),
            gone: Condvar::new(),
            pruning: Mutex::default(),
        })
    }

    /// Counts a lookup of a version, and keeps its bytes. Gives back false if there is no room.
    pub(super) fn add(&self, ino: Ino, value: Arc<dyn Value>) -> bool {
        let mut inner = self.inner.lock();
        let Inner { by_inode, order, next, stale, .. } = &mut *inner;
        let at = *next;
        // Looked up again, so it is current.
        stale.remove(&ino);
        if let Some(pin) = by_inode.get_mut(&ino) {
            order.remove(&pin.at);
            pin.at = at;
            pin.lookups += 1;
        } else if by_inode.len() < self.most {
            by_inode.insert(ino, Pin { value, lookups: 1, at });
        } else {
            return false;
        }
        order.insert(at, ino);
        *next += 1;
        true
    }

    pub(super) fn get(&self, ino: Ino) -> Option<Arc<dyn Value>> {
        self.inner.lock().by_inode.get(&ino).map(|pin| Arc::clone(&pin.value))
    }

    /// Takes back lookups.
    pub(super) fn forget(&self, ino: Ino, lookups: u64) {
        let mut inner = self.inner.lock();
        let Some(pin) = inner.by_inode.get_mut(&ino) else { return };
        pin.lookups = pin.lookups.saturating_sub(lookups);
        if pin.lookups > 0 {
            return;
        }
        let at = pin.at;
        let gone = inner.by_inode.remove(&ino);
        inner.order.remove(&at);
        inner.stale.remove(&ino);
        if inner.by_inode.is_empty() {
            inner.by_inode = HashMap::new();
        }
        drop(inner);
        // Closes a file, which is for outside of the lock.
        drop(gone);
        self.gone.notify_all();
    }

    /// Notes versions that may have been replaced or removed, for the next [`prune`](Self::prune); and all such that are
    /// still held: what was in use when the kernel was told of it before may be so no more.
    pub(super) fn note_stale(&self, versions: &[Ino]) {
        let mut inner = self.inner.lock();
        let Inner { by_inode, stale, due, .. } = &mut *inner;
        stale.extend(versions.iter().filter(|ino| by_inode.contains_key(ino)));
        due.extend(stale.iter());
    }

    /// Has the kernel let go of what is due, by `tell`. Returns at once if another thread is doing so: that one does this
    /// too.
    pub(super) fn prune(&self, tell: impl Fn(&[Ino])) {
        while !self.inner.lock().due.is_empty() {
            let Some(_right) = self.pruning.try_lock() else { return };
            let due = std::mem::take(&mut self.inner.lock().due);
            tell(&due);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.inner.lock().by_inode.len()
    }

    /// Whether there will soon be no room.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.len() >= self.most - self.most / 8
    }

    /// Notes the inodes that had better go, so that half of the room is free, for the next [`prune`](Self::prune). Those
    /// that are in use stay, and count as looked up now: so the next call names others.
    pub(super) fn note_oldest(&self) {
        let mut inner = self.inner.lock();
        let Inner { by_inode, order, next, due, .. } = &mut *inner;
        let count = by_inode.len().saturating_sub(self.most / 2);
        for _ in 0..count {
            let Some((_, ino)) = order.pop_first() else { return };
            if let Some(pin) = by_inode.get_mut(&ino) {
                pin.at = *next;
                order.insert(*next, ino);
                *next += 1;
                due.push(ino);
            }
        }
    }

    /// Waits until a pin goes, if there is no room, or for a moment.
    pub(super) fn wait_for_room(&self) {
        let mut inner = self.inner.lock();
        if inner.by_inode.len() >= self.most {
            self.gone.wait_for(&mut inner, TRY_AGAIN_AFTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn p02_one_thread_has_the_kernel_let_go_and_does_the_work_of_those_that_come_meanwhile() {
        let pinned = Pinned::within_limits().unwrap();
        let due = |ino| pinned.inner.lock().due.push(Ino(ino));
        let told = RefCell::new(Vec::new());
        due(20);
        pinned.prune(|inodes| {
            told.borrow_mut().extend_from_slice(inodes);
            if inodes == [Ino(20)] {
                // Another comes while the kernel is being told: he serves on, whatever thread he is.
                due(21);
                pinned.prune(|_| panic!("without the right"));
            }
        });
        assert_eq!(told.into_inner(), [Ino(20), Ino(21)]);
    }
}
