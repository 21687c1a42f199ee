//! What makes commits durable that were not when they were made.
//!
//! With `synchronous` at NORMAL, as the client has it, a commit is written to the log beside the database, and is durable
//! when the log is synced: by the next checkpoint, by the next commit of a connection that syncs each, or by us. The log's
//! own name may be new, so its directory is synced as well. The database itself is never opened here: to close a
//! descriptor of it would give back the locks that SQLite has on it, since those are the process's.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::connect::Place;
use crate::model::{Error, Result};
use crate::ranks::{Mutex, TableEntry};

/// The files whose contents decide which commits a database has.
#[derive(Debug)]
pub(super) struct Durability {
    logs: [PathBuf; 2],
    directory: Option<PathBuf>,
    /// The log whose name is known to be durable, by device and inode.
    named: Mutex<TableEntry, Option<(u64, u64)>>,
}

impl Durability {
    pub(super) fn new(place: &Place) -> Self {
        Self {
            logs: [place.beside("-wal"), place.beside("-journal")],
            directory: place.path.parent().map(PathBuf::from),
            named: Mutex::new(None),
        }
    }

    /// Makes durable what was committed before.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn sync(&self) -> Result<()> {
        for log in &self.logs {
            let synced = File::open(log).and_then(|log| log.sync_data());
            match synced {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        self.sync_directory()
    }

    /// After a commit that has synced the log: makes the log's name durable, which a client may have made.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn complete(&self) -> Result<()> {
        let [log, _] = &self.logs;
        let Ok(found) = std::fs::metadata(log) else {
            return Ok(());
        };
        let log = Some((found.dev(), found.ino()));
        if *self.named.lock() != log {
            self.sync_directory()?;
            *self.named.lock() = log;
        }
        Ok(())
    }

    fn sync_directory(&self) -> Result<()> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("make the database durable", error)
}
