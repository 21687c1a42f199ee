//! What these tests share: mounts to look at, and programs that check what is told of them.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::common::{STORES, TempMount, TempStorage, skipped, sqlite, storefs, temp_dir};

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

/// Gives a program a text to read. What it says, if it does not end well.
pub(crate) fn complaint_of(command: &mut Command, input: &str) -> Option<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&said).into_owned())
}

/// A script of the distribution's own Python, unless a module of it is missing.
#[track_caller]
pub(crate) fn python(module: &str, script: &str) -> Option<Command> {
    let python = || Command::new("/usr/bin/python3");
    let found = python().args(["-c", &format!("import {module}")]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        skipped(&format!("Python's {module} is missing: run scripts/install-test-deps"));
        return None;
    }
    let mut command = python();
    command.args(["-c", script]);
    Some(command)
}
