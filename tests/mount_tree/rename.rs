//! Renaming records.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::time::SystemTime;

use rustix::fs::RenameFlags;
use rustix::io::Errno;

use crate::common::{METADATA, TempMount, can_mount, mime_type, names, sh};
use crate::help::{
    close, errno, let_writers_go, make_store, metadata_of, put, rename_with, sidecar_of,
    storage_of, write,
};

#[test]
fn mv_renames_a_record_within_a_store() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let long_ago = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let on_disk = File::options().write(true).open(storage.store("default").join("k")).unwrap();
    on_disk.set_modified(long_ago).unwrap();
    let mount = TempMount::new(&storage);
    sh("mv k 'new name'", &mount.store("default"));
    let store = mount.store("default");
    assert_eq!(names(&store), ["new name", METADATA].map(String::from).into());
    assert_eq!(fs::read_to_string(store.join("new name")).unwrap(), "k");
    assert_eq!(fs::metadata(store.join("new name")).unwrap().modified().unwrap(), long_ago);
    assert_eq!(errno(fs::metadata(store.join("k"))), Errno::NOENT);
    let left = ["new%20name", "new%20name.__metadata__.json", METADATA].map(String::from);
    assert_eq!(names(&storage.store("default")), left.into());
    let sidecar = sidecar_of(&storage, "default", "new%20name");
    assert_eq!((&sidecar["key"], &sidecar["size"]), (&"new name".into(), &1.into()));
}

#[test]
fn mv_moves_a_record_to_another_store() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["page.html"]);
    make_store(&storage, "other");
    let mount = TempMount::new(&storage);
    sh("mv default/page.html other/", &mount.stores());
    assert_eq!(names(&storage.store("default")), [METADATA.to_owned()].into());
    assert_eq!(names(&mount.store("default")), [METADATA.to_owned()].into());
    let moved = mount.store("other").join("page.html");
    assert_eq!(fs::read_to_string(moved).unwrap(), "page.html");
    assert_eq!(sidecar_of(&storage, "other", "page.html")["key"], "page.html");
}

#[test]
fn a_record_is_renamed_over_another() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["new", "old"]);
    make_store(&storage, "other");
    put(&storage, "other", "old", "in the other store");
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let mut reader = File::open(store.join("old")).unwrap();
    fs::rename(store.join("new"), store.join("old")).unwrap();
    assert_eq!(fs::read_to_string(store.join("old")).unwrap(), "new");
    assert_eq!(errno(fs::metadata(store.join("new"))), Errno::NOENT);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "old", "an open for reading keeps its version");

    fs::rename(store.join("old"), mount.store("other").join("old")).unwrap();
    assert_eq!(fs::read_to_string(mount.store("other").join("old")).unwrap(), "new");
    assert_eq!(sidecar_of(&storage, "other", "old")["size"], 3);
    assert_eq!(names(&storage.store("default")), [METADATA.to_owned()].into());
}

#[test]
fn a_record_renamed_over_a_bare_file_replaces_it() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    fs::write(storage.store("default").join("by hand"), "bare").unwrap();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    fs::rename(store.join("k"), store.join("by hand")).unwrap();
    assert_eq!(fs::read_to_string(store.join("by hand")).unwrap(), "k");
    let left = ["by%20hand", "by%20hand.__metadata__.json", METADATA].map(String::from);
    assert_eq!(names(&storage.store("default")), left.into());
}

#[test]
fn rename_flags_are_kept() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["one", "other"]);
    make_store(&storage, "store");
    put(&storage, "store", "one", "elsewhere");
    fs::write(storage.store("default").join("bare file"), "bare").unwrap();
    let before = storage.files();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let one = store.join("one");
    let taken = [store.join("other"), store.join("bare file"), mount.store("store").join("one")];
    for to in &taken {
        let kept = rename_with(&one, to, RenameFlags::NOREPLACE);
        assert_eq!(errno(kept), Errno::EXIST, "{}", to.display());
    }
    let exchanged = rename_with(&one, &store.join("other"), RenameFlags::EXCHANGE);
    assert_eq!(errno(exchanged), Errno::INVAL);
    let whiteout = rename_with(&one, &store.join("free"), RenameFlags::WHITEOUT);
    assert_eq!(errno(whiteout), Errno::INVAL);
    assert_eq!(storage.files(), before);
    rename_with(&one, &store.join("free"), RenameFlags::NOREPLACE).unwrap();
    assert_eq!(fs::read_to_string(store.join("free")).unwrap(), "one");
}

#[test]
fn noreplace_spares_a_record_that_is_only_being_written() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["one"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let mut made = File::create(store.join("made")).unwrap();
    made.write_all(b"being made").unwrap();
    let refused = rename_with(&store.join("one"), &store.join("made"), RenameFlags::NOREPLACE);
    assert_eq!(errno(refused), Errno::EXIST);
    close(made).unwrap();
    assert_eq!(fs::read_to_string(store.join("made")).unwrap(), "being made");
    assert_eq!(fs::read_to_string(store.join("one")).unwrap(), "one");
}

#[test]
fn records_and_directories_do_not_take_each_other_s_place() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    make_store(&storage, "empty");
    let before = storage.files();
    let mount = TempMount::new(&storage);
    let record = mount.store("default").join("k");
    assert_eq!(errno(fs::rename(&record, mount.store("empty"))), Errno::ISDIR);
    assert_eq!(errno(fs::rename(mount.store("empty"), &record)), Errno::NOTDIR);
    assert_eq!(errno(fs::rename(&record, mount.stores().join("new"))), Errno::PERM);
    assert_eq!(errno(fs::rename(&record, mount.path().join("new"))), Errno::PERM);
    assert_eq!(errno(fs::rename(mount.store("default").join("absent"), &record)), Errno::NOENT);
    assert_eq!(errno(fs::remove_dir(&record)), Errno::NOTDIR);
    assert_eq!(errno(fs::remove_file(mount.store("empty"))), Errno::ISDIR);
    // POSIX: nothing happens, and that is a success.
    fs::rename(&record, &record).unwrap();
    mount.unmount();
    assert_eq!(storage.files(), before);
}

#[test]
fn a_record_that_is_being_written_is_renamed_with_its_writer() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let mut writer = File::options().append(true).open(store.join("k")).unwrap();
    writer.write_all(b" before").unwrap();
    fs::rename(store.join("k"), store.join("moved")).unwrap();
    writer.write_all(b" after").unwrap();
    close(writer).unwrap();
    assert_eq!(fs::read_to_string(store.join("moved")).unwrap(), "k before after");
    assert_eq!(names(&store), ["moved", METADATA].map(String::from).into());
}

#[test]
fn p11_a_bare_file_gets_its_sidecar_when_it_is_renamed() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    fs::write(storage.store("default").join("shot.png"), "\u{89}PNG").unwrap();
    fs::write(storage.store("default").join("data"), "{\"a\": 1}").unwrap();
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    fs::rename(store.join("shot.png"), store.join("kept.png")).unwrap();
    let sidecar = sidecar_of(&storage, "default", "kept.png");
    assert_eq!(
        (&sidecar["key"], &sidecar["contentType"]),
        (&"kept.png".into(), &"image/png".into())
    );
    fs::rename(store.join("data"), store.join("moved")).unwrap();
    assert_eq!(mime_type(&store.join("moved")), "application/json; charset=utf-8");
    assert!(!storage.store("default").join("data").exists());
}

#[test]
fn the_metadata_can_be_replaced_by_a_rename_and_renamed_away() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let kept = rename_with(&store.join("k"), &store.join(METADATA), RenameFlags::NOREPLACE);
    assert_eq!(errno(kept), Errno::EXIST);
    // No SDK could read the store with this.
    assert_eq!(errno(fs::rename(store.join("k"), store.join(METADATA))), Errno::INVAL);
    assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "k");
    let text = fs::read_to_string(store.join(METADATA)).unwrap();
    let edited = text.replace("HvTUFIxMPIib09NEi", "aNewIdOfTheStore1");
    write(&store.join("edited"), &edited).unwrap();
    let_writers_go(&mount);
    // By now the kernel takes the name for that of a published version.
    assert_eq!(fs::read_to_string(store.join("edited")).unwrap(), edited);
    fs::rename(store.join("edited"), store.join(METADATA)).unwrap();
    assert_eq!(fs::read_to_string(store.join(METADATA)).unwrap(), edited);
    assert_eq!(names(&store), ["k", METADATA].map(String::from).into());

    // As editors do that keep the old file.
    let script = "mv __metadata__.json metadata~; test ! -e __metadata__.json; jq '.extra = 1' metadata~ > __metadata__.json; rm metadata~";
    sh(script, &store);
    assert_eq!(metadata_of(&storage, "default")["extra"], 1);
    assert_eq!(metadata_of(&storage, "default")["id"], "aNewIdOfTheStore1");
    assert_eq!(names(&store), ["k", METADATA].map(String::from).into());
}
