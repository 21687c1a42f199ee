//! Requests for locks.

use std::sync::Arc;

use fuser::{Errno, FileHandle, INodeNo, LockOwner, ReplyEmpty, ReplyLock};

use super::adapter::Adapter;
use super::answer::Wait;
use super::convert::{handle, ino, lock};
use super::errno;
use super::reply::Reply;
use crate::fs::{Asked, Caller, FsResult, Lock};

/// A lock, as the kernel tells it.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub(super) fh: FileHandle,
    pub(super) owner: LockOwner,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) kind: i32,
    pub(super) pid: u32,
}

impl Range {
    fn lock(&self) -> Option<Lock> {
        lock((self.fh, self.owner, self.pid), self.kind, self.start, self.end)
    }
}

impl Adapter {
    pub(super) fn find_lock(
        &self,
        (asked, number): (Asked, INodeNo),
        range: &Range,
        reply: ReplyLock,
    ) {
        let Some(lock) = range.lock() else {
            return reply.error(self.refuse(asked, Errno::EINVAL));
        };
        let found = self.call(asked, |fs| fs.find_lock(ino(number), &lock));
        (reply, lock).answer(&self.fs, found);
    }

    /// Takes a lock, or gives it back. `waits` is who waits until it is free.
    pub(super) fn take_lock(
        &self,
        (asked, number): (Asked, INodeNo),
        range: &Range,
        waits: Option<Caller>,
        reply: ReplyEmpty,
    ) {
        let (ino, Range { fh, owner, start, end, .. }) = (ino(number), *range);
        if range.kind == libc::F_UNLCK {
            return self.serve(Wait::Never, asked, reply, move |fs| {
                fs.give_lock_back(ino, handle(fh), owner.0, start, end);
                Ok(())
            });
        }
        let Some(lock) = range.lock() else {
            return reply.error(self.refuse(asked, Errno::EINVAL));
        };
        let Some(caller) = waits else {
            return self.serve(Wait::Maybe, asked, reply, move |fs| fs.take_lock(ino, lock));
        };
        let fs = Arc::clone(&self.fs);
        let done = move |taken: FsResult<()>| {
            let taken = taken.map_err(|error| errno::of(&error));
            fs.answered(asked, taken.err().map_or(0, |errno| errno.code()));
            reply.answer(&fs, taken);
        };
        self.fs.wait_for_lock(&caller, ino, lock, Box::new(done));
    }
}
