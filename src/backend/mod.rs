//! Where a storage lives and how.
//!
//! A [`Backend`] keeps stores and records; it knows nothing of inference of content types, of input records
//! by default, of who has what open, or of a mount. The [engine](crate::engine) gives those their meaning.
//! No path and no descriptor passes through the trait, except as the optional capability
//! [`Value::local_file`]. Every implementation passes the same suite, `tests/backend_suite`.

pub mod directory;
mod document;
pub mod memory;
mod publishing;
mod purging;
mod reader;
mod texts;
mod unpublished;
mod versions;
pub mod watch;

use std::fmt::Debug;
use std::sync::Arc;

use jiff::Timestamp;

pub(crate) use directory::read_sidecar;
#[cfg(feature = "mount")]
pub(crate) use directory::{key_of_value_file, value_file_of};
pub use publishing::{DecideType, Over, Publish, PublishError, PublishType, RenameRecord};
pub use purging::{Counting, Purge, Purged, Purging, is_input_key, is_item, is_spared};
pub use reader::Reader;
pub use texts::{KeptSidecar, MetadataText, SidecarSays};
pub use unpublished::{KeptAside, StagedFor};
pub use versions::{Staging, Value};

use crate::model::{
    AttributeChange, Attributes, ContentType, Error, Finding, Key, RecordType, Result, Space,
    StoreMetadata, StoreName,
};
use watch::{Tell, Watched};

/// The records of a store as they are listed, in no particular order, each once.
pub type Scan = Box<dyn Iterator<Item = Result<Key>> + Send>;

/// A look at one record: its attributes.
pub type Look<'a> = dyn FnMut(&Key) -> Result<Attributes> + 'a;

/// What is wrong in a storage or store, found while it is asked for.
pub type Findings = Box<dyn Iterator<Item = Result<Finding>> + Send>;

/// A place that keeps stores and records.
///
/// All methods may be called from several threads at once, and other programs may change the same storage at
/// any time. What one call makes visible, it makes visible at once and whole. A method that is given a store
/// which is not there fails with [`Error::NoSuchStore`], one that would make a record
/// under an impossible key with the errors of [`Backend::check_key`]. A record renamed to its own name stays as it
/// is.
pub trait Backend: Debug + Send + Sync {
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

    /// Makes an empty store that holds `metadata`.
    ///
    /// # Errors
    /// [`Error::StoreExists`]; then the store there is left as it is.
    fn create_store(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()>;

    /// Gives a store another name and sets the `name` of its metadata to `metadata_name`. Who publishes meanwhile
    /// under the old name either comes first, or fails with [`Error::NoSuchStore`] and may try again under the new one.
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

    /// The store's metadata. A store whose layout keeps none has no id.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`],
    /// [`Error::DamagedMetadata`].
    fn metadata(&self, store: &StoreName) -> Result<StoreMetadata>;

    /// The store's metadata as the text of a `__metadata__.json`, damaged or not; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn metadata_text(&self, store: &StoreName) -> Result<Option<MetadataText>>;

    /// Replaces the store's metadata by the text of a `__metadata__.json`, or removes it.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`];
    /// [`Error::DamagedMetadata`] if no SDK could read the text.
    fn set_metadata_text(&self, store: &StoreName, text: Option<&[u8]>) -> Result<()>;

    /// Changes owner, mode and times of what a store's metadata is shown as, as far as the backend keeps them.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`]; [`Error::Io`] if there is none.
    fn set_metadata_attributes(&self, _store: &StoreName, _change: &AttributeChange) -> Result<()> {
        Ok(())
    }

    /// Makes the metadata of a store that has none, if its layout keeps metadata; else does nothing.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn complete_metadata(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()>;

    /// The same for a store into which this backend has put a record, and which had no metadata then already. A store
    /// that has lost its metadata since then may be one that somebody is just removing, and gets none.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn complete_written_store(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()>;

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

    /// The keys of all records. Takes no memory that grows with the store.
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

    /// Whether the content type that is kept for a record may be that of the value before: another program puts a
    /// value in place and its type a moment later.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`].
    fn is_type_in_doubt(&self, _store: &StoreName, _key: &Key) -> Result<bool> {
        Ok(false)
    }

    /// Whether other programs write the values of a store where they are, instead of putting new ones in their place: then
    /// a value that has another time may have other bytes.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn is_rewritten_in_place(&self, _store: &StoreName) -> Result<bool> {
        Ok(false)
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

    /// The text of a record's sidecar as it is kept; `None` if there is none, or the backend keeps none.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`].
    fn sidecar_text(&self, _store: &StoreName, _key: &Key) -> Result<Option<MetadataText>> {
        Ok(None)
    }

    /// Gives a record the content type that a sidecar says, leaving its value alone, and keeps the sidecar's own text
    /// where it can.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`]; [`Error::DamagedSidecar`] if the text is none.
    fn set_sidecar(&self, store: &StoreName, key: &Key, text: &[u8]) -> Result<KeptSidecar> {
        let says = read_sidecar(key.as_bytes(), text).map_err(|reason| Error::DamagedSidecar {
            store: store.to_string(),
            key: key.to_string(),
            reason,
        })?;
        self.set_content_type(store, key, &says.content_type)?;
        Ok(KeptSidecar::Type)
    }

    /// Changes owner, mode and times of a sidecar whose text is kept.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`].
    fn set_sidecar_attributes(
        &self,
        _store: &StoreName,
        _key: &Key,
        _change: &AttributeChange,
    ) -> Result<()> {
        Ok(())
    }

    /// Gives an input that has no content type the one that the Apify SDK gives it when it opens a store, in that SDK's
    /// own form where the backend keeps any.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`].
    fn adopt_input(
        &self,
        store: &StoreName,
        key: &Key,
        _input_key: &str,
        content_type: &ContentType,
    ) -> Result<()> {
        self.set_content_type(store, key, content_type)
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
    /// [`Error::Io`], [`Error::ReadOnly`]: also where it is known by now that nothing can be published in the store.
    fn stage(&self, store: Option<&StoreName>) -> Result<Box<dyn Staging>>;

    /// Which stores cannot be written, and why, each in a line for people. Looks at each store.
    ///
    /// # Errors
    /// [`Error::Io`] if the storage cannot be read.
    fn unwritable(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// The same, with a note of whose bytes they are: if the process ends before they are published, they are kept aside
    /// by a backend that can.
    ///
    /// # Errors
    /// As [`Backend::stage`].
    fn stage_for(&self, record: &StagedFor<'_>) -> Result<Box<dyn Staging>> {
        self.stage(Some(record.store))
    }

    /// What it keeps aside of writers whose process has ended, where it can.
    fn kept_aside(&self) -> Option<&dyn KeptAside> {
        None
    }

    /// Checks that a record could be kept under this key, before any byte is written.
    ///
    /// # Errors
    /// [`Error::NameTooLong`],
    /// [`Error::InvalidKey`], [`Error::NotUnicode`].
    fn check_key(&self, store: &StoreName, key: &Key) -> Result<()>;

    /// The key under which the record that an SDK means by `key` is kept, where that is another one: an SDK
    /// whose layout keeps types as extensions knows the file `page.html` as the key `page`. Given a content
    /// type, the key under which such a layout would keep a new record.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn resolve_key(
        &self,
        _store: &StoreName,
        _key: &Key,
        _content_type: Option<&ContentType>,
    ) -> Result<Option<Key>> {
        Ok(None)
    }

    /// Changes owner, mode and times of a record's value, as far as the backend keeps them.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`].
    fn set_attributes(
        &self,
        store: &StoreName,
        key: &Key,
        change: &AttributeChange,
    ) -> Result<Attributes>;

    /// Changes owner, mode and times of a store, as far as the backend keeps them.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn set_store_attributes(
        &self,
        store: &StoreName,
        change: &AttributeChange,
    ) -> Result<Attributes>;

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

    /// Makes a record durable, whoever has published it.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`].
    fn sync_record(&self, store: &StoreName, key: &Key) -> Result<()>;

    /// Makes durable which stores there are, and under which names.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn sync_stores(&self) -> Result<()>;

    /// Makes durable what was published in a store through this backend.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn sync_store(&self, store: &StoreName) -> Result<()>;

    /// Completes or undoes what a process was at when it died, so that each of its operations has happened
    /// or has not. Leaves alone what live processes are at. Nothing to do for a backend whose operations are one step.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn heal(&self) -> Result<()> {
        Ok(())
    }

    /// Looks for what is wrong outside all stores, and changes nothing. Nothing can be wrong where nobody else
    /// writes.
    ///
    /// # Errors
    /// [`Error::Io`] if the storage cannot be read.
    fn examine(&self) -> Result<Findings> {
        Ok(Box::new(std::iter::empty()))
    }

    /// Looks for what is wrong in a store, as [`Backend::examine`] does. Holds no value and no list of records
    /// in memory.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn examine_store(&self, _store: &StoreName) -> Result<Findings> {
        Ok(Box::new(std::iter::empty()))
    }

    /// Mends a finding whose remedy is to rewrite or to remove something, after another look at it. A rewritten
    /// record gets `record_type` if it has none that can be read. Nothing is done if there is nothing to mend
    /// any more.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::ReadOnly`].
    fn mend(&self, _finding: &Finding, _record_type: Option<&RecordType>) -> Result<()> {
        Ok(())
    }

    /// Names of the directories in a plain directory; none where the storage has no such.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`].
    fn directories(&self, _directory: &StoreName) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Makes a plain directory.
    ///
    /// # Errors
    /// [`Error::StoreExists`] if anything has its name;
    /// [`Error::NoSuchStore`] without its parent, also where the storage has no plain
    /// directories.
    fn create_directory(&self, directory: &StoreName) -> Result<()> {
        Err(Error::NoSuchStore { store: directory.to_string() })
    }

    /// Removes an empty plain directory.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`]; [`Error::Io`] if it is not empty.
    fn remove_directory(&self, directory: &StoreName) -> Result<()> {
        Err(Error::NoSuchStore { store: directory.to_string() })
    }

    /// Moves a plain directory; an empty one may be replaced if `replace` is set.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`],
    /// [`Error::StoreExists`].
    fn rename_directory(&self, from: &StoreName, _to: &StoreName, _replace: bool) -> Result<()> {
        Err(Error::NoSuchStore { store: from.to_string() })
    }

    /// Begins to watch for what changes in the storage, whoever changes it, and tells it.
    ///
    /// # Errors
    /// The reason, where changes cannot be watched for.
    fn watch(&self, _tell: Tell) -> Watched {
        Err("a storage of this kind does not tell of changes".to_owned())
    }

    /// Room on the medium.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn space(&self) -> Result<Space>;
}
