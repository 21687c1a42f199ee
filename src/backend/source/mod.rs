//! What names a storage: a path or a URL.
//!
//! A [`Source`] is parsed in this one place, whoever it comes from: `mount`, `--source`, the environment, a program that
//! uses the library. Parsing looks at the text alone. What is at a path, a directory or a database, is found by
//! [`Source::found`]; which backend opens it, by [`Storage::open`](crate::engine::Storage::open).
//!
//! A source may hold a password. [`Source::shown`] and `Debug` never tell it, and no error of this folder repeats a text
//! that could not be understood.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `scheme` | which schemes there are, and what is said of those that cannot be opened |
//! | `sqlite`, `postgres` | the URLs of one kind of database, as SQLAlchemy and libpq read them |
//! | `bucket` | `s3://BUCKET/PREFIX` |
//! | `conceal` | how a text is shown that may hold a password |

mod bucket;
mod conceal;
mod postgres;
mod scheme;
mod sqlite;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fmt::{self, Debug, Formatter};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{self, Path, PathBuf};

use percent_encoding::percent_decode;

pub(crate) use bucket::BucketSource;
pub use conceal::concealed;
pub(crate) use postgres::PostgresSource;
use scheme::Scheme;
pub(crate) use sqlite::SqliteSource;

use crate::model::{Error, Result};

/// What names a storage. Two that are equal are the same text in all that matters.
#[derive(Clone, PartialEq, Eq)]
pub struct Source(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    /// A directory, or something that nobody has looked at yet.
    Path(PathBuf),
    Sql(SqlSource),
    Bucket(BucketSource),
}

/// A database of Crawlee's SQL client, in parts.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum SqlSource {
    Sqlite(SqliteSource),
    Postgres(PostgresSource),
}

impl Source {
    /// Takes a text apart: a path, or a URL of a scheme that is built in. Nothing is opened, and no path looked at.
    ///
    /// # Errors
    /// [`Error::InvalidSource`], which repeats no part of the text in which a password could be.
    pub fn parse(text: &OsStr) -> Result<Self> {
        let bytes = text.as_bytes();
        match scheme::of(bytes)? {
            None => Ok(Self(Kind::Path(text.into()))),
            Some((Scheme::File, rest)) => Ok(Self(Kind::Path(file_path(rest)?))),
            Some((Scheme::Sqlite, rest)) => {
                scheme::refuse_unless_built_in(Scheme::Sqlite)?;
                Ok(Self(Kind::Sql(SqlSource::Sqlite(SqliteSource::parse(rest)?))))
            }
            Some((Scheme::Postgres, rest)) => {
                scheme::refuse_unless_built_in(Scheme::Postgres)?;
                Ok(Self(Kind::Sql(SqlSource::Postgres(PostgresSource::parse(rest)?))))
            }
            Some((Scheme::Bucket, rest)) => {
                scheme::refuse_unless_built_in(Scheme::Bucket)?;
                Ok(Self(Kind::Bucket(BucketSource::parse(rest)?)))
            }
        }
    }

    /// The source as it may be shown to anybody: without any password, and in a form that is a source again. Two sources
    /// that have been [found](Self::found) and are shown alike name the same storage.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.0 {
            Kind::Path(path) => conceal::path(path),
            Kind::Sql(SqlSource::Sqlite(database)) => database.shown(),
            Kind::Sql(SqlSource::Postgres(database)) => database.shown(),
            Kind::Bucket(bucket) => bucket.shown(),
        }
    }

    /// The path of what is on a local disk: a directory, or the file of a database.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Path(path) | Kind::Sql(SqlSource::Sqlite(SqliteSource { path, .. })) => {
                Some(path)
            }
            Kind::Sql(SqlSource::Postgres(_)) | Kind::Bucket(_) => None,
        }
    }

    /// The path of a directory, or of what nobody has looked at yet.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Path(path) => Some(path),
            Kind::Sql(_) | Kind::Bucket(_) => None,
        }
    }

    /// The database that it is.
    #[cfg(any(feature = "sql", test))]
    pub(crate) fn sql(&self) -> Option<&SqlSource> {
        match &self.0 {
            Kind::Path(_) | Kind::Bucket(_) => None,
            Kind::Sql(database) => Some(database),
        }
    }

    /// The bucket that it is in.
    #[cfg(any(feature = "s3", test))]
    pub(crate) fn bucket(&self) -> Option<&BucketSource> {
        match &self.0 {
            Kind::Bucket(bucket) => Some(bucket),
            Kind::Path(_) | Kind::Sql(_) => None,
        }
    }

    /// The same with absolute paths, whether or not there is anything at them.
    #[must_use]
    pub fn absolute(&self) -> Self {
        let absolute = |path: &Path| path::absolute(path).unwrap_or_else(|_| path.to_owned());
        match &self.0 {
            Kind::Path(path) => Self(Kind::Path(absolute(path))),
            Kind::Sql(SqlSource::Sqlite(database)) => {
                let path = absolute(&database.path);
                Self(Kind::Sql(SqlSource::Sqlite(SqliteSource { path, ..database.clone() })))
            }
            Kind::Sql(SqlSource::Postgres(database)) => {
                Self(Kind::Sql(SqlSource::Postgres(database.absolute())))
            }
            Kind::Bucket(_) => self.clone(),
        }
    }

    /// Looks at what a path leads to, by its kind alone: a directory stays one, a file is taken for an SQLite database.
    /// Paths are absolute and free of symbolic links then, so that the source means the same in every directory. No server
    /// is asked.
    ///
    /// # Errors
    /// [`Error::InvalidSource`] if there is neither a directory nor what may be a database; [`Error::Io`] if the path
    /// leads nowhere.
    pub fn found(&self) -> Result<Self> {
        match &self.0 {
            Kind::Path(path) => self.found_at(path),
            Kind::Sql(SqlSource::Sqlite(database)) => Ok(sqlite_source(database.found()?)),
            Kind::Sql(SqlSource::Postgres(_)) | Kind::Bucket(_) => Ok(self.absolute()),
        }
    }

    fn found_at(&self, path: &Path) -> Result<Self> {
        let shown = self.shown();
        let canonical = match fs::canonicalize(path) {
            Ok(canonical) => canonical,
            Err(error) if error.kind() == ErrorKind::NotFound && sqlite::has_extension(path) => {
                return Err(sqlite::absent(shown));
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                return Err(Error::invalid_source(shown, "is not a directory"));
            }
            Err(error) => return Err(Error::io(format!("read source '{shown}'"), error)),
        };
        let metadata = fs::metadata(&canonical)
            .map_err(|error| Error::io(format!("read source '{shown}'"), error))?;
        if metadata.is_dir() {
            Ok(Self(Kind::Path(canonical)))
        } else if metadata.is_file() && sqlite::may_be_database(metadata.len()) {
            scheme::refuse_unless_built_in(Scheme::Sqlite)?;
            Ok(sqlite_source(SqliteSource { path: canonical, read_only: false }))
        } else {
            Err(sqlite::neither(shown))
        }
    }

    /// Refuses a file that does not begin as an SQLite database does, before SQLite is asked.
    ///
    /// Only for a process that has no database open: by the rules of POSIX, to close a file gives back all locks that the
    /// process holds on it, and so those of SQLite.
    ///
    /// # Errors
    /// [`Error::InvalidSource`]; [`Error::Io`] if it cannot be read.
    pub fn check_header(&self) -> Result<()> {
        match &self.0 {
            Kind::Sql(SqlSource::Sqlite(database)) => database.check_header(),
            _ => Ok(()),
        }
    }
}

impl Debug for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.shown()).finish()
    }
}

impl Debug for SqlSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(database) => database.fmt(f),
            Self::Postgres(database) => database.fmt(f),
        }
    }
}

/// The storage at a path, whatever its text looks like.
impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self(Kind::Path(path))
    }
}

/// The storage at a path, whatever its text looks like.
impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Self(Kind::Path(path.to_owned()))
    }
}

fn sqlite_source(database: SqliteSource) -> Source {
    Source(Kind::Sql(SqlSource::Sqlite(database)))
}

/// The path of `file:///path` or `file:/path`; `rest` is what follows the colon.
fn file_path(rest: &[u8]) -> Result<PathBuf> {
    let path = match rest.strip_prefix(b"//") {
        Some(rest) => rest.strip_prefix(b"localhost").unwrap_or(rest),
        None => rest,
    };
    if !path.starts_with(b"/") {
        return Err(Error::invalid_source("file:", "has no absolute path: write file:///PATH"));
    }
    let path: Vec<u8> = percent_decode(path).collect();
    Ok(std::ffi::OsString::from_vec(path).into())
}
