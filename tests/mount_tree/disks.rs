//! Disks that say no in their own way: a quota, and two that break.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::common::{METADATA, STORES, TempMount, can_mount, names, staged, wait_until};
use crate::faults::{is_alive, is_whole, mount_with_store};
use crate::help::{SmallDisk, close, errno, write};

/// A btrfs on which the storage may hold a few MiB.
const WITH_QUOTA: &str = "
    truncate -s 128M image; mkfs.btrfs -q image; mount -o loop image disk
    btrfs -q quota enable disk; btrfs -q subvolume create disk/storage; btrfs -q qgroup limit 8M disk/storage
";

#[test]
fn p7_a_quota_is_said_to_the_writer_and_loses_nothing() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::made_by(WITH_QUOTA) else { return };
    let mount = mount_with_store(&disk);
    let store = mount.store("default");
    let on_disk = disk.storage().join(STORES).join("default");
    write(&store.join("INPUT.json"), "{}").unwrap();
    write(&store.join("k"), "old").unwrap();
    // No two blocks are alike, in case the disk compresses or shares them.
    let large: Vec<u8> = (0..(1_u32 << 20) / 4).flat_map(u32::to_le_bytes).collect();
    let mut written = 0;
    let refused = loop {
        match write(&store.join(format!("k{written}")), &large) {
            Ok(()) => written += 1,
            refused => break errno(refused),
        }
        assert!(written < 100, "nothing is refused");
    };
    assert_eq!(refused, Errno::DQUOT);
    assert_eq!(errno(fs::metadata(store.join(format!("k{written}")))), Errno::NOENT);
    assert_eq!(errno(write(&store.join("k"), &large)), Errno::DQUOT);
    let patched = File::options().write(true).open(store.join("k")).unwrap();
    // Of a write that takes several requests, the caller is only told that less was written: then the next one is
    // answered with the error.
    let refused = (1..).map(|at| patched.write_all_at(&large, at << 20)).find(Result::is_err);
    assert_eq!(errno(refused.unwrap()), Errno::DQUOT);
    assert_eq!(errno(patched.sync_all()), Errno::DQUOT, "the handle has failed");
    assert_eq!(errno(close(patched)), Errno::DQUOT, "the handle has failed");

    assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "old");
    assert_eq!(fs::read_to_string(on_disk.join("k")).unwrap(), "old");
    for record in 0..written {
        assert!(fs::read(store.join(format!("k{record}"))).unwrap() == large);
    }
    is_whole(&on_disk);
    wait_until("nothing is left in staging", || staged(&disk.storage()).is_empty());
    is_alive(&mount);

    disk.run("btrfs -q qgroup limit none disk/storage");
    write(&store.join("k"), &large).unwrap();
    fs::rename(store.join("k"), store.join("moved")).unwrap();
    write(&store.join("@purge"), "1").unwrap();
    assert_eq!(names(&store), ["INPUT.json", METADATA].map(String::from).into());
    is_whole(&on_disk);
}

/// An ext4 without a journal on a disk that grows with what is written to it, until `below` is full. Then each
/// block that the kernel writes back is lost, as on a disk with bad sectors; the kernel says that there is no space.
const THAT_BREAKS: &str = "
    mount -t tmpfs -o size=3M,mode=700 tmpfs below; truncate -s 16M below/image
    mkfs.ext4 -q -O ^has_journal -m 0 -b 1024 -N 256 below/image; mount -o loop below/image disk; mkdir disk/storage
";

#[test]
fn p7_a_failed_fsync_is_told_and_the_handle_stays_failed() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::made_by(THAT_BREAKS) else { return };
    let mount = mount_with_store(&disk);
    let store = mount.store("default");
    let on_disk = disk.storage().join(STORES).join("default");
    let mut old = File::create(store.join("k")).unwrap();
    old.write_all(b"old").unwrap();
    old.sync_all().unwrap();
    close(old).unwrap();
    let mut writer = File::options().append(true).open(store.join("k")).unwrap();
    disk.run(
        "sync -f disk; ! dd if=/dev/zero of=below/filler bs=64K 2> log; grep -q 'No space' log",
    );

    // The system takes the bytes, and finds out only when it writes them to the disk.
    writer.write_all(&vec![b'x'; 1 << 20]).unwrap();
    let failure = errno(writer.sync_all());
    assert!(matches!(failure, Errno::IO | Errno::NOSPC));
    assert_eq!(errno(writer.sync_all()), failure, "the handle has failed");
    assert_eq!(errno(writer.write_all(b"x")), failure, "the handle has failed");
    assert_eq!(errno(close(writer)), failure, "the handle has failed");
    assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "old");
    assert_eq!(fs::read_to_string(on_disk.join("k")).unwrap(), "old");
    is_whole(&on_disk);
    wait_until("nothing is left in staging", || staged(&disk.storage()).is_empty());
    is_alive(&mount);

    disk.run("rm below/filler");
    let mut writer = File::options().append(true).open(store.join("k")).unwrap();
    writer.write_all(b" and new").unwrap();
    writer.sync_all().unwrap();
    close(writer).unwrap();
    assert_eq!(fs::read_to_string(on_disk.join("k")).unwrap(), "old and new");
    is_whole(&on_disk);
}

/// Waits for a line, and then makes the ext4 in an argument answer everything with an I/O error until it is mounted
/// anew: EXT4_IOC_SHUTDOWN, without a flush.
const SHUT_DOWN: &str = "import fcntl, os, struct, sys
disk = os.open(sys.argv[1], os.O_RDONLY)
input()
fcntl.ioctl(disk, 0x8004587D, struct.pack('I', 2))";

#[test]
fn p7_a_broken_disk_is_an_error_at_each_call_until_it_is_mounted_anew() {
    if !can_mount() {
        return;
    }
    let Some(disk) = SmallDisk::make("") else { return };
    let mut mount = mount_with_store(&disk);
    let store = mount.store("default");
    let on_disk = disk.storage().join(STORES).join("default");
    for record in ["INPUT.json", "k"] {
        let mut file = File::create(store.join(record)).unwrap();
        file.write_all(b"old").unwrap();
        file.sync_all().unwrap();
        close(file).unwrap();
    }
    // Started before anything is written: a child closes its copies of our open files, which publishes them.
    let mut breaker = Command::new("python3");
    breaker.args(["-c", SHUT_DOWN]).arg(disk.storage()).stdin(Stdio::piped());
    let mut breaker = breaker.spawn().unwrap();
    let mut closing = File::options().append(true).open(store.join("k")).unwrap();
    closing.write_all(b" and more").unwrap();
    let mut syncing = File::create(store.join("made")).unwrap();
    syncing.write_all(b"new").unwrap();
    let writing = File::options().append(true).open(store.join("INPUT.json"));
    breaker.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(breaker.wait().unwrap().success());

    assert_eq!(errno(close(closing)), Errno::IO, "close");
    assert_eq!(errno(syncing.sync_all()), Errno::IO, "fsync");
    assert_eq!(errno(close(syncing)), Errno::IO, "close after fsync");
    assert_eq!(errno(writing.and_then(|mut file| file.write_all(b"x"))), Errno::IO, "write");
    assert_eq!(errno(write(&store.join("new"), "x")), Errno::IO, "create");
    assert_eq!(errno(write(&store.join("k"), "x")), Errno::IO, "open for writing");
    assert_eq!(errno(write(&store.join("@purge"), "1")), Errno::IO, "purge");
    assert_eq!(errno(fs::rename(store.join("k"), store.join("moved"))), Errno::IO, "rename");
    assert_eq!(errno(fs::remove_file(store.join("k"))), Errno::IO, "delete");
    assert_eq!(errno(fs::create_dir(mount.store("made"))), Errno::IO, "mkdir");
    assert_eq!(errno(fs::rename(&store, mount.store("moved"))), Errno::IO, "rename of a store");
    let typed =
        rustix::fs::setxattr(store.join("k"), "user.mime_type", b"a/b", XattrFlags::empty());
    assert_eq!(errno(typed), Errno::IO, "setxattr");
    is_alive(&mount);

    // The file system itself is gone, and with it what the mount holds open: that cannot come back to it.
    mount.kill();
    disk.run("umount disk; mount -o loop image disk");
    let again = TempMount::configured(&disk.storage(), |_| {});
    let store = again.store("default");
    assert_eq!(names(&store), ["INPUT.json", "k", METADATA].map(String::from).into());
    assert_eq!(fs::read_to_string(store.join("k")).unwrap(), "old");
    wait_until("nothing is left in staging", || staged(&disk.storage()).is_empty());
    write(&store.join("k"), "new").unwrap();
    assert_eq!(fs::read_to_string(on_disk.join("k")).unwrap(), "new");
    is_whole(&on_disk);
}
