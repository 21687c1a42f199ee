//! A record's sidecar: the file beside a value that holds its key, type and size (FORMAT 5.2).

use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use serde_json::{Map, Value};

use super::layout;
use super::tree::{self, StoreDir};
use crate::backend::is_input_key;
use crate::model::{ContentType, Key, Origin, RecordType, Result, Stamp};

/// Longest sidecar that is read, in bytes. Real ones hold a key and a MIME text.
pub(in crate::backend) const MAX_BYTES: u64 = 64 * 1024;

/// A sidecar of the longest key and the longest content type can be read back: JSON makes at most six bytes of one.
const _: () = {
    const BESIDE_KEY_AND_TYPE: usize = 128;
    let longest = 6 * (layout::MAX_VALUE_NAME + ContentType::MAX_BYTES) + BESIDE_KEY_AND_TYPE;
    assert!(longest as u64 <= MAX_BYTES, "the longest content type needs a larger sidecar");
};

/// A field of our own, beside a type that was only guessed: the type that the record was given, or `null` if it was
/// given none. SDKs read past it, and leave it away when they give a type.
const GIVEN: &str = "givenContentType";

/// What is used of a sidecar. The file's name decides which record it belongs to, not its `key` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backend) struct Sidecar {
    pub(in crate::backend) record_type: RecordType,
    /// The value's size in bytes as its writer said it.
    pub(in crate::backend) size: Option<u64>,
    /// The key as its writer said it.
    pub(in crate::backend) key: Option<String>,
    /// Whether the type is there in both spellings, which Crawlee JS 4 refuses.
    pub(in crate::backend) is_double: bool,
}

impl Sidecar {
    /// Reads both spellings; where a file has both, camelCase counts, as in crawlee-python.
    ///
    /// # Errors
    /// Says in words why the text is no sidecar.
    pub(in crate::backend) fn parse(text: &[u8]) -> std::result::Result<Self, String> {
        let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let Value::Object(fields) = value else { return Err("it is no JSON object".to_owned()) };
        let Some(record_type) = record_type(&fields) else {
            return Err("it names no content type".to_owned());
        };
        let size = fields.get("size").and_then(Value::as_u64);
        let key = fields.get("key").and_then(Value::as_str).map(str::to_owned);
        let is_double = fields.contains_key("contentType") && fields.contains_key("content_type");
        Ok(Self { record_type, size, key, is_double })
    }

    /// Whether every SDK is told what is true by this sidecar of a record.
    pub(in crate::backend) fn is_sound(&self, key: &Key, input_key: &str, size: u64) -> bool {
        let said = self.key.as_deref();
        // The Apify SDK calls the input by its key, whatever its file is called.
        let names_it = said.map(str::as_bytes) == Some(key.as_bytes())
            || (said == Some(input_key) && is_input_key(key, input_key));
        names_it && !self.is_double && self.size == Some(size)
    }

    /// The text of a sidecar in camelCase, the one spelling that every SDK reads.
    pub(in crate::backend) fn text(key: &Key, record_type: &RecordType, size: u64) -> Vec<u8> {
        let content_type = record_type.content_type.as_str();
        let mut fields = vec![
            ("key", key.to_string().into()),
            ("contentType", content_type.into()),
            ("size", size.into()),
        ];
        if let Origin::Guessed { given } = &record_type.origin {
            let given = given.as_ref().map_or(Value::Null, |given| given.as_str().into());
            fields.push((GIVEN, given));
        }
        let text = pretty(fields);
        match &record_type.origin {
            // Two long types can be too much for what is read. The one that holds is the one that must be there.
            Origin::Guessed { given: Some(_) } if text.len() as u64 > MAX_BYTES => {
                let alone = RecordType::guessed(record_type.content_type.clone(), None);
                Self::text(key, &alone, size)
            }
            _ => text,
        }
    }
}

/// The text of the sidecar that the Apify SDK makes for an input without one when it opens a store (FORMAT 8.2): its own
/// spelling, and the input key in place of the record's.
pub(in crate::backend) fn input_text(
    input_key: &str,
    content_type: &ContentType,
    size: u64,
) -> Vec<u8> {
    pretty(vec![
        ("key", input_key.into()),
        ("content_type", content_type.as_str().into()),
        ("size", size.into()),
    ])
}

fn pretty(fields: Vec<(&str, Value)>) -> Vec<u8> {
    let fields: Map<String, Value> =
        fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect();
    // Writing JSON values into memory cannot fail.
    serde_json::to_vec_pretty(&fields).unwrap_or_default()
}

/// The content type that the fields of a sidecar name, in either spelling; where there are both, camelCase counts, as in
/// crawlee-python.
pub(super) fn record_type(fields: &Map<String, Value>) -> Option<RecordType> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(ContentType::new);
    let content_type = text(fields.get("contentType").or_else(|| fields.get("content_type"))?)?;
    Some(match fields.get(GIVEN) {
        None => RecordType::given(content_type),
        Some(given) => RecordType::guessed(content_type, text(given)),
    })
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
    /// Whether it was written after a value was put in its place, as an SDK's is (FORMAT 5.5). When it was changed does not
    /// tell: a sidecar that is just being replaced counts as changed, while it is still found.
    pub(super) fn is_written_after(&self, value: &Stamp) -> bool {
        self.stamp.modified_ns.min(self.stamp.changed_ns) > value.changed_ns
    }

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
        let text = Sidecar::text(&Key::new("a/b").unwrap(), &ContentType::json().into(), 18);
        let expected = "{\n  \"key\": \"a/b\",\n  \"contentType\": \"application/json; charset=utf-8\",\n  \"size\": 18\n}";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn p13_the_sidecar_of_a_bare_input_is_the_sdks() {
        let text = String::from_utf8(input_text("INPUT", &ContentType::json(), 8)).unwrap();
        let expected = "{\n  \"key\": \"INPUT\",\n  \"content_type\": \"application/json; charset=utf-8\",\n  \"size\": 8\n}";
        assert_eq!(text, expected);
        let read = Sidecar::parse(text.as_bytes()).unwrap();
        assert_eq!(read.record_type, RecordType::given(ContentType::json()));
    }

    #[test]
    fn both_spellings_are_read_and_camel_case_wins() {
        let parse = |text: &str| {
            Sidecar::parse(text.as_bytes()).map(|s| s.record_type.content_type.to_string())
        };
        assert_eq!(parse("{\"content_type\": \"a/b\"}").unwrap(), "a/b");
        assert_eq!(parse("{\"content_type\": \"a/b\", \"contentType\": \"c/d\"}").unwrap(), "c/d");
    }

    proptest::proptest! {
        #[test]
        fn p19_any_bytes_are_read_or_refused(text: Vec<u8>) {
            let _ = Sidecar::parse(&text);
        }

        #[test]
        fn what_is_written_is_read_back(
            key in ".+",
            content_type in ".+",
            given in proptest::option::of(proptest::option::of(".+")),
            size: u64,
        ) {
            let content_type = ContentType::new(&content_type);
            let written = match given {
                None => RecordType::given(content_type),
                Some(given) => {
                    RecordType::guessed(content_type, given.as_deref().map(ContentType::new))
                }
            };
            let text = Sidecar::text(&Key::new(&key).unwrap(), &written, size);
            let read = Sidecar::parse(&text).unwrap();
            proptest::prop_assert_eq!((read.record_type, read.size), (written, Some(size)));
        }
    }

    #[test]
    fn p10_a_type_that_was_guessed_says_so_and_one_that_was_given_looks_like_an_sdks() {
        let key = Key::new("k").unwrap();
        let text = |record_type: &RecordType| {
            serde_json::from_slice::<Value>(&Sidecar::text(&key, record_type, 1)).unwrap()
        };
        let given = RecordType::given(ContentType::json());
        assert_eq!(text(&given).as_object().unwrap().len(), 3);
        let guessed = RecordType::guessed(ContentType::text(), None);
        assert_eq!(text(&guessed)[GIVEN], Value::Null);
        assert_eq!(text(&guessed).as_object().unwrap().len(), 4);
        let guessed = RecordType::guessed(ContentType::text(), Some(ContentType::json()));
        assert_eq!(text(&guessed)[GIVEN], "application/json; charset=utf-8");
    }

    #[test]
    fn p10_two_types_that_are_too_long_together_leave_the_one_that_holds() {
        let long = |letter: &str| ContentType::new(&letter.repeat(ContentType::MAX_BYTES));
        let both = RecordType::guessed(long("\u{1}"), Some(long("\u{2}")));
        let text = Sidecar::text(&Key::new("k").unwrap(), &both, 1);
        assert!(text.len() as u64 <= MAX_BYTES);
        let read = Sidecar::parse(&text).unwrap().record_type;
        assert_eq!(read, RecordType::guessed(long("\u{1}"), None));
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
