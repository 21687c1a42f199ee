//! Inode numbers.

use std::fmt;

/// The number of an inode. Numbers are never reused, hence the generation is always 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(pub u64);

impl fmt::Display for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The root of the mount.
pub const ROOT: Ino = Ino(1);

/// The directory of all key-value stores.
pub const STORES: Ino = Ino(2);

/// `@status`.
pub(super) const STATUS: Ino = Ino(3);

/// `@log`.
pub(super) const LOG: Ino = Ino(4);

/// The first number that is given out.
pub(super) const FIRST_FREE: u64 = 16;
