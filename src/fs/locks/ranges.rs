//! The locks of one file.

use crate::fs::handle::Handle;

/// Whether others may have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Others may.
    Shared,
    /// Nobody else may.
    Exclusive,
}

/// A lock of a range of bytes. That of flock(2) is one of all bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Who has it, as the kernel says: a process, or an open file.
    pub owner: u64,
    /// The handle through which it was taken.
    pub handle: Handle,
    /// The process that has taken it.
    pub process: u32,
    /// Shared or exclusive.
    pub kind: LockKind,
    /// The first byte.
    pub first: u64,
    /// The last byte.
    pub last: u64,
}

impl Lock {
    fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether one excludes the other.
    ///
    /// The kernel does not say which of its two kinds of locks one is. If both kinds are taken by one process through one
    /// handle, the owners differ, and they do not exclude each other. If they are taken by different processes, they do,
    /// as on NFS.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        let is_exclusive = self.kind == LockKind::Exclusive || other.kind == LockKind::Exclusive;
        let is_own = self.owner == other.owner
            || (self.handle == other.handle && self.process == other.process);
        is_exclusive && !is_own && self.overlaps(other)
    }
}

/// The locks of one file, none of which excludes another.
#[derive(Debug, Default)]
pub(super) struct Ranges(Vec<Lock>);

impl Ranges {
    /// The locks that exclude this one.
    pub(super) fn excluding<'a>(&'a self, lock: &'a Lock) -> impl Iterator<Item = &'a Lock> {
        self.0.iter().filter(|held| held.excludes(lock))
    }

    /// Takes a lock in the place of what its owner has of the same bytes.
    pub(super) fn insert(&mut self, lock: Lock) {
        self.remove(lock.owner, lock.first, lock.last);
        self.0.push(lock);
    }

    /// Gives back what an owner has of these bytes.
    pub(super) fn remove(&mut self, owner: u64, first: u64, last: u64) {
        let mut rest = Vec::new();
        self.0.retain(|held| {
            if held.owner != owner || held.last < first || last < held.first {
                return true;
            }
            if held.first < first {
                rest.push(Lock { last: first - 1, ..*held });
            }
            if held.last > last {
                rest.push(Lock { first: last + 1, ..*held });
            }
            false
        });
        self.0.append(&mut rest);
    }

    /// Gives back all that was taken through a handle.
    pub(super) fn remove_handle(&mut self, handle: Handle) {
        self.0.retain(|held| held.handle != handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(owner: u64, kind: LockKind, first: u64, last: u64) -> Lock {
        Lock { owner, handle: Handle(owner), process: 1, kind, first, last }
    }

    #[test]
    fn p06_exclusive_locks_exclude_those_of_others_where_they_overlap() {
        let mut ranges = Ranges::default();
        ranges.insert(lock(1, LockKind::Exclusive, 10, 19));
        for (other, excluded) in [
            (lock(2, LockKind::Shared, 0, 9), false),
            (lock(2, LockKind::Shared, 0, 10), true),
            (lock(2, LockKind::Exclusive, 19, 30), true),
            (lock(2, LockKind::Exclusive, 20, 30), false),
            (lock(1, LockKind::Exclusive, 0, 30), false),
        ] {
            assert_eq!(ranges.excluding(&other).next().is_some(), excluded, "{other:?}");
        }
        ranges.insert(lock(1, LockKind::Shared, 10, 19));
        assert!(ranges.excluding(&lock(2, LockKind::Shared, 0, 30)).next().is_none());
        assert!(ranges.excluding(&lock(2, LockKind::Exclusive, 0, 30)).next().is_some());
    }

    #[test]
    fn p06_a_part_that_is_given_back_leaves_the_rest() {
        let mut ranges = Ranges::default();
        ranges.insert(lock(1, LockKind::Exclusive, 0, u64::MAX));
        ranges.remove(1, 10, 19);
        let is_free = |first, last| {
            let other = lock(2, LockKind::Exclusive, first, last);
            ranges.excluding(&other).next().is_none()
        };
        assert!(is_free(10, 19) && !is_free(0, 9) && !is_free(20, 20) && !is_free(9, 10));
        ranges.remove(2, 0, u64::MAX);
        assert!(!ranges.0.is_empty(), "another owner's are left alone");
        ranges.remove_handle(Handle(1));
        assert!(ranges.0.is_empty());
    }

    #[test]
    fn p06_both_kinds_of_locks_of_one_handle_go_together() {
        let flock = Lock { owner: 7, ..lock(1, LockKind::Exclusive, 0, u64::MAX) };
        let fcntl = Lock { owner: 8, ..flock };
        assert!(!flock.excludes(&fcntl));
        assert!(flock.excludes(&Lock { process: 2, ..fcntl }), "a child's own");
        assert!(flock.excludes(&Lock { handle: Handle(9), ..fcntl }), "opened twice");
    }
}
