//! The table of inodes: which number stands for what, and how often the kernel has heard it.

use std::sync::Arc;

use super::index::Index;
use super::items::ItemsNode;
use super::known::{KnownNode, Slot};
use super::node::{Node, PrivateNode};
use super::text::TextNode;
use super::ticket::Ticket;
use super::trim;
use super::version::VersionNode;
use crate::fs::ino::{FIRST_FREE, Ino, LOG, ROOT, STATUS, STORES};
use crate::fs::kept::Kept;
use crate::fs::metadata_files::MetadataNode;
use crate::fs::name::MetadataName;
use crate::fs::store_node::StoreNode;
use crate::fs::writers::WriteSession;
use crate::model::{Attributes, Key, Stamp, StoreName};
use crate::ranks::{Mutex, Table};

/// The table. One lock guards all of it, so that a lookup count never changes between a look and an increment.
#[derive(Debug)]
pub(in crate::fs) struct Versions {
    index: Mutex<Table, Index>,
}

impl Versions {
    /// The root may be a store, or a plain directory, instead of what has all of them in it. What is `kept` is told of each store.
    pub(in crate::fs) fn new(root: Option<StoreName>, kept: Option<Arc<Kept>>) -> Self {
        // It is found by its name as any other, but for a plain one, which has none.
        let is_named = root.as_ref().is_some_and(|name| !name.is_plain());
        let root = match root {
            Some(name) => Node::Store(Arc::new(StoreNode::new(ROOT, name))),
            None => Node::Root,
        };
        let mut index = Index::new(kept);
        // One reference of our own keeps the fixed inodes for ever.
        index.add(ROOT, root, is_named);
        for (ino, node) in [(STORES, Node::Stores), (STATUS, Node::Status), (LOG, Node::Log)] {
            index.add(ino, node, false);
        }
        Self { index: Mutex::new(index) }
    }

    /// A store has the number by which the kernel knows it from an earlier worker. Counts one lookup, however many there were.
    pub(in crate::fs) fn restore_store(&self, ino: Ino, name: &StoreName) {
        let mut index = self.index.lock();
        if index.by_number(ino).is_none() && index.by_name(Slot::Store(name)).is_none() {
            let store = Arc::new(StoreNode::new(ino, name.clone()));
            index.add(ino, Node::Store(store), true);
        }
    }

    /// A version has the number by which the kernel knows it from an earlier worker, and is given back. As
    /// [`restore_store`](Self::restore_store).
    pub(in crate::fs) fn restore_version(
        &self,
        ino: Ino,
        store: &Arc<StoreNode>,
        key: &Key,
        attributes: &Attributes,
    ) -> Option<KnownNode> {
        let mut index = self.index.lock();
        if index.by_number(ino).is_none() {
            let is_named = index.by_name(Slot::Version(store.ino, key)).is_none();
            let node = VersionNode::new(Arc::clone(store), key.clone(), attributes);
            index.add(ino, Node::Version(node), is_named);
        }
        index.by_number(ino).map(|known| KnownNode(Arc::clone(known)))
    }

    /// The node of an inode, if the kernel may still know it.
    pub(in crate::fs) fn get(&self, ino: Ino) -> Option<KnownNode> {
        self.index.lock().by_number(ino).map(|known| KnownNode(Arc::clone(known)))
    }

    /// Counts a lookup of a fixed inode.
    pub(in crate::fs) fn count_lookup(&self, ino: Ino) {
        if let Some(known) = self.index.lock().by_number(ino) {
            known.set_lookups(known.lookups() + 1);
        }
    }

    /// The inode of a store, counting a lookup.
    pub(in crate::fs) fn store(&self, name: &StoreName) -> Arc<StoreNode> {
        let mut index = self.index.lock();
        if let Some(known) = index.found(Slot::Store(name))
            && let Node::Store(store) = &known.node
        {
            return Arc::clone(store);
        }
        let ino = index.take_number();
        let store = Arc::new(StoreNode::new(ino, name.clone()));
        index.add(ino, Node::Store(Arc::clone(&store)), true);
        store
    }

    /// The inode of a store's `@purge`, counting a lookup.
    pub(in crate::fs) fn purge(&self, store: &Arc<StoreNode>) -> Ino {
        self.index.lock().intern(Slot::Purge(store.ino), || Node::Purge(Arc::clone(store)))
    }

    /// The inode of a metadata file, counting a lookup.
    pub(in crate::fs) fn metadata(
        &self,
        store: &Arc<StoreNode>,
        name: &MetadataName,
    ) -> (Ino, Arc<MetadataNode>) {
        let mut index = self.index.lock();
        if let Some(known) = index.found(Slot::Metadata(store.ino, name))
            && let Node::Metadata(node) = &known.node
        {
            return (known.ino, Arc::clone(node));
        }
        let ino = index.take_number();
        let node = Arc::new(MetadataNode::new(Arc::clone(store), name.clone()));
        index.add(ino, Node::Metadata(Arc::clone(&node)), true);
        (ino, node)
    }

    /// A metadata file, as far as the kernel knows it.
    pub(in crate::fs) fn known_metadata(
        &self,
        store: &StoreNode,
        name: &MetadataName,
    ) -> Option<Arc<MetadataNode>> {
        match &self.index.lock().by_name(Slot::Metadata(store.ino, name))?.node {
            Node::Metadata(node) => Some(Arc::clone(node)),
            _ => None,
        }
    }

    /// A metadata file is gone; its inode stays known by number.
    pub(in crate::fs) fn unlink_metadata(&self, store: &StoreNode, name: &MetadataName) {
        self.index.lock().release_slot(Slot::Metadata(store.ino, name));
    }

    /// The record's version was given the name of a metadata file: its inode, which the kernel knows by that name from
    /// now on, is one.
    pub(in crate::fs) fn become_metadata(
        &self,
        record: (&StoreNode, &Key),
        store: &Arc<StoreNode>,
        name: &MetadataName,
    ) {
        let mut index = self.index.lock();
        let Some(known) = index.release_slot(Slot::Version(record.0.ino, record.1)) else {
            return;
        };
        index.release_slot(Slot::Metadata(store.ino, name));
        let node = MetadataNode::new(Arc::clone(store), name.clone());
        index.replace(known.ino, Node::Metadata(Arc::new(node)), true);
    }

    /// Makes a directory that is nowhere but in this mount, counting a lookup. `None` if it is there already.
    pub(in crate::fs) fn make_private(&self, parent: Ino, name: &[u8]) -> Option<Ino> {
        let mut index = self.index.lock();
        if index.by_name(Slot::Private(parent, name)).is_some() {
            return None;
        }
        let ino = index.take_number();
        index.add(ino, Node::Private(Box::new(PrivateNode { parent, name: name.into() })), true);
        Some(ino)
    }

    /// The inode of such a directory, counting a lookup.
    pub(in crate::fs) fn private(&self, parent: Ino, name: &[u8]) -> Option<Ino> {
        self.index.lock().found(Slot::Private(parent, name)).map(|known| known.ino)
    }

    /// The names of the directories in such a one.
    pub(in crate::fs) fn private_names(&self, directory: Ino) -> Vec<Box<[u8]>> {
        let index = self.index.lock();
        let names = index.slots.iter().filter_map(|known| match &known.node {
            Node::Private(node) if node.parent == directory => Some(node.name.clone()),
            _ => None,
        });
        names.collect()
    }

    /// Removes such a directory.
    pub(in crate::fs) fn remove_private(&self, parent: Ino, name: &[u8]) {
        self.index.lock().release_slot(Slot::Private(parent, name));
    }

    /// The inode of the version of a record that has these attributes, counting a lookup.
    pub(in crate::fs) fn version(
        &self,
        store: &Arc<StoreNode>,
        key: &Key,
        attributes: Attributes,
    ) -> Ino {
        let mut index = self.index.lock();
        let slot = Slot::Version(store.ino, key);
        if let Some(known) = index.by_name(slot).cloned() {
            if matches!(&known.node, Node::Version(version) if version.stamp() == attributes.stamp)
            {
                index.count(&known);
                return known.ino;
            }
            // An older version: it stays known by number until it is forgotten.
            index.release_slot(slot);
        }
        let ino = index.take_number();
        let node = VersionNode::new(Arc::clone(store), key.clone(), &attributes);
        index.add(ino, Node::Version(node), true);
        ino
    }

    /// Whether no other version of a record than this is known by its name.
    pub(in crate::fs) fn knows_no_other(
        &self,
        store: &StoreNode,
        key: &Key,
        stamp: &Stamp,
    ) -> bool {
        let index = self.index.lock();
        index.stamp(Slot::Version(store.ino, key)).is_none_or(|known| known == *stamp)
    }

    /// The writers of a record are gone: their inode stands for the version that they have left from now on, so that
    /// the kernel keeps the name that it knows. Not if the version's bytes have an inode already, which the kernel may
    /// be giving another name right now.
    pub(in crate::fs) fn settle_writer(
        &self,
        ino: Ino,
        store: &Arc<StoreNode>,
        key: &Key,
        attributes: &Attributes,
    ) {
        let mut index = self.index.lock();
        let slot = Slot::Version(store.ino, key);
        let is_known = index.stamp(slot).is_some_and(|known| known.same_bytes(&attributes.stamp));
        if !is_known && index.by_number(ino).is_some() {
            index.release_slot(slot);
            let node = VersionNode::left_by_writers(Arc::clone(store), key.clone(), attributes);
            index.replace(ino, Node::Version(node), true);
        }
    }

    /// An inode for one lookup alone, which is counted: what it becomes, its open says.
    pub(in crate::fs) fn ticket(&self, ticket: Ticket) -> Ino {
        let mut index = self.index.lock();
        let ino = index.take_number();
        index.add(ino, Node::Ticket(Box::new(ticket)), false);
        index.tickets.push(ino);
        ino
    }

    /// An inode that stood for what a lookup had found is one of the writers' from now on.
    pub(in crate::fs) fn become_writer(&self, ino: Ino, session: &Arc<WriteSession>) {
        self.index.lock().replace(ino, Node::Writer(Arc::clone(session)), false);
    }

    /// The inode of a text, and its attributes, counting a lookup: the known one if that is the same, else a new one.
    pub(in crate::fs) fn text(
        &self,
        (parent, name): (Ino, &'static [u8]),
        is_same: impl Fn(&TextNode) -> bool,
        text: impl FnOnce() -> TextNode,
    ) -> (Ino, Attributes) {
        let mut index = self.index.lock();
        let slot = Slot::Text(parent, name);
        if let Some(known) = index.by_name(slot).cloned()
            && let Node::Text(text) = &known.node
            && is_same(text)
        {
            index.count(&known);
            return (known.ino, text.attributes);
        }
        // An older text stays known by number until it is forgotten.
        index.release_slot(slot);
        let (ino, text) = (index.take_number(), text());
        let attributes = text.attributes;
        index.add(ino, Node::Text(Box::new(text)), true);
        (ino, attributes)
    }

    /// The inode of a text of a dataset's items, counting a lookup: the known one if it has the same value, else a new one.
    pub(in crate::fs) fn items(&self, items: ItemsNode) -> Ino {
        let mut index = self.index.lock();
        let slot = Slot::Items(items.store.ino, items.format);
        if let Some(known) = index.by_name(slot).cloned()
            && let Node::Items(known_items) = &known.node
            && Arc::ptr_eq(&known_items.value, &items.value)
        {
            index.count(&known);
            return known.ino;
        }
        // An older text stays known by number until it is forgotten.
        index.release_slot(slot);
        let ino = index.take_number();
        index.add(ino, Node::Items(Box::new(items)), true);
        ino
    }

    /// The inode that the kernel knows for a record's name, if any.
    pub(in crate::fs) fn known_version(&self, store: &StoreNode, key: &Key) -> Option<Ino> {
        self.index.lock().by_name(Slot::Version(store.ino, key)).map(|known| known.ino)
    }

    /// The version that this inode stands for.
    pub(in crate::fs) fn known_stamp(&self, store: &StoreNode, key: &Key) -> Option<Stamp> {
        self.index.lock().stamp(Slot::Version(store.ino, key))
    }

    /// The store that the kernel knows by a name, if any.
    pub(in crate::fs) fn known_store(&self, name: &StoreName) -> Option<Arc<StoreNode>> {
        match &self.index.lock().by_name(Slot::Store(name))?.node {
            Node::Store(store) => Some(Arc::clone(store)),
            _ => None,
        }
    }

    /// The record has another version than this inode, if it has one: the inode stays known by number.
    pub(in crate::fs) fn unlink_replaced(&self, store: &StoreNode, key: &Key, current: &Stamp) {
        let mut index = self.index.lock();
        let slot = Slot::Version(store.ino, key);
        if index.stamp(slot).is_some_and(|known| known != *current) {
            index.release_slot(slot);
        }
    }

    /// A number for the writers of a record.
    pub(in crate::fs) fn writer_number(&self) -> Ino {
        self.index.lock().take_number()
    }

    /// Counts a lookup of a session's inode. The kernel may just have forgotten an earlier one: then it is made
    /// known again, as the number is still the session's.
    pub(in crate::fs) fn count_writer_lookup(&self, session: &Arc<WriteSession>) {
        let mut index = self.index.lock();
        match index.by_number(session.ino) {
            Some(known) => known.set_lookups(known.lookups() + 1),
            None => index.add(session.ino, Node::Writer(Arc::clone(session)), false),
        }
    }

    /// Takes back lookups. Gives back an inode that is dropped, this one or another.
    pub(in crate::fs) fn forget(&self, ino: Ino, lookups: u64) -> Option<KnownNode> {
        let mut index = self.index.lock();
        let known = Arc::clone(index.by_number(ino)?);
        // The kernel takes back what an earlier worker has counted, too.
        let least = u64::from(ino.0 < FIRST_FREE);
        known.set_lookups(known.lookups().saturating_sub(lookups).max(least));
        if known.lookups() > 0 {
            return None;
        }
        let dropped = if known.place().is_named { index.retire(&known) } else { Some(ino) };
        let dropped = index.remove(dropped?)?;
        let has_shrunk = index.shrink();
        drop(index);
        drop(known);
        if has_shrunk {
            trim::give_back_memory();
        }
        Some(KnownNode(dropped))
    }

    /// The record's version moves to another name: its inode follows, and what had that name loses it. Gives back
    /// false if the kernel took another version for the record: that inode keeps its bytes and has no name now.
    pub(in crate::fs) fn rename_version(
        &self,
        from: (&Arc<StoreNode>, &Key),
        to: (&Arc<StoreNode>, &Key),
        attributes: Attributes,
    ) -> bool {
        let mut index = self.index.lock();
        index.rename_tickets(from, to, &attributes);
        index.release_slot(Slot::Version(to.0.ino, to.1));
        let Some(known) = index.release_slot(Slot::Version(from.0.ino, from.1)) else {
            return true;
        };
        let Node::Version(old) = &known.node else { return true };
        if !old.stamp().same_bytes(&attributes.stamp) {
            return false;
        }
        let node = Node::Version(old.moved(Arc::clone(to.0), to.1.clone(), &attributes));
        index.replace(known.ino, node, true);
        true
    }

    /// The record of this name is gone; its inode stays known by number.
    pub(in crate::fs) fn unlink_version(&self, store: &StoreNode, key: &Key) {
        self.index.lock().release_slot(Slot::Version(store.ino, key));
    }

    /// A store has another name.
    pub(in crate::fs) fn rename_store(&self, from: &StoreName, to: &StoreName) {
        let mut index = self.index.lock();
        index.release_slot(Slot::Store(to));
        index.rename_store(from, to);
    }

    /// A plain directory has another path, and so has all that is in it.
    pub(in crate::fs) fn move_directory(&self, from: &StoreName, to: &StoreName) {
        let mut index = self.index.lock();
        index.release_slot(Slot::Store(to));
        let names = index.slots.iter().filter_map(|known| match &known.node {
            Node::Store(store) => Some(store.name()),
            _ => None,
        });
        let moved: Vec<(StoreName, StoreName)> =
            names.filter_map(|name| Some((name.clone(), name.moved(from, to)?))).collect();
        for (old, new) in moved {
            index.rename_store(&old, &new);
        }
    }

    /// A store is gone; its inode stays known by number.
    pub(in crate::fs) fn unlink_store(&self, name: &StoreName) {
        self.index.lock().release_slot(Slot::Store(name));
    }

    /// The inodes of all records of a store whose names the kernel may have cached.
    pub(in crate::fs) fn known_versions(&self, store: &StoreNode) -> Vec<Ino> {
        let index = self.index.lock();
        let inodes = index.slots.iter().filter_map(|known| match &known.node {
            Node::Version(version) if version.store.ino == store.ino => Some(known.ino),
            _ => None,
        });
        inodes.collect()
    }

    /// How many inodes the kernel may know.
    pub(in crate::fs) fn len(&self) -> usize {
        let index = self.index.lock();
        index.known.len() - index.retired.len()
    }
}
