//! The text of a store's `__metadata__.json`, in any of the SDKs' dialects (FORMAT 4.1).
//!
//! A document is changed field by field: its spelling, time format, indent, order and unknown fields stay as
//! they were found.

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Value};

use crate::model::{StoreMetadata, StoreTimes};

/// The three times of a store, each in both spellings: camelCase is read first, as crawlee-python does.
const CREATED: [&str; 2] = ["createdAt", "created_at"];
const ACCESSED: [&str; 2] = ["accessedAt", "accessed_at"];
const MODIFIED: [&str; 2] = ["modifiedAt", "modified_at"];

/// How much a dataset or a request queue holds, in both spellings (FORMAT 9 and 10).
const COUNTS: [&str; 8] = [
    "itemCount",
    "item_count",
    "handledRequestCount",
    "handled_request_count",
    "pendingRequestCount",
    "pending_request_count",
    "totalRequestCount",
    "total_request_count",
];

/// The requests that a queue of the Rust engine or of Crawlee JS 3 hands out first.
const FOREFRONT: &str = "forefrontRequestIds";

/// A parsed text. The parser refuses nesting over 128 levels, so that no crafted text costs stack.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    fields: Map<String, Value>,
    indent: &'static str,
    ends_with_newline: bool,
    metadata: StoreMetadata,
}

impl Document {
    /// A new document in the form of the Rust and JS 4 engine, which every SDK reads.
    pub(crate) fn new(metadata: &StoreMetadata) -> Self {
        let time = |at: Timestamp| Value::String(TimeStyle::Engine.format(at));
        let times = &metadata.times;
        let id = metadata.id.clone().unwrap_or_default();
        let name = metadata.name.clone().map_or(Value::Null, Value::String);
        let fields = [
            ("id", Value::String(id)),
            ("name", name),
            ("accessedAt", time(times.accessed_at)),
            ("createdAt", time(times.created_at)),
            ("modifiedAt", time(times.modified_at)),
        ];
        Self {
            fields: fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect(),
            indent: "  ",
            ends_with_newline: false,
            metadata: metadata.clone(),
        }
    }

    /// Reads a text as crawlee-python would.
    ///
    /// # Errors
    /// Says in words why an SDK refuses it (FORMAT 4.3).
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the file is empty".to_owned());
        }
        let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let Value::Object(fields) = value else {
            return Err("it is no JSON object".to_owned());
        };
        let Some(Value::String(id)) = fields.get("id") else {
            return Err("field 'id' is missing or no text".to_owned());
        };
        let name = match fields.get("name") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name.clone()),
            Some(_) => return Err("field 'name' is no text".to_owned()),
        };
        let times = StoreTimes {
            created_at: read_time(&fields, CREATED)?,
            accessed_at: read_time(&fields, ACCESSED)?,
            modified_at: read_time(&fields, MODIFIED)?,
        };
        let metadata = StoreMetadata { id: Some(id.clone()), name, times };
        let indent = if text.windows(2).any(|pair| pair == b"\n\t") { "\t" } else { "  " };
        Ok(Self { indent, ends_with_newline: text.ends_with(b"\n"), metadata, fields })
    }

    /// What the document says.
    pub(crate) fn metadata(&self) -> &StoreMetadata {
        &self.metadata
    }

    /// A time that has both spellings, by the one that counts: crawlee-python then never moves it again, and
    /// Crawlee JS 4 refuses the text.
    pub(crate) fn time_in_both_spellings(&self) -> Option<&'static str> {
        let is_double =
            |spellings: &[&str; 2]| spellings.iter().all(|s| self.fields.contains_key(*s));
        [CREATED, ACCESSED, MODIFIED].into_iter().find(is_double).map(|[camel, _]| camel)
    }

    /// A time that Crawlee JS 4 refuses and other SDKs read: with a space, and without a zone.
    pub(crate) fn time_without_zone(&self) -> Option<&'static str> {
        let is_zoneless = |spelling: &&str| {
            let text = self.fields.get(*spelling).and_then(Value::as_str);
            text.is_some_and(|text| {
                !text.contains('T') && TimeStyle::of(text) == TimeStyle::PythonZoneless
            })
        };
        [CREATED, ACCESSED, MODIFIED].into_iter().flatten().find(is_zoneless)
    }

    /// Says what this metadata says. One without an id leaves the id as it is.
    pub(crate) fn set(&mut self, metadata: &StoreMetadata) {
        if let Some(id) = &metadata.id {
            self.fields.insert("id".to_owned(), Value::String(id.clone()));
            self.metadata.id = Some(id.clone());
        }
        self.set_name(metadata.name.as_deref());
        let times = metadata.times;
        write_time(&mut self.fields, CREATED, times.created_at);
        write_time(&mut self.fields, ACCESSED, times.accessed_at);
        write_time(&mut self.fields, MODIFIED, times.modified_at);
        self.metadata.times = times;
    }

    /// Sets the name.
    pub(crate) fn set_name(&mut self, name: Option<&str>) {
        let value = name.map_or(Value::Null, |name| Value::String(name.to_owned()));
        self.fields.insert("name".to_owned(), value);
        self.metadata.name = name.map(str::to_owned);
    }

    /// Moves times forward, never back. Gives back whether the text has changed.
    pub(crate) fn touch(
        &mut self,
        accessed_at: Option<Timestamp>,
        modified_at: Option<Timestamp>,
    ) -> bool {
        let times = self.metadata.times;
        let mut changed = false;
        for (at, old, spellings, modified) in [
            (accessed_at, times.accessed_at, ACCESSED, false),
            (modified_at, times.modified_at, MODIFIED, true),
        ] {
            let Some(at) = at.filter(|at| *at > old) else { continue };
            changed |= write_time(&mut self.fields, spellings, at);
            let times = &mut self.metadata.times;
            *(if modified { &mut times.modified_at } else { &mut times.accessed_at }) = at;
        }
        changed
    }

    /// Sets accessed and modified times to the moment of a purge, also where the clock has gone back.
    pub(crate) fn set_purged(&mut self, at: Timestamp) {
        write_time(&mut self.fields, ACCESSED, at);
        write_time(&mut self.fields, MODIFIED, at);
        self.metadata.times.accessed_at = at;
        self.metadata.times.modified_at = at;
    }

    /// Says that there is nothing in the dataset or queue any more, in the fields that are there.
    pub(crate) fn set_emptied(&mut self) {
        for count in COUNTS {
            if let Some(value) = self.fields.get_mut(count) {
                *value = Value::from(0);
            }
        }
        if let Some(forefront) = self.fields.get_mut(FOREFRONT) {
            *forefront = Value::Array(Vec::new());
        }
    }

    /// The text.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let formatter = PrettyFormatter::with_indent(self.indent.as_bytes());
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        // Writing JSON values into memory cannot fail.
        let _ = serde::Serialize::serialize(&self.fields, &mut serializer);
        if self.ends_with_newline {
            bytes.push(b'\n');
        }
        bytes
    }
}

fn read_time(fields: &Map<String, Value>, spellings: [&str; 2]) -> Result<Timestamp, String> {
    let [camel, snake] = spellings;
    let value = fields.get(camel).or_else(|| fields.get(snake));
    let time = match value {
        Some(Value::String(text)) => parse_time(text),
        Some(Value::Number(number)) => number.as_f64().and_then(epoch_time),
        _ => None,
    };
    time.ok_or_else(|| format!("field '{snake}' is missing or no time"))
}

/// Writes a time into each spelling that is there. Gives back whether any text has changed.
fn write_time(fields: &mut Map<String, Value>, spellings: [&str; 2], at: Timestamp) -> bool {
    let mut changed = false;
    for spelling in spellings {
        if let Some(value) = fields.get_mut(spelling) {
            let style = value.as_str().map_or(TimeStyle::Engine, TimeStyle::of);
            let new = Value::String(style.format(at));
            changed |= *value != new;
            *value = new;
        }
    }
    changed
}

/// Reads every form of time that crawlee-python accepts (FORMAT 4.2). A time without a zone is UTC.
fn parse_time(text: &str) -> Option<Timestamp> {
    let zoneless = |civil: civil::DateTime| TimeZone::UTC.to_timestamp(civil).ok();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    text.parse::<civil::DateTime>().ok().and_then(zoneless)
}

/// Seconds since the epoch, or milliseconds where seconds would be absurd, as pydantic reads a number.
fn epoch_time(number: f64) -> Option<Timestamp> {
    const LARGEST_SECONDS: f64 = 2e10;
    let seconds = if number.abs() > LARGEST_SECONDS { number / 1e3 } else { number };
    // A float that is out of range becomes the nearest integer, which the time type refuses.
    #[allow(clippy::cast_possible_truncation)]
    Timestamp::from_microsecond((seconds * 1e6) as i64).ok()
}

/// How an SDK writes a time (FORMAT 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeStyle {
    /// Python's `str(datetime)`: a space, six digits unless all are zero, `+00:00`.
    Python,
    /// The same without a zone, if that is how it was found.
    PythonZoneless,
    /// The Rust engine of JS 4: `T`, six digits, `+00:00`.
    Engine,
    /// JavaScript's `toISOString`: `T`, three digits, `Z`.
    JavaScript,
}

impl TimeStyle {
    fn of(text: &str) -> Self {
        let zoned = text.parse::<Timestamp>().is_ok();
        if text.ends_with('Z') {
            Self::JavaScript
        } else if zoned && text.contains('T') {
            Self::Engine
        } else if zoned {
            Self::Python
        } else {
            Self::PythonZoneless
        }
    }

    fn format(self, at: Timestamp) -> String {
        let whole_second = at.subsec_nanosecond() / 1_000 == 0;
        let pattern = match self {
            Self::Python if whole_second => "%Y-%m-%d %H:%M:%S+00:00",
            Self::Python => "%Y-%m-%d %H:%M:%S.%6f+00:00",
            Self::PythonZoneless if whole_second => "%Y-%m-%d %H:%M:%S",
            Self::PythonZoneless => "%Y-%m-%d %H:%M:%S.%6f",
            Self::Engine => "%Y-%m-%dT%H:%M:%S.%6f+00:00",
            Self::JavaScript => "%Y-%m-%dT%H:%M:%S.%3fZ",
        };
        at.strftime(pattern).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PYTHON: &str = "{\n  \"id\": \"HvTUFIxMPIib09NEi\",\n  \"name\": null,\n  \
        \"accessed_at\": \"2026-11-24 09:11:11.459761+00:00\",\n  \
        \"created_at\": \"2024-01-15 10:30:00+00:00\",\n  \
        \"modified_at\": \"2026-11-24 09:11:11.459761+00:00\",\n  \"extra\": 12345678901234567890123\n}";

    fn later() -> Timestamp {
        "2030-01-02T03:04:05.678901Z".parse().unwrap()
    }

    #[test]
    fn an_untouched_document_keeps_every_byte() {
        assert_eq!(Document::parse(PYTHON.as_bytes()).unwrap().to_bytes(), PYTHON.as_bytes());
    }

    #[test]
    fn p12_spelling_time_format_and_unknown_fields_are_kept() {
        let mut document = Document::parse(PYTHON.as_bytes()).unwrap();
        assert!(document.touch(Some(later()), None));
        let expected = PYTHON.replacen(
            "2026-11-24 09:11:11.459761+00:00",
            "2030-01-02 03:04:05.678901+00:00",
            1,
        );
        assert_eq!(String::from_utf8(document.to_bytes()).unwrap(), expected);
    }

    #[test]
    fn p12_javascript_form_is_kept() {
        let text = "{\n\t\"id\": \"x\",\n\t\"name\": \"kinds\",\n\t\"accessedAt\": \"2026-11-24T09:14:25.435Z\",\n\t\
            \"createdAt\": \"2026-11-24T09:14:25.258Z\",\n\t\"modifiedAt\": \"2026-11-24T09:14:25.400Z\",\n\t\"userId\": \"1\"\n}";
        let mut document = Document::parse(text.as_bytes()).unwrap();
        assert!(document.touch(None, Some(later())));
        let expected = text.replace("2026-11-24T09:14:25.400Z", "2030-01-02T03:04:05.678Z");
        assert_eq!(String::from_utf8(document.to_bytes()).unwrap(), expected);
    }

    #[test]
    fn times_never_move_back() {
        let mut document = Document::parse(PYTHON.as_bytes()).unwrap();
        assert!(!document.touch(Some("2001-01-01T00:00:00Z".parse().unwrap()), None));
        assert_eq!(document.to_bytes(), PYTHON.as_bytes());
    }

    #[test]
    fn every_accepted_time_is_read() {
        for text in [
            "2026-11-24 09:11:11.459761+00:00",
            "2026-11-24T09:11:11.459761+00:00",
            "2026-11-24T10:11:11.459761+01:00",
            "2026-11-24T09:11:11.459761Z",
            "2026-11-24 09:11:11.459761",
        ] {
            assert_eq!(
                parse_time(text),
                Some("2026-11-24T09:11:11.459761Z".parse().unwrap()),
                "{text}"
            );
        }
        assert_eq!(parse_time("2026-11-24"), Some("2026-11-24T00:00:00Z".parse().unwrap()));
        assert_eq!(epoch_time(1.5), Some("1970-01-01T00:00:01.5Z".parse().unwrap()));
    }

    /// Objects whose fields are those of metadata, with values of every kind.
    fn objects() -> impl proptest::strategy::Strategy<Value = String> {
        use proptest::prelude::*;
        let field = proptest::sample::select(vec![
            "id",
            "name",
            "createdAt",
            "created_at",
            "accessedAt",
            "accessed_at",
            "modifiedAt",
            "x",
        ]);
        let value = proptest::sample::select(vec![
            "null",
            "5",
            "-1e400",
            "1e18",
            "\"\"",
            "\"2024-01-15\"",
            "\"9999-12-31T23:59:59Z\"",
            "\"-009999-01-01T00:00:00Z\"",
            "[[]]",
            "{}",
            "\"2026-11-24 09:11:11.459761+00:00\"",
        ]);
        proptest::collection::vec((field, value), 0..8).prop_map(|fields| {
            let fields: Vec<String> =
                fields.iter().map(|(field, value)| format!("\"{field}\": {value}")).collect();
            format!("{{{}}}", fields.join(", "))
        })
    }

    proptest::proptest! {
        #[test]
        fn p19_any_bytes_are_read_or_refused(text: Vec<u8>) {
            let _ = Document::parse(&text);
        }

        #[test]
        fn p19_any_object_is_refused_or_can_be_touched(text in objects()) {
            if let Ok(mut document) = Document::parse(text.as_bytes()) {
                document.touch(Some(later()), Some(later()));
                let again = Document::parse(&document.to_bytes());
                proptest::prop_assert!(again.is_ok(), "{:?}", again);
            }
        }
    }

    #[test]
    fn damaged_texts_are_refused() {
        for text in [
            "",
            "{bad",
            "[]",
            "null",
            "\"x\"",
            "{}",
            "{\"id\": 5}",
            "{\"id\": \"a\", \"name\": null, \"accessedAt\": \"x\", \"createdAt\": null, \"modifiedAt\": null}",
            "{\"id\": \"abc\", \"name\": \"meta-no-dates\"}",
        ] {
            assert!(Document::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Document::parse(b"{\"id\": \"\xff\"}").is_err());
    }

    #[test]
    fn a_new_document_is_what_the_engine_of_js_4_writes() {
        let at = "2026-11-24T09:16:37.551100Z".parse().unwrap();
        let metadata = StoreMetadata {
            id: Some("E6crhIBa3n3OzjLvC".to_owned()),
            name: None,
            times: StoreTimes::at(at),
        };
        let document = Document::new(&metadata);
        let text = String::from_utf8(document.to_bytes()).unwrap();
        assert!(text.starts_with("{\n  \"id\": \"E6crhIBa3n3OzjLvC\",\n  \"name\": null,\n  \"accessedAt\": \"2026-11-24T09:16:37.551100+00:00\",\n"));
        assert_eq!(*Document::parse(text.as_bytes()).unwrap().metadata(), metadata);
    }
}
