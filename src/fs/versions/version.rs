//! One published version of a record, as the table of inodes keeps it: small, since there is one for each record
//! that the kernel knows.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use crate::backend::Value;
use crate::fs::ino::Ino;
use crate::fs::store_node::StoreNode;
use crate::model::{Attributes, Key, Stamp, system_time};
use crate::ranks::{Mutex, TableEntry};

/// One published version of a record.
#[derive(Debug)]
pub(in crate::fs) struct VersionNode {
    pub(in crate::fs) store: Arc<StoreNode>,
    key: Key,
    state: Mutex<TableEntry, VersionState>,
}

/// The last that was seen of a version.
#[derive(Debug)]
struct VersionState {
    /// Also says the size, and the times of the last changes.
    stamp: Stamp,
    accessed_ns: i64,
    blocks: u64,
    uid: u32,
    gid: u32,
    mode: u16,
    /// Whether the kernel may have cached what the version's writers saw before it was published.
    has_drafts_cached: bool,
    /// The version's bytes, while any handle has them open: all share one. In a box, since few versions are open.
    value: Option<Box<Weak<dyn Value>>>,
}

impl VersionState {
    fn new(attributes: &Attributes) -> Self {
        Self {
            stamp: attributes.stamp,
            accessed_ns: nanoseconds(attributes.accessed),
            blocks: attributes.blocks,
            uid: attributes.uid,
            gid: attributes.gid,
            // The low twelve bits.
            mode: u16::try_from(attributes.mode).unwrap_or_default(),
            has_drafts_cached: false,
            value: None,
        }
    }
}

impl VersionNode {
    pub(in crate::fs) fn new(store: Arc<StoreNode>, key: Key, attributes: &Attributes) -> Self {
        Self { store, key, state: Mutex::new(VersionState::new(attributes)) }
    }

    /// A version whose inode was that of its writers.
    pub(in crate::fs) fn left_by_writers(
        store: Arc<StoreNode>,
        key: Key,
        attributes: &Attributes,
    ) -> Self {
        let state = VersionState { has_drafts_cached: true, ..VersionState::new(attributes) };
        Self { store, key, state: Mutex::new(state) }
    }

    /// The same version under another name.
    pub(in crate::fs) fn moved(
        &self,
        store: Arc<StoreNode>,
        key: Key,
        attributes: &Attributes,
    ) -> Self {
        let state = self.state.lock();
        let (has_drafts_cached, value) = (state.has_drafts_cached, state.value.clone());
        let state = VersionState { has_drafts_cached, value, ..VersionState::new(attributes) };
        Self { store, key, state: Mutex::new(state) }
    }

    pub(in crate::fs) fn key(&self) -> Key {
        self.key.clone()
    }

    /// The record, as the table of inodes finds it.
    pub(in crate::fs) fn record(&self) -> (Ino, &Key) {
        (self.store.ino, &self.key)
    }

    pub(in crate::fs) fn stamp(&self) -> Stamp {
        self.state.lock().stamp
    }

    /// Whether this is the record that the name stands for by now, whatever became of owner and mode.
    pub(in crate::fs) fn is_of(&self, record: Option<&Attributes>) -> bool {
        record.is_some_and(|record| record.stamp.object == self.stamp().object)
    }

    /// The last that was seen of this version.
    pub(in crate::fs) fn attributes(&self) -> Attributes {
        let state = self.state.lock();
        Attributes {
            size: state.stamp.size,
            blocks: state.blocks,
            links: 1,
            mode: state.mode.into(),
            uid: state.uid,
            gid: state.gid,
            accessed: system_time(state.accessed_ns),
            modified: system_time(state.stamp.modified_ns),
            changed: system_time(state.stamp.changed_ns),
            stamp: state.stamp,
        }
    }

    /// Notes that owner, mode, times or name changed through this mount: the bytes are still the same.
    pub(in crate::fs) fn set_attributes(&self, attributes: &Attributes) {
        let mut state = self.state.lock();
        let (has_drafts_cached, value) = (state.has_drafts_cached, state.value.take());
        *state = VersionState { has_drafts_cached, value, ..VersionState::new(attributes) };
    }

    /// The open bytes of this version, also when the record is replaced or gone.
    pub(in crate::fs) fn open_value(&self) -> Option<Arc<dyn Value>> {
        self.state.lock().value.as_ref()?.upgrade()
    }

    /// Whether what the kernel has cached of this inode is of this version. Asked by an open, which has the kernel drop
    /// what is not: from then on it is.
    pub(in crate::fs) fn keeps_cache(&self) -> bool {
        !std::mem::take(&mut self.state.lock().has_drafts_cached)
    }

    /// Takes a reader's value, or gives back the one that other readers have open already.
    pub(in crate::fs) fn share_value(&self, value: Arc<dyn Value>) -> Arc<dyn Value> {
        let mut state = self.state.lock();
        if let Some(shared) = state.value.as_ref().and_then(|value| value.upgrade()) {
            return shared;
        }
        state.value = Some(Box::new(Arc::downgrade(&value)));
        value
    }
}

/// Nanoseconds since the epoch, negative before it; they fit until the year 2262.
fn nanoseconds(time: SystemTime) -> i64 {
    let signed = |distance: Duration| i64::try_from(distance.as_nanos()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => -signed(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_to_the_nanosecond() {
        for (seconds, rest) in [(0, 0), (0, 1), (1_700_000_000, 123_456_789), (9_000_000_000, 1)] {
            let distance = Duration::new(seconds, rest);
            for time in [SystemTime::UNIX_EPOCH + distance, SystemTime::UNIX_EPOCH - distance] {
                assert_eq!(system_time(nanoseconds(time)), time);
            }
        }
    }
}
