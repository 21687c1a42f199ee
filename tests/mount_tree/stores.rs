//! Making and renaming stores.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::RenameFlags;
use rustix::io::Errno;
use serde_json::Value;

use crate::common::{METADATA, STORES, TempMount, TempStorage, can_mount, names, sh, tree};
use crate::help::{close, errno, make_store, metadata_of, put, rename_with, storage_of, write};

#[test]
fn mkdir_makes_a_store_that_is_named_unless_it_is_default() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::empty();
    let mount = TempMount::new(&storage);
    for (store, name) in [
        ("default", Value::Null),
        ("my-store", "my-store".into()),
        ("with space \u{fc}", "with space \u{fc}".into()),
    ] {
        fs::create_dir(mount.store(store)).unwrap();
        let metadata = metadata_of(&storage, store);
        assert_eq!(metadata["name"], name);
        let id = metadata["id"].as_str().unwrap();
        assert_eq!(id.len(), 17, "{id}");
        assert!(id.bytes().all(|letter| letter.is_ascii_alphanumeric()), "{id}");
        for time in ["accessedAt", "modifiedAt"] {
            assert_eq!(metadata[time], metadata["createdAt"], "{time}");
        }
        assert_eq!(names(&mount.store(store)), [METADATA.to_owned()].into());
        assert_eq!(names(&storage.store(store)), [METADATA.to_owned()].into());
    }
    let ids = ["default", "my-store"].map(|store| metadata_of(&storage, store)["id"].clone());
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn mkdir_anywhere_but_among_the_stores_is_refused() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let before = tree(&storage.path());
    let mount = TempMount::new(&storage);
    for dir in [mount.path(), mount.store("default")] {
        assert_eq!(errno(fs::create_dir(dir.join("directory"))), Errno::PERM, "{}", dir.display());
    }
    assert_eq!(errno(fs::create_dir(mount.store("default").join("k"))), Errno::EXIST);
    mount.unmount();
    assert_eq!(tree(&storage.path()), before);
}

#[test]
fn mkdir_of_a_name_that_no_store_can_have_makes_nothing() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let before = tree(&storage.path());
    let stores = mount.stores();
    assert_eq!(errno(fs::create_dir(stores.join("s".repeat(256)))), Errno::NAMETOOLONG);
    assert_eq!(errno(fs::create_dir(stores.join("\u{fc}".repeat(128)))), Errno::NAMETOOLONG);
    assert_eq!(errno(fs::create_dir(stores.join(OsStr::from_bytes(b"\xff")))), Errno::ILSEQ);
    assert_eq!(errno(fs::create_dir(stores.join("default"))), Errno::EXIST);
    // The kernel itself answers these.
    for dots in [".", ".."] {
        let made = rustix::fs::mkdirat(
            File::open(&stores).unwrap(),
            dots,
            rustix::fs::Mode::from_raw_mode(0o755),
        );
        assert_eq!(errno(made), Errno::EXIST, "{dots}");
    }
    assert_eq!(names(&stores), ["default".to_owned()].into());
    assert_eq!(tree(&storage.path()), before);

    let longest = "s".repeat(255);
    fs::create_dir(stores.join(&longest)).unwrap();
    assert_eq!(metadata_of(&storage, &longest)["name"], longest);
}

#[test]
fn a_directory_whose_name_is_not_utf_8_is_no_store_and_is_left_alone() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let foreign = storage.path().join(STORES).join(OsStr::from_bytes(b"a\xff"));
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("file"), "text").unwrap();
    let mount = TempMount::new(&storage);
    assert_eq!(names(&mount.stores()), ["default".to_owned()].into());
    assert_eq!(errno(fs::metadata(mount.stores().join(OsStr::from_bytes(b"a\xff")))), Errno::NOENT);
    mount.unmount();
    assert_eq!(fs::read_to_string(foreign.join("file")).unwrap(), "text");
}

#[test]
fn mv_renames_a_store_and_its_name_in_the_metadata() {
    if !can_mount() {
        return;
    }
    let storage = TempStorage::empty();
    make_store(&storage, "old");
    put(&storage, "old", "k", "v");
    let before = metadata_of(&storage, "old");
    let mount = TempMount::new(&storage);
    for (from, to, name) in [
        ("old", "new", "new".into()),
        ("new", "default", Value::Null),
        ("default", "again", "again".into()),
    ] {
        fs::rename(mount.store(from), mount.store(to)).unwrap();
        let metadata = metadata_of(&storage, to);
        assert_eq!(metadata["name"], name, "{from} to {to}");
        for kept in ["id", "created_at"] {
            assert_eq!(metadata[kept], before[kept], "{from} to {to}");
        }
        assert_eq!(names(&mount.stores()), [to.to_owned()].into());
        assert_eq!(fs::read_to_string(mount.store(to).join("k")).unwrap(), "v");
        assert_eq!(errno(fs::metadata(mount.store(from))), Errno::NOENT);
        assert!(!storage.store(from).exists());
    }
    sh("mv again last && cat last/k", &mount.stores());
}

#[test]
fn a_store_is_never_renamed_over_another() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    make_store(&storage, "full");
    put(&storage, "full", "k", "full");
    make_store(&storage, "empty");
    let before = storage.files();
    let mount = TempMount::new(&storage);
    let from = mount.store("default");
    for (to, flags) in [
        ("full", RenameFlags::empty()),
        ("empty", RenameFlags::empty()),
        ("full", RenameFlags::NOREPLACE),
        ("empty", RenameFlags::NOREPLACE),
    ] {
        let refused = errno(rename_with(&from, &mount.store(to), flags));
        assert!(matches!(refused, Errno::EXIST | Errno::NOTEMPTY), "{to} {flags:?}: {refused}");
    }
    let exchanged = rename_with(&from, &mount.store("full"), RenameFlags::EXCHANGE);
    assert_eq!(errno(exchanged), Errno::INVAL);
    mount.unmount();
    assert_eq!(storage.files(), before);
}

#[test]
fn a_store_is_renamed_only_to_what_a_store_can_be_called_and_only_among_stores() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    make_store(&storage, "other");
    let before = storage.files();
    let mount = TempMount::new(&storage);
    let (stores, from) = (mount.stores(), mount.store("default"));
    assert_eq!(errno(fs::rename(&from, stores.join("s".repeat(256)))), Errno::NAMETOOLONG);
    assert_eq!(errno(fs::rename(&from, stores.join(OsStr::from_bytes(b"\xff")))), Errno::ILSEQ);
    assert_eq!(errno(fs::rename(&from, mount.path().join("default"))), Errno::PERM);
    assert_eq!(errno(fs::rename(&from, mount.store("other").join("default"))), Errno::PERM);
    assert_eq!(errno(fs::rename(mount.store("absent"), mount.store("new"))), Errno::NOENT);
    assert!(matches!(
        errno(fs::rename(&stores, mount.path().join("stores"))),
        Errno::PERM | Errno::BUSY
    ));
    rename_with(&from, &mount.store("new"), RenameFlags::NOREPLACE).unwrap();
    rename_with(&mount.store("new"), &from, RenameFlags::empty()).unwrap();
    assert_eq!(names(&stores), ["default", "other"].map(String::from).into());
    mount.unmount();
    assert_eq!(storage.files().len(), before.len());
}

#[test]
fn open_files_of_a_renamed_store_follow_it() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["read", "changed"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let mut reader = File::open(store.join("read")).unwrap();
    let mut made = File::create(store.join("made")).unwrap();
    let mut changed = File::create(store.join("changed")).unwrap();
    made.write_all(b"made before, ").unwrap();
    fs::rename(&store, mount.store("moved")).unwrap();
    made.write_all(b"published after").unwrap();
    changed.write_all(b"changed after").unwrap();
    close(made).unwrap();
    close(changed).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "read");
    let moved = storage.store("moved");
    assert_eq!(fs::read(moved.join("made")).unwrap(), b"made before, published after");
    assert_eq!(fs::read(moved.join("changed")).unwrap(), b"changed after");
    assert!(!storage.store("default").exists());
    write(&mount.store("moved").join("made"), "and written again").unwrap();
    assert_eq!(fs::read(moved.join("made")).unwrap(), b"and written again");
}
