//! What the kernel is told: that what it has cached is no longer so.

use crate::fs::ino::Ino;

/// Has the kernel ask for the attributes of inodes again. Implemented where the kernel is spoken to.
///
/// Inodes, or all names, but never one name: to drop that the kernel needs the lock of its directory, which a
/// request of somebody else may hold that waits for us. Were we killed then, neither would ever end.
pub trait Invalidate: Send + Sync + std::fmt::Debug {
    /// Drops the attributes of inodes. Waits for nobody.
    fn attributes(&self, inodes: &[Ino]);

    /// Has every name looked up again at its next use, whether it was found before or not. Takes no lock of a
    /// directory and waits for nobody. Gives back false where the kernel cannot be told so.
    fn names(&self) -> bool {
        false
    }

    /// Has the kernel forget inodes, as far as nobody uses them. Not to be called by all threads that serve at once:
    /// what was just being read when its reader went away is waited for. Does nothing where the kernel cannot be told.
    fn unused(&self, _inodes: &[Ino]) {}
}
