//! Making, listing, renaming and dropping stores.

use std::slice::from_ref;

use storefs::backend::{Backend, RenameRecord};
use storefs::model::{AttributeChange, ContentType, Error, StoreMetadata, TimeChange};

use super::{
    CLOCK_LAG, all_posix, assert_metadata, assert_no_record, assert_no_store, assert_record, at,
    create, error_of, failure_of, get, key, keys, metadata, metadata_files, name, publish, purge,
    put, put_as, since_epoch, stage, stores,
};

pub(crate) fn an_empty_storage_has_no_stores(backend: &dyn Backend) {
    assert_eq!(stores(backend), []);
}

pub(crate) fn create_store_makes_an_empty_store(backend: &dyn Backend) {
    let store = create(backend, "default");
    assert_eq!(stores(backend), from_ref(&store));
    assert_eq!(keys(backend, &store), []);
    assert_metadata(backend, &store);
    assert_eq!(backend.store_attributes(&store).unwrap().size, 0);
}

pub(crate) fn create_store_leaves_an_existing_one_as_it_is(backend: &dyn Backend) {
    let store = create(backend, "my-store");
    put_as(backend, &store, &key("a"), b"1", &ContentType::text());
    let other = StoreMetadata { id: Some("other".to_owned()), ..metadata(&store) };
    let error = error_of(backend.create_store(&store, &other));
    assert!(matches!(&error, Error::StoreExists { store } if store == "my-store"), "{error:?}");
    assert_metadata(backend, &store);
    assert_record(backend, &store, &key("a"), b"1", &ContentType::text());
}

pub(crate) fn stores_are_listed_once_by_any_name(backend: &dyn Backend) {
    let long = "x".repeat(200);
    let names =
        ["default", "my-store", "a b", "a_b", "a.b", "UP", "up", "%41", "\u{fc}", long.as_str()];
    for name in names {
        create(backend, name);
    }
    let mut expected = names.map(name);
    expected.sort();
    assert_eq!(stores(backend), expected);
    for store in &expected {
        assert_eq!(backend.metadata(store).unwrap().name, store.metadata_name());
    }
}

pub(crate) fn rename_store_keeps_what_it_holds(backend: &dyn Backend) {
    let (from, to) = (create(backend, "from"), name("to"));
    put_as(backend, &from, &key("a/b"), b"1", &ContentType::text());
    put_as(backend, &from, &key("c"), b"{}", &ContentType::json());
    backend.rename_store(&from, &to, Some("to")).unwrap();

    assert_eq!(stores(backend), from_ref(&to));
    assert_no_store(backend.metadata(&from), &from);
    assert_eq!(keys(backend, &to), [key("a/b"), key("c")]);
    assert_record(backend, &to, &key("a/b"), b"1", &ContentType::text());
    assert_record(backend, &to, &key("c"), b"{}", &ContentType::json());
    // The old name is free again; the id went along.
    let metadata = StoreMetadata { id: Some("another".to_owned()), ..metadata(&from) };
    backend.create_store(&from, &metadata).unwrap();
    assert_eq!(keys(backend, &from), []);
}

pub(crate) fn rename_store_sets_and_clears_the_name(backend: &dyn Backend) {
    let (from, to, default) = (create(backend, "from"), name("to"), name("default"));
    let before = backend.metadata(&from).unwrap();
    backend.rename_store(&from, &to, Some("to")).unwrap();
    let after = backend.metadata(&to).unwrap();
    assert_eq!(after.name.as_deref(), Some("to"));
    assert_eq!((&after.id, after.times.created_at), (&before.id, before.times.created_at));

    backend.rename_store(&to, &default, None).unwrap();
    let after = backend.metadata(&default).unwrap();
    assert_eq!(after.name, None);
    assert_eq!((after.id, after.times.created_at), (before.id, before.times.created_at));
}

pub(crate) fn rename_store_refuses_missing_and_taken_names(backend: &dyn Backend) {
    let (from, taken, missing) =
        (create(backend, "from"), create(backend, "taken"), name("missing"));
    put(backend, &from, &key("a"), b"from");
    put(backend, &taken, &key("a"), b"taken");
    assert_no_store(backend.rename_store(&missing, &name("to"), Some("to")), &missing);
    let error = error_of(backend.rename_store(&from, &taken, Some("taken")));
    assert!(matches!(&error, Error::StoreExists { store } if store == "taken"), "{error:?}");

    assert_eq!(stores(backend), [from.clone(), taken.clone()]);
    for store in [&from, &taken] {
        assert_metadata(backend, store);
        assert_record(backend, store, &key("a"), store.as_str().as_bytes(), &ContentType::bytes());
    }
}

pub(crate) fn drop_store_removes_all_that_it_holds(backend: &dyn Backend) {
    let (dropped, other) = (create(backend, "dropped"), create(backend, "other"));
    put(backend, &dropped, &key("INPUT.json"), b"{}");
    put(backend, &dropped, &key("a"), b"1");
    put(backend, &other, &key("a"), b"2");
    backend.drop_store(&dropped).unwrap();

    assert_eq!(stores(backend), from_ref(&other));
    assert_no_store(backend.record(&dropped, &key("a")), &dropped);
    assert_record(backend, &other, &key("a"), b"2", &ContentType::bytes());
    create(backend, "dropped");
    assert_eq!(keys(backend, &dropped), []);
}

pub(crate) fn drop_store_refuses_a_missing_store(backend: &dyn Backend) {
    let store = create(backend, "my-store");
    backend.drop_store(&store).unwrap();
    assert_no_store(backend.drop_store(&store), &store);
}

pub(crate) fn store_attributes_are_kept(backend: &dyn Backend) {
    let store = create(backend, "my-store");
    let before = backend.store_attributes(&store).unwrap();
    let (accessed, modified) = (since_epoch(1_000_000_000), since_epoch(1_100_000_000));
    let change = AttributeChange {
        mode: Some(0o750),
        uid: Some(before.uid),
        gid: Some(before.gid),
        accessed: Some(TimeChange::At(accessed)),
        modified: Some(TimeChange::At(modified)),
    };
    let Some(posix) = all_posix(backend) else { return };
    let changed = posix.set_store_attributes(&store, &change).unwrap();
    let after = backend.store_attributes(&store).unwrap();
    for attributes in [changed, after] {
        assert_eq!((attributes.size, attributes.mode), (0, 0o750));
        assert_eq!((attributes.accessed, attributes.modified), (accessed, modified));
        assert_eq!((attributes.uid, attributes.gid), (before.uid, before.gid));
    }
}

pub(crate) fn store_modified_follows_its_listing(backend: &dyn Backend) {
    let store = create(backend, "my-store");
    let old = since_epoch(1_000_000_000);
    let rewind =
        AttributeChange { modified: Some(TimeChange::At(old)), ..AttributeChange::default() };
    let modified_by = |change: &dyn Fn()| {
        // Where the time cannot be set back, it cannot have been old: that it does not fall behind is left.
        let before = backend.store_attributes(&store).unwrap().modified;
        let Some(posix) = all_posix(backend) else {
            change();
            return backend.store_attributes(&store).unwrap().modified >= before;
        };
        let before = std::time::SystemTime::now() - CLOCK_LAG;
        posix.set_store_attributes(&store, &rewind).unwrap();
        change();
        backend.store_attributes(&store).unwrap().modified >= before
    };
    assert!(modified_by(&|| put(backend, &store, &key("a"), b"1")), "publish");
    assert!(modified_by(&|| backend.delete(&store, &key("a")).unwrap()), "delete");
    put(backend, &store, &key("a"), b"1");
    assert!(modified_by(&|| drop(backend.purge_store(&store, &purge("INPUT")).unwrap())), "purge");
}

pub(crate) fn a_missing_store_is_named_by_every_call(backend: &dyn Backend) {
    let (store, missing, key) = (create(backend, "there"), name("missing"), key("a"));
    put(backend, &store, &key, b"1");
    let text = ContentType::text();
    let moved_to = |from_store, to_store| {
        let rename = RenameRecord {
            from_store,
            from_key: &key,
            to_store,
            to_key: &key,
            record_type: &text.clone().into(),
            replace: true,
        };
        backend.rename_record(&rename)
    };

    assert_no_store(backend.store_attributes(&missing), &missing);
    assert_no_store(backend.rename_store(&missing, &name("to"), None), &missing);
    assert_no_store(backend.drop_store(&missing), &missing);
    assert_no_store(backend.purge_store(&missing, &purge("INPUT")), &missing);
    assert_no_store(backend.metadata(&missing), &missing);
    assert_no_store(backend.set_metadata(&missing, &metadata(&missing)), &missing);
    let now = Some(at("2030-01-01T00:00:00Z"));
    assert_no_store(backend.touch_store(&missing, now, now), &missing);
    assert_no_store(backend.scan(&missing), &missing);
    assert_no_store(backend.record(&missing, &key), &missing);
    assert_no_store(backend.content_type(&missing, &key), &missing);
    assert_no_store(backend.set_content_type(&missing, &key, &text), &missing);
    assert_no_store(backend.open_value(&missing, &key), &missing);
    assert_no_store(backend.delete(&missing, &key), &missing);
    assert_no_store(moved_to(&missing, &store), &missing);
    assert_no_store(moved_to(&store, &missing), &missing);
    let (error, _) = failure_of(publish(backend, stage(backend, b"2"), &missing, &key, &text));
    assert_no_store(Err::<(), _>(error), &missing);

    assert_eq!(stores(backend), from_ref(&store), "none of them makes a store");
    assert_record(backend, &store, &key, b"1", &ContentType::bytes());
}

pub(crate) fn sync_store_accepts_an_existing_store(backend: &dyn Backend) {
    let store = create(backend, "my-store");
    let Some(durability) = backend.durability() else { return };
    durability.sync_store(&store).unwrap();
    put(backend, &store, &key("a"), b"1");
    durability.sync_store(&store).unwrap();
    durability.sync_record(&store, &key("a")).unwrap();
    assert_no_record(durability.sync_record(&store, &key("b")), &store, &key("b"));
    durability.sync_stores().unwrap();
}

pub(crate) fn space_adds_up(backend: &dyn Backend) {
    let space = backend.space().unwrap();
    assert!(space.block_size > 0);
    assert!(space.blocks > 0, "df shows no file system of size 0");
    assert!(space.blocks_free <= space.blocks);
    assert!(space.blocks_available <= space.blocks_free);
    assert!(space.files_free <= space.files);
}

pub(crate) fn drop_store_if_empty_spares_records(backend: &dyn Backend) {
    let store = create(backend, "default");
    let key = key("k");
    put(backend, &store, &key, b"v");
    let text = || {
        let files = metadata_files(backend)?;
        Some(files.metadata_text(&store).unwrap().unwrap().bytes)
    };
    let before = (text(), backend.metadata(&store).unwrap());
    assert!(!backend.drop_store_if_empty(&store).unwrap());
    assert_eq!(get(backend, &store, &key), b"v");
    assert_eq!((text(), backend.metadata(&store).unwrap()), before);
    backend.delete(&store, &key).unwrap();
    assert!(backend.drop_store_if_empty(&store).unwrap());
    assert!(stores(backend).is_empty());
    assert_no_store(backend.drop_store_if_empty(&store), &store);
    let anew = create(backend, "default");
    assert!(keys(backend, &anew).is_empty());
}
