//! A storage in a bucket: the storage directory, byte for byte, as objects.

mod aws;
mod calls;
mod failure;
mod listing;
mod mark;
mod requests;
mod xml;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use aws::AwsOptions;

use super::Backend;
use super::directory::DialectChoice;
use super::source::Source;
use crate::model::Result;

/// How a bucket is opened.
#[derive(Clone, Debug)]
pub struct BucketOptions {
    /// Whether nothing may be written.
    pub read_only: bool,
    /// How long a whole operation may take.
    pub timeout: Duration,
    /// Where values are kept while they are written and read; `None` is a directory in the system's for temporary files.
    pub cache_dir: Option<PathBuf>,
    /// So many bytes of values are kept there at most, beside what is being written.
    pub cache_bytes: u64,
    /// The input key in force.
    pub input_key: String,
    /// Which layout stores have.
    pub dialect: DialectChoice,
    /// Where the bucket is, and by whose keys it is opened.
    pub aws: AwsOptions,
}

/// Opens the bucket that a source names.
///
/// # Errors
/// [`Error::InvalidSource`](crate::Error::InvalidSource) if it names none; [`Error::Backend`](crate::Error::Backend) in one
/// line, within the deadline.
pub fn open(source: &Source, options: &BucketOptions) -> Result<Arc<dyn Backend>> {
    let _ = (source, options);
    unimplemented!()
}
