//! Times that our own time-keeping has moved, and what is shown in their place (P17).
//!
//! A store's accessed and modified times are written into its metadata, by a new file that takes the place of the old.
//! That changes the store's directory, as the system sees it. Whoever only looks (`tar`, `rsync`, `find -newer`) must not
//! be told so. The modification times are put back on the disk; the change times, which nobody can put back, are known
//! here: as long as a file or directory has the times that we have left it with, it is shown with those from before.

use std::collections::HashMap;

use crate::model::{Attributes, Stamp, StoreName};
use crate::ranks::{Mutex, Table};

/// So many stores are remembered. With more, all are forgotten: then they are shown as they are.
const MOST: usize = 4096;

/// What is shown of the stores whose times we keep.
#[derive(Debug, Default)]
pub(super) struct KeptTimes {
    by_store: Mutex<Table, HashMap<StoreName, OfStore>>,
}

/// A store's directory and its metadata file.
#[derive(Clone, Copy, Debug)]
struct OfStore {
    directory: Kept,
    metadata: Kept,
}

/// Times as they are, and as they are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// As we have left it.
    left: Stamp,
    /// As it was shown before.
    shown: Attributes,
}

impl Kept {
    /// Something that was shown so, and has been left so.
    pub(super) fn new(shown: Attributes, left: &Attributes) -> Self {
        Self { left: left.stamp, shown }
    }

    fn show(&self, attributes: Attributes) -> Attributes {
        if attributes.stamp != self.left {
            return attributes;
        }
        Attributes { modified: self.shown.modified, changed: self.shown.changed, ..attributes }
    }
}

impl KeptTimes {
    /// Our time-keeping has changed a store.
    pub(super) fn keep(&self, store: &StoreName, directory: Kept, metadata: Kept) {
        let mut by_store = self.by_store.lock();
        if by_store.len() >= MOST && !by_store.contains_key(store) {
            by_store.clear();
        }
        by_store.insert(store.clone(), OfStore { directory, metadata });
    }

    /// What is shown of a store's directory.
    pub(super) fn of_directory(&self, store: &StoreName, attributes: Attributes) -> Attributes {
        let kept = self.by_store.lock().get(store).map(|kept| kept.directory);
        kept.map_or(attributes, |kept| kept.show(attributes))
    }

    /// What is shown of a store's metadata file.
    pub(super) fn of_metadata(&self, store: &StoreName, attributes: Attributes) -> Attributes {
        let kept = self.by_store.lock().get(store).map(|kept| kept.metadata);
        kept.map_or(attributes, |kept| kept.show(attributes))
    }
}
