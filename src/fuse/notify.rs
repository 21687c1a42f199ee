//! Telling the kernel to ask again.

use std::sync::Arc;

use fuser::{INodeNo, Notifier};

use crate::fs::{FileSystem, Ino, Invalidate};

/// An offset before any byte: attributes are dropped, pages are not. Pages of a version are always right, and the
/// kernel would wait for those that are just being read.
const ATTRIBUTES_ONLY: i64 = -1;

#[derive(Debug)]
struct Kernel(Notifier);

impl Invalidate for Kernel {
    fn attributes(&self, inodes: &[Ino]) {
        for ino in inodes {
            if let Err(error) = self.0.inval_inode(INodeNo(*ino), ATTRIBUTES_ONLY, 0) {
                log::debug!("the kernel did not drop the attributes of inode {ino}: {error}");
            }
        }
    }
}

/// Lets a mounted file system tell the kernel what has changed.
pub fn attach_notifier(fs: &Arc<FileSystem>, notifier: Notifier) {
    fs.set_notifier(Box::new(Kernel(notifier)));
}
