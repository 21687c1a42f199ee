//! Which keys there can be, and how they are listed.

use std::collections::BTreeSet;
use std::thread;

use storefs::backend::{Backend, Listed, Look, RenameRecord};
use storefs::model::{ContentType, Error, Key, StoreName};

use super::{
    assert_gone, assert_metadata, assert_no_record, assert_record, create, error_of, failure_of,
    get, key, keys, name, publish, put, put_as, stage, stores,
};

/// The odd keys that the backend takes. It may refuse none that is short and has no NUL in it.
fn odd_keys(backend: &dyn Backend, store: &StoreName) -> Vec<Key> {
    let mut keys = all_odd_keys();
    keys.retain(|key| match backend.check_key(store, key) {
        Ok(()) => true,
        Err(Error::NameTooLong { .. }) if key.as_bytes().len() > 100 => false,
        Err(Error::InvalidKey { .. }) if key.as_bytes().contains(&0) => false,
        Err(error) => panic!("{key:?}: {error}"),
    });
    keys
}

/// Keys that a naive mapping to file names, paths or listings would lose, hide or mix up.
fn all_odd_keys() -> Vec<Key> {
    let long = "k".repeat(200);
    let texts = [
        "plain",
        "a/b",
        "a",
        "/",
        "/leading",
        "trailing/",
        "../up",
        "\u{fc}",
        // The same letter in two characters: another key.
        "u\u{308}",
        "\u{1f980}",
        "%41",
        "A",
        "%",
        "%%",
        "%2F",
        "@purge",
        "@status",
        "with space",
        " ",
        // The names of the SDKs' temporaries are legal keys (FORMAT 5.5).
        "foo.tmp",
        "foo.abcd_123.tmp",
        ".tmp.abcdefghijkl",
        "a\0b\tc\nd",
        ".hidden",
        "...",
        "~",
        "page.html",
        "UPPER",
        "upper",
        "ok!-_.'()",
        "quote\"back\\slash",
        "*?[]",
        "__metadata__",
        "x__metadata__.json",
        "INPUT",
        "INPUT.json",
        long.as_str(),
    ];
    texts.map(key).into()
}

pub(crate) fn scan_lists_each_key_once(backend: &dyn Backend) {
    let store = create(backend, "default");
    let mut expected = odd_keys(backend, &store);
    for key in &expected {
        put(backend, &store, key, key.as_bytes());
    }
    expected.sort();
    assert_eq!(keys(backend, &store), expected);
    assert_eq!(keys(backend, &store), expected, "a scan changes nothing");
    // Replacing a record lists it no second time.
    put(backend, &store, &expected[0], b"again");
    assert_eq!(keys(backend, &store), expected);
}

pub(crate) fn every_odd_key_holds_its_own_record(backend: &dyn Backend) {
    let store = create(backend, "default");
    let content_type = |key: &Key| ContentType::new(&format!("text/x-{}", key.as_bytes().len()));
    let odd = odd_keys(backend, &store);
    for key in &odd {
        put_as(backend, &store, key, key.as_bytes(), &content_type(key));
    }
    for key in &odd {
        assert_record(backend, &store, key, key.as_bytes(), &content_type(key));
    }
    for (done, gone) in odd.iter().enumerate() {
        backend.delete(&store, gone).unwrap();
        assert_gone(backend, &store, gone);
        assert_eq!(keys(backend, &store).len(), odd.len() - done - 1);
    }
    assert_metadata(backend, &store);
}

pub(crate) fn look_at_records_sees_what_record_sees(backend: &dyn Backend) {
    let store = create(backend, "default");
    let mut asked = odd_keys(backend, &store);
    for key in &asked {
        put(backend, &store, key, key.as_bytes());
    }
    let gone = asked[0].clone();
    backend.delete(&store, &gone).unwrap();
    asked.extend([
        key("absent"),
        key("b/c"),
        key("a.__metadata__.json"),
        key("absent.abcd_123.tmp"),
    ]);
    let mut seen = Vec::new();
    let mut look_at_each = |look: &mut Look<'_>| {
        seen.extend(asked.iter().map(&mut *look));
        // By somebody else: who looks must not use the store otherwise.
        thread::scope(|scope| {
            scope.spawn(|| put(backend, &store, &gone, b"made meanwhile"));
        });
        assert_eq!(look(&gone).unwrap().size, 14);
    };
    backend.look_at_records(&store, &mut look_at_each).unwrap();
    assert_eq!(seen.len(), asked.len());
    backend.delete(&store, &gone).unwrap();
    for (key, seen) in asked.iter().zip(seen) {
        match (seen, backend.record(&store, key)) {
            (Ok(seen), Ok(record)) => assert_eq!(seen, record, "{key:?}"),
            (Err(error), Err(_)) => {
                assert!(matches!(error, Error::NoSuchRecord { .. }), "{key:?}: {error}");
            }
            other => panic!("{key:?}: {other:?}"),
        }
    }

    let mut answers = Vec::new();
    let missing = name("missing");
    let looked =
        backend.look_at_records(&missing, &mut |look| answers.push(look(&gone).unwrap_err()));
    answers.extend(looked.err());
    assert!(matches!(answers[..], [Error::NoSuchStore { .. }]), "{answers:?}");
}

/// A listing may tell nothing but keys. What it tells besides must be what a look at the record tells.
pub(crate) fn a_listing_tells_what_a_look_tells(backend: &dyn Backend) {
    let store = create(backend, "default");
    for (size, key) in odd_keys(backend, &store).iter().enumerate() {
        put_as(backend, &store, key, &vec![b'x'; size], &ContentType::new(&format!("x/{size}")));
    }
    let mut told = BTreeSet::new();
    for listed in backend.scan(&store).unwrap() {
        let Listed { key, attributes, record_type } = listed.unwrap();
        told.insert((attributes.is_some(), record_type.is_some()));
        if let Some(attributes) = attributes {
            assert_eq!(attributes, backend.record(&store, &key).unwrap(), "{key:?}");
        }
        if record_type.is_some() {
            assert_eq!(record_type, backend.kept_type(&store, &key).unwrap(), "{key:?}");
        }
    }
    assert_eq!(told.len(), 1, "it tells of all records the same");
}

/// What `rm -r` does: it removes what it has been given while it reads on.
pub(crate) fn scan_goes_on_while_records_are_deleted(backend: &dyn Backend) {
    let store = create(backend, "default");
    let expected: BTreeSet<Key> = (0..300).map(|number| key(&format!("record-{number}"))).collect();
    for key in &expected {
        put(backend, &store, key, b"1");
    }
    let mut seen = BTreeSet::new();
    for found in backend.scan(&store).unwrap() {
        let found = found.unwrap().key;
        backend.delete(&store, &found).unwrap();
        assert!(seen.insert(found), "a key came twice");
    }
    assert_eq!(seen, expected);
    assert_eq!(keys(backend, &store), []);
}

/// Keys that a backend may refuse, but not mistake for anything else.
pub(crate) fn p18_no_key_leads_out_of_its_store(backend: &dyn Backend) {
    let (store, other) = (create(backend, "default"), create(backend, "other"));
    put(backend, &store, &key("x"), b"1");
    put(backend, &other, &key("x"), b"2");
    let texts = [
        ".",
        "..",
        "../x",
        "../other/x",
        "/etc/hostname",
        "__metadata__.json",
        "x.__metadata__.json",
        "__metadata__.json.__metadata__.json",
        ".storefs",
        "../../.storefs/x",
    ];
    for text in texts {
        let key = key(text);
        let published =
            publish(backend, stage(backend, b"text"), &store, &key, &ContentType::text());
        assert_eq!(published.is_ok(), backend.check_key(&store, &key).is_ok(), "{key:?}");
        if published.is_ok() {
            assert_record(backend, &store, &key, b"text", &ContentType::text());
        } else {
            assert!(backend.open_value(&store, &key).is_err(), "{key:?} has been read");
            assert!(backend.delete(&store, &key).is_err(), "{key:?} has been deleted");
            assert!(!keys(backend, &store).contains(&key));
        }
        assert_eq!(stores(backend), [store.clone(), other.clone()]);
        assert_metadata(backend, &store);
        assert_record(backend, &store, &super::key("x"), b"1", &ContentType::bytes());
        assert_record(backend, &other, &super::key("x"), b"2", &ContentType::bytes());
    }
}

pub(crate) fn check_key_agrees_with_publish(backend: &dyn Backend) {
    let store = create(backend, "default");
    for letter in ["x", "/", "\u{fc}", "\0"] {
        // Around every limit of the SDKs and of file systems, in encoded bytes (FORMAT 5.1).
        for encoded in [219, 220, 237, 238, 243, 255, 256, 257, 300, 5000] {
            let bytes = if letter == "x" { 1 } else { 3 * letter.len() };
            let key = key(&letter.repeat(encoded / bytes));
            let published =
                publish(backend, stage(backend, b"1"), &store, &key, &ContentType::text());
            match (backend.check_key(&store, &key), published) {
                (Ok(()), Ok(_)) => {
                    assert_record(backend, &store, &key, b"1", &ContentType::text());
                    backend.delete(&store, &key).unwrap();
                }
                (Err(Error::NameTooLong { .. }), Err((Error::NameTooLong { .. }, _)))
                | (Err(Error::InvalidKey { .. }), Err((Error::InvalidKey { .. }, _))) => {
                    assert_no_record(backend.record(&store, &key), &store, &key);
                }
                other => panic!("{letter:?} up to {encoded} bytes: {other:?}"),
            }
            assert_eq!(keys(backend, &store), []);
        }
    }
}

pub(crate) fn a_foreign_key_makes_no_record(backend: &dyn Backend) {
    let (store, foreign) = (create(backend, "default"), Key::from_bytes(b"a\xff").unwrap());
    let text = ContentType::text();
    let error = error_of(backend.check_key(&store, &foreign));
    assert!(matches!(error, Error::NotUnicode { .. }), "{error:?}");
    assert_no_record(backend.record(&store, &foreign), &store, &foreign);
    assert_no_record(backend.open_value(&store, &foreign), &store, &foreign);

    let (error, staging) =
        failure_of(publish(backend, stage(backend, b"1"), &store, &foreign, &text));
    assert!(matches!(error, Error::NotUnicode { .. }), "{error:?}");
    publish(backend, staging, &store, &key("a"), &text).unwrap();
    let rename = RenameRecord {
        from_store: &name("default"),
        from_key: &key("a"),
        to_store: &store,
        to_key: &foreign,
        record_type: &text.clone().into(),
        replace: true,
    };
    let error = error_of(backend.rename_record(&rename));
    assert!(matches!(error, Error::NotUnicode { .. }), "{error:?}");
    assert_eq!(keys(backend, &store), [key("a")]);
    assert_eq!(get(backend, &store, &key("a")), b"1");
}
