//! Who asks, and what the kernel is told of an inode.

use std::time::Duration;

use super::ino::Ino;
use super::processes::{has_supplementary_group, is_interrupted};
use crate::model::{AttributeChange, Attributes};

/// Who asks: what the kernel says of the caller.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Thread; 0 if it has no number here, as one in another PID namespace than the daemon's.
    pub thread: u32,
}

impl Caller {
    /// Whether a signal would wake the caller, or it has ended; not if that cannot be seen.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        is_interrupted(self.thread)
    }

    /// Whether the system lets the caller do what owner and mode refuse.
    pub(super) fn is_privileged(&self) -> bool {
        self.uid == 0
    }

    /// Whether the caller's process is of a group: by its own number, or as `/proc` tells as long as the thread lives.
    pub(super) fn is_in_group(&self, gid: u32) -> bool {
        self.gid == gid || has_supplementary_group(self.thread, gid)
    }

    /// Mode and owner of something that the caller makes, where they differ from how it was made. If it `inherits` the
    /// group of a directory that is set-group-id, it keeps that.
    pub(super) fn owning(
        &self,
        permissions: u32,
        made: &Attributes,
        inherits: bool,
    ) -> AttributeChange {
        AttributeChange {
            mode: Some(permissions & 0o7777),
            uid: (self.uid != made.uid).then_some(self.uid),
            gid: (self.gid != made.gid && !inherits).then_some(self.gid),
            ..AttributeChange::default()
        }
    }
}

/// What is made in a directory of this mode gets the directory's group.
pub(super) const SET_GROUP_ID: u32 = 0o2000;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A plain file.
    File,
}

/// Attributes as they are shown.
#[derive(Clone, Copy, Debug)]
pub struct FileAttr {
    /// Inode number.
    pub ino: Ino,
    /// Directory or file.
    pub kind: FileKind,
    /// Hard links; 0 for a version that was replaced or removed and is still open.
    pub links: u32,
    /// Everything else.
    pub attributes: Attributes,
}

/// An inode as the kernel is told of it. Its lookup has been counted.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Inode number and attributes.
    pub attr: FileAttr,
    /// How long the kernel may trust the name.
    pub entry_ttl: Duration,
    /// How long the kernel may trust the attributes.
    pub attr_ttl: Duration,
}

impl Entry {
    /// An entry of which the kernel may keep nothing.
    pub(super) fn unkept(attr: FileAttr) -> Self {
        Self { attr, entry_ttl: Duration::ZERO, attr_ttl: Duration::ZERO }
    }

    /// The entry of a name that leads elsewhere soon.
    pub(super) fn untrusted(self) -> Self {
        Self { entry_ttl: Duration::ZERO, ..self }
    }
}

/// A change of attributes, as the kernel asks for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttrChange {
    /// New length.
    pub size: Option<u64>,
    /// Owner, mode and times.
    pub attributes: AttributeChange,
}
