//! A store that the kernel knows, or a plain directory.

use super::error::FsResult;
use super::ino::Ino;
use super::name::{self, Name};
use crate::model::{Key, StoreName};
use crate::ranks::{RwLock, TableEntry};

/// A store that the kernel knows, or a plain directory. Its number stays when it is renamed.
#[derive(Debug)]
pub(super) struct StoreNode {
    pub(super) ino: Ino,
    /// Changes when the store is renamed through this mount.
    name: RwLock<TableEntry, StoreName>,
}

/// A record: its store by number, and its key.
pub(super) type RecordId = (Ino, Key);

impl StoreNode {
    pub(super) fn new(ino: Ino, name: StoreName) -> Self {
        Self { ino, name: RwLock::new(name) }
    }

    pub(super) fn name(&self) -> StoreName {
        self.with_name(StoreName::clone)
    }

    /// Gives the name to `act`, which takes no lock.
    pub(super) fn with_name<R>(&self, act: impl FnOnce(&StoreName) -> R) -> R {
        act(&self.name.read())
    }

    /// The store has another name.
    pub(super) fn rename(&self, name: StoreName) {
        *self.name.write() = name;
    }

    /// What a name in this directory stands for.
    pub(super) fn parse(&self, name: &[u8]) -> FsResult<Name> {
        self.with_name(|own| name::parse_in(own, name))
    }

    /// Whether this is a plain directory.
    pub(super) fn is_plain(&self) -> bool {
        self.with_name(StoreName::is_plain)
    }

    /// A record of this store, as tables know it.
    pub(super) fn record(&self, key: &Key) -> RecordId {
        (self.ino, key.clone())
    }
}
