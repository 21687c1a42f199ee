//! A source that fails under the mount: full, read-only, gone. Nothing is lost and the mount stays up.
//!
//! Quotas and broken disks are in `disks.rs`; every error at every step is in `tests/fault_points.rs`.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use serde_json::Value;

use crate::common::{
    METADATA, STORES, TempMount, can_mount, is_mounted, names, sh, staged, wait_until,
};
use crate::help::{SmallDisk, close, errno, make_store, storage_of, write};

/// Mounts the storage on a small disk, with an empty default store.
#[track_caller]
pub(crate) fn mount_with_store(disk: &SmallDisk) -> TempMount {
    let mount = TempMount::configured(&disk.storage(), |_| {});
    fs::create_dir(mount.store("default")).unwrap();
    mount
}

/// Asserts that the mount answers.
#[track_caller]
pub(crate) fn is_alive(mount: &TempMount) {
    let status = fs::read(mount.path().join("@status")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&status).unwrap()["pid"], mount.pid());
}

/// Asserts that each value has its sidecar and each sidecar its value.
#[track_caller]
pub(crate) fn is_whole(store_on_disk: &Path) {
    let found = names(store_on_disk);
    for name in &found {
        if name == METADATA {
            continue;
        }
        match name.strip_suffix(&format!(".{METADATA}")) {
            Some(value) => assert!(found.contains(value), "{name} has no value"),
            None => assert!(found.contains(&format!("{name}.{METADATA}")), "{name} has no sidecar"),
        }
    }
}

#[test]
fn p7_a_full_disk_is_said_to_the_writer_and_loses_nothing() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::make("") else { return };
    let mount = mount_with_store(&disk);
    let store = mount.store("default");
    let on_disk = disk.storage().join(STORES).join("default");
    write(&store.join("k"), "old").unwrap();
    wait_until("the writers are done", || staged(&disk.storage()).is_empty());
    disk.fill();

    let large = vec![b'x'; 1 << 20];
    assert_eq!(errno(write(&store.join("k"), &large)), Errno::NOSPC);
    assert_eq!(errno(write(&store.join("made"), &large)), Errno::NOSPC);
    let mut appended = File::options().append(true).open(store.join("k")).unwrap();
    assert_eq!(errno(appended.write_all(&large)), Errno::NOSPC);
    // What could be written is only a part of what was meant.
    assert!(matches!(errno(close(appended)), Errno::NOSPC | Errno::IO));

    assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "old");
    assert_eq!(fs::read_to_string(on_disk.join("k")).unwrap(), "old");
    assert_eq!(errno(fs::metadata(store.join("made"))), Errno::NOENT);
    is_whole(&on_disk);
    wait_until("nothing is left in staging", || staged(&disk.storage()).is_empty());
    is_alive(&mount);

    disk.make_room();
    write(&store.join("k"), "new").unwrap();
    assert_eq!(fs::read_to_string(on_disk.join("k")).unwrap(), "new");
    write(&store.join("made"), &large).unwrap();
    is_whole(&on_disk);
}

/// Writes records until the disk is full, and asserts that each is there as a whole or not at all.
#[track_caller]
fn fill_with_records(disk: &SmallDisk, mount: &TempMount, value: &[u8]) {
    let store = mount.store("default");
    let on_disk = disk.storage().join(STORES).join("default");
    let mut written = 0;
    let refused = loop {
        match write(&store.join(format!("k{written}")), value) {
            Ok(()) => written += 1,
            refused => break errno(refused),
        }
    };
    assert_eq!(refused, Errno::NOSPC);
    assert_eq!(errno(fs::metadata(store.join(format!("k{written}")))), Errno::NOENT);
    for record in 0..written {
        assert_eq!(fs::read(store.join(format!("k{record}"))).unwrap(), value);
    }
    is_whole(&on_disk);
    assert_eq!(names(&store).len(), written + 1);
    wait_until("nothing is left in staging", || staged(&disk.storage()).is_empty());
    // The metadata of the store, too, is the old or a new one as a whole.
    let metadata = fs::read(on_disk.join(METADATA)).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&metadata).unwrap()["name"], Value::Null);
    fs::remove_file(store.join("k0")).unwrap();
    fs::remove_file(store.join("k1")).unwrap();
    write(&store.join("k0"), value).unwrap();
    assert_eq!(fs::read(on_disk.join("k0")).unwrap(), value);
}

#[test]
fn p7_the_last_record_that_fits_is_whole() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::make("-N 2048") else { return };
    let mount = mount_with_store(&disk);
    fill_with_records(&disk, &mount, &[b'x'; 2000]);
}

#[test]
fn p7_a_value_whose_sidecar_does_not_fit_is_not_published() {
    if !can_mount() {
        return;
    }
    // So few files that the last value or the last sidecar is one too many: both, by turns.
    for spare in 0..2 {
        let Some(disk) = SmallDisk::make("-N 48") else { return };
        let mount = mount_with_store(&disk);
        for file in 0..spare {
            fs::write(disk.storage().join(format!("spare{file}")), "").unwrap();
        }
        fill_with_records(&disk, &mount, b"value");
    }
}

#[test]
fn p7_a_purge_on_a_full_disk_makes_room_or_loses_nothing() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::make("") else { return };
    let mount = mount_with_store(&disk);
    let store = mount.store("default");
    write(&store.join("INPUT.json"), "{}").unwrap();
    write(&store.join("k"), "value").unwrap();
    disk.fill();
    let purged = File::options().write(true).open(store.join("@purge")).unwrap().write_all(b"1");
    let left = names(&store);
    match purged {
        Ok(()) => assert_eq!(left, ["INPUT.json", METADATA].map(String::from).into()),
        refused => {
            assert_eq!(errno(refused), Errno::NOSPC);
            assert_eq!(left, ["INPUT.json", "k", METADATA].map(String::from).into());
        }
    }
    is_whole(&disk.storage().join(STORES).join("default"));
    disk.make_room();
    sh("echo 1 > @purge", &store);
    assert_eq!(names(&store), ["INPUT.json", METADATA].map(String::from).into());
}

#[test]
fn p7_a_source_that_turns_read_only_refuses_every_change() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::make("") else { return };
    let mount = mount_with_store(&disk);
    let store = mount.store("default");
    // Made on disk: a disk on which a file is open for writing does not turn read-only.
    let on_disk = disk.storage().join(STORES).join("default");
    let sidecar = "{\"key\": \"k\", \"content_type\": \"text/plain\", \"size\": 3}";
    fs::write(on_disk.join("k"), "old").unwrap();
    fs::write(on_disk.join("k.__metadata__.json"), sidecar).unwrap();
    disk.remount("ro");
    let record = store.join("k");
    assert_eq!(errno(write(&record, "new")), Errno::ROFS);
    assert_eq!(errno(write(&store.join("made"), "new")), Errno::ROFS);
    assert_eq!(errno(write(&store.join("@purge"), "1")), Errno::ROFS);
    assert_eq!(errno(fs::remove_file(&record)), Errno::ROFS);
    assert_eq!(errno(fs::rename(&record, store.join("moved"))), Errno::ROFS);
    assert_eq!(errno(fs::rename(&store, mount.store("moved"))), Errno::ROFS);
    assert_eq!(errno(fs::create_dir(mount.store("made"))), Errno::ROFS);
    let mode = fs::Permissions::from_mode(0o600);
    assert_eq!(errno(fs::set_permissions(&record, mode)), Errno::ROFS);
    let typed = rustix::fs::setxattr(&record, "user.mime_type", b"a/b", XattrFlags::empty());
    assert_eq!(errno(typed), Errno::ROFS);
    assert_eq!(fs::read_to_string(&record).unwrap(), "old");
    assert_eq!(names(&store), ["k", METADATA].map(String::from).into());
    is_alive(&mount);

    disk.remount("rw");
    write(&record, "new").unwrap();
    assert_eq!(fs::read_to_string(&record).unwrap(), "new");
    is_whole(&on_disk);
}

#[test]
fn p7_a_mount_of_a_read_only_source_ends_well_after_reading() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::make("") else { return };
    let mount = mount_with_store(&disk);
    write(&mount.store("default").join("k"), "value").unwrap();
    mount.unmount();
    disk.remount("ro");
    let mount = TempMount::configured(&disk.storage(), |_| {});
    assert_eq!(fs::read_to_string(mount.store("default").join("k")).unwrap(), "value");
    // That the access cannot be noted is no failure: there was nothing to lose.
    mount.unmount();
}

#[test]
fn p7_a_source_that_is_removed_is_an_error_at_the_call() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    make_store(&storage, "other");
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    sh("ls -lR", &mount.path());
    let open = File::open(store.join("k")).unwrap();
    let mut writer = File::create(store.join("made")).unwrap();
    writer.write_all(b"before").unwrap();
    fs::remove_dir_all(storage.path()).unwrap();

    let is_gone = |errno: Errno| matches!(errno, Errno::NOENT | Errno::IO);
    assert!(is_gone(errno(close(writer))));
    assert!(is_gone(errno(fs::read(store.join("other")))));
    assert!(is_gone(errno(write(&store.join("new"), "x"))));
    assert!(is_gone(errno(write(&store.join("k"), "x"))));
    assert!(is_gone(errno(write(&store.join("@purge"), "1"))));
    assert!(is_gone(errno(fs::create_dir(mount.store("new")))));
    assert!(is_gone(errno(fs::rename(&store, mount.store("moved")))));
    assert!(is_gone(errno(fs::remove_dir(mount.store("other")))));
    assert!(is_gone(errno(fs::read_dir(&store).and_then(|mut listed| listed.next().unwrap()))));
    is_alive(&mount);
    // What is open is still there, as with any file that was removed.
    assert_eq!(std::io::read_to_string(open).unwrap(), "k");
    wait_until("the kernel has forgotten the names", || {
        errno_of_stat(&store.join("k")) && errno_of_stat(&mount.store("other"))
    });
    mount.unmount();
    assert!(!storage.path().exists());
}

fn errno_of_stat(path: &Path) -> bool {
    fs::metadata(path).is_err()
}

#[test]
fn p7_the_listing_of_a_removed_source_is_an_error_and_not_empty() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    fs::remove_dir_all(storage.path()).unwrap();
    let listed = fs::read_dir(mount.stores()).and_then(|mut listed| match listed.next() {
        Some(entry) => entry.map(|entry| Some(entry.file_name())),
        None => Ok(None),
    });
    assert!(matches!(errno(listed), Errno::NOENT | Errno::IO));
}

#[test]
fn a_source_that_comes_back_needs_a_new_mount_and_the_old_one_ends_well() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    assert_eq!(fs::read_to_string(mount.store("default").join("k")).unwrap(), "k");
    let aside = storage.beside().join("aside");
    fs::rename(storage.path(), &aside).unwrap();
    // The mount holds its source by descriptor: a rename takes nothing away.
    write(&mount.store("default").join("k"), "new").unwrap();
    assert_eq!(fs::read_to_string(aside.join(STORES).join("default/k")).unwrap(), "new");
    assert!(!storage.path().exists());
    mount.unmount();
}

#[test]
fn p21_a_mount_whose_connection_is_aborted_is_detached() {
    if !can_mount() || !rustix::process::geteuid().is_root() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mut mount = TempMount::new(&storage);
    let control = storage.beside().join("control");
    fs::create_dir(&control).unwrap();
    sh("mount -t fusectl none control", storage.beside());
    // Somebody has a file open, so that the mount is in use.
    let open = File::open(mount.store("default").join("k")).unwrap();
    let number = rustix::fs::minor(rustix::fs::stat(mount.path()).unwrap().st_dev);
    fs::write(control.join(number.to_string()).join("abort"), "1").unwrap();
    sh("umount control", storage.beside());
    let status = mount.wait_for_death();
    assert!(!is_mounted(&mount.path()), "{status:?}");
    drop(open);
    mount.start();
    is_alive(&mount);
    assert_eq!(fs::read(mount.store("default").join("k")).unwrap(), b"k");
}

/// A record on disk that cannot be looked at hides no other.
#[test]
fn p19_one_bad_record_does_not_hide_the_others() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["a", "b", "c"]);
    let mount = TempMount::new(&storage);
    let store = mount.store("default");
    let listed = sh("ls -l | wc -l", &store);
    // A name that the disk takes, and that is too long to have a sidecar looked for.
    fs::write(storage.store("default").join("x".repeat(255)), "long").unwrap();
    assert!(sh("ls -l", &store).contains("xxxx"));
    assert_ne!(sh("ls -l | wc -l", &store), listed);
}
