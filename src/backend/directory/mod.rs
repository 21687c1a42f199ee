//! The Crawlee storage directory as a backend: what the official SDKs read and write, beside them.
//!
//! | file | owns |
//! | --- | --- |
//! | `layout` | names: percent-encoding, sidecars, temporaries, limits |
//! | `dialect` | the two layouts, and how Crawlee JS 3 names files |
//! | `sidecar` | the text of a record's sidecar |
//! | `root` | the storage's own directory, also when it is made anew |
//! | `tree` | opening and looking, beneath a descriptor and following no link |
//! | `volume` | within what an entry can be moved |
//! | `places` | where things are staged |
//! | `staging_area` | which staging directories this process has |
//! | `staging`, `staged_value` | bytes not yet visible, in a `.storefs` |
//! | `staged_name` | whose bytes they are |
//! | `rescued` | bytes that were never published, kept aside |
//! | `new_sidecar` | sidecars that wait to be placed |
//! | `given_sidecar` | sidecars that are brought as they are |
//! | `note`, `delete_note` | what is under way, as names in `<source>/.storefs/` tell it |
//! | `store_gates` | a store's directory stays in its place while it is used |
//! | `metadata` | a store's metadata |
//! | `metadata_locks` | one edit of it at a time |
//! | `kept_times` | times that our own time-keeping moves, and what is shown instead |
//! | `key_locks` | one writer at a time for each record |
//! | `process_locks` | one process at a time for each record |
//! | `place` | two files into their places, beside SDKs |
//! | `fingerprint` | a number for bytes that never changes |
//! | `state` | what all operations share |
//! | `layouts` | what is known of layouts and cannot be read off a directory |
//! | `recognise` | reading the layout off a directory, or off its neighbours |
//! | `doctor` | finding what is wrong, and mending what has one right answer |
//! | `heal` | completing what a dead process was at |
//! | `reaper`, `removal` | removal in the background |
//! | `write_out` | data is written before its name |
//! | `unsynced` | what a later fsync has to make durable |
//! | `syncing` | making it durable |
//! | `capabilities` | which calls of the capabilities are which operations |
//! | `records`, `publish`, `rename`, `set_type`, `listing`, `stores`, `plain`, `purge` | the operations |
//! | `unpurge` | undoing a purge whose records were kept |
//! | `purge_contents` | what stays and what goes |
//! | `purge_box` | what a purge has taken out of sight |
//! | `purge_label` | what a box says of its purge |
//! | `kept_box`, `kept_purges` | what is kept of purges, one by one and as a whole |
//! | `kept_keeper` | the thread that ends it |
//! | `would_purge` | what a purge would do |
//! | `removed_store` | a store that was taken out of sight |
//! | `unmovable` | stores whose directories cannot be moved |
//! | `watch` | telling what others change |
//! | `file_system` | where that cannot be told |

mod capabilities;
mod delete_note;
pub(super) mod dialect;
mod doctor;
mod file_system;
mod fingerprint;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod given_sidecar;
mod heal;
mod items;
mod kept_box;
mod kept_keeper;
mod kept_purges;
mod kept_times;
mod key_locks;
pub(super) mod layout;
mod layouts;
mod listing;
mod metadata;
mod metadata_locks;
mod new_sidecar;
mod note;
mod place;
mod places;
mod plain;
mod process_locks;
mod publish;
mod purge;
mod purge_box;
mod purge_contents;
mod purge_label;
mod reaper;
mod recognise;
mod records;
mod removal;
mod removed_store;
mod rename;
mod rescued;
mod root;
mod set_type;
pub(super) mod sidecar;
mod staged_name;
mod staged_value;
mod staging;
mod staging_area;
mod state;
mod store_gates;
mod stores;
mod syncing;
mod tree;
mod unmovable;
mod unpurge;
mod unsynced;
mod volume;
mod watch;
mod would_purge;
mod write_out;

use std::sync::Arc;

use jiff::Timestamp;

use dialect::Dialect;
pub use dialect::DialectChoice;
pub(crate) use given_sidecar::{read_sidecar, sidecar_text_of};
#[cfg(feature = "mount")]
pub(crate) use layout::{decode as key_of_value_file, encode as value_file_of};
use staging::Session;
pub use state::{DirectoryBackend, DirectoryOptions};

use super::{
    Backend, Dialects, Durability, KeptAside, KeptPurges, Look, MetadataFiles, PlainDirectories,
    Posix, Precision, Publish, PublishError, Purge, Purging, RenameRecord, Repair, Scan, Staged,
    StagedFor, Traits, Value, Watchable, WouldPurge,
};
use crate::model::{Attributes, Error, Key, RecordType, Result, Space, StoreMetadata, StoreName};

/// What is written here as a call of the same name is the method of [`DirectoryBackend`] itself, in the file that owns it.
impl Backend for DirectoryBackend {
    fn traits(&self) -> Traits {
        let mut traits = Traits::all_kept("directory");
        // SDKs ask nobody before they replace a file.
        traits.replace_version = Precision::LookedAt;
        traits.limits.key_bytes = Some(layout::MAX_VALUE_NAME);
        traits
    }

    fn why_read_only(&self) -> Option<&str> {
        self.shared.options.read_only.then_some("the storage is opened for reading only")
    }

    fn stores(&self) -> Result<Vec<StoreName>> {
        self.stores()
    }

    fn store_attributes(&self, store: &StoreName) -> Result<Attributes> {
        self.in_store(store, |dir| self.directory_attributes(dir))
    }

    fn create_store(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        self.create_store(store, metadata)
    }

    fn rename_store(
        &self,
        from: &StoreName,
        to: &StoreName,
        metadata_name: Option<&str>,
    ) -> Result<()> {
        self.rename_store(from, to, metadata_name)
    }

    fn drop_store(&self, store: &StoreName) -> Result<()> {
        self.drop_store(store)
    }

    fn drop_store_if_empty(&self, store: &StoreName) -> Result<bool> {
        self.drop_store_if_empty(store)
    }

    fn purge_store(&self, store: &StoreName, purge: &Purge<'_>) -> Result<Purging> {
        self.purge_store(store, purge, None)
    }

    fn would_purge(
        &self,
        store: &StoreName,
        input_key: &str,
        tell: &mut dyn FnMut(WouldPurge) -> Result<()>,
    ) -> Result<()> {
        self.would_purge_in(&self.unguarded_store_dir(store)?, input_key, tell)
    }

    fn metadata(&self, store: &StoreName) -> Result<StoreMetadata> {
        self.in_store(store, |dir| self.read_metadata(dir))
    }

    fn set_metadata(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        self.set_metadata(store, metadata)
    }

    fn touch_store(
        &self,
        store: &StoreName,
        accessed_at: Option<Timestamp>,
        modified_at: Option<Timestamp>,
    ) -> Result<()> {
        self.touch_store(store, accessed_at, modified_at)
    }

    fn scan(&self, store: &StoreName) -> Result<Scan> {
        self.in_store(store, |dir| self.scan_store(dir))
    }

    fn record(&self, store: &StoreName, key: &Key) -> Result<Attributes> {
        self.in_store(store, |dir| self.record_attributes(dir, key))
    }

    fn look_at_records(&self, store: &StoreName, act: &mut dyn FnMut(&mut Look<'_>)) -> Result<()> {
        self.in_store(store, |dir| {
            let dialect = self.dialect(dir)?;
            act(&mut |key| self.listed_attributes(dir, dialect, key));
            Ok(())
        })
    }

    fn kept_type(&self, store: &StoreName, key: &Key) -> Result<Option<RecordType>> {
        self.in_store(store, |dir| self.record_type(dir, key))
    }

    fn set_type(&self, store: &StoreName, key: &Key, record_type: &RecordType) -> Result<()> {
        self.refuse_if_read_only()?;
        self.set_type(store, key, record_type)
    }

    fn open_value(&self, store: &StoreName, key: &Key) -> Result<Arc<dyn Value>> {
        Ok(Arc::new(self.in_store(store, |dir| self.open_record(dir, key))?))
    }

    fn stage(&self, store: Option<&StoreName>) -> Result<Staged> {
        self.stage_by(store, Session::create)
    }

    fn stage_for(&self, record: &StagedFor<'_>) -> Result<Staged> {
        self.stage_by(Some(record.store), |session| session.create_for(record))
    }

    fn publish(
        &self,
        mut staged: Staged,
        publish: &Publish<'_>,
    ) -> Result<Arc<dyn Value>, PublishError> {
        match self.publish(&mut staged, publish) {
            Ok(value) => Ok(Arc::new(value)),
            Err(error) => Err((error, staged)),
        }
    }

    fn check_key(&self, store: &StoreName, key: &Key) -> Result<()> {
        if !store.is_plain() && Dialect::is_irrelevant_for(key) {
            return self.check(Dialect::Sidecars, key);
        }
        self.check(self.in_store(store, |dir| self.dialect(dir))?, key)
    }

    fn delete(&self, store: &StoreName, key: &Key) -> Result<()> {
        self.refuse_if_read_only()?;
        // Nothing is noted of files in plain directories.
        let session = match store.is_plain() {
            true => None,
            // Where no note can be made, the delete is not undone after a crash.
            false => match self.known_session(&self.unguarded_store_dir(store)?) {
                Err(Error::Io { .. }) => None,
                session => Some(session?),
            },
        };
        self.in_store(store, |dir| self.delete_record(dir, key, session.as_ref()))
    }

    fn rename_record(&self, rename: &RenameRecord<'_>) -> Result<()> {
        self.refuse_if_read_only()?;
        self.rename_record(rename)
    }

    fn space(&self) -> Result<Space> {
        let stat = rustix::fs::fstatvfs(&*self.root())
            .map_err(|error| Error::io("look at the disk", error))?;
        Ok(Space {
            block_size: stat.f_frsize,
            blocks: stat.f_blocks,
            blocks_free: stat.f_bfree,
            blocks_available: stat.f_bavail,
            files: stat.f_files,
            files_free: stat.f_ffree,
        })
    }

    fn kept_aside(&self) -> Option<&dyn KeptAside> {
        Some(self)
    }

    fn kept_purges(&self) -> Option<&dyn KeptPurges> {
        Some(self)
    }

    fn posix(&self) -> Option<&dyn Posix> {
        Some(self)
    }

    fn durability(&self) -> Option<&dyn Durability> {
        Some(self)
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

    fn watchable(&self) -> Option<&dyn Watchable> {
        Some(self)
    }
}
