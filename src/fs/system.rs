//! The mounted storage: its owners, and what they are asked together.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use super::abilities::{Abilities, Ability};
use super::control::PurgeReports;
use super::entry::{Caller, Entry};
use super::error::{FsError, FsResult};
use super::handle::HandleTable;
use super::ino::Ino;
use super::insight::Insight;
use super::kept::{Kept, LeftBacking};
use super::locks::Locks;
use super::metadata_files::Sidecars;
use super::options::FsOptions;
use super::pinned::Pinned;
use super::problems::Problems;
use super::space::Room;
use super::store_node::StoreNode;
use super::trust::Trust;
use super::versions::{KnownNode, Node, Versions};
use super::writers::Writers;
use crate::engine::{Storage, Store};
use crate::model::StoreName;

/// A mounted storage.
///
/// Each field owns its part and is asked by its methods alone. What concerns several of them is in the files that say
/// what the kernel asks: `lookup`, `open`, `write`, `attr`, `xattr`, `remove`, `rename`, `list`, `purge`, `metadata`,
/// `sidecars`, `changes`.
#[derive(Debug)]
pub struct FileSystem {
    pub(super) storage: Storage,
    pub(super) options: FsOptions,
    /// Whether a network is between.
    pub(super) is_remote: bool,
    pub(super) room: Room,
    pub(super) versions: Versions,
    pub(super) handles: HandleTable,
    pub(super) writers: Writers,
    pub(super) locks: Arc<Locks>,
    pub(super) purges: PurgeReports,
    pub(super) problems: Problems,
    pub(super) sidecars: Sidecars,
    pub(super) trust: Trust,
    pub(super) abilities: Abilities,
    /// What survives this process, where another one would take over.
    pub(super) kept: Option<Arc<Kept>>,
    /// What the kernel reads for an earlier worker, until it is taken. A leaf lock.
    pub(super) backings: parking_lot::Mutex<Vec<LeftBacking>>,
    /// Set once, when the mount begins, where it is served without opens.
    pub(super) pinned: OnceLock<Pinned>,
    pub(super) started: (Instant, SystemTime),
    pub(super) insight: Insight,
    /// Publishes that failed after their writer had closed, so that only the log could tell.
    pub(super) late_failures: AtomicU64,
}

/// A lookup that the kernel is about to be told of. Dropped before that, it is taken back.
#[must_use]
pub(super) struct Counted<'a> {
    fs: &'a FileSystem,
    ino: Ino,
}

impl Counted<'_> {
    pub(super) fn ino(&self) -> Ino {
        self.ino
    }

    /// The kernel is told.
    pub(super) fn told(self) {
        std::mem::forget(self);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.fs.forget(self.ino, 1);
    }
}

impl FileSystem {
    /// Shows a storage.
    #[must_use]
    pub fn new(storage: Storage, options: FsOptions) -> Self {
        Self::with_kept(storage, options, None)
    }

    /// As [`new`](Self::new), for a worker of a mount that is supervised.
    #[must_use]
    pub fn with_kept(storage: Storage, options: FsOptions, kept: Option<Arc<Kept>>) -> Self {
        let worker = kept.as_deref().map_or(0, Kept::worker);
        Self {
            versions: Versions::new(
                match options.plain {
                    true => Some(StoreName::plain_root()),
                    false => options.store.clone(),
                },
                kept.clone(),
            ),
            is_remote: storage.traits().is_remote,
            room: Room::default(),
            storage,
            trust: Trust::new(options.ttl),
            abilities: Abilities::of(&options),
            options,
            handles: HandleTable::of_worker(worker),
            writers: Writers::default(),
            locks: Arc::default(),
            purges: PurgeReports::default(),
            problems: Problems::default(),
            sidecars: Sidecars::default(),
            kept,
            backings: parking_lot::Mutex::default(),
            pinned: OnceLock::new(),
            started: (Instant::now(), SystemTime::now()),
            insight: Insight::default(),
            late_failures: AtomicU64::new(0),
        }
    }

    /// The storage that is shown.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Whether the kernel does something by itself.
    #[must_use]
    pub fn has(&self, ability: Ability) -> bool {
        self.abilities.has(ability)
    }

    /// The kernel cannot do something, for this reason.
    pub fn note_lack(&self, ability: Ability, reason: &str) {
        self.abilities.note_lack(ability, reason);
    }

    /// Takes back lookups.
    pub fn forget(&self, ino: Ino, lookups: u64) {
        if let Some(pinned) = self.pinned.get() {
            pinned.forget(ino, lookups);
        }
        match self.versions.forget(ino, lookups).as_deref() {
            Some(Node::Writer(session)) if !session.is_live() => self.writers.forget(session),
            Some(Node::Store(store)) => self.store_forgotten(store),
            _ => {}
        }
    }

    /// A lookup that a table has just counted.
    pub(super) fn counted(&self, ino: Ino) -> Counted<'_> {
        Counted { fs: self, ino }
    }

    /// The entry of an inode whose lookup is counted.
    pub(super) fn told(
        &self,
        counted: Counted<'_>,
        entry: impl FnOnce(Ino) -> FsResult<Entry>,
    ) -> FsResult<Entry> {
        let entry = entry(counted.ino())?;
        counted.told();
        Ok(entry)
    }

    pub(super) fn store(&self, node: &StoreNode) -> Store {
        node.with_name(|name| self.storage.store(name))
    }

    pub(super) fn node(&self, ino: Ino) -> FsResult<KnownNode> {
        self.versions.get(ino).ok_or(FsError::Stale)
    }

    pub(super) fn store_node(&self, ino: Ino) -> FsResult<Arc<StoreNode>> {
        match &*self.node(ino)? {
            Node::Store(store) => Ok(Arc::clone(store)),
            Node::Root | Node::Stores | Node::Private(_) => Err(FsError::NotPermitted),
            _ => Err(FsError::NotDirectory),
        }
    }

    pub(super) fn refuse_if_read_only(&self) -> FsResult<()> {
        if self.options.read_only { Err(FsError::ReadOnly) } else { Ok(()) }
    }

    /// A publish failed of which nobody can be told.
    pub(super) fn note_late_failure(&self, what: &str, error: &FsError) {
        self.late_failures.fetch_add(1, Ordering::Relaxed);
        log::error!("{what} could not be published after its last close: {error}");
    }

    /// What a thread has announced, it does not do.
    pub(super) fn withdraw(&self, caller: &Caller) {
        self.writers.announcements().withdraw(caller.thread);
    }
}
