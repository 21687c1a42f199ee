//! The engine without a mount: the SDKs' operations over each backend.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use storefs::Error;
use storefs::backend::memory::MemoryBackend;
use storefs::engine::{IterateKeys, OpenStore, Storage, StorageOptions, Store};
use storefs::model::{ContentType, Key, StoreName};

/// Runs a test over memory and over a directory.
macro_rules! over_each_backend {
    ($($test:ident)*) => {
        mod memory {
            $(#[test]
            fn $test() {
                super::$test(&super::in_memory());
            })*
        }
        mod directory {
            $(#[test]
            fn $test() {
                let dir = super::temp_dir();
                super::$test(&super::in_directory(dir.path()));
            })*
        }
    };
}

over_each_backend! {
    open_makes_the_store_that_the_sdk_would
    open_takes_one_selector_at_most
    open_by_id_finds_and_never_makes
    open_refuses_what_is_no_directory_name
    find_makes_nothing
    values_come_back_whole_and_by_range
    deleting_tells_whether_there_was_anything
    iterate_keys_pages_in_order
    iterate_keys_takes_prefix_and_start
    p10_types_follow_the_rules
    p10_a_rename_publishes_by_the_rules
    p13_purge_spares_every_spelling_of_the_input
    p16_input_key_finds_the_input_record
    p17_times_move_with_use_and_are_written_once
    renaming_a_store_renames_its_metadata
    a_failed_set_value_leaves_the_old_one
}

fn temp_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap()
}

fn in_memory() -> Storage {
    Storage::with_backend(Arc::new(MemoryBackend::new()), Some("INPUT".to_owned()))
}

fn in_directory(path: &Path) -> Storage {
    let options = StorageOptions { input_key: Some("INPUT".to_owned()), ..Default::default() };
    Storage::open_directory(path, options).unwrap()
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn by_name(name: &str) -> OpenStore {
    OpenStore { name: Some(name.to_owned()), ..OpenStore::default() }
}

fn by_alias(alias: &str) -> OpenStore {
    OpenStore { alias: Some(alias.to_owned()), ..OpenStore::default() }
}

fn by_id(id: &str) -> OpenStore {
    OpenStore { id: Some(id.to_owned()), ..OpenStore::default() }
}

fn default_store(storage: &Storage) -> Store {
    storage.open_store(&OpenStore::default()).unwrap()
}

fn set(store: &Store, name: &str, value: &str) {
    store.set_value(&key(name), value, None).unwrap();
}

fn get(store: &Store, name: &str) -> Option<String> {
    let record = store.get_value(&key(name)).unwrap()?;
    let mut text = String::new();
    record.reader().read_to_string(&mut text).unwrap();
    Some(text)
}

fn type_of(store: &Store, name: &str) -> String {
    store.content_type(&key(name)).unwrap().to_string()
}

fn keys(store: &Store) -> BTreeSet<String> {
    store.scan().unwrap().map(|listed| listed.unwrap().key.to_string()).collect()
}

fn open_makes_the_store_that_the_sdk_would(storage: &Storage) {
    let default = default_store(storage).get_metadata().unwrap();
    assert_eq!(default.name, None);
    let id = default.id.unwrap();
    assert!(id.len() == 17 && id.bytes().all(|letter| letter.is_ascii_alphanumeric()), "{id}");
    assert_eq!(default.times.created_at, default.times.modified_at);

    let named = storage.open_store(&by_name("mine")).unwrap().get_metadata().unwrap();
    assert_eq!(named.name.as_deref(), Some("mine"));
    let alias = storage.open_store(&by_alias("run")).unwrap().get_metadata().unwrap();
    assert_eq!(alias.name, None);

    // Opened again, by whatever, it is the same store, with the name it has.
    let again = storage.open_store(&by_alias("mine")).unwrap().get_metadata().unwrap();
    assert_eq!((again.id, again.name), (named.id, named.name));
    let names: Vec<String> = storage.stores().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["default", "mine", "run"]);
}

fn open_takes_one_selector_at_most(storage: &Storage) {
    let both = OpenStore { alias: Some("a".to_owned()), ..by_name("n") };
    let error = storage.open_store(&both).unwrap_err();
    assert!(matches!(error, Error::AmbiguousOpen { .. }));
    assert_eq!(
        error.to_string(),
        "Only one of \"id\", \"name\", \"alias\" can be specified, but following arguments were \
         specified: name=\"n\", alias=\"a\"."
    );
    assert!(storage.stores().unwrap().is_empty());
}

fn open_by_id_finds_and_never_makes(storage: &Storage) {
    let error = storage.open_store(&by_id("nope")).unwrap_err();
    assert_eq!(error.to_string(), "Key-value store with ID \"nope\" not found.");
    assert!(storage.stores().unwrap().is_empty());
    let store = storage.open_store(&by_name("mine")).unwrap();
    let id = store.get_metadata().unwrap().id.unwrap();
    assert_eq!(storage.open_store(&by_id(&id)).unwrap().name(), store.name());
    assert!(storage.open_store(&by_id("mine")).is_err(), "a name is no id");
}

fn open_refuses_what_is_no_directory_name(storage: &Storage) {
    for name in ["a/b", ".", "..", "", "a\0b"] {
        let error = storage.open_store(&by_name(name)).unwrap_err();
        assert!(matches!(error, Error::InvalidStoreName { .. }), "{name:?}: {error:?}");
    }
    let error = storage.open_store(&by_name(&"x".repeat(256))).unwrap_err();
    assert!(matches!(error, Error::NameTooLong { .. }));
    assert!(storage.stores().unwrap().is_empty());
}

fn find_makes_nothing(storage: &Storage) {
    assert!(matches!(
        storage.find_store(&by_name("absent")).unwrap_err(),
        Error::NoSuchStore { .. }
    ));
    assert!(storage.stores().unwrap().is_empty());
}

fn values_come_back_whole_and_by_range(storage: &Storage) {
    let store = default_store(storage);
    assert_eq!(get(&store, "k"), None);
    assert!(!store.record_exists(&key("k")).unwrap());
    let value: String = (0..100_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    set(&store, "k", &value);
    assert!(store.record_exists(&key("k")).unwrap());
    assert_eq!(get(&store, "k").unwrap(), value);
    let record = store.get_value(&key("k")).unwrap().unwrap();
    let mut part = vec![0; 10];
    assert_eq!(record.value.read_at(&mut part, 99_995).unwrap(), 5);
    assert_eq!(&part[..5], &value.as_bytes()[99_995..]);
    // The record that was got is one version.
    set(&store, "k", "short");
    let mut text = String::new();
    record.reader().read_to_string(&mut text).unwrap();
    assert_eq!(text, value);
    assert_eq!(get(&store, "k").unwrap(), "short");
}

fn deleting_tells_whether_there_was_anything(storage: &Storage) {
    let store = default_store(storage);
    set(&store, "k", "v");
    assert!(store.delete_value(&key("k")).unwrap());
    assert!(!store.delete_value(&key("k")).unwrap());
    assert_eq!(get(&store, "k"), None);
}

fn iterate_keys_pages_in_order(storage: &Storage) {
    let store = default_store(storage);
    let names: Vec<String> = (0..25).map(|n| format!("k{:02}", (n * 7) % 25)).collect();
    names.iter().for_each(|name| set(&store, name, "1"));
    let mut query = IterateKeys { limit: Some(10), ..IterateKeys::default() };
    let mut listed = Vec::new();
    let mut pages = 0;
    loop {
        let page = store.iterate_keys(&query).unwrap();
        listed.extend(page.items.iter().map(|record| record.key.to_string()));
        pages += 1;
        let Some(next) = page.next_exclusive_start_key else { break };
        query.exclusive_start_key = Some(next);
    }
    let expected: Vec<String> = (0..25).map(|n| format!("k{n:02}")).collect();
    assert_eq!((listed, pages), (expected, 3));
}

fn iterate_keys_takes_prefix_and_start(storage: &Storage) {
    let store = default_store(storage);
    for name in ["a", "b/1", "b/2", "b/3", "c"] {
        set(&store, name, "[]");
    }
    let query = IterateKeys {
        prefix: Some("b/".to_owned()),
        exclusive_start_key: Some(key("b/1")),
        limit: None,
    };
    let page = store.iterate_keys(&query).unwrap();
    let listed: Vec<String> = page.items.iter().map(|record| record.key.to_string()).collect();
    assert_eq!(listed, ["b/2", "b/3"]);
    assert_eq!(page.items[0].content_type, ContentType::json());
    assert_eq!(page.items[0].size, 2);
    assert_eq!(page.next_exclusive_start_key, None);
}

fn p10_types_follow_the_rules(storage: &Storage) {
    let store = default_store(storage);
    let json = "application/json; charset=utf-8";
    let text = "text/plain; charset=utf-8";
    for (name, value, expected) in [
        ("OUTPUT", "{}", json),
        ("OUTPUT", "no JSON", text),
        ("OUTPUT", "[1]", json),
        ("page.html", "<p>", "text/html; charset=utf-8"),
        ("INPUT", "plain", "application/octet-stream"),
        ("INPUT", "{\"a\": 1}", json),
    ] {
        set(&store, name, value);
        assert_eq!(type_of(&store, name), expected, "{name}: {value}");
    }
    // A type that was given stays as long as the bytes fit, and comes back.
    for (value, given, expected) in [
        ("words", Some("text/x-own"), "text/x-own"),
        ("{}", None, "text/x-own"),
        ("\u{fc}", None, "text/x-own"),
        ("{}", Some("application/json; a=b"), "application/json; a=b"),
        ("words", None, text),
        ("[1]", None, "application/json; a=b"),
    ] {
        store.set_value(&key("given"), value, given.map(ContentType::new).as_ref()).unwrap();
        assert_eq!(type_of(&store, "given"), expected, "{value}");
    }
    let by_hand = ContentType::new("application/json");
    store.set_value(&key("odd"), "{half", Some(&by_hand)).unwrap();
    assert_eq!(type_of(&store, "odd"), "application/json");
    assert_eq!(get(&store, "odd").unwrap(), "{half");
}

fn p10_a_rename_publishes_by_the_rules(storage: &Storage) {
    let store = default_store(storage);
    let rename = |from: &str, to: &str| {
        store.rename_record(&key(from), &store, &key(to), &Default::default()).unwrap();
        type_of(&store, to)
    };
    set(&store, ".page.html.abc", "<p>");
    assert_eq!(rename(".page.html.abc", "page.html"), "text/html; charset=utf-8");
    set(&store, "sedXYZ", "{}");
    assert_eq!(rename("sedXYZ", "page.html"), "text/html; charset=utf-8");
    let own = ContentType::new("x/own");
    store.set_value(&key("own"), "{}", Some(&own)).unwrap();
    assert_eq!(rename("own", "page.html"), "x/own", "set by hand");
    set(&store, "data", "{}");
    assert_eq!(rename("data", "data2"), "application/json; charset=utf-8");
}

fn p13_purge_spares_every_spelling_of_the_input(storage: &Storage) {
    let store = default_store(storage);
    for name in ["INPUT.json", "INPUT-2.json", "INPUTx", "OUTPUT", "INPUT_SCHEMA.json"] {
        set(&store, name, "{}");
    }
    let before = store.get_metadata().unwrap();
    let purged = store.purge().unwrap().wait();
    assert_eq!(purged.removed, 4);
    assert_eq!(purged.spared, [key("INPUT.json")]);
    assert_eq!(keys(&store), ["INPUT.json".to_owned()].into());
    let after = store.get_metadata().unwrap();
    assert_eq!((before.id, before.name), (after.id, after.name));
    assert_eq!(before.times.created_at, after.times.created_at);
    assert_eq!(after.times.accessed_at, after.times.modified_at);
    assert!(after.times.modified_at > before.times.modified_at);
}

fn p16_input_key_finds_the_input_record(storage: &Storage) {
    let store = default_store(storage);
    set(&store, "INPUT.json", "{\"a\": 1}");
    assert_eq!(get(&store, "INPUT").unwrap(), "{\"a\": 1}");
    set(&store, "INPUT", "{\"a\": 2}");
    assert_eq!(keys(&store), ["INPUT.json".to_owned()].into(), "no second input is made");
    assert_eq!(get(&store, "INPUT.json").unwrap(), "{\"a\": 2}");
    assert!(store.record_exists(&key("INPUT")).unwrap());
    assert!(store.delete_value(&key("INPUT")).unwrap());
    assert!(keys(&store).is_empty());
    set(&store, "INPUT.yaml", "a: 1");
    assert_eq!(get(&store, "INPUT").unwrap(), "a: 1");
}

fn p17_times_move_with_use_and_are_written_once(storage: &Storage) {
    let store = default_store(storage);
    let text = || store.metadata_text().unwrap().unwrap().bytes;
    let made = store.get_metadata().unwrap().times;
    let kept = text();
    for number in 0..10 {
        set(&store, &format!("k{number}"), "v");
    }
    assert_eq!(text(), kept, "not once for each record");
    storage.write_back().unwrap();
    let published = store.get_metadata().unwrap().times;
    assert!(published.modified_at > made.modified_at);
    assert!(published.accessed_at >= published.modified_at);
    assert_eq!(get(&store, "k1").unwrap(), "v");
    let read = store.get_metadata().unwrap().times;
    assert!(read.accessed_at > published.accessed_at);
    assert_eq!(read.modified_at, published.modified_at);
    let kept = text();
    storage.write_back().unwrap();
    assert_eq!(text(), kept, "nothing happened, nothing is written");
}

fn renaming_a_store_renames_its_metadata(storage: &Storage) {
    let store = default_store(storage);
    set(&store, "k", "v");
    let id = store.get_metadata().unwrap().id;
    let name = |text: &str| StoreName::new(text).unwrap();
    let renamed = storage.rename_store(store.name(), &name("kept")).unwrap();
    let metadata = renamed.get_metadata().unwrap();
    assert_eq!((metadata.id.clone(), metadata.name.as_deref()), (id, Some("kept")));
    assert_eq!(get(&renamed, "k").unwrap(), "v");
    let back = storage.rename_store(&name("kept"), &name("default")).unwrap();
    assert_eq!(back.get_metadata().unwrap().name, None);
    storage.create_store(&name("other")).unwrap();
    let error = storage.rename_store(&name("default"), &name("other")).unwrap_err();
    assert!(matches!(error, Error::StoreExists { .. }));
}

fn a_failed_set_value_leaves_the_old_one(storage: &Storage) {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the other end went away"))
        }
    }
    let store = default_store(storage);
    set(&store, "k", "old");
    let error = store.set_value_from(&key("k"), &mut "half".as_bytes().chain(Broken), None);
    assert!(matches!(error, Err(Error::Io { .. })));
    assert_eq!(get(&store, "k").unwrap(), "old");
    let absent = storage.store(&StoreName::new("absent").unwrap());
    assert!(absent.set_value(&key("k"), "v", None).is_err());
}

#[test]
fn opening_completes_or_refuses_metadata_as_the_sdk_does() {
    let dir = temp_dir();
    let stores = dir.path().join("key_value_stores");
    let states = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/python/states");
    for name in ["meta-array", "meta-empty", "meta-notjson", "meta-no-dates", "meta-missing"] {
        let from = states.join("key_value_stores").join(name);
        fs::create_dir_all(stores.join(name)).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), stores.join(name).join(entry.file_name())).unwrap();
        }
    }
    let storage = in_directory(dir.path());
    for name in ["meta-array", "meta-empty", "meta-notjson", "meta-no-dates"] {
        let before = fs::read(stores.join(name).join("__metadata__.json")).unwrap();
        let error = storage.open_store(&by_name(name)).unwrap_err();
        assert!(matches!(error, Error::DamagedMetadata { .. }), "{name}: {error:?}");
        // The records are there all the same, and the file is left as it is.
        let store = storage.find_store(&by_name(name)).unwrap();
        assert!(get(&store, "k").is_some());
        storage.write_back().unwrap();
        assert_eq!(fs::read(stores.join(name).join("__metadata__.json")).unwrap(), before);
    }
    let store = storage.open_store(&by_name("meta-missing")).unwrap();
    assert_eq!(store.get_metadata().unwrap().id.unwrap().len(), 17);
    assert!(get(&store, "k").is_some());
    // Damaged siblings do not keep a store from being found by its id.
    let id = store.get_metadata().unwrap().id.unwrap();
    assert_eq!(storage.open_store(&by_id(&id)).unwrap().name().as_str(), "meta-missing");
}

#[test]
fn p12_store_with_nothing_but_an_input_gets_sidecars_and_metadata_at_its_first_write() {
    let dir = temp_dir();
    let store_dir = dir.path().join("key_value_stores/default");
    fs::create_dir_all(&store_dir).unwrap();
    fs::write(store_dir.join("INPUT.json"), "{}").unwrap();
    let storage = in_directory(dir.path());
    let store = storage.find_store(&OpenStore::default()).unwrap();
    assert_eq!(get(&store, "INPUT").unwrap(), "{}");
    storage.write_back().unwrap();
    assert!(!store_dir.join("__metadata__.json").exists(), "reading makes nothing");
    set(&store, "OUTPUT", "text");
    assert!(store_dir.join("OUTPUT.__metadata__.json").exists());
    storage.write_back().unwrap();
    let metadata = store.get_metadata().unwrap();
    assert_eq!((metadata.id.unwrap().len(), metadata.name), (17, None));
}

#[test]
fn p12_store_of_js3_stays_one() {
    let dir = temp_dir();
    let store_dir = dir.path().join("key_value_stores/default");
    fs::create_dir_all(&store_dir).unwrap();
    fs::write(store_dir.join("page.html"), "<p>").unwrap();
    let storage = in_directory(dir.path());
    let store = storage.find_store(&OpenStore::default()).unwrap();
    assert_eq!(get(&store, "page").unwrap(), "<p>", "JS 3 knows the file by this key");
    let json = ContentType::json();
    store.set_value(&key("obj"), "{}", Some(&json)).unwrap();
    set(&store, "shot.jpg", "x");
    storage.write_back().unwrap();
    let names: BTreeSet<String> = fs::read_dir(&store_dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = ["page.html", "obj.json", "shot.jpg.bin"].map(str::to_owned);
    assert_eq!(names, expected.into());
    assert_eq!(keys(&store), ["page.html", "obj.json", "shot.jpg"].map(str::to_owned).into());
    assert_eq!(get(&store, "shot.jpg").unwrap(), "x");
}

/// The names in a store's directory after a purge with the input key `k`, its metadata left out.
fn left_by_a_purge(files: &[&str]) -> BTreeSet<String> {
    let dir = temp_dir();
    let store_dir = dir.path().join("key_value_stores/default");
    fs::create_dir_all(&store_dir).unwrap();
    for file in files {
        fs::write(store_dir.join(file), "{}").unwrap();
    }
    let options = StorageOptions { input_key: Some("k".to_owned()), ..Default::default() };
    let storage = Storage::open_directory(dir.path(), options).unwrap();
    let purging = storage.find_store(&OpenStore::default()).unwrap().purge().unwrap();
    assert_ne!(purging.wait().removed, 0);
    let names = fs::read_dir(store_dir).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "__metadata__.json").collect()
}

#[test]
fn p16_a_purge_spares_the_key_input_in_every_layout_and_in_a_large_store() {
    let sidecars = ["INPUT", "INPUT.json", "other", "__metadata__.json"];
    // No sidecar is made for it: it is not the input of this run.
    let left = ["INPUT", "INPUT.json"].map(str::to_owned);
    assert_eq!(left_by_a_purge(&sidecars), left.clone().into());
    let many: Vec<String> = (0..3000).map(|number| format!("record-{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain(sidecars).collect();
    assert_eq!(left_by_a_purge(&many), left.into());
    let js3 = ["INPUT.json", "INPUT2.json", "k.txt", "other.json"];
    assert_eq!(left_by_a_purge(&js3), ["INPUT.json", "k.txt"].map(str::to_owned).into());
}

#[test]
fn p11_adopt_writes_the_missing_sidecar_once() {
    let dir = temp_dir();
    let storage = in_directory(dir.path());
    let store = default_store(&storage);
    let store_dir = dir.path().join("key_value_stores/default");
    fs::write(store_dir.join("my file.txt"), "text").unwrap();
    assert!(store.adopt(&key("my file.txt")).unwrap());
    assert!(!store.adopt(&key("my file.txt")).unwrap());
    assert!(store_dir.join("my%20file.txt").exists());
    assert!(store_dir.join("my%20file.txt.__metadata__.json").exists());
    assert!(!store_dir.join("my file.txt").exists());
    assert_eq!(get(&store, "my file.txt").unwrap(), "text");
}

#[test]
fn a_read_only_storage_writes_nothing() {
    let dir = temp_dir();
    let store_dir = dir.path().join("key_value_stores/default");
    fs::create_dir_all(&store_dir).unwrap();
    fs::write(store_dir.join("k"), "v").unwrap();
    let mut options = StorageOptions::default();
    options.directory.read_only = true;
    let storage = Storage::open_directory(dir.path(), options).unwrap();
    let store = storage.find_store(&OpenStore::default()).unwrap();
    assert_eq!(get(&store, "k").unwrap(), "v");
    assert!(matches!(store.set_value(&key("k"), "new", None), Err(Error::ReadOnly)));
    assert!(matches!(store.purge(), Err(Error::ReadOnly)));
    assert!(matches!(store.drop_store(), Err(Error::ReadOnly)));
    assert!(matches!(store.delete_value(&key("k")), Err(Error::ReadOnly)));
    storage.write_back().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(&store_dir).unwrap().count(), 1);
}

#[test]
fn p19_sub_directories_that_a_dead_purge_cannot_give_back_are_kept() {
    let dir = temp_dir();
    let store_dir = dir.path().join("key_value_stores/default");
    // A process died in a purge, and somebody has made a directory of the same name in the store since.
    let purge_box = dir.path().join(".storefs/1-00000000/0");
    for sub in [store_dir.join("sub"), purge_box.join("records/sub")] {
        fs::create_dir_all(&sub).unwrap();
        fs::write(sub.join("file"), "kept").unwrap();
    }
    let old = fs::metadata(purge_box.join("records")).unwrap().ino();
    let label = json!({
        "store": "default", "js3": false, "inputKey": "INPUT", "old": old, "linked": {},
    });
    symlink(label.to_string(), purge_box.join("purge")).unwrap();
    let storage = in_directory(dir.path());
    set(&default_store(&storage), "k", "v");
    assert!(storage.heal().is_err(), "it is said each time");
    drop(storage);
    assert_eq!(fs::read_to_string(purge_box.join("records/sub/file")).unwrap(), "kept");

    fs::rename(store_dir.join("sub"), store_dir.join("other")).unwrap();
    let storage = in_directory(dir.path());
    storage.heal().unwrap();
    drop(storage);
    assert_eq!(fs::read_to_string(store_dir.join("sub/file")).unwrap(), "kept");
    assert_eq!(fs::read_dir(dir.path().join(".storefs")).unwrap().count(), 0);
}

/// How many bytes this thread has read from files so far.
fn bytes_read() -> u64 {
    let counters = fs::read_to_string("/proc/thread-self/io").unwrap();
    counters.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[test]
fn p10_a_large_hole_is_typed_without_being_read() {
    let dir = temp_dir();
    let store = default_store(&in_directory(dir.path()));
    for (name, begins, expected) in [
        ("nothing-known", "", "application/octet-stream"),
        ("declared.txt", "words", "text/plain; charset=utf-8"),
        ("broken.json", "[1, ", "application/octet-stream"),
        ("program", "\u{7f}ELF", "application/x-executable"),
    ] {
        // The second time it replaces a record that has a type.
        for _ in 0..2 {
            let staging = store.stage().unwrap();
            staging.write_at(begins.as_bytes(), 0).unwrap();
            staging.set_len(3 << 30).unwrap();
            let before = bytes_read();
            store.publish(&key(name), staging, &Default::default()).unwrap();
            let read = bytes_read() - before;
            assert!(read < 1 << 20, "{name}: {read} bytes were read");
            assert_eq!(type_of(&store, name), expected, "{name}");
        }
    }
    let before = bytes_read();
    store
        .rename_record(&key("nothing-known"), &store, &key("new.txt"), &Default::default())
        .unwrap();
    assert!(bytes_read() - before < 1 << 20);
}
