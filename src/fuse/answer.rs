//! Making one call of the file system for each request, and replying with what it came to.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fuser::Errno;

use super::errno;
use super::reply::Reply;
use super::waiting::Waiting;
use crate::fs::{Asked, FileSystem, FsResult};

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
    asked: Asked,
    reply: impl Reply<T>,
    call: impl FnOnce(&FileSystem) -> FsResult<T> + Send + 'static,
) {
    match wait {
        Wait::Never => reply.answer(fs, run(fs, asked, || call(fs))),
        Wait::Maybe => {
            let fs = Arc::clone(fs);
            waiting.serve(move || reply.answer(&fs, run(&fs, asked, || call(&fs))));
        }
    }
}

/// Runs one call, and counts it; logs an error once, with what it was about, and turns it into its errno.
pub(super) fn run<T>(
    fs: &FileSystem,
    asked: Asked,
    call: impl FnOnce() -> FsResult<T>,
) -> Result<T, Errno> {
    let outcome = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let errno = errno::of(&error);
            fs.log_failure(&asked, errno.code(), errno::level(errno), &error);
            Err(errno)
        }
        Err(_) => {
            let Asked { operation, ino, .. } = asked;
            log::error!("{operation} of inode {ino}: a bug in storefs made it panic");
            Err(Errno::EIO)
        }
    };
    fs.answered(asked, outcome.as_ref().err().map_or(0, |errno| errno.code()));
    outcome
}
