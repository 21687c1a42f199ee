//! The kernel's words and the file system's, both ways.

use std::time::{Duration, SystemTime};

use fuser::{
    FileHandle, FopenFlags, INodeNo, LockOwner, OpenFlags, Request, TimeOrNow, WriteFlags,
};

use crate::fs::{
    Caller, FileAttr, FileKind, Handle, Ino, Lock, LockKind, OpenMode, Opened, Position, WriteMode,
};
use crate::model::TimeChange;

/// The size in which reads and writes do best, in bytes.
const BLOCK_SIZE: u32 = 4096;

pub(super) fn caller(request: &Request) -> Caller {
    Caller { uid: request.uid(), gid: request.gid(), thread: request.pid() }
}

pub(super) fn ino(number: INodeNo) -> Ino {
    Ino(number.0)
}

pub(super) fn handle(number: FileHandle) -> Handle {
    Handle(number.0)
}

/// How a request writes. Its own flags tell, since a program may have changed those that it opened the file with; what
/// comes from a memory map has none, and a place of its own.
pub(super) fn write_mode(
    request: &Request,
    flags: OpenFlags,
    write_flags: WriteFlags,
    offset: u64,
) -> WriteMode {
    let is_appended = flags.0 & libc::O_APPEND != 0;
    WriteMode {
        position: if is_appended { Position::End } else { Position::At(offset) },
        sync: flags.0 & (libc::O_SYNC | libc::O_DSYNC) != 0,
        mapped: write_flags.contains(WriteFlags::FUSE_WRITE_CACHE),
        clears_set_id: write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID),
        by: request.pid(),
    }
}

pub(super) fn open_mode(flags: i32) -> OpenMode {
    let access = flags & libc::O_ACCMODE;
    OpenMode {
        read: access != libc::O_WRONLY,
        write: access != libc::O_RDONLY,
        truncate: flags & libc::O_TRUNC != 0,
        exclusive: flags & libc::O_EXCL != 0,
    }
}

pub(super) fn time_change(time: TimeOrNow) -> TimeChange {
    match time {
        TimeOrNow::Now => TimeChange::Now,
        TimeOrNow::SpecificTime(time) => TimeChange::At(as_meant(time)),
    }
}

/// fuser 0.18 counts the nanoseconds of a time before 1970 backwards; the kernel counts them forwards.
fn as_meant(time: SystemTime) -> SystemTime {
    let epoch = SystemTime::UNIX_EPOCH;
    match epoch.duration_since(time) {
        Ok(before) if before.subsec_nanos() > 0 => {
            let forwards = Duration::from_nanos(before.subsec_nanos().into());
            epoch
                .checked_sub(Duration::from_secs(before.as_secs()))
                .and_then(|second| second.checked_add(forwards))
                .unwrap_or(time)
        }
        _ => time,
    }
}

/// A lock that is asked for by a handle, an owner and a process; `None` if it is of no known kind.
pub(super) fn lock(
    (handle_number, owner, process): (FileHandle, LockOwner, u32),
    kind: i32,
    first: u64,
    last: u64,
) -> Option<Lock> {
    let kind = match kind {
        libc::F_RDLCK => LockKind::Shared,
        libc::F_WRLCK => LockKind::Exclusive,
        _ => return None,
    };
    Some(Lock { owner: owner.0, handle: handle(handle_number), process, kind, first, last })
}

pub(super) fn lock_kind(kind: LockKind) -> i32 {
    match kind {
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
    }
}

pub(super) fn kind(kind: FileKind) -> fuser::FileType {
    match kind {
        FileKind::Directory => fuser::FileType::Directory,
        FileKind::File => fuser::FileType::RegularFile,
    }
}

pub(super) fn file_attr(attr: &FileAttr) -> fuser::FileAttr {
    let attributes = &attr.attributes;
    fuser::FileAttr {
        ino: INodeNo(attr.ino.0),
        size: attributes.size,
        blocks: attributes.blocks,
        atime: attributes.accessed,
        mtime: attributes.modified,
        ctime: attributes.changed,
        crtime: SystemTime::UNIX_EPOCH,
        kind: kind(attr.kind),
        perm: u16::try_from(attributes.mode & 0o7777).unwrap_or(0),
        nlink: attr.links,
        uid: attributes.uid,
        gid: attributes.gid,
        rdev: 0,
        blksize: BLOCK_SIZE,
        flags: 0,
    }
}

pub(super) fn fopen_flags(opened: &Opened, direct_writes: bool) -> FopenFlags {
    let mut flags = FopenFlags::empty();
    // Past the kernel's cache is faster, but a map is in it.
    let is_direct = opened.direct || (opened.is_written && !opened.is_mappable && direct_writes);
    flags.set(FopenFlags::FOPEN_DIRECT_IO, is_direct);
    flags.set(FopenFlags::FOPEN_KEEP_CACHE, opened.keep_cache);
    flags.set(FopenFlags::FOPEN_NOFLUSH, opened.no_flush);
    flags
}
