//! What others change is seen by stat (P2).

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::common::{METADATA, STORES, TempMount, names, storefs, wait_until};
use crate::{
    LONG, counter, make_store, make_trusted, replace, size, storage_of, wait_for_size, watched,
};

/// One name for each kind of change, since a name that has changed is not trusted for a while.
#[test]
fn p2_stat_follows_every_change_of_a_record_in_the_directory() {
    let all =
        ["replaced", "rewritten", "grown", "chmod", "dated", "deleted", "away", "over", "a b"];
    let storage = storage_of(&all);
    let Some(mount) = watched(&storage) else { return };
    let disk = storage.store("default");
    let store = mount.store("default");
    for name in all {
        make_trusted(&store.join(name));
    }
    replace(&storage, &disk.join("replaced"), "by rename");
    wait_for_size(&store.join("replaced"), Some(9));
    fs::write(disk.join("rewritten"), "in place").unwrap();
    wait_for_size(&store.join("rewritten"), Some(8));
    fs::OpenOptions::new().append(true).open(disk.join("grown")).unwrap().set_len(100).unwrap();
    wait_for_size(&store.join("grown"), Some(100));
    fs::set_permissions(disk.join("chmod"), fs::Permissions::from_mode(0o600)).unwrap();
    wait_until("the mode is seen", || {
        fs::metadata(store.join("chmod")).unwrap().permissions().mode() & 0o777 == 0o600
    });
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(disk.join("dated")).unwrap().set_modified(time).unwrap();
    wait_until("the time is seen", || {
        fs::metadata(store.join("dated")).unwrap().modified().unwrap() == time
    });
    fs::remove_file(disk.join("deleted")).unwrap();
    wait_for_size(&store.join("deleted"), None);
    fs::rename(disk.join("away"), disk.join("over")).unwrap();
    wait_for_size(&store.join("away"), None);
    wait_for_size(&store.join("over"), Some("away".len() as u64));
    // A bare file, under a name that no SDK would have given it.
    replace(&storage, &disk.join("a b"), "escaped");
    wait_for_size(&store.join("a b"), Some(7));
    assert!(counter(&mount, "epochs") > 0);
}

#[test]
fn p2_what_is_made_is_found_at_once_though_it_was_looked_for() {
    let storage = storage_of(&[]);
    let Some(mount) = watched(&storage) else { return };
    for round in 0..50 {
        let name = format!("r{round}");
        let record = mount.store("default").join(&name);
        assert_eq!(size(&record), None);
        replace(&storage, &storage.store("default").join(&name), "now");
        assert_eq!(size(&record), Some(3));
        let made = format!("s{round}");
        assert!(!mount.store(&made).exists());
        make_store(&storage.store(&made), &["k"]);
        assert_eq!(size(&mount.store(&made).join("k")), Some(1));
    }
}

#[test]
fn p2_stat_follows_a_store_that_is_replaced_dropped_or_made_again() {
    let storage = storage_of(&["a", "b"]);
    let Some(mount) = watched(&storage) else { return };
    let disk = storage.store("default");
    let store = mount.store("default");
    let away = storage.beside().join("away");
    // Crawlee JS 3's purge: the directory gets another name, and a new one takes its place.
    for value in ["x", "xx", "xxx", "xxxx"] {
        make_trusted(&store.join("a"));
        fs::rename(&disk, &away).unwrap();
        make_store(&disk, &[]);
        fs::write(disk.join("a"), value).unwrap();
        wait_for_size(&store.join("a"), Some(value.len() as u64));
        wait_for_size(&store.join("b"), None);
        // What is in the new directory is watched, and what is in the old one is nothing to us.
        fs::write(disk.join("b"), value).unwrap();
        make_trusted(&store.join("b"));
        replace(&storage, &disk.join("b"), "again");
        wait_for_size(&store.join("b"), Some(5));
        fs::remove_dir_all(&away).unwrap();
    }
    fs::remove_dir_all(&disk).unwrap();
    wait_until("the store is gone", || fs::metadata(&store).is_err());
    assert!(names(&mount.stores()).is_empty());
    make_store(&disk, &["a"]);
    wait_for_size(&store.join("a"), Some(1));
}

#[test]
fn p2_stat_follows_the_directory_of_all_stores() {
    let storage = storage_of(&["a"]);
    let Some(mount) = watched(&storage) else { return };
    let stores = storage.path().join(STORES);
    make_trusted(&mount.store("default").join("a"));
    fs::rename(&stores, storage.beside().join("away")).unwrap();
    wait_until("all stores are gone", || fs::metadata(mount.store("default")).is_err());
    make_store(&storage.store("default"), &[]);
    fs::write(storage.store("default").join("a"), "another").unwrap();
    make_trusted(&mount.store("default").join("a"));
    assert_eq!(size(&mount.store("default").join("a")), Some(7));
    replace(&storage, &storage.store("default").join("a"), "one more");
    wait_for_size(&mount.store("default").join("a"), Some(8));
}

#[test]
fn p2_stat_follows_what_another_process_of_storefs_does() {
    let storage = storage_of(&["INPUT.json", "a", "b", "c"]);
    let Some(mount) = watched(&storage) else { return };
    let store = mount.store("default");
    let run = |words: &[&str]| {
        let output = storefs().args(words).arg("--source").arg(storage.path()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    };
    let value = storage.beside().join("value");
    fs::write(&value, "a long value").unwrap();
    for name in ["INPUT.json", "a", "b", "c"] {
        make_trusted(&store.join(name));
    }
    run(&["set", "default", "a", value.to_str().unwrap()]);
    wait_for_size(&store.join("a"), Some(12));
    run(&["rm", "default", "b"]);
    wait_for_size(&store.join("b"), None);
    run(&["purge", "default"]);
    wait_for_size(&store.join("c"), None);
    assert_eq!(size(&store.join("INPUT.json")), Some(10));
    run(&["rename", "default", "other"]);
    wait_until("the store has its new name", || {
        fs::metadata(&store).is_err() && size(&mount.store("other").join("INPUT.json")) == Some(10)
    });
    run(&["drop", "other"]);
    wait_until("the store is gone", || fs::metadata(mount.store("other")).is_err());
}

#[test]
fn p2_two_mounts_see_each_other() {
    let storage = storage_of(&["a", "b"]);
    let Some(one) = watched(&storage) else { return };
    let other = TempMount::with_options(&storage, &LONG);
    let (here, there) = (one.store("default"), other.store("default"));
    for (from, to) in [(&here, &there), (&there, &here)] {
        for length in 1..20_usize {
            make_trusted(&to.join("a"));
            fs::write(from.join("a"), "x".repeat(length)).unwrap();
            wait_for_size(&to.join("a"), Some(length as u64));
        }
        fs::write(from.join("b"), "b").unwrap();
        make_trusted(&to.join("b"));
        fs::remove_file(from.join("b")).unwrap();
        wait_for_size(&to.join("b"), None);
    }
    fs::write(here.join("b"), "b").unwrap();
    make_trusted(&there.join("b"));
    fs::write(here.join("@purge"), "1").unwrap();
    wait_for_size(&there.join("b"), None);
}

#[test]
fn p18_a_store_that_becomes_a_link_is_neither_shown_nor_watched() {
    let storage = storage_of(&["k"]);
    let outside = storage.beside().join("outside");
    make_store(&outside, &["k"]);
    let Some(mount) = watched(&storage) else { return };
    let store = mount.store("default");
    make_trusted(&store.join("k"));
    assert_eq!(counter(&mount, "watches"), 3);
    fs::rename(storage.store("default"), storage.beside().join("away")).unwrap();
    symlink(&outside, storage.store("default")).unwrap();
    wait_for_size(&store.join("k"), None);
    assert_eq!(counter(&mount, "watches"), 2, "of the source and its stores");
    assert!(fs::metadata(&store).is_err());
    assert_eq!(counter(&mount, "watches"), 2);
}

#[test]
fn p2_metadata_that_appears_changes_what_names_mean() {
    let storage = storage_of(&[]);
    let disk = storage.store("default");
    fs::remove_file(disk.join(METADATA)).unwrap();
    // The layout of Crawlee JS 3, which keeps `.jpg` under a name of its own.
    fs::write(disk.join("page.html"), "x").unwrap();
    fs::write(disk.join("pic.jpg.bin"), "jpg").unwrap();
    let Some(mount) = watched(&storage) else { return };
    let store = mount.store("default");
    make_trusted(&store.join("pic.jpg"));
    give_metadata(&disk);
    wait_for_size(&store.join("pic.jpg"), None);
    wait_for_size(&store.join("pic.jpg.bin"), Some(3));
}

fn give_metadata(disk: &Path) {
    make_store(disk, &[]);
}
