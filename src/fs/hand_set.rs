//! Content types that were set by hand: they hold for what is published later (P10).
//!
//! Disk and SDKs know only the type that a record has, not who set it. What is remembered here is true as long as
//! the record has the very type that was set; an SDK that gives it another, or deletes it, ends that.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::engine::Store;
use crate::model::{ContentType, Error, Key, Result, StoreName};

/// The types that were set through this mount.
#[derive(Debug, Default)]
pub(super) struct HandSetTypes {
    /// A leaf lock.
    by_record: Mutex<HashMap<(StoreName, Key), HandSet>>,
}

#[derive(Clone, Debug)]
struct HandSet {
    content_type: ContentType,
    /// Whether the record has had the type on disk. Before, it is one that is being created.
    was_published: bool,
}

impl HandSetTypes {
    /// The type that was set by hand for a record, if it still holds.
    ///
    /// # Errors
    /// What the storage says.
    pub(super) fn get(&self, store: &Store, key: &Key) -> Result<Option<ContentType>> {
        let id = (store.name().clone(), key.clone());
        let Some(hand_set) = self.by_record.lock().get(&id).cloned() else { return Ok(None) };
        let kept = match store.content_type(key) {
            Err(Error::NoSuchRecord { .. } | Error::NoSuchStore { .. }) => None,
            kept => Some(kept?),
        };
        let has_it = kept.as_ref() == Some(&hand_set.content_type);
        if hand_set.was_published && !has_it {
            self.by_record.lock().remove(&id);
            return Ok(None);
        }
        if has_it && !hand_set.was_published {
            self.set(store.name(), key, hand_set.content_type.clone(), true);
        }
        Ok(Some(hand_set.content_type))
    }

    /// Remembers a type.
    pub(super) fn set(
        &self,
        store: &StoreName,
        key: &Key,
        content_type: ContentType,
        was_published: bool,
    ) {
        let hand_set = HandSet { content_type, was_published };
        self.by_record.lock().insert((store.clone(), key.clone()), hand_set);
    }

    /// Forgets a type.
    pub(super) fn forget(&self, store: &StoreName, key: &Key) {
        let mut by_record = self.by_record.lock();
        if !by_record.is_empty() {
            by_record.remove(&(store.clone(), key.clone()));
        }
    }

    /// A store has another name.
    pub(super) fn rename_store(&self, from: &StoreName, to: &StoreName) {
        let mut by_record = self.by_record.lock();
        let of_store = by_record.extract_if(|(store, _), _| store == from);
        let moved: Vec<_> = of_store.map(|((_, key), set)| ((to.clone(), key), set)).collect();
        by_record.extend(moved);
    }
}
