//! What these tests share.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::on_disk::whole_records;
use crate::common::{METADATA, TempStorage, storefs};

/// A record: value and content type.
pub(crate) type Record = (String, String);

/// Records by disk name.
pub(crate) type Records = BTreeMap<String, Record>;

/// A command on a storage.
pub(crate) fn with_source(source: &Path, arguments: &[&str]) -> Command {
    let mut command = storefs();
    command.args(arguments).arg("--source").arg(source);
    command
}

/// What a command prints; panics unless it succeeds.
#[track_caller]
pub(crate) fn run(storage: &TempStorage, arguments: &[&str]) -> String {
    let output = with_source(&storage.path(), arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same as JSON.
#[track_caller]
pub(crate) fn run_json(storage: &TempStorage, arguments: &[&str]) -> Value {
    serde_json::from_str(&run(storage, &[arguments, &["--json"]].concat())).unwrap()
}

/// A command that must fail with this status. Gives back what it says.
#[track_caller]
pub(crate) fn fails(source: &Path, arguments: &[&str], status: i32) -> String {
    let Output { status: ended, stderr, .. } = with_source(source, arguments).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(ended.code(), Some(status), "{arguments:?}: {said}");
    said
}

#[track_caller]
pub(crate) fn set(storage: &TempStorage, store: &str, key: &str, value: &str, content_type: &str) {
    let path = storage.beside().join("value");
    fs::write(&path, value).unwrap();
    let path = path.to_str().unwrap().to_owned();
    run(storage, &["set", store, key, &path, "--content-type", content_type]);
}

/// A store with an input, three records, a bare file, a temporary and a sub-directory.
pub(crate) fn seeded() -> TempStorage {
    let storage = TempStorage::empty();
    set(&storage, "default", "INPUT.json", "{}", "text/x-input");
    for (key, value) in [("a", "old a"), ("b/c", "old b"), ("d", "old d")] {
        set(&storage, "default", key, value, "text/x-old");
    }
    let dir = storage.store("default");
    fs::create_dir(dir.join("sub-directory")).unwrap();
    fs::write(dir.join("sub-directory/file"), "stays").unwrap();
    storage
}

/// The records of a store on disk, each of which must be whole: a value with its sidecar, and no sidecar alone.
#[track_caller]
pub(crate) fn records(dir: &Path) -> Records {
    let content_type = |sidecar: Value| sidecar["contentType"].as_str().unwrap().to_owned();
    let records = whole_records(dir).into_iter();
    records.map(|(name, (value, sidecar))| (name, (value, content_type(sidecar)))).collect()
}

pub(crate) fn metadata(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join(METADATA)).unwrap()).unwrap()
}

/// What is kept of purges in a storage, by name.
pub(crate) fn kept(storage: &Path) -> usize {
    fs::read_dir(storage.join(".storefs/purged")).map_or(0, Iterator::count)
}
