//! The tree itself: what is listed, what answers only by name, and what cannot be reached at all.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use rustix::io::Errno;
use serde_json::Value;

use crate::common::{
    METADATA, STORES, TempMount, TempStorage, can_mount, names, sh, staged, tree, wait_until,
};
use crate::help::{close, errno, make_store, put, storage_of};

#[test]
fn the_mount_has_the_shape_of_a_storage() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT.json", "OUTPUT"]);
    make_store(&storage, "my-store");
    for other in ["datasets/default", "request_queues/default"] {
        fs::create_dir_all(storage.path().join(other)).unwrap();
    }
    fs::write(storage.path().join("notes.txt"), "not ours").unwrap();
    fs::write(storage.path().join(STORES).join("no-store"), "a file").unwrap();
    let mount = TempMount::new(&storage);

    let kinds = ["datasets", STORES, "request_queues"].map(String::from);
    assert_eq!(names(&mount.path()), kinds.into());
    assert_eq!(names(&mount.stores()), ["default", "my-store"].map(String::from).into());
    let records = ["INPUT.json", "OUTPUT", METADATA].map(String::from);
    assert_eq!(names(&mount.store("default")), records.into());
    assert_eq!(names(&mount.store("my-store")), [METADATA.to_owned()].into());
    for absent in ["other", "notes.txt", "key_value_stores/no-store"] {
        assert_eq!(errno(fs::metadata(mount.path().join(absent))), Errno::NOENT, "{absent}");
    }
    assert_eq!(fs::read_to_string(mount.store("default").join("OUTPUT")).unwrap(), "OUTPUT");
    let metadata = fs::read(storage.store("my-store").join(METADATA)).unwrap();
    assert_eq!(fs::read(mount.store("my-store").join(METADATA)).unwrap(), metadata);
}

#[test]
fn an_empty_storage_has_no_store_and_can_get_one() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::empty();
    let mount = TempMount::new(&storage);
    assert!(names(&mount.stores()).is_empty());
    sh("mkdir default; echo hello > default/greeting", &mount.stores());
    assert_eq!(fs::read_to_string(storage.store("default").join("greeting")).unwrap(), "hello\n");
}

#[test]
fn control_files_answer_by_name_and_are_not_listed() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let status = fs::read(mount.path().join("@status")).unwrap();
    let status: Value = serde_json::from_slice(&status).unwrap();
    assert_eq!(status["pid"], mount.pid());
    assert!(status["inodes"].as_u64().is_some(), "{status}");

    let purge = fs::metadata(mount.store("default").join("@purge")).unwrap();
    assert!(purge.is_file());
    assert!(fs::metadata(mount.path().join("@status")).unwrap().is_file());
    for listed in [mount.path(), mount.stores(), mount.store("default")] {
        assert!(!names(&listed).iter().any(|name| name.starts_with('@')), "{}", listed.display());
    }
    // Each in its own place only.
    for absent in ["@purge", "key_value_stores/@purge", "key_value_stores/default/@status"] {
        assert_eq!(errno(fs::metadata(mount.path().join(absent))), Errno::NOENT, "{absent}");
    }
}

#[test]
fn control_files_can_be_neither_removed_nor_renamed_nor_replaced() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    assert_eq!(errno(fs::remove_file(store.join("@purge"))), Errno::PERM);
    assert_eq!(errno(fs::remove_file(mount.path().join("@status"))), Errno::PERM);
    assert_eq!(errno(fs::rename(store.join("@purge"), store.join("x"))), Errno::PERM);
    assert_eq!(errno(fs::rename(store.join("k"), store.join("@purge"))), Errno::PERM);
    assert_eq!(errno(File::create_new(store.join("@purge"))), Errno::EXIST);
    let status = OpenOptions::new().write(true).open(mount.path().join("@status"));
    assert!(matches!(errno(status), Errno::PERM | Errno::ACCESS));
    assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "k");
}

#[test]
fn names_kept_for_control_files_cannot_be_reached() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let before = storage.files();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    for name in ["@status", "@log", "@items.jsonl", "@items.json", "@items.csv"] {
        let path = store.join(name);
        assert_eq!(errno(fs::metadata(&path)), Errno::NOENT, "{name}");
        assert_eq!(errno(fs::read(&path)), Errno::NOENT, "{name}");
        assert_eq!(errno(fs::remove_file(&path)), Errno::NOENT, "{name}");
        assert_eq!(errno(File::create(&path)), Errno::PERM, "{name}");
        assert_eq!(errno(fs::rename(store.join("k"), &path)), Errno::PERM, "{name}");
        assert_eq!(errno(fs::rename(&path, store.join("x"))), Errno::NOENT, "{name}");
    }
    mount.unmount();
    assert_eq!(storage.files(), before);
}

#[test]
fn files_are_made_in_stores_only() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    for dir in [mount.path(), mount.stores()] {
        assert_eq!(errno(File::create(dir.join("file"))), Errno::PERM, "{}", dir.display());
        assert_eq!(errno(fs::rename(mount.store("default").join("k"), dir.join("k"))), Errno::PERM);
    }
    assert_eq!(errno(fs::remove_dir(mount.stores())), Errno::PERM);
    assert_eq!(names(&mount.stores()), ["default".to_owned()].into());
}

#[test]
fn recursive_tools_never_meet_a_control_file() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT.json", "OUTPUT", "page.html"]);
    make_store(&storage, "my-store");
    put(&storage, "my-store", "k", "v");
    let mount = TempMount::new(&storage);
    let seen = sh(
        &format!(
            "cp -r {mnt} copied
             tar -C {mnt} -cf archive.tar . && tar -tf archive.tar
             grep -rc '' {mnt}
             find {mnt}
             du -a {mnt}
             rsync -a {mnt}/ synced && find synced copied",
            mnt = mount.path().display()
        ),
        storage.beside(),
    );
    assert!(!seen.contains('@'), "{seen}");
    assert!(seen.contains("page.html"), "{seen}");
    for store in ["default", "my-store"] {
        assert!(storage.store(store).join(METADATA).exists(), "{store}");
        let report = fs::read_to_string(mount.store(store).join("@purge")).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["purged_at"], Value::Null);
    }
    assert_eq!(fs::read_to_string(mount.store("my-store").join("k")).unwrap(), "v");
}

#[test]
fn a_store_is_copied_out_as_plain_files() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["a%2Fb", "OUTPUT", "%C3%BC"]);
    let mount = TempMount::new(&storage);
    sh(&format!("cp -r {} out", mount.store("default").display()), storage.beside());
    let mut copied = tree(&storage.beside().join("out"));
    assert!(copied.remove(Path::new(METADATA)).is_some());
    let expected = [("a%2Fb", "a%2Fb"), ("OUTPUT", "OUTPUT"), ("\u{fc}", "%C3%BC")];
    let expected = expected.map(|(name, value)| (name.into(), value.as_bytes().to_vec()));
    assert_eq!(copied, expected.into());
}

#[test]
fn rm_r_of_a_store_drops_it() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT.json", "OUTPUT"]);
    make_store(&storage, "other");
    put(&storage, "other", "k", "v");
    let mount = TempMount::new(&storage);
    sh("rm -r default", &mount.stores());
    assert!(!storage.store("default").exists());
    assert_eq!(errno(fs::metadata(mount.store("default"))), Errno::NOENT);
    assert_eq!(names(&mount.stores()), ["other".to_owned()].into());
    assert_eq!(fs::read_to_string(mount.store("other").join("k")).unwrap(), "v");
}

#[test]
fn rm_r_removes_bare_and_litter_filled_stores_too() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["a%2Fb", "shot.jpg"]);
    let store = storage.store("default");
    for bare in ["my file.txt", "100%", "c%2Fd", "notes.md", "left.abcd_123.tmp"] {
        fs::write(store.join(bare), bare).unwrap();
    }
    fs::write(store.join("orphan.__metadata__.json"), "{}").unwrap();
    fs::create_dir(store.join("directory")).unwrap();
    let mount = TempMount::new(&storage);
    sh("rm -r default", &mount.stores());
    assert!(!store.exists());
    assert!(names(&mount.stores()).is_empty());
}

#[test]
fn rm_r_removes_a_store_that_holds_only_bare_files() {
    if !can_mount() {
        return;
    }
    // Once rm has removed the metadata, the rest looks like a store of Crawlee JS 3, where the file is another key's.
    let storage = storage_of(&[]);
    for bare in ["c%2Fd", "%C3%BC", "plain"] {
        fs::write(storage.store("default").join(bare), bare).unwrap();
    }
    let mount = TempMount::new(&storage);
    let shown = ["c%2Fd", "\u{fc}", "plain", METADATA].map(String::from);
    assert_eq!(names(&mount.store("default")), shown.into());
    sh("rm -r default", &mount.stores());
    assert!(!storage.store("default").exists());
}

#[test]
fn rmdir_drops_a_store_without_records_and_no_other() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    make_store(&storage, "empty");
    let mount = TempMount::new(&storage);
    assert_eq!(errno(fs::remove_dir(mount.store("default"))), Errno::NOTEMPTY);
    assert_eq!(fs::read_to_string(mount.store("default").join("k")).unwrap(), "k");
    fs::remove_dir(mount.store("empty")).unwrap();
    assert!(!storage.store("empty").exists());
    assert_eq!(errno(fs::remove_dir(mount.store("absent"))), Errno::NOENT);
    fs::remove_file(mount.store("default").join("k")).unwrap();
    fs::remove_dir(mount.store("default")).unwrap();
    assert!(!storage.store("default").exists());
}

#[test]
fn rmdir_spares_a_store_whose_only_record_is_bare() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    fs::write(storage.store("default").join("dropped in by hand"), "by hand").unwrap();
    let mount = TempMount::new(&storage);
    assert_eq!(errno(fs::remove_dir(mount.store("default"))), Errno::NOTEMPTY);
    assert!(storage.store("default").join("dropped in by hand").exists());
}

#[test]
fn a_store_that_an_sdk_drops_is_not_brought_back_by_a_writer() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    make_store(&storage, "other");
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let mut made = File::create(store.join("made")).unwrap();
    let mut changed = OpenOptions::new().append(true).open(store.join("k")).unwrap();
    made.write_all(b"made").unwrap();
    changed.write_all(b" and more").unwrap();
    fs::remove_dir_all(storage.store("default")).unwrap();
    assert_eq!(errno(close(made)), Errno::NOENT);
    assert_eq!(errno(close(changed)), Errno::NOENT);
    assert_eq!(errno(File::create(store.join("later"))), Errno::NOENT);
    assert_eq!(names(&mount.stores()), ["other".to_owned()].into());
    assert!(!storage.store("default").exists());
    wait_until("nothing is left in staging", || staged(&storage.path()).is_empty());
    fs::create_dir(&store).unwrap();
    assert_eq!(names(&store), [METADATA.to_owned()].into());
}
