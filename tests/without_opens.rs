//! Read-only mounts of a watched storage, in which the kernel opens files without asking.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

#[path = "without_opens/bounds.rs"]
mod bounds;
#[path = "without_opens/changes.rs"]
mod changes;
#[path = "without_opens/texts.rs"]
mod texts;
#[path = "without_opens/versions.rs"]
mod versions;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{METADATA, TempMount, TempStorage, can_mount, clean_environment, skipped, storefs};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

/// A storage with a store `default` of these records.
fn storage_of(records: &[(&str, &[u8])]) -> TempStorage {
    let storage = TempStorage::empty();
    let time = "2026-01-01T00:00:00.000Z";
    let metadata = json!({"id": "id", "name": null, "accessedAt": time, "createdAt": time, "modifiedAt": time});
    fs::create_dir_all(storage.store("default")).unwrap();
    fs::write(storage.store("default").join(METADATA), metadata.to_string()).unwrap();
    for (name, value) in records {
        put(&storage, name, value, "text/plain; charset=utf-8");
    }
    storage
}

/// Sets a record as an SDK does: value and sidecar are each put in place in one step.
fn put(storage: &TempStorage, name: &str, value: &[u8], content_type: &str) {
    let sidecar = json!({"key": name, "contentType": content_type, "size": value.len()});
    replace(storage, name, value);
    replace(storage, &format!("{name}.{METADATA}"), sidecar.to_string().as_bytes());
}

/// Puts a file into the store in one step.
fn replace(storage: &TempStorage, name: &str, bytes: &[u8]) {
    let staged = storage.beside().join("staged");
    fs::write(&staged, bytes).unwrap();
    fs::rename(staged, storage.store("default").join(name)).unwrap();
}

/// A read-only mount, if it can be served without opens here.
fn mounted(storage: &TempStorage) -> Option<TempMount> {
    mounted_by(storage, storefs())
}

/// The same for a daemon that may have only so many files open.
fn mounted_with_few_files(storage: &TempStorage, files: u64) -> Option<TempMount> {
    let mut command = Command::new("prlimit");
    clean_environment(&mut command);
    command.arg(format!("--nofile={files}:{files}")).arg(env!("CARGO_BIN_EXE_storefs"));
    mounted_by(storage, command)
}

fn mounted_by(storage: &TempStorage, command: Command) -> Option<TempMount> {
    if !can_mount() {
        return None;
    }
    let mount = TempMount::by(command, &storage.path(), |command| {
        command.arg("--read-only");
    });
    if pinned(&mount).is_none() {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap(), numbers.next().unwrap());
        assert!(version < (6, 18), "not served without opens by {release}");
        skipped("this kernel cannot be told to let go of inodes");
        return None;
    }
    Some(mount)
}

fn status(mount: &TempMount) -> Value {
    serde_json::from_slice(&fs::read(mount.path().join("@status")).unwrap()).unwrap()
}

/// How many versions the daemon holds; `None` if it is asked to open files.
fn pinned(mount: &TempMount) -> Option<u64> {
    status(mount)["pinned"].as_u64()
}

/// How many files of the storage the daemon has open.
fn open_records(mount: &TempMount, storage: &TempStorage) -> usize {
    let store = storage.store("default");
    let opened = fs::read_dir(format!("/proc/{}/fd", mount.pid())).unwrap();
    let files = opened.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    files.filter(|file| file.starts_with(&store) && *file != store).count()
}

/// Held by whoever has the kernel of this machine forget names and inodes, and by a test under which nobody may.
fn caches() -> fs::File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("caches.lock");
    let lock = fs::File::create(path).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    lock
}

/// Has the kernel forget what it can: pages (1), names and inodes (2), or both (3).
fn drop_caches(what: u32) {
    let _held = (what > 1).then(caches);
    common::sh(&format!("echo {what} > /proc/sys/vm/drop_caches"), Path::new("/"));
}
