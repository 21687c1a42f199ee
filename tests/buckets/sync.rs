//! Import and export by the programs that people have: `aws s3 sync` and rclone, with the file clients of Crawlee on what
//! was brought home.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{METADATA, TempMount, TempStorage, can_mount, fixture, mime_type, names, tree};
use crate::database::{Database, STORE};
use crate::sdk::{Js, Python, assert_no_litter, bytes, hex, object, text};

/// Records by name: bytes and type, which the metadata has none of.
type Records = BTreeMap<String, (Vec<u8>, Option<String>)>;

/// What a mount shows of all stores.
fn shown(stores: &Path) -> BTreeMap<String, Records> {
    let of = |store: &str| {
        let dir = stores.join(store);
        let records = names(&dir).into_iter().map(|name| {
            let path = dir.join(&name);
            let content_type = (name != METADATA).then(|| mime_type(&path));
            let value = fs::read(&path).unwrap();
            // Times of reading are those of each mount.
            let value = if name == METADATA { identity(&value) } else { value };
            (name, (value, content_type))
        });
        records.collect()
    };
    names(stores).into_iter().map(|store| (store.clone(), of(&store))).collect()
}

/// What of a store's metadata says which store it is.
fn identity(metadata: &[u8]) -> Vec<u8> {
    let metadata: Value = serde_json::from_slice(metadata).unwrap_or_default();
    // In either spelling, with a space or a T.
    let created = metadata.get("createdAt").or(metadata.get("created_at")).and_then(Value::as_str);
    let created = created.map(|time| time.replace(' ', "T"));
    json!([metadata["id"], metadata["name"], created]).to_string().into_bytes()
}

/// Trees of each client, as they are on a disk and as a program has taken them to a bucket, are the same storage.
#[track_caller]
fn is_the_same_storage(bring: impl Fn(&Database, &str)) {
    if !can_mount() {
        return;
    }
    for name in [
        "python/values",
        "python/odd-keys",
        "js-v3/plain",
        "js-v3/with-metadata",
        "crawlee-storage-v4/values",
        "mixed/python-then-v4",
    ] {
        let Some(db) = Database::fresh() else { return };
        bring(&db, fixture(name).to_str().unwrap());
        let storage = TempStorage::of_fixture(name);
        let (on_disk, in_bucket) = (TempMount::new(&storage), db.mount());
        let (expected, found) = (shown(&on_disk.stores()), shown(&in_bucket.stores()));
        for (store, records) in &expected {
            for (record, held) in records {
                let found = found.get(store).and_then(|records| records.get(record));
                assert_eq!(found, Some(held), "{name}: {store}/{record}");
            }
        }
        assert_eq!(found.len(), expected.len(), "{name}");
        let more = |records: &BTreeMap<_, _>, there: &BTreeMap<_, _>| {
            records.keys().filter(|record| !there.contains_key(*record)).cloned().collect()
        };
        let more: Vec<Vec<_>> =
            found.iter().map(|(store, records)| more(records, &expected[store])).collect();
        assert!(found == expected, "{name}: there is more: {more:?}");
    }
}

#[test]
fn p11_p12_what_aws_takes_to_a_bucket_is_the_same_storage() {
    is_the_same_storage(|db, tree| drop(db.aws(&["s3", "sync", "--quiet", tree, &db.url()])));
}

#[test]
fn p11_p12_what_rclone_takes_to_a_bucket_is_the_same_storage() {
    is_the_same_storage(|db, tree| drop(db.rclone(&["copy", tree, &db.remote()])));
}

/// Datasets and queues lie in the bucket as in a directory, and are shown as there.
#[test]
fn datasets_and_queues_of_a_tree_are_shown_as_in_a_directory() {
    let Some(db) = Database::fresh() else { return };
    db.aws(&["s3", "sync", "--quiet", fixture("python/values").to_str().unwrap(), &db.url()]);
    let storage = TempStorage::of_fixture("python/values");
    let (on_disk, in_bucket) = (TempMount::new(&storage), db.mount());
    for directory in ["datasets", "request_queues"] {
        let expected = on_disk.path().join(directory);
        if expected.exists() {
            assert!(tree(&in_bucket.path().join(directory)) == tree(&expected), "{directory}");
        }
    }
}

/// Takes a bucket home by each program in turn.
#[track_caller]
fn brought_home(db: &Database, check: impl Fn(&TempStorage)) {
    let storage = TempStorage::empty();
    db.aws(&["s3", "sync", "--quiet", &db.url(), storage.path().to_str().unwrap()]);
    check(&storage);
    let storage = TempStorage::empty();
    db.rclone(&["copy", &db.remote(), storage.path().to_str().unwrap()]);
    check(&storage);
}

#[test]
fn p12_python_reads_what_was_written_here_and_brought_home() {
    let (Some(python), Some(db)) = (Python::find(), Database::fresh()) else { return };
    let mount = db.mount_with_store();
    let store = mount.store(STORE);
    let expected = [
        object("dict.json", json!({"a": 1, "\u{fc}": ["\u{17e}", null, 2.5]})),
        object("list", json!([1, {"b": true}])),
        text("text", "text/plain", "gr\u{fc}\u{df}e\nzwei"),
        text("page.html", "text/html", "<p>x</p>"),
        bytes("shot.png", "image/png", b"\x89PNG\r\n\x1a\n"),
        bytes("bytes", "application/octet-stream", b"\x00\xff\x01"),
        text("k ey \u{e9}%41", "text/plain", "odd"),
    ];
    let values: [&[u8]; 7] = [
        "{\"a\": 1, \"\u{fc}\": [\"\u{17e}\", null, 2.5]}".as_bytes(),
        b"[1, {\"b\": true}]",
        "gr\u{fc}\u{df}e\nzwei".as_bytes(),
        b"<p>x</p>",
        b"\x89PNG\r\n\x1a\n",
        b"\x00\xff\x01",
        b"odd",
    ];
    for (expected, value) in expected.iter().zip(values) {
        fs::write(store.join(expected.key), value).unwrap();
    }
    fs::write(store.join("gone"), "x").unwrap();
    fs::remove_file(store.join("gone")).unwrap();
    fs::write(store.join("was"), "moved").unwrap();
    fs::rename(store.join("was"), store.join("is")).unwrap();
    mount.unmount();
    brought_home(&db, |storage| {
        assert_no_litter(&storage.store(STORE));
        let read = python.dump(storage, STORE);
        assert_eq!(read.len(), expected.len() + 1, "{read:?}");
        for expected in &expected {
            expected.check(&read[expected.key]);
        }
        assert_eq!(read["is"]["value"], "moved");
        assert_eq!(
            names(&storage.path()),
            ["key_value_stores".to_owned()].into(),
            "nothing of ours"
        );
    });
}

#[test]
fn p12_javascript_reads_what_was_written_here_and_brought_home() {
    let (Some(js), Some(db)) = (Js::find(), Database::fresh()) else { return };
    db.aws(&["s3", "sync", "--quiet", fixture("js-v3/plain").to_str().unwrap(), &db.url()]);
    let mount = db.mount();
    let store = mount.store("kinds");
    let before = names(&store).len();
    fs::write(store.join("fresh.json"), "{\"n\":1}").unwrap();
    fs::write(store.join("words.txt"), "text").unwrap();
    fs::write(store.join("photo.jpg"), b"\xff\xd8\xff").unwrap();
    fs::remove_file(store.join("note.txt")).unwrap();
    mount.unmount();
    brought_home(&db, |storage| {
        let found = names(&storage.store("kinds"));
        assert!(!found.iter().any(|name| name.ends_with(METADATA)), "{found:?}");
        let records = js.dump(storage, "kinds");
        assert_eq!(records.len(), before + 2, "{records:?}");
        assert_eq!(records["fresh"]["value"], json!({"n": 1}));
        assert_eq!(records["words"]["value"], "text");
        // An extension that this layout does not have is a part of the key.
        assert_eq!(records["photo.jpg"]["hex"], hex(b"\xff\xd8\xff"));
    });
}

/// The other way round: `storefs copy` brings a directory to a bucket and back, with all that it keeps.
#[test]
fn p11_copy_brings_a_storage_there_and_back() {
    let Some(db) = Database::fresh() else { return };
    let storage = TempStorage::of_fixture("python/values");
    let back = TempStorage::empty();
    let copy = |from: &str, to: &str| {
        let mut command = crate::common::storefs();
        command.args(["copy", "--source", from, "--to", to]).envs(db.place.variables());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let path = |storage: &TempStorage| storage.path().display().to_string();
    copy(&path(&storage), &db.url());
    copy(&path(&storage), &db.url());
    copy(&db.url(), &path(&back));
    let (first, second) = (TempMount::new(&storage), TempMount::new(&back));
    assert!(shown(&first.stores()) == shown(&second.stores()));
}
