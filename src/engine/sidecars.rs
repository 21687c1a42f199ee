//! The metadata of stores and records as texts that are brought from elsewhere, such as a copy of a storage.

use super::store::Store;
use crate::backend::{KeptSidecar, MetadataText};
use crate::model::{AttributeChange, Key, Result};

impl Store {
    /// Changes owner, mode and times of what the store's metadata is shown as.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::model::Error::NoSuchStore), [`Error::Io`](crate::model::Error::Io).
    pub fn set_metadata_attributes(&self, change: &AttributeChange) -> Result<()> {
        self.backend().set_metadata_attributes(&self.name, change)
    }

    /// The text of a record's sidecar as it is kept, if it is.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`](crate::model::Error::NoSuchRecord), [`Error::Io`](crate::model::Error::Io).
    pub fn sidecar_text(&self, key: &Key) -> Result<Option<MetadataText>> {
        self.backend().sidecar_text(&self.name, key)
    }

    /// Gives a record the content type that a sidecar says; the sidecar's text is kept where it can be.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`](crate::model::Error::NoSuchRecord);
    /// [`Error::DamagedSidecar`](crate::model::Error::DamagedSidecar) if the text is none.
    pub fn set_sidecar(&self, key: &Key, text: &[u8]) -> Result<KeptSidecar> {
        let kept = self.backend().set_sidecar(&self.name, key, text)?;
        self.storage.activity().modified(&self.name);
        Ok(kept)
    }

    /// Changes owner, mode and times of a record's sidecar.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`](crate::model::Error::NoSuchRecord), [`Error::Io`](crate::model::Error::Io).
    pub fn set_sidecar_attributes(&self, key: &Key, change: &AttributeChange) -> Result<()> {
        self.backend().set_sidecar_attributes(&self.name, key, change)
    }
}
