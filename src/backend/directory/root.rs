//! The storage's own directory, which somebody may remove and make anew while it is in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::tree::{self, Directory};
use crate::ranks::{RwLock, TableEntry};

/// The directory at the storage's path. Crawlers remove their storage between two runs: then the one that is made in its
/// place is the storage.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    current: RwLock<TableEntry, Arc<Directory>>,
}

impl Root {
    /// Opens the storage directory; see [`tree::open_root`].
    pub(super) fn open(path: &Path, is_quiet: bool) -> rustix::io::Result<Self> {
        let directory = tree::open_root(path, is_quiet)?;
        Ok(Self { path: path.to_owned(), current: RwLock::new(Arc::new(directory)) })
    }

    /// The directory that was the storage when this was looked at last.
    pub(super) fn last(&self) -> Arc<Directory> {
        Arc::clone(&self.current.read())
    }

    /// The directory that is the storage now. One that was removed stays it until another one is made in its place.
    pub(super) fn now(&self) -> Arc<Directory> {
        let last = self.last();
        if !is_removed(&last) {
            return last;
        }
        match self.made_anew(&last) {
            Ok(made) => {
                log::info!("the storage '{}' has been made anew", self.path.display());
                let made = Arc::new(made);
                *self.current.write() = Arc::clone(&made);
                made
            }
            Err(error) => {
                log::debug!("the storage '{}' is gone: {error}", self.path.display());
                last
            }
        }
    }

    fn made_anew(&self, last: &Directory) -> rustix::io::Result<Directory> {
        let made = tree::open_root(&self.path, last.is_quiet())?;
        let owner = |directory: &Directory| rustix::fs::fstat(directory).map(|stat| stat.st_uid);
        // Where everybody may make a directory, as in /tmp, a stranger's is not taken for it.
        let ours = [owner(last)?, rustix::process::geteuid().as_raw(), 0];
        if is_removed(&made) || !ours.contains(&owner(&made)?) {
            return Err(Errno::NOENT);
        }
        Ok(made)
    }
}

fn is_removed(directory: &Directory) -> bool {
    rustix::fs::fstat(directory).is_ok_and(|stat| stat.st_nlink == 0)
}
