//! Telling the kernel to ask again.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fuser::{INodeNo, Notifier};

use crate::fs::{FileSystem, Ino, Invalidate};

/// An offset before any byte: attributes are dropped, pages are not. Pages of a version are always right, and the
/// kernel would wait for those that are just being read.
const ATTRIBUTES_ONLY: i64 = -1;

/// `FUSE_NOTIFY_INC_EPOCH` of protocol 7.44, which the crate does not know yet.
const RAISE_EPOCH: i32 = 8;

/// `FUSE_NOTIFY_PRUNE` of protocol 7.45, which it does not know either.
const PRUNE: i32 = 9;

/// The length of a message's header.
const HEADER_BYTES: usize = 16;

/// A message: a header of its length, its code in the place of an error, and no request that it would answer; and
/// what else it says.
fn message(code: i32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend(length.to_ne_bytes());
    bytes.extend(code.to_ne_bytes());
    bytes.extend(0_u64.to_ne_bytes());
    bytes.extend(body);
    bytes
}

/// What a message to prune says: how many inodes, and which.
fn pruned(inodes: &[Ino]) -> Vec<u8> {
    let count = u32::try_from(inodes.len()).unwrap_or(u32::MAX);
    let mut body = Vec::with_capacity(16 + size_of_val(inodes));
    body.extend(count.to_ne_bytes());
    // What is kept for later.
    body.extend([0; 12]);
    inodes.iter().for_each(|ino| body.extend(ino.0.to_ne_bytes()));
    body
}

#[derive(Debug)]
struct Kernel {
    notifier: Notifier,
    /// The session's descriptor.
    connection: OwnedFd,
    /// Whether the kernel knows no epochs.
    has_no_epochs: AtomicBool,
}

impl Invalidate for Kernel {
    fn attributes(&self, inodes: &[Ino]) {
        for ino in inodes {
            if let Err(error) = self.notifier.inval_inode(INodeNo(ino.0), ATTRIBUTES_ONLY, 0) {
                log::debug!("the kernel did not drop the attributes of inode {ino}: {error}");
            }
        }
    }

    fn unused(&self, inodes: &[Ino]) {
        if inodes.is_empty() {
            return;
        }
        let message = message(PRUNE, &pruned(inodes));
        if let Err(error) = rustix::io::write(&self.connection, &message) {
            log::debug!("the kernel did not let go of {} inodes: {error}", inodes.len());
        }
    }

    fn names(&self) -> bool {
        if self.has_no_epochs.load(Ordering::Relaxed) {
            return false;
        }
        match rustix::io::write(&self.connection, &message(RAISE_EPOCH, &[])) {
            Ok(_) => true,
            Err(error) => {
                log::debug!("the kernel did not raise the epoch: {error}");
                self.has_no_epochs.store(error == rustix::io::Errno::INVAL, Ordering::Relaxed);
                false
            }
        }
    }
}

/// Lets a mounted file system tell the kernel, over the session's connection, what has changed.
pub fn attach_notifier(fs: &Arc<FileSystem>, notifier: Notifier, connection: OwnedFd) {
    let has_no_epochs = AtomicBool::new(false);
    fs.set_notifier(Box::new(Kernel { notifier, connection, has_no_epochs }));
}
