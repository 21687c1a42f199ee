//! The inode table: which number stands for what, and how often the kernel has heard it.
//!
//! An inode of a record stands for *one version*: it never changes its bytes. So what the kernel has cached of
//! it is always right, and a reader keeps its version (P1). A record that is replaced gets a new inode at its
//! next lookup. Writers of a record have an inode of their own, see [`super::session`]. Numbers are never
//! reused, hence the generation is always 0.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use super::name::{self, Name};
use super::session::Session;
use super::{FsResult, trim};
use crate::backend::Value;
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
    Text(TextNode),
}

/// A text that does not change.
#[derive(Clone, Debug)]
pub(super) struct TextNode {
    pub(super) bytes: Vec<u8>,
    pub(super) attributes: Attributes,
    pub(super) made: Instant,
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
        self.name.read().clone()
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

/// One published version of a record.
#[derive(Debug)]
pub(super) struct VersionNode {
    pub(super) store: Arc<StoreNode>,
    /// A leaf lock.
    state: Mutex<VersionState>,
}

#[derive(Debug)]
struct VersionState {
    key: Key,
    /// The last that was seen of this version.
    attributes: Attributes,
    /// The version's bytes, while any handle has them open: all share one.
    value: Option<Weak<dyn Value>>,
    /// Whether the kernel may have cached what the version's writers saw before it was published.
    has_drafts_cached: bool,
}

impl VersionNode {
    pub(super) fn key(&self) -> Key {
        self.state.lock().key.clone()
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.state.lock().attributes.stamp
    }

    /// The last that was seen of this version.
    pub(super) fn attributes(&self) -> Attributes {
        self.state.lock().attributes
    }

    /// Notes that owner, mode, times or name changed through this mount: the bytes are still the same.
    pub(super) fn set_attributes(&self, attributes: Attributes) {
        self.state.lock().attributes = attributes;
    }

    /// The open bytes of this version, also when the record is replaced or gone.
    pub(super) fn open_value(&self) -> Option<Arc<dyn Value>> {
        self.state.lock().value.as_ref()?.upgrade()
    }

    /// Whether what the kernel has cached of this inode is of this version. Asked by an open, which has the kernel drop
    /// what is not: from then on it is.
    pub(super) fn keeps_cache(&self) -> bool {
        !std::mem::take(&mut self.state.lock().has_drafts_cached)
    }

    /// Takes a reader's value, or gives back the one that other readers have open already.
    pub(super) fn share_value(&self, value: Arc<dyn Value>) -> Arc<dyn Value> {
        let mut state = self.state.lock();
        if let Some(shared) = state.value.as_ref().and_then(Weak::upgrade) {
            return shared;
        }
        state.value = Some(Arc::downgrade(&value));
        value
    }
}

/// What a name in a directory means to the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Slot {
    Store(StoreName),
    Purge(Ino),
    Metadata(Ino),
    Version(Ino, Key),
    /// By its directory and its name there.
    Text(Ino, &'static [u8]),
}

#[derive(Debug)]
struct Known {
    node: Arc<Node>,
    /// How many times the kernel was told of the inode and has not forgotten it.
    lookups: u64,
    /// The name under which the inode is found again; a version that was replaced has none.
    slot: Option<Slot>,
    /// Where it is in the order of forgotten inodes.
    retired: Option<Retired>,
}

/// Whether it is a store, which all others go before, and when the kernel forgot it, counted in forgotten inodes.
type Retired = (bool, u64);

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
    known: HashMap<Ino, Known>,
    slots: HashMap<Slot, Ino>,
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
        let fixed = [(ROOT, root), (STORES, Node::Stores), (STATUS, Node::Status)];
        let known = fixed.into_iter().map(|(ino, node)| {
            // One reference of our own keeps the fixed inodes for ever.
            (ino, Known { node: Arc::new(node), lookups: 1, slot: None, retired: None })
        });
        let inner = Inner {
            known: known.collect(),
            slots: HashMap::new(),
            next: FIRST_FREE,
            retired: BTreeMap::new(),
            next_retired: 0,
        };
        Self { inner: Mutex::new(inner) }
    }

    /// The node of an inode, if the kernel may still know it.
    pub(super) fn get(&self, ino: Ino) -> Option<Arc<Node>> {
        self.inner.lock().known.get(&ino).map(|known| Arc::clone(&known.node))
    }

    /// Counts a lookup of a fixed inode.
    pub(super) fn count_lookup(&self, ino: Ino) {
        if let Some(known) = self.inner.lock().known.get_mut(&ino) {
            known.lookups += 1;
        }
    }

    /// The inode of a store, counting a lookup.
    pub(super) fn store(&self, name: &StoreName) -> Arc<StoreNode> {
        let mut inner = self.inner.lock();
        let slot = Slot::Store(name.clone());
        if let Some(Node::Store(store)) = inner.found(&slot).as_deref() {
            return Arc::clone(store);
        }
        let ino = inner.take_number();
        let store = Arc::new(StoreNode { ino, name: RwLock::new(name.clone()) });
        inner.add(ino, Node::Store(Arc::clone(&store)), Some(slot));
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
        let slot = Slot::Version(store.ino, key.clone());
        if let Some(ino) = inner.slots.get(&slot).copied()
            && let Some(known) = inner.known.get_mut(&ino)
        {
            if matches!(&*known.node, Node::Version(version) if version.stamp() == attributes.stamp)
            {
                inner.count(ino);
                return ino;
            }
            // An older version: it stays known by number until it is forgotten.
            known.slot = None;
        }
        let ino = inner.take_number();
        inner.add(ino, version_node(store, key, attributes, false), Some(slot));
        ino
    }

    /// The writers of a record are gone: their inode stands for the version that they have left from now on, so that
    /// the kernel keeps the name that it knows. Not if the version has an inode already.
    pub(super) fn settle_writer(
        &self,
        ino: Ino,
        store: &Arc<StoreNode>,
        key: &Key,
        attributes: Attributes,
    ) {
        if self.known_stamp(store, key) == Some(attributes.stamp) {
            return;
        }
        let mut inner = self.inner.lock();
        if !inner.known.contains_key(&ino) {
            return;
        }
        let slot = Slot::Version(store.ino, key.clone());
        inner.release_slot(&slot);
        if let Some(known) = inner.known.get_mut(&ino) {
            known.node = Arc::new(version_node(store, key, attributes, true));
            known.slot = Some(slot.clone());
        }
        inner.slots.insert(slot, ino);
    }

    /// The inode of a text, and its attributes, counting a lookup: the known one if that is the same, else a new one.
    pub(super) fn text(
        &self,
        parent: Ino,
        name: &'static [u8],
        is_same: impl Fn(&TextNode) -> bool,
        text: impl FnOnce() -> TextNode,
    ) -> (Ino, Attributes) {
        let mut inner = self.inner.lock();
        let slot = Slot::Text(parent, name);
        if let Some(ino) = inner.slots.get(&slot).copied()
            && let Some(Node::Text(known)) = inner.known.get(&ino).map(|known| &*known.node)
            && is_same(known)
        {
            let attributes = known.attributes;
            inner.count(ino);
            return (ino, attributes);
        }
        // An older text stays known by number until it is forgotten.
        inner.release_slot(&slot);
        let (ino, text) = (inner.take_number(), text());
        let attributes = text.attributes;
        inner.add(ino, Node::Text(text), Some(slot));
        (ino, attributes)
    }

    /// The inode that the kernel knows for a record's name, if any.
    pub(super) fn known_version(&self, store: &StoreNode, key: &Key) -> Option<Ino> {
        self.inner.lock().slots.get(&Slot::Version(store.ino, key.clone())).copied()
    }

    /// The version that this inode stands for.
    pub(super) fn known_stamp(&self, store: &StoreNode, key: &Key) -> Option<Stamp> {
        let inner = self.inner.lock();
        let ino = *inner.slots.get(&Slot::Version(store.ino, key.clone()))?;
        match &*inner.known.get(&ino)?.node {
            Node::Version(version) => Some(version.stamp()),
            _ => None,
        }
    }

    /// The store that the kernel knows by a name, if any.
    pub(super) fn known_store(&self, name: &StoreName) -> Option<Arc<StoreNode>> {
        let inner = self.inner.lock();
        match &*inner.known.get(inner.slots.get(&Slot::Store(name.clone()))?)?.node {
            Node::Store(store) => Some(Arc::clone(store)),
            _ => None,
        }
    }

    /// The record has another version than this inode, if it has one: the inode stays known by number.
    pub(super) fn unlink_replaced(&self, store: &StoreNode, key: &Key, current: &Stamp) {
        if self.known_stamp(store, key).is_some_and(|known| known != *current) {
            self.unlink_version(store, key);
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
        let node = || Arc::new(Node::Writer(Arc::clone(session)));
        let known = inner.known.entry(session.ino);
        known
            .or_insert_with(|| Known { node: node(), lookups: 0, slot: None, retired: None })
            .lookups += 1;
    }

    /// Takes back lookups. Gives back an inode that is dropped, this one or another.
    pub(super) fn forget(&self, ino: Ino, lookups: u64) -> Option<Arc<Node>> {
        let mut inner = self.inner.lock();
        let known = inner.known.get_mut(&ino)?;
        known.lookups = known.lookups.saturating_sub(lookups);
        if known.lookups > 0 {
            return None;
        }
        let dropped = if known.slot.is_some() { inner.retire(ino) } else { Some(ino) };
        let known = inner.known.remove(&dropped?)?;
        if let Some(slot) = known.slot {
            inner.slots.remove(&slot);
        }
        let has_shrunk = inner.shrink();
        drop(inner);
        if has_shrunk {
            trim::give_back_memory();
        }
        Some(known.node)
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
        let to_slot = Slot::Version(to.0.ino, to.1.clone());
        inner.release_slot(&to_slot);
        let Some(ino) = inner.release_slot(&Slot::Version(from.0.ino, from.1.clone())) else {
            return true;
        };
        let Some(known) = inner.known.get_mut(&ino) else { return true };
        let Node::Version(old) = &*known.node else { return true };
        if !old.stamp().same_bytes(&attributes.stamp) {
            return false;
        }
        let state = {
            let old = old.state.lock();
            VersionState { key: to.1.clone(), attributes, value: old.value.clone(), ..*old }
        };
        let moved = VersionNode { store: Arc::clone(to.0), state: Mutex::new(state) };
        known.node = Arc::new(Node::Version(moved));
        known.slot = Some(to_slot.clone());
        inner.slots.insert(to_slot, ino);
        true
    }

    /// The record of this name is gone; its inode stays known by number.
    pub(super) fn unlink_version(&self, store: &StoreNode, key: &Key) {
        self.inner.lock().release_slot(&Slot::Version(store.ino, key.clone()));
    }

    /// A store has another name.
    pub(super) fn rename_store(&self, from: &StoreName, to: &StoreName) {
        let mut inner = self.inner.lock();
        inner.release_slot(&Slot::Store(to.clone()));
        inner.rename_store_slot(&Slot::Store(from.clone()), Slot::Store(to.clone()));
    }

    /// A plain directory has another path, and so has all that is in it.
    pub(super) fn move_directory(&self, from: &StoreName, to: &StoreName) {
        let mut inner = self.inner.lock();
        inner.release_slot(&Slot::Store(to.clone()));
        let moved: Vec<(Slot, Slot)> = inner
            .slots
            .keys()
            .filter_map(|slot| match slot {
                Slot::Store(name) => Some((slot.clone(), Slot::Store(name.moved(from, to)?))),
                _ => None,
            })
            .collect();
        for (old, new) in moved {
            inner.rename_store_slot(&old, new);
        }
    }

    /// A store is gone; its inode stays known by number.
    pub(super) fn unlink_store(&self, name: &StoreName) {
        self.inner.lock().release_slot(&Slot::Store(name.clone()));
    }

    /// The inodes of all records of a store whose names the kernel may have cached.
    pub(super) fn known_versions(&self, store: &StoreNode) -> Vec<Ino> {
        let inner = self.inner.lock();
        let inodes = inner.slots.iter().filter_map(|(slot, ino)| match slot {
            Slot::Version(of, _) if *of == store.ino => Some(*ino),
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

fn version_node(
    store: &Arc<StoreNode>,
    key: &Key,
    attributes: Attributes,
    has_drafts_cached: bool,
) -> Node {
    let state = VersionState { key: key.clone(), attributes, value: None, has_drafts_cached };
    Node::Version(VersionNode { store: Arc::clone(store), state: Mutex::new(state) })
}

impl Inner {
    fn take_number(&mut self) -> Ino {
        let ino = self.next;
        self.next += 1;
        ino
    }

    /// Counts a lookup of an inode that is known.
    fn count(&mut self, ino: Ino) -> Option<Arc<Node>> {
        let known = self.known.get_mut(&ino)?;
        known.lookups += 1;
        if let Some(retired) = known.retired.take() {
            self.retired.remove(&retired);
        }
        Some(Arc::clone(&known.node))
    }

    /// Keeps an inode that the kernel has forgotten. Gives back one that must go for it.
    fn retire(&mut self, ino: Ino) -> Option<Ino> {
        let known = self.known.get_mut(&ino)?;
        if known.retired.is_none() {
            let retired = (matches!(&*known.node, Node::Store(_)), self.next_retired);
            known.retired = Some(retired);
            self.retired.insert(retired, ino);
            self.next_retired += 1;
        }
        if self.retired.len() > MOST_RETIRED { Some(self.retired.pop_first()?.1) } else { None }
    }

    fn found(&mut self, slot: &Slot) -> Option<Arc<Node>> {
        let ino = *self.slots.get(slot)?;
        self.count(ino)
    }

    fn intern(&mut self, slot: Slot, node: impl FnOnce() -> Node) -> Ino {
        if let Some(ino) = self.slots.get(&slot).copied()
            && self.count(ino).is_some()
        {
            return ino;
        }
        let ino = self.take_number();
        self.add(ino, node(), Some(slot));
        ino
    }

    fn add(&mut self, ino: Ino, node: Node, slot: Option<Slot>) {
        if let Some(slot) = slot.clone() {
            self.slots.insert(slot, ino);
        }
        self.known.insert(ino, Known { node: Arc::new(node), lookups: 1, slot, retired: None });
    }

    fn rename_store_slot(&mut self, from: &Slot, to: Slot) {
        let Some(ino) = self.release_slot(from) else { return };
        let Some(known) = self.known.get_mut(&ino) else { return };
        if let (Node::Store(store), Slot::Store(name)) = (&*known.node, &to) {
            *store.name.write() = name.clone();
        }
        known.slot = Some(to.clone());
        self.slots.insert(to, ino);
    }

    fn release_slot(&mut self, slot: &Slot) -> Option<Ino> {
        let ino = self.slots.remove(slot)?;
        if let Some(known) = self.known.get_mut(&ino) {
            known.slot = None;
        }
        Some(ino)
    }

    /// Shrinks the tables when most inodes have been forgotten. Gives back whether it did.
    fn shrink(&mut self) -> bool {
        const WORTH_SHRINKING: usize = 4096;
        let capacity = self.known.capacity();
        let is_worth = capacity > WORTH_SHRINKING && self.known.len() < capacity / 8;
        if is_worth {
            self.known.shrink_to(self.known.len() * 2);
            self.slots.shrink_to(self.slots.len() * 2);
        }
        is_worth
    }
}
