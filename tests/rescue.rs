//! When it ends badly (P21): what writers had written and not closed is kept aside, listed, and given back.
//!
//! Each test kills a real daemon, or asks it to stop, while files are open in its mount, and looks at what the next
//! command says. What the daemon dies in the middle of is in `tests/crash.rs`.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[allow(dead_code, unused_imports)]
#[path = "mount_tree/help.rs"]
mod help;

#[path = "rescue/giving_back.rs"]
mod giving_back;
#[path = "rescue/keeping.rs"]
mod keeping;
#[path = "rescue/openers.rs"]
mod openers;
#[path = "rescue/stopping.rs"]
mod stopping;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Output;

use common::{TempMount, TempStorage, sh, storefs, wait_until};
use serde_json::Value;

/// A storage with two records: `log` of two lines and `kept.json`.
fn seeded() -> TempStorage {
    let storage = TempStorage::empty();
    for (key, value) in [("log", "one\ntwo\n"), ("kept.json", "[1]\n")] {
        let file = storage.beside().join("value");
        fs::write(&file, value).unwrap();
        said(&storage.path(), &["set", "default", key, file.to_str().unwrap()]);
    }
    storage
}

/// Runs a command on a storage.
fn run(storage: &Path, arguments: &[&str]) -> Output {
    storefs().args(arguments).arg("--source").arg(storage).output().unwrap()
}

/// What a command that must succeed prints.
#[track_caller]
fn said(storage: &Path, arguments: &[&str]) -> String {
    let output = run(storage, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The line with which a command fails.
#[track_caller]
fn complaint(storage: &Path, arguments: &[&str]) -> String {
    let output = run(storage, arguments);
    assert!(matches!(output.status.code(), Some(1 | 3..=9)), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// What `storefs rescue` lists: by store and key, the id and the bytes.
#[track_caller]
fn kept(storage: &Path) -> BTreeMap<(String, String), (String, String)> {
    let listed: Vec<Value> = serde_json::from_str(&said(storage, &["rescue", "--json"])).unwrap();
    let listed = listed.iter().map(|kept| {
        let text = |field: &str| kept[field].as_str().unwrap().to_owned();
        let bytes = said(storage, &["rescue", &text("id"), "-o", "-"]);
        assert_eq!(kept["size"], bytes.len(), "{kept}");
        assert_eq!(kept["state"], "kept");
        ((text("store"), text("key")), (text("id"), bytes))
    });
    listed.collect()
}

/// Which bytes are kept of which records of the store `default`.
#[track_caller]
fn kept_bytes(storage: &Path) -> BTreeMap<String, String> {
    let of_default = |((store, key), (_, bytes))| (store == "default").then_some((key, bytes));
    kept(storage).into_iter().filter_map(of_default).collect()
}

/// The id of what is kept of a record.
#[track_caller]
fn id_of(storage: &Path, store: &str, key: &str) -> String {
    kept(storage)[&(store.to_owned(), key.to_owned())].0.clone()
}

fn expected(records: &[(&str, &str)]) -> BTreeMap<String, String> {
    records.iter().map(|(key, bytes)| ((*key).to_owned(), (*bytes).to_owned())).collect()
}

/// Opens a file and writes, and does not close it.
fn begun(path: impl AsRef<Path>, bytes: &str) -> File {
    let mut file = File::create(path).unwrap();
    file.write_all(bytes.as_bytes()).unwrap();
    file
}

/// Opens a file for appending and writes, and does not close it.
fn appended(path: impl AsRef<Path>, bytes: &str) -> File {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(bytes.as_bytes()).unwrap();
    file
}

/// Kills the daemon with something open, which then goes to nobody.
fn kill_under<T>(mount: &mut TempMount, open: T) {
    mount.kill();
    drop(open);
}

/// What is in `.storefs`, but for directories.
fn left(storage: &Path) -> Vec<String> {
    let left = sh("test ! -d .storefs || find .storefs ! -type d", storage);
    left.lines().map(str::to_owned).collect()
}

#[track_caller]
fn wait_for_nothing_left(storage: &Path) {
    wait_until("nothing is left in the staging directory", || left(storage).is_empty());
}
