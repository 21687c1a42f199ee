//! What control files show and do: `@purge` and `@status`.

use std::sync::Arc;

use jiff::Timestamp;

use super::control::{Pull, PurgeTrigger, Report};
use super::entry::Caller;
use super::error::FsResult;
use super::locks::On;
use super::plain;
use super::processes::command_of;
use super::store_node::StoreNode;
use super::system::FileSystem;
use crate::backend::{is_item, is_spared};
use crate::engine::PurgeOptions;
use crate::model::{Key, PurgedBy};

impl FileSystem {
    /// What `@purge` shows.
    pub(super) fn purge_text(&self, store: &StoreNode) -> Vec<u8> {
        // Who cannot be told what is kept is told what this mount did.
        let kept = self.storage.store(&plain::store_at(&store.name())).kept_purge();
        self.purges.text(store, kept.ok().flatten().as_ref())
    }

    /// What `@status` shows.
    pub(super) fn status_text(&self) -> Vec<u8> {
        format!("{:#}\n", self.status()).into_bytes()
    }

    /// A write to `@purge`.
    pub(super) fn write_purge(
        &self,
        trigger: &PurgeTrigger,
        data: &[u8],
        offset: u64,
    ) -> FsResult<()> {
        trigger.pull(data, offset, |pull| match pull {
            Pull::Purge => self.purge(&trigger.store, &trigger.by),
            Pull::Undo => self.unpurge(&trigger.store),
        })
    }

    /// Who opens `@purge`, as it is told and noted.
    pub(super) fn purger(&self, caller: &Caller) -> PurgedBy {
        PurgedBy { uid: caller.uid, pid: caller.thread, command: command_of(caller.thread) }
    }

    /// Purges a store with all of its records held: what was being written to any but the input goes nowhere, as on a
    /// disk whose files are removed.
    fn purge(&self, store: &Arc<StoreNode>, by: &PurgedBy) -> FsResult<()> {
        self.options.refuse_delete()?;
        let name = plain::store_at(&store.name());
        let purged = self.storage.store(&name);
        let shown = self.versions.known_store(&name).filter(|shown| shown.ino != store.ino);
        let _held = self.writers.hold_stores(store, shown.as_deref());
        let cached = self.versions.known_versions(store);
        let at = Timestamp::now();
        let keep = self.options.keep_purged.filter(|keep| !keep.is_zero() && !name.is_plain());
        let options = PurgeOptions { keep, by: Some(by.clone()), at: Some(at) };
        let purging = purged.purge_with(&options)?;
        log::info!("store '{name}' is purged");
        let is_spared = |key: &Key| match name.is_plain() {
            true => !is_item(key.as_bytes()),
            false => is_spared(key, self.storage.input_key()),
        };
        self.locks.forget_names(
            |on| matches!(on, On::Record((ino, key)) if *ino == store.ino && !is_spared(key)),
        );
        for (key, _) in self.writers.of_store(store) {
            if !is_spared(&key) && purged.record(&key).is_err() {
                self.writers.detach(store, &key);
            }
        }
        let is_being_made = |key: &Key| self.writers.new_record(store, key).is_some();
        self.writers.types().forget_gone(&purged, is_being_made);
        // What waits for a value is litter, as it is in a storage.
        self.sidecars.forget_store(&name);
        let report = Report { at, by: by.clone(), purging, is_kept: keep.is_some() };
        self.purges.note(store.name(), report);
        self.trust.note_many_removed();
        self.trust.invalidate(&cached);
        self.trust.distrust_names();
        Ok(())
    }

    /// Undoes the last purge of a store that is kept, with all of its records held: those that are being written go over what
    /// comes back.
    fn unpurge(&self, store: &Arc<StoreNode>) -> FsResult<()> {
        let name = plain::store_at(&store.name());
        let shown = self.versions.known_store(&name).filter(|shown| shown.ino != store.ino);
        let _held = self.writers.hold_stores(store, shown.as_deref());
        let cached = self.versions.known_versions(store);
        let unpurged = self.storage.store(&name).unpurge()?;
        log::info!("the purge of store '{name}' is undone: {} records are back", unpurged.restored);
        if !unpurged.left.is_empty() {
            let left = unpurged.left.len();
            log::warn!(
                "{left} records of store '{name}' are not back: newer ones are in their place"
            );
        }
        self.purges.forget(&store.name());
        self.trust.invalidate(&cached);
        self.trust.distrust_names();
        Ok(())
    }
}
