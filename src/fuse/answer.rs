//! Making one call of the file system for each request, and replying with what it came to.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fuser::{Errno, INodeNo};

use super::convert::ino;
use super::errno;
use super::reply::Reply;
use super::waiting::Waiting;
use crate::fs::{Failed, FileSystem, FsResult};

/// One request: what it is called in the log, and which inode it is about, or which name in it.
#[derive(Clone)]
pub(super) struct About {
    operation: &'static str,
    ino: INodeNo,
    /// Of those requests alone that change something: what others look up is not worth a copy.
    name: Option<OsString>,
}

impl About {
    pub(super) fn inode(operation: &'static str, ino: INodeNo) -> Self {
        Self { operation, ino, name: None }
    }

    pub(super) fn name(operation: &'static str, parent: INodeNo, name: &OsStr) -> Self {
        Self { operation, ino: parent, name: Some(name.to_owned()) }
    }
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
        Wait::Never => reply.answer(fs, run(fs, about, || call(fs))),
        Wait::Maybe => {
            let fs = Arc::clone(fs);
            waiting.serve(move || reply.answer(&fs, run(&fs, about, || call(&fs))));
        }
    }
}

/// Runs one call; logs an error once, with what it was about, and turns it into its errno.
pub(super) fn run<T>(
    fs: &FileSystem,
    about: About,
    call: impl FnOnce() -> FsResult<T>,
) -> Result<T, Errno> {
    let About { operation, ino: number, name } = about;
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let errno = errno::of(&error);
            let (ino, name) = (ino(number), name.as_ref().map(|name| name.as_bytes()));
            let failed = Failed { operation, ino, name, errno: errno.code() };
            fs.log_failure(failed, errno::level(errno), &error);
            Err(errno)
        }
        Err(_) => {
            log::error!("{operation} of inode {number}: a bug in storefs made it panic");
            Err(Errno::EIO)
        }
    }
}
