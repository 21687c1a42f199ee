//! The kernel's replies, each with what it takes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuser::{
    Errno, FileHandle, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLock, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr,
};

use super::backing::{Backing, Backings};
use super::convert::{file_attr, fopen_flags, ino, kind, lock_kind};
use crate::fs::{Entry, FileAttr, FileSystem, Handle, Ino, Listed, Lock, Opened};
use crate::model::Space;

/// Inode numbers are never reused, so one generation is enough.
pub(super) const GENERATION: Generation = Generation(0);

/// Something to reply with.
pub(super) trait Reply<T>: Send + 'static {
    /// Replies with what the call came to.
    fn answer(self, fs: &FileSystem, outcome: Result<T, Errno>);

    /// Takes back what a call came to that nobody is told of any more.
    fn drop_outcome(_fs: &FileSystem, _outcome: T) {}
}

/// Nobody to reply to.
impl Reply<()> for () {
    fn answer(self, _: &FileSystem, _: Result<(), Errno>) {}
}

impl Reply<()> for ReplyEmpty {
    fn answer(self, _: &FileSystem, outcome: Result<(), Errno>) {
        match outcome {
            Ok(()) => self.ok(),
            Err(errno) => self.error(errno),
        }
    }
}

impl Reply<Entry> for ReplyEntry {
    fn answer(self, _: &FileSystem, outcome: Result<Entry, Errno>) {
        match outcome {
            Ok(entry) => self.entry_with_ttls(
                &entry.attr_ttl,
                &entry.entry_ttl,
                &file_attr(&entry.attr),
                GENERATION,
            ),
            Err(errno) => self.error(errno),
        }
    }

    fn drop_outcome(fs: &FileSystem, entry: Entry) {
        fs.forget(entry.attr.ino, 1);
    }
}

/// An open directory.
impl Reply<Handle> for ReplyOpen {
    fn answer(self, _: &FileSystem, outcome: Result<Handle, Errno>) {
        match outcome {
            Ok(handle) => self.opened(FileHandle(handle.0), FopenFlags::empty()),
            Err(errno) => self.error(errno),
        }
    }

    fn drop_outcome(fs: &FileSystem, handle: Handle) {
        fs.releasedir(handle);
    }
}

/// A listing whose names are in the reply already.
impl Reply<()> for ReplyDirectory {
    fn answer(self, _: &FileSystem, outcome: Result<(), Errno>) {
        match outcome {
            Ok(()) => self.ok(),
            Err(errno) => self.error(errno),
        }
    }
}

/// The inodes in a listing whose lookups are counted, as far as they may have to be taken back.
#[derive(Default)]
pub(super) struct Counted(pub(super) Vec<Ino>);

impl Reply<Counted> for ReplyDirectoryPlus {
    fn answer(self, _: &FileSystem, outcome: Result<Counted, Errno>) {
        match outcome {
            Ok(_) => self.ok(),
            Err(errno) => self.error(errno),
        }
    }

    fn drop_outcome(fs: &FileSystem, counted: Counted) {
        counted.0.into_iter().for_each(|ino| fs.forget(ino, 1));
    }
}

impl Reply<FileAttr> for (ReplyAttr, INodeNo) {
    fn answer(self, fs: &FileSystem, outcome: Result<FileAttr, Errno>) {
        let (reply, number) = self;
        match outcome {
            Ok(attr) => reply.attr(&fs.attr_ttl(ino(number)), &file_attr(&attr)),
            Err(errno) => reply.error(errno),
        }
    }
}

impl Reply<u64> for ReplyLseek {
    fn answer(self, _: &FileSystem, outcome: Result<u64, Errno>) {
        match outcome {
            Ok(offset) => self.offset(i64::try_from(offset).unwrap_or(i64::MAX)),
            Err(errno) => self.error(errno),
        }
    }
}

impl Reply<u32> for ReplyWrite {
    fn answer(self, _: &FileSystem, outcome: Result<u32, Errno>) {
        match outcome {
            Ok(count) => self.written(count),
            Err(errno) => self.error(errno),
        }
    }
}

impl Reply<Space> for ReplyStatfs {
    fn answer(self, _: &FileSystem, outcome: Result<Space, Errno>) {
        /// Longest file name in bytes, as everywhere on Linux.
        const NAME_MAX: u32 = 255;
        match outcome {
            Ok(space) => {
                let block_size = u32::try_from(space.block_size).unwrap_or(4096);
                self.statfs(
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
            Err(errno) => self.error(errno),
        }
    }
}

/// What keeps a lock from being taken; the lock itself, as a free one, if nothing does.
impl Reply<Option<Lock>> for (ReplyLock, Lock) {
    fn answer(self, _: &FileSystem, outcome: Result<Option<Lock>, Errno>) {
        let (reply, asked) = self;
        match outcome {
            Ok(Some(found)) => {
                reply.locked(found.first, found.last, lock_kind(found.kind), found.process);
            }
            Ok(None) => reply.locked(asked.first, asked.last, libc::F_UNLCK, 0),
            Err(errno) => reply.error(errno),
        }
    }
}

/// A value in the two steps of the kernel's protocol: its size if there is no room for anything, else its bytes.
impl Reply<Vec<u8>> for (ReplyXattr, u32) {
    fn answer(self, _: &FileSystem, outcome: Result<Vec<u8>, Errno>) {
        let (reply, room) = self;
        match outcome {
            Err(errno) => reply.error(errno),
            Ok(value) => match u32::try_from(value.len()) {
                Ok(len) if room == 0 => reply.size(len),
                Ok(len) if len <= room => reply.data(&value),
                _ => reply.error(Errno::ERANGE),
            },
        }
    }
}

/// An open, and the files that the kernel may be given for it.
pub(super) struct Opening {
    pub(super) reply: ReplyOpen,
    pub(super) ino: INodeNo,
    pub(super) backings: Arc<Backings>,
    /// Whether what is open for writing bypasses the kernel's cache.
    pub(super) direct_writes: bool,
}

impl Reply<Opened> for Opening {
    fn answer(self, fs: &FileSystem, outcome: Result<Opened, Errno>) {
        let Self { reply, ino, backings, direct_writes } = self;
        let opened = match outcome {
            Ok(opened) => opened,
            Err(errno) => return reply.error(errno),
        };
        let number = FileHandle(opened.handle.0);
        let flags = fopen_flags(&opened, direct_writes);
        let file = opened.large.as_deref().and_then(|value| value.local_file());
        match file.and_then(|file| backings.open(fs, ino.0, number.0, file)) {
            // The kernel refuses the flag here: there is no cache of its own to keep.
            Some(backing) => {
                let flags = flags - FopenFlags::FOPEN_KEEP_CACHE;
                let id = backing.wrapped(&reply);
                reply.opened_passthrough(number, flags, &id);
                Backing::unwrap(id);
            }
            None => reply.opened(number, flags),
        }
    }

    fn drop_outcome(fs: &FileSystem, opened: Opened) {
        fs.release(opened.handle);
    }
}

/// A file that is made and opened.
pub(super) struct Creating {
    pub(super) reply: ReplyCreate,
    /// As in an opening.
    pub(super) direct_writes: bool,
}

impl Reply<(Entry, Opened)> for Creating {
    fn answer(self, _: &FileSystem, outcome: Result<(Entry, Opened), Errno>) {
        match outcome {
            // One time to live serves for name and attributes here; both are zero.
            Ok((entry, opened)) => self.reply.created(
                &entry.entry_ttl,
                &file_attr(&entry.attr),
                GENERATION,
                FileHandle(opened.handle.0),
                fopen_flags(&opened, self.direct_writes),
            ),
            Err(errno) => self.reply.error(errno),
        }
    }
}

/// Bytes that are read.
pub(super) struct Reading(pub(super) ReplyData);

impl Reply<Vec<u8>> for Reading {
    fn answer(self, _: &FileSystem, outcome: Result<Vec<u8>, Errno>) {
        match outcome {
            Ok(bytes) => self.0.data(&bytes),
            Err(errno) => self.0.error(errno),
        }
    }
}

/// Number of an entry whose inode is not known, as libfuse has it.
const UNKNOWN_INODE: INodeNo = INodeNo(0xffff_ffff);

/// Adds a name to a listing. Gives back whether there was no more room.
pub(super) fn add_name(reply: &mut ReplyDirectory, listed: &Listed<'_>) -> bool {
    let name = OsStr::from_bytes(listed.name);
    reply.add(UNKNOWN_INODE, listed.next, kind(listed.kind), name)
}

/// Adds a name with its attributes to a listing. Gives back whether there was no more room.
pub(super) fn add_entry(
    reply: &mut ReplyDirectoryPlus,
    listed: &Listed<'_>,
    entry: &Entry,
) -> bool {
    let attr = file_attr(&entry.attr);
    // The crate knows one time to live for both; the shorter one is always true.
    let ttl = entry.entry_ttl.min(entry.attr_ttl);
    reply.add(attr.ino, listed.next, OsStr::from_bytes(listed.name), &ttl, &attr, GENERATION)
}
