//! Names in a Crawlee storage directory (FORMAT 2 and 5.1).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use crate::model::{Error, Key, Result, StoreName};

/// The directory of all key-value stores, in the storage directory.
pub(in crate::backend) const STORES: &str = "key_value_stores";

/// Our own directory, in the storage directory or one level below it; no SDK looks there.
pub(in crate::backend) const PRIVATE: &str = ".storefs";

/// Whether a store or plain directory is our own, or in it.
pub(in crate::backend) fn is_private(directory: &StoreName) -> bool {
    if directory.is_plain() {
        directory.components().take(2).any(|component| component == PRIVATE)
    } else {
        directory.as_str() == PRIVATE
    }
}

/// The store's metadata, in the store's directory.
pub(in crate::backend) const METADATA: &str = "__metadata__.json";

/// What a sidecar's name has behind the name of its value file.
pub(in crate::backend) const SIDECAR_SUFFIX: &[u8] = b".__metadata__.json";

/// Longest name of a value file in bytes, so that its sidecar's name keeps within 255.
pub(in crate::backend) const MAX_VALUE_NAME: usize = 255 - SIDECAR_SUFFIX.len();

/// What Python's `quote(key, safe='')` escapes: all but letters, digits and `_.-~`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');

/// Whether a key of these bytes is its own disk name.
pub(in crate::backend) fn needs_no_escape(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-~".contains(byte))
}

/// The name of a value file under which crawlee-python and Crawlee JS 4 keep a key.
pub(crate) fn encode(key: &Key) -> Vec<u8> {
    percent_encoded(key.as_bytes()).into_bytes()
}

/// Bytes as ASCII letters, digits, `_.-~` and escapes.
pub(in crate::backend) fn percent_encoded(bytes: &[u8]) -> String {
    percent_encode(bytes, ESCAPED).to_string()
}

/// The key that a value file's name stands for: what [`encode`] would have made it from, or, for a name that
/// no SDK would have made (`my file.txt`, `100%`), the name itself.
pub(crate) fn decode(name: &[u8]) -> Result<Key> {
    let key = Key::from_bytes(&percent_decode(name).collect::<Vec<u8>>())?;
    if key.as_str().is_some() && encode(&key) == name { Ok(key) } else { Key::from_bytes(name) }
}

/// The name of a value's sidecar.
pub(in crate::backend) fn sidecar_of(name: &[u8]) -> Vec<u8> {
    [name, SIDECAR_SUFFIX].concat()
}

/// Whether the name is a sidecar's; then the name of its value file.
pub(in crate::backend) fn value_of_sidecar(name: &[u8]) -> Option<&[u8]> {
    name.strip_suffix(SIDECAR_SUFFIX).filter(|value| !value.is_empty())
}

/// Whether a value file may have this name at all.
pub(in crate::backend) fn is_value_name(name: &[u8]) -> bool {
    !(name == METADATA.as_bytes()
        || name.ends_with(SIDECAR_SUFFIX)
        || matches!(name, b"" | b"." | b"..")
        || name.contains(&b'/')
        || name.contains(&b'\0'))
}

/// Checks the name of a value file that is to be made for `key`.
pub(in crate::backend) fn check_value_name(name: &[u8], key: &Key) -> Result<()> {
    if name.len() > MAX_VALUE_NAME {
        return Err(Error::NameTooLong { name: key.to_string(), limit: MAX_VALUE_NAME });
    }
    if !is_value_name(name) {
        let reason = "the SDKs keep something else under this name";
        return Err(Error::InvalidKey { key: key.to_string(), reason });
    }
    Ok(())
}

/// Checks the name of a file that is to be made in a plain directory.
pub(in crate::backend) fn check_file_name(key: &Key) -> Result<()> {
    /// Longest name of a file in bytes.
    const NAME_MAX: usize = 255;
    let name = key.as_bytes();
    if name.len() > NAME_MAX {
        return Err(Error::NameTooLong { name: key.to_string(), limit: NAME_MAX });
    }
    if matches!(name, b"." | b"..") || name.contains(&b'/') || name.contains(&b'\0') {
        let reason = "no file can have this name";
        return Err(Error::InvalidKey { key: key.to_string(), reason });
    }
    Ok(())
}

/// Whether the name looks like a temporary that an SDK makes beside its file (FORMAT 5.5). A record can have
/// such a name too; then it has a sidecar, and a temporary never does.
pub(in crate::backend) fn looks_temporary(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let random = name.strip_prefix(".tmp.").unwrap_or_default();
    if random.len() == 12 && random.bytes().all(|letter| letter.is_ascii_alphanumeric()) {
        return true;
    }
    let Some(rest) = name.strip_suffix(".tmp") else { return false };
    let Some((before, last)) = rest.rsplit_once('.') else { return false };
    if is_python_random(last) && extension(before).is_none() {
        return !before.is_empty();
    }
    let Some((file, random)) = before.rsplit_once('.') else { return false };
    is_python_random(random) && extension(file) == Some(last)
}

/// Eight letters as Python's `mkstemp` draws them.
fn is_python_random(text: &str) -> bool {
    text.len() == 8
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// What follows the last dot, unless that is the first character.
fn extension(name: &str) -> Option<&str> {
    let (stem, extension) = name.rsplit_once('.')?;
    (!stem.is_empty()).then_some(extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    #[test]
    fn names_are_those_of_the_python_sdk() {
        for (text, name) in [
            ("a/b", "a%2Fb"),
            ("\u{fc}", "%C3%BC"),
            ("%41", "%2541"),
            ("ok!-_.'()", "ok%21-_.%27%28%29"),
            ("@purge", "%40purge"),
            ("~tilde", "~tilde"),
            ("\0\t\n", "%00%09%0A"),
        ] {
            assert_eq!(encode(&key(text)), name.as_bytes(), "{text:?}");
            assert_eq!(decode(name.as_bytes()).unwrap(), key(text));
        }
    }

    #[test]
    fn foreign_names_stand_for_themselves() {
        for name in ["my file.txt", "100%", "%2f", "\u{fc}", "a%zz"] {
            assert_eq!(decode(name.as_bytes()).unwrap(), key(name));
        }
        assert_eq!(decode(b"a\xff").unwrap().as_bytes(), b"a\xff");
        assert_eq!(decode(b"%FF").unwrap().as_bytes(), b"%FF", "decodes to no Unicode");
    }

    #[test]
    fn temporaries_of_every_sdk_are_known() {
        for name in [
            "obj.k_hldysl.tmp",
            "page.html.rymqlxwm.html.tmp",
            "obj.__metadata__.json.ry2876og.json.tmp",
            "__metadata__.json.dujmjj8q.json.tmp",
            ".tmp.AbCdEf012345",
            ".tmp.abcdefghijkl.__metadata__.json.ff23t8g_.json.tmp",
            "left.abcd_123.tmp",
        ] {
            assert!(looks_temporary(name.as_bytes()), "{name}");
        }
        for name in
            ["foo.tmp", "a.b.tmp", ".tmp.short", "x.abcdefgh.tmpx", "page.html.rymqlxwm.txt.tmp"]
        {
            assert!(!looks_temporary(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn reserved_and_long_names_are_refused() {
        for text in ["__metadata__.json", "x.__metadata__.json", ".", ".."] {
            assert!(check_value_name(&encode(&key(text)), &key(text)).is_err(), "{text}");
        }
        assert!(check_value_name(&[b'a'; 237], &key("a")).is_ok());
        assert!(matches!(
            check_value_name(&[b'a'; 238], &key("a")),
            Err(Error::NameTooLong { .. })
        ));
    }
}
