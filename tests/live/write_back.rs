//! A store's times are written into a file that the SDKs write too (P17).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{METADATA, TempMount, TempStorage, wait_until};
use crate::sdk::{Python, STORE};

/// Longer than what is to be written waits (a second), with room for a busy machine.
const IDLE: Duration = Duration::from_secs(3);

fn metadata(storage: &TempStorage) -> Value {
    serde_json::from_slice(&fs::read(storage.store(STORE).join(METADATA)).unwrap()).unwrap()
}

/// Whatever changes when a file is written or replaced.
fn stamp(file: &Path) -> (u64, i64, i64, i64) {
    let found = fs::metadata(file).unwrap();
    (found.ino(), found.ctime(), found.ctime_nsec(), found.mtime_nsec())
}

#[track_caller]
fn assert_untouched_while_idle(file: &Path) {
    let before = stamp(file);
    let start = Instant::now();
    while start.elapsed() < IDLE {
        assert_eq!(stamp(file), before, "written though nothing has changed");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn p17_nothing_is_written_when_nothing_has_changed() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    client.set("a", &json!("value"));
    let file = storage.store(STORE).join(METADATA);
    let fresh = stamp(&file);
    let mount = TempMount::new(&storage);
    assert_untouched_while_idle(&file);
    assert_eq!(stamp(&file), fresh, "mounting has written it");

    // A read is written back once.
    fs::read(mount.store(STORE).join("a")).unwrap();
    wait_until("the read is written back", || stamp(&file) != fresh);
    assert_untouched_while_idle(&file);

    // What an SDK writes is no reason to write.
    client.set("a", &json!("other"));
    client.get("a");
    let by_sdk = fs::read(&file).unwrap();
    assert_untouched_while_idle(&file);
    mount.unmount();
    assert_eq!(fs::read(&file).unwrap(), by_sdk);
}

#[test]
fn p17_a_busy_store_is_written_once_a_second() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    drop(python.serve(&storage, STORE));
    let file = storage.store(STORE).join(METADATA);
    let mount = TempMount::new(&storage);
    let record = mount.store(STORE).join("busy");
    let mut versions = BTreeSet::new();
    let start = Instant::now();
    let mut publishes = 0_u64;
    while start.elapsed() < IDLE {
        fs::write(&record, publishes.to_string()).unwrap();
        publishes += 1;
        versions.insert(stamp(&file));
    }
    let limit = usize::try_from(start.elapsed().as_secs()).unwrap() + 2;
    assert!(versions.len() <= limit, "{} versions of the metadata", versions.len());
    assert!(publishes > 2 * limit as u64, "too few publishes to tell: {publishes}");
    assert!(versions.len() > 1, "never written back");
}

/// What others have written since is merged: this is true of whichever write is the last, so it does not matter when
/// the mount writes back.
#[test]
fn p17_write_back_keeps_foreign_fields_and_the_later_times() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    client.set("a", &json!("value"));
    drop(client);
    let before = metadata(&storage);
    let mount = TempMount::new(&storage);
    fs::write(mount.store(STORE).join("a"), "new").unwrap();

    let mut edited = metadata(&storage);
    edited["modified_at"] = json!("2199-01-01 00:00:00.000001+00:00");
    edited["foreign"] = json!({"kept": [1, 2.50, "\u{fc}"]});
    let aside = storage.beside().join("aside");
    fs::write(&aside, serde_json::to_string_pretty(&edited).unwrap()).unwrap();
    fs::rename(&aside, storage.store(STORE).join(METADATA)).unwrap();
    fs::read(mount.store(STORE).join("a")).unwrap();
    mount.unmount();

    let after = metadata(&storage);
    for field in ["id", "name", "created_at", "foreign", "modified_at"] {
        assert_eq!(after[field], edited[field], "{field}");
    }
    assert!(after["accessed_at"].as_str() > before["accessed_at"].as_str(), "{before} {after}");
    let fields =
        |metadata: &Value| metadata.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(fields(&after), fields(&edited));
}

#[test]
fn p17_write_back_takes_the_later_of_two_clients_times() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    let mount = TempMount::new(&storage);
    let mounted = mount.store(STORE);
    for round in 0..50 {
        let before = metadata(&storage);
        fs::write(mounted.join("ours"), round.to_string()).unwrap();
        client.set("theirs", &json!(round));
        let by_sdk = metadata(&storage);
        fs::read(mounted.join("theirs")).unwrap();
        let after = metadata(&storage);
        assert_eq!(after["id"], before["id"]);
        assert!(
            after["modified_at"].as_str() >= by_sdk["modified_at"].as_str(),
            "{by_sdk} {after}"
        );
        assert!(
            after["accessed_at"].as_str() >= by_sdk["accessed_at"].as_str(),
            "{by_sdk} {after}"
        );
    }
    let last = metadata(&storage);
    mount.unmount();
    assert!(metadata(&storage)["accessed_at"].as_str() >= last["accessed_at"].as_str());
}

#[test]
fn p17_write_back_leaves_a_store_that_was_made_anew_alone() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    client.set("a", &json!("value"));
    let mount = TempMount::new(&storage);
    fs::write(mount.store(STORE).join("b"), "pending").unwrap();
    let old = metadata(&storage);
    client.ask(&json!({"drop": 1}));
    drop(client);

    let mut client = python.serve(&storage, STORE);
    client.set("c", &json!("of the new store"));
    let new = metadata(&storage);
    assert_ne!(new["id"], old["id"]);
    // So that there is something to write, too, that is later than what the SDK wrote.
    fs::read(mount.store(STORE).join("c")).unwrap();
    mount.unmount();
    let after = metadata(&storage);
    for field in ["id", "name", "created_at"] {
        assert_eq!(after[field], new[field], "{field}");
    }
    assert!(after["accessed_at"].as_str() > new["accessed_at"].as_str(), "{new} {after}");
    assert_eq!(python.dump(&storage, STORE).into_keys().collect::<Vec<_>>(), ["c"]);
}

#[test]
fn p17_write_back_never_brings_back_what_an_sdk_purged() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve_apify(&storage, STORE, false);
    client.set("a", &json!("value"));
    let mount = TempMount::new(&storage);
    fs::write(mount.store(STORE).join("b"), "pending").unwrap();
    fs::read(mount.store(STORE).join("a")).unwrap();
    client.ask(&json!({"purge": 1}));
    let purged = metadata(&storage);
    mount.unmount();
    // What was noted before the purge is older than it.
    assert_eq!(metadata(&storage), purged);
    assert_eq!(crate::common::names(&storage.store(STORE)), [METADATA.to_owned()].into());
}
