//! Making one call of the file system for each request, and replying with what it came to.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fuser::{Errno, INodeNo};

use super::errno;
use super::reply::Reply;
use super::waiting::Waiting;
use crate::fs::{FileSystem, FsResult};

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
