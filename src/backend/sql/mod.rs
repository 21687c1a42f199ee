//! A storage in a database of Crawlee's SQL client.
//!
//! [`database`] says what is asked of a database, and [`sqlite`] and [`postgres`] ask it. What a database does not keep is
//! above them and the same for both: versions with numbers and times, and bytes that stay what they were
//! ([`elsewhere`](super::elsewhere)), and those in the making ([`staging`]).

mod backend;
mod database;
mod datasets;
#[cfg(feature = "postgres")]
mod postgres;
mod scan;
mod schema;
mod shared;
#[cfg(feature = "sqlite")]
mod sqlite;
mod staging;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Backend;
use super::source::{Source, SqlSource};
use super::spool::Spool;
#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
use crate::model::BackendErrorKind;
use crate::model::{Error, Result};
use backend::SqlBackend;
use database::Database;
use shared::Shared;

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct SqlOptions {
    /// Whether nothing may be written.
    pub read_only: bool,
    /// How long a whole operation may take.
    pub timeout: Duration,
    /// Where values are kept while they are written and read; `None` is a directory in the system's for temporary files.
    pub cache_dir: Option<PathBuf>,
    /// How many connections there may be at once.
    pub connections: usize,
}

impl Default for SqlOptions {
    fn default() -> Self {
        let timeout = Duration::from_secs(30);
        Self { read_only: false, timeout, cache_dir: None, connections: 8 }
    }
}

/// Opens the database that a source names.
///
/// # Errors
/// [`Error::InvalidSource`] if it names none; [`Error::Backend`] in one line, within the deadline. Nothing is made.
pub fn open(source: &Source, options: &SqlOptions) -> Result<Arc<dyn Backend>> {
    let Some(found) = source.sql() else {
        let (shown, reason) = (source.shown(), "is no database".to_owned());
        return Err(Error::InvalidSource { shown, reason });
    };
    let (kind, database) = open_database(found, options)?;
    if let Some(reason) = database.facts().read_only.as_ref().filter(|_| !options.read_only) {
        log::warn!("nothing can be written: {reason}");
    }
    let spool = Spool::open(options.cache_dir.as_deref())?;
    Ok(Arc::new(SqlBackend::new(kind, Shared::new(database, spool))))
}

fn open_database(
    source: &SqlSource,
    options: &SqlOptions,
) -> Result<(&'static str, Arc<dyn Database>)> {
    let SqlOptions { read_only, timeout, .. } = *options;
    match source {
        #[cfg(feature = "sqlite")]
        SqlSource::Sqlite(source) => {
            let options =
                sqlite::SqliteOptions { read_only: read_only || source.read_only, timeout };
            Ok(("sqlite", Arc::new(sqlite::open(&source.path, &options)?)))
        }
        #[cfg(feature = "postgres")]
        SqlSource::Postgres(source) => {
            let connections = options.connections;
            let options = postgres::PostgresOptions { read_only, timeout, connections };
            Ok(("postgresql", Arc::new(postgres::open(source, &options)?)))
        }
        // No such text is parsed where its kind is not built in.
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        _ => {
            let reason = "this program is built without databases of this kind";
            Err(Error::backend(BackendErrorKind::Unsupported, "open the database", reason))
        }
    }
}
