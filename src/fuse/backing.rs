//! Reading large records without us: the kernel is given the file that holds a version, and reads that.
//!
//! An inode can have one backing file at a time, and all opens of it must agree. Both hold by design: an inode is
//! one version, and its size, which decides, never changes. Who opens a version that is open already is given the
//! same id. The kernel's files outlive this process where another one takes over, so the id is kept with the handle, and the next
//! process goes on with it.

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock, Weak};

use fuser::{BackingId, ReplyOpen};
use parking_lot::Mutex;
use rustix::ioctl::{Setter, ioctl, opcode};

use crate::fs::{Ability, FileSystem};

/// `FUSE_DEV_IOC_BACKING_CLOSE`: the crate closes only what it has opened itself.
const CLOSE: rustix::ioctl::Opcode = opcode::write::<u32>(229, 2);

/// A file that the kernel holds for us, until this is dropped.
#[derive(Debug)]
pub(super) struct Backing {
    id: u32,
    connection: Arc<OwnedFd>,
}

impl Backing {
    /// As the crate has it, for one reply. To be given to [`unwrap`](Self::unwrap) afterwards, which does not close it.
    pub(super) fn wrapped(&self, reply: &ReplyOpen) -> BackingId {
        // SAFETY: the id is open as long as this lives.
        unsafe { reply.wrap_backing(self.id) }
    }

    pub(super) fn unwrap(wrapped: BackingId) {
        let _ = wrapped.into_raw();
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        // SAFETY: the kernel reads one number.
        let closed = unsafe { ioctl(&self.connection, Setter::<CLOSE, u32>::new(self.id)) };
        if let Err(error) = closed {
            // So it is when the mount has gone.
            log::debug!("the kernel does not close the file {}: {error}", self.id);
        }
    }
}

/// The backing files that the kernel holds for us.
#[derive(Debug, Default)]
pub struct Backings {
    /// Set once, before the first request.
    connection: OnceLock<Arc<OwnedFd>>,
    /// Held while the kernel is given a file, so that no version gets two ids. A leaf lock.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_inode: HashMap<u64, Weak<Backing>>,
    /// By handle: the inode and its id, which lasts as long as any handle has it.
    by_handle: HashMap<u64, (u64, Arc<Backing>)>,
}

impl Backings {
    /// Goes on with the files that the kernel holds already. To be called before the first request.
    pub fn attach(&self, fs: &FileSystem, connection: OwnedFd) {
        let connection = Arc::new(connection);
        let mut inner = self.inner.lock();
        for left in fs.take_backings() {
            let known = inner.by_inode.get(&left.ino).and_then(Weak::upgrade);
            let backing = known.unwrap_or_else(|| {
                Arc::new(Backing { id: left.id, connection: Arc::clone(&connection) })
            });
            // Else nobody comes by its inode any more, and who reads it goes on without the id.
            if left.is_open {
                inner.by_inode.insert(left.ino, Arc::downgrade(&backing));
                inner.by_handle.insert(left.handle, (left.ino, backing));
            }
        }
        // Nobody else sets it.
        let _ = self.connection.set(connection);
    }

    /// The file that holds an inode's bytes, kept for a handle that is being opened. `None` if the kernel
    /// has to ask us for them.
    pub(super) fn open(
        &self,
        fs: &FileSystem,
        ino: u64,
        handle: u64,
        file: BorrowedFd<'_>,
    ) -> Option<Arc<Backing>> {
        let connection = self.connection.get()?;
        let mut inner = self.inner.lock();
        let known = inner.by_inode.get(&ino).and_then(Weak::upgrade);
        let backing = match known {
            Some(backing) => backing,
            None if !fs.has(Ability::Passthrough) => return None,
            None => match BackingId::create_raw(connection, file) {
                Ok(id) => Arc::new(Backing { id, connection: Arc::clone(connection) }),
                // Without the privilege, or over overlayfs and the like.
                Err(error) => {
                    fs.note_lack(Ability::Passthrough, &error.to_string());
                    return None;
                }
            },
        };
        if !fs.keep_backing(handle, backing.id) {
            // Whoever takes over could not go on with it.
            return None;
        }
        inner.by_inode.insert(ino, Arc::downgrade(&backing));
        inner.by_handle.insert(handle, (ino, Arc::clone(&backing)));
        Some(backing)
    }

    /// A handle is closed.
    pub(super) fn release(&self, handle: u64) {
        let mut inner = self.inner.lock();
        let Some((ino, id)) = inner.by_handle.remove(&handle) else { return };
        if Arc::strong_count(&id) == 1 {
            inner.by_inode.remove(&ino);
        }
        drop(inner);
        drop(id);
    }
}
