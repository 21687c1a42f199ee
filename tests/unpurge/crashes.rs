//! Killed at any step of a purge that is kept, of its undoing and of its end: the store is as before or after.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use crate::common::{METADATA, TempStorage, names};
use crate::help::{Records, kept, metadata, records, run, run_json, seeded, set, with_source};

const PURGE: [&str; 7] = [
    "stage: make a directory",
    "purge: box among the kept",
    "purge: fresh directory filled",
    "purge: exchanged",
    "purge: inputs taken over",
    "purge: sub-directories given back",
    "purge: kept records counted",
];
const UNDO: [&str; 9] = [
    "stage: make a directory",
    "unpurge: records linked",
    "purge: fresh directory filled",
    "purge: exchanged",
    "purge: inputs taken over",
    "purge: sub-directories given back",
    "unpurge: done",
    "keep: ended",
    "purge: old records removed",
];

/// Runs a command that must die at the step.
#[track_caller]
fn die(storage: &TempStorage, arguments: &[&str], step: &str) {
    let mut command = with_source(&storage.path(), arguments);
    command.env("STOREFS_CRASH_AT", step).stderr(Stdio::null()).stdout(Stdio::null());
    let status = command.status().unwrap();
    assert_eq!(status.signal(), Some(9), "it was to die at '{step}': {status}");
}

/// The store as an SDK finds it the moment after the crash: its records, which are whole, and its metadata.
#[track_caller]
fn seen_by_sdk(storage: &TempStorage) -> Records {
    let dir = storage.store("default");
    assert!(metadata(&dir)["id"].is_string());
    records(&dir)
}

/// Has the next command heal, and asserts that nothing of a dead process is left.
#[track_caller]
fn heal(storage: &TempStorage) {
    run(storage, &["create", "healed"]);
    run(storage, &["drop", "healed"]);
    // A command removes what it has found before it ends.
    let own = ["purged", "locks"].map(String::from);
    let left = names(&storage.path().join(".storefs"));
    assert!(left.iter().all(|name| own.contains(name)), "of a dead process is left: {left:?}");
    let stays = storage.store("default").join("sub-directory/file");
    assert_eq!(fs::read_to_string(stays).unwrap(), "stays");
}

fn keys(records: &Records) -> Vec<&str> {
    records.keys().map(String::as_str).collect()
}

#[test]
fn killed_while_purging_what_is_kept() {
    for step in PURGE {
        let storage = seeded();
        let before = records(&storage.store("default"));
        die(&storage, &["purge", "--keep-purged", "1h"], step);
        let seen = seen_by_sdk(&storage);
        let is_after = keys(&seen) == ["INPUT.json"];
        assert!(is_after || seen == before, "after '{step}': {seen:?}");
        heal(&storage);
        assert_eq!(seen_by_sdk(&storage), seen, "healed after '{step}'");
        assert_eq!(kept(&storage.path()), usize::from(is_after), "after '{step}'");
        if is_after {
            let undone = run_json(&storage, &["unpurge"]);
            assert_eq!(undone[0]["restored"], 3, "after '{step}'");
            assert_eq!(records(&storage.store("default")), before, "after '{step}'");
        }
        heal(&storage);
    }
}

/// Undone at once, by a process that has to complete what the dead one has not: without any healing in between.
#[test]
fn undone_right_after_the_purge_was_killed() {
    for step in ["purge: exchanged", "purge: sub-directories given back"] {
        let storage = seeded();
        let before = records(&storage.store("default"));
        die(&storage, &["purge", "--keep-purged", "1h"], step);
        run(&storage, &["unpurge"]);
        assert_eq!(records(&storage.store("default")), before, "after '{step}'");
        heal(&storage);
    }
}

fn purged_and_used() -> (TempStorage, Records, Records) {
    let storage = seeded();
    let dir = storage.store("default");
    let mut expected = records(&dir);
    run(&storage, &["purge", "--keep-purged", "1h"]);
    set(&storage, "default", "b/c", "new b", "text/x-new");
    set(&storage, "default", "e", "new e", "text/x-new");
    let before = records(&dir);
    expected.extend(before.clone());
    (storage, before, expected)
}

#[test]
fn killed_while_undoing_a_purge() {
    for step in UNDO {
        let (storage, before, after) = purged_and_used();
        die(&storage, &["unpurge"], step);
        let seen = seen_by_sdk(&storage);
        assert!(seen == before || seen == after, "after '{step}': {seen:?}");
        heal(&storage);
        assert_eq!(seen_by_sdk(&storage), seen, "healed after '{step}'");
        let is_kept = seen == before;
        assert_eq!(kept(&storage.path()), usize::from(is_kept), "after '{step}'");
        if is_kept {
            run(&storage, &["unpurge"]);
            assert_eq!(records(&storage.store("default")), after, "after '{step}'");
        }
    }
}

/// What an SDK makes of the store between the linking and the exchange is the newest, whoever completes the undoing.
#[test]
fn a_store_that_changed_in_the_middle_of_a_killed_undoing() {
    let (storage, _, mut expected) = purged_and_used();
    die(&storage, &["unpurge"], "purge: exchanged");
    // The directory before the exchange is now in the only box of the only process.
    let is_box = |path: &Path| path.join("records").is_dir();
    let private = storage.path().join(".storefs");
    let sessions = fs::read_dir(private).unwrap().map(|entry| entry.unwrap().path());
    let boxes = sessions.filter(|path| !path.ends_with("purged") && path.is_dir());
    let mut boxes = boxes.flat_map(|path| fs::read_dir(path).unwrap()).map(|it| it.unwrap().path());
    let old = boxes.find(|path| is_box(path)).unwrap().join("records");
    let write = |name: &str, value: &str| {
        fs::write(old.join("temporary"), value).unwrap();
        fs::rename(old.join("temporary"), old.join(name)).unwrap();
    };
    // Replaced; made over what comes back; made; removed.
    for (name, value) in [("b%2Fc", "newest"), ("a", "newest"), ("f", "newest")] {
        write(name, value);
        let sidecar = format!(
            "{{\"key\": \"x\", \"contentType\": \"text/x-sdk\", \"size\": {}}}",
            value.len()
        );
        write(&format!("{name}.{METADATA}"), &sidecar);
        expected.insert(name.to_owned(), (value.to_owned(), "text/x-sdk".to_owned()));
    }
    fs::remove_file(old.join("e")).unwrap();
    fs::remove_file(old.join(format!("e.{METADATA}"))).unwrap();
    expected.remove("e");
    // Newer than all that.
    set(&storage, "healing", "k", "v", "text/plain");
    assert_eq!(records(&storage.store("default")), expected);
    heal(&storage);
    assert_eq!(kept(&storage.path()), 0);
}

#[test]
fn killed_while_what_is_kept_ends() {
    let storage = seeded();
    run(&storage, &["purge", "--keep-purged", "0.01"]);
    let before = seen_by_sdk(&storage);
    die(&storage, &["create", "other"], "keep: ended");
    assert_eq!(seen_by_sdk(&storage), before);
    let said = crate::help::fails(&storage.path(), &["unpurge"], 3);
    assert!(said.contains("nothing is kept"), "{said}");
    heal(&storage);
    assert_eq!(kept(&storage.path()), 0);
}
