//! Where a storage lives and how.
//!
//! A [`Backend`] keeps stores and records; it knows nothing of inference of content types, of input records
//! by default, of who has what open, or of a mount. The [engine](crate::engine) gives those their meaning.
//! No path and no descriptor passes through the trait, except as the optional capability
//! [`Value::local_file`].
//!
//! The trait holds what every storage can. What a storage can besides are [capabilities](capabilities_of), each a
//! trait of its own; how it keeps the promises, its [`Traits`] say. Every implementation passes the same suite,
//! `tests/backend_suite`, which takes both as they are declared.

#[cfg(feature = "s3")]
mod bucket;
mod capabilities;
pub mod directory;
mod document;
#[cfg(any(feature = "sql", feature = "s3"))]
mod elsewhere;
mod items;
mod listed;
mod local_file;
pub mod memory;
mod publishing;
mod purging;
mod reader;
pub(crate) mod source;
mod spool;
#[cfg(feature = "sql")]
mod sql;
mod staged;
mod texts;
mod traits;
mod unpublished;
mod versions;
pub mod watch;
#[cfg_attr(not(all(feature = "mount", feature = "sql")), allow(dead_code))]
mod work;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

#[cfg(feature = "s3")]
pub use bucket::{AwsOptions, BucketOptions, DEFAULT_CACHE_BYTES, open as open_bucket};
pub use capabilities::{
    Dialects, Durability, Findings, Keep, KeptPurges, MetadataFiles, PlainDirectories, Posix,
    Repair, Watchable, capabilities_of,
};
#[cfg(feature = "mount")]
pub(crate) use directory::{key_of_value_file, value_file_of};
pub(crate) use directory::{read_sidecar, sidecar_text_of};
pub(crate) use document::Document;
pub use items::ItemsFormat;
pub use listed::{Listed, Scan};
pub use publishing::{DecideType, Over, Publish, PublishError, PublishType, RenameRecord};
pub use purging::{Counting, Purge, Purged, Purging, WouldPurge, is_input_key, is_item, is_spared};
pub use reader::Reader;
pub(crate) use reader::into_io;
#[cfg(feature = "sql")]
pub use sql::{SqlOptions, open as open_database};
pub use staged::{Kept, Partial, Staged, StagedPlace, Unnamed};
pub use texts::{KeptSidecar, MetadataText, SidecarSays};
#[cfg(feature = "mount")]
pub(crate) use traits::describe;
pub use traits::{KeyOrder, Limits, OpenValues, Precision, Steps, Traits};
pub use unpublished::{KeptAside, StagedFor};
pub use versions::Value;
#[cfg(any(feature = "sql", feature = "s3"))]
pub(crate) use work::Calls;
pub use work::Work;

use crate::model::{
    Attributes, ContentType, Error, Key, RecordType, Result, Space, StoreMetadata, StoreName,
};

/// A look at one record: its attributes.
pub type Look<'a> = dyn FnMut(&Key) -> Result<Attributes> + 'a;

/// A place that keeps stores and records.
///
/// All methods may be called from several threads at once, and other programs may change the same storage at
/// any time. What one call makes visible, it makes visible at once and whole. A method that is given a store
/// which is not there fails with [`Error::NoSuchStore`], one that would make a record
/// under an impossible key with the errors of [`Backend::check_key`]. A record renamed to its own name stays as it
/// is.
pub trait Backend: Debug + Send + Sync {
    /// What it keeps of the promises, and its limits. Always the same; costs nothing.
    fn traits(&self) -> Traits;

    /// Why nothing can be changed, if so: a line for people. What would change something then fails with
    /// [`Error::ReadOnly`].
    fn why_read_only(&self) -> Option<&str> {
        None
    }

    /// Names of all stores, in no particular order.
    ///
    /// # Errors
    /// [`Error::Io`] if the storage cannot be read.
    fn stores(&self) -> Result<Vec<StoreName>>;

    /// Attributes of a store: its times are those of its listing, its size is 0.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn store_attributes(&self, store: &StoreName) -> Result<Attributes>;

    /// The same as they were no longer ago than `within`, with what this process has changed since. A backend across a
    /// network need not ask then.
    ///
    /// # Errors
    /// As [`Backend::store_attributes`].
    fn store_attributes_of_late(&self, store: &StoreName, within: Duration) -> Result<Attributes> {
        let _ = within;
        self.store_attributes(store)
    }

    /// Makes an empty store that holds `metadata`.
    ///
    /// # Errors
    /// [`Error::StoreExists`]; then the store there is left as it is.
    fn create_store(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()>;

    /// Gives a store another name and sets the `name` of its metadata to `metadata_name`. Who publishes meanwhile
    /// under the old name either comes first, or fails with
    /// [`Error::NoSuchStore`] and may try again under the new one.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::StoreExists`].
    fn rename_store(
        &self,
        from: &StoreName,
        to: &StoreName,
        metadata_name: Option<&str>,
    ) -> Result<()>;

    /// Removes a store with all that it holds.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn drop_store(&self, store: &StoreName) -> Result<()>;

    /// Removes a store if it has no records, in one step: a record that is published meanwhile either keeps its store
    /// or finds none. Gives back whether it was removed; if not, nothing was done.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn drop_store_if_empty(&self, store: &StoreName) -> Result<bool>;

    /// Removes every record but the spared ones, and what else the official SDK's purge removes, and sets the
    /// store's accessed and modified times to `purge.at`. It has happened when the call returns; what is out of
    /// sight may be counted and removed later.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn purge_store(&self, store: &StoreName, purge: &Purge<'_>) -> Result<Purging>;

    /// Tells of each record, and each piece of litter, whether a purge with this input key would remove it. Takes no memory
    /// that grows with the store.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`]; what `tell` fails with.
    fn would_purge(
        &self,
        store: &StoreName,
        input_key: &str,
        tell: &mut dyn FnMut(WouldPurge) -> Result<()>,
    ) -> Result<()> {
        for listed in self.scan(store)? {
            let Listed { key, attributes, .. } = listed?;
            let size = match attributes.map_or_else(|| self.record(store, &key), Ok) {
                // Removed since it was listed.
                Err(Error::NoSuchRecord { .. }) => continue,
                attributes => attributes?.size,
            };
            let goes = !is_spared(&key, input_key);
            tell(WouldPurge { key, size, goes, is_litter: false })?;
        }
        Ok(())
    }

    /// The store's metadata. A store whose layout keeps none has no id.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`],
    /// [`Error::DamagedMetadata`].
    fn metadata(&self, store: &StoreName) -> Result<StoreMetadata>;

    /// Replaces the store's metadata: id, name and times. What else the storage keeps with them stays, and so does an id
    /// or a name if the given one is another store's and the storage keeps none twice.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`]; [`Error::Backend`] if the storage can
    /// keep no such metadata.
    fn set_metadata(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()>;

    /// Moves the store's accessed and modified times forward; never back. Keeps what others wrote into the
    /// metadata; does nothing where the layout keeps none or the metadata is damaged.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn touch_store(
        &self,
        store: &StoreName,
        accessed_at: Option<Timestamp>,
        modified_at: Option<Timestamp>,
    ) -> Result<()>;

    /// All records, with what a listing tells of them. Takes no memory that grows with the store.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn scan(&self, store: &StoreName) -> Result<Scan>;

    /// Attributes of a record's current version.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`],
    /// [`Error::NoSuchStore`].
    fn record(&self, store: &StoreName, key: &Key) -> Result<Attributes>;

    /// Lets `act` look at many records of one store, each as [`Backend::record`] does. A backend that has to find
    /// the store first does so once. The store stays in its place meanwhile, so `act` must be quick, wait for nothing
    /// that waits for a purge, and call nothing of the backend but what it is given.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`]; then `act` need not have been called.
    fn look_at_records(&self, store: &StoreName, act: &mut dyn FnMut(&mut Look<'_>)) -> Result<()> {
        act(&mut |key| self.record(store, key));
        Ok(())
    }

    /// The content type that is kept for a record, and how the record came by it; `None` for a bare file and a
    /// corrupt sidecar. A backend that cannot keep the origin says that every type was given.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`] if there is neither value nor content type.
    fn kept_type(&self, store: &StoreName, key: &Key) -> Result<Option<RecordType>>;

    /// The content type alone, as [`Backend::kept_type`].
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`] if there is neither value nor content type.
    fn content_type(&self, store: &StoreName, key: &Key) -> Result<Option<ContentType>> {
        Ok(self.kept_type(store, key)?.map(|kept| kept.content_type))
    }

    /// Sets the content type of a record, leaving its value alone.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`].
    fn set_type(&self, store: &StoreName, key: &Key, record_type: &RecordType) -> Result<()>;

    /// Gives a record a content type, as [`Backend::set_type`].
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`].
    fn set_content_type(
        &self,
        store: &StoreName,
        key: &Key,
        content_type: &ContentType,
    ) -> Result<()> {
        self.set_type(store, key, &RecordType::given(content_type.clone()))
    }

    /// Opens a record's current version.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`].
    fn open_value(&self, store: &StoreName, key: &Key) -> Result<Arc<dyn Value>>;

    /// Begins a new version of a record of a store, empty and visible to nobody. Dropping it discards it. Without a
    /// store, of a record that has no name any more and is published nowhere.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::ReadOnly`]: also where it is known by now
    /// that nothing can be published in the store.
    fn stage(&self, store: Option<&StoreName>) -> Result<Staged>;

    /// The same, with a note of whose bytes they are: if the process ends before they are published, they are kept aside
    /// by a backend that can.
    ///
    /// # Errors
    /// As [`Backend::stage`].
    fn stage_for(&self, record: &StagedFor<'_>) -> Result<Staged> {
        self.stage(Some(record.store))
    }

    /// Makes what this backend has staged the record, in one step for every observer, and gives back the new version. An
    /// error leaves the old version in place and gives the staged bytes back as they are.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`],
    /// [`Error::RecordExists`], [`Error::NoSuchRecord`] and
    /// [`Error::RecordReplaced`] as `over` says, [`Error::Io`].
    fn publish(
        &self,
        staged: Staged,
        publish: &Publish<'_>,
    ) -> Result<Arc<dyn Value>, PublishError>;

    /// Checks that a record could be kept under this key, before any byte is written.
    ///
    /// # Errors
    /// [`Error::NameTooLong`],
    /// [`Error::InvalidKey`], [`Error::NotUnicode`].
    fn check_key(&self, store: &StoreName, key: &Key) -> Result<()>;

    /// Whether this process may have made the record since a look found none, as far as it remembers: by a publish, or by
    /// a move. A backend across a network remembers.
    fn may_have_made(&self, store: &StoreName, key: &Key) -> bool {
        let _ = (store, key);
        true
    }

    /// Removes a record: value and content type.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`].
    fn delete(&self, store: &StoreName, key: &Key) -> Result<()>;

    /// Moves a record to another key, in the same store or another, replacing what is there unless
    /// `replace` is false.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`],
    /// [`Error::RecordExists`] without `replace`.
    fn rename_record(&self, rename: &RenameRecord<'_>) -> Result<()>;

    /// Room on the medium.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn space(&self) -> Result<Space>;

    /// What it has been asked so far, if it counts that.
    fn work(&self) -> Option<Work> {
        None
    }

    // Capabilities

    /// What it keeps aside of writers whose process has ended, where it can.
    fn kept_aside(&self) -> Option<&dyn KeptAside> {
        None
    }

    /// Keeping what it purges, where it can.
    fn kept_purges(&self) -> Option<&dyn KeptPurges> {
        None
    }

    /// Owner, mode and times, if it keeps any of them.
    fn posix(&self) -> Option<&dyn Posix> {
        None
    }

    /// Making durable what was published, if it is not durable already.
    fn durability(&self) -> Option<&dyn Durability> {
        None
    }

    /// Metadata as files, if it keeps texts of them.
    fn metadata_files(&self) -> Option<&dyn MetadataFiles> {
        None
    }

    /// Directories that are no stores, if it has such.
    fn plain_directories(&self) -> Option<&dyn PlainDirectories> {
        None
    }

    /// Finding what is wrong and mending it, if anything can be.
    fn repair(&self) -> Option<&dyn Repair> {
        None
    }

    /// What SDKs do each in its own way, if they do.
    fn dialects(&self) -> Option<&dyn Dialects> {
        None
    }

    /// Being told of changes, if it tells of any.
    fn watchable(&self) -> Option<&dyn Watchable> {
        None
    }
}
