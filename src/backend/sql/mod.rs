//! A storage in a database of Crawlee's SQL client.

mod database;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Backend;
use super::source::SqlSource;
use crate::model::{BackendErrorKind, Error, Result};

/// How a database is opened.
#[derive(Clone, Debug)]
pub(crate) struct SqlOptions {
    /// Whether nothing may be written.
    pub(crate) read_only: bool,
    /// How long a whole operation may take.
    pub(crate) timeout: Duration,
    /// Where values are kept while they are written; `None` is a private directory in the system's for temporary files.
    pub(crate) cache_dir: Option<PathBuf>,
    /// How many connections there may be at once.
    pub(crate) connections: usize,
}

/// Opens a database.
///
/// # Errors
/// [`Error::Backend`] in one line, within the deadline; nothing is made.
pub(crate) fn open(source: &SqlSource, options: &SqlOptions) -> Result<Arc<dyn Backend>> {
    let reason = format!("not yet, {options:?}");
    Err(Error::backend(BackendErrorKind::Unsupported, format!("open {source:?}"), reason))
}
