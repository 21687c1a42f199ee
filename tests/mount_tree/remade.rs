//! A storage that is removed and made anew under its mount, as crawlers do between two runs.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{METADATA, TempMount, TempStorage, can_mount, names, sh, wait_until};
use crate::help::{errno, is_root, storage_of, write};

fn status(mount: &TempMount) -> Value {
    serde_json::from_slice(&fs::read(mount.path().join("@status")).unwrap()).unwrap()
}

/// Removes the storage and makes it anew with a store that holds other records.
fn make_anew(storage: &TempStorage) {
    sh("rm -r storage", storage.beside());
    let other = storage_of(&["second"]);
    sh(&format!("cp -a {}/. storage", other.path().display()), storage.beside());
}

#[test]
fn a_storage_that_is_made_anew_is_shown_by_the_same_mount() {
    if !can_mount() {
        return;
    }
    for options in [&[][..], &["--read-only"], &["--show-sidecars"], &["--ttl", "0"]] {
        let storage = storage_of(&["first"]);
        let mount = TempMount::with_options(&storage, options);
        let store = mount.store("default");
        for round in 0..3 {
            assert!(names(&mount.stores()).contains("default"), "{options:?} {round}");
            wait_until("the records are those of now", || {
                let old = if round == 0 { "first" } else { "second" };
                fs::read_to_string(store.join(old)).is_ok_and(|text| text == old)
            });
            if options != ["--read-only"] {
                write(&store.join("k"), "written").unwrap();
                assert_eq!(
                    fs::read_to_string(storage.store("default").join("k")).unwrap(),
                    "written"
                );
            }
            make_anew(&storage);
            wait_until("the new storage is shown", || {
                names(&mount.stores()).contains("default") && names(&store).contains("second")
            });
            assert!(!names(&store).contains("k"), "{options:?} {round}");
            assert!(fs::metadata(store.join("first")).is_err());
        }
        assert!(mount.log().matches("made anew").count() <= 3, "{}", mount.log());
    }
}

#[test]
fn p02_the_watch_follows_a_storage_that_is_made_anew() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["first"]);
    let mount = TempMount::with_options(&storage, &["--ttl", "3600"]);
    let store = mount.store("default");
    assert_eq!(fs::read_to_string(store.join("first")).unwrap(), "first");
    make_anew(&storage);
    wait_until("the new record is there", || store.join("second").exists());
    // What others change from now on is told, not found out when an hour has passed.
    wait_until("the store is watched", || {
        let _ = fs::read(store.join("second"));
        status(&mount)["watch"]["watches"].as_u64().is_some_and(|watches| watches >= 3)
    });
    for round in 0..5 {
        let text = "x".repeat(round + 1);
        fs::write(storage.store("default").join("second.new"), &text).unwrap();
        fs::rename(
            storage.store("default").join("second.new"),
            storage.store("default").join("second"),
        )
        .unwrap();
        wait_until("stat tells of it", || {
            fs::metadata(store.join("second")).is_ok_and(|found| found.len() == text.len() as u64)
        });
    }
}

#[test]
fn a_writer_of_a_storage_that_is_gone_is_told_and_the_next_one_serves_the_new_one() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["first"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    write(&store.join("k"), "x").unwrap();
    let open = fs::File::create(store.join("open")).unwrap();
    sh("rm -r storage", storage.beside());
    assert!(crate::help::close(open).is_err());
    assert!(write(&store.join("k"), "y").is_err());
    fs::create_dir(storage.path()).unwrap();
    // Empty as yet: a storage is made by whoever writes first.
    wait_until("it is empty", || names(&mount.stores()).is_empty());
    fs::create_dir(mount.store("made")).unwrap();
    write(&mount.store("made").join("k"), "x").unwrap();
    assert_eq!(
        names(&storage.store("made")),
        ["k".to_owned(), format!("k.{METADATA}"), METADATA.to_owned()].into()
    );
}

#[test]
fn p18_a_strangers_directory_is_not_taken_for_the_storage() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["first"]);
    sh("chown -R 1:1 storage", storage.beside());
    let mount = TempMount::new(&storage);
    assert!(names(&mount.stores()).contains("default"));
    sh(
        "rm -r storage; mkdir -p storage/key_value_stores/planted; chown -R 2:2 storage",
        storage.beside(),
    );
    assert!(fs::metadata(mount.store("planted")).is_err());
    assert!(fs::read_dir(mount.stores()).and_then(|mut listed| listed.next().transpose()).is_err());
    sh("chown -R 1:1 storage", storage.beside());
    wait_until("its owner has it back", || Path::new(&mount.store("planted")).exists());
    let _ = errno(fs::create_dir(mount.store("planted")));
}
