//! Metadata of stores and records as texts.

use crate::model::{Attributes, ContentType, Key};

/// The text of a store's metadata, and what it is shown with.
#[derive(Clone, Debug)]
pub struct MetadataText {
    /// The bytes as the backend holds them.
    pub bytes: Vec<u8>,
    /// Attributes of the file.
    pub attributes: Attributes,
}

/// What is kept of a sidecar that was brought as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptSidecar {
    /// Its text, to the letter.
    Text,
    /// The content type that it says.
    Type,
    /// Nothing: the layout of the store has no sidecars.
    Not,
}

/// What a sidecar says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarSays {
    /// The key that the name of the value's file stands for, as the SDKs name their files.
    pub of_file: Key,
    /// The key that it says.
    pub key: Option<String>,
    /// The content type.
    pub content_type: ContentType,
    /// Length of the value in bytes.
    pub size: Option<u64>,
}
