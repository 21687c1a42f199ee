//! `storefs copy`: from each kind of storage to each other, whole and with all that it keeps; again, and after it was
//! broken off; what a target cannot take; and what it must not touch.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

#[path = "copy/again.rs"]
mod again;
#[path = "copy/beside.rs"]
mod beside;
#[path = "copy/kinds.rs"]
mod kinds;
#[path = "copy/limits.rs"]
mod limits;
#[path = "copy/targets.rs"]
mod targets;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use storefs::engine::{OpenStore, Source, Storage, StorageOptions, Store};
use storefs::model::{ContentType, Key, StoreMetadata, StoreName};

#[cfg(feature = "postgres")]
use common::postgres;
use common::{TempStorage, sqlite, storefs, temp_dir};

/// What a storage holds: of each store its metadata, and of each record bytes and type.
type Held = BTreeMap<String, (StoreMetadata, BTreeMap<String, (Vec<u8>, String)>)>;

fn open(source: &str, read_only: bool) -> Storage {
    let source = Source::parse(source.as_ref()).unwrap();
    Storage::open(&source, StorageOptions { read_only, ..StorageOptions::default() }).unwrap()
}

fn held(source: &str) -> Held {
    let storage = open(source, true);
    let stores = storage.stores().unwrap();
    stores
        .iter()
        .map(|name| {
            let store = storage.store(name);
            let records = store.scan().unwrap().map(|listed| {
                let key = listed.unwrap().key;
                let record = store.get_value(&key).unwrap().unwrap();
                (key.to_string(), (record.bytes().unwrap(), record.content_type.to_string()))
            });
            (name.to_string(), (store.get_metadata().unwrap(), records.collect()))
        })
        .collect()
}

/// The keys of a store, and nothing of the records.
fn keys(source: &str, store: &str) -> Vec<String> {
    let store = open(source, true).store(&StoreName::new(store).unwrap());
    let mut keys: Vec<_> =
        store.scan().unwrap().map(|listed| listed.unwrap().key.to_string()).collect();
    keys.sort_unstable();
    keys
}

/// Makes a store, or opens it, and puts values into it.
fn fill(source: &str, store: &str, records: &[(&str, &[u8], &str)]) -> Store {
    let storage = open(source, false);
    let name = (store != "default").then(|| store.to_owned());
    let store = storage.open_store(&OpenStore { name, ..OpenStore::default() }).unwrap();
    for (key, value, content_type) in records {
        store
            .set_value(&Key::new(key).unwrap(), value, Some(&ContentType::new(content_type)))
            .unwrap();
    }
    storage.write_back().unwrap();
    store
}

fn copying(from: &str, to: &str, options: &[&str]) -> Command {
    let mut command = storefs();
    command.args(["copy", "--source", from, "--to", to]).args(options);
    command
}

fn copy(from: &str, to: &str, options: &[&str]) -> Output {
    copying(from, to, options).output().unwrap()
}

/// The sums over all stores: sent, same, removed, failed.
#[track_caller]
fn counts(output: &Output) -> [u64; 4] {
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    ["sent", "same", "removed", "failed"]
        .map(|field| rows.iter().map(|row| row[field].as_u64().unwrap()).sum())
}

fn complaints(output: &Output) -> Vec<String> {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    said.lines().map(str::to_owned).collect()
}

/// Copies all, and has everything go well. What it counted, as [`counts`].
#[track_caller]
fn copied(from: &str, to: &str, options: &[&str]) -> [u64; 4] {
    let output = copy(from, to, &[&["--json"], options].concat());
    assert_eq!(output.status.code(), Some(0), "{:?}", complaints(&output));
    counts(&output)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A database without stores, in a directory that goes with it.
fn database() -> (tempfile::TempDir, String) {
    let dir = temp_dir();
    let path = dir.path().join("crawlee.db");
    sqlite::make(&path);
    (dir, text(&path))
}

/// A storage directory with many records of 2 KiB.
fn many(records: usize) -> TempStorage {
    let storage = TempStorage::empty();
    fill(&text(&storage.path()), "many", &[]);
    for number in 0..records {
        let path = storage.store("many").join(format!("k{number:05}"));
        fs::write(&path, many_value(number)).unwrap();
        let sidecar = format!(
            "{{\"key\": \"k{number:05}\", \"content_type\": \"application/octet-stream\", \"size\": 2048}}"
        );
        fs::write(path.with_file_name(format!("k{number:05}.__metadata__.json")), sidecar).unwrap();
    }
    storage
}

fn many_value(number: usize) -> Vec<u8> {
    (0..2048_usize).map(|at| u8::try_from((number * 31 + at) % 251).unwrap()).collect()
}
