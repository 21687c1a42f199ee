//! The metadata of stores and records as texts: those that a backend keeps, or else such as are made of what it keeps.

use super::store::Store;
use crate::backend::{Document, KeptSidecar, MetadataText, read_sidecar, sidecar_text_of};
use crate::model::{AttributeChange, Attributes, BackendErrorKind, Error, Key, Result, Stamp};

/// Permission bits of a file that is only made.
const MADE_MODE: u32 = 0o644;

/// Bytes in a unit of [`Attributes::blocks`].
const BLOCK: u64 = 512;

impl Store {
    /// The text of the store's metadata, if it has any.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn metadata_text(&self) -> Result<Option<MetadataText>> {
        if let Some(files) = self.backend().metadata_files() {
            return files.metadata_text(&self.name);
        }
        let bytes = Document::new(&self.backend().metadata(&self.name)?).to_bytes();
        let attributes = Attributes { mode: MADE_MODE, ..self.attributes()? };
        Ok(Some(made(bytes, attributes)))
    }

    /// Replaces or removes the text of the store's metadata.
    ///
    /// # Errors
    /// [`Error::DamagedMetadata`] if no SDK could read the text; [`Error::Backend`] if it is to be removed from a
    /// storage whose stores always have metadata.
    pub fn set_metadata_text(&self, text: Option<&[u8]>) -> Result<()> {
        if let Some(files) = self.backend().metadata_files() {
            return files.set_metadata_text(&self.name, text);
        }
        let Some(text) = text else {
            self.attributes()?;
            return Err(Error::backend(
                BackendErrorKind::Unsupported,
                format!("remove the metadata of store '{}'", self.name),
                "in this storage it is part of the store",
            ));
        };
        let document = Document::parse(text)
            .map_err(|reason| Error::DamagedMetadata { store: self.name.to_string(), reason })?;
        self.backend().set_metadata(&self.name, document.metadata())
    }

    /// Whether the store has metadata, damaged or not.
    pub(super) fn has_metadata(&self) -> Result<bool> {
        match self.backend().metadata_files() {
            Some(files) => Ok(files.metadata_text(&self.name)?.is_some()),
            None => Ok(true),
        }
    }

    /// Changes owner, mode and times of what the store's metadata is shown as.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn set_metadata_attributes(&self, change: &AttributeChange) -> Result<()> {
        match self.backend().metadata_files() {
            Some(files) => files.set_metadata_attributes(&self.name, change),
            None => Ok(()),
        }
    }

    /// The text of a record's sidecar, if the record has a type that is kept.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`], [`Error::Io`].
    pub fn sidecar_text(&self, key: &Key) -> Result<Option<MetadataText>> {
        if let Some(files) = self.backend().metadata_files() {
            return files.sidecar_text(&self.name, key);
        }
        let Some(kept) = self.backend().kept_type(&self.name, key)? else { return Ok(None) };
        let record = self.record(key)?;
        let bytes = sidecar_text_of(key, &kept, record.size);
        Ok(Some(made(bytes, Attributes { mode: MADE_MODE, ..record })))
    }

    /// Gives a record the content type that a sidecar says; the sidecar's text is kept where it can be.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`]; [`Error::DamagedSidecar`] if the text is none.
    pub fn set_sidecar(&self, key: &Key, text: &[u8]) -> Result<KeptSidecar> {
        let kept = match self.backend().metadata_files() {
            Some(files) => files.set_sidecar(&self.name, key, text)?,
            None => {
                let says = read_sidecar(key.as_bytes(), text);
                let says = says.map_err(|reason| Error::DamagedSidecar {
                    store: self.name.to_string(),
                    key: key.to_string(),
                    reason,
                })?;
                self.backend().set_content_type(&self.name, key, &says.content_type)?;
                KeptSidecar::Type
            }
        };
        self.storage.activity().modified(&self.name);
        Ok(kept)
    }

    /// Changes owner, mode and times of a record's sidecar.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`], [`Error::Io`].
    pub fn set_sidecar_attributes(&self, key: &Key, change: &AttributeChange) -> Result<()> {
        match self.backend().metadata_files() {
            Some(files) => files.set_sidecar_attributes(&self.name, key, change),
            None => Ok(()),
        }
    }
}

/// A text that is made, with the attributes of what it is made of.
fn made(bytes: Vec<u8>, attributes: Attributes) -> MetadataText {
    let size = bytes.len() as u64;
    let stamp = Stamp { size, ..attributes.stamp };
    let attributes =
        Attributes { size, blocks: size.div_ceil(BLOCK), links: 1, stamp, ..attributes };
    MetadataText { bytes, attributes }
}
