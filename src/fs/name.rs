//! Names in the mount: what each stands for, and how a key is shown as a file name.
//!
//! A key's file name is the key itself, but for what a file name cannot hold (`/`, NUL, a whole `.` or `..`) or
//! what means something else here (a leading `@`, the metadata's and the sidecars' names). Such bytes are
//! percent-escaped, and so is `%`, so that each key has one file name and each file name at most one key. Bytes
//! of a foreign name that are not UTF-8 are escaped too.

use std::borrow::Cow;

use super::error::FsError;
use crate::model::{Key, StoreName};

/// The store's metadata.
pub(super) const METADATA: &[u8] = b"__metadata__.json";

/// The control file of a store.
pub(super) const PURGE: &[u8] = b"@purge";

/// The control file of the mount.
pub(super) const STATUS: &[u8] = b"@status";

/// Our own directory in the storage.
const PRIVATE: &[u8] = b".storefs";

/// The directory of all key-value stores, in the root.
pub(super) const STORES: &[u8] = b"key_value_stores";

const SIDECAR_SUFFIX: &[u8] = b".__metadata__.json";

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
    if is_plain { Cow::Borrowed(key) } else { file_name(key) }
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
        _ => Key::from_bytes(name).map(Name::Record).map_err(|_| FsError::InvalidName),
    }
}

/// Reads a name in a store's directory.
///
/// # Errors
/// [`FsError::Reserved`] for a sidecar's name and an unknown `@` name; [`FsError::InvalidName`] for a text that
/// is no key's file name, such as `100%` or `%41`.
fn parse(name: &[u8]) -> Result<Name, FsError> {
    if name == METADATA {
        return Ok(Name::Metadata);
    }
    if name == PURGE {
        return Ok(Name::Purge);
    }
    if name.starts_with(b"@") || name.ends_with(SIDECAR_SUFFIX) {
        return Err(FsError::Reserved);
    }
    if std::str::from_utf8(name).is_err() {
        return Err(FsError::NotUnicode);
    }
    let bytes = unescape(name).ok_or(FsError::InvalidName)?;
    let key = Key::from_bytes(&bytes).map_err(|_| FsError::InvalidName)?;
    // Only the one spelling that the key is shown with stands for it.
    if *file_name(key.as_bytes()) == *name {
        Ok(Name::Record(key))
    } else {
        Err(FsError::InvalidName)
    }
}

/// The file name under which a key of these bytes is shown: mostly the key itself.
fn file_name(bytes: &[u8]) -> Cow<'_, [u8]> {
    let is_special = |byte: &u8| matches!(byte, b'/' | b'\0' | b'%') || !byte.is_ascii();
    if bytes == b"." {
        return Cow::Borrowed(b"%2E");
    }
    if bytes == b".." {
        return Cow::Borrowed(b"%2E.");
    }
    if bytes == METADATA {
        return Cow::Borrowed(b"%5F_metadata__.json");
    }
    let (head, tail) = match bytes.strip_suffix(SIDECAR_SUFFIX) {
        Some(head) => (head, b"%2E__metadata__.json".as_slice()),
        None if !bytes.starts_with(b"@") && !bytes.iter().any(is_special) => {
            return Cow::Borrowed(bytes);
        }
        None => (bytes, b"".as_slice()),
    };
    let mut name = Vec::with_capacity(bytes.len() + 2);
    for chunk in head.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            let is_leading_at = byte == b'@' && name.is_empty();
            if matches!(byte, b'/' | b'\0' | b'%') || is_leading_at {
                escape(byte, &mut name);
            } else {
                name.push(byte);
            }
        }
        for byte in chunk.invalid() {
            escape(*byte, &mut name);
        }
    }
    name.extend_from_slice(tail);
    Cow::Owned(name)
}

fn escape(byte: u8, name: &mut Vec<u8>) {
    name.extend_from_slice(format!("%{byte:02X}").as_bytes());
}

/// Undoes every escape; `None` if a `%` begins none.
fn unescape(name: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.iter().copied();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            bytes.push(high << 4 | low);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(key: &str) -> String {
        String::from_utf8(file_name(key.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn keys_are_shown_as_they_are_where_they_can_be() {
        for key in ["OUTPUT", "\u{fc}", "with space", "it's \"quoted\"", "a@b", ".hidden", "a\nb"] {
            assert_eq!(shown(key), key);
        }
    }

    #[test]
    fn only_what_must_be_is_escaped() {
        for (key, name) in [
            ("a/b", "a%2Fb"),
            ("/abs", "%2Fabs"),
            ("\0", "%00"),
            ("%41", "%2541"),
            ("100%", "100%25"),
            (".", "%2E"),
            ("..", "%2E."),
            ("...", "..."),
            ("@purge", "%40purge"),
            ("@@", "%40@"),
            ("__metadata__.json", "%5F_metadata__.json"),
            ("x.__metadata__.json", "x%2E__metadata__.json"),
            (".__metadata__.json", "%2E__metadata__.json"),
            ("@/.__metadata__.json", "%40%2F%2E__metadata__.json"),
        ] {
            assert_eq!(shown(key), name, "{key:?}");
        }
    }

    #[test]
    fn reserved_names_and_other_spellings_stand_for_no_key() {
        assert_eq!(parse(b"__metadata__.json"), Ok(Name::Metadata));
        assert_eq!(parse(b"@purge"), Ok(Name::Purge));
        for name in ["@nothing", "@", "x.__metadata__.json", ".__metadata__.json"] {
            assert_eq!(parse(name.as_bytes()), Err(FsError::Reserved), "{name}");
        }
        for name in ["100%", "%41", "%2f", "%40", "%4", "a%2Eb"] {
            let expected = if name == "%40" {
                Ok(Name::Record(Key::new("@").unwrap()))
            } else {
                Err(FsError::InvalidName)
            };
            assert_eq!(parse(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(parse(b"\xff"), Err(FsError::NotUnicode));
    }

    #[test]
    fn foreign_names_are_shown_escaped() {
        let key = Key::from_bytes(b"a\xffb").unwrap();
        assert_eq!(*file_name(key.as_bytes()), *b"a%FFb");
        assert_eq!(parse(b"a%FFb"), Ok(Name::Record(key)));
    }

    /// Texts in which everything that is escaped comes up often.
    fn tricky() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("%".to_owned()),
            Just("/".to_owned()),
            Just("@".to_owned()),
            Just(".".to_owned()),
            Just("\0".to_owned()),
            Just("2F".to_owned()),
            Just("__metadata__.json".to_owned()),
            Just("\u{fc}".to_owned()),
            ".",
        ];
        prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn every_key_has_one_file_name_and_back(text in tricky()) {
            let key = Key::new(&text).unwrap();
            let name = file_name(key.as_bytes());
            prop_assert!(!name.contains(&b'/') && !name.contains(&0));
            prop_assert!(*name != *b"." && *name != *b"..");
            prop_assert_eq!(parse(&name), Ok(Name::Record(key)));
        }

        #[test]
        fn every_file_name_has_at_most_one_key_and_back(name in tricky()) {
            if let Ok(Name::Record(key)) = parse(name.as_bytes()) {
                prop_assert_eq!(&*file_name(key.as_bytes()), name.as_bytes());
            }
        }

        #[test]
        fn foreign_bytes_have_one_file_name_too(bytes in prop::collection::vec(any::<u8>(), 1..12)) {
            let key = Key::from_bytes(&bytes).unwrap();
            prop_assert_eq!(parse(&file_name(key.as_bytes())), Ok(Name::Record(key)));
        }
    }
}
