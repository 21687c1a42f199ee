//! What reads hostile bytes in this room, for `fuzz/`. Only its build has this, none that anybody uses.

// Said by the names, and read by nobody else.
#![allow(missing_docs, clippy::missing_errors_doc)]

use super::error::FsResult;
use super::name::{self, Name};
use crate::model::{Key, StoreName};

/// The record that a file name stands for; `None` if it stands for a file of the store.
pub fn parse_name(name: &[u8]) -> FsResult<Option<Key>> {
    Ok(match name::parse_in(&StoreName::default_store(), name)? {
        Name::Record(key) => Some(key),
        Name::Metadata(_) | Name::Purge | Name::Status | Name::Log | Name::Items(_) => None,
    })
}

pub fn file_name(key: &Key) -> Vec<u8> {
    name::shown_in(false, key.as_bytes()).into_owned()
}
