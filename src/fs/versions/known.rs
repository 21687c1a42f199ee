//! What the table of inodes keeps of each: small, since there is one for each record that the kernel knows.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::node::Node;
use crate::backend::ItemsFormat;
use crate::fs::ino::Ino;
use crate::fs::name::MetadataName;
use crate::model::{Key, StoreName};

/// The name under which an inode is found.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Slot<'a> {
    Store(&'a StoreName),
    Purge(Ino),
    Metadata(Ino, &'a MetadataName),
    Version(Ino, &'a Key),
    /// By its directory and its name there.
    Private(Ino, &'a [u8]),
    /// The same.
    Text(Ino, &'static [u8]),
    /// By its dataset.
    Items(Ino, ItemsFormat),
}

/// An inode that the kernel may know. The table holds one of these for each, and nothing else that grows: a
/// record's key is kept here alone.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) ino: Ino,
    pub(super) node: Node,
    /// How many times the kernel was told of the inode and has not forgotten it. Changes under the table's lock,
    /// as the next one does.
    lookups: AtomicU64,
    place: AtomicU64,
}

/// A node that the kernel may know. It stays what it is, whatever becomes of the name.
#[derive(Clone, Debug)]
pub(in crate::fs) struct KnownNode(pub(super) Arc<Known>);

impl Deref for KnownNode {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0.node
    }
}

/// Whether an inode is found by its name (a version that was replaced is not), and where it is in the order of
/// forgotten inodes. In one number, since there are many.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) is_named: bool,
    /// When the kernel forgot it, counted in forgotten inodes from 1 on; 0 if it has not.
    pub(super) forgotten: u64,
}

impl Known {
    /// An inode that is not found by a name yet.
    pub(super) fn new(ino: Ino, node: Node, lookups: u64) -> Self {
        Self { ino, node, lookups: AtomicU64::new(lookups), place: AtomicU64::new(0) }
    }

    pub(super) fn place(&self) -> Place {
        let place = self.place.load(Ordering::Relaxed);
        Place { is_named: place & 1 != 0, forgotten: place >> 1 }
    }

    pub(super) fn set_place(&self, place: Place) {
        let place = place.forgotten << 1 | u64::from(place.is_named);
        self.place.store(place, Ordering::Relaxed);
    }

    pub(super) fn set_named(&self, is_named: bool) {
        self.set_place(Place { is_named, ..self.place() });
    }

    pub(super) fn lookups(&self) -> u64 {
        self.lookups.load(Ordering::Relaxed)
    }

    pub(super) fn set_lookups(&self, lookups: u64) {
        self.lookups.store(lookups, Ordering::Relaxed);
    }

    /// Gives the name under which it is found, if nothing has taken that from it, to `act`.
    pub(super) fn with_slot<R>(&self, act: impl FnOnce(Slot<'_>) -> R) -> Option<R> {
        match &self.node {
            Node::Store(store) => Some(store.with_name(|name| act(Slot::Store(name)))),
            Node::Purge(store) => Some(act(Slot::Purge(store.ino))),
            Node::Metadata(node) => Some(act(Slot::Metadata(node.store.ino, &node.name))),
            Node::Version(version) => {
                let (store, key) = version.record();
                Some(act(Slot::Version(store, key)))
            }
            Node::Private(node) => Some(act(Slot::Private(node.parent, &node.name))),
            Node::Text(text) => Some(act(Slot::Text(text.parent, text.name))),
            Node::Items(items) => Some(act(Slot::Items(items.store.ino, items.format))),
            Node::Root
            | Node::Stores
            | Node::Status
            | Node::Log
            | Node::Writer(_)
            | Node::Ticket(_) => None,
        }
    }

    pub(super) fn retired(&self) -> Retired {
        (matches!(self.node, Node::Store(_)), self.place().forgotten)
    }
}

/// Whether it is a store, which all others go before, and when the kernel forgot it, counted in forgotten inodes.
pub(super) type Retired = (bool, u64);

#[cfg(test)]
mod tests {
    use super::*;

    /// One of these is kept for each record that the kernel knows, and with it two counters of its `Arc`.
    #[test]
    fn an_inode_stays_small() {
        let bytes = size_of::<Known>() + 2 * size_of::<usize>();
        assert!(bytes <= 152, "{bytes} bytes");
    }
}
