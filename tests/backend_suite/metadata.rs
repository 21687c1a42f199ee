//! A store's metadata: what it says, and that nobody's words in it are lost.

use serde_json::Value as Json;
use storefs::backend::{Backend, MetadataFiles};
use storefs::model::{Error, StoreMetadata, StoreName, StoreTimes};

use super::{
    assert_metadata, at, create, error_of, key, keys, metadata, metadata_files, name, purge, put,
};

/// As crawlee-python writes it (FORMAT 4.1), with a field that no SDK knows and a number that no float holds.
const PYTHON: &str = "{\n  \"id\": \"HvTUFIxMPIib09NEi\",\n  \"name\": null,\n  \
    \"accessed_at\": \"2026-11-24 09:11:11.459761+00:00\",\n  \
    \"created_at\": \"2024-01-15 10:30:00+00:00\",\n  \
    \"modified_at\": \"2026-11-24 09:11:10+00:00\",\n  \"extra\": 12345678901234567890123\n}";

/// As Crawlee JS 3 writes it.
const JAVASCRIPT: &str = "{\n\t\"id\": \"64445ba3-0a7a-4a40-b245-0be84f8f10f6\",\n\t\
    \"name\": \"kinds\",\n\t\"accessedAt\": \"2026-11-24T09:14:25.435Z\",\n\t\
    \"createdAt\": \"2026-11-24T09:14:25.258Z\",\n\t\
    \"modifiedAt\": \"2026-11-24T09:14:25.400Z\",\n\t\"userId\": \"1\"\n}";

fn text(files: &dyn MetadataFiles, store: &StoreName) -> String {
    let text = files.metadata_text(store).unwrap().unwrap();
    assert_eq!(text.attributes.size, text.bytes.len() as u64);
    String::from_utf8(text.bytes).unwrap()
}

fn set_text(files: &dyn MetadataFiles, store: &StoreName, text: &str) {
    files.set_metadata_text(store, Some(text.as_bytes())).unwrap();
}

pub(crate) fn metadata_comes_back_as_it_was_given(backend: &dyn Backend) {
    let names = ["default", "my-store", "\u{fc} \"quoted\"", "back\\slash"];
    let keeps = |name: &&str| backend.traits().keeps_backslashes || !name.contains('\\');
    for store in names.into_iter().filter(keeps).map(name) {
        for (id, name) in [("x", None), ("HvTUFIxMPIib09NEi", Some("a \"name\" \u{1f980}"))] {
            let given = StoreMetadata {
                id: Some(id.to_owned()),
                name: name.map(str::to_owned),
                ..metadata(&store)
            };
            backend.create_store(&store, &given).unwrap();
            assert_eq!(backend.metadata(&store).unwrap(), given);
            backend.drop_store(&store).unwrap();
        }
    }
}

pub(crate) fn metadata_text_says_what_metadata_says(backend: &dyn Backend) {
    let Some(files) = metadata_files(backend) else { return };
    let store = create(backend, "default");
    let text = text(files, &store);
    let fields: serde_json::Map<String, Json> = serde_json::from_str(&text).unwrap();
    let said = backend.metadata(&store).unwrap();
    assert_eq!(fields.get("id"), said.id.map(Json::from).as_ref());
    assert_eq!(fields.get("name"), Some(&Json::Null), "null is what marks an unnamed store");
    let time = |camel: &str, snake: &str| {
        let spellings: Vec<_> =
            [camel, snake].iter().filter_map(|name| fields.get(*name)).collect();
        assert_eq!(spellings.len(), 1, "both spellings in one file break SDKs (FORMAT 4.3)");
        at(spellings[0].as_str().unwrap())
    };
    let times = StoreTimes {
        created_at: time("createdAt", "created_at"),
        accessed_at: time("accessedAt", "accessed_at"),
        modified_at: time("modifiedAt", "modified_at"),
    };
    assert_eq!(times, said.times);
    assert_eq!(keys(backend, &store), [], "it is no record");
}

pub(crate) fn metadata_text_comes_back_byte_for_byte(backend: &dyn Backend) {
    let Some(files) = metadata_files(backend) else { return };
    let store = create(backend, "default");
    let one_line = PYTHON.replace("\n  ", "").replace(": ", " :") + "\n\n";
    for given in [PYTHON, JAVASCRIPT, one_line.as_str()] {
        set_text(files, &store, given);
        assert_eq!(text(files, &store), given);
        // A touch that moves nothing writes nothing.
        let past = Some(at("2001-01-01T00:00:00Z"));
        backend.touch_store(&store, past, past).unwrap();
        assert_eq!(text(files, &store), given);
    }
    let said = backend.metadata(&store).unwrap();
    assert_eq!(said.id.as_deref(), Some("HvTUFIxMPIib09NEi"));
    assert_eq!(said.times.created_at, at("2024-01-15T10:30:00Z"));
}

pub(crate) fn damaged_metadata_text_is_refused(backend: &dyn Backend) {
    let Some(files) = metadata_files(backend) else { return };
    let store = create(backend, "my-store");
    let no_dates = "{\"id\": \"abc\", \"name\": \"my-store\"}";
    let null_date = JAVASCRIPT.replace("\"2026-11-24T09:14:25.258Z\"", "null");
    let not_utf8 = [b"{\"id\": \"\xff\"".as_slice(), &JAVASCRIPT.as_bytes()[11..]].concat();
    let damaged: [&[u8]; 9] = [
        b"",
        b"{bad",
        b"[]",
        b"null",
        b"{}",
        &JAVASCRIPT.as_bytes()[..100],
        no_dates.as_bytes(),
        null_date.as_bytes(),
        &not_utf8,
    ];
    for text in damaged {
        match error_of(files.set_metadata_text(&store, Some(text))) {
            Error::DamagedMetadata { store, .. } => assert_eq!(store, "my-store"),
            other => panic!("{other:?}"),
        }
        assert_metadata(backend, &store);
    }
}

pub(crate) fn p17_touch_store_moves_only_forward(backend: &dyn Backend) {
    let store = create(backend, "my-store");
    let original = metadata(&store);
    let (past, later, latest) = (
        Some(at("2001-01-01T00:00:00Z")),
        Some(at("2027-01-01T00:00:00.000001Z")),
        Some(at("2027-01-02T00:00:00.5Z")),
    );
    let times = |accessed, modified| {
        backend.touch_store(&store, accessed, modified).unwrap();
        let now = backend.metadata(&store).unwrap();
        assert_eq!((&now.id, &now.name), (&original.id, &original.name));
        assert_eq!(now.times.created_at, original.times.created_at);
        (Some(now.times.accessed_at), Some(now.times.modified_at))
    };
    let (accessed, modified) = (Some(original.times.accessed_at), Some(original.times.modified_at));
    assert_eq!(times(None, None), (accessed, modified));
    assert_eq!(times(past, past), (accessed, modified));
    assert_eq!(times(later, None), (later, modified));
    assert_eq!(times(past, latest), (later, latest));
    assert_eq!(times(latest, later), (latest, latest));
    assert_eq!(times(accessed, modified), (latest, latest));
}

/// Other programs rewrite the metadata at any time; a later touch is based on what they wrote.
pub(crate) fn p17_touch_store_keeps_what_others_wrote(backend: &dyn Backend) {
    let Some(files) = metadata_files(backend) else { return };
    let store = create(backend, "my-store");
    let early = Some(at("2027-01-01T00:00:00Z"));
    backend.touch_store(&store, early, early).unwrap();
    let foreign = PYTHON
        .replace("null", "\"another name\"")
        .replace("2026-11-24 09:11:11.459761", "2029-05-06 07:08:09.101112");
    set_text(files, &store, &foreign);
    // The foreign access time is newer than ours and stays; the modified time moves.
    let ours = Some(at("2028-01-01T00:00:00.000001Z"));
    backend.touch_store(&store, ours, ours).unwrap();
    let expected = foreign.replace("2026-11-24 09:11:10+", "2028-01-01 00:00:00.000001+");
    assert_eq!(text(files, &store), expected);
}

pub(crate) fn p12_unknown_fields_and_spelling_are_kept(backend: &dyn Backend) {
    let Some(files) = metadata_files(backend) else { return };
    let store = create(backend, "my-store");
    let later = Some(at("2030-01-02T03:04:05.678901Z"));
    set_text(files, &store, PYTHON);
    backend.touch_store(&store, later, None).unwrap();
    let expected = PYTHON.replace("2026-11-24 09:11:11.459761", "2030-01-02 03:04:05.678901");
    assert_eq!(text(files, &store), expected);

    set_text(files, &store, JAVASCRIPT);
    backend.touch_store(&store, None, later).unwrap();
    let expected = JAVASCRIPT.replace("2026-11-24T09:14:25.400Z", "2030-01-02T03:04:05.678Z");
    assert_eq!(text(files, &store), expected);
}

pub(crate) fn p12_rename_store_keeps_unknown_fields(backend: &dyn Backend) {
    let Some(files) = metadata_files(backend) else { return };
    let (from, to) = (create(backend, "from"), name("to"));
    set_text(files, &from, PYTHON);
    backend.rename_store(&from, &to, Some("to")).unwrap();
    assert_eq!(text(files, &to), PYTHON.replace("null", "\"to\""));
    set_text(files, &to, JAVASCRIPT);
    backend.rename_store(&to, &from, None).unwrap();
    assert_eq!(text(files, &from), JAVASCRIPT.replace("\"kinds\"", "null"));
}

pub(crate) fn p12_purge_keeps_unknown_fields(backend: &dyn Backend) {
    let Some(files) = metadata_files(backend) else { return };
    let store = create(backend, "default");
    put(backend, &store, &key("a"), b"1");
    set_text(files, &store, PYTHON);
    backend.purge_store(&store, &purge("INPUT")).unwrap();
    let expected = PYTHON
        .replace("2026-11-24 09:11:11.459761", "2030-01-02 03:04:05.678901")
        .replace("2026-11-24 09:11:10", "2030-01-02 03:04:05.678901");
    assert_eq!(text(files, &store), expected);
}

pub(crate) fn p17_only_a_store_with_records_is_completed_after_a_write(backend: &dyn Backend) {
    let Some(files) = metadata_files(backend) else { return };
    let Some(dialects) = backend.dialects() else { return };
    let store = create(backend, "default");
    files.set_metadata_text(&store, None).unwrap();
    dialects.complete_written_store(&store, &metadata(&store)).unwrap();
    assert!(files.metadata_text(&store).unwrap().is_none(), "nothing was written");
    put(backend, &store, &key("k"), b"v");
    dialects.complete_written_store(&store, &metadata(&store)).unwrap();
    assert_metadata(backend, &store);
}

pub(crate) fn missing_metadata_is_completed_once(backend: &dyn Backend) {
    let Some(files) = metadata_files(backend) else { return };
    let Some(dialects) = backend.dialects() else { return };
    let store = create(backend, "my-store");
    // A record with a content type, so that there is no doubt about the store's layout.
    put(backend, &store, &key("a"), b"1");
    files.set_metadata_text(&store, None).unwrap();
    assert!(files.metadata_text(&store).unwrap().is_none());
    assert_eq!(backend.metadata(&store).unwrap().id, None);
    let later = Some(at("2030-01-02T03:04:05Z"));
    backend.touch_store(&store, later, later).unwrap();
    assert!(files.metadata_text(&store).unwrap().is_none(), "a touch makes no metadata");
    assert_eq!(keys(backend, &store), [key("a")]);

    dialects.complete_metadata(&store, &metadata(&store)).unwrap();
    assert_metadata(backend, &store);
    let other = StoreMetadata { id: Some("other".to_owned()), ..metadata(&store) };
    dialects.complete_metadata(&store, &other).unwrap();
    assert_metadata(backend, &store);
}
