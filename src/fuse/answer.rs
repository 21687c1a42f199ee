//! Making one call of the file system for each request, and replying with what it came to.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fuser::{Errno, INodeNo, ReplyEmpty, ReplyEntry, ReplyXattr};

use super::convert::file_attr;
use super::{Adapter, GENERATION, errno};
use crate::fs::{Caller, Entry, FileSystem, FsResult};

impl Adapter {
    /// Makes a call of the file system.
    pub(super) fn call<T>(
        &self,
        operation: &str,
        ino: INodeNo,
        call: impl FnOnce(&FileSystem) -> FsResult<T>,
    ) -> Result<T, Errno> {
        run(operation, ino, || call(&self.fs))
    }

    /// Replies with what a call that gives nothing back came to.
    pub(super) fn acknowledge(
        &self,
        operation: &str,
        ino: INodeNo,
        reply: ReplyEmpty,
        call: impl FnOnce(&FileSystem) -> FsResult<()>,
    ) {
        match self.call(operation, ino, call) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    pub(super) fn reply_entry(
        &self,
        operation: &str,
        ino: INodeNo,
        reply: ReplyEntry,
        call: impl FnOnce(&FileSystem) -> FsResult<Entry>,
    ) {
        answer_entry(reply, self.call(operation, ino, call));
    }

    /// Looks a name up as soon as the kernel has let go of something, on a thread of its own: it is those that serve to
    /// whom the kernel says so.
    pub(super) fn lookup_when_there_is_room(
        &self,
        caller: Caller,
        parent: INodeNo,
        name: OsString,
        reply: ReplyEntry,
    ) {
        let fs = Arc::clone(&self.fs);
        let wait = move || {
            let look = || fs.lookup_to_trust(&caller, parent.0, name.as_bytes());
            answer_entry(reply, run("lookup", parent, || fs.when_there_is_room(look)));
        };
        let spawned = std::thread::Builder::new().name("storefs-waiting".to_owned()).spawn(wait);
        if let Err(error) = spawned {
            // The reply went with the thread, and has told the kernel of an error.
            log::error!("lookup beneath inode {parent}: no thread to wait in: {error}");
        }
    }

    /// Replies with a value in the two steps of the kernel's protocol: its size, then its bytes.
    pub(super) fn reply_xattr(
        &self,
        operation: &str,
        ino: INodeNo,
        size: u32,
        reply: ReplyXattr,
        call: impl FnOnce(&FileSystem) -> FsResult<Vec<u8>>,
    ) {
        match self.call(operation, ino, call) {
            Err(errno) => reply.error(errno),
            Ok(value) => match u32::try_from(value.len()) {
                Ok(len) if size == 0 => reply.size(len),
                Ok(len) if len <= size => reply.data(&value),
                _ => reply.error(Errno::ERANGE),
            },
        }
    }
}

/// Runs one call; logs an error once, with what it was about, and turns it into its errno.
fn run<T>(operation: &str, ino: INodeNo, call: impl FnOnce() -> FsResult<T>) -> Result<T, Errno> {
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

pub(super) fn answer_entry(reply: ReplyEntry, outcome: Result<Entry, Errno>) {
    match outcome {
        Ok(entry) => reply.entry_with_ttls(
            &entry.attr_ttl,
            &entry.entry_ttl,
            &file_attr(&entry.attr),
            GENERATION,
        ),
        Err(errno) => reply.error(errno),
    }
}
