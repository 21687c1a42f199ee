//! What a writer had written and not published when its process ended (P21).

use std::time::SystemTime;

use super::{Key, StoreName};

/// Bytes of a record that were never published, kept aside for who wants them back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpublished {
    /// Tells it from all others of the storage.
    pub id: String,
    /// The store whose record was being written; it may be gone by now.
    pub store: StoreName,
    /// The record's key.
    pub key: Key,
    /// Length in bytes.
    pub size: u64,
    /// When the last byte was written, or the last attribute changed.
    pub written: SystemTime,
    /// Until when it is kept; `None` as long as nobody has healed what its process left.
    pub kept_until: Option<SystemTime>,
}
