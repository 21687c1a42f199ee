//! `storefs rescue`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::common::{TempMount, TempStorage, can_mount, mime_type, wait_until};
use crate::help::SmallDisk;
use crate::{appended, begun, complaint, id_of, kept, kill_under, run, said, seeded};

/// A storage in which these bytes were appended to `log` and not closed.
fn with_cut_off_log() -> TempStorage {
    let storage = seeded();
    let mut mount = TempMount::new(&storage);
    let open = appended(mount.store("default").join("log"), "three\n");
    kill_under(&mut mount, open);
    storage
}

fn get(storage: &TempStorage, key: &str) -> String {
    said(&storage.path(), &["get", "default", key])
}

#[test]
fn p21_a_record_that_has_changed_since_is_replaced_only_on_request() {
    if !can_mount() {
        return;
    }
    let storage = with_cut_off_log();
    let value = storage.beside().join("value");
    fs::write(&value, "newer\n").unwrap();
    said(&storage.path(), &["set", "default", "log", value.to_str().unwrap()]);
    let id = id_of(&storage.path(), "default", "log");
    let refused = complaint(&storage.path(), &["rescue", &id]);
    assert!(refused.contains("has changed since") && refused.contains("--replace"), "{refused}");
    complaint(&storage.path(), &["rescue", "--all"]);
    assert_eq!(get(&storage, "log"), "newer\n");
    let refused = complaint(&storage.path(), &["rescue", &id, "default", "kept.json"]);
    assert!(refused.contains("exists already"), "{refused}");
    said(&storage.path(), &["rescue", &id, "--replace"]);
    assert_eq!(get(&storage, "log"), "one\ntwo\nthree\n");
    assert_eq!(kept(&storage.path()), [].into());
}

#[test]
fn p21_bytes_of_a_record_whose_store_is_gone_go_elsewhere() {
    if !can_mount() {
        return;
    }
    let storage = with_cut_off_log();
    said(&storage.path(), &["drop", "default"]);
    let id = id_of(&storage.path(), "default", "log");
    let refused = complaint(&storage.path(), &["rescue", &id]);
    assert!(refused.contains("no key-value store 'default'") && refused.contains(&id), "{refused}");
    said(&storage.path(), &["create", "elsewhere"]);
    said(&storage.path(), &["rescue", &id, "elsewhere", "a/b.txt"]);
    assert_eq!(said(&storage.path(), &["get", "elsewhere", "a/b.txt"]), "one\ntwo\nthree\n");
    assert_eq!(kept(&storage.path()), [].into());
}

#[test]
fn p21_bytes_are_written_to_a_file_and_stay_until_they_are_dropped() {
    if !can_mount() {
        return;
    }
    let storage = with_cut_off_log();
    let id = id_of(&storage.path(), "default", "log");
    let file = storage.beside().join("out");
    said(&storage.path(), &["rescue", &id, "-o", file.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(file).unwrap(), "one\ntwo\nthree\n");
    let row = said(&storage.path(), &["rescue"]);
    let cells: Vec<&str> = row.trim_end().split('\t').collect();
    assert_eq!((&cells[..4], cells[5]), (&[id.as_str(), "default", "log", "14"][..], "kept"));
    let row = said(&storage.path(), &["rescue", "--drop", &id]);
    assert!(row.contains("dropped"), "{row}");
    assert!(complaint(&storage.path(), &["rescue", &id]).contains("nothing with the id"));
    assert_eq!(get(&storage, "log"), "one\ntwo\n");
    for wrong in [
        &["rescue", "--drop"][..],
        &["rescue", "--replace"],
        &["rescue", "--all", &id],
        &["rescue", &id, "store"],
        &["rescue", &id, "store", "key", "-o", "-"],
        &["rescue", "-o", "-"],
    ] {
        assert_eq!(run(&storage.path(), wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn p21_a_rescued_record_has_its_mode_and_type_and_is_seen_at_once_in_a_mount() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mut mount = TempMount::new(&storage);
    let record = mount.store("default").join("page");
    let open = begun(&record, "<!doctype html><p>");
    open.set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
    kill_under(&mut mount, open);
    mount.start();
    assert!(!record.exists());
    let kept = said(&storage.path(), &["rescue", "--all", "--json"]);
    assert!(kept.contains("\"state\":\"published\""), "{kept}");
    wait_until("the mount shows it", || record.exists());
    assert_eq!(fs::read_to_string(&record).unwrap(), "<!doctype html><p>");
    assert_eq!(fs::metadata(&record).unwrap().mode() & 0o777, 0o640);
    let by_sdk_rules = said(&storage.path(), &["get", "--only-content-type", "default", "page"]);
    assert_eq!(mime_type(&record), by_sdk_rules.trim_end());
}

#[test]
fn p21_what_is_kept_can_be_read_where_nothing_can_be_written() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::make("") else { return };
    let mut mount = TempMount::configured(&disk.storage(), |_| {});
    fs::create_dir(mount.store("default")).unwrap_or_default();
    let open = begun(mount.store("default").join("k"), "bytes");
    kill_under(&mut mount, open);
    drop(mount);
    disk.remount("ro");
    let id = id_of(&disk.storage(), "default", "k");
    complaint(&disk.storage(), &["rescue", &id]);
    complaint(&disk.storage(), &["rescue", "--drop", &id]);
    disk.remount("rw");
    said(&disk.storage(), &["rescue", &id]);
    assert_eq!(said(&disk.storage(), &["get", "default", "k"]), "bytes");
}
