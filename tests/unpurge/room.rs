//! What is kept of purges never holds room that is needed.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::common::{TempMount, can_mount, sh, skipped, temp_dir, try_sh, wait_until};
use crate::help::{kept, with_source};

/// A file system in memory, of so many mebibytes.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    #[track_caller]
    fn make(mebibytes: u64) -> Option<Self> {
        let disk = Self { dir: temp_dir() };
        let script = format!(
            "mkdir disk; mount -t tmpfs -o size={mebibytes}m none disk; mkdir -p disk/storage"
        );
        let made = try_sh(&script, disk.dir.path());
        if !made.status.success() {
            skipped(&format!("no file system in memory can be mounted here: {made:?}"));
            return None;
        }
        Some(disk)
    }

    fn storage(&self) -> PathBuf {
        self.dir.path().join("disk/storage")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = try_sh("! mountpoint -q disk || umount disk || umount -l disk", self.dir.path());
    }
}

#[track_caller]
fn run(storage: &Path, arguments: &[&str]) {
    let output = with_source(storage, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// A file of so many kibibytes beside the disk.
fn value(disk: &Disk, kibibytes: usize) -> String {
    let path = disk.dir.path().join("value");
    fs::write(&path, vec![7; kibibytes * 1024]).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_write_that_finds_no_room_takes_that_of_the_oldest_purge() {
    if !can_mount() {
        return;
    }
    let Some(disk) = Disk::make(16) else { return };
    let storage = disk.storage();
    for _ in 0..3 {
        run(&storage, &["set", "default", "k", &value(&disk, 4 * 1024)]);
        run(&storage, &["purge", "--keep-purged", "1h"]);
    }
    assert_eq!(kept(&storage), 3);
    // By a command.
    run(&storage, &["set", "default", "more", &value(&disk, 6 * 1024)]);
    assert_eq!(kept(&storage), 2);
    // Through a mount.
    let mount = TempMount::configured(&storage, |_| {});
    let more = vec![1; 4 * 1024 * 1024];
    fs::write(mount.store("default").join("and more"), &more).unwrap();
    assert!(fs::read(mount.store("default").join("and more")).unwrap() == more);
    assert_eq!(kept(&storage), 1);
    // Where nothing is kept any more, there is no room.
    fs::write(mount.store("default").join("still more"), &more).unwrap();
    assert_eq!(kept(&storage), 0);
    let full = fs::write(mount.store("default").join("too much"), &more);
    assert_eq!(Errno::from_io_error(&full.unwrap_err()), Some(Errno::NOSPC));
}

#[test]
fn little_room_ends_what_is_kept_whoever_takes_it() {
    let Some(disk) = Disk::make(16) else { return };
    let storage = disk.storage();
    run(&storage, &["set", "default", "k", &value(&disk, 1024)]);
    run(&storage, &["purge", "--keep-purged", "1h"]);
    run(&storage, &["create", "one"]);
    assert_eq!(kept(&storage), 1);
    // A twentieth of the disk is left.
    sh("head -c 14700K /dev/zero > disk/filler || true", disk.dir.path());
    run(&storage, &["create", "two"]);
    wait_until("it has ended", || kept(&storage) == 0);
}
