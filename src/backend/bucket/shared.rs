//! What all parts of an open bucket share.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::calls::Calls;
use super::known_stores::KnownStores;
use super::listing::ListedObject;
use super::requests::{Condition, Object, Tag};
use super::tree::Tree;
use super::upload::Room;
use crate::backend::directory::DialectChoice;
use crate::backend::elsewhere::{
    Generations, KeptBytes, Moment, RecordId, Seen, Shown, Sight, Versions,
};
use crate::backend::spool::{PartCache, Spool};
use crate::model::{Attributes, Error, StoreName};
use crate::ranks::{Metadata, Mutex, Table};

/// Whether the server keeps a condition on what a write takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conditions {
    Enforced,
    /// It says yes, and writes all the same.
    Ignored,
    /// Nobody has asked: nothing is written.
    Unknown,
}

/// An open bucket.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) calls: Calls,
    pub(super) tree: Tree,
    pub(super) conditions: Conditions,
    /// Why nothing can be written, if so.
    pub(super) read_only: Option<String>,
    pub(super) dialect: DialectChoice,
    pub(super) input_key: String,
    pub(super) spool: Spool,
    /// Holds the parts of large values.
    pub(super) cache: Arc<PartCache>,
    pub(super) versions: Versions<Tag>,
    pub(super) kept: KeptBytes<Tag>,
    pub(super) stores: KnownStores,
    pub(super) shown: Shown,
    /// Room in memory for what is sent.
    pub(super) room: Room,
    /// Whether the server copies parts of objects, as far as is known.
    pub(super) copies_parts: AtomicBool,
    /// Whether the server keeps an object whose key is that of a directory, once it was tried.
    pub(super) keeps_directories: OnceLock<bool>,
    /// Whether the server was seen to show directories in which nothing is any more.
    pub(super) keeps_names: AtomicBool,
    /// Held over look and write of what must not be there, where the server keeps no conditions.
    pub(super) making: Mutex<Metadata, ()>,
    /// Records whose value is written and whose sidecar is not yet.
    pub(super) lacking: Mutex<Table, Generations<RecordId, ()>>,
}

/// So many records are remembered whose sidecar is lacking. `doctor` finds the others.
pub(super) const MOST_LACKING: u64 = 1 << 16;

impl Sight<Tag> for Object {
    fn size(&self) -> u64 {
        self.size
    }

    fn version(&self) -> Option<&Tag> {
        Some(&self.tag)
    }
}

impl Sight<Tag> for ListedObject {
    fn size(&self) -> u64 {
        self.size
    }

    fn version(&self) -> Option<&Tag> {
        Some(&self.tag)
    }
}

impl Shared {
    /// The condition of a write that must find nothing, as far as the server keeps any.
    pub(super) fn over_nothing(&self) -> Condition<'static> {
        match self.conditions {
            Conditions::Enforced => Condition::Nothing,
            Conditions::Ignored | Conditions::Unknown => Condition::Anything,
        }
    }

    /// Attributes of a version that a look has told which began at a moment. It keeps the time that it was seen with first.
    pub(super) fn attributes(
        &self,
        record: &RecordId,
        told: &impl Sight<Tag>,
        modified: SystemTime,
        began: Moment,
    ) -> Attributes {
        let known = self.versions.find(record, told, began);
        let seen = known.unwrap_or_else(|| self.versions.note(record, told, modified, began));
        self.attributes_of(&seen)
    }

    /// Attributes of a version that was seen.
    pub(super) fn attributes_of(&self, seen: &Seen<Tag>) -> Attributes {
        self.shown.record(seen.object, seen.size, seen.modified)
    }

    /// A record is gone, from here or by others.
    pub(super) fn forget(&self, record: &RecordId) {
        self.versions.forget(record);
        self.kept.forget(record);
    }
}

pub(super) fn no_such_store(store: &StoreName) -> Error {
    Error::NoSuchStore { store: store.to_string() }
}

pub(super) fn no_such_record(record: &RecordId) -> Error {
    Error::NoSuchRecord { store: record.0.to_string(), key: record.1.to_string() }
}

pub(super) fn replaced(record: &RecordId) -> Error {
    Error::RecordReplaced { store: record.0.to_string(), key: record.1.to_string() }
}
