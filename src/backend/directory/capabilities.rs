//! What a directory can besides what every storage can: everything.
//!
//! What is written here as a call of the same name is the method of [`DirectoryBackend`] itself, in the file that owns it.

use std::sync::Arc;

use super::dialect::{self, Dialect};
use super::staging;
use super::state::DirectoryBackend;
use super::watch;
use crate::backend::watch::{Tell, Watched};
use crate::backend::{
    Dialects, Durability, Findings, ItemsFormat, KeptSidecar, MetadataFiles, MetadataText,
    PlainDirectories, Posix, Repair, Value, Watchable,
};
use crate::model::{
    AttributeChange, Attributes, ContentType, Error, Finding, Key, RecordType, Result,
    StoreMetadata, StoreName,
};

impl Posix for DirectoryBackend {
    fn set_attributes(
        &self,
        store: &StoreName,
        key: &Key,
        change: &AttributeChange,
    ) -> Result<Attributes> {
        self.refuse_if_read_only()?;
        self.in_store(store, |dir| self.change_record(dir, key, change))
    }

    fn set_store_attributes(
        &self,
        store: &StoreName,
        change: &AttributeChange,
    ) -> Result<Attributes> {
        self.refuse_if_read_only()?;
        let dir = self.store_dir(store)?;
        staging::change_attributes(&dir.fd, change)
            .map_err(|error| Error::io(format!("change attributes of store '{store}'"), error))?;
        self.directory_attributes(&dir)
    }
}

impl Durability for DirectoryBackend {
    fn sync_record(&self, store: &StoreName, key: &Key) -> Result<()> {
        self.in_store(store, |dir| self.sync_one(dir, key))
    }

    fn sync_stores(&self) -> Result<()> {
        self.sync_stores()
    }

    fn sync_store(&self, store: &StoreName) -> Result<()> {
        self.in_store(store, |dir| self.sync_directory(dir))
    }
}

impl MetadataFiles for DirectoryBackend {
    fn metadata_text(&self, store: &StoreName) -> Result<Option<MetadataText>> {
        self.in_store(store, |dir| self.shown_metadata_text(dir))
    }

    fn set_metadata_text(&self, store: &StoreName, text: Option<&[u8]>) -> Result<()> {
        self.set_metadata_text(store, text)
    }

    fn set_metadata_attributes(&self, store: &StoreName, change: &AttributeChange) -> Result<()> {
        self.refuse_if_read_only()?;
        self.in_store(store, |dir| self.change_metadata(dir, change))
    }

    fn sidecar_text(&self, store: &StoreName, key: &Key) -> Result<Option<MetadataText>> {
        self.in_store(store, |dir| self.sidecar_text(dir, key))
    }

    fn set_sidecar(&self, store: &StoreName, key: &Key, text: &[u8]) -> Result<KeptSidecar> {
        self.refuse_if_read_only()?;
        self.set_sidecar(store, key, text)
    }

    fn set_sidecar_attributes(
        &self,
        store: &StoreName,
        key: &Key,
        change: &AttributeChange,
    ) -> Result<()> {
        self.refuse_if_read_only()?;
        self.in_store(store, |dir| self.change_sidecar(dir, key, change))
    }
}

impl PlainDirectories for DirectoryBackend {
    fn directories(&self, directory: &StoreName) -> Result<Vec<String>> {
        self.in_store(directory, |dir| self.directory_names(dir))
    }

    fn create_directory(&self, directory: &StoreName) -> Result<()> {
        self.create_directory(directory)
    }

    fn remove_directory(&self, directory: &StoreName) -> Result<()> {
        self.remove_directory(directory)
    }

    fn rename_directory(&self, from: &StoreName, to: &StoreName, replace: bool) -> Result<()> {
        self.rename_directory(from, to, replace)
    }

    fn items(&self, dataset: &StoreName, format: ItemsFormat) -> Result<Arc<dyn Value>> {
        self.items(dataset, format)
    }
}

impl Repair for DirectoryBackend {
    fn heal(&self) -> Result<()> {
        self.heal()
    }

    fn examine(&self) -> Result<Findings> {
        self.examine()
    }

    fn examine_store(&self, store: &StoreName) -> Result<Findings> {
        self.examine_store(store)
    }

    fn mend(&self, finding: &Finding, record_type: Option<&RecordType>) -> Result<()> {
        self.refuse_if_read_only()?;
        self.mend(finding, record_type)
    }

    fn unwritable(&self) -> Result<Vec<String>> {
        self.unwritable()
    }
}

impl Dialects for DirectoryBackend {
    fn resolve_key(
        &self,
        store: &StoreName,
        key: &Key,
        content_type: Option<&ContentType>,
    ) -> Result<Option<Key>> {
        let dir = &*self.store_dir(store)?;
        if self.dialect(dir)? != Dialect::Js3 {
            return Ok(None);
        }
        if let Some(content_type) = content_type {
            return Ok(dialect::js3_key_for(key, content_type));
        }
        let known = |file: &Result<Key>| {
            file.as_ref().map_or(true, |file| dialect::js3_is_known_as(file, key))
        };
        let mut files = self.scan_store(dir)?.map(|file| file.map(|file| file.key));
        files.find(known).transpose()
    }

    fn is_rewritten_in_place(&self, store: &StoreName) -> Result<bool> {
        let dir = &*self.store_dir(store)?;
        // Crawlee JS 3 writes values so (FORMAT 5.3), and everybody the files of datasets and queues.
        Ok(self.dialect(dir)? != Dialect::Sidecars)
    }

    fn is_type_in_doubt(&self, store: &StoreName, key: &Key) -> Result<bool> {
        self.in_store(store, |dir| self.is_sidecar_older(dir, key))
    }

    fn adopt_input(
        &self,
        store: &StoreName,
        key: &Key,
        input_key: &str,
        content_type: &ContentType,
    ) -> Result<()> {
        self.refuse_if_read_only()?;
        self.adopt_input(store, key, input_key, content_type)
    }

    fn complete_metadata(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        self.complete_metadata(store, metadata)
    }

    fn complete_written_store(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        self.complete_written_store(store, metadata)
    }
}

impl Watchable for DirectoryBackend {
    fn watch(&self, tell: Tell) -> Watched {
        watch::start(&self.shared.root, tell)
    }
}
