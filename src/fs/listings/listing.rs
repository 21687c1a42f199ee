//! An open directory, and how far its names were taken.

use super::names::Names;
use crate::fs::error::FsResult;
use crate::fs::ino::Ino;
use crate::ranks::{self, Mutex};

/// An open directory. Its names are taken at the first read and again after each rewind, so that what is
/// removed while it is read neither hides nor doubles anything. Those of a very large store are taken in portions,
/// so that the first do not wait for the last.
#[derive(Debug)]
pub(in crate::fs) struct Listing {
    directory: Ino,
    /// Held while names are taken, so that they are taken once.
    names: Mutex<ranks::Listing, Option<Names>>,
}

impl Listing {
    pub(in crate::fs) fn new(directory: Ino) -> Self {
        Self { directory, names: Mutex::new(None) }
    }

    /// The directory.
    pub(in crate::fs) fn directory(&self) -> Ino {
        self.directory
    }

    /// Gives the names to `read`. They are begun by `begin` at the first read, and anew if `anew` is set.
    pub(in crate::fs) fn with_names<R>(
        &self,
        anew: bool,
        begin: impl FnOnce() -> FsResult<Names>,
        read: impl FnOnce(&mut Names) -> FsResult<R>,
    ) -> FsResult<R> {
        let mut names = self.names.lock();
        if anew {
            *names = None;
        }
        read(match &mut *names {
            Some(names) => names,
            names => names.insert(begin()?),
        })
    }
}
