//! Content types that were set by hand: they hold for what is published later (P10).
//!
//! Disk and SDKs know only the type that a record has, not who set it. What is remembered here is true as long as
//! the record has the very type that was set; an SDK that gives it another, or deletes it, ends that. Who looks or
//! changes holds the record, so that a type that is set while a version is published is neither lost nor forgotten.

use std::collections::{BTreeMap, HashMap};

use crate::engine::Store;
use crate::model::{ContentType, Error, Key, Result, StoreName};
use crate::ranks::{Mutex, Table};

/// So many types are remembered. Beyond that those that were set longest ago are forgotten: they stay the types of
/// their records, and then hold as long as the bytes fit them.
const MOST: usize = 1 << 14;

type Id = (StoreName, Key);

/// The types that were set through this mount.
#[derive(Debug, Default)]
pub(in crate::fs) struct TypesByHand {
    types: Mutex<Table, Types>,
}

#[derive(Debug, Default)]
struct Types {
    by_record: HashMap<Id, ByHand>,
    /// The records in the order in which their types were set.
    order: BTreeMap<u64, Id>,
    next: u64,
}

#[derive(Clone, Debug)]
struct ByHand {
    content_type: ContentType,
    /// Whether the record has had the type on disk. Before, it is one that is being created.
    was_published: bool,
    at: u64,
}

impl TypesByHand {
    /// The type that was set by hand for a record, if it still holds.
    ///
    /// # Errors
    /// What the storage says.
    pub(in crate::fs) fn get(&self, store: &Store, key: &Key) -> Result<Option<ContentType>> {
        let Some(by_hand) = self.types.lock().get(store.name(), key) else { return Ok(None) };
        let kept = match store.content_type(key) {
            Err(Error::NoSuchRecord { .. } | Error::NoSuchStore { .. }) => None,
            kept => Some(kept?),
        };
        let has_it = kept.as_ref() == Some(&by_hand.content_type);
        if by_hand.was_published && !has_it {
            self.forget(store.name(), key);
            return Ok(None);
        }
        if has_it && !by_hand.was_published {
            self.set(store.name(), key, by_hand.content_type.clone(), true);
        }
        Ok(Some(by_hand.content_type))
    }

    /// Remembers a type.
    pub(in crate::fs) fn set(
        &self,
        store: &StoreName,
        key: &Key,
        content_type: ContentType,
        was_published: bool,
    ) {
        self.types.lock().insert((store.clone(), key.clone()), content_type, was_published);
    }

    /// Forgets a type.
    pub(in crate::fs) fn forget(&self, store: &StoreName, key: &Key) {
        let mut types = self.types.lock();
        if !types.by_record.is_empty() {
            types.remove(&(store.clone(), key.clone()));
        }
    }

    /// Forgets the types of a store's records that are no more, as after a purge, and that nobody is just making.
    pub(in crate::fs) fn forget_gone(&self, store: &Store, is_being_made: impl Fn(&Key) -> bool) {
        let of_store = self.types.lock().of_store(store.name());
        for key in of_store {
            if !is_being_made(&key) && store.record(&key).is_err() {
                self.forget(store.name(), &key);
            }
        }
    }

    /// A store has another name.
    pub(in crate::fs) fn rename_store(&self, from: &StoreName, to: &StoreName) {
        let mut types = self.types.lock();
        for key in types.of_store(from) {
            if let Some(moved) = types.remove(&(from.clone(), key.clone())) {
                types.insert((to.clone(), key), moved.content_type, moved.was_published);
            }
        }
    }
}

impl Types {
    fn get(&self, store: &StoreName, key: &Key) -> Option<ByHand> {
        if self.by_record.is_empty() {
            return None;
        }
        self.by_record.get(&(store.clone(), key.clone())).cloned()
    }

    fn of_store(&self, store: &StoreName) -> Vec<Key> {
        let own = self.by_record.keys().filter(|(of, _)| of == store);
        own.map(|(_, key)| key.clone()).collect()
    }

    fn insert(&mut self, id: Id, content_type: ContentType, was_published: bool) {
        self.remove(&id);
        let at = self.next;
        self.next += 1;
        self.order.insert(at, id.clone());
        self.by_record.insert(id, ByHand { content_type, was_published, at });
        if self.by_record.len() > MOST
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.by_record.remove(&oldest);
        }
    }

    fn remove(&mut self, id: &Id) -> Option<ByHand> {
        let removed = self.by_record.remove(id)?;
        self.order.remove(&removed.at);
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_types_set_by_hand_are_bounded_and_the_newest_stay() {
        let types = TypesByHand::default();
        let store = StoreName::default_store();
        let key = |at: usize| Key::new(&format!("k{at}")).unwrap();
        for at in 0..2 * MOST {
            types.set(&store, &key(at), ContentType::json(), true);
        }
        let inner = types.types.lock();
        assert_eq!((inner.by_record.len(), inner.order.len()), (MOST, MOST));
        assert!(inner.get(&store, &key(2 * MOST - 1)).is_some());
        assert!(inner.get(&store, &key(0)).is_none());
    }
}
