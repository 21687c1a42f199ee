//! What control files show and do: `@purge` and `@status`.

use std::sync::Arc;

use super::control::PurgeTrigger;
use super::error::FsResult;
use super::locks::On;
use super::plain;
use super::store_node::StoreNode;
use super::system::FileSystem;
use crate::backend::{is_item, is_spared};
use crate::model::Key;

impl FileSystem {
    /// What `@purge` shows.
    pub(super) fn purge_text(&self, store: &StoreNode) -> Vec<u8> {
        self.purges.text(store)
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
        self.options.refuse_delete()?;
        trigger.pull(data, offset, || self.purge(&trigger.store))
    }

    /// Purges a store with all of its records held: what was being written to any but the input goes nowhere, as on a
    /// disk whose files are removed.
    fn purge(&self, store: &Arc<StoreNode>) -> FsResult<()> {
        let name = plain::store_at(&store.name());
        let purged = self.storage.store(&name);
        let shown = self.versions.known_store(&name).filter(|shown| shown.ino != store.ino);
        let _held = self.writers.hold_stores(store, shown.as_deref());
        let cached = self.versions.known_versions(store);
        let purging = purged.purge()?;
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
        self.purges.note(store.name(), purging);
        self.trust.note_many_removed();
        self.trust.invalidate(&cached);
        self.trust.distrust_names();
        Ok(())
    }
}
