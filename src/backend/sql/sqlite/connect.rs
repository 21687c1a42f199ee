//! Connections to a database file that is there: how it can be opened, and what each connection is set to.
//!
//! Nothing here outlives the connection: no file is made, and the journal mode is the one that the file has.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Access, AtFlags, CWD, StatVfsMountFlags};
use rustix::io::Errno;

use super::super::schema::{self, Columns, Schema};
use super::failures::{Failure, Step, cannot_open};
use crate::model::{BackendErrorKind, Error, Result};

/// Prepared statements that each connection keeps; the module has fewer.
const STATEMENTS: usize = 64;
/// What needs no escape in the path of a URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// How a database file is opened.
#[derive(Debug)]
pub(super) struct Place {
    /// Absolute, so that it is no URI.
    pub(super) path: PathBuf,
    /// The file's device and inode.
    identity: (u64, u64),
    /// Why it is opened for reading only, if so.
    pub(super) read_only: Option<String>,
    /// Nothing can write it, so that no files beside it are needed: they could not be made.
    is_immutable: bool,
    pub(super) schema: Schema,
}

impl Place {
    /// Looks how a file can be opened and whether it is a database of Crawlee's.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such file; [`Error::Backend`] that says what it is not.
    pub(super) fn find(path: &Path, read_only: bool, timeout: Duration) -> Result<Self> {
        let action = action(path);
        let path = fs::canonicalize(path).map_err(|error| Error::io(&action, error))?;
        let metadata = fs::metadata(&path).map_err(|error| Error::io(&action, error))?;
        if metadata.is_dir() {
            return Err(Error::io(&action, Errno::ISDIR));
        }
        let read_only = match read_only {
            true => Some("it was opened for reading only".to_owned()),
            false => unwritable(&path),
        };
        let schema = Schema { has_buffer: false, has_lock: false, has_datasets: false };
        let identity = (metadata.dev(), metadata.ino());
        let mut place = Self { path, identity, read_only, is_immutable: false, schema };
        let columns = match place.columns(timeout) {
            Err(Failure::Sqlite(error)) if cannot_open(&error) && place.may_be_immutable() => {
                place.is_immutable = true;
                place.columns(timeout)
            }
            Err(Failure::Sqlite(error)) if cannot_open(&error) && place.read_only.is_some() => {
                return Err(Error::backend(
                    BackendErrorKind::Denied,
                    action,
                    "it is in WAL mode, and the files that this needs beside it can neither be made nor done without",
                ));
            }
            columns => columns,
        };
        let columns = columns.map_err(|failure| failure.into_error(&action))?;
        place.schema = schema::detect(&columns)
            .map_err(|reason| Error::backend(BackendErrorKind::Damaged, action, reason))?;
        Ok(place)
    }

    /// Looks whether the file is still the one that was opened. What is written to one that has lost its name is lost,
    /// and a connection that is opened later would be to another one.
    ///
    /// # Errors
    /// [`BackendErrorKind::Unreachable`] if it is not.
    pub(super) fn check(&self) -> Result<()> {
        let found = fs::metadata(&self.path).map(|it| (it.dev(), it.ino()));
        if found.is_ok_and(|identity| identity == self.identity) {
            return Ok(());
        }
        let reason = "the file that was opened is not there any more";
        let action = format!("use the database '{}'", self.path.display());
        Err(Error::backend(BackendErrorKind::Unreachable, action, reason))
    }

    /// A connection that writes, or one that only reads.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn connect(&self, writes: bool) -> rusqlite::Result<Connection> {
        // A reader that may write nothing could not mend what a crash has left, and a reader of a database in WAL mode
        // writes to the index beside it.
        let may_write = self.read_only.is_none();
        let mode = match may_write {
            true => OpenFlags::SQLITE_OPEN_READ_WRITE,
            false => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match self.is_immutable {
            false => Connection::open_with_flags(&self.path, flags)?,
            true => {
                let path = percent_encode(self.path.as_os_str().as_bytes(), PATH);
                let uri = format!("file:{path}?immutable=1");
                Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
            }
        };
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.busy_timeout(Duration::ZERO)?;
        if writes {
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
        } else {
            connection.pragma_update(None, "query_only", true)?;
        }
        Ok(connection)
    }

    /// The columns of the tables that matter.
    fn columns(&self, timeout: Duration) -> Step<Columns> {
        let connection = self.connect(false)?;
        connection.busy_timeout(timeout)?;
        let mut columns = Columns::new();
        for table in schema::TABLES {
            let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
            let names = statement.query_map([table], |row| row.get(0))?;
            let names = names.collect::<rusqlite::Result<std::collections::BTreeSet<String>>>()?;
            if !names.is_empty() {
                columns.insert(table.to_owned(), names);
            }
        }
        Ok(columns)
    }

    /// Whether nobody at all can write the database, and all that was committed is in the one file.
    fn may_be_immutable(&self) -> bool {
        let medium = rustix::fs::statvfs(&self.path);
        let is_fixed = medium.is_ok_and(|it| it.f_flag.contains(StatVfsMountFlags::RDONLY));
        let has_log = fs::metadata(self.beside("-wal")).is_ok_and(|log| log.len() > 0);
        is_fixed && self.read_only.is_some() && !has_log
    }

    /// The path of a file that SQLite keeps beside the database.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}

/// What was tried when a database is opened.
pub(super) fn action(path: &Path) -> String {
    format!("open the database '{}'", path.display())
}

/// Why a file cannot be written, if so: a line for people.
fn unwritable(path: &Path) -> Option<String> {
    let may = |path: &Path, access| rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS);
    match may(path, Access::WRITE_OK) {
        Ok(()) => {}
        Err(Errno::ROFS) => return Some("it is on a medium that can only be read".to_owned()),
        Err(_) => return Some("the file cannot be written".to_owned()),
    }
    let directory = path.parent()?;
    may(directory, Access::WRITE_OK | Access::EXEC_OK).is_err().then(|| {
        "its directory cannot be written, and each transaction needs a file beside it".to_owned()
    })
}
