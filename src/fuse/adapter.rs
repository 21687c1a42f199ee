//! What the adapter keeps, and how it makes a call.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuser::{Errno, FileHandle, INodeNo, ReplyData, ReplyEntry, ReplyOpen, Request};
use parking_lot::Mutex;

use super::answer::{Wait, run, serve};
use super::backing::Backings;
use super::convert::{caller, handle, ino};
use super::droppable::{Shared, serve_droppable};
use super::errno;
use super::interrupts::Interrupts;
use super::reply::{Opening, Reading, Reply};
use super::waiting::Waiting;
use crate::fs::{Asked, Caller, FileSystem, FsResult, Handle, Ino, Operation};

/// Speaks for a [`FileSystem`] to the kernel.
pub struct Adapter {
    pub(super) fs: Arc<FileSystem>,
    pub(super) backings: Arc<Backings>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) interrupts: Arc<Interrupts>,
    /// Whether what is open for writing bypasses the kernel's cache.
    pub(super) direct_writes: bool,
    /// Called once, when the session has ended. A leaf lock.
    pub(super) on_destroy: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter").field("fs", &self.fs).finish_non_exhaustive()
    }
}

impl Adapter {
    /// Makes the adapter of a file system. `on_destroy` is called when the session has ended, however it did.
    ///
    /// # Errors
    /// The system's answer if it makes no thread.
    pub fn new(fs: Arc<FileSystem>, on_destroy: Box<dyn FnOnce() + Send>) -> std::io::Result<Self> {
        let waiting = if fs.is_remote() { Waiting::elsewhere()? } else { Waiting::begin()? };
        Ok(Self {
            fs,
            backings: Arc::default(),
            waiting: Arc::new(waiting),
            interrupts: Arc::default(),
            direct_writes: false,
            on_destroy: Mutex::new(Some(on_destroy)),
        })
    }

    /// The files that the kernel reads itself.
    #[must_use]
    pub fn backings(&self) -> Arc<Backings> {
        Arc::clone(&self.backings)
    }

    /// Makes one call of the file system, and replies with what it came to.
    pub(super) fn serve<T>(
        &self,
        wait: Wait,
        asked: Asked,
        reply: impl Reply<T>,
        call: impl FnOnce(&FileSystem) -> FsResult<T> + Send + 'static,
    ) {
        serve((&self.fs, &self.waiting, wait), asked, reply, call);
    }

    /// As [`serve`](Self::serve), of a call whose outcome may be dropped: where it waits for a network, the caller can be
    /// interrupted.
    pub(super) fn look<T>(
        &self,
        (caller, wait): (Caller, Wait),
        asked: Asked,
        reply: impl Reply<T>,
        call: impl FnOnce(&FileSystem) -> FsResult<T> + Send + 'static,
    ) {
        if wait == Wait::Maybe && self.fs.is_remote() {
            return self.look_sharing(caller, asked, Shared::new(reply), call);
        }
        self.serve(wait, asked, reply, call);
    }

    /// The same of a call that waits for a network, and fills its reply meanwhile.
    pub(super) fn look_sharing<T, R: Reply<T>>(
        &self,
        caller: Caller,
        asked: Asked,
        reply: Shared<R>,
        call: impl FnOnce(&FileSystem) -> FsResult<T> + Send + 'static,
    ) {
        let by = (&self.fs, &self.waiting, &self.interrupts);
        serve_droppable(by, caller, asked, reply, call);
    }

    /// What replies to an open of an inode.
    pub(super) fn opening(&self, reply: ReplyOpen, ino: INodeNo) -> Opening {
        let (backings, direct_writes) = (Arc::clone(&self.backings), self.direct_writes);
        Opening { reply, ino, backings, direct_writes }
    }

    /// Makes one call that waits for nothing.
    pub(super) fn call<T>(
        &self,
        asked: Asked,
        call: impl FnOnce(&FileSystem) -> FsResult<T>,
    ) -> Result<T, Errno> {
        run(&self.fs, asked, || call(&self.fs))
    }

    /// Refuses a request without asking anybody. Gives back what to reply.
    pub(super) fn refuse(&self, asked: Asked, errno: Errno) -> Errno {
        self.fs.answered(asked, errno.code());
        errno
    }

    /// A request is asked, about an inode.
    pub(super) fn asked(&self, request: &Request, operation: Operation, number: INodeNo) -> Asked {
        self.fs.asked(&caller(request), operation, ino(number), None)
    }

    /// A request is asked, about a name in a directory.
    pub(super) fn asked_of(
        &self,
        request: &Request,
        operation: Operation,
        (parent, name): (INodeNo, &OsStr),
    ) -> Asked {
        self.fs.asked(&caller(request), operation, ino(parent), Some(name.as_bytes()))
    }

    /// Reads of `@log`, as soon as there is anything. It is not counted, nor told in that log.
    pub(super) fn read_log(
        &self,
        caller: Caller,
        fh: FileHandle,
        (offset, size): (u64, u32),
        reply: ReplyData,
    ) {
        let fs = Arc::clone(&self.fs);
        let done = move |read: FsResult<Vec<u8>>| {
            Reading(reply).answer(&fs, read.map_err(|error| errno::of(&error)));
        };
        self.fs.read_log(&caller, handle(fh), (offset, size), Box::new(done));
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
        let asked = self.fs.asked(&caller, Operation::Lookup, ino(parent), Some(name.as_bytes()));
        let wait = move || {
            let look = || fs.lookup(&caller, ino(parent), name.as_bytes());
            reply.answer(&fs, run(&fs, asked, || fs.when_there_is_room(look)));
        };
        let spawned = std::thread::Builder::new().name("storefs-waiting".to_owned()).spawn(wait);
        if let Err(error) = spawned {
            // The reply went with the thread, and has told the kernel of an error.
            log::error!("lookup beneath inode {parent}: no thread to wait in: {error}");
        }
    }
}

/// Reads of a handle, or of an inode where there are no handles.
pub(super) fn read(
    fs: &FileSystem,
    ino: Ino,
    handle: Handle,
    offset: u64,
    size: u32,
) -> FsResult<Vec<u8>> {
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(0)];
    let count = match fs.is_without_opens() {
        true => fs.read_inode(ino, &mut buffer, offset),
        false => fs.read(handle, &mut buffer, offset),
    }?;
    buffer.truncate(count);
    fs.note_read(ino, count);
    Ok(buffer)
}
