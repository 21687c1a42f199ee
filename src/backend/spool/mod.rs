//! Local files that hold values of a storage which is elsewhere, those in the making and those that are being read, and
//! what is made of a dataset to be read.
//!
//! They have no names, so that nothing is left of them however the process ends, and nobody else can open them.

#[cfg(feature = "sql")]
mod fetched;
#[cfg(feature = "s3")]
mod parts;

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

#[cfg(feature = "sql")]
pub(super) use fetched::Fetched;
#[cfg(feature = "s3")]
pub(super) use parts::{Arriving, FetchPart, PartCache, Parted};

use crate::model::{Error, Result};

/// A directory in which such files are made.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
}

impl Spool {
    /// Takes `directory`, or one for what is temporary; makes it if it is not there.
    ///
    /// # Errors
    /// [`Error::Io`] if no file can be made in it.
    pub(super) fn open(directory: Option<&Path>) -> Result<Self> {
        let directory = directory.map_or_else(own_directory, Path::to_owned);
        let spool = Self { directory };
        // Told now, and not to the first who writes.
        spool.file().map(|_| spool)
    }

    /// A new empty file that is gone when it is closed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn file(&self) -> Result<File> {
        let made = match self.unnamed() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The owner alone gets in: values may be secret.
                let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
                made.and_then(|()| self.unnamed())
            }
            made => made,
        };
        let shown = self.directory.display();
        made.map_err(|error| Error::io(format!("make a file in the spool '{shown}'"), error))
    }

    fn unnamed(&self) -> io::Result<File> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, &self.directory, flags, mode) {
            // A file system that knows no such files.
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => self.soon_unnamed(mode),
            made => Ok(made?.into()),
        }
    }

    /// A file that loses its name at once.
    fn soon_unnamed(&self, mode: Mode) -> io::Result<File> {
        let random = getrandom::u64().map_err(io::Error::from)?;
        let path = self.directory.join(format!("{random:016x}"));
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, &path, flags, mode)?;
        rustix::fs::unlinkat(CWD, &path, AtFlags::empty())?;
        Ok(file.into())
    }

    /// Bytes that are free where the spool is.
    #[cfg(any(feature = "sql", feature = "s3"))]
    pub(super) fn free(&self) -> Option<u64> {
        let space = rustix::fs::statvfs(&self.directory).ok()?;
        Some(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

/// A directory of the user's own where the system keeps what is temporary.
fn own_directory() -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("storefs-{user}"))
}
