//! What is done to an open file stays with it, whatever has its name by now (P6, P6b, P20).

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use super::Mounted;
use crate::common::mime_type;

/// As an SDK does.
fn replace(on_disk: &Path, text: &str, mode: u32) {
    let temporary = on_disk.with_extension("tmp.by.sdk");
    fs::write(&temporary, text).unwrap();
    fs::set_permissions(&temporary, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(&temporary, on_disk).unwrap();
}

fn close(file: File) -> Result<(), Errno> {
    nix::unistd::close(file).map_err(|errno| Errno::from_raw_os_error(errno as i32))
}

#[test]
fn p06_attributes_are_set_of_the_file_that_is_open() {
    let Some(mounted) = Mounted::new() else { return };
    for by_sdk in [false, true] {
        let record = mounted.record("r");
        fs::write(&record, "old").unwrap();
        let old = File::open(&record).unwrap();
        if by_sdk {
            replace(&mounted.on_disk("r"), "new", 0o644);
        } else {
            fs::write(mounted.record("temporary"), "new").unwrap();
            fs::rename(mounted.record("temporary"), &record).unwrap();
        }
        assert_eq!(fs::read_to_string(&record).unwrap(), "new");
        let before = fs::metadata(&record).unwrap();
        let content_type = mime_type(&record);
        rustix::fs::fchmod(&old, 0o600.into()).unwrap();
        let (uid, gid) = (before.uid(), before.gid());
        if rustix::process::geteuid().is_root() {
            rustix::fs::fchown(&old, Some(rustix::process::Uid::from_raw(65534)), None).unwrap();
        }
        let time = Timespec { tv_sec: 5, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(&old, &times).unwrap();
        let set = rustix::fs::fsetxattr(&old, "user.mime_type", b"text/x-own", XattrFlags::empty());
        assert_eq!(set, Err(Errno::STALE), "there is no record any more that has this type");
        let after = fs::metadata(&record).unwrap();
        assert_eq!(after.mode(), before.mode(), "by an SDK: {by_sdk}");
        assert_eq!((after.uid(), after.gid(), after.mtime()), (uid, gid, before.mtime()));
        assert_eq!(mime_type(&record), content_type);
        let own = old.metadata().unwrap();
        assert_eq!((own.mode() & 0o777, own.mtime()), (0o600, 5), "by an SDK: {by_sdk}");
        drop(old);
        fs::remove_file(&record).unwrap();
    }
}

#[test]
fn p06_what_others_have_put_in_the_place_of_an_open_record_is_never_undone_by_its_writers() {
    let Some(mounted) = Mounted::new() else { return };
    let (record, on_disk) = (mounted.record("r"), mounted.on_disk("r"));
    let append = || OpenOptions::new().append(true).open(&record).unwrap();

    // Written before it is replaced, and after.
    for before in [true, false] {
        fs::write(&record, "old").unwrap();
        let mut writer = append();
        if before {
            writer.write_all(b" and more").unwrap();
        }
        replace(&on_disk, "by an SDK", 0o644);
        writer.write_all(b" late").unwrap();
        assert_eq!(close(writer.try_clone().unwrap()), Err(Errno::STALE), "before: {before}");
        assert_eq!(close(writer), Err(Errno::STALE), "the same again (P7)");
        assert_eq!(fs::read_to_string(&on_disk).unwrap(), "by an SDK");
        assert_eq!(fs::read_to_string(&record).unwrap(), "by an SDK");
    }

    // Who opens it then appends to what is there.
    fs::write(&record, "old").unwrap();
    let idle = append();
    replace(&on_disk, "by an SDK", 0o644);
    let mut next = append();
    next.write_all(b", and more").unwrap();
    close(next).unwrap();
    assert_eq!(fs::read_to_string(&on_disk).unwrap(), "by an SDK, and more");
    drop(idle);

    // Of two that have written it anew, the last one wins.
    let mut whole = File::create(&record).unwrap();
    whole.write_all(b"anew").unwrap();
    replace(&on_disk, "by an SDK", 0o644);
    close(whole).unwrap();
    assert_eq!(fs::read_to_string(&on_disk).unwrap(), "anew");
}

#[test]
fn p06_what_others_have_removed_never_comes_back_by_its_writers() {
    let Some(mounted) = Mounted::new() else { return };
    let (record, on_disk) = (mounted.record("r"), mounted.on_disk("r"));
    for empties in [false, true] {
        fs::write(&record, "old").unwrap();
        let mut options = OpenOptions::new();
        let mut writer = options.read(true).write(true).truncate(empties).open(&record).unwrap();
        fs::remove_file(&on_disk).unwrap();
        writer.write_all(b"written").unwrap();
        close(writer.try_clone().unwrap()).unwrap();
        assert!(!on_disk.exists() && !record.exists(), "empties: {empties}");
        writer.rewind().unwrap();
        let mut read = String::new();
        writer.read_to_string(&mut read).unwrap();
        assert_eq!(read, "written", "it goes on, without a name");
        fs::write(&record, "another").unwrap();
        writer.write_all(b" and more").unwrap();
        close(writer).unwrap();
        assert_eq!(fs::read_to_string(&on_disk).unwrap(), "another");
    }
}
