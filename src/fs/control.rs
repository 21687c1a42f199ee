//! Control files: `@purge` and `@status`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::error::{FsError, FsResult};
use super::store_node::StoreNode;
use crate::engine::Purging;
use crate::model::StoreName;
use crate::ranks::{Mutex, OpenFile, Table};

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

    /// How many purges are still counting and removing what they have taken out of sight.
    pub(super) fn running(&self) -> usize {
        let purgings: Vec<Purging> =
            self.by_store.lock().values().map(|report| report.purging.clone()).collect();
        purgings.iter().filter(|purging| purging.outcome().is_none()).count()
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
