//! What reads hostile bytes in this room, for `fuzz/`. Only its build has this, none that anybody uses.

// Said by the names, and read by nobody else.
#![allow(missing_docs, clippy::missing_errors_doc)]

use super::dialect::Dialect;
use super::layout;
use super::note::{self, Note, Object, Step};
use super::sidecar::Sidecar;
use crate::backend::Document;
use crate::model::{ContentType, Key, Result, StoreMetadata, Timestamp};

pub fn parse_sidecar(text: &[u8]) -> std::result::Result<ContentType, String> {
    Sidecar::parse(text).map(|sidecar| sidecar.record_type.content_type)
}

pub fn sidecar_text(key: &Key, content_type: &ContentType, size: u64) -> Vec<u8> {
    Sidecar::text(key, &content_type.clone().into(), size)
}

/// The text of a store's metadata. What was changed in it is read again from its bytes.
#[derive(Debug)]
pub struct MetadataText(Document);

impl MetadataText {
    pub fn parse(text: &[u8]) -> std::result::Result<Self, String> {
        Document::parse(text).map(Self)
    }

    pub fn metadata(&self) -> &StoreMetadata {
        self.0.metadata()
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    pub fn touched(mut self, at: Timestamp) -> std::result::Result<Self, String> {
        self.0.touch(Some(at), Some(at));
        Self::parse(&self.to_bytes())
    }

    pub fn purged(mut self, at: Timestamp) -> std::result::Result<Self, String> {
        self.0.set_purged(at);
        Self::parse(&self.to_bytes())
    }

    pub fn renamed(mut self, name: &str) -> std::result::Result<Self, String> {
        self.0.set_name(Some(name));
        Self::parse(&self.to_bytes())
    }
}

/// What a note's name says: the step, in the order in which notes are healed, the inode number, and the disk name.
pub fn parse_note(name: &[u8]) -> Option<(usize, u64, Option<Vec<u8>>)> {
    let note = Note::parse(name)?;
    let step = STEPS.iter().position(|step| *step == note.step)?;
    Some((step, note.number, note.subject))
}

pub fn note_name(serial: u64, step: usize, number: u64, subject: &[u8]) -> Option<Vec<u8>> {
    let object = Object { number, since_ns: 0, size: 0 };
    Some(note::note_name(serial, *STEPS.get(step)?, &object, None, subject))
}

const STEPS: [Step; 3] = [Step::Publish, Step::Delete, Step::RenameStore];

/// A layout: that of Crawlee JS 3, or with sidecars.
#[derive(Clone, Copy, Debug)]
pub struct Layout(Dialect);

impl Layout {
    pub const ALL: [Self; 2] = [Self(Dialect::Sidecars), Self(Dialect::Js3)];

    pub fn value_name(self, key: &Key) -> Vec<u8> {
        self.0.value_name(key)
    }

    pub fn key(self, name: &[u8]) -> Result<Key> {
        self.0.key(name)
    }
}

pub fn check_value_name(name: &[u8], key: &Key) -> Result<()> {
    layout::check_value_name(name, key)
}

pub fn sidecar_of(name: &[u8]) -> Vec<u8> {
    layout::sidecar_of(name)
}

pub fn value_of_sidecar(name: &[u8]) -> Option<&[u8]> {
    layout::value_of_sidecar(name)
}

pub fn looks_temporary(name: &[u8]) -> bool {
    layout::looks_temporary(name)
}
