//! How what is elsewhere is shown as files, where the storage keeps neither owner nor mode.

use std::time::SystemTime;

use jiff::Timestamp;

use crate::model::{Attributes, Stamp, epoch_ns, system_time};

/// Permissions of a record and of a store.
pub(in crate::backend) const RECORD_MODE: u32 = 0o644;
const STORE_MODE: u32 = 0o755;

/// Unit of [`Attributes::blocks`] in bytes.
const BLOCK: u64 = 512;

/// Whom everything belongs to: who has opened the storage.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend) struct Shown {
    uid: u32,
    gid: u32,
}

impl Default for Shown {
    fn default() -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self { uid, gid: rustix::process::getgid().as_raw() }
    }
}

impl Shown {
    /// Attributes of a version of a record, by its number.
    pub(in crate::backend) fn record(
        self,
        object: u64,
        size: u64,
        modified: SystemTime,
    ) -> Attributes {
        self.attributes(RECORD_MODE, object, size, modified)
    }

    /// The same of what nobody may write.
    #[cfg(feature = "sql")]
    pub(in crate::backend) fn read_only(
        self,
        object: u64,
        size: u64,
        modified: SystemTime,
    ) -> Attributes {
        self.attributes(RECORD_MODE & !0o222, object, size, modified)
    }

    /// Attributes of a store or plain directory.
    pub(in crate::backend) fn store(self, modified: SystemTime) -> Attributes {
        Attributes { links: 2, ..self.attributes(STORE_MODE, 0, 0, modified) }
    }

    fn attributes(self, mode: u32, object: u64, size: u64, modified: SystemTime) -> Attributes {
        let modified_ns = epoch_ns(modified);
        Attributes {
            size,
            blocks: size.div_ceil(BLOCK),
            links: 1,
            mode,
            uid: self.uid,
            gid: self.gid,
            accessed: modified,
            modified,
            changed: modified,
            stamp: Stamp { object, size, modified_ns, changed_ns: modified_ns },
        }
    }
}

/// A moment as a file has it.
pub(in crate::backend) fn file_time(moment: Timestamp) -> SystemTime {
    system_time(i64::try_from(moment.as_nanosecond()).unwrap_or(i64::MAX))
}
