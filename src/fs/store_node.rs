//! A store that the kernel knows, or a plain directory.

use std::collections::HashMap;

use super::error::FsResult;
use super::ino::{Ino, ROOT};
use super::name::{self, Name};
use crate::model::{Key, StoreName};
use crate::ranks::{RwLock, TableEntry};

/// So many names of a store's files are known to mean another key than the one that they show.
const MOST_ALIASES: usize = 1 << 16;

/// A store that the kernel knows, or a plain directory. Its number stays when it is renamed.
#[derive(Debug)]
pub(super) struct StoreNode {
    pub(super) ino: Ino,
    /// Changes when the store is renamed through this mount.
    name: RwLock<TableEntry, StoreName>,
    /// Keys by the names that their files have in a storage that is being copied here, where those are not the names that
    /// the keys have here. A sidecar tells.
    aliases: RwLock<TableEntry, HashMap<Box<[u8]>, Key>>,
    /// What is known of metadata that this mount has made itself.
    own_metadata: RwLock<TableEntry, OwnMetadata>,
}

/// Metadata that `mkdir` has made: it is to be there, and in nobody's way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OwnMetadata {
    /// Whether it gives way to what is written in its place, as if it were not there.
    gives_way: bool,
    /// The thread that has made the store, and so often it is still told that there is no metadata: a copy of a directory
    /// begins with `mkdir`, and takes for granted that nothing is in there.
    is_hidden_from: Option<(u32, u8)>,
    /// Whether somebody has removed it from a storage where it cannot be removed. Nobody is told of it until the store is
    /// listed again: who removes a store removes what is in it first.
    is_removed: bool,
}

/// So often at most a program looks for a file before it makes it: by `stat`, by `lstat`, and once more.
const LOOKS_BEFORE_MAKING: u8 = 3;

/// A record: its store by number, and its key.
pub(super) type RecordId = (Ino, Key);

impl StoreNode {
    pub(super) fn new(ino: Ino, name: StoreName) -> Self {
        Self {
            ino,
            name: RwLock::new(name),
            aliases: RwLock::default(),
            own_metadata: RwLock::default(),
        }
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
        let parsed = self.parse_shown(name)?;
        // Only a name with an escape is another in a storage.
        let alias = match &parsed {
            Name::Record(_) if name.contains(&b'%') => self.aliases.read().get(name).cloned(),
            _ => None,
        };
        Ok(alias.map_or(parsed, Name::Record))
    }

    /// What a name in this directory stands for by itself.
    pub(super) fn parse_shown(&self, name: &[u8]) -> FsResult<Name> {
        // Of a store that is the root of the mount.
        if self.ino == ROOT && name == name::STATUS {
            return Ok(Name::Status);
        }
        self.with_name(|own| name::parse_in(own, name))
    }

    /// A name means this key.
    pub(super) fn add_alias(&self, name: &[u8], key: &Key) {
        let mut aliases = self.aliases.write();
        if aliases.len() < MOST_ALIASES {
            aliases.insert(name.into(), key.clone());
        }
    }

    /// Whether a name means another key than the one that it shows.
    pub(super) fn is_alias(&self, name: &[u8]) -> bool {
        self.aliases.read().contains_key(name)
    }

    /// A record is no more what other names meant. Gives back whether there were any.
    pub(super) fn forget_aliases(&self, key: &Key) -> bool {
        let known = self.aliases.read().len();
        if known == 0 {
            return false;
        }
        let mut aliases = self.aliases.write();
        aliases.retain(|_, meant| meant != key);
        aliases.len() < known
    }

    /// This thread has made the store, with its metadata.
    pub(super) fn note_made_by(&self, thread: u32) {
        let is_hidden_from = Some((thread, LOOKS_BEFORE_MAKING));
        *self.own_metadata.write() =
            OwnMetadata { gives_way: true, is_hidden_from, is_removed: false };
    }

    /// Whether a lookup of the metadata by this thread is to find nothing.
    pub(super) fn hides_metadata(&self, thread: u32) -> bool {
        let mut own_metadata = self.own_metadata.write();
        let Some((maker, looks)) = own_metadata.is_hidden_from else { return false };
        let is_hidden = maker == thread && looks > 0;
        // Somebody else need not find what its maker does not.
        own_metadata.is_hidden_from = is_hidden.then(|| (maker, looks - 1));
        is_hidden
    }

    /// The metadata is listed, and nobody is told any more that it is not there.
    pub(super) fn show_metadata(&self) {
        let is_hidden = {
            let own_metadata = self.own_metadata.read();
            own_metadata.is_hidden_from.is_some() || own_metadata.is_removed
        };
        if is_hidden {
            let mut own_metadata = self.own_metadata.write();
            own_metadata.is_hidden_from = None;
            own_metadata.is_removed = false;
        }
    }

    /// The metadata was removed, as far as this mount can.
    pub(super) fn remove_metadata(&self) {
        *self.own_metadata.write() = OwnMetadata { is_removed: true, ..OwnMetadata::default() };
    }

    /// Whether it was, and has not been listed or written since.
    pub(super) fn has_removed_metadata(&self) -> bool {
        self.own_metadata.read().is_removed
    }

    /// Whether the metadata gives way to what is written in its place; no more from here on.
    pub(super) fn take_way_of_metadata(&self) -> bool {
        std::mem::take(&mut *self.own_metadata.write()).gives_way
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
