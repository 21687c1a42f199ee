//! What is kept, and what is not.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use crate::common::{TempMount, TempStorage, can_mount, sh, wait_until};
use crate::help::SmallDisk;
use crate::{
    appended, begun, complaint, expected, id_of, kept, kept_bytes, kill_under, left, run, said,
    seeded, wait_for_nothing_left,
};

#[test]
fn p21_what_writers_had_not_closed_is_kept_when_the_daemon_is_killed() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mut mount = TempMount::new(&storage);
    let store = mount.store("default");
    let long = "k".repeat(230);
    let open = (
        begun(store.join("new.json"), "{\"a\":"),
        appended(store.join("log"), "three\n"),
        begun(store.join("kept.json"), "[1, 2"),
        begun(store.join("a%2Fb"), "slash"),
        begun(store.join(&long), "long"),
    );
    kill_under(&mut mount, open);
    let cut_off = expected(&[
        ("new.json", "{\"a\":"),
        ("log", "one\ntwo\nthree\n"),
        ("kept.json", "[1, 2"),
        ("a/b", "slash"),
        (&long, "long"),
    ]);
    // Before anybody has healed anything.
    let found = run(&storage.path(), &["doctor", "--json"]);
    let found: Vec<serde_json::Value> = serde_json::from_slice(&found.stdout).unwrap();
    let found: Vec<_> = found.iter().filter(|found| found["kind"] == "unpublished").collect();
    assert_eq!(found.len(), cut_off.len(), "{found:?}");
    assert!(found.iter().all(|found| found["store"] == "default" && found["state"] == "left"));

    mount.start();
    let log = mount.log();
    assert!(
        log.contains("14 bytes of record 'log' of store 'default' were not published"),
        "{log}"
    );
    assert!(log.contains("storefs rescue"), "{log}");
    assert_eq!(fs::read_to_string(store.join("log")).unwrap(), "one\ntwo\n", "as it was");
    assert!(!store.join("new.json").exists());
    assert_eq!(kept_bytes(&storage.path()), cut_off);
    mount.unmount();
    assert_eq!(kept_bytes(&storage.path()), cut_off, "also when nothing is mounted");

    said(&storage.path(), &["rescue", "--all"]);
    for (key, bytes) in &cut_off {
        assert_eq!(said(&storage.path(), &["get", "default", key]), *bytes);
    }
    let of_log = said(&storage.path(), &["get", "--only-content-type", "default", "log"]);
    assert_eq!(of_log, "text/plain; charset=utf-8\n");
    assert_eq!(said(&storage.path(), &["rescue"]), "");
    wait_for_nothing_left(&storage.path());
    said(&storage.path(), &["doctor"]);
}

#[test]
fn p21_what_holds_no_byte_of_a_writer_is_not_kept() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mut mount = TempMount::new(&storage);
    let store = mount.store("default");
    let created = begun(store.join("created"), "");
    let truncated = begun(store.join("kept.json"), "");
    let same = OpenOptions::new().write(true).open(store.join("log")).unwrap();
    same.write_all_at(b"two", 4).unwrap();
    let hole = begun(store.join("hole"), "");
    hole.set_len(1 << 20).unwrap();
    let published = begun(store.join("published"), "all of it");
    published.sync_all().unwrap();
    let removed = begun(store.join("removed"), "gone");
    fs::remove_file(store.join("removed")).unwrap();
    kill_under(&mut mount, (created, truncated, same, hole, published, removed));
    assert_eq!(kept(&storage.path()), [].into());
    mount.start();
    assert_eq!(kept(&storage.path()), [].into());
    assert_eq!(said(&storage.path(), &["get", "default", "published"]), "all of it");
}

#[test]
fn p21_a_version_that_was_cut_short_is_told_from_a_copy_that_was_cut_off() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mut mount = TempMount::new(&storage);
    let mut log =
        OpenOptions::new().read(true).write(true).open(mount.store("default").join("log")).unwrap();
    log.seek(SeekFrom::End(0)).unwrap();
    log.write_all(b"three\n").unwrap();
    log.set_len(3).unwrap();
    log.write_all_at(b"ONE", 0).unwrap();
    let mut shown = String::new();
    log.seek(SeekFrom::Start(0)).unwrap();
    log.read_to_string(&mut shown).unwrap();
    assert_eq!(shown, "ONE");
    kill_under(&mut mount, log);
    // As a process leaves it that dies while it copies.
    sh(
        "mkdir .storefs/1-0000000a; cd .storefs/1-0000000a
         printf half > 1.staged.1-5.default,copied
         printf whole > 2.staged.1-5.default,written
         printf nobody > 3",
        &storage.path(),
    );
    let cut_off = expected(&[("log", "ONE"), ("written", "whole")]);
    assert_eq!(kept_bytes(&storage.path()), cut_off);
    mount.start();
    assert_eq!(kept_bytes(&storage.path()), cut_off);
}

#[test]
fn p21_bytes_are_kept_under_the_name_that_their_record_had_last() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    said(&storage.path(), &["create", "first"]);
    let mut mount = TempMount::new(&storage);
    let (first, default) = (mount.store("first"), mount.store("default"));
    let renamed = appended(default.join("log"), "three\n");
    fs::rename(default.join("log"), default.join("log.1")).unwrap();
    let moved = begun(first.join("moved"), "moved");
    fs::rename(first.join("moved"), first.join("moved again")).unwrap();
    // The rename has published what was written.
    (&moved).write_all(b" and more").unwrap();
    fs::rename(&first, mount.store("second")).unwrap();
    kill_under(&mut mount, (renamed, moved));
    let listed: Vec<_> =
        kept(&storage.path()).into_iter().map(|(of, (_, bytes))| (of, bytes)).collect();
    let record = |store: &str, key: &str| (store.to_owned(), key.to_owned());
    assert_eq!(
        listed,
        [
            (record("default", "log.1"), "one\ntwo\nthree\n".to_owned()),
            (record("second", "moved again"), "moved and more".to_owned()),
        ]
    );
}

#[test]
fn p21_what_was_purged_or_dropped_under_its_writers_is_not_kept() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    said(&storage.path(), &["create", "other"]);
    let mut mount = TempMount::new(&storage);
    let open = (
        begun(mount.store("default").join("purged"), "gone"),
        begun(mount.store("other").join("dropped"), "gone"),
    );
    sh("echo 1 > default/@purge; rm -r other", &mount.stores());
    kill_under(&mut mount, open);
    assert_eq!(kept(&storage.path()), [].into());
}

#[test]
fn p21_a_repair_leaves_what_is_kept_alone() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mut mount = TempMount::new(&storage);
    let open = begun(mount.store("default").join("new"), "bytes");
    kill_under(&mut mount, open);
    for _ in 0..2 {
        let left = complaint(&storage.path(), &["doctor", "--repair"]);
        assert!(left.contains("1 left to be put right by hand"), "{left}");
        let left = complaint(&storage.path(), &["doctor", "default", "--repair"]);
        assert!(left.contains("1 left"), "{left}");
        assert_eq!(kept_bytes(&storage.path()), expected(&[("new", "bytes")]));
    }
}

#[test]
fn p21_what_is_kept_goes_after_a_week() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let mut mount = TempMount::new(&storage);
    let store = mount.store("default");
    let open = (begun(store.join("old"), "old bytes"), begun(store.join("young"), "young bytes"));
    kill_under(&mut mount, open);
    mount.start();
    mount.kill();
    let age = |key: &str, days: u32| {
        let id = id_of(&storage.path(), "default", key);
        sh(&format!("touch -h -d '{days} days ago' .storefs/rescued/{id}.of"), &storage.path());
    };
    age("old", 8);
    age("young", 6);
    mount.start();
    assert_eq!(kept_bytes(&storage.path()), expected(&[("young", "young bytes")]));
    mount.unmount();
    age("young", 8);
    said(&storage.path(), &["set", "default", "any", "/dev/null"]);
    assert_eq!(kept(&storage.path()), [].into());
    wait_for_nothing_left(&storage.path());
}

#[test]
fn p21_what_a_live_mount_has_open_is_its_own() {
    if !can_mount() {
        return;
    }
    let storage = seeded();
    let (mut dies, lives) = (TempMount::new(&storage), TempMount::new(&storage));
    let open = begun(dies.store("default").join("cut off"), "lost");
    let mut at_work = begun(lives.store("default").join("at work"), "half");
    kill_under(&mut dies, open);
    dies.start();
    assert_eq!(kept_bytes(&storage.path()), expected(&[("cut off", "lost")]));
    at_work.write_all(b" and whole").unwrap();
    nix::unistd::close(at_work).unwrap();
    assert_eq!(said(&storage.path(), &["get", "default", "at work"]), "half and whole");
    assert_eq!(kept_bytes(&storage.path()), expected(&[("cut off", "lost")]));
}

#[test]
fn p21_a_full_disk_loses_nothing_that_was_written() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::make("") else { return };
    let mut mount = TempMount::configured(&disk.storage(), |_| {});
    fs::create_dir(mount.store("default")).unwrap_or_default();
    let mut open = begun(mount.store("default").join("big"), "first");
    let chunk = vec![b'x'; 64 * 1024];
    while open.write_all(&chunk).is_ok() {}
    let written = open.metadata().unwrap().len();
    kill_under(&mut mount, open);
    disk.fill();
    mount.start();
    assert!(mount.log().contains("stays in"), "{}", mount.log());
    mount.unmount();
    let kept = kept(&disk.storage());
    let sizes: Vec<_> = kept.values().map(|(_, bytes)| bytes.len() as u64).collect();
    assert!(
        matches!(sizes[..], [size] if size <= written && size > 1 << 20),
        "{sizes:?} of {written}"
    );
    disk.make_room();
    wait_until("what is left can be put aside", || {
        left(&disk.storage()).iter().all(|path| path.starts_with(".storefs/rescued"))
            || !run(&disk.storage(), &["rescue"]).status.success()
    });
    let elsewhere = disk.storage().parent().unwrap().parent().unwrap().join("below/big");
    let id = kept.values().next().unwrap().0.clone();
    said(&disk.storage(), &["rescue", &id, "-o", elsewhere.to_str().unwrap()]);
    assert_eq!(fs::metadata(elsewhere).unwrap().len(), sizes[0]);
    said(&disk.storage(), &["rescue", &id, "--drop"]);
    assert_eq!(said(&disk.storage(), &["rescue"]), "");
}

#[test]
fn p21_files_of_datasets_are_kept_too() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::empty();
    fs::create_dir_all(storage.path().join("datasets/default")).unwrap();
    let mut mount = TempMount::new(&storage);
    let open = begun(mount.path().join("datasets/default/000000001.json"), "{\"item\": 1}");
    kill_under(&mut mount, open);
    mount.start();
    said(&storage.path(), &["rescue", "--all"]);
    let item = storage.path().join("datasets/default/000000001.json");
    assert_eq!(fs::read_to_string(item).unwrap(), "{\"item\": 1}");
}
