//! A read-only mount: everything can be read, and nothing at all is written.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::common::{
    METADATA, STORES, TempMount, TempStorage, can_mount, mime_type, names, sh, wait_until,
};
use crate::help::{errno, facts, write};

#[test]
fn a_read_only_mount_writes_nothing_at_all() {
    if !can_mount() {
        return;
    }
    for options in [["--read-only", "-v"].as_slice(), &["-o", "ro"], &["--read-only", "--ttl=0"]] {
        let storage = TempStorage::of_fixture("python/values");
        // Large enough to be read by the kernel itself in other mounts.
        fs::write(storage.store("kinds").join("large"), vec![b'x'; 2 << 20]).unwrap();
        sh("touch -d 2001-01-01 $(find .)", &storage.path());
        let (before, facts_before) = (storage.files(), facts(storage.beside()));
        let paths = sh("find storage", storage.beside());
        // Times of access as they are where nobody has looked for long.
        on_all("touch -a -d 2001-01-01", &paths, storage.beside());
        let times = on_all("stat -c '%n %x %y %z'", &paths, storage.beside());
        let mount = TempMount::with_options(&storage, options);
        let kinds = mount.store("kinds");
        let record = kinds.join("data.json");

        let on_disk = Path::new("kinds/data.json");
        assert_eq!(fs::read(&record).unwrap(), before[on_disk]);
        assert_eq!(mime_type(&record), "application/json; charset=utf-8");
        sh("ls -lR; grep -rc '' . || true; getfattr -dR . || true; cat @status", &mount.path());
        sh("cat @purge", &kinds);

        assert_eq!(errno(write(&record, "new")), Errno::ROFS);
        assert_eq!(errno(File::options().append(true).open(&record)), Errno::ROFS);
        assert_eq!(errno(write(&kinds.join("new"), "new")), Errno::ROFS);
        assert_eq!(errno(write(&kinds.join(METADATA), "{}")), Errno::ROFS);
        assert_eq!(errno(write(&kinds.join("@purge"), "1")), Errno::ROFS);
        assert_eq!(errno(fs::remove_file(&record)), Errno::ROFS);
        assert_eq!(errno(fs::rename(&record, kinds.join("moved"))), Errno::ROFS);
        assert_eq!(errno(fs::rename(&kinds, mount.store("moved"))), Errno::ROFS);
        assert_eq!(errno(fs::create_dir(mount.store("new"))), Errno::ROFS);
        assert_eq!(errno(fs::remove_dir(mount.store("default"))), Errno::ROFS);
        let mode = fs::Permissions::from_mode(0o600);
        assert_eq!(errno(fs::set_permissions(&record, mode)), Errno::ROFS);
        assert_eq!(errno(std::os::unix::fs::chown(&record, Some(7), None)), Errno::ROFS);
        assert_eq!(errno(open_to_truncate(&record)), Errno::ROFS);
        let typed = rustix::fs::setxattr(&record, "user.mime_type", b"a/b", XattrFlags::empty());
        assert_eq!(errno(typed), Errno::ROFS);
        assert_eq!(errno(rustix::fs::removexattr(&record, "user.mime_type")), Errno::ROFS);

        mount.unmount();
        let times_after = on_all("stat -c '%n %x %y %z'", &paths, storage.beside());
        times.lines().zip(times_after.lines()).for_each(|(was, is)| assert_eq!(is, was));
        assert!(!names(&storage.path()).contains(".storefs"));
        assert!(storage.files() == before, "a file has changed");
        assert_eq!(facts(storage.beside()), facts_before);
    }
}

/// Runs a command on all of the paths, and gives back what it said.
fn on_all(command: &str, paths: &str, dir: &Path) -> String {
    let paths: Vec<_> = paths.lines().map(|path| format!("'{path}'")).collect();
    sh(&format!("{command} {}", paths.join(" ")), dir)
}

/// Truncates a file by opening it.
fn open_to_truncate(path: &Path) -> std::io::Result<()> {
    File::options().write(true).truncate(true).open(path).map(drop)
}

#[test]
fn p02_a_read_only_mount_follows_what_others_write() {
    if !can_mount() {
        return;
    }
    // With a time to live of 0 the next open sees it; without, it is told within milliseconds.
    for options in [["--read-only", "--ttl=0"].as_slice(), &["--read-only"]] {
        let storage = TempStorage::of_fixture("python/values");
        let mount = TempMount::with_options(&storage, options);
        let record = mount.store("kinds").join("data.json");
        let new = "replaced by an SDK";
        assert!(fs::read(&record).unwrap().starts_with(b"{"));
        fs::write(storage.beside().join("new"), new).unwrap();
        fs::rename(storage.beside().join("new"), storage.store("kinds").join("data.json")).unwrap();
        if options.len() == 1 {
            wait_until("the new version is opened", || {
                fs::read(&record).unwrap() == new.as_bytes()
            });
        }
        assert_eq!(fs::read(&record).unwrap(), new.as_bytes());
        fs::create_dir(storage.store("new")).unwrap();
        assert!(names(&mount.stores()).contains("new"));
        assert!(names(&storage.path()).contains(STORES));
    }
}
