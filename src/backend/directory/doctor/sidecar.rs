//! What is wrong with the text of a sidecar (FORMAT 5.2, 5.3).

use serde_json::{Map, Value};

use crate::backend::directory::sidecar;
use crate::model::{ContentType, FindingKind, RecordType};

/// Both spellings of the field that holds the content type.
const CONTENT_TYPE: [&str; 2] = ["contentType", "content_type"];

/// A fault: its sort, and what is wrong in words.
pub(super) type Fault = (FindingKind, String);

/// The fields of a sidecar that can be read, if need be by taking a text out of its text.
#[derive(Debug)]
pub(super) struct SidecarFields {
    fields: Map<String, Value>,
    is_doubly_encoded: bool,
}

impl SidecarFields {
    /// Reads a sidecar as far as anybody could.
    ///
    /// # Errors
    /// Says in words why it holds nothing.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the sidecar is empty".to_owned());
        }
        let Ok(text) = std::str::from_utf8(text) else {
            return Err("the sidecar is not UTF-8".to_owned());
        };
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Self { fields, is_doubly_encoded: false }),
            Ok(Value::String(inner)) => match serde_json::from_str(&inner) {
                Ok(Value::Object(fields)) => Ok(Self { fields, is_doubly_encoded: true }),
                _ => Err("the sidecar holds a JSON string, no object".to_owned()),
            },
            Ok(Value::Array(_)) => Err("the sidecar holds a JSON array, no object".to_owned()),
            Ok(_) => Err("the sidecar holds a single JSON value, no object".to_owned()),
            Err(error) => Err(format!("the sidecar is no JSON: {error}")),
        }
    }

    /// The content type that counts, and how the record came by it.
    pub(super) fn record_type(&self) -> Option<RecordType> {
        sidecar::record_type(&self.fields)
    }

    /// The content type that counts.
    pub(super) fn content_type(&self) -> Option<ContentType> {
        self.record_type().map(|record_type| record_type.content_type)
    }

    /// The extension of the value's file, which Crawlee JS 3 keeps out of the sidecar's name.
    pub(super) fn extension(&self) -> Option<&str> {
        self.fields.get("extension").and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Whether the fields are a text within the text.
    pub(super) fn is_doubly_encoded(&self) -> bool {
        self.is_doubly_encoded
    }

    /// What is wrong, for a value of `size` bytes whose key `is_key` knows. One that no SDK can read has one
    /// fault; what else is wrong with it does not matter.
    pub(super) fn faults(&self, is_key: impl Fn(&str) -> bool, size: u64) -> Vec<Fault> {
        if self.is_doubly_encoded {
            let problem = "the sidecar holds JSON within a JSON string: no SDK can read it";
            return vec![(FindingKind::DoublyEncodedSidecar, problem.to_owned())];
        }
        if self.content_type().is_none() {
            let problem = "the sidecar names no content type".to_owned();
            return vec![(FindingKind::CorruptSidecar, problem)];
        }
        let spellings = self.spelling_fault();
        spellings.into_iter().chain(self.key_fault(is_key)).chain(self.size_fault(size)).collect()
    }

    fn spelling_fault(&self) -> Option<Fault> {
        let [camel, snake] = CONTENT_TYPE;
        let problem =
            format!("the sidecar has both '{camel}' and '{snake}': Crawlee JS 4 refuses it");
        let both = CONTENT_TYPE.iter().all(|field| self.fields.contains_key(*field));
        both.then_some((FindingKind::BothSpellings, problem))
    }

    fn key_fault(&self, is_key: impl Fn(&str) -> bool) -> Option<Fault> {
        let problem = match self.fields.get("key") {
            Some(Value::String(key)) if is_key(key) => return None,
            Some(Value::String(key)) => {
                format!("the sidecar says that the key is '{key}': listed so, it cannot be got")
            }
            _ => "the sidecar names no key".to_owned(),
        };
        Some((FindingKind::MismatchedKey, problem))
    }

    fn size_fault(&self, size: u64) -> Option<Fault> {
        match self.fields.get("size") {
            None | Some(Value::Null) => {
                Some((FindingKind::MissingSize, "the sidecar names no size".to_owned()))
            }
            Some(said) if said.as_u64() == Some(size) => None,
            Some(said) => {
                let problem = format!("the sidecar says {said} bytes, the value has {size}");
                Some((FindingKind::WrongSize, problem))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<FindingKind> {
        let fields = SidecarFields::parse(text.as_bytes()).unwrap();
        fields.faults(|key| key == "k", 1).into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn each_field_is_judged_by_itself() {
        assert_eq!(faults("{\"key\": \"k\", \"contentType\": \"a/b\", \"size\": 1, \"x\": 0}"), []);
        assert_eq!(
            faults(
                "{\"key\": \"l\", \"contentType\": \"a/b\", \"content_type\": \"c/d\", \"size\": \"1\"}"
            ),
            [FindingKind::BothSpellings, FindingKind::MismatchedKey, FindingKind::WrongSize]
        );
        assert_eq!(
            faults("{\"content_type\": \"a/b\"}"),
            [FindingKind::MismatchedKey, FindingKind::MissingSize]
        );
        assert_eq!(
            faults("{\"key\": \"l\", \"contentType\": \"\"}"),
            [FindingKind::CorruptSidecar]
        );
    }

    #[test]
    fn a_text_within_a_text_is_read() {
        let text = "\"{\\\"extension\\\":\\\"json\\\",\\\"key\\\":\\\"k\\\",\\\"contentType\\\":\\\"a/b\\\"}\"";
        let fields = SidecarFields::parse(text.as_bytes()).unwrap();
        assert_eq!(fields.extension(), Some("json"));
        assert_eq!(fields.content_type(), Some(ContentType::new("a/b")));
        assert_eq!(faults(text), [FindingKind::DoublyEncodedSidecar]);
    }

    #[test]
    fn what_is_no_object_holds_nothing() {
        for text in ["", "{no", "[]", "null", "5", "\"x\"", "\"[]\"", "\"\\\"{}\\\"\""] {
            assert!(SidecarFields::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(SidecarFields::parse(b"{\"key\": \"\xff\"}").is_err());
        assert!(SidecarFields::parse("[".repeat(60_000).as_bytes()).is_err());
    }
}
