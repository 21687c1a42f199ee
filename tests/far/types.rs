//! Which type is found for what is staged over a far version, and what of that version is looked at (P10).

use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use storefs::backend::memory::MemoryBackend;
use storefs::backend::{Backend, Staged};
use storefs::engine::{PublishAs, Storage};
use storefs::model::{ContentType, Error, Key, Origin, RecordType, StoreName};

use super::{Room, key};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// Text of characters of every length, so that each offset is in the middle of one somewhere.
fn long_text() -> Vec<u8> {
    "a\u{fc}\u{20ac}\u{1f600}".repeat(40_000).into_bytes()
}

fn given(content_type: &str) -> RecordType {
    RecordType::given(ContentType::new(content_type))
}

fn guessed(content_type: &str, given: Option<&str>) -> RecordType {
    RecordType::guessed(ContentType::new(content_type), given.map(ContentType::new))
}

/// The type of a record after a change of what it was, and what was read of that for the type.
fn published(
    name: &str,
    bytes: &[u8],
    record_type: RecordType,
    change: impl FnOnce(&Staged),
) -> (String, Vec<Range<u64>>) {
    let (room, key) = (Room::new(), key(name));
    let value = room.put(&key, bytes, record_type);
    let staged = room.over(&value);
    change(&staged);
    // A storage in memory takes each kept part at once when the type is known.
    let parts = staged.kept().map_or(0, |kept| kept.ranges.len());
    room.store.publish(&key, staged, &PublishAs::default()).unwrap();
    let mut read = room.far.read();
    read.truncate(read.len() - parts);
    (room.store.content_type(&key).unwrap().to_string(), read)
}

fn append(bytes: &'static [u8]) -> impl FnOnce(&Staged) {
    move |staged| staged.write_at(bytes, staged.attributes().unwrap().size).unwrap()
}

/// How many bytes ranges have.
fn bytes_in(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

#[test]
fn p10_of_a_text_that_is_appended_to_only_the_end_is_looked_at() {
    let text = long_text();
    let size = text.len() as u64;
    let (content_type, read) = published("log", &text, given("text/x-log"), append(b"line\n"));
    assert_eq!((&*content_type, read), ("text/x-log", vec![size - 8..size]));
    let (content_type, read) = published("a.txt", &text, given(TEXT), append(b"\xff"));
    assert_eq!(content_type, BYTES);
    assert!(bytes_in(&read) < 10_000, "{read:?}");
    // A character of which the version has the first half.
    let half = [&text[..], b"\xc3"].concat();
    let (content_type, read) = published("log", &half, given(TEXT), append(b"\xbc\n"));
    assert_eq!((&*content_type, read.len()), (TEXT, 1));
    let (content_type, _) = published("log", &half, given(TEXT), append(b"\n"));
    assert_eq!(content_type, BYTES);
}

#[test]
fn p10_of_a_text_that_was_guessed_the_first_and_last_bytes_are_looked_at() {
    let text = long_text();
    for (end, expected) in [(&b"more\n"[..], TEXT), (b"\0", BYTES), (b"\xff", BYTES), (b"}", TEXT)]
    {
        let (content_type, read) = published("log", &text, guessed(TEXT, None), append(end));
        assert_eq!(content_type, expected, "{}", end.escape_ascii());
        assert!(bytes_in(&read) < 10_000, "{}: {read:?}", end.escape_ascii());
    }
    let lines = b"{\"a\": 1}\n".repeat(30_000);
    let (content_type, read) = published("lines", &lines, guessed(TEXT, None), append(b"{}\n"));
    assert_eq!(content_type, TEXT);
    assert!(bytes_in(&read) < 40_000, "{read:?}");
}

#[test]
fn p10_of_bytes_nothing_is_looked_at() {
    let size = 300_000;
    for content_type in ["image/png", BYTES] {
        let (kept, read) = published("a", &vec![b'x'; size], given(content_type), append(b"\xff"));
        assert_eq!((&*kept, read), (content_type, vec![]));
    }
    // What was no text is none by what follows it, unless a character was cut at its end.
    let text = long_text();
    let log = [&text[..], b"\xff", &text[..]].concat();
    let is_text = |given| guessed(BYTES, given);
    for given in [None, Some(TEXT)] {
        let (content_type, read) = published("log", &log, is_text(given), append(b"\n"));
        assert_eq!(content_type, BYTES);
        assert!(bytes_in(&read) < 10_000, "{read:?}");
    }
    let cut = [&text[..], b"\xc3"].concat();
    for given in [None, Some(TEXT)] {
        let (content_type, _) = published("log", &cut, is_text(given), append(b"\xbc"));
        assert_eq!(content_type, TEXT);
    }
    let mended = |staged: &Staged| staged.write_at(b"!", text.len() as u64).unwrap();
    assert_eq!(published("log", &log, is_text(Some(TEXT)), mended).0, TEXT);
}

#[test]
fn p10_json_is_read_unless_its_end_says_that_it_is_none() {
    let list = [&b"[1"[..], &b", 1".repeat(50_000), b"]"].concat();
    let size = list.len() as u64;
    let (content_type, read) = published("a.json", &list, given(JSON), append(b",\n"));
    assert_eq!(content_type, TEXT);
    assert!(bytes_in(&read) < 10_000, "{read:?}");
    let (content_type, read) = published("a.json", &list, given(JSON), append(b"\n"));
    assert_eq!(content_type, JSON);
    assert!(bytes_in(&read) >= size, "{read:?}");
    // It was begun, and is whole now.
    let begun = &list[..list.len() - 1];
    let (content_type, _) = published("a", begun, guessed(TEXT, Some(JSON)), append(b", 2]"));
    assert_eq!(content_type, JSON);
    let (content_type, read) = published("a", begun, guessed(TEXT, Some(JSON)), append(b", 2,"));
    assert_eq!(content_type, TEXT);
    assert!(bytes_in(&read) < 10_000, "{read:?}");
}

#[test]
fn p10_a_type_that_was_set_by_hand_costs_no_look_at_json() {
    let room = Room::new();
    let list = [&b"["[..], &b"1, ".repeat(50_000)].concat();
    let value = room.put(&key("a"), &list, given(TEXT));
    let staged = room.over(&value);
    staged.write_at(b"2]", list.len() as u64).unwrap();
    let content_type = ContentType::json();
    let publish = PublishAs { content_type: Some(&content_type), ..PublishAs::default() };
    room.store.publish(&key("a"), staged, &publish).unwrap();
    assert_eq!(room.far.read(), [0..list.len() as u64], "what a storage in memory takes");
}

#[test]
fn p07_a_type_that_cannot_be_found_says_why() {
    let room = Room::new();
    let value = room.put(&key("a"), &long_text(), given(TEXT));
    let staged = room.over(&value);
    staged.write_at(b"new", 1000).unwrap();
    room.far.fail(Some(super::replaced));
    let failed = room.store.publish(&key("a"), staged, &PublishAs::default());
    let (error, _) = failed.err().unwrap();
    assert!(matches!(error, Error::RecordReplaced { .. }), "{error:?}");
}

/// The type that a storage in memory finds, all bytes of which are at hand.
fn found_near(name: &Key, record_type: &RecordType, bytes: &[u8]) -> RecordType {
    let backend = MemoryBackend::new();
    let storage = Storage::with_backend(Arc::new(backend.clone()), Some("INPUT".to_owned()));
    let store = storage.create_store(&StoreName::default_store()).unwrap();
    store.set_value(name, b"x", None).unwrap();
    backend.set_type(store.name(), name, record_type).unwrap();
    let staged = store.stage().unwrap();
    staged.write_at(bytes, 0).unwrap();
    store.publish(name, staged, &PublishAs::default()).unwrap();
    backend.kept_type(store.name(), name).unwrap().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn p10_what_is_not_looked_at_makes_no_difference(
        name in prop::sample::select(vec!["log", "a.txt", "a.json"]),
        which in 0..3_usize,
        changes in prop::collection::vec(
            (0..410_000_u64, prop::sample::select(vec![
                &b"\n"[..], b"\xbc", b"\xc3", b"\xf0\x9f", b"\x98\x80", b"\xe2\x82\xac", b"ab", b"", b"]",
            ])),
            0..4,
        ),
        len in prop::option::of(0..410_000_u64),
    ) {
        let text = long_text();
        let cut = [&text[..], b"\xe2\x82"].concat();
        // What it is when it is published first is what is believed of it later.
        let first = [text.as_slice(), cut.as_slice(), b"[\"\x80 is no text".as_slice()][which].to_vec();
        let first = if which == 2 { [&first[..], &text[..]].concat() } else { first };
        let name = key(name);
        let record_type = found_near(&name, &guessed(TEXT, None), &first);
        let room = Room::new();
        let value = room.put(&name, &first, record_type.clone());
        let staged = room.over(&value);
        let mut bytes = first;
        for (offset, data) in changes {
            let (begin, end) = (offset as usize, offset as usize + data.len());
            staged.write_at(data, offset).unwrap();
            if !data.is_empty() {
                bytes.resize(bytes.len().max(end), 0);
                bytes[begin..end].copy_from_slice(data);
            }
        }
        if let Some(len) = len {
            staged.set_len(len).unwrap();
            bytes.resize(len as usize, 0);
        }
        room.store.publish(&name, staged, &PublishAs::default()).unwrap();
        let kept = room.backend.kept_type(room.store.name(), &name).unwrap().unwrap();
        prop_assert_eq!(&kept, &found_near(&name, &record_type, &bytes));
        prop_assert!(kept.origin != Origin::Given || name != key("log"));
    }
}
