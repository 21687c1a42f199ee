//! Owner, mode, times and room: those of the files on disk.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use crate::common::{METADATA, TempMount, can_mount, mime_type, sh, wait_until, xattr};
use crate::help::{close, errno, is_root, make_store, storage_of, write};

/// What of a file's attributes is to be the same on both sides.
fn shown(path: &Path) -> (u32, u32, u32, u64, [i64; 6]) {
    let found = fs::metadata(path).unwrap();
    let times = [
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
        found.atime(),
        found.atime_nsec(),
    ];
    let size = if found.is_dir() { 0 } else { found.len() };
    (found.mode(), found.uid(), found.gid(), size, times)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn owner(path: &Path) -> (u32, u32) {
    let found = fs::metadata(path).unwrap();
    (found.uid(), found.gid())
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn seconds(count: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(count)
}

#[test]
fn attributes_are_those_of_the_files_on_disk() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["k", "other"]);
    let on_disk = storage.store("default");
    chown(on_disk.join("k"), Some(1234), Some(5678)).unwrap();
    set_mode(&on_disk.join("k"), 0o604);
    let k = File::options().write(true).open(on_disk.join("k")).unwrap();
    k.set_modified(seconds(1_000_000_000) + Duration::from_nanos(123_456_789)).unwrap();
    set_mode(&on_disk.join(METADATA), 0o600);
    chown(&on_disk, Some(1234), None).unwrap();
    set_mode(&on_disk, 0o750);
    let mount = TempMount::new(&storage);
    for name in ["k", "other", METADATA] {
        assert_eq!(shown(&mount.store("default").join(name)), shown(&on_disk.join(name)), "{name}");
    }
    assert_eq!(shown(&mount.store("default")), shown(&on_disk));
    let listed = sh("ls -ln default/k", &mount.stores());
    assert!(listed.starts_with("-rw----r-- 1 1234 5678 1 "), "{listed}");
}

#[test]
fn chmod_chown_and_times_reach_the_files_on_disk() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    sh(
        "chmod 640 default/k; chown 1234:5678 default/k; touch -d '2001-09-09 01:46:40 UTC' default/k
         chmod 711 default; chown 1234:5678 default; chgrp 99 default",
        &mount.stores(),
    );
    for side in [mount.store("default"), storage.store("default")] {
        let record = side.join("k");
        assert_eq!((mode(&record), owner(&record)), (0o640, (1234, 5678)), "{}", record.display());
        assert_eq!(fs::metadata(&record).unwrap().modified().unwrap(), seconds(1_000_000_000));
        assert_eq!((mode(&side), owner(&side)), (0o711, (1234, 99)), "{}", side.display());
    }
    let open = File::options().write(true).open(mount.store("default").join("k")).unwrap();
    open.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
    open.set_modified(seconds(1_100_000_000)).unwrap();
    close(open).unwrap();
    let record = storage.store("default").join("k");
    assert_eq!(mode(&record), 0o600);
    assert_eq!(fs::metadata(&record).unwrap().modified().unwrap(), seconds(1_100_000_000));
    assert_eq!(fs::read_to_string(record).unwrap(), "k");
}

#[test]
fn options_override_what_is_shown() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["k"]);
    let on_disk = storage.store("default").join("k");
    chown(&on_disk, Some(1234), Some(5678)).unwrap();
    set_mode(&on_disk, 0o666);
    set_mode(&storage.store("default"), 0o777);
    let options = ["--uid", "42", "--gid", "43", "--umask", "027"];
    let mount = TempMount::with_options(&storage, &options);
    let record = mount.store("default").join("k");
    assert_eq!((mode(&record), owner(&record)), (0o640, (42, 43)));
    for directory in [mount.store("default"), mount.stores(), mount.path()] {
        assert_eq!((mode(&directory), owner(&directory)), (0o750, (42, 43)));
    }
    assert_eq!(owner(&mount.store("default").join("@purge")), (42, 43));

    // Succeeds without effect, as cp -p and tar need it.
    chown(&record, Some(7), Some(8)).unwrap();
    chown(mount.store("default"), Some(7), Some(8)).unwrap();
    assert_eq!((owner(&record), owner(&on_disk)), ((42, 43), (1234, 5678)));
    set_mode(&record, 0o646);
    assert_eq!((mode(&record), mode(&on_disk)), (0o640, 0o646));
}

#[test]
fn strict_refuses_what_would_have_no_effect() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["k"]);
    let on_disk = storage.store("default").join("k");
    let mount = TempMount::with_options(&storage, &["--strict", "--uid", "42"]);
    let record = mount.store("default").join("k");
    assert_eq!(errno(chown(&record, Some(7), None)), Errno::PERM);
    assert_eq!(errno(chown(mount.store("default"), Some(7), None)), Errno::PERM);
    // The group is not overridden, and is kept on disk.
    chown(&record, None, Some(8)).unwrap();
    set_mode(&record, 0o600);
    let root = rustix::process::getuid().as_raw();
    assert_eq!((owner(&on_disk), mode(&on_disk)), ((root, 8), 0o600));
    for directory in [mount.path(), mount.stores()] {
        let refused = fs::set_permissions(&directory, fs::Permissions::from_mode(0o700));
        assert_eq!(errno(refused), Errno::PERM, "{}", directory.display());
    }
}

#[test]
fn changes_of_directories_that_no_backend_keeps_succeed_without_effect() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    for directory in [mount.path(), mount.stores()] {
        let before = shown(&directory);
        sh("chmod 700 .; chown 7:8 .; touch .", &directory);
        assert_eq!(shown(&directory), before);
    }
}

#[test]
fn copying_tools_keep_times_and_modes() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    sh(
        &format!(
            "mkdir out; echo one > out/one; echo two > out/two
             chmod 600 out/one; touch -d '2001-09-09 01:46:40.5 UTC' out/one out/two
             cp -p out/one {store}/by-cp
             cp -a out/one {store}/by-cp-a
             rsync -a out/one {store}/by-rsync
             tar -C out --format=posix -cf - two | tar -C {store} -xpf -
             install -p -m 640 out/one {store}/by-install
             touch -d '2001-09-09 01:46:40.5 UTC' {store}/k",
            store = mount.store("default").display()
        ),
        storage.beside(),
    );
    let half = seconds(1_000_000_000) + Duration::from_millis(500);
    for (name, expected) in [
        ("by-cp", 0o600),
        ("by-cp-a", 0o600),
        ("by-rsync", 0o600),
        ("by-install", 0o640),
        ("two", mode(&storage.beside().join("out/two"))),
        ("k", mode(&storage.store("default").join("k"))),
    ] {
        for side in [mount.store("default"), storage.store("default")] {
            let record = side.join(name);
            let modified = fs::metadata(&record).unwrap().modified().unwrap();
            assert_eq!(modified, half, "{}", record.display());
            assert_eq!(mode(&record), expected, "{}", record.display());
        }
    }
    // What is as it was is not copied again.
    let copied = sh(
        &format!("rsync -ai out/one {}/by-rsync", mount.store("default").display()),
        storage.beside(),
    );
    assert_eq!(copied, "");
}

#[test]
fn times_far_away_are_kept() {
    if !can_mount() {
        return;
    }
    keeps_times(&["1970-01-01 00:00:00", "1960-02-29 12:00:00", "2200-01-01 00:00:00.75"]);
}

#[test]
fn a_time_before_1970_keeps_its_fraction() {
    if !can_mount() {
        return;
    }
    keeps_times(&["1960-02-29 12:00:00.25"]);
}

#[track_caller]
fn keeps_times(dates: &[&str]) {
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let (record, on_disk) = (mount.store("default").join("k"), storage.store("default").join("k"));
    for date in dates {
        sh(&format!("touch -d '{date} UTC' k"), &mount.store("default"));
        let printed = sh("TZ=UTC stat -c %y k", &storage.store("default"));
        assert!(printed.starts_with(date), "{date} has become {printed}");
        assert_eq!(shown(&record), shown(&on_disk), "{date}");
    }
}

#[test]
fn cp_a_between_stores_keeps_the_content_type() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["page"]);
    make_store(&storage, "other");
    let mount = TempMount::new(&storage);
    let page = mount.store("default").join("page");
    rustix::fs::setxattr(&page, "user.mime_type", b"text/x-own", rustix::fs::XattrFlags::empty())
        .unwrap();
    sh("cp -a default/page other/", &mount.stores());
    assert_eq!(mime_type(&mount.store("other").join("page")), "text/x-own");
}

#[test]
fn new_files_have_the_mode_that_was_asked_for_less_the_umask() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    let mount = TempMount::new(&storage);
    sh(
        "umask 027; echo x > default/plain; touch default/touched; mkdir made
         umask 000; echo x > default/open; mkdir wide
         umask 077; echo x > default/closed; install -m 751 /dev/null default/installed",
        &mount.stores(),
    );
    for (path, expected) in [
        ("default/plain", 0o640),
        ("default/touched", 0o640),
        ("default/open", 0o666),
        ("default/closed", 0o600),
        ("default/installed", 0o751),
        ("made", 0o750),
        ("wide", 0o777),
    ] {
        assert_eq!(mode(&mount.stores().join(path)), expected, "{path}");
        assert_eq!(mode(&storage.store(path)), expected, "{path} on disk");
    }
}

#[test]
fn overwriting_keeps_mode_and_owner() {
    if !can_mount() || !is_root() {
        return;
    }
    let storage = storage_of(&["written", "appended", "cut"]);
    for name in ["written", "appended", "cut"] {
        let on_disk = storage.store("default").join(name);
        chown(&on_disk, Some(1234), Some(5678)).unwrap();
        set_mode(&on_disk, 0o604);
    }
    let mount = TempMount::new(&storage);
    sh("echo new > written; echo more >> appended; truncate -s 2 cut", &mount.store("default"));
    for name in ["written", "appended", "cut"] {
        for side in [mount.store("default"), storage.store("default")] {
            let record = side.join(name);
            assert_eq!((mode(&record), owner(&record)), (0o604, (1234, 5678)), "{name}");
        }
    }
    assert_eq!(fs::read(storage.store("default").join("cut")).unwrap(), b"cu");
}

#[test]
fn the_time_of_a_record_is_that_of_its_publication() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let record = mount.store("default").join("k");
    let before = SystemTime::now();
    write(&record, "new").unwrap();
    let after = SystemTime::now();
    let modified = fs::metadata(&record).unwrap().modified().unwrap();
    assert!(before <= modified && modified <= after, "{before:?} {modified:?} {after:?}");
    assert_eq!(shown(&record), shown(&storage.store("default").join("k")));
}

#[test]
fn room_is_that_of_the_disk() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&["k"]);
    let mount = TempMount::new(&storage);
    let of = |path: &Path| {
        let found = rustix::fs::statvfs(path).unwrap();
        let fixed = (found.f_frsize, found.f_blocks, found.f_files, found.f_namemax);
        (fixed, (found.f_bfree, found.f_bavail, found.f_ffree))
    };
    assert_eq!(of(&mount.path()).0, of(&storage.path()).0);
    // Others use the same disk meanwhile: what is free is the same in a quiet moment.
    wait_until("the same is free", || {
        let before = of(&storage.path());
        let here = of(&mount.store("default"));
        here == before && here == of(&storage.path())
    });
}

#[test]
fn attributes_of_a_record_without_content_type_are_shown_too() {
    if !can_mount() {
        return;
    }
    let storage = storage_of(&[]);
    fs::write(storage.store("default").join("bare.html"), "<p>").unwrap();
    let mount = TempMount::new(&storage);
    let (bare, on_disk) =
        (mount.store("default").join("bare.html"), storage.store("default").join("bare.html"));
    assert_eq!(shown(&bare), shown(&on_disk));
    assert_eq!(xattr(&bare, "user.mime_type").unwrap(), "text/html; charset=utf-8");
    set_mode(&bare, 0o600);
    assert_eq!(mode(&on_disk), 0o600);
}
