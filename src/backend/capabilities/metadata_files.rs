//! Metadata of stores and records as files, with texts of their own.

use crate::backend::{KeptSidecar, MetadataText};
use crate::model::{AttributeChange, Key, Result, StoreName};

/// A storage that keeps metadata as texts, to the letter.
///
/// Without it, a store has metadata as long as it is there. The text of its `__metadata__.json` is made from
/// [`Backend::metadata`](crate::backend::Backend::metadata), writing one is understood and goes through
/// [`Backend::set_metadata`](crate::backend::Backend::set_metadata), and it cannot be removed. A record's sidecar is
/// made from its type in the same way, and sets it.
pub trait MetadataFiles {
    /// The store's metadata as the text of a `__metadata__.json`, damaged or not; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore).
    fn metadata_text(&self, store: &StoreName) -> Result<Option<MetadataText>>;

    /// Replaces the store's metadata by the text of a `__metadata__.json`, or removes it.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore);
    /// [`Error::DamagedMetadata`](crate::Error::DamagedMetadata) if no SDK could read the text.
    fn set_metadata_text(&self, store: &StoreName, text: Option<&[u8]>) -> Result<()>;

    /// Changes owner, mode and times of what a store's metadata is shown as, as far as the backend keeps them.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore); [`Error::Io`](crate::Error::Io) if there is none.
    fn set_metadata_attributes(&self, store: &StoreName, change: &AttributeChange) -> Result<()>;

    /// The text of a record's sidecar as it is kept; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`](crate::Error::NoSuchRecord).
    fn sidecar_text(&self, store: &StoreName, key: &Key) -> Result<Option<MetadataText>>;

    /// Gives a record the content type that a sidecar says, leaving its value alone, and keeps the sidecar's own text
    /// where it can.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`](crate::Error::NoSuchRecord);
    /// [`Error::DamagedSidecar`](crate::Error::DamagedSidecar) if the text is none.
    fn set_sidecar(&self, store: &StoreName, key: &Key, text: &[u8]) -> Result<KeptSidecar>;

    /// Changes owner, mode and times of a sidecar whose text is kept.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`](crate::Error::NoSuchRecord).
    fn set_sidecar_attributes(
        &self,
        store: &StoreName,
        key: &Key,
        change: &AttributeChange,
    ) -> Result<()>;
}
