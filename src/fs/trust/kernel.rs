//! What the kernel may trust, and telling it when it no longer may.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;

use super::notify::Invalidate;
use super::own::{OwnChange, OwnChanges};
use super::removals::Removals;
use super::trusted::{Trusted, hash_of_record};
use crate::engine::{Watch, Watched};
use crate::fs::entry::{Entry, FileAttr};
use crate::fs::ino::Ino;
use crate::fs::store_node::StoreNode;
use crate::model::{Key, StoreName};
use crate::ranks::{Mutex, RwLock, Table};

/// How long the kernel may trust names and attributes in a watched store, unless `--ttl` allows more. Long enough
/// that it hardly asks; short enough that what no watch tells of, such as a write through a memory map that stays
/// open, does not stay hidden for good.
const WATCHED_TTL: Duration = Duration::from_secs(60);

/// The longest time to live of what no change is told of, and of names in a listing: the kernel takes those for
/// looked up when it has read the listing, not when it has asked for it, so that what is told in between is missed.
const UNTOLD_TTL: Duration = Duration::from_secs(1);

/// The most inodes that the kernel is told of at once, so that it does not do it for long.
const PRUNED_AT_ONCE: usize = 8192;

/// The watch, the way to the kernel, and what that was told to trust.
#[derive(Debug)]
pub(in crate::fs) struct Trust {
    /// What `--ttl` says.
    ttl: Duration,
    notifier: OnceLock<Box<dyn Invalidate>>,
    watch: RwLock<Table, Option<Arc<dyn Watch>>>,
    /// Why there is no watch.
    why_not: Mutex<Table, Option<String>>,
    /// Counts what the watch has told, before anything is done about it.
    told: AtomicU64,
    epochs: AtomicU64,
    trusted: Mutex<Table, Trusted>,
    own: OwnChanges,
    removals: Removals,
}

/// A moment, by what was known to have changed before it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::fs) struct Moment {
    told: u64,
    removals: u64,
}

/// A look at a name in a watched directory, from before it is made.
pub(in crate::fs) struct NameLook {
    name: Option<u64>,
    told: u64,
}

/// Looks at records of one store for a listing, from before they are made.
pub(in crate::fs) struct ListedLooks {
    told: u64,
    name: StoreName,
    /// Whether changes in the store are told.
    is_watched: bool,
    ttl: Duration,
}

impl NameLook {
    /// The same look, at a name that is known by now.
    pub(in crate::fs) fn of(self, name: Option<u64>) -> Self {
        Self { name, ..self }
    }
}

impl Trust {
    pub(in crate::fs) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            notifier: OnceLock::new(),
            watch: RwLock::default(),
            why_not: Mutex::default(),
            told: AtomicU64::new(0),
            epochs: AtomicU64::new(0),
            trusted: Mutex::default(),
            own: OwnChanges::default(),
            removals: Removals::default(),
        }
    }

    // The way to the kernel

    /// Says how to reach the kernel. Only the first call counts.
    pub(in crate::fs) fn set_notifier(&self, notifier: Box<dyn Invalidate>) {
        let _ = self.notifier.set(notifier);
    }

    /// Whether the kernel can be told to look names up again; it is.
    pub(in crate::fs) fn can_tell_names(&self) -> bool {
        self.notifier.get().is_some_and(|notifier| notifier.names())
    }

    /// Has the kernel ask for the attributes of inodes again.
    pub(in crate::fs) fn invalidate(&self, inodes: &[Ino]) {
        if let Some(notifier) = self.notifier.get() {
            notifier.attributes(inodes);
        }
    }

    /// Has the kernel forget inodes, as far as nobody uses them. One thread at a time: what is just being read is waited
    /// for, and another has to bring it.
    pub(in crate::fs) fn prune(&self, inodes: &[Ino]) {
        let Some(notifier) = self.notifier.get() else { return };
        inodes.chunks(PRUNED_AT_ONCE).for_each(|inodes| notifier.unused(inodes));
    }

    /// Has the kernel look every name up again. Waits for nobody.
    pub(in crate::fs) fn distrust_names(&self) {
        // First: what is noted from here on may be trusted by the new epoch.
        self.trusted.lock().clear();
        if !self.ttl.is_zero() && self.can_tell_names() {
            self.epochs.fetch_add(1, Ordering::Relaxed);
        }
    }

    // The watch

    pub(in crate::fs) fn watch(&self) -> Option<Arc<dyn Watch>> {
        self.watch.read().clone()
    }

    /// Whether changes by others are told.
    pub(in crate::fs) fn is_watching(&self) -> bool {
        self.watch.read().is_some()
    }

    /// Whether anything may be trusted at all.
    pub(in crate::fs) fn is_trusting(&self) -> bool {
        !self.ttl.is_zero()
    }

    pub(in crate::fs) fn note_watch(&self, started: Watched) {
        match started {
            Ok(watch) => *self.watch.write() = Some(watch),
            Err(reason) => {
                let within = self.ttl.as_secs_f64();
                log::info!(
                    "changes by others are seen within {within} s: the storage is not watched, since {reason}"
                );
                *self.why_not.lock() = Some(reason);
            }
        }
    }

    /// Ends the watch.
    pub(in crate::fs) fn stop_watching(&self) {
        let watch = self.watch.write().take();
        *self.why_not.lock() = Some("the mount is ending".to_owned());
        drop(watch);
    }

    /// What `@status` says of the watch.
    pub(in crate::fs) fn status(&self) -> serde_json::Value {
        let counters = self.watch().map(|watch| watch.counters()).unwrap_or_default();
        json!({
            "reason": *self.why_not.lock(),
            "watches": counters.watches,
            "overflows": counters.overflows,
            "epochs": self.epochs.load(Ordering::Relaxed),
        })
    }

    /// How many names the kernel trusts, since it is told of each change.
    pub(in crate::fs) fn trusted_names(&self) -> usize {
        self.trusted.lock().len()
    }

    // Times to live

    /// How long the kernel may trust what no change is told of.
    pub(in crate::fs) fn untold_ttl(&self) -> Duration {
        if self.is_watching() { UNTOLD_TTL.min(self.ttl) } else { self.ttl }
    }

    /// How long it may trust what each change is told of.
    pub(in crate::fs) fn watched_ttl(&self) -> Duration {
        self.ttl.max(WATCHED_TTL)
    }

    /// How long the attributes of a version may be trusted.
    pub(in crate::fs) fn version_ttl(&self, store: &StoreNode) -> Duration {
        match self.watch() {
            Some(watch) if watch.watches_store(&store.name()) => self.watched_ttl(),
            _ => self.untold_ttl(),
        }
    }

    // Looks

    /// A look at a name, of which each change is told from now on; at one that stands for what never changes, until it is
    /// said which.
    pub(in crate::fs) fn look(&self) -> NameLook {
        NameLook { name: None, told: self.told.load(Ordering::SeqCst) }
    }

    /// What a look came to, for the kernel to trust for so long, unless something has changed meanwhile.
    pub(in crate::fs) fn trusted(&self, look: &NameLook, entry: Entry, ttl: Duration) -> Entry {
        if entry.entry_ttl.is_zero() {
            return entry;
        }
        Entry { entry_ttl: if self.may_trust(look) { ttl } else { Duration::ZERO }, ..entry }
    }

    /// Before many records of a store are looked at for a listing.
    pub(in crate::fs) fn begin_listed(&self, store: &StoreNode) -> ListedLooks {
        let told = self.told.load(Ordering::SeqCst);
        let name = store.name();
        let watch = self.watch().filter(|_| !name.is_plain());
        let is_watched = watch.is_some_and(|watch| watch.watch_store(&name));
        ListedLooks { told, name, is_watched, ttl: self.untold_ttl() }
    }

    /// The present moment.
    pub(in crate::fs) fn moment(&self) -> Moment {
        Moment { told: self.told.load(Ordering::SeqCst), removals: self.removals.count() }
    }

    /// The entry of a record without a session that is being listed. `told_at` is when the listing was told of it, if it
    /// was not looked at.
    pub(in crate::fs) fn listed_record(
        &self,
        looks: &ListedLooks,
        told_at: Option<Moment>,
        key: &Key,
        attr: FileAttr,
    ) -> Entry {
        let entry = Entry { attr, entry_ttl: looks.ttl, attr_ttl: looks.ttl };
        if !looks.is_watched {
            return entry;
        }
        let name = Some(hash_of_record(&looks.name, key));
        let told = told_at.map_or(looks.told, |moment| moment.told);
        self.trusted(&NameLook { name, told }, entry, looks.ttl)
    }

    /// Notes that the kernel is about to trust a name. Gives back false if it must not.
    fn may_trust(&self, look: &NameLook) -> bool {
        let Some(name) = look.name else { return true };
        let mut trusted = self.trusted.lock();
        if trusted.is_hot(name) {
            return false;
        }
        trusted.insert(name);
        // Under the lock: who tells looks into the table after having counted.
        self.told.load(Ordering::SeqCst) == look.told
    }

    // Changes

    /// Counts that changes are about to be told.
    pub(in crate::fs) fn count_told(&self) {
        self.told.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether the kernel was told to trust a name.
    pub(in crate::fs) fn is_trusted(&self, name: u64) -> bool {
        self.trusted.lock().contains(name)
    }

    /// The same. If it is not since it has changed, it stays so from now on.
    pub(in crate::fs) fn is_trusted_or_stays_hot(&self, name: u64) -> bool {
        self.trusted.lock().contains_or_heats(name)
    }

    /// A name has changed, and is not trusted for a while.
    pub(in crate::fs) fn make_hot(&self, name: u64) {
        self.trusted.lock().make_hot(name);
    }

    /// This mount has removed a record, or given it another name.
    pub(in crate::fs) fn note_removed(&self, store: &StoreNode, key: &Key) {
        self.removals.note(hash_of_record(&store.name(), key));
    }

    /// This mount has removed any number of records.
    pub(in crate::fs) fn note_many_removed(&self) {
        self.removals.note_many();
    }

    /// Whether this mount may have removed a record since a moment.
    pub(in crate::fs) fn is_removed_since(
        &self,
        store: &StoreNode,
        key: &Key,
        moment: Moment,
    ) -> bool {
        self.removals.is_since(|| hash_of_record(&store.name(), key), moment.removals)
    }

    /// The kernel takes a name for trusted without having asked.
    pub(in crate::fs) fn expect(&self, name: u64) {
        self.trusted.lock().insert(name);
    }

    /// What this mount itself has published under a name needs no telling.
    pub(in crate::fs) fn forget_published(&self, name: u64) {
        self.own.note();
        self.trusted.lock().forget(name);
    }

    /// Changes of our own.
    pub(in crate::fs) fn begin_own(&self, names: Vec<u64>) -> OwnChange<'_> {
        self.own.begin(names)
    }

    /// Waits until this mount changes the record no more. Gives back how many changes have begun.
    pub(in crate::fs) fn wait_for_own(&self, name: u64) -> u64 {
        self.own.wait_for(name)
    }

    /// Whether this mount has begun no change since then.
    pub(in crate::fs) fn is_own_since(&self, begun: u64) -> bool {
        self.own.count() != begun
    }
}
