//! How a storage is shown.

use std::time::Duration;

use crate::model::{Attributes, StoreName};

/// How a storage is shown.
#[derive(Clone, Debug)]
pub struct FsOptions {
    /// Show every file as this user's.
    pub uid: Option<u32>,
    /// Show every file as this group's.
    pub gid: Option<u32>,
    /// Take these permission bits away from everything that is shown.
    pub umask: Option<u32>,
    /// How long the kernel may trust names and attributes.
    pub ttl: Duration,
    /// Refuse changes of attributes that have no effect, instead of accepting them.
    pub strict: bool,
    /// Refuse every change.
    pub read_only: bool,
    /// Serve extended attributes.
    pub xattr: bool,
    /// Let the kernel read large records by itself, where it can.
    pub passthrough: bool,
    /// Show the storage as it is on disk: sidecars, temporaries and all.
    pub plain: bool,
    /// Show this store as the root, and nothing else.
    pub store: Option<StoreName>,
    /// Permission bits of every record and file, instead of its own.
    pub file_mode: Option<u32>,
    /// Permission bits of every store and directory, instead of its own.
    pub dir_mode: Option<u32>,
    /// Delete no record and no store.
    pub no_delete: bool,
    /// Change no record that is there.
    pub no_overwrite: bool,
    /// For how long what `@purge` removes from a key-value store is kept.
    pub keep_purged: Option<Duration>,
}

impl Default for FsOptions {
    fn default() -> Self {
        Self {
            uid: None,
            gid: None,
            umask: None,
            ttl: Duration::from_secs(1),
            strict: false,
            read_only: false,
            xattr: true,
            passthrough: true,
            plain: false,
            store: None,
            file_mode: None,
            dir_mode: None,
            no_delete: false,
            no_overwrite: false,
            keep_purged: None,
        }
    }
}

impl FsOptions {
    /// Attributes of a file as they are shown.
    pub(super) fn shown_file(&self, attributes: Attributes) -> Attributes {
        self.shown(attributes, self.file_mode)
    }

    /// Attributes of a directory as they are shown.
    pub(super) fn shown_directory(&self, attributes: Attributes) -> Attributes {
        self.shown(attributes, self.dir_mode)
    }

    fn shown(&self, mut attributes: Attributes, mode: Option<u32>) -> Attributes {
        attributes.mode = mode.unwrap_or(attributes.mode);
        attributes.uid = self.uid.unwrap_or(attributes.uid);
        attributes.gid = self.gid.unwrap_or(attributes.gid);
        attributes.mode &= !self.umask.unwrap_or(0);
        attributes
    }
}
