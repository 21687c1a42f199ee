//! Names in the mount, and what each stands for.

use std::borrow::Cow;

use super::error::FsError;
use super::escape;
use super::escape::{ITEMS_CSV, ITEMS_JSON, ITEMS_JSONL};
pub(super) use super::escape::{LOG, METADATA, PURGE, STATUS};
use crate::backend::ItemsFormat;
use crate::model::{Key, StoreName};

/// Our own directory, in the storage or one level below it.
pub(super) const PRIVATE: &[u8] = b".storefs";

/// The directory of all key-value stores, in the root.
pub(super) const STORES: &[u8] = b"key_value_stores";

/// What each of these holds can be purged.
const COLLECTIONS: [&[u8]; 3] = [STORES, DATASETS, b"request_queues"];

/// The directory of all datasets, in the root.
const DATASETS: &[u8] = b"datasets";

/// The names of the texts in each dataset.
const ITEMS: [(&[u8], ItemsFormat); 3] = [
    (ITEMS_JSONL, ItemsFormat::JsonLines),
    (ITEMS_JSON, ItemsFormat::Json),
    (ITEMS_CSV, ItemsFormat::Csv),
];

/// What a name in a store's directory, or a plain one, stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// `__metadata__.json`, or a sidecar.
    Metadata(MetadataName),
    /// `@purge`.
    Purge,
    /// `@status`.
    Status,
    /// `@log`.
    Log,
    /// `@items.jsonl` and its like: all items of a dataset.
    Items(ItemsFormat),
    /// A record.
    Record(Key),
}

/// Whose metadata a file in a store's directory is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum MetadataName {
    /// The store's: `__metadata__.json`.
    Store,
    /// A record's: its sidecar, by the name of the value's file.
    Record(Box<[u8]>),
}

impl MetadataName {
    pub(super) fn is_sidecar(&self) -> bool {
        matches!(self, Self::Record(_))
    }

    /// So long a text may be, in bytes.
    pub(super) fn most_bytes(&self) -> u64 {
        match self {
            Self::Store => 1024 * 1024,
            Self::Record(_) => 64 * 1024,
        }
    }
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

/// The name of the sidecar of a value's file.
pub(super) fn sidecar_name(file: &[u8]) -> Vec<u8> {
    [file, escape::SIDECAR_SUFFIX].concat()
}

/// The name of a text of a dataset's items.
pub(super) fn items_name(format: ItemsFormat) -> &'static [u8] {
    match format {
        ItemsFormat::JsonLines => ITEMS_JSONL,
        ItemsFormat::Json => ITEMS_JSON,
        ItemsFormat::Csv => ITEMS_CSV,
    }
}

/// The text of a dataset's items that has this name.
fn items_format(name: &[u8]) -> Option<ItemsFormat> {
    ITEMS.into_iter().find_map(|(own, format)| (own == name).then_some(format))
}

/// In a plain directory every file is what it is. Control files are where they are in any mount.
fn parse_plain(directory: &StoreName, name: &[u8]) -> Result<Name, FsError> {
    let path: Vec<&str> = directory.components().collect();
    match (path.as_slice(), name) {
        ([], STATUS) => Ok(Name::Status),
        ([], LOG) => Ok(Name::Log),
        ([] | [_], PRIVATE) => Err(FsError::Reserved),
        ([top, _], PURGE) if COLLECTIONS.contains(&top.as_bytes()) => Ok(Name::Purge),
        ([top, _], name) if top.as_bytes() == DATASETS => match items_format(name) {
            Some(format) => Ok(Name::Items(format)),
            None => Ok(Name::Record(Key::from_bytes(name)?)),
        },
        _ => Ok(Name::Record(Key::from_bytes(name)?)),
    }
}

/// Reads a name in a store's directory.
///
/// # Errors
/// [`FsError::Reserved`] for the name of a later control file; [`FsError::NotUnicode`];
/// [`FsError::Invalid`] for what is no name in a directory, and which the kernel never asks for.
fn parse(name: &[u8]) -> Result<Name, FsError> {
    if name == METADATA {
        return Ok(Name::Metadata(MetadataName::Store));
    }
    if name == PURGE {
        return Ok(Name::Purge);
    }
    if matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | b'\0')) {
        return Err(FsError::Invalid);
    }
    if std::str::from_utf8(name).is_err() {
        return Err(FsError::NotUnicode);
    }
    if let Some(file) = escape::sidecar_owner(name).or_else(|| sidecar_to_be(name)) {
        return Ok(Name::Metadata(MetadataName::Record(file.into())));
    }
    if escape::is_reserved(name) {
        return Err(FsError::Reserved);
    }
    let key = Key::from_bytes(&escape::key_of(name))?;
    Ok(Name::Record(key))
}

/// Whether this is the name under which rsync writes a sidecar before it gives it its own, and too long for a record.
/// Then the sidecar is held under it as others are under theirs.
fn sidecar_to_be(name: &[u8]) -> Option<&[u8]> {
    /// Longest name of a record in bytes.
    const LONGEST: usize = 237;
    /// A dot and six letters.
    const RANDOM: usize = 7;
    let own = name.strip_prefix(b".").filter(|_| name.len() > LONGEST)?;
    let own = own.get(..own.len().checked_sub(RANDOM)?)?;
    escape::sidecar_owner(own).map(|_| name)
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
    fn datasets_alone_have_texts_of_their_items() {
        let directory = |path: &[&str]| {
            path.iter().fold(StoreName::plain_root(), |dir, name| dir.child(name).unwrap())
        };
        for (name, format) in ITEMS {
            let dataset = parse_in(&directory(&["datasets", "default"]), name);
            assert_eq!(dataset.unwrap(), Name::Items(format));
            assert_eq!(items_name(format), name);
            for other in [&["datasets"][..], &["datasets", "a", "b"], &["request_queues", "a"]] {
                assert!(matches!(parse_in(&directory(other), name), Ok(Name::Record(_))));
            }
        }
    }

    #[test]
    fn reserved_names_stand_for_no_key() {
        let metadata = |name: &[u8]| match parse(name).unwrap() {
            Name::Metadata(metadata) => metadata,
            other => panic!("{other:?}"),
        };
        assert_eq!(metadata(b"__metadata__.json"), MetadataName::Store);
        let sidecar = metadata(b"x.__metadata__.json");
        assert_eq!(sidecar, MetadataName::Record(b"x".as_slice().into()));
        assert_eq!(parse(b"@purge").unwrap(), Name::Purge);
        for name in ["@status", "@log", "@items.csv", ".__metadata__.json"] {
            assert!(matches!(parse(name.as_bytes()), Err(FsError::Reserved)), "{name}");
        }
        for name in ["", ".", "..", "a/b", "nul\0"] {
            assert!(matches!(parse(name.as_bytes()), Err(FsError::Invalid)), "{name}");
        }
        assert!(matches!(parse(b"\xff"), Err(FsError::NotUnicode)));
    }
}
