//! Content types, deleting and renaming records.

use std::slice::from_ref;

use storefs::backend::{Backend, RenameRecord};
use storefs::model::{AttributeChange, ContentType, Error, Key, RecordType, Result, StoreName};

use super::{
    all_posix, assert_gone, assert_no_record, assert_no_store, assert_record, create, error_of,
    get, key, keys, name, put, put_as,
};

/// Renames within or across stores; the record becomes one of `text/x-renamed`.
fn rename(
    backend: &dyn Backend,
    (from_store, from_key): (&StoreName, &Key),
    (to_store, to_key): (&StoreName, &Key),
    replace: bool,
) -> Result<()> {
    let record_type = &renamed().into();
    let rename = RenameRecord { from_store, from_key, to_store, to_key, record_type, replace };
    backend.rename_record(&rename)
}

fn renamed() -> ContentType {
    ContentType::new("text/x-renamed")
}

pub(crate) fn content_type_is_kept_word_for_word(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    let texts = [
        "application/json; charset=utf-8",
        "Application/JSON;CHARSET=\"x\"",
        "application/x-none",
        "x/\"odd\" \\ \u{fc}\u{1f980}\n\t",
        "no slash at all",
        " spaces ",
    ];
    for content_type in texts.map(ContentType::new) {
        put_as(backend, &store, &key, b"", &content_type);
        assert_eq!(backend.content_type(&store, &key).unwrap(), Some(content_type));
    }
    for content_type in texts.map(ContentType::new) {
        backend.set_content_type(&store, &key, &content_type).unwrap();
        assert_eq!(backend.content_type(&store, &key).unwrap(), Some(content_type));
    }
}

pub(crate) fn p10_how_a_record_came_by_its_type_is_kept_where_it_can_be(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    put(backend, &store, &key, b"value");
    for record_type in [
        RecordType::guessed(ContentType::text(), None),
        RecordType::guessed(ContentType::text(), Some(ContentType::json())),
        RecordType::given(ContentType::text()),
    ] {
        backend.set_type(&store, &key, &record_type).unwrap();
        assert_eq!(backend.kept_type(&store, &key).unwrap(), Some(record_type.clone()));
        let (to_key, replace) = (&super::key("b"), true);
        let (from_store, to_store, from_key) = (&store, &store, &key);
        let record_type = &record_type;
        let rename = RenameRecord { from_store, from_key, to_store, to_key, record_type, replace };
        backend.rename_record(&rename).unwrap();
        assert_eq!(backend.kept_type(&store, to_key).unwrap().as_ref(), Some(record_type));
        put(backend, &store, &key, b"value");
        let given = Some(RecordType::given(ContentType::bytes()));
        assert_eq!(backend.kept_type(&store, &key).unwrap(), given, "an SDK's");
    }
}

pub(crate) fn set_content_type_leaves_the_value_alone(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    put_as(backend, &store, &key, b"{}", &ContentType::text());
    let before = backend.record(&store, &key).unwrap();
    backend.set_content_type(&store, &key, &ContentType::json()).unwrap();
    assert_record(backend, &store, &key, b"{}", &ContentType::json());
    assert_eq!(backend.record(&store, &key).unwrap().stamp, before.stamp);
    assert_eq!(keys(backend, &store), [key]);
}

pub(crate) fn set_content_type_makes_no_record(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("missing"));
    assert_no_record(backend.set_content_type(&store, &key, &ContentType::json()), &store, &key);
    assert_gone(backend, &store, &key);
}

pub(crate) fn delete_removes_value_and_content_type(backend: &dyn Backend) {
    let store = create(backend, "default");
    for text in ["a", "ab", "a.json", "a/b"] {
        put(backend, &store, &key(text), text.as_bytes());
    }
    backend.delete(&store, &key("a")).unwrap();
    assert_gone(backend, &store, &key("a"));
    assert_eq!(keys(backend, &store), [key("a.json"), key("a/b"), key("ab")]);
    for text in ["ab", "a.json", "a/b"] {
        assert_record(backend, &store, &key(text), text.as_bytes(), &ContentType::bytes());
    }
}

pub(crate) fn delete_refuses_a_missing_record(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    assert_no_record(backend.delete(&store, &key), &store, &key);
    put(backend, &store, &key, b"1");
    backend.delete(&store, &key).unwrap();
    assert_no_record(backend.delete(&store, &key), &store, &key);
}

pub(crate) fn a_record_made_after_a_delete_inherits_nothing(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    put_as(backend, &store, &key, b"a long old value", &ContentType::text());
    let change = AttributeChange { mode: Some(0o600), ..AttributeChange::default() };
    if let Some(posix) = all_posix(backend) {
        posix.set_attributes(&store, &key, &change).unwrap();
    }
    put(backend, &store, &super::key("fresh"), b"{}");
    let fresh = backend.record(&store, &super::key("fresh")).unwrap();
    backend.delete(&store, &key).unwrap();
    put_as(backend, &store, &key, b"{}", &ContentType::json());
    assert_record(backend, &store, &key, b"{}", &ContentType::json());
    assert_eq!(backend.record(&store, &key).unwrap().mode, fresh.mode);
}

pub(crate) fn rename_record_moves_value_and_content_type(backend: &dyn Backend) {
    let store = create(backend, "default");
    // From and to keys whose file names need encoding, and out of a name that looks like a temporary.
    for (from, to) in [("a", "b"), ("x/y", "\u{fc}"), ("save.tmp", "save"), ("%41", "A")] {
        let (from, to) = (key(from), key(to));
        put_as(backend, &store, &from, b"value", &ContentType::json());
        let before = backend.record(&store, &from).unwrap();
        rename(backend, (&store, &from), (&store, &to), false).unwrap();
        assert_gone(backend, &store, &from);
        assert_record(backend, &store, &to, b"value", &renamed());
        let after = backend.record(&store, &to).unwrap();
        assert_eq!((after.modified, after.mode), (before.modified, before.mode));
    }
    assert_eq!(keys(backend, &store).len(), 4);
}

pub(crate) fn rename_record_moves_to_another_store(backend: &dyn Backend) {
    let (from, to, key) = (create(backend, "from"), create(backend, "to"), key("a"));
    put_as(backend, &from, &key, b"1", &ContentType::json());
    rename(backend, (&from, &key), (&to, &key), false).unwrap();
    assert_gone(backend, &from, &key);
    assert_record(backend, &to, &key, b"1", &renamed());
    // And back, to another key, over a record.
    put_as(backend, &from, &super::key("b"), b"2", &ContentType::json());
    rename(backend, (&to, &key), (&from, &super::key("b")), true).unwrap();
    assert_eq!((keys(backend, &from), keys(backend, &to)), (vec![super::key("b")], vec![]));
    assert_record(backend, &from, &super::key("b"), b"1", &renamed());
}

pub(crate) fn rename_record_replaces_if_told_to(backend: &dyn Backend) {
    let (store, from, to) = (create(backend, "default"), key("from"), key("to"));
    put_as(backend, &store, &from, b"1", &ContentType::json());
    put_as(backend, &store, &to, b"a longer old value", &ContentType::text());
    rename(backend, (&store, &from), (&store, &to), true).unwrap();
    assert_eq!(keys(backend, &store), from_ref(&to));
    assert_record(backend, &store, &to, b"1", &renamed());
}

pub(crate) fn rename_record_without_replace_changes_nothing(backend: &dyn Backend) {
    let (store, other) = (create(backend, "default"), create(backend, "other"));
    put_as(backend, &store, &key("a"), b"1", &ContentType::json());
    for store in [&store, &other] {
        put_as(backend, store, &key("b"), b"2", &ContentType::text());
    }
    for to_store in [&store, &other] {
        let error = error_of(rename(backend, (&store, &key("a")), (to_store, &key("b")), false));
        match error {
            Error::RecordExists { store, key } => {
                assert_eq!((&*store, &*key), (to_store.as_str(), "b"));
            }
            other => panic!("{other:?}"),
        }
        assert_record(backend, &store, &key("a"), b"1", &ContentType::json());
        assert_record(backend, to_store, &key("b"), b"2", &ContentType::text());
    }
}

pub(crate) fn rename_record_refuses_a_missing_record(backend: &dyn Backend) {
    let (store, missing, there) = (create(backend, "default"), key("missing"), key("there"));
    put(backend, &store, &there, b"1");
    for to in [&key("new"), &there] {
        let renamed = rename(backend, (&store, &missing), (&store, to), true);
        assert_no_record(renamed, &store, &missing);
    }
    let onto_itself = rename(backend, (&store, &missing), (&store, &missing), true);
    assert_no_record(onto_itself, &store, &missing);
    assert_eq!(keys(backend, &store), from_ref(&there));
    assert_record(backend, &store, &there, b"1", &ContentType::bytes());
}

pub(crate) fn rename_record_refuses_a_missing_store(backend: &dyn Backend) {
    let (store, missing, key) = (create(backend, "default"), name("missing"), key("a"));
    put(backend, &store, &key, b"1");
    assert_no_store(rename(backend, (&store, &key), (&missing, &key), true), &missing);
    assert_no_store(rename(backend, (&missing, &key), (&store, &key), true), &missing);
    assert_record(backend, &store, &key, b"1", &ContentType::bytes());
}

pub(crate) fn rename_record_onto_itself_keeps_it(backend: &dyn Backend) {
    let (store, key) = (create(backend, "default"), key("a"));
    put_as(backend, &store, &key, b"1", &ContentType::json());
    // Whether that counts as replacing, and whether the content type is set, is left open.
    let _ = rename(backend, (&store, &key), (&store, &key), false);
    rename(backend, (&store, &key), (&store, &key), true).unwrap();
    assert_eq!(get(backend, &store, &key), b"1");
    let content_type = backend.content_type(&store, &key).unwrap();
    assert!([Some(ContentType::json()), Some(renamed())].contains(&content_type));
    assert_eq!(keys(backend, &store), [key]);
}
