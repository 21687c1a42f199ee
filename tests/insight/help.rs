//! What these tests share: mounts to look at, and programs that check what is told of them.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::common::{STORES, TempMount, TempStorage, sqlite, storefs, temp_dir};

/// A mounted directory with an empty default store.
pub(crate) fn directory(options: &[&str]) -> (TempStorage, TempMount) {
    let storage = TempStorage::empty();
    fs::create_dir_all(storage.store("default")).unwrap();
    let mount = TempMount::with_options(&storage, options);
    (storage, mount)
}

/// A mounted SQLite database with an empty store `default`.
pub(crate) fn database() -> (tempfile::TempDir, TempMount) {
    let dir = temp_dir();
    let file = dir.path().join("crawlee.db");
    sqlite::make(&file);
    let mount = TempMount::configured(&file, |command| {
        command.arg("--cache-dir").arg(dir.path().join("spool"));
    });
    fs::create_dir(mount.path().join(STORES).join("default")).unwrap();
    (dir, mount)
}

/// What `storefs` prints with these arguments; panics unless it succeeds.
#[track_caller]
pub(crate) fn run(arguments: &[&str]) -> String {
    let output = try_run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn try_run(arguments: &[&str]) -> Output {
    storefs().args(arguments).output().unwrap()
}

/// The same as JSON.
#[track_caller]
pub(crate) fn run_json(arguments: &[&str]) -> Value {
    serde_json::from_str(&run(arguments)).unwrap()
}

pub(crate) fn text(mount: &TempMount) -> String {
    mount.path().to_str().unwrap().to_owned()
}
