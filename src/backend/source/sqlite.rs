//! URLs and files of SQLite, as SQLAlchemy reads them: three slashes and a relative path, or four for an absolute one.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Debug, Formatter};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode;

use crate::model::{Error, Result};

/// What every SQLite database begins with.
const HEADER: &[u8; 16] = b"SQLite format 3\0";

/// A database is a number of pages, of which the smallest has so many bytes.
const LEAST_PAGE: u64 = 512;

/// How the names of databases end.
const EXTENSIONS: [&str; 4] = ["db", "sqlite", "sqlite3", "db3"];

/// Parameters of Python's drivers that say nothing about the storage.
const OF_DRIVERS: [&[u8]; 6] = [
    b"timeout",
    b"isolation_level",
    b"detect_types",
    b"check_same_thread",
    b"cached_statements",
    b"uri",
];

/// How a URL of SQLite is written.
const FORM: &str = "sqlite:///FILE, or sqlite:////FILE for an absolute path";

/// An SQLite database.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SqliteSource {
    /// Its file. Absolute and free of symbolic links once found.
    pub(crate) path: PathBuf,
    /// Whether it is only to be read (`?mode=ro`).
    pub(crate) read_only: bool,
}

impl SqliteSource {
    /// Takes apart what follows the scheme's colon.
    pub(super) fn parse(rest: &[u8]) -> Result<Self> {
        let invalid = |reason: String| Error::invalid_source("sqlite:", reason);
        let in_memory =
            || invalid("is a database in memory, which is nobody's but its program's".to_owned());
        let (name, query) = match rest.iter().position(|byte| *byte == b'?') {
            Some(at) => {
                (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default())
            }
            None => (rest, &b""[..]),
        };
        let path = match name {
            b"//" | b"///" | b"///:memory:" => return Err(in_memory()),
            [b'/', b'/', b'/', path @ ..] => path,
            _ => return Err(invalid(format!("is no URL of a file: write {FORM}"))),
        };
        let parameters = Parameters::parse(query)?;
        let path = match path.strip_prefix(b"file:") {
            Some(path) if parameters.is_uri => path,
            _ => path,
        };
        if parameters.is_in_memory || path.is_empty() || path == b":memory:" {
            return Err(in_memory());
        }
        let path = OsStr::from_bytes(path).into();
        Ok(Self { path, read_only: parameters.is_read_only })
    }

    /// Without the scheme, since the path alone is a source, too; but for what the path does not tell.
    pub(super) fn shown(&self) -> String {
        let path = self.path.to_string_lossy();
        if self.read_only {
            return format!("sqlite:///{path}?mode=ro");
        }
        // What looks like a URL, or like nothing that is a database, would be taken for something else.
        if self.path.is_absolute() { path.into_owned() } else { format!("sqlite:///{path}") }
    }

    /// The database at its absolute path, free of symbolic links.
    pub(super) fn found(&self) -> Result<Self> {
        let failed = |error| Error::io(format!("read source '{}'", self.shown()), error);
        let path = match fs::canonicalize(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // SQLAlchemy decodes a path since 2.1, and takes it as it stands before.
                let decoded: Vec<u8> = percent_decode(self.path.as_os_str().as_bytes()).collect();
                fs::canonicalize(OsString::from_vec(decoded)).map_err(|_| absent(self.shown()))?
            }
            path => path.map_err(failed)?,
        };
        let metadata = fs::metadata(&path).map_err(failed)?;
        if metadata.is_file() && may_be_database(metadata.len()) {
            return Ok(Self { path, read_only: self.read_only });
        }
        Err(Error::invalid_source(self.shown(), "is no SQLite database"))
    }

    /// Refuses what does not begin as a database does; see [`super::Source::check_header`].
    pub(super) fn check_header(&self) -> Result<()> {
        let mut header = [0; HEADER.len()];
        let read = File::open(&self.path).and_then(|mut file| file.read_exact(&mut header));
        match read {
            Ok(()) if header == *HEADER => Ok(()),
            Ok(()) => Err(neither(self.shown())),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(neither(self.shown())),
            Err(error) => Err(Error::io(format!("read source '{}'", self.shown()), error)),
        }
    }
}

impl Debug for SqliteSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteSource").field(&self.shown()).finish()
    }
}

/// What the query of a URL says.
#[derive(Debug, Default)]
struct Parameters {
    is_uri: bool,
    is_read_only: bool,
    is_in_memory: bool,
}

impl Parameters {
    fn parse(query: &[u8]) -> Result<Self> {
        let mut said = Self::default();
        for parameter in query.split(|byte| *byte == b'&').filter(|text| !text.is_empty()) {
            let (name, value) = match parameter.iter().position(|byte| *byte == b'=') {
                Some(at) => (
                    parameter.get(..at).unwrap_or_default(),
                    parameter.get(at + 1..).unwrap_or_default(),
                ),
                None => (parameter, &b""[..]),
            };
            match (name, value) {
                (b"uri", b"true" | b"1") => said.is_uri = true,
                (b"mode", b"ro") => said.is_read_only = true,
                (b"mode", b"rw" | b"rwc") | (b"cache", b"shared" | b"private") => {}
                (b"mode", b"memory") => said.is_in_memory = true,
                _ if OF_DRIVERS.contains(&name) => {}
                // A vfs or no locks would mean another file, or a damaged one.
                _ => {
                    return Err(Error::invalid_source(
                        "sqlite:",
                        "has a parameter that cannot be kept to; known are mode=ro, mode=rw and those of Python's drivers",
                    ));
                }
            }
        }
        Ok(said)
    }
}

/// Whether a file of this length may be a database that holds anything.
pub(super) fn may_be_database(length: u64) -> bool {
    length > 0 && length.is_multiple_of(LEAST_PAGE)
}

/// Whether a path looks like that of a database.
pub(super) fn has_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// There is nothing at the path of a database.
pub(super) fn absent(shown: String) -> Error {
    Error::invalid_source(shown, "does not exist, and no database is made where there is none")
}

/// There is something at a path that can be no storage.
pub(super) fn neither(shown: String) -> Error {
    Error::invalid_source(shown, "is not a directory, nor an SQLite database")
}
