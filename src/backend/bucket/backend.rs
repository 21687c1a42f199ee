//! A bucket as a storage.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::capabilities::ItemsOfDatasets;
use super::pieces::MOST_BYTES;
use super::publish::{self, MOST_TYPE_CHARS};
use super::records::id;
use super::scan;
use super::shared::{Conditions, Shared};
use crate::backend::directory::layout;
use crate::backend::{
    Backend, Dialects, KeyOrder, MetadataFiles, OpenValues, PlainDirectories, Precision, Publish,
    PublishError, Purge, Purging, RenameRecord, Repair, Scan, Staged, Steps, Traits, Value, Work,
};
use crate::model::{Attributes, Error, Key, RecordType, Result, Space, StoreMetadata, StoreName};

/// Unit of [`Space`] in bytes.
const BLOCK: u64 = 4096;

/// Room that is told, since a bucket has no end: 1 PiB, so that no tool is turned away.
const ROOM: u64 = 1 << 50;

/// A storage in a bucket.
#[derive(Debug)]
pub(super) struct BucketBackend {
    pub(super) shared: Arc<Shared>,
    pub(super) items: ItemsOfDatasets,
}

impl BucketBackend {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, items: ItemsOfDatasets::default() }
    }

    /// Refuses to change anything where nothing can be changed.
    pub(super) fn refuse_if_read_only(&self) -> Result<()> {
        if self.shared.read_only.is_some() { Err(Error::ReadOnly) } else { Ok(()) }
    }
}

impl Backend for BucketBackend {
    fn traits(&self) -> Traits {
        let mut traits = Traits::all_kept("s3");
        let precision = match self.shared.conditions {
            Conditions::Enforced => Precision::Exact,
            Conditions::Ignored | Conditions::Unknown => Precision::LookedAt,
        };
        traits.is_remote = true;
        traits.open_values = OpenValues::MayGoStale;
        traits.purge = Steps::Several;
        traits.rename = Steps::Several;
        traits.create_exclusive = precision;
        traits.replace_version = precision;
        traits.key_order = KeyOrder::Own;
        traits.keeps_owner_and_mode = false;
        traits.keeps_times = false;
        traits.time_granularity = Duration::from_secs(1);
        traits.keeps_backslashes = false;
        // Equal bytes are one version to S3.
        traits.tells_versions = false;
        traits.limits.key_bytes = Some(layout::MAX_VALUE_NAME);
        traits.limits.content_type_chars = Some(MOST_TYPE_CHARS);
        traits.limits.value_bytes = Some(MOST_BYTES);
        traits
    }

    fn why_read_only(&self) -> Option<&str> {
        self.shared.read_only.as_deref()
    }

    fn stores(&self) -> Result<Vec<StoreName>> {
        self.shared.store_names()
    }

    fn store_attributes(&self, store: &StoreName) -> Result<Attributes> {
        Ok(self.shared.shown.store(self.shared.store(store)?.modified))
    }

    fn store_attributes_of_late(&self, store: &StoreName, within: Duration) -> Result<Attributes> {
        Ok(self.shared.shown.store(self.shared.store_of_late(store, within)?.modified))
    }

    fn create_store(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.create_store(store, metadata)
    }

    fn rename_store(
        &self,
        from: &StoreName,
        to: &StoreName,
        metadata_name: Option<&str>,
    ) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.rename_store(from, to, metadata_name)
    }

    fn drop_store(&self, store: &StoreName) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.drop_store(store)
    }

    fn drop_store_if_empty(&self, store: &StoreName) -> Result<bool> {
        self.refuse_if_read_only()?;
        self.shared.drop_store_if_empty(store)
    }

    fn purge_store(&self, store: &StoreName, purge: &Purge<'_>) -> Result<Purging> {
        self.refuse_if_read_only()?;
        self.shared.purge(store, purge)
    }

    fn metadata(&self, store: &StoreName) -> Result<StoreMetadata> {
        self.shared.metadata(store)
    }

    fn set_metadata(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.set_metadata(store, metadata)
    }

    fn touch_store(
        &self,
        store: &StoreName,
        accessed_at: Option<Timestamp>,
        modified_at: Option<Timestamp>,
    ) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.touch(store, accessed_at, modified_at)
    }

    fn scan(&self, store: &StoreName) -> Result<Scan> {
        scan::begin(&self.shared, store)
    }

    fn record(&self, store: &StoreName, key: &Key) -> Result<Attributes> {
        self.shared.record(&id(store, key))
    }

    fn kept_type(&self, store: &StoreName, key: &Key) -> Result<Option<RecordType>> {
        self.shared.kept_type(&id(store, key))
    }

    fn set_type(&self, store: &StoreName, key: &Key, record_type: &RecordType) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.set_type(&id(store, key), record_type)
    }

    fn open_value(&self, store: &StoreName, key: &Key) -> Result<Arc<dyn Value>> {
        Ok(Arc::new(self.shared.open(&id(store, key))?))
    }

    fn stage(&self, _store: Option<&StoreName>) -> Result<Staged> {
        self.refuse_if_read_only()?;
        publish::stage(&self.shared)
    }

    fn publish(
        &self,
        staged: Staged,
        publish: &Publish<'_>,
    ) -> Result<Arc<dyn Value>, PublishError> {
        match self.refuse_if_read_only() {
            Ok(()) => publish::publish(&self.shared, staged, publish),
            Err(error) => Err((error, staged)),
        }
    }

    fn may_have_made(&self, store: &StoreName, key: &Key) -> bool {
        self.shared.versions.last(&id(store, key)).is_some()
    }

    fn check_key(&self, store: &StoreName, key: &Key) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.check_key(store, key)
    }

    fn delete(&self, store: &StoreName, key: &Key) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.delete(&id(store, key))
    }

    fn rename_record(&self, rename: &RenameRecord<'_>) -> Result<()> {
        self.refuse_if_read_only()?;
        self.shared.rename_record(rename)
    }

    fn space(&self) -> Result<Space> {
        // What is written passes through the spool.
        let free = self.shared.spool.free().unwrap_or(ROOM).min(ROOM) / BLOCK;
        let (blocks, files) = (ROOM / BLOCK, 1 << 32);
        Ok(Space {
            block_size: BLOCK,
            blocks,
            blocks_free: free,
            blocks_available: free,
            files,
            files_free: files,
        })
    }

    fn work(&self) -> Option<Work> {
        let (memory_bytes, _) = self.shared.kept.bytes();
        let spool_bytes = self.shared.cache.present();
        Some(Work { memory_bytes, spool_bytes, ..self.shared.calls.counted().work() })
    }

    fn metadata_files(&self) -> Option<&dyn MetadataFiles> {
        Some(self)
    }

    fn plain_directories(&self) -> Option<&dyn PlainDirectories> {
        Some(self)
    }

    fn repair(&self) -> Option<&dyn Repair> {
        Some(self)
    }

    fn dialects(&self) -> Option<&dyn Dialects> {
        Some(self)
    }
}
