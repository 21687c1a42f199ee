//! Long times to live that stay truthful: what the kernel may trust while the storage is watched, and telling it
//! when it no longer may.
//!
//! The kernel is told by raising its *epoch*: then it looks every name up again at its next use. That drops all
//! that it has cached, so it is done only if a change concerns a name that the kernel was told to trust since the
//! last time. A name that has just changed is not trusted for a while, so that a record which is rewritten again
//! and again costs one epoch and not one for each version.
//!
//! That a name is absent the kernel is never told to trust: an open by that name would fail without asking us, and
//! whoever opens what an SDK has just made must find it (P2).
//!
//! What is looked up while a change is being told is not trusted either: the look may have come before the change,
//! and the answer would reach the kernel after the telling.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use serde_json::json;

use super::inode::{Ino, Node, STORES, StoreNode};
use super::name::Name;
use super::session::Session;
use super::{Caller, Entry, FileAttr, FileKind, FileSystem, FsResult};
use crate::engine::{Change, Watch, Watched};
use crate::model::{Error, Key, StoreName};

/// How long the kernel may trust names and attributes in a watched store, unless `--ttl` allows more. Long enough
/// that it hardly asks; short enough that what no watch tells of, such as a write through a memory map that stays
/// open, does not stay hidden for good.
const WATCHED_TTL: Duration = Duration::from_secs(60);

/// The longest time to live of what no change is told of, and of names in a listing: the kernel takes those for
/// looked up when it has read the listing, not when it has asked for it, so that what is told in between is missed.
const UNTOLD_TTL: Duration = Duration::from_secs(1);

/// How long a name that has changed is not trusted.
const HOT_FOR: Duration = Duration::from_secs(10);

/// How often a record is looked at that this mount itself changes again and again. After that it is told, which is
/// never wrong.
const MOST_LOOKS: usize = 16;

/// The most names that are remembered as trusted, eight bytes and a few each. Beyond that, any name counts as
/// trusted until the next epoch.
const MOST_TRUSTED: usize = 1 << 18;

/// The most names that are remembered as having changed. Beyond that, all are forgotten, and are trusted again.
const MOST_HOT: usize = 1 << 12;

/// The watch, and what the kernel was told to trust.
#[derive(Debug, Default)]
pub(super) struct Watching {
    /// A leaf lock.
    watch: RwLock<Option<Arc<dyn Watch>>>,
    /// Why there is no watch. A leaf lock.
    why_not: Mutex<Option<String>>,
    /// Counts what the watch has told, before anything is done about it.
    told: AtomicU64,
    epochs: AtomicU64,
    /// A leaf lock.
    trusted: Mutex<Trusted>,
    /// A leaf lock.
    own: Mutex<OwnChanges>,
    /// Signalled when a change of our own is done.
    own_done: Condvar,
}

/// Changes that this mount makes: they are on the disk a moment before the table of inodes knows of them, and are
/// nobody else's.
#[derive(Debug, Default)]
struct OwnChanges {
    /// The names of the records that are being changed.
    names: Vec<u64>,
    /// How many have begun.
    count: u64,
}

/// A change that this mount makes to records. Dropped when the table of inodes knows of it.
pub(super) struct OwnChange<'a> {
    watching: &'a Watching,
    names: Vec<u64>,
}

impl Drop for OwnChange<'_> {
    fn drop(&mut self) {
        let mut own = self.watching.own.lock();
        for name in &self.names {
            if let Some(at) = own.names.iter().position(|own| own == name) {
                own.names.swap_remove(at);
            }
        }
        self.watching.own_done.notify_all();
    }
}

/// Names by their hashes: that two have the same one costs at most a look, or an epoch.
#[derive(Debug, Default)]
struct Trusted {
    names: HashSet<u64>,
    is_full: bool,
    hot: HashMap<u64, Instant>,
}

/// A look at a name in a watched directory, from before it is made.
struct Look {
    name: Option<u64>,
    told: u64,
}

/// Looks at records of one store for a listing, from before they are made.
pub(super) struct ListedLooks {
    told: u64,
    name: StoreName,
    /// Whether changes in the store are told.
    is_watched: bool,
    ttl: Duration,
}

impl Watching {
    fn watch(&self) -> Option<Arc<dyn Watch>> {
        self.watch.read().clone()
    }

    /// Waits until this mount changes the record no more. Gives back how many changes have begun.
    fn wait_for_own(&self, name: u64) -> u64 {
        let mut own = self.own.lock();
        while own.names.contains(&name) {
            self.own_done.wait(&mut own);
        }
        own.count
    }

    fn is_told_since(&self, look: &Look) -> bool {
        self.told.load(Ordering::SeqCst) != look.told
    }

    /// Notes that the kernel is about to trust a name. Gives back false if it must not.
    fn trust(&self, look: &Look) -> bool {
        let Some(name) = look.name else { return true };
        let mut trusted = self.trusted.lock();
        if trusted.is_hot(name) {
            return false;
        }
        trusted.insert(name);
        // Under the lock: who tells looks into the table after having counted.
        !self.is_told_since(look)
    }
}

impl Trusted {
    fn insert(&mut self, name: u64) {
        if self.names.len() < MOST_TRUSTED {
            self.names.insert(name);
        } else {
            self.is_full |= !self.names.contains(&name);
        }
    }

    fn contains(&self, name: u64) -> bool {
        self.is_full || self.names.contains(&name)
    }

    /// Whether the name is trusted. If it is not since it has changed, it stays so from now on.
    fn contains_or_heats(&mut self, name: u64) -> bool {
        let is_trusted = self.contains(name);
        if !is_trusted && self.is_hot(name) {
            self.make_hot(name);
        }
        is_trusted
    }

    fn is_hot(&self, name: u64) -> bool {
        self.hot.get(&name).is_some_and(|at| at.elapsed() < HOT_FOR)
    }

    fn make_hot(&mut self, name: u64) {
        if self.hot.len() >= MOST_HOT {
            self.hot.retain(|_, at| at.elapsed() < HOT_FOR);
            if self.hot.len() >= MOST_HOT {
                self.hot.clear();
            }
        }
        self.names.remove(&name);
        self.hot.insert(name, Instant::now());
    }

    fn clear(&mut self) {
        self.names = HashSet::new();
        self.is_full = false;
    }
}

fn hash_of(subject: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    subject.hash(&mut hasher);
    hasher.finish()
}

fn hash_of_record(store: &StoreName, key: &Key) -> u64 {
    hash_of((store, key))
}

fn hash_of_store(name: &StoreName) -> u64 {
    hash_of((STORES, name))
}

impl FileSystem {
    /// Begins to watch the storage, if that is of use and can be done. To be called when the kernel can be told,
    /// and before it is served.
    pub fn start_watching(self: &Arc<Self>) {
        if self.is_watching() {
            return;
        }
        if self.options.ttl.is_zero() {
            self.note_watch(Err("nothing is cached with a time to live of 0".to_owned()));
        } else if !self.notifier.get().is_some_and(|notifier| notifier.names()) {
            let reason = "this kernel cannot be told to look names up again; Linux 6.16 can";
            self.note_watch(Err(reason.to_owned()));
        } else {
            self.watch_storage();
        }
    }

    /// Begins to watch the storage, for a kernel that can be told.
    pub(super) fn watch_storage(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        self.note_watch(self.storage.watch(Box::new(move |changes| {
            if let Some(fs) = weak.upgrade() {
                fs.tell(changes);
            }
        })));
    }

    fn note_watch(&self, started: Watched) {
        match started {
            Ok(watch) => *self.watching.watch.write() = Some(watch),
            Err(reason) => {
                log::info!(
                    "changes by others are seen within {} s: the storage is not watched, since {reason}",
                    self.options.ttl.as_secs_f64()
                );
                *self.watching.why_not.lock() = Some(reason);
            }
        }
    }

    /// Ends the watch.
    pub fn stop_watching(&self) {
        let watch = self.watching.watch.write().take();
        *self.watching.why_not.lock() = Some("the mount is ending".to_owned());
        drop(watch);
    }

    /// Whether changes by others are told.
    pub(super) fn is_watching(&self) -> bool {
        self.watching.watch.read().is_some()
    }

    /// What `@status` says of the watch.
    pub(super) fn watch_status(&self) -> serde_json::Value {
        let watch = self.watching.watch();
        let counters = watch.as_ref().map(|watch| watch.counters()).unwrap_or_default();
        json!({
            "reason": *self.watching.why_not.lock(),
            "watches": counters.watches,
            "overflows": counters.overflows,
            "epochs": self.watching.epochs.load(Ordering::Relaxed),
        })
    }

    /// Looks a name up as [`lookup`](Self::lookup) does, for a kernel that may trust the outcome for long.
    ///
    /// # Errors
    /// As `lookup`.
    pub fn lookup_to_trust(&self, caller: &Caller, parent: Ino, name: &[u8]) -> FsResult<Entry> {
        let look = self.begin_look(parent, name);
        let entry = self.lookup(caller, parent, name)?;
        Ok(match look {
            Some(look) => self.trusted_entry(&look, entry, self.watched_ttl()),
            // The kernel would open it for as long without asking.
            None if self.is_without_opens() && entry.attr.kind == FileKind::File => {
                Entry { entry_ttl: Duration::ZERO, ..entry }
            }
            None => entry,
        })
    }

    /// The entry of a name that is being listed.
    pub(super) fn listed_entry(&self, parent: Ino, name: &[u8]) -> FsResult<Entry> {
        let look = self.begin_look(parent, name);
        let entry = self.entry_of(parent, name)?;
        Ok(match look {
            Some(look) => self.trusted_entry(&look, entry, self.untold_ttl()),
            None => entry,
        })
    }

    /// Before many records of a store are looked at for a listing.
    pub(super) fn begin_listed(&self, store: &StoreNode) -> ListedLooks {
        let told = self.watching.told.load(Ordering::SeqCst);
        let name = store.name();
        let watch = self.watching.watch().filter(|_| !name.is_plain());
        let is_watched = watch.is_some_and(|watch| watch.watch_store(&name));
        ListedLooks { told, name, is_watched, ttl: self.untold_ttl() }
    }

    /// The entry of a record without a session that is being listed.
    pub(super) fn listed_record(&self, looks: &ListedLooks, key: &Key, attr: FileAttr) -> Entry {
        let entry = Entry { attr, entry_ttl: looks.ttl, attr_ttl: looks.ttl };
        if !looks.is_watched {
            return entry;
        }
        let look = Look { name: Some(hash_of_record(&looks.name, key)), told: looks.told };
        self.trusted_entry(&look, entry, looks.ttl)
    }

    /// How long the kernel may trust what no change is told of.
    pub(super) fn untold_ttl(&self) -> Duration {
        if self.is_watching() { UNTOLD_TTL.min(self.options.ttl) } else { self.options.ttl }
    }

    /// How long the attributes of a version may be trusted.
    pub(super) fn version_ttl(&self, store: &StoreNode) -> Duration {
        match self.watching.watch() {
            Some(watch) if watch.watches_store(&store.name()) => self.watched_ttl(),
            _ => self.untold_ttl(),
        }
    }

    fn watched_ttl(&self) -> Duration {
        self.options.ttl.max(WATCHED_TTL)
    }

    /// `None` if the outcome must not be trusted for long.
    fn begin_look(&self, parent: Ino, name: &[u8]) -> Option<Look> {
        let watch = self.watching.watch()?;
        let told = self.watching.told.load(Ordering::SeqCst);
        let name = match &*self.inodes.get(parent)? {
            // What the root holds is always the same.
            Node::Root if name == super::STORES_NAME => None,
            Node::Stores if watch.watches_stores() => {
                let name = StoreName::new(std::str::from_utf8(name).ok()?).ok()?;
                Some(hash_of_store(&name))
            }
            Node::Store(store) => {
                if store.is_plain() {
                    return None;
                }
                let Ok(Name::Record(key)) = store.parse(name) else { return None };
                // When a session publishes, the name is another version's (P3).
                let has_session = self.sessions.get(store, &key).is_some();
                if has_session || !watch.watch_store(&store.name()) {
                    return None;
                }
                Some(hash_of_record(&store.name(), &key))
            }
            _ => return None,
        };
        Some(Look { name, told })
    }

    fn trusted_entry(&self, look: &Look, entry: Entry, ttl: Duration) -> Entry {
        if entry.entry_ttl.is_zero() {
            return entry;
        }
        let entry_ttl = if self.watching.trust(look) { ttl } else { Duration::ZERO };
        Entry { entry_ttl, ..entry }
    }

    /// What this mount itself has published under a name needs no telling: while its session lived, the kernel was
    /// told to trust nothing of that name.
    pub(super) fn forget_trust(&self, session: &Session) {
        if !self.is_watching() {
            return;
        }
        let Some(stamp) = session.published_stamp() else { return };
        let (store, key) = session.record();
        // Beside one that has failed, others may have been told to trust the name.
        if !self.sessions.get(&store, &key).is_some_and(|joined| std::ptr::eq(&*joined, session)) {
            return;
        }
        self.watching.own.lock().count += 1;
        self.watching.trusted.lock().names.remove(&hash_of_record(&store.name(), &key));
        self.inodes.unlink_replaced(&store, &key, &stamp);
    }

    /// Announces a change of records whose names lead to published versions.
    pub(super) fn begin_own(&self, records: &[(&Arc<StoreNode>, &Key)]) -> Option<OwnChange<'_>> {
        if !self.is_watching() {
            return None;
        }
        let names = records.iter().map(|(store, key)| hash_of_record(&store.name(), key));
        let names: Vec<u64> = names.collect();
        let mut own = self.watching.own.lock();
        own.names.extend(&names);
        own.count += 1;
        Some(OwnChange { watching: &self.watching, names })
    }

    /// The kernel is about to move a name that it may trust to a record's new name.
    pub(super) fn expect_record(&self, store: &StoreNode, key: &Key) {
        if self.is_watching() {
            self.watching.trusted.lock().insert(hash_of_record(&store.name(), key));
        }
    }

    /// A store is no longer known by its inode.
    pub(super) fn store_forgotten(&self, store: &StoreNode) {
        let Some(watch) = self.watching.watch() else { return };
        let name = store.name();
        watch.forget_store(&name);
        if self.inodes.known_store(&name).is_some() {
            // It was looked up again meanwhile, and may have been taken for watched.
            self.tell(&HashSet::from([Change::Store(name)]));
        }
    }

    /// Has the kernel look every name up again. Waits for nobody.
    pub(super) fn distrust_names(&self) {
        // First: what is noted from here on may be trusted by the new epoch.
        self.watching.trusted.lock().clear();
        if self.options.ttl.is_zero() {
            return;
        }
        if self.notifier.get().is_some_and(|notifier| notifier.names()) {
            self.watching.epochs.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells the kernel what it must no longer trust.
    fn tell(&self, changes: &HashSet<Change>) {
        self.watching.told.fetch_add(1, Ordering::SeqCst);
        let mut changed = HashSet::new();
        let mut stale = Vec::new();
        let mut is_stale = false;
        for change in changes {
            match change {
                Change::Everything => is_stale = true,
                Change::Store(store) => {
                    changed.extend(self.inodes.known_store(store).map(|node| node.ino));
                    is_stale = true;
                }
                Change::StoreName(store) => {
                    changed.insert(STORES);
                    is_stale |= self.is_stale_store(store);
                }
                Change::Record(store, key) => {
                    let Some(node) = self.inodes.known_store(store) else { continue };
                    changed.insert(node.ino);
                    if self.is_stale_record(&node, key) {
                        stale.push((node, key));
                        is_stale = true;
                    }
                }
            }
        }
        let unused = self.versions_changed(changes);
        for (store, key) in &stale {
            changed.extend(self.inodes.known_version(store, key));
            self.inodes.unlink_version(store, key);
            let name = hash_of_record(&store.name(), key);
            self.watching.trusted.lock().make_hot(name);
        }
        if is_stale {
            log::debug!(
                "the kernel must look names up again, since these have changed: {changes:?}"
            );
            self.distrust_names();
        }
        self.prune(&unused);
        self.invalidate(&changed.into_iter().collect::<Vec<_>>());
    }

    /// Whether the kernel trusts what is no longer so of the name of a store.
    fn is_stale_store(&self, name: &StoreName) -> bool {
        self.watching.trusted.lock().contains(hash_of_store(name))
            && self.storage.store(name).attributes().is_err()
    }

    /// Whether the kernel trusts what is no longer so of the name of a record.
    fn is_stale_record(&self, store: &StoreNode, key: &Key) -> bool {
        let name = hash_of_record(&store.name(), key);
        if !self.watching.trusted.lock().contains_or_heats(name) {
            return false;
        }
        for _ in 0..MOST_LOOKS {
            let begun = self.watching.wait_for_own(name);
            let now = match self.store(store).record(key) {
                Ok(attributes) => Some(attributes.stamp),
                Err(Error::NoSuchRecord { .. } | Error::NoSuchStore { .. }) => None,
                Err(error) => {
                    log::debug!("record '{key}' of store '{}': {error}", store.name());
                    None
                }
            };
            if self.inodes.known_stamp(store, key) == now {
                return false;
            }
            // Names under a session are not trusted.
            if self.sessions.get(store, key).is_some() {
                return false;
            }
            if self.watching.own.lock().count == begun {
                return self.watching.trusted.lock().contains(name);
            }
        }
        true
    }
}
