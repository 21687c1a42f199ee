//! Making one call of the file system for each request, and replying with what it came to.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fuser::{
    Errno, Generation, INodeNo, ReplyAttr, ReplyEmpty, ReplyEntry, ReplyWrite, ReplyXattr,
};

use super::convert::file_attr;
use super::errno;
use super::waiting::Waiting;
use crate::fs::{Entry, FileAttr, FileSystem, FsResult};

/// Inode numbers are never reused, so one generation is enough.
pub(super) const GENERATION: Generation = Generation(0);

/// One request: what it is called in the log, and which inode it is about.
#[derive(Clone, Copy)]
pub(super) struct About {
    pub(super) operation: &'static str,
    pub(super) ino: INodeNo,
}

/// Whether a request may have to wait for a medium or for other requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// It needs nothing.
    Never,
    /// It may.
    Maybe,
}

impl Wait {
    pub(super) fn maybe(if_true: bool) -> Self {
        if if_true { Self::Maybe } else { Self::Never }
    }
}

/// Something to reply with.
pub(super) trait Reply<T>: Send + 'static {
    /// Replies with what the call came to.
    fn answer(self, fs: &FileSystem, outcome: Result<T, Errno>);
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
}

impl Reply<FileAttr> for (ReplyAttr, INodeNo) {
    fn answer(self, fs: &FileSystem, outcome: Result<FileAttr, Errno>) {
        let (reply, ino) = self;
        match outcome {
            Ok(attr) => reply.attr(&fs.attr_ttl(crate::fs::Ino(ino.0)), &file_attr(&attr)),
            Err(errno) => reply.error(errno),
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

/// Makes one call and replies with what it came to.
pub(super) fn serve<T>(
    (fs, waiting, wait): (&Arc<FileSystem>, &Arc<Waiting>, Wait),
    about: About,
    reply: impl Reply<T>,
    call: impl FnOnce(&FileSystem) -> FsResult<T> + Send + 'static,
) {
    match wait {
        Wait::Never => reply.answer(fs, run(about, || call(fs))),
        Wait::Maybe => {
            let fs = Arc::clone(fs);
            waiting.serve(move || reply.answer(&fs, run(about, || call(&fs))));
        }
    }
}

/// Runs one call; logs an error once, with what it was about, and turns it into its errno.
pub(super) fn run<T>(about: About, call: impl FnOnce() -> FsResult<T>) -> Result<T, Errno> {
    let About { operation, ino } = about;
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let errno = errno::of(&error);
            log::log!(errno::level(errno), "{operation} of inode {ino}: {error}");
            Err(errno)
        }
        Err(_) => {
            log::error!("{operation} of inode {ino}: a bug in storefs made it panic");
            Err(Errno::EIO)
        }
    }
}
