//! What a Rust program gets that uses the engine without a mount, and the programs in `examples`.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::SystemTime;

use storefs::Error;
use storefs::backend::memory::MemoryBackend;
use storefs::engine::{IterateKeys, OpenStore, Record, Storage, StorageOptions, Store, Value};
use storefs::model::{Attributes, ContentType, Key, Stamp, StoreName};

/// Variables that name the input key.
const VARIABLES: [&str; 3] = ["ACTOR_INPUT_KEY", "APIFY_INPUT_KEY", "CRAWLEE_INPUT_KEY"];

fn temp_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap()
}

fn in_memory() -> Store {
    let storage = Storage::with_backend(Arc::new(MemoryBackend::new()), None);
    storage.open_store(&OpenStore::default()).unwrap()
}

/// A store of a storage whose listing tells nothing but keys, and the directory that it is in.
fn in_directory() -> (tempfile::TempDir, Store) {
    let dir = temp_dir();
    let storage = Storage::open_directory(dir.path(), StorageOptions::default()).unwrap();
    (dir, storage.open_store(&OpenStore::default()).unwrap())
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn got(store: &Store, name: &str) -> Record {
    store.get_value(&key(name)).unwrap().unwrap()
}

#[test]
fn names_are_parsed_as_they_are_made() {
    assert_eq!(Key::try_from("a/b").unwrap(), Key::new("a/b").unwrap());
    assert_eq!(Key::try_from("a".to_owned()).unwrap(), "a".parse().unwrap());
    assert!(matches!("".parse::<Key>(), Err(Error::InvalidKey { .. })));
    assert!(matches!(Key::try_from(String::new()), Err(Error::InvalidKey { .. })));
    assert_eq!("default".parse::<StoreName>().unwrap(), StoreName::default_store());
    assert_eq!(StoreName::try_from("s").unwrap(), StoreName::try_from("s".to_owned()).unwrap());
    assert!(matches!(StoreName::try_from("a/b"), Err(Error::InvalidStoreName { .. })));
    assert_eq!("text/plain; charset=utf-8".parse::<ContentType>(), Ok(ContentType::text()));
    assert_eq!(ContentType::from("x/y"), ContentType::from("x/y".to_owned()));
}

#[test]
fn a_value_goes_in_and_comes_out_in_one_piece() {
    let store = in_memory();
    store.set_value(&key("text"), "h\u{e9}llo", None).unwrap();
    store.set_value(&key("bytes"), [1, 255], None).unwrap();
    store.set_value(&key("json"), b"{\"a\": [1, 2]}", None).unwrap();
    store.set_value(&key("empty"), Vec::new(), Some(&"application/x-none".into())).unwrap();
    assert_eq!(got(&store, "text").text().unwrap(), "h\u{e9}llo");
    assert_eq!(got(&store, "bytes").bytes().unwrap(), [1, 255]);
    let document: BTreeMap<String, Vec<u32>> = got(&store, "json").json().unwrap();
    assert_eq!(document, BTreeMap::from([("a".to_owned(), vec![1, 2])]));
    assert!(got(&store, "empty").bytes().unwrap().is_empty());
    assert_eq!(got(&store, "empty").content_type.as_str(), "application/x-none");

    let error = got(&store, "bytes").text().unwrap_err();
    assert_eq!(
        error.to_string(),
        "record 'bytes' is no text: invalid utf-8 sequence of 1 bytes from index 1"
    );
    let error = got(&store, "text").json::<u32>().unwrap_err();
    assert_eq!(error.to_string(), "record 'text' is no JSON: expected value at line 1 column 1");
    // Of the wrong shape for who asks.
    let error = got(&store, "json").json::<Vec<u32>>().unwrap_err();
    assert!(matches!(error, Error::Undecodable { .. }), "{error}");
}

/// A value of which only its length is looked at.
#[derive(Debug)]
struct Long(u64);

impl Value for Long {
    fn read_at(&self, _: &mut [u8], _: u64) -> storefs::Result<usize> {
        panic!("nobody may read so much at once")
    }

    fn attributes(&self) -> storefs::Result<Attributes> {
        let (size, now) = (self.0, SystemTime::UNIX_EPOCH);
        let stamp = Stamp { object: 1, size, modified_ns: 0, changed_ns: 0 };
        let (mode, uid, gid, blocks) = (0o644, 0, 0, 0);
        Ok(Attributes {
            size,
            blocks,
            links: 1,
            mode,
            uid,
            gid,
            accessed: now,
            modified: now,
            changed: now,
            stamp,
        })
    }
}

#[test]
fn a_value_that_is_too_long_for_one_piece_is_refused_before_it_is_read() {
    let of = |size| Record {
        key: key("k"),
        content_type: ContentType::bytes(),
        value: Arc::new(Long(size)),
    };
    for size in [Record::MOST_AT_ONCE + 1, u64::MAX] {
        let error = of(size).bytes().unwrap_err();
        assert!(matches!(error, Error::ValueTooLarge { size: told, .. } if told == size));
        assert!(of(size).json::<u32>().is_err() && of(size).text().is_err());
    }
}

#[test]
fn keys_come_in_order_with_types_and_sizes() {
    let store = in_memory();
    for number in (0..50).rev() {
        store.set_value(&key(&format!("k{number:02}")), vec![b'x'; number], None).unwrap();
    }
    store.set_value(&key("z"), "[]", None).unwrap();
    let listed = |query: &IterateKeys| -> Vec<String> {
        store.keys(query).map(|record| record.unwrap().key.to_string()).collect()
    };
    let all = listed(&IterateKeys::default());
    assert_eq!(all.len(), 51);
    assert!(all.is_sorted());
    let query = IterateKeys {
        prefix: Some("k".to_owned()),
        exclusive_start_key: Some(key("k41")),
        limit: Some(3),
    };
    assert_eq!(listed(&query), ["k42", "k43", "k44"]);
    assert_eq!(listed(&IterateKeys { limit: Some(0), ..query }), [""; 0]);
    let last = store.keys(&IterateKeys::default()).last().unwrap().unwrap();
    assert_eq!((last.key, last.content_type, last.size), (key("z"), ContentType::json(), 2));
}

#[test]
fn keys_pass_over_what_is_deleted_and_give_as_many_as_are_wanted() {
    let (_dir, store) = in_directory();
    for name in ["a", "b", "c", "d", "e"] {
        store.set_value(&key(name), "v", None).unwrap();
    }
    let mut keys = store.keys(&IterateKeys { limit: Some(3), ..IterateKeys::default() });
    assert_eq!(keys.next().unwrap().unwrap().key, key("a"));
    store.delete_value(&key("b")).unwrap();
    let rest: Vec<Key> = keys.map(|record| record.unwrap().key).collect();
    assert_eq!(rest, ["c", "d"].map(key));
}

/// Deleted since it was told, a record is given all the same; of a store that is gone there is nothing to be told.
#[test]
fn keys_that_the_listing_tells_are_as_they_were_when_it_was_read() {
    let store = in_memory();
    for name in ["a", "b", "c"] {
        store.set_value(&key(name), "v", None).unwrap();
    }
    let mut keys = store.keys(&IterateKeys::default());
    assert_eq!(keys.next().unwrap().unwrap().key, key("a"));
    store.delete_value(&key("b")).unwrap();
    assert_eq!(keys.map(|record| record.unwrap().key).collect::<Vec<_>>(), ["b", "c"].map(key));
    store.drop_store().unwrap();
    let mut keys = store.keys(&IterateKeys::default());
    assert!(matches!(keys.next(), Some(Err(Error::NoSuchStore { .. }))));
    assert!(keys.next().is_none());
}

#[test]
fn keys_of_many_records_take_one_look_at_the_names() {
    let store = in_memory();
    for number in 0..3000 {
        store.set_value(&key(&format!("k{number}")), "v", None).unwrap();
    }
    let mut keys = store.keys(&IterateKeys::default());
    assert_eq!(keys.next().unwrap().unwrap().key, key("k0"));
    // A second look would find it.
    store.set_value(&key("last"), "v", None).unwrap();
    assert_eq!(keys.count(), 2999);
}

#[test]
fn keys_of_a_store_that_goes_end_with_its_error() {
    let (_dir, store) = in_directory();
    store.set_value(&key("a"), "v", None).unwrap();
    store.set_value(&key("b"), "v", None).unwrap();
    let mut keys = store.keys(&IterateKeys::default());
    assert!(keys.next().unwrap().is_ok());
    store.drop_store().unwrap();
    for mut keys in [keys, store.keys(&IterateKeys::default())] {
        assert!(matches!(keys.next(), Some(Err(Error::NoSuchStore { .. }))));
        assert!(keys.next().is_none());
    }
}

#[test]
fn errors_speak_of_the_storage_and_not_of_a_command_line() {
    let (store, key, reason) = (String::new, String::new, String::new);
    let source = || std::io::Error::from(std::io::ErrorKind::Other);
    let name = String::new;
    for error in [
        Error::NoSuchStore { store: store() },
        Error::NoSuchStoreId { id: name() },
        Error::NoSuchRecord { store: store(), key: key() },
        Error::StoreExists { store: store() },
        Error::RecordExists { store: store(), key: key() },
        Error::InvalidStoreName { name: name(), reason: "" },
        Error::InvalidKey { key: key(), reason: "" },
        Error::NotUnicode { name: name() },
        Error::NameTooLong { name: name(), limit: 1 },
        Error::AmbiguousOpen { given: name() },
        Error::DamagedMetadata { store: store(), reason: reason() },
        Error::ValueTooLarge { key: key(), size: 2, limit: 1 },
        Error::Undecodable { key: key(), wanted: "text", source: source().into() },
        Error::ReadOnly,
        Error::Io { action: name(), source: source() },
    ] {
        let text = error.to_string();
        assert!(!text.contains("storefs") && !text.contains("--"), "{text}");
    }
}

#[test]
fn p16_the_library_asks_the_environment_only_if_told_to() {
    const NAME: &str = "p16_the_library_asks_the_environment_only_if_told_to";
    if env::var(VARIABLES[0]).as_deref() != Ok("other") {
        // Once more in a process of its own, where the variable is set.
        let mut child = Command::new(env::current_exe().unwrap());
        let output = child.args(["--exact", NAME]).env(VARIABLES[0], "other").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let dir = temp_dir();
    let open = |options| Storage::open_directory(dir.path(), options).unwrap();
    assert_eq!(open(StorageOptions::default()).input_key(), "INPUT");
    assert_eq!(open(StorageOptions::from_env()).input_key(), "other");
    let in_memory = Storage::with_backend(Arc::new(MemoryBackend::new()), None);
    assert_eq!(in_memory.input_key(), "INPUT");
}

/// Where cargo puts an example, which it builds with the tests, unless it was asked for one test program only.
fn example(name: &str) -> PathBuf {
    let tests = env::current_exe().unwrap();
    let path = tests.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.is_file(), "'{}' is not built: cargo build --examples", path.display());
    path
}

fn run(name: &str, storage: &Path, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(example(name));
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    let command = command.arg(storage).envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn the_examples_write_list_and_purge() {
    let dir = temp_dir();
    let written = run("read_and_write", dir.path(), &[]);
    assert_eq!(
        written,
        "OUTPUT: {\"pages\":3,\"title\":\"storefs\"}\n\
         page.html: <p>hello</p>\n\
         raw: 2 bytes of application/x-raw\n\
         large: 1048576 bytes of text/plain; charset=utf-8\n\
         absent: none\n"
    );
    let listed = run("list_keys", dir.path(), &[]);
    assert_eq!(
        listed,
        "default\tOUTPUT\tapplication/json; charset=utf-8\t29\n\
         default\tlarge\ttext/plain; charset=utf-8\t1048576\n\
         default\tpage.html\ttext/html; charset=utf-8\t12\n\
         default\traw\tapplication/x-raw\t2\n"
    );
    let purged = run("purge", dir.path(), &[(VARIABLES[0], "OUTPUT")]);
    assert_eq!(purged, "removed: 3\nspared: OUTPUT\n");
    let purged = run("purge", dir.path(), &[]);
    assert_eq!(purged, "removed: 1\n");
}
