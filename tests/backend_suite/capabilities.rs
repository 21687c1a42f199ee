//! What a backend declares about itself as a whole.

use storefs::backend::{Backend, KeptSidecar};
use storefs::model::{AttributeChange, ContentType, Error, RecordType, StoreMetadata, TimeChange};

use super::{
    assert_no_record, assert_no_store, assert_record, at, create, error_of, key, metadata, name,
    put, put_as, since_epoch,
};

/// Whoever keeps any of owner, mode and times can be told to change them, and keeps no others.
pub(crate) fn posix_is_what_the_traits_say(backend: &dyn Backend) {
    let traits = backend.traits();
    assert_eq!(backend.posix().is_some(), traits.keeps_owner_and_mode || traits.keeps_times);
    let Some(posix) = backend.posix() else { return };
    let (store, key) = (create(backend, "default"), key("a"));
    put(backend, &store, &key, b"1");
    let before = backend.record(&store, &key).unwrap();
    let modified = since_epoch(1_100_000_000);
    let change = AttributeChange {
        mode: Some(0o604),
        modified: Some(TimeChange::At(modified)),
        ..AttributeChange::default()
    };
    let after = posix.set_attributes(&store, &key, &change).unwrap();
    assert_eq!(after, backend.record(&store, &key).unwrap());
    assert_eq!(after.mode, if traits.keeps_owner_and_mode { 0o604 } else { before.mode });
    assert_eq!(after.modified, if traits.keeps_times { modified } else { before.modified });
}

pub(crate) fn set_metadata_says_what_it_is_given(backend: &dyn Backend) {
    let (store, key) = (create(backend, "my-store"), key("a"));
    put_as(backend, &store, &key, b"1", &ContentType::text());
    let mut given = metadata(&store);
    given.id = Some("HvTUFIxMPIib09NEi".to_owned());
    // Back in time, too: it is what a copy of the store brings along.
    given.times.created_at = at("2020-01-15T10:30:00Z");
    given.times.accessed_at = at("2020-02-15T10:30:00.000001Z");
    given.times.modified_at = at("2020-02-14T10:30:00Z");
    backend.set_metadata(&store, &given).unwrap();
    assert_eq!(backend.metadata(&store).unwrap(), given);
    let without_id = StoreMetadata { id: None, ..given.clone() };
    backend.set_metadata(&store, &without_id).unwrap();
    assert_eq!(backend.metadata(&store).unwrap(), given, "an id is never taken away");
    assert_record(backend, &store, &key, b"1", &ContentType::text());
}

pub(crate) fn a_missing_store_is_named_by_every_capability(backend: &dyn Backend) {
    let (missing, key) = (name("missing"), key("a"));
    let change = AttributeChange { mode: Some(0o600), ..AttributeChange::default() };
    let metadata = &metadata(&missing);
    if let Some(posix) = backend.posix() {
        assert_no_store(posix.set_store_attributes(&missing, &change), &missing);
        assert_no_store(posix.set_attributes(&missing, &key, &change), &missing);
    }
    if let Some(durability) = backend.durability() {
        assert_no_store(durability.sync_store(&missing), &missing);
        assert_no_store(durability.sync_record(&missing, &key), &missing);
    }
    if let Some(files) = backend.metadata_files() {
        assert_no_store(files.metadata_text(&missing), &missing);
        assert_no_store(files.set_metadata_text(&missing, None), &missing);
        assert_no_store(files.set_metadata_attributes(&missing, &change), &missing);
        assert_no_store(files.sidecar_text(&missing, &key), &missing);
        assert_no_store(files.set_sidecar_attributes(&missing, &key, &change), &missing);
    }
    if let Some(dialects) = backend.dialects() {
        assert_no_store(dialects.complete_metadata(&missing, metadata), &missing);
        assert_no_store(dialects.complete_written_store(&missing, metadata), &missing);
        assert_no_store(dialects.is_type_in_doubt(&missing, &key), &missing);
        assert_no_store(dialects.resolve_key(&missing, &key, None), &missing);
        let adopted = dialects.adopt_input(&missing, &key, "INPUT", &ContentType::text());
        assert_no_store(adopted, &missing);
    }
    if let Some(repair) = backend.repair() {
        assert_no_store(repair.examine_store(&missing).map(drop), &missing);
    }
    if let Some(plain) = backend.plain_directories() {
        assert_no_store(plain.directories(&missing), &missing);
    }
    assert_eq!(backend.stores().unwrap(), [], "none of them makes a store");
}

/// A type that comes with a value is the one that is kept for it.
pub(crate) fn a_value_comes_with_its_type_or_asks(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    for content_type in [ContentType::text(), ContentType::new("x/y")] {
        put_as(backend, &store, &key, b"1", &content_type);
        let value = backend.open_value(&store, &key).unwrap();
        if let Some(came) = value.record_type() {
            assert_eq!(came, RecordType::given(content_type));
            put_as(backend, &store, &key, b"2", &ContentType::json());
            assert_eq!(value.record_type(), Some(came), "it stays the version's");
        }
    }
}

pub(crate) fn damaged_sidecars_are_refused(backend: &dyn Backend) {
    let Some(files) = backend.metadata_files() else { return };
    let (store, key) = (create(backend, "default"), key("a"));
    put_as(backend, &store, &key, b"1", &ContentType::text());
    for text in [b"".as_slice(), b"{", b"[]", b"{\"key\": \"a\"}"] {
        let error = error_of(files.set_sidecar(&store, &key, text));
        assert!(matches!(error, Error::DamagedSidecar { .. }), "{error:?}");
    }
    assert_record(backend, &store, &key, b"1", &ContentType::text());
    let text = b"{\"key\": \"a\", \"contentType\": \"x/y\", \"size\": 1}";
    let kept = files.set_sidecar(&store, &key, text).unwrap();
    assert_record(backend, &store, &key, b"1", &ContentType::new("x/y"));
    if kept == KeptSidecar::Text {
        assert_eq!(files.sidecar_text(&store, &key).unwrap().unwrap().bytes, text);
    }
    assert_no_record(
        files.set_sidecar(&store, &super::key("missing"), text),
        &store,
        &super::key("missing"),
    );
}
