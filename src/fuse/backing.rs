//! Reading large records without us: the kernel is given the file that holds a version, and reads that.
//!
//! An inode can have one backing file at a time, and all opens of it must agree. Both hold by design: an inode is
//! one version, and its size, which decides, never changes. Who opens a version that is open already is given the
//! same id.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Weak};

use fuser::{BackingId, ReplyOpen};
use parking_lot::Mutex;

use crate::fs::{Ability, FileSystem};

/// The backing files that the kernel holds for us.
#[derive(Debug, Default)]
pub(super) struct Backings {
    /// Held while the kernel is given a file, so that no version gets two ids. A leaf lock.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_inode: HashMap<u64, Weak<BackingId>>,
    /// By handle: the inode and its id, which lasts as long as any handle has it.
    by_handle: HashMap<u64, (u64, Arc<BackingId>)>,
}

impl Backings {
    /// The id of the file that holds an inode's bytes, kept for a handle that is being opened. `None` if the kernel
    /// has to ask us for them.
    pub(super) fn open(
        &self,
        fs: &FileSystem,
        reply: &ReplyOpen,
        ino: u64,
        handle: u64,
        file: BorrowedFd<'_>,
    ) -> Option<Arc<BackingId>> {
        let mut inner = self.inner.lock();
        let known = inner.by_inode.get(&ino).and_then(Weak::upgrade);
        let id = match known {
            Some(id) => id,
            None if !fs.has(Ability::Passthrough) => return None,
            None => match reply.open_backing(file) {
                Ok(id) => Arc::new(id),
                // Without the privilege, or over overlayfs and the like.
                Err(error) => {
                    fs.note_lack(Ability::Passthrough, &error.to_string());
                    return None;
                }
            },
        };
        inner.by_inode.insert(ino, Arc::downgrade(&id));
        inner.by_handle.insert(handle, (ino, Arc::clone(&id)));
        Some(id)
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
