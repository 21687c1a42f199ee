//! `@purge` in datasets and request queues (P13, P14, P15). What the SDKs find afterwards is tested with them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use rustix::io::Errno;
use serde_json::{Value, json};

use crate::common::staged;
use crate::common::{METADATA, TempMount, TempStorage, can_mount, names, sh, try_sh, wait_until};
use crate::help::{LONG_AGO, close, errno, put, storage_of, write};

/// A storage with a dataset of so many items, and a file that is none.
fn dataset(items: u32) -> TempStorage {
    let storage = storage_of(&[]);
    let dir = storage.path().join("datasets/default");
    fs::create_dir_all(dir.join("directory")).unwrap();
    for item in 1..=items {
        fs::write(dir.join(format!("{item:09}.json")), "{}").unwrap();
    }
    fs::write(dir.join("note.txt"), "stays").unwrap();
    let metadata = json!({
        "id": "HvTUFIxMPIib09NEi",
        "name": null,
        "accessed_at": LONG_AGO,
        "created_at": LONG_AGO,
        "modified_at": LONG_AGO,
        "item_count": items,
        "own": [1],
    });
    fs::write(dir.join(METADATA), metadata.to_string()).unwrap();
    storage
}

fn left() -> BTreeSet<String> {
    ["directory", "note.txt", METADATA].map(String::from).into()
}

fn metadata(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join(METADATA)).unwrap()).unwrap()
}

#[test]
fn p13_items_go_and_the_rest_stays_however_many_there_are() {
    if !can_mount() {
        return;
    }
    for (items, options) in [(3, &[][..]), (3000, &[]), (3, &["--show-sidecars"])] {
        let storage = dataset(items);
        let mount = TempMount::with_options(&storage, options);
        let (dir, disk) =
            (mount.path().join("datasets/default"), storage.path().join("datasets/default"));
        let mut reader = File::open(dir.join("000000001.json")).unwrap();
        sh("echo 1 > @purge", &dir);
        wait_until("what a large dataset keeps is given back", || names(&dir) == left());
        wait_until("what was purged is removed", || staged(&storage.path()).is_empty());
        assert_eq!(names(&disk), left());
        let after = metadata(&disk);
        assert_eq!((&after["item_count"], &after["own"]), (&0.into(), &json!([1])));
        assert_eq!(after["created_at"], LONG_AGO);
        assert_eq!(after["accessed_at"], after["modified_at"]);
        assert!(after["modified_at"].as_str().unwrap() > LONG_AGO);
        let report: Value = serde_json::from_slice(&fs::read(dir.join("@purge")).unwrap()).unwrap();
        assert_eq!((&report["removed"], &report["spared"]), (&items.into(), &json!([])));
        // Who reads goes on, and the next item is the first.
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "{}");
        assert_eq!(errno(File::open(dir.join("000000001.json"))), Errno::NOENT);
        write(&dir.join("000000001.json"), "{}").unwrap();
        assert!(disk.join("000000001.json").exists());
    }
}

#[test]
fn p15_only_a_one_purges_a_dataset_or_a_queue() {
    if !can_mount() {
        return;
    }
    let storage = dataset(2);
    let queue = storage.path().join("request_queues/default");
    fs::create_dir_all(&queue).unwrap();
    fs::write(queue.join("a.json"), "{}").unwrap();
    let mount = TempMount::new(&storage);
    for kind in ["datasets/default", "request_queues/default"] {
        let dir = mount.path().join(kind);
        let before = names(&dir);
        assert!(!before.contains("@purge"));
        for text in ["", "0", "1 ", "11", "true", "1\n\n", "\n1"] {
            let written = write(&dir.join("@purge"), text);
            assert_eq!(
                written.map_err(|error| error.raw_os_error()),
                match text {
                    "" => Ok(()),
                    _ => Err(Some(Errno::INVAL.raw_os_error())),
                }
            );
        }
        sh(
            "touch @purge; : > @purge; cat @purge; grep -r purge . || true; cp -r . ../copy; rm -r ../copy",
            &dir,
        );
        assert!(!try_sh("rm @purge", &dir).status.success());
        assert_eq!(names(&dir), before);
        sh("echo 1 > @purge", &dir);
        let json: Vec<_> = names(&dir).into_iter().filter(|name| name.ends_with(".json")).collect();
        assert!(json.iter().all(|name| name == METADATA), "{json:?}");
        assert!(!storage.path().join(kind).join("@purge").exists());
    }
    assert!(!queue.join(METADATA).exists(), "a queue of Crawlee JS 3 gets no metadata");
}

#[test]
fn p06_who_writes_an_item_of_a_purged_dataset_goes_on_without_a_name() {
    if !can_mount() {
        return;
    }
    let storage = dataset(1);
    let mount = TempMount::new(&storage);
    let dir = mount.path().join("datasets/default");
    let mut item = File::options().append(true).open(dir.join("000000001.json")).unwrap();
    let mut note = File::options().append(true).open(dir.join("note.txt")).unwrap();
    item.write_all(b"more").unwrap();
    note.write_all(b" here").unwrap();
    sh("echo 1 > @purge", &dir);
    item.write_all(b"and more").unwrap();
    close(item).unwrap();
    close(note).unwrap();
    assert_eq!(names(&dir), left());
    assert_eq!(fs::read_to_string(dir.join("note.txt")).unwrap(), "stays here");
}

/// Both are called `default`.
#[test]
fn p13_a_store_of_the_same_name_is_not_purged_with_a_dataset() {
    if !can_mount() {
        return;
    }
    let storage = dataset(1);
    put(&storage, "default", "record", "value");
    let mount = TempMount::new(&storage);
    sh("echo 1 > @purge", &mount.path().join("datasets/default"));
    assert!(mount.store("default").join("record").exists());
    sh("echo 1 > @purge", &mount.store("default"));
    assert!(!mount.store("default").join("record").exists());
    assert_eq!(names(&mount.path().join("datasets/default")), left());
}
