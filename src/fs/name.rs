//! Names in the mount, and what each stands for.

use std::borrow::Cow;

use super::error::FsError;
use super::escape;
pub(super) use super::escape::{METADATA, PURGE, STATUS};
use crate::model::{Key, StoreName};

/// Our own directory in the storage.
const PRIVATE: &[u8] = b".storefs";

/// The directory of all key-value stores, in the root.
pub(super) const STORES: &[u8] = b"key_value_stores";

/// What a name in a store's directory, or a plain one, stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// `__metadata__.json`.
    Metadata,
    /// `@purge`.
    Purge,
    /// `@status`.
    Status,
    /// A record.
    Record(Key),
}

/// Reads a name in the directory of a store, or in a plain one.
///
/// # Errors
/// As [`parse`]; in a plain directory [`FsError::Reserved`] for our own directory.
pub(super) fn parse_in(directory: &StoreName, name: &[u8]) -> Result<Name, FsError> {
    if directory.is_plain() { parse_plain(directory, name) } else { parse(name) }
}

/// The name under which a record of a store, or a file of a plain directory, is shown. `key` is the key's bytes.
pub(super) fn shown_in(is_plain: bool, key: &[u8]) -> Cow<'_, [u8]> {
    if is_plain { Cow::Borrowed(key) } else { escape::file_name(key) }
}

/// In a plain directory every file is what it is. Control files are where they are in any mount.
fn parse_plain(directory: &StoreName, name: &[u8]) -> Result<Name, FsError> {
    let path: Vec<&str> = directory.components().collect();
    match (path.as_slice(), name) {
        ([], STATUS) => Ok(Name::Status),
        ([], PRIVATE) => Err(FsError::Reserved),
        ([_, _], PURGE) if path.first().is_some_and(|top| top.as_bytes() == STORES) => {
            Ok(Name::Purge)
        }
        _ => Ok(Name::Record(Key::from_bytes(name)?)),
    }
}

/// Reads a name in a store's directory.
///
/// # Errors
/// [`FsError::Reserved`] for a sidecar's name and that of a later control file; [`FsError::NotUnicode`];
/// [`FsError::Invalid`] for what is no name in a directory, and which the kernel never asks for.
fn parse(name: &[u8]) -> Result<Name, FsError> {
    if name == METADATA {
        return Ok(Name::Metadata);
    }
    if name == PURGE {
        return Ok(Name::Purge);
    }
    if matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | b'\0')) {
        return Err(FsError::Invalid);
    }
    if escape::is_reserved(name) {
        return Err(FsError::Reserved);
    }
    if std::str::from_utf8(name).is_err() {
        return Err(FsError::NotUnicode);
    }
    let key = Key::from_bytes(&escape::key_of(name))?;
    Ok(Name::Record(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_records_stand_for_their_keys() {
        for (name, key) in [("OUTPUT", "OUTPUT"), ("100%", "100%"), ("a%2Fb", "a/b"), ("@x", "@x")]
        {
            let record = Name::Record(Key::new(key).unwrap());
            assert_eq!(parse(name.as_bytes()).unwrap(), record, "{name}");
        }
    }

    #[test]
    fn reserved_names_stand_for_no_key() {
        assert_eq!(parse(b"__metadata__.json").unwrap(), Name::Metadata);
        assert_eq!(parse(b"@purge").unwrap(), Name::Purge);
        for name in ["@status", "@log", "@items.csv", "x.__metadata__.json", ".__metadata__.json"] {
            assert!(matches!(parse(name.as_bytes()), Err(FsError::Reserved)), "{name}");
        }
        for name in ["", ".", "..", "a/b", "nul\0"] {
            assert!(matches!(parse(name.as_bytes()), Err(FsError::Invalid)), "{name}");
        }
        assert!(matches!(parse(b"\xff"), Err(FsError::NotUnicode)));
    }
}
