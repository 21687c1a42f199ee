//! What others change in the storage, and what of that the kernel is told.

use std::collections::HashSet;
use std::sync::Arc;

use super::entry::{Caller, Entry};
use super::error::FsResult;
use super::ino::{Ino, STORES};
use super::name::{self, Name};
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::trust::{Invalidate, NameLook, OwnChange, hash_of_record, hash_of_store};
use super::versions::Node;
use super::writers::WriteSession;
use crate::engine::Change;
use crate::model::{Error, Key, StoreName};

/// How often a record is looked at that this mount itself changes again and again. After that it is told, which is
/// never wrong.
const MOST_LOOKS: usize = 16;

impl FileSystem {
    /// Says how to reach the kernel. Only the first call counts.
    pub fn set_notifier(&self, notifier: Box<dyn Invalidate>) {
        self.trust.set_notifier(notifier);
    }

    /// Begins to watch the storage, if that is of use and can be done. To be called when the kernel can be told,
    /// and before it is served.
    pub fn start_watching(self: &Arc<Self>) {
        if self.trust.is_watching() {
            return;
        }
        if !self.trust.is_trusting() {
            self.trust.note_watch(Err("nothing is cached with a time to live of 0".to_owned()));
        } else if !self.trust.can_tell_names() {
            let reason = "this kernel cannot be told to look names up again; Linux 6.16 can";
            self.trust.note_watch(Err(reason.to_owned()));
        } else {
            self.watch_storage();
        }
    }

    /// Begins to watch the storage, for a kernel that can be told.
    pub(super) fn watch_storage(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        self.trust.note_watch(self.storage.watch(Box::new(move |changes| {
            if let Some(fs) = weak.upgrade() {
                fs.tell(changes);
            }
        })));
    }

    /// Ends the watch.
    pub fn stop_watching(&self) {
        self.trust.stop_watching();
    }

    /// The entry of a name that is being listed.
    pub(super) fn listed_entry(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &[u8],
    ) -> FsResult<Entry> {
        let look = self.begin_look(parent, name);
        let entry = self.entry_of(caller, parent, name)?;
        Ok(match look {
            Some(look) => self.trust.trusted(&look, entry, self.trust.untold_ttl()),
            None => entry,
        })
    }

    /// Before a name is looked at. `None` if the outcome must not be trusted for long.
    pub(super) fn begin_look(&self, parent: Ino, name: &[u8]) -> Option<NameLook> {
        let watch = self.trust.watch()?;
        // From before all else that is looked at.
        let look = self.trust.look();
        let name = match &*self.versions.get(parent)? {
            // What the root holds is always the same.
            Node::Root if name == name::STORES => None,
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
                let has_session = self.writers.get(store, &key).is_some();
                if has_session || !watch.watch_store(&store.name()) {
                    return None;
                }
                Some(hash_of_record(&store.name(), &key))
            }
            _ => return None,
        };
        Some(look.of(name))
    }

    /// What this mount itself has published under a name needs no telling: while its session lived, the kernel was
    /// told to trust nothing of that name.
    pub(super) fn forget_trust(&self, session: &WriteSession) {
        if !self.trust.is_watching() {
            return;
        }
        let Some(stamp) = session.published_stamp() else { return };
        let Some((store, key)) = session.record() else { return };
        // Beside one that has failed, others may have been told to trust the name.
        if !self.writers.get(&store, &key).is_some_and(|joined| std::ptr::eq(&*joined, session)) {
            return;
        }
        self.trust.forget_published(hash_of_record(&store.name(), &key));
        self.versions.unlink_replaced(&store, &key, &stamp);
    }

    /// Announces a change of records whose names lead to published versions.
    pub(super) fn begin_own(&self, records: &[(&Arc<StoreNode>, &Key)]) -> Option<OwnChange<'_>> {
        if !self.trust.is_watching() {
            return None;
        }
        let names = records.iter().map(|(store, key)| hash_of_record(&store.name(), key));
        Some(self.trust.begin_own(names.collect()))
    }

    /// The kernel is about to move a name that it may trust to a record's new name.
    pub(super) fn expect_record(&self, store: &StoreNode, key: &Key) {
        if self.trust.is_watching() {
            self.trust.expect(hash_of_record(&store.name(), key));
        }
    }

    /// A store is no longer known by its inode.
    pub(super) fn store_forgotten(&self, store: &StoreNode) {
        let Some(watch) = self.trust.watch() else { return };
        let name = store.name();
        watch.forget_store(&name);
        if self.versions.known_store(&name).is_some() {
            // It was looked up again meanwhile, and may have been taken for watched.
            self.tell(&HashSet::from([Change::Store(name)]));
        }
    }

    /// Tells the kernel what it must no longer trust.
    fn tell(&self, changes: &HashSet<Change>) {
        self.trust.count_told();
        let mut changed = HashSet::new();
        let mut stale = Vec::new();
        let mut is_stale = false;
        for change in changes {
            match change {
                Change::Everything => is_stale = true,
                Change::Store(store) => {
                    changed.extend(self.versions.known_store(store).map(|node| node.ino));
                    is_stale = true;
                }
                Change::StoreName(store) => {
                    changed.insert(STORES);
                    is_stale |= self.is_stale_store(store);
                }
                Change::Record(store, key) => {
                    let Some(node) = self.versions.known_store(store) else { continue };
                    changed.insert(node.ino);
                    if self.is_stale_record(&node, key) {
                        stale.push((node, key));
                        is_stale = true;
                    }
                }
            }
        }
        self.note_changed_versions(changes);
        for (store, key) in &stale {
            changed.extend(self.versions.known_version(store, key));
            self.versions.unlink_version(store, key);
            self.trust.make_hot(hash_of_record(&store.name(), key));
        }
        if is_stale {
            log::debug!(
                "the kernel must look names up again, since these have changed: {changes:?}"
            );
            self.trust.distrust_names();
        }
        self.prune();
        self.trust.invalidate(&changed.into_iter().collect::<Vec<_>>());
    }

    /// Whether the kernel trusts what is no longer so of the name of a store.
    fn is_stale_store(&self, name: &StoreName) -> bool {
        self.trust.is_trusted(hash_of_store(name)) && self.storage.store(name).attributes().is_err()
    }

    /// Whether the kernel trusts what is no longer so of the name of a record.
    fn is_stale_record(&self, store: &StoreNode, key: &Key) -> bool {
        let name = hash_of_record(&store.name(), key);
        if !self.trust.is_trusted_or_stays_hot(name) {
            return false;
        }
        for _ in 0..MOST_LOOKS {
            let begun = self.trust.wait_for_own(name);
            let now = match self.store(store).record(key) {
                Ok(attributes) => Some(attributes.stamp),
                Err(Error::NoSuchRecord { .. } | Error::NoSuchStore { .. }) => None,
                Err(error) => {
                    log::debug!("record '{key}' of store '{}': {error}", store.name());
                    None
                }
            };
            if self.versions.known_stamp(store, key) == now {
                return false;
            }
            // Names under a session are not trusted.
            if self.writers.get(store, key).is_some() {
                return false;
            }
            if !self.trust.is_own_since(begun) {
                return self.trust.is_trusted(name);
            }
        }
        true
    }
}
