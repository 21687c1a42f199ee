//! An inode that one lookup got for itself, and that becomes what its open makes of it.
//!
//! A caller in another PID namespace has no number, so a lookup of his cannot be told from that of another such caller.
//! While any of them is about to look a name up again in order to open it, each lookup gets such an inode: opened for
//! reading it is the version that the lookup found, opened for writing it is one of the writers'. Nobody else's open
//! comes to it, since its name is trusted by nobody.

use std::sync::Arc;

use super::version::VersionNode;
use crate::backend::Value;
use crate::ranks::{Mutex, TableEntry};

/// What a lookup found for an open of which it is not known yet what it is for.
#[derive(Debug)]
pub(in crate::fs) struct Ticket {
    /// The version that the lookup found.
    pub(in crate::fs) version: VersionNode,
    /// Its bytes, until the open comes or is no longer waited for.
    value: Mutex<TableEntry, Option<Arc<dyn Value>>>,
}

impl Ticket {
    pub(in crate::fs) fn new(version: VersionNode, value: Arc<dyn Value>) -> Self {
        let value = version.share_value(value);
        Self { version, value: Mutex::new(Some(value)) }
    }

    /// The same under another name of the record.
    pub(super) fn moved(&self, version: VersionNode) -> Self {
        Self { version, value: Mutex::new(self.take()) }
    }

    /// The bytes for the open that comes first.
    pub(in crate::fs) fn take(&self) -> Option<Arc<dyn Value>> {
        self.value.lock().take()
    }
}
