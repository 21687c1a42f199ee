//! Locking files.

use std::sync::Arc;
use std::time::Instant;

use super::entry::Caller;
use super::error::{FsError, FsResult};
use super::handle::{Follower, Handle, Open, Writer};
use super::ino::Ino;
use super::locks::{Done, Lock, On};
use super::stragglers::{HELD_UP_FOR, LOOK_EVERY, Stragglers};
use super::system::FileSystem;
use super::versions::Node;
use crate::failpoint;

impl FileSystem {
    /// The lock that keeps this one from being taken, if any does.
    ///
    /// # Errors
    /// [`FsError::BadHandle`].
    pub fn find_lock(&self, ino: Ino, lock: &Lock) -> FsResult<Option<Lock>> {
        Ok(self.locks.find(self.locked(ino, lock.handle)?, lock))
    }

    /// Takes a lock if it is free.
    ///
    /// # Errors
    /// [`FsError::Locked`], [`FsError::BadHandle`].
    pub fn take_lock(&self, ino: Ino, lock: Lock) -> FsResult<()> {
        let on = self.locked(ino, lock.handle)?;
        let begun = Instant::now();
        let mut held_up: Option<Stragglers> = None;
        loop {
            let taken = self.locks.take(on.clone(), lock);
            if !matches!(taken, Err(FsError::Locked)) {
                return taken;
            }
            failpoint::pass("lock: refused");
            // Who has had it may have closed the file: the release that gives it back has been queued, and may be in the
            // hands of another thread.
            let is_held_up = held_up.get_or_insert_with(Stragglers::now).are_left();
            if !is_held_up || begun.elapsed() >= HELD_UP_FOR {
                // It may have been given back between the two looks.
                return self.locks.take(on, lock);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Takes a lock as soon as it is free, and then calls `done`; or with [`FsError::Deadlock`],
    /// [`FsError::Interrupted`], [`FsError::BadHandle`].
    pub fn wait_for_lock(&self, caller: &Caller, ino: Ino, lock: Lock, done: Done) {
        match self.locked(ino, lock.handle) {
            Ok(on) => self.locks.wait_for(on, lock, caller.thread, done),
            Err(error) => done(Err(error)),
        }
    }

    /// Gives back what an owner has locked of some bytes of a file, through whichever descriptor of it.
    pub fn give_lock_back(&self, ino: Ino, handle: Handle, owner: u64, first: u64, last: u64) {
        if !self.locks.is_empty()
            && let Ok(on) = self.locked(ino, handle)
        {
            self.locks.give_back(&on, handle, owner, first, last);
        }
    }

    /// A descriptor is closed: its process gives back all that it has locked of the file by fcntl(2), through whichever
    /// descriptor. These locks are this owner's.
    pub fn close_locks(&self, ino: Ino, handle: Handle, owner: u64) {
        self.give_lock_back(ino, handle, owner, 0, u64::MAX);
    }

    /// The last descriptor of a handle is closed: whatever is locked through it is free. To be called when the kernel
    /// says so, before anything that may wait.
    pub fn release_locks(&self, handle: Handle) {
        self.locks.release(handle);
    }

    /// What is locked through a handle.
    fn locked(&self, ino: Ino, handle: Handle) -> FsResult<On> {
        let open = self.handles.get(handle).ok_or(FsError::BadHandle)?;
        let record = match &*open {
            Open::Writer(Writer { session, .. }) | Open::Follower(Follower { session, .. }) => {
                session.record()
            }
            _ => match self.versions.get(ino).as_deref() {
                Some(Node::Version(version)) => Some((Arc::clone(&version.store), version.key())),
                _ => None,
            },
        };
        Ok(record.map_or(On::Inode(ino), |(store, key)| On::Record(store.record(&key))))
    }
}
