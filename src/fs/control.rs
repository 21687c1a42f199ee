//! Files that are not records: `@purge`, `@status` and the store's metadata.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;

use super::inode::StoreNode;
use super::{FileSystem, FsError, FsResult, plain};
use crate::engine::Purging;
use crate::model::StoreName;

/// Longest metadata that can be written, in bytes.
const MAX_METADATA_BYTES: u64 = 1024 * 1024;

/// What the last purge of each store did, as its `@purge` shows it.
#[derive(Debug, Default)]
pub(super) struct PurgeReports {
    /// A leaf lock.
    by_store: Mutex<HashMap<StoreName, Report>>,
}

#[derive(Debug)]
struct Report {
    at: Timestamp,
    purging: Purging,
}

impl PurgeReports {
    /// A store has another name.
    pub(super) fn rename_store(&self, from: &StoreName, to: &StoreName) {
        let mut reports = self.by_store.lock();
        if let Some(report) = reports.remove(from) {
            reports.insert(to.clone(), report);
        }
    }

    fn text(&self, store: &StoreNode) -> Vec<u8> {
        let reports = self.by_store.lock();
        let report = match reports.get(&store.name()) {
            None => json!({"purged_at": null}),
            Some(report) => {
                let outcome = report.purging.outcome();
                let spared = match &outcome {
                    Some(purged) => purged.spared.as_slice(),
                    None => report.purging.spared(),
                };
                json!({
                    "purged_at": report.at.to_string(),
                    // Not known as long as a large store is being cleared.
                    "removed": outcome.as_ref().map(|purged| purged.removed),
                    "spared": spared.iter().map(ToString::to_string).collect::<Vec<_>>(),
                })
            }
        };
        format!("{report}\n").into_bytes()
    }
}

/// An open of `@purge` for writing.
#[derive(Debug)]
pub(super) struct PurgeTrigger {
    pub(super) store: Arc<StoreNode>,
    /// Whether this open has purged, so that a newline may follow the `1` in a write of its own. Rank 1:
    /// held while it purges.
    pub(super) pulled: Mutex<bool>,
}

/// An open of `__metadata__.json` for writing.
#[derive(Debug)]
pub(super) struct MetadataEdit {
    pub(super) store: Arc<StoreNode>,
    /// Rank 1.
    pub(super) text: Mutex<EditedText>,
}

#[derive(Debug)]
pub(super) struct EditedText {
    pub(super) bytes: Vec<u8>,
    /// Whether the bytes differ from what is kept.
    pub(super) dirty: bool,
}

impl FileSystem {
    /// What `@purge` shows.
    pub(super) fn purge_text(&self, store: &StoreNode) -> Vec<u8> {
        self.purges.text(store)
    }

    /// What `@status` shows.
    pub(super) fn status_text(&self) -> Vec<u8> {
        format!("{:#}\n", self.status()).into_bytes()
    }

    /// A write to `@purge`. Exactly `1`, with or without a newline, purges; all else is refused and harmless (P15).
    pub(super) fn write_purge(
        &self,
        trigger: &PurgeTrigger,
        data: &[u8],
        offset: u64,
    ) -> FsResult<()> {
        let mut pulled = trigger.pulled.lock();
        match (data, offset, *pulled) {
            (b"1" | b"1\n", 0, false) => {
                self.purge(&trigger.store)?;
                *pulled = true;
                Ok(())
            }
            (b"\n", 1, true) => Ok(()),
            _ => Err(FsError::Invalid),
        }
    }

    fn purge(&self, store: &Arc<StoreNode>) -> FsResult<()> {
        let cached = self.inodes.known_versions(store);
        for session in self.sessions.of_store(store) {
            session.settle();
        }
        let at = Timestamp::now();
        let purging = self.storage.store(&plain::store_at(&store.name())).purge()?;
        log::info!("store '{}' is purged", store.name());
        self.purges.by_store.lock().insert(store.name(), Report { at, purging });
        self.invalidate(&cached);
        self.distrust_names();
        Ok(())
    }

    /// A write to the metadata's text. It is checked and kept when the file is closed.
    pub(super) fn write_metadata(
        &self,
        edit: &MetadataEdit,
        data: &[u8],
        offset: u64,
    ) -> FsResult<()> {
        let end = offset.saturating_add(data.len() as u64);
        if end > MAX_METADATA_BYTES {
            return Err(FsError::TooLarge);
        }
        let (Ok(begin), Ok(end)) = (usize::try_from(offset), usize::try_from(end)) else {
            return Err(FsError::TooLarge);
        };
        let mut text = edit.text.lock();
        if text.bytes.len() < end {
            text.bytes.resize(end, 0);
        }
        if let Some(room) = text.bytes.get_mut(begin..end) {
            room.copy_from_slice(data);
        }
        text.dirty = true;
        Ok(())
    }

    /// Keeps the metadata's text if it was changed and any SDK could read it.
    pub(super) fn keep_metadata(&self, edit: &MetadataEdit) -> FsResult<()> {
        let mut text = edit.text.lock();
        if text.dirty {
            self.store(&edit.store).set_metadata_text(Some(&text.bytes))?;
            text.dirty = false;
        }
        Ok(())
    }

    /// Makes the bytes of a record the metadata of a store, as a save by rename does.
    pub(super) fn adopt_metadata(
        &self,
        store: &StoreNode,
        value: &dyn crate::backend::Value,
    ) -> FsResult<()> {
        let size = value.attributes()?.size;
        if size > MAX_METADATA_BYTES {
            return Err(FsError::TooLarge);
        }
        let mut bytes = vec![0; usize::try_from(size).map_err(|_| FsError::TooLarge)?];
        let count = value.read_at(&mut bytes, 0)?;
        bytes.truncate(count);
        self.store(store).set_metadata_text(Some(&bytes))?;
        Ok(())
    }
}
