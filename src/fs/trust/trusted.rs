//! Which names the kernel was told to trust, and which it must not.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use crate::fs::ino::STORES;
use crate::model::{Key, StoreName};

/// How long a name that has changed is not trusted.
const HOT_FOR: Duration = Duration::from_secs(10);

/// The most names that are remembered as trusted, eight bytes and a few each. Beyond that, any name counts as
/// trusted until the next epoch.
const MOST_TRUSTED: usize = 1 << 18;

/// The most names that are remembered as having changed. Beyond that, all are forgotten, and are trusted again.
const MOST_HOT: usize = 1 << 12;

/// Names by their hashes: that two have the same one costs at most a look, or an epoch.
#[derive(Debug, Default)]
pub(super) struct Trusted {
    names: HashSet<u64>,
    is_full: bool,
    hot: HashMap<u64, Instant>,
}

impl Trusted {
    pub(super) fn insert(&mut self, name: u64) {
        if self.names.len() < MOST_TRUSTED {
            self.names.insert(name);
        } else {
            self.is_full |= !self.names.contains(&name);
        }
    }

    pub(super) fn contains(&self, name: u64) -> bool {
        self.is_full || self.names.contains(&name)
    }

    /// Whether the name is trusted. If it is not since it has changed, it stays so from now on.
    pub(super) fn contains_or_heats(&mut self, name: u64) -> bool {
        let is_trusted = self.contains(name);
        if !is_trusted && self.is_hot(name) {
            self.make_hot(name);
        }
        is_trusted
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn is_hot(&self, name: u64) -> bool {
        self.hot.get(&name).is_some_and(|at| at.elapsed() < HOT_FOR)
    }

    pub(super) fn make_hot(&mut self, name: u64) {
        if self.hot.len() >= MOST_HOT {
            self.hot.retain(|_, at| at.elapsed() < HOT_FOR);
            if self.hot.len() >= MOST_HOT {
                self.hot.clear();
            }
        }
        self.names.remove(&name);
        self.hot.insert(name, Instant::now());
    }

    pub(super) fn forget(&mut self, name: u64) {
        self.names.remove(&name);
    }

    pub(super) fn clear(&mut self) {
        self.names = HashSet::new();
        self.is_full = false;
    }
}

fn hash_of(subject: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    subject.hash(&mut hasher);
    hasher.finish()
}

/// A record's name as what is trusted goes by it.
pub(in crate::fs) fn hash_of_record(store: &StoreName, key: &Key) -> u64 {
    hash_of((store, key))
}

/// A store's name as what is trusted goes by it.
pub(in crate::fs) fn hash_of_store(name: &StoreName) -> u64 {
    hash_of((STORES, name))
}
