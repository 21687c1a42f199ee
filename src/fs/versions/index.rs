//! The inodes that the kernel may know, found by number and by name.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use super::known::{Known, Place, Retired, Slot};
use super::node::Node;
use crate::fs::ino::{FIRST_FREE, Ino};
use crate::fs::kept::Kept;
use crate::fs::store_node::StoreNode;
use crate::model::{Attributes, Key, Stamp, StoreName};

/// So many inodes that the kernel has forgotten are kept by their names. It forgets all that nobody uses when it
/// is told to look names up again, and whoever compares the number that a name had just before with the one that
/// it has now (`find`, `cp`), or is in the middle of an open, must meet the same inode.
const MOST_RETIRED: usize = 4096;

/// All that the table of inodes guards by its lock.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) known: HashTable<Arc<Known>>,
    /// Those that are found by a name.
    pub(super) slots: HashTable<Arc<Known>>,
    /// Keys are chosen by whoever writes records, so nobody must be able to make them collide.
    hasher: RandomState,
    next: u64,
    /// The first number that may not be given out yet, where they are kept.
    end: u64,
    /// What is kept for the worker that comes after this one, if one would.
    kept: Option<Arc<Kept>>,
    /// Inodes without lookups, those first that go first.
    pub(super) retired: BTreeMap<Retired, Ino>,
    /// The tickets among them.
    pub(super) tickets: Vec<Ino>,
    next_retired: u64,
}

/// Numbers are given out one after the other: to spread them is enough.
fn hash_of_number(ino: Ino) -> u64 {
    ino.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn hash_of_slot(hasher: &RandomState, known: &Known) -> u64 {
    known.with_slot(|slot| hasher.hash_one(slot)).unwrap_or_default()
}

impl Index {
    pub(super) fn new(kept: Option<Arc<Kept>>) -> Self {
        Self {
            known: HashTable::new(),
            slots: HashTable::new(),
            hasher: RandomState::new(),
            next: FIRST_FREE,
            end: if kept.is_some() { FIRST_FREE } else { u64::MAX },
            kept,
            retired: BTreeMap::new(),
            tickets: Vec::new(),
            next_retired: 1,
        }
    }

    pub(super) fn take_number(&mut self) -> Ino {
        if self.next >= self.end
            && let Some(kept) = &self.kept
        {
            (self.next, self.end) = kept.reserve_numbers(FIRST_FREE);
        }
        let ino = Ino(self.next);
        self.next += 1;
        ino
    }

    pub(super) fn by_number(&self, ino: Ino) -> Option<&Arc<Known>> {
        self.known.find(hash_of_number(ino), |known| known.ino == ino)
    }

    pub(super) fn by_name(&self, slot: Slot<'_>) -> Option<&Arc<Known>> {
        let is_it = |known: &Arc<Known>| known.with_slot(|own| own == slot) == Some(true);
        self.slots.find(self.hasher.hash_one(slot), is_it)
    }

    /// The version that a name leads to.
    pub(super) fn stamp(&self, slot: Slot<'_>) -> Option<Stamp> {
        match &self.by_name(slot)?.node {
            Node::Version(version) => Some(version.stamp()),
            _ => None,
        }
    }

    /// Counts a lookup of an inode that is known.
    pub(super) fn count(&mut self, known: &Known) {
        known.set_lookups(known.lookups() + 1);
        if known.place().forgotten != 0 {
            self.retired.remove(&known.retired());
            known.set_place(Place { forgotten: 0, ..known.place() });
        }
    }

    /// Keeps an inode that the kernel has forgotten. Gives back one that must go for it.
    pub(super) fn retire(&mut self, known: &Known) -> Option<Ino> {
        if known.place().forgotten == 0 {
            known.set_place(Place { forgotten: self.next_retired, ..known.place() });
            self.retired.insert(known.retired(), known.ino);
            self.next_retired += 1;
        }
        if self.retired.len() > MOST_RETIRED { Some(self.retired.pop_first()?.1) } else { None }
    }

    pub(super) fn found(&mut self, slot: Slot<'_>) -> Option<Arc<Known>> {
        let known = Arc::clone(self.by_name(slot)?);
        self.count(&known);
        Some(known)
    }

    pub(super) fn intern(&mut self, slot: Slot<'_>, node: impl FnOnce() -> Node) -> Ino {
        if let Some(known) = self.found(slot) {
            return known.ino;
        }
        let ino = self.take_number();
        self.add(ino, node(), true);
        ino
    }

    /// Makes an inode known, with one lookup.
    pub(super) fn add(&mut self, ino: Ino, node: Node, is_named: bool) {
        let known = self.put(ino, node, 1);
        if is_named {
            self.name(known);
        }
    }

    pub(super) fn put(&mut self, ino: Ino, node: Node, lookups: u64) -> Arc<Known> {
        let known = Arc::new(Known::new(ino, node, lookups));
        self.known.insert_unique(hash_of_number(ino), Arc::clone(&known), |known| {
            hash_of_number(known.ino)
        });
        known
    }

    /// Lets an inode be found by its name, which is nobody else's.
    pub(super) fn name(&mut self, known: Arc<Known>) {
        if let (Some(kept), Node::Store(store)) = (&self.kept, &known.node) {
            store.with_name(|name| kept.keep_store(known.ino.0, name.as_str()));
        }
        known.set_named(true);
        let hash = hash_of_slot(&self.hasher, &known);
        self.slots.insert_unique(hash, known, |known| hash_of_slot(&self.hasher, known));
    }

    /// An inode stands for something else, which is found by its name if `is_named`.
    pub(super) fn replace(&mut self, ino: Ino, node: Node, is_named: bool) {
        let Some(known) = self.remove(ino) else { return };
        let replaced = self.put(ino, node, known.lookups());
        replaced.set_place(Place { is_named: false, ..known.place() });
        if is_named {
            self.name(replaced);
        }
    }

    /// Forgets an inode.
    pub(super) fn remove(&mut self, ino: Ino) -> Option<Arc<Known>> {
        self.tickets.retain(|ticket| *ticket != ino);
        let entry = self.known.find_entry(hash_of_number(ino), |known| known.ino == ino);
        let (known, _) = entry.ok()?.remove();
        if known.place().is_named {
            self.unname(&known);
        }
        Some(known)
    }

    /// What lookups have found of a record, for opens that are still to come, has another name.
    pub(super) fn rename_tickets(
        &mut self,
        from: (&Arc<StoreNode>, &Key),
        to: (&Arc<StoreNode>, &Key),
        attributes: &Attributes,
    ) {
        for ino in self.tickets.clone() {
            let Some(known) = self.by_number(ino).cloned() else { continue };
            let Node::Ticket(ticket) = &known.node else { continue };
            let version = &ticket.version;
            let is_it = version.record() == (from.0.ino, from.1);
            if is_it && version.stamp().same_bytes(&attributes.stamp) {
                let version = version.moved(Arc::clone(to.0), to.1.clone(), attributes);
                self.replace(ino, Node::Ticket(Box::new(ticket.moved(version))), false);
                self.tickets.push(ino);
            }
        }
    }

    pub(super) fn rename_store(&mut self, from: &StoreName, to: &StoreName) {
        let Some(known) = self.release_slot(Slot::Store(from)) else { return };
        self.release_slot(Slot::Store(to));
        if let Node::Store(store) = &known.node {
            store.rename(to.clone());
        }
        self.name(known);
    }

    /// What has this name is no longer found by it.
    pub(super) fn release_slot(&mut self, slot: Slot<'_>) -> Option<Arc<Known>> {
        let known = Arc::clone(self.by_name(slot)?);
        self.unname(&known);
        Some(known)
    }

    pub(super) fn unname(&mut self, known: &Arc<Known>) {
        let hash = hash_of_slot(&self.hasher, known);
        if let Ok(entry) = self.slots.find_entry(hash, |other| Arc::ptr_eq(other, known)) {
            entry.remove();
        }
        if let (Some(kept), Node::Store(_)) = (&self.kept, &known.node) {
            kept.drop_store(known.ino.0);
        }
        known.set_named(false);
    }

    /// Shrinks the tables when most inodes have been forgotten. Gives back whether it did.
    pub(super) fn shrink(&mut self) -> bool {
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
