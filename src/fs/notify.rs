//! Telling the kernel that what it has cached is no longer so.

use std::time::Duration;

use super::{FileSystem, Ino};

/// Drops names from the kernel's caches. Implemented where the kernel is spoken to.
///
/// The kernel may need a lock on the directory to do it, which a request of somebody else may hold that waits
/// for us. So an implementation works on a thread of its own, and waits for it with a deadline.
pub trait Invalidate: Send + Sync + std::fmt::Debug {
    /// Drops names, each in a directory, and waits for it, but not longer than `wait`.
    fn entries(&self, names: Vec<(Ino, Vec<u8>)>, wait: Duration);
}

impl FileSystem {
    /// Says how to reach the kernel. Only the first call counts.
    pub fn set_notifier(&self, notifier: Box<dyn Invalidate>) {
        let _ = self.notifier.set(notifier);
    }

    pub(super) fn invalidate(&self, names: Vec<(Ino, Vec<u8>)>, wait: Duration) {
        if let Some(notifier) = self.notifier.get().filter(|_| !names.is_empty()) {
            notifier.entries(names, wait);
        }
    }
}
