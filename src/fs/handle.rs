//! Open files and directories.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::control::PurgeTrigger;
use super::entry::Caller;
use super::insight::LogReader;
use super::listings::Listing;
use super::metadata_files::MetadataFile;
use super::writers::{Share, WriteSession};
use crate::backend::Value;
use crate::ranks::{Mutex, Table};

/// The number of an open file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub u64);

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is open.
#[derive(Debug)]
pub(super) enum Open {
    /// A record, for reading: one version to its end (P1).
    Reader(Arc<dyn Value>),
    /// A record that had never been published when it was opened for reading, as it grows.
    Follower(Follower),
    /// A record, for writing.
    Writer(Writer),
    /// A text that was made at open: `@status`, `@purge`, or the metadata.
    Text(Vec<u8>),
    /// `@log`.
    Log(LogReader),
    /// `@purge`, for writing.
    Purge(PurgeTrigger),
    /// `__metadata__.json` or a sidecar, for writing.
    Metadata(Arc<MetadataFile>),
    /// A directory.
    Directory(Listing),
}

/// A record that is read as it grows.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) session: Arc<WriteSession>,
    pub(super) opener: Caller,
}

/// A record that is open for writing.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) session: Arc<WriteSession>,
    /// What this handle has done that is not published.
    pub(super) share: Arc<Share>,
}

/// All that is open. What is open guards itself.
#[derive(Debug)]
pub(super) struct HandleTable {
    handles: Mutex<Table, Handles>,
    /// The largest number of an earlier worker of the same mount.
    earlier: u64,
}

#[derive(Debug)]
struct Handles {
    open: HashMap<Handle, Arc<Open>>,
    last: u64,
}

/// So many bits of a handle's number count the handles of one worker.
const COUNTING_BITS: u32 = 40;

impl HandleTable {
    /// For a worker of a mount, counted from 1; 0 for a mount that has one process. No two workers give out the same number.
    pub(super) fn of_worker(worker: u64) -> Self {
        let earlier = worker << COUNTING_BITS;
        let handles = Mutex::new(Handles { open: HashMap::new(), last: earlier });
        Self { handles, earlier }
    }

    /// Whether a handle was given out by an earlier worker.
    pub(super) fn is_earlier(&self, handle: Handle) -> bool {
        handle.0 <= self.earlier
    }

    /// What an earlier worker had open is open again.
    pub(super) fn restore(&self, handle: Handle, open: Open) {
        self.handles.lock().open.entry(handle).or_insert_with(|| Arc::new(open));
    }

    pub(super) fn insert(&self, open: Open) -> Handle {
        let mut handles = self.handles.lock();
        handles.last += 1;
        let handle = Handle(handles.last);
        handles.open.insert(handle, Arc::new(open));
        handle
    }

    pub(super) fn get(&self, handle: Handle) -> Option<Arc<Open>> {
        self.handles.lock().open.get(&handle).cloned()
    }

    pub(super) fn remove(&self, handle: Handle) -> Option<Arc<Open>> {
        self.handles.lock().open.remove(&handle)
    }

    pub(super) fn len(&self) -> usize {
        self.handles.lock().open.len()
    }
}
