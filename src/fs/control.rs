//! Control files: `@purge` and `@status`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::{FsError, FsResult};
use super::store_node::StoreNode;
use crate::engine::Purging;
use crate::model::{KeptPurge, Key, PurgedBy, StoreName};
use crate::ranks::{Mutex, OpenFile, Table};

/// So many stores are known to have been purged, those whose names come last being forgotten first.
const MOST_REPORTS: usize = 4096;

/// What the last purge of each store did, as its `@purge` shows it.
#[derive(Debug, Default)]
pub(super) struct PurgeReports {
    by_store: Mutex<Table, BTreeMap<StoreName, Report>>,
}

/// A purge through this mount.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) at: Timestamp,
    pub(super) by: PurgedBy,
    pub(super) purging: Purging,
    /// Whether what it removed was to be kept.
    pub(super) is_kept: bool,
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
    pub(super) fn note(&self, store: StoreName, report: Report) {
        let mut reports = self.by_store.lock();
        if reports.len() >= MOST_REPORTS && !reports.contains_key(&store) {
            reports.pop_last();
        }
        reports.insert(store, report);
    }

    /// The last purge of a store has been undone.
    pub(super) fn forget(&self, store: &StoreName) {
        self.by_store.lock().remove(store);
    }

    /// How many purges are still counting and removing what they have taken out of sight.
    pub(super) fn running(&self) -> usize {
        let purgings: Vec<Purging> =
            self.by_store.lock().values().map(|report| report.purging.clone()).collect();
        purgings.iter().filter(|purging| purging.outcome().is_none()).count()
    }

    /// What `@purge` of a store shows, of which this purge is kept last. docs/purge.schema.json says what is in it.
    pub(super) fn text(&self, store: &StoreNode, kept: Option<&KeptPurge>) -> Vec<u8> {
        let name = store.name();
        let own = self.by_store.lock().get(&name).cloned();
        let shown = match (own, kept) {
            // By another mount, or a command, or before this mount began.
            (own, Some(kept)) if own.as_ref().is_none_or(|own| own.at < kept.at) => {
                let facts = Facts {
                    state: if kept.counted.is_some() { "kept" } else { "keeping" },
                    at: Some(kept.at),
                    by: Some(&kept.by),
                    removed: kept.counted.map(|counted| counted.removed),
                    bytes: kept.counted.map(|counted| counted.bytes),
                    spared: None,
                    until: Some(kept.until),
                };
                facts.text(&name)
            }
            (None, _) => Facts::default().text(&name),
            (Some(own), kept) => {
                let kept = kept.filter(|kept| kept.at == own.at);
                let outcome = own.purging.outcome();
                let facts = Facts {
                    state: match (&outcome, own.is_kept, kept) {
                        (None, false, _) => "clearing",
                        (Some(_), false, _) => "cleared",
                        (None, true, _) => "keeping",
                        (Some(_), true, Some(_)) => "kept",
                        (Some(_), true, None) => "ended",
                    },
                    at: Some(own.at),
                    by: Some(&own.by),
                    // Not known as long as a large store is being cleared.
                    removed: own.purging.removed(),
                    bytes: outcome.as_ref().map(|purged| purged.bytes),
                    spared: Some(match &outcome {
                        Some(purged) => purged.spared.as_slice(),
                        None => own.purging.spared(),
                    }),
                    until: kept.map(|kept| kept.until),
                };
                facts.text(&name)
            }
        };
        format!("{shown}\n").into_bytes()
    }
}

/// What `@purge` tells; nothing of a store of which no purge is known.
#[derive(Default)]
struct Facts<'a> {
    state: &'static str,
    at: Option<Timestamp>,
    by: Option<&'a PurgedBy>,
    removed: Option<u64>,
    bytes: Option<u64>,
    spared: Option<&'a [Key]>,
    until: Option<Timestamp>,
}

impl Facts<'_> {
    fn text(&self, store: &StoreName) -> Value {
        let state = if self.at.is_none() { "none" } else { self.state };
        let by = |by: &PurgedBy| json!({ "uid": by.uid, "pid": by.pid, "command": by.command });
        let spared = |spared: &[Key]| spared.iter().map(ToString::to_string).collect::<Vec<_>>();
        json!({
            "store": store.as_str(),
            "state": state,
            "purged_at": self.at.map(|at| at.to_string()),
            "by": self.by.map(by),
            "removed": self.removed,
            "bytes": self.bytes,
            "spared": self.spared.map(spared),
            "undoable_until": self.until.map(|until| until.to_string()),
        })
    }
}

/// What is asked for by a write to `@purge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pull {
    Purge,
    Undo,
}

/// An open of `@purge` for writing.
#[derive(Debug)]
pub(super) struct PurgeTrigger {
    pub(super) store: Arc<StoreNode>,
    /// Who has opened it.
    pub(super) by: PurgedBy,
    /// What this open has done, by how many bytes, so that a newline may follow in a write of its own.
    has_pulled: Mutex<OpenFile, Option<u64>>,
}

impl PurgeTrigger {
    pub(super) fn new(store: Arc<StoreNode>, by: PurgedBy) -> Self {
        Self { store, by, has_pulled: Mutex::new(None) }
    }

    /// A write. Exactly `1`, with or without a newline, is to purge, and exactly `undo` to undo that; all else is refused
    /// and harmless (P15).
    pub(super) fn pull(
        &self,
        data: &[u8],
        offset: u64,
        act: impl FnOnce(Pull) -> FsResult<()>,
    ) -> FsResult<()> {
        let has_pulled = *self.has_pulled.lock();
        let pull = match (data, offset, has_pulled) {
            (b"1" | b"1\n", 0, None) => Pull::Purge,
            (b"undo" | b"undo\n", 0, None) => Pull::Undo,
            (b"\n", end, Some(pulled)) if end == pulled => return Ok(()),
            _ => return Err(FsError::Invalid),
        };
        act(pull)?;
        *self.has_pulled.lock() = Some(data.trim_ascii_end().len() as u64);
        Ok(())
    }
}
