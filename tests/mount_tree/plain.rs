//! Plain directories: datasets and request queues in every mount, and everything with `--show-sidecars`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use serde_json::{Value, json};

use crate::common::{
    METADATA, TempMount, TempStorage, can_mount, mime_type, names, sh, staged, tree, wait_until,
};
use crate::help::{close, errno, put, storage_of};

/// A storage with a record, a dataset and a request queue.
fn whole_storage() -> TempStorage {
    let storage = storage_of(&["record"]);
    for (path, text) in [
        ("datasets/default/000000001.json", "{\"a\": 1}"),
        ("datasets/default/__metadata__.json", "{}"),
        ("request_queues/default/Xyz.json", "{\"url\": \"x\"}"),
    ] {
        let path = storage.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    storage
}

fn shown_plainly(storage: &TempStorage) -> TempMount {
    TempMount::with_options(storage, &["--show-sidecars"])
}

/// What is on disk, without our own directory.
fn on_disk(storage: &TempStorage) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = tree(&storage.path());
    files.retain(|path, _| !path.starts_with(".storefs"));
    files
}

#[test]
fn datasets_and_request_queues_are_in_every_mount() {
    if !can_mount() {
        return;
    }
    let storage = whole_storage();
    let mount = TempMount::new(&storage);
    let expected = ["datasets", "key_value_stores", "request_queues"].map(str::to_owned);
    assert_eq!(names(&mount.path()), expected.into());
    for kind in ["datasets", "request_queues"] {
        assert_eq!(tree(&mount.path().join(kind)), tree(&storage.path().join(kind)));
    }
    sh(
        "echo '{}' > datasets/default/2.json && mkdir -p datasets/own/deep && cp -r datasets/default datasets/own/deep \
         && mv datasets/own/deep/default/2.json datasets/own/3.json && sed -i s/1/2/ datasets/own/deep/default/000000001.json \
         && rm datasets/default/000000001.json && rm -r request_queues/default",
        &mount.path(),
    );
    for kind in ["datasets", "request_queues"] {
        assert_eq!(tree(&mount.path().join(kind)), tree(&storage.path().join(kind)));
    }
    let set = storage.path().join("datasets/own");
    assert_eq!(fs::read_to_string(set.join("3.json")).unwrap(), "{}\n");
    let edited = fs::read_to_string(set.join("deep/default/000000001.json")).unwrap();
    assert_eq!(edited, "{\"a\": 2}");
    // Anything else is not made in the root.
    let made = fs::create_dir(mount.path().join("other"));
    assert_eq!(errno(made), Errno::PERM);
}

#[test]
fn a_storage_without_datasets_gets_some() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    let mount = TempMount::new(&storage);
    assert_eq!(names(&mount.path()), ["key_value_stores".to_owned()].into());
    sh("mkdir -p datasets/default && echo 1 > datasets/default/1.json", &mount.path());
    assert_eq!(fs::read_to_string(storage.path().join("datasets/default/1.json")).unwrap(), "1\n");
    sh("rm -r datasets", &mount.path());
    assert!(!storage.path().join("datasets").exists());
}

#[test]
fn p10_an_item_that_is_moved_into_a_store_becomes_a_record() {
    if !can_mount() {
        return;
    }
    let storage = whole_storage();
    let mount = TempMount::new(&storage);
    let record = mount.store("default").join("item.json");
    fs::rename(mount.path().join("datasets/default/000000001.json"), &record).unwrap();
    assert_eq!(mime_type(&record), "application/json; charset=utf-8");
    assert!(storage.store("default").join(format!("item.json.{METADATA}")).exists());
    // And back: what is a file there takes no sidecar along.
    fs::rename(&record, mount.path().join("datasets/default/back.json")).unwrap();
    let set = names(&storage.path().join("datasets/default"));
    assert_eq!(set, [METADATA, "back.json"].map(str::to_owned).into());
    let left = names(&storage.store("default"));
    assert!(!left.iter().any(|name| name.starts_with("item.json")), "{left:?}");
}

#[test]
fn shown_with_sidecars_the_storage_is_what_it_is_on_disk() {
    if !can_mount() {
        return;
    }
    let storage = whole_storage();
    put(&storage, "default", "a%2Fb", "encoded");
    let store = storage.store("default");
    fs::write(store.join("obj.k_hldysl.tmp"), "temporary").unwrap();
    fs::write(store.join("100%"), "bare").unwrap();
    fs::create_dir(store.join("obj.lock")).unwrap();
    fs::write(storage.path().join("note"), "in the root").unwrap();
    let mount = shown_plainly(&storage);
    // Something is staged, so that there is a directory of ours.
    let writer = File::create(mount.path().join("unpublished")).unwrap();
    assert!(storage.path().join(".storefs").exists());
    let mut shown = tree(&mount.path());
    assert!(
        shown.remove(std::path::Path::new("unpublished")).is_some(),
        "it is in the mount from its creation"
    );
    assert_eq!(shown, on_disk(&storage));
    assert!(mount.store("default").join("obj.lock").is_dir());
    let ours = mount.path().join(".storefs");
    assert_eq!(errno(fs::metadata(&ours)), Errno::NOENT);
    assert_eq!(errno(fs::create_dir(&ours)), Errno::PERM);
    drop(writer);
}

#[test]
fn p03_shown_with_sidecars_nothing_is_added_and_closes_publish() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["old"]);
    let mount = shown_plainly(&storage);
    let (store, disk) = (mount.store("default"), storage.store("default"));
    let before = names(&disk);

    let mut writer = File::create(store.join("%41 new.json")).unwrap();
    writer.write_all(b"{}").unwrap();
    assert_eq!(names(&disk), before);
    close(writer).unwrap();
    assert_eq!(fs::read_to_string(disk.join("%41 new.json")).unwrap(), "{}");
    sh("echo changed > old && mkdir made && mv made renamed && echo x > renamed/inner", &store);
    let expected: Vec<&str> = vec!["%41 new.json", "renamed"];
    let added: Vec<String> = names(&disk).difference(&before).cloned().collect();
    assert_eq!(added, expected);
    assert_eq!(names(&disk.join("renamed")), ["inner".to_owned()].into());
    fs::create_dir(mount.stores().join("bare-store")).unwrap();
    assert_eq!(names(&storage.store("bare-store")).len(), 0);
    fs::remove_dir(mount.stores().join("bare-store")).unwrap();
    assert_eq!(errno(fs::remove_dir(store.join("renamed"))), Errno::NOTEMPTY);
    sh("rm old && rm -r renamed", &store);
    assert!(disk.join(format!("old.{METADATA}")).exists(), "a sidecar is a file like any other");
}

#[test]
fn p10_a_sidecar_written_through_the_mount_is_the_type_of_its_record() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    let (plain, usual) = (shown_plainly(&storage), TempMount::new(&storage));
    let store = plain.store("default");
    fs::write(store.join("page"), "<p>").unwrap();
    let sidecar = json!({"key": "page", "contentType": "text/x-own", "size": 3}).to_string();
    // As an SDK does it: a temporary, then a rename.
    fs::write(store.join("page.__metadata__.json.ry2876og.json.tmp"), sidecar).unwrap();
    sh("mv page.__metadata__.json.ry2876og.json.tmp page.__metadata__.json", &store);
    assert_eq!(mime_type(&usual.store("default").join("page")), "text/x-own");
    assert_eq!(mime_type(&store.join("page")), "text/x-own");
    let metadata = fs::read_to_string(store.join(METADATA)).unwrap();
    let mut metadata: Value = serde_json::from_str(&metadata).unwrap();
    metadata["id"] = "written-through-it".into();
    fs::write(store.join(METADATA), metadata.to_string()).unwrap();
    let id = crate::common::xattr(&usual.store("default"), "user.storefs.id").unwrap();
    assert_eq!(id, "written-through-it");
}

#[test]
fn p14_a_store_shown_with_sidecars_is_purged_under_its_writers() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["INPUT.json", "a", "b"]);
    fs::create_dir(storage.store("default").join("x.lock")).unwrap();
    let mount = shown_plainly(&storage);
    let store = mount.store("default");
    let mut writer = File::create(store.join("under way")).unwrap();
    writer.write_all(b"whole").unwrap();
    // No shell: a child that is started publishes what was written so far.
    fs::write(store.join("@purge"), "1").unwrap();
    close(writer).unwrap();
    let input_sidecar = format!("INPUT.json.{METADATA}");
    let left = [METADATA, "INPUT.json", &input_sidecar, "x.lock"];
    assert_eq!(names(&store), left.map(str::to_owned).into());
    assert_eq!(names(&storage.store("default")), names(&store));
    let report: Value = serde_json::from_slice(&fs::read(store.join("@purge")).unwrap()).unwrap();
    assert_eq!(report["removed"], 2);
    assert!(fs::read(mount.path().join("@status")).unwrap().starts_with(b"{"));
    wait_until("what was purged is removed", || staged(&storage.path()).is_empty());
}

#[test]
fn p03_a_directory_that_is_renamed_takes_its_open_files_along() {
    if !can_mount() {
        return;
    }
    let storage = whole_storage();
    let mount = TempMount::new(&storage);
    let sets = mount.path().join("datasets");
    fs::create_dir(sets.join("default/inner")).unwrap();
    let mut writer = File::create(sets.join("default/inner/file")).unwrap();
    writer.write_all(b"text").unwrap();
    let reader = File::open(sets.join("default/000000001.json")).unwrap();
    fs::rename(sets.join("default"), sets.join("moved")).unwrap();
    close(writer).unwrap();
    let moved = storage.path().join("datasets/moved");
    assert_eq!(fs::read_to_string(moved.join("inner/file")).unwrap(), "text");
    assert_eq!(std::io::read_to_string(reader).unwrap(), "{\"a\": 1}");
    assert_eq!(errno(fs::metadata(sets.join("default"))), Errno::NOENT);
    assert_eq!(fs::read_to_string(sets.join("moved/inner/file")).unwrap(), "text");
    // Over an empty directory, and not over another.
    fs::create_dir(sets.join("empty")).unwrap();
    fs::rename(sets.join("moved/inner"), sets.join("empty")).unwrap();
    assert_eq!(names(&sets.join("empty")), ["file".to_owned()].into());
    assert_eq!(errno(fs::rename(sets.join("empty"), sets.join("moved"))), Errno::NOTEMPTY);
}

/// What the package proper-lockfile does: a directory is the lock, its time says that it is alive.
#[test]
fn lock_directories_work() {
    if !can_mount() {
        return;
    }
    let storage = whole_storage();
    let mount = TempMount::new(&storage);
    let lock = mount.path().join("request_queues/default/Xyz.json.lock");
    fs::create_dir(&lock).unwrap();
    assert_eq!(errno(fs::create_dir(&lock)), Errno::EXIST);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    File::open(&lock).unwrap().set_modified(time).unwrap();
    assert_eq!(fs::metadata(&lock).unwrap().modified().unwrap(), time);
    fs::remove_dir(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    assert!(storage.path().join("request_queues/default/Xyz.json.lock").is_dir());
}

#[test]
fn p18_a_link_among_the_datasets_leads_nowhere() {
    if !can_mount() {
        return;
    }
    let storage = whole_storage();
    let outside = storage.beside().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let sets = storage.path().join("datasets");
    symlink(&outside, sets.join("dir")).unwrap();
    symlink(outside.join("secret"), sets.join("file")).unwrap();
    for mount in [TempMount::new(&storage), shown_plainly(&storage)] {
        let shown = mount.path().join("datasets");
        assert_eq!(names(&shown), ["default".to_owned()].into());
        for path in ["dir", "file", "dir/secret"] {
            assert_eq!(errno(fs::metadata(shown.join(path))), Errno::NOENT, "{path}");
        }
        mount.unmount();
    }
    let mount = TempMount::new(&storage);
    // A file takes the link's place, which is nothing to the mount.
    fs::write(mount.path().join("datasets/file"), "replaced").unwrap();
    assert_eq!(errno(fs::create_dir(mount.path().join("datasets/dir"))), Errno::EXIST);
    let only: BTreeMap<PathBuf, Vec<u8>> =
        [(Path::new("secret").to_owned(), b"secret".to_vec())].into();
    assert_eq!(tree(&outside), only);
}
