//! Telling the kernel to ask again.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fuser::{INodeNo, Notifier};

use crate::fs::{FileSystem, Ino, Invalidate};

/// An offset before any byte: attributes are dropped, pages are not. Pages of a version are always right, and the
/// kernel would wait for those that are just being read.
const ATTRIBUTES_ONLY: i64 = -1;

/// `FUSE_NOTIFY_INC_EPOCH` of protocol 7.44, which the crate does not know yet: a header of its length, its code
/// in the place of an error, and no request that it would answer.
const RAISE_EPOCH: Message = Message { length: 16, code: 8, request: 0 };

struct Message {
    length: u32,
    code: i32,
    request: u64,
}

impl Message {
    fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let fields = self.length.to_ne_bytes().into_iter();
        let fields = fields.chain(self.code.to_ne_bytes()).chain(self.request.to_ne_bytes());
        for (into, byte) in bytes.iter_mut().zip(fields) {
            *into = byte;
        }
        bytes
    }
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
            if let Err(error) = self.notifier.inval_inode(INodeNo(*ino), ATTRIBUTES_ONLY, 0) {
                log::debug!("the kernel did not drop the attributes of inode {ino}: {error}");
            }
        }
    }

    fn names(&self) -> bool {
        if self.has_no_epochs.load(Ordering::Relaxed) {
            return false;
        }
        match rustix::io::write(&self.connection, &RAISE_EPOCH.bytes()) {
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
