//! The file system: names, inodes, handles, write sessions and control files over an open [`Storage`].
//!
//! It speaks of files and directories in words of its own and knows neither the kernel's protocol nor the
//! crate that speaks it, so that it is tested without a mount.
//!
//! Locks, to be taken downwards only: the state of one session, listing or metadata edit (1, held over the
//! backend's I/O for that one file); all tables (2, leaf locks: look up, clone the `Arc`, release). No table is
//! locked while the kernel is told something.

mod attr;
mod control;
mod dir;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod hand_set;
mod handle;
mod inode;
mod io;
mod known;
mod name;
mod namespace;
mod notify;
mod pinned;
mod plain;
mod session;
mod sessions;
mod stragglers;
mod trim;
mod version;
mod watch;
mod xattr;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

pub use attr::{AttrChange, FileAttr, FileKind};
pub use dir::Listed;
pub use error::{FsError, FsResult};
pub use handle::Handle;
pub use inode::{Ino, ROOT, STORES};
pub use io::{OpenMode, Opened};
pub use notify::Invalidate;

use crate::engine::{Storage, Store};
use crate::model::{AttributeChange, Attributes};
use control::PurgeReports;
use hand_set::HandSetTypes;
use handle::HandleTable;
use inode::{InodeTable, KnownNode, Node, StoreNode};
use pinned::Pinned;
use sessions::{Intents, Sessions};
use watch::Watching;

/// The directory of all key-value stores, in the root.
const STORES_NAME: &[u8] = b"key_value_stores";

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

/// Who asks: what the kernel says of the caller.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Thread.
    pub thread: u32,
}

impl Caller {
    /// Mode and owner of something that the caller makes, where they differ from how it was made.
    fn owning(&self, permissions: u32, made: &Attributes) -> AttributeChange {
        AttributeChange {
            mode: Some(permissions & 0o7777),
            uid: (self.uid != made.uid).then_some(self.uid),
            gid: (self.gid != made.gid).then_some(self.gid),
            ..AttributeChange::default()
        }
    }
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
    fn unkept(attr: FileAttr) -> Self {
        Self { attr, entry_ttl: Duration::ZERO, attr_ttl: Duration::ZERO }
    }
}

/// A mounted storage.
#[derive(Debug)]
pub struct FileSystem {
    storage: Storage,
    options: FsOptions,
    inodes: InodeTable,
    handles: HandleTable,
    sessions: Sessions,
    intents: Intents,
    purges: PurgeReports,
    hand_set: HandSetTypes,
    notifier: OnceLock<Box<dyn Invalidate>>,
    watching: Watching,
    /// Set once, when the mount begins, where it is served without opens.
    pinned: OnceLock<Pinned>,
    started: (Instant, SystemTime),
    /// Publishes that failed after their writer had closed, so that only the log could tell.
    late_failures: AtomicU64,
}

impl FileSystem {
    /// Shows a storage.
    #[must_use]
    pub fn new(storage: Storage, options: FsOptions) -> Self {
        Self {
            inodes: InodeTable::new(options.plain),
            storage,
            options,
            handles: HandleTable::default(),
            sessions: Sessions::default(),
            intents: Intents::default(),
            purges: PurgeReports::default(),
            hand_set: HandSetTypes::default(),
            notifier: OnceLock::new(),
            watching: Watching::default(),
            pinned: OnceLock::new(),
            started: (Instant::now(), SystemTime::now()),
            late_failures: AtomicU64::new(0),
        }
    }

    /// The storage that is shown.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// State and counters of the mount.
    #[must_use]
    pub fn status(&self) -> serde_json::Value {
        json!({
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.started.0.elapsed().as_secs(),
            "read_only": self.options.read_only,
            "input_key": self.storage.input_key(),
            "inodes": self.inodes.len(),
            "handles": self.handles.len(),
            "write_sessions": self.sessions.len(),
            "late_failures": self.late_failures.load(Ordering::Relaxed),
            "pinned": self.pinned_count(),
            "watching": self.is_watching(),
            "watch": self.watch_status(),
        })
    }

    fn store(&self, node: &StoreNode) -> Store {
        self.storage.store(&node.name())
    }

    fn node(&self, ino: Ino) -> FsResult<KnownNode> {
        self.inodes.get(ino).ok_or(FsError::Stale)
    }

    fn store_node(&self, ino: Ino) -> FsResult<Arc<StoreNode>> {
        match &*self.node(ino)? {
            Node::Store(store) => Ok(Arc::clone(store)),
            Node::Root | Node::Stores => Err(FsError::NotPermitted),
            _ => Err(FsError::NotDirectory),
        }
    }

    fn refuse_if_read_only(&self) -> FsResult<()> {
        if self.options.read_only { Err(FsError::ReadOnly) } else { Ok(()) }
    }
}
