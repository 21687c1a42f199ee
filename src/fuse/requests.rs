//! The kernel's requests, one method each.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, INodeNo, IoctlFlags,
    KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyIoctl, ReplyLock, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};

use super::adapter::{Adapter, read};
use super::answer::Wait;
use super::init;
use crate::fs::{AttrChange, Extent, FileSystem, FsError, Operation};
use crate::model::AttributeChange;

use super::convert::{caller, handle, ino, open_mode, time_change, write_mode};
use super::locking::Range;
use super::reply::{Creating, Reading, Reply};

impl Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        self.direct_writes = init::begin(&self.fs, config);
        Ok(())
    }

    fn destroy(&mut self) {
        // What was released last may still be being published.
        self.waiting.wait();
        if let Some(on_destroy) = self.on_destroy.lock().take() {
            on_destroy();
        }
    }

    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let asked = self.asked_of(req, Operation::Lookup, (parent, name));
        let caller = caller(req);
        if self.fs.lookup_waits(ino(parent), name.as_bytes()) {
            let name = name.to_owned();
            return self.look((caller, Wait::Maybe), asked, reply, move |fs| {
                fs.lookup(&caller, ino(parent), name.as_bytes())
            });
        }
        let call = |fs: &FileSystem| match fs.lookup(&caller, ino(parent), name.as_bytes()) {
            Err(FsError::TooManyOpen) => Ok(None),
            entry => entry.map(Some),
        };
        match self.call(asked, call) {
            Ok(Some(entry)) => reply.answer(&self.fs, Ok(entry)),
            Ok(None) => self.lookup_when_there_is_room(caller, parent, name.to_owned(), reply),
            Err(errno) => reply.error(errno),
        }
    }

    fn forget(&self, req: &Request, number: INodeNo, lookups: u64) {
        let asked = self.asked(req, Operation::Forget, number);
        // A call without a reply: what could fail has been logged.
        let _ = self.call(asked, |fs| {
            fs.forget(ino(number), lookups);
            Ok(())
        });
    }

    fn getattr(&self, req: &Request, number: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let asked = self.asked(req, Operation::Getattr, number);
        let wait = Wait::maybe(self.fs.inode_waits(ino(number)));
        self.look((caller(req), wait), asked, (reply, number), move |fs| fs.getattr(ino(number)));
    }

    fn setattr(
        &self,
        req: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let asked = self.asked(req, Operation::Setattr, number);
        let (accessed, modified) = (atime.map(time_change), mtime.map(time_change));
        let attributes = AttributeChange { mode, uid, gid, accessed, modified };
        let change = AttrChange { size, attributes };
        let caller = caller(req);
        self.serve(Wait::Maybe, asked, (reply, number), move |fs| {
            fs.setattr(&caller, ino(number), &change, fh.map(handle))
        });
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        let asked = self.asked_of(req, Operation::Mknod, (parent, name));
        if !matches!(mode & libc::S_IFMT, 0 | libc::S_IFREG) {
            return reply.error(self.refuse(asked, Errno::EPERM));
        }
        let (caller, name) = (caller(req), name.to_owned());
        self.serve(Wait::Maybe, asked, reply, move |fs| {
            fs.mknod(&caller, ino(parent), name.as_bytes(), mode & !umask)
        });
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let asked = self.asked_of(req, Operation::Mkdir, (parent, name));
        let (caller, name) = (caller(req), name.to_owned());
        self.serve(Wait::Maybe, asked, reply, move |fs| {
            fs.mkdir(&caller, ino(parent), name.as_bytes(), mode & !umask)
        });
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let asked = self.asked_of(req, Operation::Unlink, (parent, name));
        let name = name.to_owned();
        self.serve(Wait::Maybe, asked, reply, move |fs| fs.unlink(ino(parent), name.as_bytes()));
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let asked = self.asked_of(req, Operation::Rmdir, (parent, name));
        let name = name.to_owned();
        self.serve(Wait::Maybe, asked, reply, move |fs| fs.rmdir(ino(parent), name.as_bytes()));
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _target: &Path,
        reply: ReplyEntry,
    ) {
        let asked = self.asked_of(req, Operation::Symlink, (parent, name));
        reply.error(self.refuse(asked, Errno::EPERM));
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut asked = self.asked_of(req, Operation::Rename, (parent, name));
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(self.refuse(asked, Errno::EINVAL));
        }
        let exclusive = flags.contains(RenameFlags::RENAME_NOREPLACE);
        self.fs.asked_also(&mut asked, ino(newparent), newname.as_bytes());
        let (name, new_name) = (name.to_owned(), newname.to_owned());
        self.serve(Wait::Maybe, asked, reply, move |fs| {
            let (name, new_name) = (name.as_bytes(), new_name.as_bytes());
            fs.rename(ino(parent), name, ino(newparent), new_name, exclusive)
        });
    }

    fn link(
        &self,
        req: &Request,
        number: INodeNo,
        _newparent: INodeNo,
        _newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let asked = self.asked(req, Operation::Link, number);
        reply.error(self.refuse(asked, Errno::EPERM));
    }

    fn open(&self, req: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if self.fs.is_without_opens() {
            // The kernel asks no more.
            return reply.error(Errno::ENOSYS);
        }
        let asked = self.asked(req, Operation::Open, number);
        let (caller, mode) = (caller(req), open_mode(flags.0));
        let foreseen = self.fs.foreseen(&caller, ino(number), mode);
        let wait = Wait::maybe(foreseen.is_none() && self.fs.inode_waits(ino(number)));
        let reply = self.opening(reply, number);
        let call = move |fs: &FileSystem| match foreseen {
            Some(value) => fs.open_foreseen(ino(number), value),
            None => fs.open(&caller, ino(number), mode),
        };
        match mode.write || mode.truncate {
            true => self.serve(wait, asked, reply, call),
            false => self.look((caller, wait), asked, reply, call),
        }
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let asked = self.asked_of(req, Operation::Create, (parent, name));
        let wait = Wait::maybe(self.fs.lookup_waits(ino(parent), name.as_bytes()));
        let (caller, name) = (caller(req), name.to_owned());
        let reply = Creating { reply, direct_writes: self.direct_writes };
        self.serve(wait, asked, reply, move |fs| {
            fs.create(&caller, ino(parent), name.as_bytes(), mode & !umask, open_mode(flags))
        });
    }

    fn read(
        &self,
        req: &Request,
        number: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let asked = self.asked(req, Operation::Read, number);
        if self.fs.is_log(ino(number)) {
            return self.read_log(caller(req), fh, (offset, size), reply);
        }
        let wait = Wait::maybe(self.fs.read_waits(handle(fh), offset, size.into()));
        self.look((caller(req), wait), asked, Reading(reply), move |fs| {
            read(fs, ino(number), handle(fh), offset, size)
        });
    }

    fn write(
        &self,
        req: &Request,
        number: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let asked = self.asked(req, Operation::Write, number);
        let mode = write_mode(req, flags, write_flags, offset);
        // A request is at most 16 MiB long.
        let count = u32::try_from(data.len()).unwrap_or(u32::MAX);
        if mode.sync || self.fs.handle_waits(handle(fh)).busy {
            let data = data.to_vec();
            return self.serve(Wait::Maybe, asked, reply, move |fs| {
                fs.write(handle(fh), &data, mode).map(|()| fs.written(count))
            });
        }
        let written = self.call(asked, |fs| fs.write(handle(fh), data, mode));
        reply.answer(&self.fs, written.map(|()| self.fs.written(count)));
    }

    fn flush(
        &self,
        req: &Request,
        number: INodeNo,
        fh: FileHandle,
        lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        if self.fs.is_without_opens() {
            // Nor does it say that it closes.
            return reply.error(Errno::ENOSYS);
        }
        let asked = self.asked(req, Operation::Flush, number);
        let caller = caller(req);
        let wait = Wait::maybe(self.fs.handle_waits(handle(fh)).publishes);
        self.serve(wait, asked, reply, move |fs| {
            fs.close_locks(ino(number), handle(fh), lock_owner.0);
            fs.flush(&caller, handle(fh))
        });
    }

    fn release(
        &self,
        req: &Request,
        number: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let asked = self.asked(req, Operation::Release, number);
        self.backings.release(fh.0);
        // At once: who finds the file locked waits for the threads that take requests, not for one that publishes.
        self.fs.release_locks(handle(fh));
        let wait = Wait::maybe(self.fs.handle_waits(handle(fh)).publishes);
        self.serve(wait, asked, reply, move |fs| {
            fs.release(handle(fh));
            Ok(())
        });
    }

    fn fsync(
        &self,
        req: &Request,
        number: INodeNo,
        fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let asked = self.asked(req, Operation::Fsync, number);
        self.serve(Wait::Maybe, asked, reply, move |fs| fs.fsync(ino(number), handle(fh)));
    }

    fn opendir(&self, req: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let asked = self.asked(req, Operation::Opendir, number);
        let wait = Wait::maybe(self.fs.is_remote() && self.fs.inode_waits(ino(number)));
        self.look((caller(req), wait), asked, reply, move |fs| fs.opendir(ino(number)));
    }

    fn readdir(
        &self,
        req: &Request,
        number: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        let asked = self.asked(req, Operation::Readdir, number);
        self.list_names((caller(req), asked), handle(fh), offset, reply);
    }

    fn readdirplus(
        &self,
        req: &Request,
        number: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        let asked = self.asked(req, Operation::Readdirplus, number);
        self.list_entries((caller(req), asked), handle(fh), offset, reply);
    }

    fn releasedir(
        &self,
        req: &Request,
        number: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        let asked = self.asked(req, Operation::Releasedir, number);
        self.serve(Wait::Never, asked, reply, move |fs| {
            fs.releasedir(handle(fh));
            Ok(())
        });
    }

    fn fsyncdir(
        &self,
        req: &Request,
        number: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let asked = self.asked(req, Operation::Fsyncdir, number);
        self.serve(Wait::Maybe, asked, reply, move |fs| fs.fsyncdir(ino(number)));
    }

    fn statfs(&self, req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let asked = self.asked(req, Operation::Statfs, ino);
        let Some(known) = self.fs.known_space() else {
            let wait = Wait::maybe(self.fs.is_remote());
            return self.serve(wait, asked, reply, FileSystem::statfs);
        };
        reply.answer(&self.fs, self.call(asked, |_| Ok(known.space)));
        if known.is_old {
            let asked = self.asked(req, Operation::Statfs, ino);
            self.serve(Wait::Maybe, asked, (), |fs| fs.statfs().map(drop));
        }
    }

    fn setxattr(
        &self,
        req: &Request,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let asked = self.asked(req, Operation::Setxattr, number);
        let create = flags & libc::XATTR_CREATE != 0;
        let (name, value) = (name.to_owned(), value.to_vec());
        self.serve(Wait::Maybe, asked, reply, move |fs| {
            fs.setxattr(ino(number), name.as_bytes(), &value, create)
        });
    }

    fn getxattr(&self, req: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let asked = self.asked(req, Operation::Getxattr, number);
        let wait = Wait::maybe(self.fs.xattr_waits(name.as_bytes()));
        let (caller, name) = (caller(req), name.to_owned());
        self.look((caller, wait), asked, (reply, size), move |fs| {
            fs.getxattr(ino(number), name.as_bytes())
        });
    }

    fn listxattr(&self, req: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let asked = self.asked(req, Operation::Listxattr, number);
        self.serve(Wait::Never, asked, (reply, size), move |fs| {
            let names = fs.listxattr(ino(number))?;
            Ok(names.into_iter().flat_map(|name| name.into_iter().chain([0])).collect())
        });
    }

    fn removexattr(&self, req: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let asked = self.asked(req, Operation::Removexattr, number);
        let name = name.to_owned();
        self.serve(Wait::Maybe, asked, reply, move |fs| {
            fs.removexattr(ino(number), name.as_bytes())
        });
    }

    fn fallocate(
        &self,
        req: &Request,
        number: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let asked = self.asked(req, Operation::Fallocate, number);
        let keep_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        let is_zeroing = match mode & !libc::FALLOC_FL_KEEP_SIZE {
            0 => false,
            libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE => true,
            _ => return reply.error(self.refuse(asked, Errno::EOPNOTSUPP)),
        };
        self.serve(Wait::Maybe, asked, reply, move |fs| {
            if is_zeroing {
                fs.zero(handle(fh), offset, length, keep_size)
            } else {
                fs.reserve(handle(fh), offset, length, keep_size)
            }
        });
    }

    fn getlk(
        &self,
        req: &Request,
        number: INodeNo,
        fh: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        pid: u32,
        reply: ReplyLock,
    ) {
        let asked = self.asked(req, Operation::Getlk, number);
        let range = Range { fh, owner, start, end, kind, pid };
        self.find_lock((asked, number), &range, reply);
    }

    fn setlk(
        &self,
        req: &Request,
        number: INodeNo,
        fh: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        pid: u32,
        sleep: bool,
        reply: ReplyEmpty,
    ) {
        let asked = self.asked(req, Operation::Setlk, number);
        let range = Range { fh, owner, start, end, kind, pid };
        self.take_lock((asked, number), &range, sleep.then(|| caller(req)), reply);
    }

    // The rest is answered without a word: the kernel asks once and then does it itself, or not at all.

    fn ioctl(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn poll(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _ph: PollNotifier,
        _events: PollEvents,
        _flags: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn lseek(
        &self,
        req: &Request,
        number: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let asked = self.asked(req, Operation::Lseek, number);
        let extent = match whence {
            libc::SEEK_DATA => Extent::Data,
            libc::SEEK_HOLE => Extent::Hole,
            // Those the kernel answers itself.
            _ => return reply.error(self.refuse(asked, Errno::EINVAL)),
        };
        let Ok(offset) = u64::try_from(offset) else {
            return reply.error(self.refuse(asked, Errno::ENXIO));
        };
        self.serve(Wait::Maybe, asked, reply, move |fs| {
            fs.seek(ino(number), handle(fh), offset, extent)
        });
    }

    fn copy_file_range(
        &self,
        _req: &Request,
        _ino_in: INodeNo,
        _fh_in: FileHandle,
        _offset_in: u64,
        _ino_out: INodeNo,
        _fh_out: FileHandle,
        _offset_out: u64,
        _len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::ENOSYS);
    }
}
