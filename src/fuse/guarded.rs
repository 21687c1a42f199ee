//! Requests that come again, since the process that had taken them died: one that seems to be what kills is answered an error.
//!
//! The kernel marks what it sends again (Linux 6.9). Such a request is counted, in what outlives this process, before it is begun:
//! one that was begun by the process to which it came first and by the next, and comes to a third, was in flight at two deaths in a
//! row. One death alone is no proof: whatever else was in flight then would be answered an error too. What is sent for the first time,
//! which is nearly all, costs a look at one bit.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, INodeNo, IoctlFlags,
    KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyIoctl, ReplyLock, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};

use super::adapter::Adapter;
use crate::fs::{Handle, Ino, Kept};

/// The bit of a request's number that says that it comes again.
const AGAIN: u64 = 1 << 63;

/// So many workers may have begun a request since it came again. One more has begun it before.
const MOST_BEGUN_AGAIN: u64 = 1;

/// An adapter that is shown no request that has killed the processes before this one.
#[derive(Debug)]
pub struct Guarded {
    adapter: Adapter,
    kept: Option<Arc<Kept>>,
}

impl Guarded {
    /// Guards an adapter.
    #[must_use]
    pub fn new(adapter: Adapter) -> Self {
        let kept = adapter.fs.kept().cloned();
        Self { adapter, kept }
    }

    /// Whether a request is not to be tried any more.
    fn is_deadly(&self, operation: &str, request: &Request) -> bool {
        let unique = request.unique().0;
        if unique & AGAIN == 0 {
            return false;
        }
        let Some(kept) = &self.kept else { return false };
        let is_deadly = kept.begin_again(unique) >= MOST_BEGUN_AGAIN;
        if is_deadly {
            log::error!(
                "{operation}, request {}, was under way each time when the last two processes died; it is answered EIO",
                unique & !AGAIN
            );
        }
        is_deadly
    }
}

/// Passes requests on, each unless it is deadly.
macro_rules! guard {
    ($($operation:ident($($argument:ident: $kind:ty),*) -> $reply:ty;)*) => {
        $(
            fn $operation(&self, request: &Request, $($argument: $kind,)* reply: $reply) {
                if self.is_deadly(stringify!($operation), request) {
                    return reply.error(Errno::EIO);
                }
                self.adapter.$operation(request, $($argument,)* reply);
            }
        )*
    };
}

impl Filesystem for Guarded {
    fn init(&mut self, request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        self.adapter.init(request, config)
    }

    fn destroy(&mut self) {
        self.adapter.destroy();
    }

    fn forget(&self, request: &Request, ino: INodeNo, lookups: u64) {
        self.adapter.forget(request, ino, lookups);
    }

    fn readdir(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        if self.is_deadly("readdir", request) {
            return reply.error(Errno::EIO);
        }
        self.adapter.fs.restore_directory(Ino(ino.0), Handle(fh.0), offset);
        self.adapter.readdir(request, ino, fh, offset, reply);
    }

    fn readdirplus(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        if self.is_deadly("readdirplus", request) {
            return reply.error(Errno::EIO);
        }
        self.adapter.fs.restore_directory(Ino(ino.0), Handle(fh.0), offset);
        self.adapter.readdirplus(request, ino, fh, offset, reply);
    }

    /// Who waits for the next line of `@log` is not counted, as who waits for a lock.
    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if !self.adapter.fs.is_log(Ino(ino.0)) && self.is_deadly("read", request) {
            return reply.error(Errno::EIO);
        }
        self.adapter.read(request, ino, fh, offset, size, flags, lock_owner, reply);
    }

    guard! {
        lookup(parent: INodeNo, name: &OsStr) -> ReplyEntry;
        getattr(ino: INodeNo, fh: Option<FileHandle>) -> ReplyAttr;
        setattr(
            ino: INodeNo, mode: Option<u32>, uid: Option<u32>, gid: Option<u32>, size: Option<u64>,
            atime: Option<TimeOrNow>, mtime: Option<TimeOrNow>, ctime: Option<SystemTime>,
            fh: Option<FileHandle>, crtime: Option<SystemTime>, chgtime: Option<SystemTime>,
            bkuptime: Option<SystemTime>, flags: Option<BsdFileFlags>
        ) -> ReplyAttr;
        mknod(parent: INodeNo, name: &OsStr, mode: u32, umask: u32, rdev: u32) -> ReplyEntry;
        mkdir(parent: INodeNo, name: &OsStr, mode: u32, umask: u32) -> ReplyEntry;
        unlink(parent: INodeNo, name: &OsStr) -> ReplyEmpty;
        rmdir(parent: INodeNo, name: &OsStr) -> ReplyEmpty;
        symlink(parent: INodeNo, link_name: &OsStr, target: &Path) -> ReplyEntry;
        rename(
            parent: INodeNo, name: &OsStr, newparent: INodeNo, newname: &OsStr, flags: RenameFlags
        ) -> ReplyEmpty;
        link(ino: INodeNo, newparent: INodeNo, newname: &OsStr) -> ReplyEntry;
        open(ino: INodeNo, flags: OpenFlags) -> ReplyOpen;
        create(parent: INodeNo, name: &OsStr, mode: u32, umask: u32, flags: i32) -> ReplyCreate;
        write(
            ino: INodeNo, fh: FileHandle, offset: u64, data: &[u8], write_flags: WriteFlags,
            flags: OpenFlags, lock_owner: Option<LockOwner>
        ) -> ReplyWrite;
        flush(ino: INodeNo, fh: FileHandle, lock_owner: LockOwner) -> ReplyEmpty;
        release(
            ino: INodeNo, fh: FileHandle, flags: OpenFlags, lock_owner: Option<LockOwner>, flush: bool
        ) -> ReplyEmpty;
        fsync(ino: INodeNo, fh: FileHandle, datasync: bool) -> ReplyEmpty;
        opendir(ino: INodeNo, flags: OpenFlags) -> ReplyOpen;
        releasedir(ino: INodeNo, fh: FileHandle, flags: OpenFlags) -> ReplyEmpty;
        fsyncdir(ino: INodeNo, fh: FileHandle, datasync: bool) -> ReplyEmpty;
        statfs(ino: INodeNo) -> ReplyStatfs;
        setxattr(
            ino: INodeNo, name: &OsStr, value: &[u8], flags: i32, position: u32
        ) -> ReplyEmpty;
        getxattr(ino: INodeNo, name: &OsStr, size: u32) -> ReplyXattr;
        listxattr(ino: INodeNo, size: u32) -> ReplyXattr;
        removexattr(ino: INodeNo, name: &OsStr) -> ReplyEmpty;
        fallocate(
            ino: INodeNo, fh: FileHandle, offset: u64, length: u64, mode: i32
        ) -> ReplyEmpty;
        getlk(
            ino: INodeNo, fh: FileHandle, owner: LockOwner, start: u64, end: u64, kind: i32, pid: u32
        ) -> ReplyLock;
        ioctl(
            ino: INodeNo, fh: FileHandle, flags: IoctlFlags, command: u32, data: &[u8], out_size: u32
        ) -> ReplyIoctl;
        poll(
            ino: INodeNo, fh: FileHandle, ph: PollNotifier, events: PollEvents, flags: PollFlags
        ) -> ReplyPoll;
        lseek(ino: INodeNo, fh: FileHandle, offset: i64, whence: i32) -> ReplyLseek;
        copy_file_range(
            ino_in: INodeNo, fh_in: FileHandle, offset_in: u64, ino_out: INodeNo, fh_out: FileHandle,
            offset_out: u64, len: u64, flags: CopyFileRangeFlags
        ) -> ReplyWrite;
    }

    /// Not counted: who waits for a lock may be under way at any number of deaths.
    fn setlk(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        pid: u32,
        sleep: bool,
        reply: ReplyEmpty,
    ) {
        self.adapter.setlk(request, ino, fh, owner, start, end, kind, pid, sleep, reply);
    }
}
