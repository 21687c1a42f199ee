//! How a storage is shown.

use std::time::Duration;

use crate::model::Attributes;

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
        }
    }
}

impl FsOptions {
    /// Attributes as they are shown.
    pub(super) fn shown(&self, mut attributes: Attributes) -> Attributes {
        attributes.uid = self.uid.unwrap_or(attributes.uid);
        attributes.gid = self.gid.unwrap_or(attributes.gid);
        attributes.mode &= !self.umask.unwrap_or(0);
        attributes
    }
}
