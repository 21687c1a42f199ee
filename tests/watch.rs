//! A mount whose storage is watched: names and attributes are trusted for an hour, and changes made beside the
//! mount are seen all the same.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

#[path = "watch/bounds.rs"]
mod bounds;
#[cfg(feature = "sqlite")]
#[path = "watch/database.rs"]
mod database;
#[path = "watch/own.rs"]
mod own;
#[path = "watch/seen.rs"]
mod seen;
#[path = "watch/storm.rs"]
mod storm;

use std::fs;
use std::path::Path;

use common::{METADATA, TempMount, TempStorage, can_mount, skipped, wait_until};
use serde_json::{Value, json};

/// Far longer than anything is waited for, so that what is seen was told.
const LONG: [&str; 2] = ["--ttl", "3600"];

/// A storage with a store `default` of bare files, each of which holds its name.
fn storage_of(names: &[&str]) -> TempStorage {
    let storage = TempStorage::empty();
    make_store(&storage.store("default"), names);
    storage
}

fn make_store(directory: &Path, names: &[&str]) {
    fs::create_dir_all(directory).unwrap();
    let time = "2026-01-01T00:00:00.000Z";
    let metadata = json!({"id": "id", "name": null, "accessedAt": time, "createdAt": time, "modifiedAt": time});
    fs::write(directory.join(METADATA), metadata.to_string()).unwrap();
    for name in names {
        fs::write(directory.join(name), name).unwrap();
    }
}

/// A mount that watches its storage, if this machine can do that.
fn watched(storage: &TempStorage) -> Option<TempMount> {
    if !can_mount() {
        return None;
    }
    let mount = TempMount::with_options(storage, &LONG);
    let status = status(&mount);
    if status["watching"] != true {
        let reason = status["watch"]["reason"].as_str().unwrap();
        assert!(reason.contains("kernel"), "not watched: {reason}");
        skipped(reason);
        return None;
    }
    Some(mount)
}

fn status(mount: &TempMount) -> Value {
    serde_json::from_slice(&fs::read(mount.path().join("@status")).unwrap()).unwrap()
}

/// A counter of the watch.
fn counter(mount: &TempMount, name: &str) -> u64 {
    status(mount)["watch"][name].as_u64().unwrap()
}

fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.len())
}

/// Replaces a file by rename, as an SDK does.
fn replace(storage: &TempStorage, file: &Path, value: &str) {
    let staged = storage.beside().join("staged");
    fs::write(&staged, value).unwrap();
    fs::rename(staged, file).unwrap();
}

/// Looks at a file until the kernel answers by itself: a name that has just changed is asked for each time.
fn make_trusted(path: &Path) {
    for _ in 0..3 {
        fs::metadata(path).unwrap();
    }
}

#[track_caller]
fn wait_for_size(path: &Path, expected: Option<u64>) {
    wait_until(&format!("{} is {expected:?} bytes long", path.display()), || {
        size(path) == expected
    });
}
