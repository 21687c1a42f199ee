//! What SDKs do each in its own way.

use crate::model::{ContentType, Key, Result, StoreMetadata, StoreName};

/// A storage in which SDKs keep the same thing in more than one way, or not at all.
///
/// Without it, there is one way: a record has the key that it is called by and the type that is kept for its value,
/// and a store has metadata.
pub trait Dialects {
    /// The key under which the record that an SDK means by `key` is kept, where that is another one: an SDK
    /// whose layout keeps types as extensions knows the file `page.html` as the key `page`. Given a content
    /// type, the key under which such a layout would keep a new record.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore).
    fn resolve_key(
        &self,
        store: &StoreName,
        key: &Key,
        content_type: Option<&ContentType>,
    ) -> Result<Option<Key>>;

    /// Whether the content type that is kept for a record may be that of the value before: another program puts a
    /// value in place and its type a moment later.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`](crate::Error::NoSuchRecord).
    fn is_type_in_doubt(&self, store: &StoreName, key: &Key) -> Result<bool>;

    /// Whether other programs write the values of a store where they are, instead of putting new ones in their place: then
    /// a value that has another time may have other bytes.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore).
    fn is_rewritten_in_place(&self, store: &StoreName) -> Result<bool>;

    /// Gives an input that has no content type the one that the Apify SDK gives it when it opens a store, in that SDK's
    /// own form where the backend keeps any.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`](crate::Error::NoSuchRecord).
    fn adopt_input(
        &self,
        store: &StoreName,
        key: &Key,
        input_key: &str,
        content_type: &ContentType,
    ) -> Result<()>;

    /// Makes the metadata of a store that has none, if its layout keeps metadata; else does nothing.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore).
    fn complete_metadata(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()>;

    /// The same for a store into which this backend has put a record, and which had no metadata then already. A store
    /// that has lost its metadata since then may be one that somebody is just removing, and gets none.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore).
    fn complete_written_store(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()>;
}
