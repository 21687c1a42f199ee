//! A record's sidecar: the file beside a value that holds its key, type and size (FORMAT 5.2).

use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use serde_json::{Value, json};

use super::layout;
use super::tree::{self, StoreDir};
use crate::backend::is_input_key;
use crate::model::{ContentType, Key, Result, Stamp};

/// Longest sidecar that is read, in bytes. Real ones hold a key and a MIME text.
pub(super) const MAX_BYTES: u64 = 64 * 1024;

/// A sidecar of the longest key and the longest content type can be read back: JSON makes at most six bytes of one.
const _: () = {
    const BESIDE_KEY_AND_TYPE: usize = 128;
    let longest = 6 * (layout::MAX_VALUE_NAME + ContentType::MAX_BYTES) + BESIDE_KEY_AND_TYPE;
    assert!(longest as u64 <= MAX_BYTES, "the longest content type needs a larger sidecar");
};

/// What is used of a sidecar. The file's name decides which record it belongs to, not its `key` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sidecar {
    pub(super) content_type: ContentType,
    /// The value's size in bytes as its writer said it.
    pub(super) size: Option<u64>,
    /// The key as its writer said it.
    pub(super) key: Option<String>,
    /// Whether the type is there in both spellings, which Crawlee JS 4 refuses.
    pub(super) is_double: bool,
}

impl Sidecar {
    /// Reads both spellings; where a file has both, camelCase counts, as in crawlee-python.
    ///
    /// # Errors
    /// Says in words why the text is no sidecar.
    pub(super) fn parse(text: &[u8]) -> std::result::Result<Self, String> {
        let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let Value::Object(fields) = value else { return Err("it is no JSON object".to_owned()) };
        match fields.get("contentType").or_else(|| fields.get("content_type")) {
            Some(Value::String(text)) if !text.is_empty() => {
                let size = fields.get("size").and_then(Value::as_u64);
                let key = fields.get("key").and_then(Value::as_str).map(str::to_owned);
                let is_double =
                    fields.contains_key("contentType") && fields.contains_key("content_type");
                Ok(Self { content_type: ContentType::new(text), size, key, is_double })
            }
            _ => Err("it names no content type".to_owned()),
        }
    }

    /// Whether every SDK is told what is true by this sidecar of a record.
    pub(super) fn is_sound(&self, key: &Key, input_key: &str, size: u64) -> bool {
        let said = self.key.as_deref();
        // The Apify SDK calls the input by its key, whatever its file is called.
        let names_it = said.map(str::as_bytes) == Some(key.as_bytes())
            || (said == Some(input_key) && is_input_key(key, input_key));
        names_it && !self.is_double && self.size == Some(size)
    }

    /// The text of a sidecar in camelCase, the one spelling that every SDK reads.
    pub(super) fn text(key: &Key, content_type: &ContentType, size: u64) -> Vec<u8> {
        let fields =
            json!({"key": key.to_string(), "contentType": content_type.as_str(), "size": size});
        // Writing JSON values into memory cannot fail.
        serde_json::to_vec_pretty(&fields).unwrap_or_default()
    }
}

/// A sidecar as it was read.
#[derive(Debug)]
pub(super) struct SidecarFile {
    /// What it says; `None` if it is damaged.
    pub(super) sidecar: Option<Sidecar>,
    /// Of which file it was read.
    pub(super) stamp: Stamp,
}

impl SidecarFile {
    /// The sidecar as it is now: the one that was seen, if it is still there.
    pub(super) fn look(
        dir: &StoreDir,
        name: &[u8],
        key: &Key,
        seen: Option<&Arc<Self>>,
    ) -> Result<Option<Arc<Self>>> {
        let Some(seen) = seen else { return Self::read(dir, name, key) };
        let stamp = match tree::stat_file(&dir.fd, &layout::sidecar_of(name)) {
            Err(Errno::NOENT | Errno::NAMETOOLONG) => return Ok(None),
            stat => stat.map_err(|error| dir.failed("look for the sidecar of", key, error))?,
        };
        if seen.stamp == tree::attributes(&stamp).stamp {
            return Ok(Some(Arc::clone(seen)));
        }
        Self::read(dir, name, key)
    }

    /// Reads a sidecar; `None` without one. That it is damaged is logged.
    pub(super) fn read(dir: &StoreDir, name: &[u8], key: &Key) -> Result<Option<Arc<Self>>> {
        let damaged = |reason: &str| {
            log::warn!("the sidecar of '{key}' in store '{}' is damaged: {reason}", dir.name);
        };
        let sidecar = layout::sidecar_of(name);
        let failed = |error: io::Error| dir.failed("read the sidecar of", key, error);
        match tree::read_small(&dir.fd, &sidecar, MAX_BYTES) {
            Ok(None) => Ok(None),
            Ok(Some((text, stat))) => {
                let sidecar = Sidecar::parse(&text).inspect_err(|reason| damaged(reason)).ok();
                let stamp = tree::attributes(&stat).stamp;
                Ok(Some(Arc::new(Self { sidecar, stamp })))
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                damaged("it is too large");
                let stat = match tree::stat_file(&dir.fd, &sidecar) {
                    Err(Errno::NOENT) => return Ok(None),
                    stat => stat.map_err(|error| failed(error.into()))?,
                };
                let stamp = tree::attributes(&stat).stamp;
                Ok(Some(Arc::new(Self { sidecar: None, stamp })))
            }
            // A name so long that it can have no sidecar.
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p12_written_in_camel_case_as_the_engine_of_js_4_does() {
        let text = Sidecar::text(&Key::new("a/b").unwrap(), &ContentType::json(), 18);
        let expected = "{\n  \"key\": \"a/b\",\n  \"contentType\": \"application/json; charset=utf-8\",\n  \"size\": 18\n}";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn both_spellings_are_read_and_camel_case_wins() {
        let parse =
            |text: &str| Sidecar::parse(text.as_bytes()).map(|s| s.content_type.to_string());
        assert_eq!(parse("{\"content_type\": \"a/b\"}").unwrap(), "a/b");
        assert_eq!(parse("{\"content_type\": \"a/b\", \"contentType\": \"c/d\"}").unwrap(), "c/d");
    }

    proptest::proptest! {
        #[test]
        fn p19_any_bytes_are_read_or_refused(text: Vec<u8>) {
            let _ = Sidecar::parse(&text);
        }

        #[test]
        fn what_is_written_is_read_back(key in ".+", content_type in ".+", size: u64) {
            let content_type = ContentType::new(&content_type);
            let text = Sidecar::text(&Key::new(&key).unwrap(), &content_type, size);
            proptest::prop_assert_eq!(Sidecar::parse(&text).unwrap().content_type, content_type);
        }
    }

    #[test]
    fn damaged_sidecars_are_refused() {
        for text in ["", "{no", "[]", "null", "\"{}\"", "{}", "{\"content_type\": 5}"] {
            assert!(Sidecar::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Sidecar::parse(b"{\"content_type\": \"\xff\"}").is_err());
        assert!(Sidecar::parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
