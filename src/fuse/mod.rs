//! The FUSE adapter: each kernel request becomes one call of the file system, each outcome one reply.
//!
//! Nothing is decided here, and no state is kept but the files that the kernel reads itself (`backing`). A panic in a
//! request is logged and answered with EIO, so that it does not take an event loop, and with it the mount, down.

mod answer;
mod backing;
mod convert;
mod errno;
mod init;
mod notify;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation,
    INodeNo, IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek,
    ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use parking_lot::Mutex;

use crate::fs::{AttrChange, FileSystem, FsError};
use crate::model::AttributeChange;
use answer::answer_entry;
use backing::Backings;
use convert::{caller, file_attr, fopen_flags, kind, open_mode, time_change};
pub use fuser;
pub use notify::attach_notifier;

/// Inode numbers are never reused, so one generation is enough.
const GENERATION: Generation = Generation(0);

/// Number of an entry whose inode is not known, as libfuse has it.
const UNKNOWN_INODE: INodeNo = INodeNo(0xffff_ffff);

/// Speaks for a [`FileSystem`] to the kernel.
pub struct Adapter {
    fs: Arc<FileSystem>,
    backings: Backings,
    /// Whether what is open for writing bypasses the kernel's cache.
    direct_writes: bool,
    /// Called once, when the session has ended. A leaf lock.
    on_destroy: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter").field("fs", &self.fs).finish_non_exhaustive()
    }
}

impl Adapter {
    /// Makes the adapter of a file system. `on_destroy` is called when the session has ended, however it did.
    #[must_use]
    pub fn new(fs: Arc<FileSystem>, on_destroy: Box<dyn FnOnce() + Send>) -> Self {
        let on_destroy = Mutex::new(Some(on_destroy));
        Self { fs, backings: Backings::default(), direct_writes: false, on_destroy }
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let without_opens = init::can_do_without_opens(config) && self.fs.begin_without_opens();
        let negotiated = init::negotiate(config, without_opens);
        self.direct_writes = negotiated.maps_direct_io;
        if !negotiated.passthrough {
            self.backings.refuse();
        }
        Ok(())
    }

    fn destroy(&mut self) {
        if let Some(on_destroy) = self.on_destroy.lock().take() {
            on_destroy();
        }
    }

    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let caller = caller(req);
        let call = |fs: &FileSystem| match fs.lookup_to_trust(&caller, parent.0, name.as_bytes()) {
            Err(FsError::TooManyOpen) => Ok(None),
            entry => entry.map(Some),
        };
        match self.call("lookup", parent, call) {
            Ok(Some(entry)) => answer_entry(reply, Ok(entry)),
            Ok(None) => self.lookup_when_there_is_room(caller, parent, name.to_owned(), reply),
            Err(errno) => reply.error(errno),
        }
    }

    fn forget(&self, _req: &Request, ino: INodeNo, lookups: u64) {
        // A call without a reply: what could fail has been logged.
        let _ = self.call("forget", ino, |fs| {
            fs.forget(ino.0, lookups);
            Ok(())
        });
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.call("getattr", ino, |fs| fs.getattr(ino.0)) {
            Ok(attr) => reply.attr(&self.fs.attr_ttl(ino.0), &file_attr(&attr)),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
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
        let attributes = AttributeChange {
            mode,
            uid,
            gid,
            accessed: atime.map(time_change),
            modified: mtime.map(time_change),
        };
        let change = AttrChange { size, attributes };
        let call = |fs: &FileSystem| fs.setattr(&caller(req), ino.0, &change, fh.map(|fh| fh.0));
        match self.call("setattr", ino, call) {
            Ok(attr) => reply.attr(&self.fs.attr_ttl(ino.0), &file_attr(&attr)),
            Err(errno) => reply.error(errno),
        }
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
        if !matches!(mode & libc::S_IFMT, 0 | libc::S_IFREG) {
            return reply.error(Errno::EPERM);
        }
        self.reply_entry("mknod", parent, reply, |fs| {
            fs.mknod(&caller(req), parent.0, name.as_bytes(), mode & !umask)
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
        self.reply_entry("mkdir", parent, reply, |fs| {
            fs.mkdir(&caller(req), parent.0, name.as_bytes(), mode & !umask)
        });
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.acknowledge("unlink", parent, reply, |fs| fs.unlink(parent.0, name.as_bytes()));
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.acknowledge("rmdir", parent, reply, |fs| fs.rmdir(parent.0, name.as_bytes()));
    }

    fn symlink(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _link_name: &OsStr,
        _target: &Path,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EPERM);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let exclusive = flags.contains(RenameFlags::RENAME_NOREPLACE);
        self.acknowledge("rename", parent, reply, |fs| {
            fs.rename(parent.0, name.as_bytes(), newparent.0, newname.as_bytes(), exclusive)
        });
    }

    fn link(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _newparent: INodeNo,
        _newname: &OsStr,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EPERM);
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if self.fs.is_without_opens() {
            // The kernel asks no more.
            return reply.error(Errno::ENOSYS);
        }
        match self.call("open", ino, |fs| fs.open(&caller(req), ino.0, open_mode(flags.0))) {
            Ok(opened) => {
                let (handle, flags) =
                    (FileHandle(opened.handle), fopen_flags(&opened, self.direct_writes));
                let file = opened.large.as_deref().and_then(|value| value.local_file());
                match file.and_then(|file| self.backings.open(&reply, ino.0, handle.0, file)) {
                    // The kernel refuses the flag here: there is no cache of its own to keep.
                    Some(id) => {
                        let flags = flags - FopenFlags::FOPEN_KEEP_CACHE;
                        reply.opened_passthrough(handle, flags, &id);
                    }
                    None => reply.opened(handle, flags),
                }
            }
            Err(errno) => reply.error(errno),
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
        let call = |fs: &FileSystem| {
            fs.create(&caller(req), parent.0, name.as_bytes(), mode & !umask, open_mode(flags))
        };
        match self.call("create", parent, call) {
            // One time to live serves for name and attributes here; both are zero.
            Ok((entry, opened)) => reply.created(
                &entry.entry_ttl,
                &file_attr(&entry.attr),
                GENERATION,
                FileHandle(opened.handle),
                fopen_flags(&opened, self.direct_writes),
            ),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(0)];
        let call = |fs: &FileSystem| match fs.is_without_opens() {
            true => fs.read_inode(ino.0, &mut buffer, offset),
            false => fs.read(fh.0, &mut buffer, offset),
        };
        match self.call("read", ino, call) {
            Ok(count) => reply.data(buffer.get(..count).unwrap_or_default()),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.call("write", ino, |fs| fs.write(fh.0, data, offset)) {
            // A request is at most 16 MiB long.
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        if self.fs.is_without_opens() {
            // Nor does it say that it closes.
            return reply.error(Errno::ENOSYS);
        }
        self.acknowledge("flush", ino, reply, |fs| fs.flush(fh.0));
    }

    fn release(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.backings.release(fh.0);
        self.acknowledge("release", ino, reply, |fs| {
            fs.release(fh.0);
            Ok(())
        });
    }

    fn fsync(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.acknowledge("fsync", ino, reply, |fs| fs.fsync(ino.0, fh.0));
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.call("opendir", ino, |fs| fs.opendir(ino.0)) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let call = |fs: &FileSystem| {
            fs.readdir(fh.0, offset, |listed| {
                let name = OsStr::from_bytes(listed.name);
                reply.add(UNKNOWN_INODE, listed.next, kind(listed.kind), name)
            })
        };
        match self.call("readdir", ino, call) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let call = |fs: &FileSystem| {
            fs.readdirplus(fh.0, offset, |listed, entry| {
                let attr = file_attr(&entry.attr);
                // The crate knows one time to live for both; the shorter one is always true.
                let ttl = entry.entry_ttl.min(entry.attr_ttl);
                let name = OsStr::from_bytes(listed.name);
                reply.add(attr.ino, listed.next, name, &ttl, &attr, GENERATION)
            })
        };
        match self.call("readdirplus", ino, call) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn releasedir(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.acknowledge("releasedir", ino, reply, |fs| {
            fs.releasedir(fh.0);
            Ok(())
        });
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.acknowledge("fsyncdir", ino, reply, |fs| fs.fsyncdir(ino.0));
    }

    fn statfs(&self, _req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        /// Longest file name in bytes, as everywhere on Linux.
        const NAME_MAX: u32 = 255;
        match self.call("statfs", ino, FileSystem::statfs) {
            Ok(space) => {
                let block_size = u32::try_from(space.block_size).unwrap_or(4096);
                reply.statfs(
                    space.blocks,
                    space.blocks_free,
                    space.blocks_available,
                    space.files,
                    space.files_free,
                    block_size,
                    NAME_MAX,
                    block_size,
                );
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn setxattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let create = flags & libc::XATTR_CREATE != 0;
        self.acknowledge("setxattr", ino, reply, |fs| {
            fs.setxattr(ino.0, name.as_bytes(), value, create)
        });
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        self.reply_xattr("getxattr", ino, size, reply, |fs| fs.getxattr(ino.0, name.as_bytes()));
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.reply_xattr("listxattr", ino, size, reply, |fs| {
            let names = fs.listxattr(ino.0)?;
            Ok(names.into_iter().flat_map(|name| name.into_iter().chain([0])).collect())
        });
    }

    fn removexattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.acknowledge("removexattr", ino, reply, |fs| fs.removexattr(ino.0, name.as_bytes()));
    }

    fn fallocate(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode & !libc::FALLOC_FL_KEEP_SIZE != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let keep_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        self.acknowledge("fallocate", ino, reply, |fs| fs.reserve(fh.0, offset, length, keep_size));
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

    fn lseek(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: i64,
        _whence: i32,
        reply: ReplyLseek,
    ) {
        reply.error(Errno::ENOSYS);
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
