//! The inode table: which number stands for what, and how often the kernel has heard it.
//!
//! An inode of a record stands for *one version*: it never changes its bytes. So what the kernel has cached of
//! it is always right, and a reader keeps its version (P1). A record that is replaced gets a new inode at its
//! next lookup. Writers of a record have an inode of their own, see [`super::session`]. Numbers are never
//! reused, hence the generation is always 0.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};

pub(super) use super::known::KnownNode;
use super::known::{Known, Place, Retired, Slot};
use super::name::{self, Name};
use super::pinned::TextNode;
use super::session::Session;
pub(super) use super::version::VersionNode;
use super::{FsResult, trim};
use crate::model::{Attributes, Key, Stamp, StoreName};

/// An inode number.
pub type Ino = u64;

/// The root of the mount.
pub const ROOT: Ino = 1;

/// The directory of all key-value stores.
pub const STORES: Ino = 2;

/// `@status`.
pub(super) const STATUS: Ino = 3;

/// The first number that is given out.
const FIRST_FREE: Ino = 16;

/// What an inode stands for.
#[derive(Debug)]
pub(super) enum Node {
    /// The root.
    Root,
    /// `key_value_stores`.
    Stores,
    /// `@status`.
    Status,
    /// A store, or a plain directory.
    Store(Arc<StoreNode>),
    /// `@purge` of a store.
    Purge(Arc<StoreNode>),
    /// `__metadata__.json` of a store.
    Metadata(Arc<StoreNode>),
    /// One published version of a record.
    Version(VersionNode),
    /// What the writers of a record see.
    Writer(Arc<Session>),
    /// A text as it was when it was looked up, where the kernel opens files without asking.
    Text(Box<TextNode>),
}

/// A store that the kernel knows, or a plain directory.
#[derive(Debug)]
pub(super) struct StoreNode {
    pub(super) ino: Ino,
    /// Changes when the store is renamed through this mount. A leaf lock.
    name: RwLock<StoreName>,
}

impl StoreNode {
    pub(super) fn name(&self) -> StoreName {
        self.with_name(StoreName::clone)
    }

    /// Gives the name to `act`, which takes no lock.
    pub(super) fn with_name<R>(&self, act: impl FnOnce(&StoreName) -> R) -> R {
        act(&self.name.read())
    }

    /// What a name in this directory stands for.
    pub(super) fn parse(&self, name: &[u8]) -> FsResult<Name> {
        name::parse_in(&self.name.read(), name)
    }

    /// Whether this is a plain directory.
    pub(super) fn is_plain(&self) -> bool {
        self.name.read().is_plain()
    }
}

/// So many inodes that the kernel has forgotten are kept by their names. It forgets all that nobody uses when it
/// is told to look names up again, and whoever compares the number that a name had just before with the one that
/// it has now (`find`, `cp`), or is in the middle of an open, must meet the same inode.
const MOST_RETIRED: usize = 4096;

/// The table. One lock guards all of it, so that a lookup count never changes between a look and an increment;
/// it is a leaf lock and never held over I/O.
#[derive(Debug)]
pub(super) struct InodeTable {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    known: HashTable<Arc<Known>>,
    /// Those that are found by a name.
    slots: HashTable<Arc<Known>>,
    /// Keys are chosen by whoever writes records, so nobody must be able to make them collide.
    hasher: RandomState,
    next: Ino,
    /// Inodes without lookups, those first that go first.
    retired: BTreeMap<Retired, Ino>,
    next_retired: u64,
}

impl InodeTable {
    /// With `is_plain`, the root is a plain directory.
    pub(super) fn new(is_plain: bool) -> Self {
        let root = match is_plain {
            true => {
                let name = RwLock::new(StoreName::plain_root());
                Node::Store(Arc::new(StoreNode { ino: ROOT, name }))
            }
            false => Node::Root,
        };
        let mut inner = Inner {
            known: HashTable::new(),
            slots: HashTable::new(),
            hasher: RandomState::new(),
            next: FIRST_FREE,
            retired: BTreeMap::new(),
            next_retired: 1,
        };
        for (ino, node) in [(ROOT, root), (STORES, Node::Stores), (STATUS, Node::Status)] {
            // One reference of our own keeps the fixed inodes for ever.
            inner.add(ino, node, false);
        }
        Self { inner: Mutex::new(inner) }
    }

    /// The node of an inode, if the kernel may still know it.
    pub(super) fn get(&self, ino: Ino) -> Option<KnownNode> {
        self.inner.lock().by_number(ino).map(|known| KnownNode(Arc::clone(known)))
    }

    /// Counts a lookup of a fixed inode.
    pub(super) fn count_lookup(&self, ino: Ino) {
        if let Some(known) = self.inner.lock().by_number(ino) {
            known.set_lookups(known.lookups() + 1);
        }
    }

    /// The inode of a store, counting a lookup.
    pub(super) fn store(&self, name: &StoreName) -> Arc<StoreNode> {
        let mut inner = self.inner.lock();
        if let Some(known) = inner.found(Slot::Store(name))
            && let Node::Store(store) = &known.node
        {
            return Arc::clone(store);
        }
        let ino = inner.take_number();
        let store = Arc::new(StoreNode { ino, name: RwLock::new(name.clone()) });
        inner.add(ino, Node::Store(Arc::clone(&store)), true);
        store
    }

    /// The inode of a store's `@purge`, counting a lookup.
    pub(super) fn purge(&self, store: &Arc<StoreNode>) -> Ino {
        self.inner.lock().intern(Slot::Purge(store.ino), || Node::Purge(Arc::clone(store)))
    }

    /// The inode of a store's metadata, counting a lookup.
    pub(super) fn metadata(&self, store: &Arc<StoreNode>) -> Ino {
        self.inner.lock().intern(Slot::Metadata(store.ino), || Node::Metadata(Arc::clone(store)))
    }

    /// The inode of the version of a record that has these attributes, counting a lookup.
    pub(super) fn version(&self, store: &Arc<StoreNode>, key: &Key, attributes: Attributes) -> Ino {
        let mut inner = self.inner.lock();
        let slot = Slot::Version(store.ino, key);
        if let Some(known) = inner.by_name(slot).cloned() {
            if matches!(&known.node, Node::Version(version) if version.stamp() == attributes.stamp)
            {
                inner.count(&known);
                return known.ino;
            }
            // An older version: it stays known by number until it is forgotten.
            inner.release_slot(slot);
        }
        let ino = inner.take_number();
        let node = VersionNode::new(Arc::clone(store), key.clone(), &attributes);
        inner.add(ino, Node::Version(node), true);
        ino
    }

    /// The writers of a record are gone: their inode stands for the version that they have left from now on, so that
    /// the kernel keeps the name that it knows. Not if the version's bytes have an inode already, which the kernel may
    /// be giving another name right now.
    pub(super) fn settle_writer(
        &self,
        ino: Ino,
        store: &Arc<StoreNode>,
        key: &Key,
        attributes: &Attributes,
    ) {
        let mut inner = self.inner.lock();
        let slot = Slot::Version(store.ino, key);
        let is_known = inner.stamp(slot).is_some_and(|known| known.same_bytes(&attributes.stamp));
        if !is_known && inner.by_number(ino).is_some() {
            inner.release_slot(slot);
            let node = VersionNode::left_by_writers(Arc::clone(store), key.clone(), attributes);
            inner.replace(ino, Node::Version(node));
        }
    }

    /// The inode of a text, and its attributes, counting a lookup: the known one if that is the same, else a new one.
    pub(super) fn text(
        &self,
        (parent, name): (Ino, &'static [u8]),
        is_same: impl Fn(&TextNode) -> bool,
        text: impl FnOnce() -> TextNode,
    ) -> (Ino, Attributes) {
        let mut inner = self.inner.lock();
        let slot = Slot::Text(parent, name);
        if let Some(known) = inner.by_name(slot).cloned()
            && let Node::Text(text) = &known.node
            && is_same(text)
        {
            inner.count(&known);
            return (known.ino, text.attributes);
        }
        // An older text stays known by number until it is forgotten.
        inner.release_slot(slot);
        let (ino, text) = (inner.take_number(), text());
        let attributes = text.attributes;
        inner.add(ino, Node::Text(Box::new(text)), true);
        (ino, attributes)
    }

    /// The inode that the kernel knows for a record's name, if any.
    pub(super) fn known_version(&self, store: &StoreNode, key: &Key) -> Option<Ino> {
        self.inner.lock().by_name(Slot::Version(store.ino, key)).map(|known| known.ino)
    }

    /// The version that this inode stands for.
    pub(super) fn known_stamp(&self, store: &StoreNode, key: &Key) -> Option<Stamp> {
        self.inner.lock().stamp(Slot::Version(store.ino, key))
    }

    /// The store that the kernel knows by a name, if any.
    pub(super) fn known_store(&self, name: &StoreName) -> Option<Arc<StoreNode>> {
        match &self.inner.lock().by_name(Slot::Store(name))?.node {
            Node::Store(store) => Some(Arc::clone(store)),
            _ => None,
        }
    }

    /// The record has another version than this inode, if it has one: the inode stays known by number.
    pub(super) fn unlink_replaced(&self, store: &StoreNode, key: &Key, current: &Stamp) {
        let mut inner = self.inner.lock();
        let slot = Slot::Version(store.ino, key);
        if inner.stamp(slot).is_some_and(|known| known != *current) {
            inner.release_slot(slot);
        }
    }

    /// A number for the writers of a record.
    pub(super) fn writer_number(&self) -> Ino {
        self.inner.lock().take_number()
    }

    /// Counts a lookup of a session's inode. The kernel may just have forgotten an earlier one: then it is made
    /// known again, as the number is still the session's.
    pub(super) fn count_writer_lookup(&self, session: &Arc<Session>) {
        let mut inner = self.inner.lock();
        match inner.by_number(session.ino) {
            Some(known) => known.set_lookups(known.lookups() + 1),
            None => inner.add(session.ino, Node::Writer(Arc::clone(session)), false),
        }
    }

    /// Takes back lookups. Gives back an inode that is dropped, this one or another.
    pub(super) fn forget(&self, ino: Ino, lookups: u64) -> Option<KnownNode> {
        let mut inner = self.inner.lock();
        let known = Arc::clone(inner.by_number(ino)?);
        known.set_lookups(known.lookups().saturating_sub(lookups));
        if known.lookups() > 0 {
            return None;
        }
        let dropped = if known.place().is_named { inner.retire(&known) } else { Some(ino) };
        let dropped = inner.remove(dropped?)?;
        let has_shrunk = inner.shrink();
        drop(inner);
        drop(known);
        if has_shrunk {
            trim::give_back_memory();
        }
        Some(KnownNode(dropped))
    }

    /// The record's version moves to another name: its inode follows, and what had that name loses it. Gives back
    /// false if the kernel took another version for the record: that inode keeps its bytes and has no name now.
    pub(super) fn rename_version(
        &self,
        from: (&Arc<StoreNode>, &Key),
        to: (&Arc<StoreNode>, &Key),
        attributes: Attributes,
    ) -> bool {
        let mut inner = self.inner.lock();
        inner.release_slot(Slot::Version(to.0.ino, to.1));
        let Some(known) = inner.release_slot(Slot::Version(from.0.ino, from.1)) else {
            return true;
        };
        let Node::Version(old) = &known.node else { return true };
        if !old.stamp().same_bytes(&attributes.stamp) {
            return false;
        }
        let node = Node::Version(old.moved(Arc::clone(to.0), to.1.clone(), &attributes));
        inner.replace(known.ino, node);
        true
    }

    /// The record of this name is gone; its inode stays known by number.
    pub(super) fn unlink_version(&self, store: &StoreNode, key: &Key) {
        self.inner.lock().release_slot(Slot::Version(store.ino, key));
    }

    /// A store has another name.
    pub(super) fn rename_store(&self, from: &StoreName, to: &StoreName) {
        let mut inner = self.inner.lock();
        inner.release_slot(Slot::Store(to));
        inner.rename_store(from, to);
    }

    /// A plain directory has another path, and so has all that is in it.
    pub(super) fn move_directory(&self, from: &StoreName, to: &StoreName) {
        let mut inner = self.inner.lock();
        inner.release_slot(Slot::Store(to));
        let names = inner.slots.iter().filter_map(|known| match &known.node {
            Node::Store(store) => Some(store.name()),
            _ => None,
        });
        let moved: Vec<(StoreName, StoreName)> =
            names.filter_map(|name| Some((name.clone(), name.moved(from, to)?))).collect();
        for (old, new) in moved {
            inner.rename_store(&old, &new);
        }
    }

    /// A store is gone; its inode stays known by number.
    pub(super) fn unlink_store(&self, name: &StoreName) {
        self.inner.lock().release_slot(Slot::Store(name));
    }

    /// The inodes of all records of a store whose names the kernel may have cached.
    pub(super) fn known_versions(&self, store: &StoreNode) -> Vec<Ino> {
        let inner = self.inner.lock();
        let inodes = inner.slots.iter().filter_map(|known| match &known.node {
            Node::Version(version) if version.store.ino == store.ino => Some(known.ino),
            _ => None,
        });
        inodes.collect()
    }

    /// How many inodes the kernel may know.
    pub(super) fn len(&self) -> usize {
        let inner = self.inner.lock();
        inner.known.len() - inner.retired.len()
    }
}

/// Numbers are given out one after the other: to spread them is enough.
fn hash_of_number(ino: Ino) -> u64 {
    ino.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn hash_of_slot(hasher: &RandomState, known: &Known) -> u64 {
    known.with_slot(|slot| hasher.hash_one(slot)).unwrap_or_default()
}

impl Inner {
    fn take_number(&mut self) -> Ino {
        let ino = self.next;
        self.next += 1;
        ino
    }

    fn by_number(&self, ino: Ino) -> Option<&Arc<Known>> {
        self.known.find(hash_of_number(ino), |known| known.ino == ino)
    }

    fn by_name(&self, slot: Slot<'_>) -> Option<&Arc<Known>> {
        let is_it = |known: &Arc<Known>| known.with_slot(|own| own == slot) == Some(true);
        self.slots.find(self.hasher.hash_one(slot), is_it)
    }

    /// The version that a name leads to.
    fn stamp(&self, slot: Slot<'_>) -> Option<Stamp> {
        match &self.by_name(slot)?.node {
            Node::Version(version) => Some(version.stamp()),
            _ => None,
        }
    }

    /// Counts a lookup of an inode that is known.
    fn count(&mut self, known: &Known) {
        known.set_lookups(known.lookups() + 1);
        if known.place().forgotten != 0 {
            self.retired.remove(&known.retired());
            known.set_place(Place { forgotten: 0, ..known.place() });
        }
    }

    /// Keeps an inode that the kernel has forgotten. Gives back one that must go for it.
    fn retire(&mut self, known: &Known) -> Option<Ino> {
        if known.place().forgotten == 0 {
            known.set_place(Place { forgotten: self.next_retired, ..known.place() });
            self.retired.insert(known.retired(), known.ino);
            self.next_retired += 1;
        }
        if self.retired.len() > MOST_RETIRED { Some(self.retired.pop_first()?.1) } else { None }
    }

    fn found(&mut self, slot: Slot<'_>) -> Option<Arc<Known>> {
        let known = Arc::clone(self.by_name(slot)?);
        self.count(&known);
        Some(known)
    }

    fn intern(&mut self, slot: Slot<'_>, node: impl FnOnce() -> Node) -> Ino {
        if let Some(known) = self.found(slot) {
            return known.ino;
        }
        let ino = self.take_number();
        self.add(ino, node(), true);
        ino
    }

    /// Makes an inode known, with one lookup.
    fn add(&mut self, ino: Ino, node: Node, is_named: bool) {
        let known = self.put(ino, node, 1);
        if is_named {
            self.name(known);
        }
    }

    fn put(&mut self, ino: Ino, node: Node, lookups: u64) -> Arc<Known> {
        let known = Arc::new(Known::new(ino, node, lookups));
        self.known.insert_unique(hash_of_number(ino), Arc::clone(&known), |known| {
            hash_of_number(known.ino)
        });
        known
    }

    /// Lets an inode be found by its name, which is nobody else's.
    fn name(&mut self, known: Arc<Known>) {
        known.set_named(true);
        let hash = hash_of_slot(&self.hasher, &known);
        self.slots.insert_unique(hash, known, |known| hash_of_slot(&self.hasher, known));
    }

    /// An inode stands for something else, which is found by its name.
    fn replace(&mut self, ino: Ino, node: Node) {
        let Some(known) = self.remove(ino) else { return };
        let replaced = self.put(ino, node, known.lookups());
        replaced.set_place(known.place());
        self.name(replaced);
    }

    /// Forgets an inode.
    fn remove(&mut self, ino: Ino) -> Option<Arc<Known>> {
        let entry = self.known.find_entry(hash_of_number(ino), |known| known.ino == ino);
        let (known, _) = entry.ok()?.remove();
        if known.place().is_named {
            self.unname(&known);
        }
        Some(known)
    }

    fn rename_store(&mut self, from: &StoreName, to: &StoreName) {
        let Some(known) = self.release_slot(Slot::Store(from)) else { return };
        self.release_slot(Slot::Store(to));
        if let Node::Store(store) = &known.node {
            *store.name.write() = to.clone();
        }
        self.name(known);
    }

    /// What has this name is no longer found by it.
    fn release_slot(&mut self, slot: Slot<'_>) -> Option<Arc<Known>> {
        let known = Arc::clone(self.by_name(slot)?);
        self.unname(&known);
        Some(known)
    }

    fn unname(&mut self, known: &Arc<Known>) {
        let hash = hash_of_slot(&self.hasher, known);
        if let Ok(entry) = self.slots.find_entry(hash, |other| Arc::ptr_eq(other, known)) {
            entry.remove();
        }
        known.set_named(false);
    }

    /// Shrinks the tables when most inodes have been forgotten. Gives back whether it did.
    fn shrink(&mut self) -> bool {
        const WORTH_SHRINKING: usize = 4096;
        let capacity = self.known.capacity();
        let is_worth = capacity > WORTH_SHRINKING && self.known.len() < capacity / 8;
        if is_worth {
            self.known.shrink_to(self.known.len() * 2, |known| hash_of_number(known.ino));
            let (slots, hasher) = (&mut self.slots, &self.hasher);
            slots.shrink_to(slots.len() * 2, |known| hash_of_slot(hasher, known));
        }
        is_worth
    }
}
