//! What control files show and do: `@purge`, `@status` and the store's metadata.

use std::sync::Arc;

use super::control::{MAX_METADATA_BYTES, MetadataEdit, PurgeTrigger};
use super::error::{FsError, FsResult};
use super::locks::On;
use super::plain;
use super::store_node::StoreNode;
use super::system::FileSystem;
use crate::backend::is_spared;
use crate::engine::Value;
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
        let is_spared = |key: &Key| is_spared(key, self.storage.input_key());
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
        self.purges.note(store.name(), purging);
        self.trust.invalidate(&cached);
        self.trust.distrust_names();
        Ok(())
    }

    /// Keeps the metadata's text if it was changed and any SDK could read it.
    pub(super) fn keep_metadata(&self, edit: &MetadataEdit) -> FsResult<()> {
        edit.keep(|bytes| Ok(self.store(&edit.store).set_metadata_text(Some(bytes))?))
    }

    /// Makes the bytes of a record the metadata of a store, as a save by rename does.
    pub(super) fn adopt_metadata(&self, store: &StoreNode, value: &dyn Value) -> FsResult<()> {
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
