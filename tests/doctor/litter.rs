//! What others left, and what is no file at all.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};

use crate::common::STORES;
use crate::{OLD, age, found, path, put, record, storage};

#[test]
fn old_temporaries_go_and_young_ones_are_somebodys() {
    let storage = storage();
    let names = [
        ".tmp.AbCdEf012345",
        "__metadata__.json.dujmjj8q.json.tmp",
        "obj.__metadata__.json.ry2876og.json.tmp",
        "obj.k_hldysl.tmp",
        "page.html.rymqlxwm.html.tmp",
    ];
    for name in names {
        put(&storage, name, b"half");
    }
    // A record may have such a name, and then has a sidecar.
    record(&storage, "key.k_hldysl.tmp", "text/plain", b"whole");
    age(&path(&storage, "key.k_hldysl.tmp"), OLD);
    assert_eq!(found(&storage, &["--repair"]), [""; 0]);
    assert!(names.iter().all(|name| path(&storage, name).exists()));

    for name in names {
        age(&path(&storage, name), OLD);
    }
    let expected = |state: &str| names.map(|name| format!("{name} temporary {state}"));
    assert_eq!(found(&storage, &[]), expected("repairable"));
    assert_eq!(found(&storage, &["--repair"]), expected("repaired"));
    assert!(names.iter().all(|name| !path(&storage, name).exists()));
    assert!(path(&storage, "key.k_hldysl.tmp").exists());
}

#[test]
fn old_locks_of_js3_go() {
    let storage = storage();
    let lock = path(&storage, "good.lock");
    fs::create_dir(&lock).unwrap();
    assert_eq!(found(&storage, &["--repair"]), [""; 0], "Crawlee JS 3 may be writing");
    age(&lock, OLD);
    assert_eq!(found(&storage, &[]), ["good.lock lock repairable"]);
    assert_eq!(found(&storage, &["--repair"]), ["good.lock lock repaired"]);
    assert!(!lock.exists());

    fs::create_dir(&lock).unwrap();
    fs::write(lock.join("file"), "x").unwrap();
    age(&lock, OLD);
    assert_eq!(found(&storage, &["--repair"]), ["good.lock sub-directory left"]);
    assert!(lock.join("file").exists());
}

#[test]
fn what_js3_left_of_a_purge_is_told_once() {
    let storage = storage();
    for name in
        ["__CRAWLEE_TEMPORARY_0__", "__OLD_DEFAULT_0__", "__CRAWLEE_MIGRATING_KEY_VALUE_STORE__"]
    {
        let store = storage.store(name);
        fs::create_dir(&store).unwrap();
        fs::write(store.join("a.jpg"), "x").unwrap();
        let expected = [format!("{name} - purge-leftover left")];
        assert_eq!(found(&storage, &[]), expected);
        assert_eq!(found(&storage, &[name, "--repair"]), expected);
        assert!(store.join("a.jpg").exists());
        fs::remove_dir_all(store).unwrap();
    }
}

#[test]
fn p18_p19_links_pipes_and_directories_are_told_and_never_followed() {
    let storage = storage();
    let outside = storage.beside().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "secret").unwrap();
    symlink(outside.join("file"), path(&storage, "link")).unwrap();
    symlink(outside.join("gone"), path(&storage, "link-to-nothing")).unwrap();
    symlink(&outside, path(&storage, "link-to-directory")).unwrap();
    // In the place of a sidecar.
    put(&storage, "bare", b"x");
    symlink(outside.join("file"), path(&storage, "bare.__metadata__.json")).unwrap();
    fs::create_dir(path(&storage, "dir")).unwrap();
    let pipe = path(&storage, "pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    let _socket = UnixListener::bind(path(&storage, "socket")).unwrap();
    let expected = [
        "bare bare-file left",
        "bare.__metadata__.json link left",
        "dir sub-directory left",
        "link link left",
        "link-to-directory link left",
        "link-to-nothing link left",
        "pipe special-file left",
        "socket special-file left",
    ];
    assert_eq!(found(&storage, &[]), expected);
    assert_eq!(found(&storage, &["--repair"]), expected);
    assert_eq!(fs::read(outside.join("file")).unwrap(), b"secret");
    assert!(path(&storage, "bare.__metadata__.json").is_symlink());
}

#[test]
fn a_second_name_of_a_value_is_a_note_and_no_fault() {
    let storage = storage();
    fs::hard_link(path(&storage, "good"), storage.beside().join("copy")).unwrap();
    assert_eq!(found(&storage, &[]), ["good hard-link note"]);
    assert_eq!(found(&storage, &["--repair"]), ["good hard-link note"]);
}

#[test]
fn what_is_in_the_place_of_a_store_and_is_none_is_told() {
    let storage = storage();
    let stores = storage.path().join(STORES);
    let odd = stores.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"a\xff"));
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("x"), "x").unwrap();
    fs::write(stores.join("file"), "x").unwrap();
    symlink(storage.beside(), stores.join("link")).unwrap();
    let expected = [
        "- key_value_stores/a\u{fffd} foreign-store left",
        "- key_value_stores/file foreign-store left",
        "- key_value_stores/link link left",
    ];
    assert_eq!(found(&storage, &[]), expected);
    assert_eq!(found(&storage, &["--repair"]), expected);
    assert!(odd.join("x").exists() && stores.join("file").exists());
}

#[test]
fn what_dead_processes_of_storefs_left_is_told_and_removed() {
    let storage = storage();
    let private = storage.path().join(".storefs");
    let dead = private.join("1234-deadbeef");
    fs::create_dir_all(&dead).unwrap();
    fs::write(dead.join("0"), "half a value").unwrap();
    // Somebody who lives holds a lock.
    let live = private.join("1-00000000");
    fs::create_dir(&live).unwrap();
    let held = fs::File::open(&live).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();

    assert_eq!(found(&storage, &[]), ["- .storefs/1234-deadbeef abandoned repairable"]);
    assert!(dead.exists());
    assert_eq!(found(&storage, &["--repair"]), ["- .storefs/1234-deadbeef abandoned repaired"]);
    assert!(!dead.exists());
    let left: Vec<_> = fs::read_dir(&private).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [Path::new(&live)]);
}
