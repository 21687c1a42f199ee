//! What a purge has kept aside, and who has purged.

use jiff::Timestamp;

use super::{Key, StoreName};

/// Who has purged a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgedBy {
    /// The user.
    pub uid: u32,
    /// The process, or thread; 0 if it has no number here.
    pub pid: u32,
    /// What the process is called; empty if that is not known.
    pub command: String,
}

/// What a purge has removed from a store, kept aside so that the purge can be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptPurge {
    /// Tells it from all others of the storage.
    pub id: String,
    /// The store, by the name that it had when it was purged.
    pub store: StoreName,
    /// When it was purged.
    pub at: Timestamp,
    /// Until when it is kept, unless room gets short before.
    pub until: Timestamp,
    /// Who has purged.
    pub by: PurgedBy,
    /// What is kept; `None` as long as it is still being counted.
    pub counted: Option<KeptCount>,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptCount {
    /// Records and pieces of litter, sidecars not counted.
    pub removed: u64,
    /// The bytes of their values.
    pub bytes: u64,
}

/// What the undoing of a purge did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpurged {
    /// When the store had been purged.
    pub purged_at: Timestamp,
    /// How many records and pieces of litter came back, sidecars not counted.
    pub restored: u64,
    /// The keys of those that did not: records were made under them since, and those have stayed.
    pub left: Vec<Key>,
}
