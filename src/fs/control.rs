//! Files that are not records: `@purge`, `@status` and the store's metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::bytes::{Position, read_text};
use super::error::{FsError, FsResult};
use super::store_node::StoreNode;
use crate::engine::Purging;
use crate::model::StoreName;
use crate::ranks::{Mutex, OpenFile, Table};

/// Longest metadata that can be written, in bytes.
pub(super) const MAX_METADATA_BYTES: u64 = 1024 * 1024;

/// So many stores are known to have been purged, those whose names come last being forgotten first.
const MOST_REPORTS: usize = 4096;

/// What the last purge of each store did, as its `@purge` shows it.
#[derive(Debug, Default)]
pub(super) struct PurgeReports {
    by_store: Mutex<Table, BTreeMap<StoreName, Report>>,
}

#[derive(Clone, Debug)]
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

    /// A store has been purged.
    pub(super) fn note(&self, store: StoreName, purging: Purging) {
        let mut reports = self.by_store.lock();
        if reports.len() >= MOST_REPORTS && !reports.contains_key(&store) {
            reports.pop_last();
        }
        reports.insert(store, Report { at: Timestamp::now(), purging });
    }

    /// What `@purge` of a store shows.
    pub(super) fn text(&self, store: &StoreNode) -> Vec<u8> {
        let name = store.name();
        let report = self.by_store.lock().get(&name).cloned();
        let report = match report {
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
    /// Whether this open has purged, so that a newline may follow the `1` in a write of its own.
    has_purged: Mutex<OpenFile, bool>,
}

impl PurgeTrigger {
    pub(super) fn new(store: Arc<StoreNode>) -> Self {
        Self { store, has_purged: Mutex::new(false) }
    }

    /// A write. Exactly `1`, with or without a newline, is to purge; all else is refused and harmless (P15).
    pub(super) fn pull(
        &self,
        data: &[u8],
        offset: u64,
        purge: impl FnOnce() -> FsResult<()>,
    ) -> FsResult<()> {
        let has_purged = *self.has_purged.lock();
        match (data, offset, has_purged) {
            (b"1" | b"1\n", 0, false) => {
                purge()?;
                *self.has_purged.lock() = true;
                Ok(())
            }
            (b"\n", 1, true) => Ok(()),
            _ => Err(FsError::Invalid),
        }
    }
}

/// An open of `__metadata__.json` for writing.
#[derive(Debug)]
pub(super) struct MetadataEdit {
    pub(super) store: Arc<StoreNode>,
    text: Mutex<OpenFile, EditedText>,
}

#[derive(Debug)]
struct EditedText {
    bytes: Vec<u8>,
    /// Whether the bytes differ from what is kept.
    is_dirty: bool,
    /// Whether somebody was told that these bytes cannot be kept.
    is_refused: bool,
}

impl MetadataEdit {
    pub(super) fn new(store: Arc<StoreNode>, bytes: Vec<u8>) -> Self {
        Self { store, text: Mutex::new(EditedText { bytes, is_dirty: false, is_refused: false }) }
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        read_text(&self.text.lock().bytes, buffer, offset)
    }

    /// Changes the text. It is checked and kept when the file is closed.
    pub(super) fn write(&self, data: &[u8], position: Position) -> FsResult<()> {
        let mut text = self.text.lock();
        let offset = match position {
            Position::At(offset) => offset,
            Position::End => text.bytes.len() as u64,
        };
        let end = offset.saturating_add(data.len() as u64);
        if end > MAX_METADATA_BYTES {
            return Err(FsError::TooLarge);
        }
        let (Ok(begin), Ok(end)) = (usize::try_from(offset), usize::try_from(end)) else {
            return Err(FsError::TooLarge);
        };
        if text.bytes.len() < end {
            text.bytes.resize(end, 0);
        }
        if let Some(room) = text.bytes.get_mut(begin..end) {
            room.copy_from_slice(data);
        }
        (text.is_dirty, text.is_refused) = (true, false);
        Ok(())
    }

    /// Cuts the text. To nothing, that waits for the text that follows; alone it changes nothing.
    pub(super) fn truncate(&self, size: u64) -> FsResult<()> {
        let mut text = self.text.lock();
        let size = usize::try_from(size).map_err(|_| FsError::TooLarge)?;
        if size > text.bytes.len() {
            return Err(FsError::Invalid);
        }
        text.bytes.truncate(size);
        (text.is_dirty, text.is_refused) = (size > 0, false);
        Ok(())
    }

    /// Has the text kept by `keep`, if it was changed.
    pub(super) fn keep(&self, keep: impl FnOnce(&[u8]) -> FsResult<()>) -> FsResult<()> {
        let mut text = self.text.lock();
        if text.is_dirty {
            let kept = keep(&text.bytes);
            (text.is_dirty, text.is_refused) = (kept.is_err(), kept.is_err());
            kept?;
        }
        Ok(())
    }

    /// Whether somebody was told that the bytes cannot be kept.
    pub(super) fn is_refused(&self) -> bool {
        self.text.lock().is_refused
    }
}
