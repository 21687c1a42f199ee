//! Open files and directories.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::control::{MetadataEdit, PurgeTrigger};
use super::dir::Listing;
use super::session::{Session, Share};
use crate::backend::Value;

/// The number of an open file or directory.
pub type Handle = u64;

/// What is open.
#[derive(Debug)]
pub(super) enum Open {
    /// A record, for reading: one version to its end (P1).
    Reader(Arc<dyn Value>),
    /// A record, for writing.
    Writer {
        session: Arc<Session>,
        /// Whether every write goes to the end.
        append: bool,
        /// What this handle has done that is not published.
        share: Share,
    },
    /// A text that was made at open: `@status`, `@purge`, or the metadata.
    Text(Vec<u8>),
    /// `@purge`, for writing.
    Purge(PurgeTrigger),
    /// `__metadata__.json`, for writing.
    Metadata(MetadataEdit),
    /// A directory.
    Directory(Listing),
}

/// All that is open. A leaf lock guards the table; what is open guards itself.
#[derive(Debug, Default)]
pub(super) struct HandleTable {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<Handle, Arc<Open>>,
    next: Handle,
}

impl HandleTable {
    pub(super) fn insert(&self, open: Open) -> Handle {
        let mut inner = self.inner.lock();
        inner.next += 1;
        let handle = inner.next;
        inner.open.insert(handle, Arc::new(open));
        handle
    }

    pub(super) fn get(&self, handle: Handle) -> Option<Arc<Open>> {
        self.inner.lock().open.get(&handle).cloned()
    }

    pub(super) fn remove(&self, handle: Handle) -> Option<Arc<Open>> {
        self.inner.lock().open.remove(&handle)
    }

    pub(super) fn len(&self) -> usize {
        self.inner.lock().open.len()
    }
}
