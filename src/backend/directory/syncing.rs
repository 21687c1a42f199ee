//! Making durable what stores hold, and the stores themselves (P5).

use rustix::io::Errno;

use super::layout;
use super::state::DirectoryBackend;
use super::tree::{self, StoreDir};
use super::unsynced::Pending;
use crate::failpoint;
use crate::model::{Error, Key, Result};

impl DirectoryBackend {
    /// Makes durable what this process has put into a store, and the store itself.
    pub(super) fn sync_directory(&self, dir: &StoreDir) -> Result<()> {
        let pending = self.shared.unsynced.pending(&dir.name);
        match &pending {
            Pending::Everything(_) => {
                rustix::fs::syncfs(&dir.fd).map_err(|error| dir.not_durable(error))?;
            }
            Pending::These(names) => names.keys().try_for_each(|name| {
                failpoint::fail("sync: record").map_err(|error| dir.not_durable(error))?;
                sync_file(dir, name)?;
                sync_file(dir, &layout::sidecar_of(name))
            })?,
        }
        self.sync_place(dir)?;
        rustix::fs::fsync(&dir.fd).map_err(|error| dir.not_durable(error))?;
        self.shared.unsynced.are_durable(&dir.name, &pending);
        Ok(())
    }

    /// Makes a record durable, whoever has published it.
    pub(super) fn sync_one(&self, dir: &StoreDir, key: &Key) -> Result<()> {
        let (name, _) = self.locate(dir, key)?;
        sync_file(dir, &name)?;
        sync_file(dir, &layout::sidecar_of(&name))?;
        self.sync_directory(dir)
    }

    /// Makes durable which stores there are.
    pub(super) fn sync_stores(&self) -> Result<()> {
        let failed = |error: Errno| Error::io(format!("sync '{}'", layout::STORES), error);
        if let Some(stores) = tree::open_stores(&self.root())? {
            rustix::fs::fsync(stores).map_err(failed)?;
        }
        rustix::fs::fsync(&*self.root()).map_err(failed)
    }

    /// Makes durable that the store is where it is, with its metadata, unless it is known to be. What is durable
    /// in a directory is lost if the directory has no durable name.
    pub(super) fn sync_place(&self, dir: &StoreDir) -> Result<()> {
        let failed = |error| dir.not_durable(error);
        let identity = tree::identity(&dir.fd).map_err(failed)?;
        if self.shared.unsynced.is_in_place(&dir.name, &identity) {
            return Ok(());
        }
        sync_file(dir, layout::METADATA.as_bytes())?;
        rustix::fs::fsync(&dir.fd).map_err(failed)?;
        for ancestor in self.ancestors(&dir.name)? {
            rustix::fs::fsync(ancestor).map_err(failed)?;
        }
        self.shared.unsynced.put_in_place(&dir.name, identity);
        Ok(())
    }
}

/// Makes a file of a store durable, if it is there.
pub(super) fn sync_file(dir: &StoreDir, name: &[u8]) -> Result<()> {
    match tree::open_file(&dir.fd, name).and_then(rustix::fs::fsync) {
        Ok(()) | Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(()),
        Err(error) => Err(dir.not_durable(error)),
    }
}

impl StoreDir {
    fn not_durable(&self, error: Errno) -> Error {
        Error::io(format!("sync store '{}'", self.name), error)
    }
}
