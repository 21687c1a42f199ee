//! Purging: all records go but the input.

use storefs::backend::Backend;
use storefs::model::{ContentType, Key, StoreName};

use super::{
    assert_gone, assert_metadata, assert_record, at, create, key, keys, metadata, publish, purge,
    put, put_as, stage,
};

/// Fills a store with records of these keys, each of which holds its key.
fn fill(backend: &dyn Backend, store: &StoreName, keys: &[&str]) {
    for text in keys {
        put_as(backend, store, &key(text), text.as_bytes(), &ContentType::text());
    }
}

fn sorted(mut keys: Vec<Key>) -> Vec<Key> {
    keys.sort();
    keys
}

pub(crate) fn p13_purge_spares_the_input(backend: &dyn Backend) {
    let spared = ["INPUT", "INPUT.json"];
    let removed = [
        "INPUT2",
        "INPUT-2.json",
        "INPUT_SCHEMA.json",
        "INPUT/x",
        "INPUT ",
        "input",
        "input.json",
        "XINPUT",
        ".INPUT",
        "%49NPUT",
        "OUTPUT",
        "a/b",
        "\u{fc}",
        "foo.tmp",
        "@purge",
    ];
    let store = create(backend, "my-store");
    fill(backend, &store, &spared);
    fill(backend, &store, &removed);
    let purged = backend.purge_store(&store, &purge("INPUT")).unwrap().wait();

    assert_eq!(purged.removed, removed.len() as u64);
    assert_eq!(sorted(purged.spared), spared.map(key));
    assert_eq!(keys(backend, &store), spared.map(key));
    for text in spared {
        assert_record(backend, &store, &key(text), text.as_bytes(), &ContentType::text());
    }
    for text in removed {
        assert_gone(backend, &store, &key(text));
    }
}

pub(crate) fn p13_purge_keeps_identity_and_sets_one_instant(backend: &dyn Backend) {
    for store in ["default", "my-store"] {
        let store = create(backend, store);
        fill(backend, &store, &["INPUT.json", "a"]);
        let purge = purge("INPUT");
        backend.purge_store(&store, &purge).unwrap();
        let mut expected = metadata(&store);
        expected.times.accessed_at = purge.at;
        expected.times.modified_at = purge.at;
        assert_eq!(backend.metadata(&store).unwrap(), expected);
    }
}

/// One instant, also where a clock that went ahead has left a later time behind.
pub(crate) fn p13_purge_sets_one_instant_after_a_clock_went_back(backend: &dyn Backend) {
    let store = create(backend, "default");
    let ahead = Some(at("2040-01-01T00:00:00.5Z"));
    backend.touch_store(&store, ahead, None).unwrap();
    let purge = purge("INPUT");
    backend.purge_store(&store, &purge).unwrap();
    let times = backend.metadata(&store).unwrap().times;
    assert_eq!((times.accessed_at, times.modified_at), (purge.at, purge.at));
}

pub(crate) fn p13_a_second_purge_is_fine(backend: &dyn Backend) {
    let store = create(backend, "default");
    let purged = backend.purge_store(&store, &purge("INPUT")).unwrap().wait();
    assert_eq!((purged.removed, purged.spared), (0, vec![]), "an empty store");
    fill(backend, &store, &["INPUT.json", "a", "b"]);
    let purged = backend.purge_store(&store, &purge("INPUT")).unwrap().wait();
    assert_eq!((purged.removed, purged.spared), (2, vec![key("INPUT.json")]));
    let purged = backend.purge_store(&store, &purge("INPUT")).unwrap().wait();
    assert_eq!((purged.removed, purged.spared), (0, vec![key("INPUT.json")]));
    assert_eq!(keys(backend, &store), [key("INPUT.json")]);
    fill(backend, &store, &["a"]);
    assert_eq!(backend.purge_store(&store, &purge("INPUT")).unwrap().wait().removed, 1);
}

pub(crate) fn p16_purge_goes_by_the_input_key_it_is_given(backend: &dyn Backend) {
    let store = create(backend, "default");
    fill(backend, &store, &["INPUT.json", "__CLI_INPUT.json", "__CLI_INPUT2"]);
    let purged = backend.purge_store(&store, &purge("__CLI_INPUT")).unwrap().wait();
    assert_eq!(purged.removed, 1);
    assert_eq!(sorted(purged.spared), ["INPUT.json", "__CLI_INPUT.json"].map(key));
    assert_eq!(keys(backend, &store), ["INPUT.json", "__CLI_INPUT.json"].map(key));
    backend.delete(&store, &key("INPUT.json")).unwrap();
    // A key whose file name is encoded.
    fill(backend, &store, &["in put/\u{fc}", "in put/\u{fc}.json", "in put"]);
    let purged = backend.purge_store(&store, &purge("in put/\u{fc}")).unwrap().wait();
    assert_eq!(purged.removed, 2);
    assert_eq!(keys(backend, &store), ["in put/\u{fc}", "in put/\u{fc}.json"].map(key));
}

pub(crate) fn p16_purge_spares_the_key_input_whatever_the_input_key_is(backend: &dyn Backend) {
    let store = create(backend, "default");
    let with_type = ContentType::new("application/x-own");
    fill(backend, &store, &["INPUT.json", "INPUT2", "k", "k.json", "other"]);
    publish(backend, stage(backend, b"the input"), &store, &key("INPUT"), &with_type).unwrap();
    let purged = backend.purge_store(&store, &purge("k")).unwrap().wait();
    assert_eq!(purged.removed, 2);
    let left = ["INPUT", "INPUT.json", "k", "k.json"].map(key);
    assert_eq!(sorted(purged.spared), left);
    assert_eq!(keys(backend, &store), left);
    assert_record(backend, &store, &key("INPUT"), b"the input", &with_type);
}

pub(crate) fn purge_touches_no_other_store(backend: &dyn Backend) {
    let (store, other) = (create(backend, "default"), create(backend, "other"));
    for store in [&store, &other] {
        fill(backend, store, &["INPUT", "a", "b"]);
    }
    backend.purge_store(&store, &purge("INPUT")).unwrap();
    assert_eq!(keys(backend, &store), [key("INPUT")]);
    assert_eq!(keys(backend, &other), ["INPUT", "a", "b"].map(key));
    assert_metadata(backend, &other);
}

pub(crate) fn publish_after_a_purge_makes_a_record(backend: &dyn Backend) {
    let store = create(backend, "default");
    fill(backend, &store, &["a", "b"]);
    let begun_before = stage(backend, b"begun before the purge");
    backend.purge_store(&store, &purge("INPUT")).unwrap();
    publish(backend, begun_before, &store, &key("a"), &ContentType::json()).unwrap();
    put(backend, &store, &key("c"), b"begun after it");
    assert_eq!(keys(backend, &store), [key("a"), key("c")]);
    assert_record(backend, &store, &key("a"), b"begun before the purge", &ContentType::json());
    assert_record(backend, &store, &key("c"), b"begun after it", &ContentType::bytes());
}
