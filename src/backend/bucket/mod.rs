//! A storage in a bucket: the storage directory, byte for byte, as objects.
//!
//! No Crawlee client writes S3. So the layout is the one that tools already produce: `aws s3 sync`, `rclone` and
//! `storefs copy` move a storage into a bucket and out of it, in either direction.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `aws` | where the bucket is, and by whose keys it is opened |
//! | `calls`, `failure` | one request: its signature, deadline, attempts, and what a no means |
//! | `requests`, `listing`, `upload`, `xml` | the requests of S3 that are made |
//! | `mark` | how a type travels with its object |
//! | `tree`, `pieces` | keys of objects; parts of a large one |
//! | `shared`, `known_stores` | what is known of an open bucket |
//! | `looks`, `records`, `fetch`, `scan` | reading stores, records, values, listings |
//! | `publish`, `changes`, `metadata`, `stores` | writing them |
//! | `intents`, `many` | what is done to many objects, and completed if it was broken off |
//! | `doctor`, `capabilities`, `backend` | the rest of what a storage can |

mod aws;
mod backend;
mod calls;
mod capabilities;
mod changes;
mod doctor;
mod failure;
mod fetch;
mod intents;
mod known_stores;
mod listing;
mod looks;
mod many;
mod mark;
mod metadata;
mod pieces;
mod pouring;
mod probe;
mod publish;
mod records;
mod requests;
mod scan;
mod shared;
mod stores;
mod tree;
mod upload;
mod xml;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use aws::AwsOptions;
use backend::BucketBackend;
use calls::Calls;
use known_stores::KnownStores;
use shared::{MOST_LACKING, Shared};
use tree::Tree;
use upload::Room;

use super::Backend;
use super::directory::DialectChoice;
use super::elsewhere::{Generations, KeptBytes, Shown, Versions};
use super::source::Source;
use super::spool::{PartCache, Spool};
use crate::model::{DEFAULT_INPUT_KEY, Error, Result};
use crate::ranks::Mutex;

/// Bytes of values that are kept on disk, unless another bound is told.
pub const DEFAULT_CACHE_BYTES: u64 = 1 << 30;

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

impl Default for BucketOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            timeout: Duration::from_secs(30),
            cache_dir: None,
            cache_bytes: DEFAULT_CACHE_BYTES,
            input_key: DEFAULT_INPUT_KEY.to_owned(),
            dialect: DialectChoice::Auto,
            aws: AwsOptions::default(),
        }
    }
}

/// Opens the bucket that a source names. What somebody has begun in it and not ended is completed, unless it is opened for
/// reading only.
///
/// # Errors
/// [`Error::InvalidSource`] if it names none; [`Error::Backend`] in one line, within the deadline.
pub fn open(source: &Source, options: &BucketOptions) -> Result<Arc<dyn Backend>> {
    let Some(found) = source.bucket() else {
        let (shown, reason) = (source.shown(), "is no bucket".to_owned());
        return Err(Error::InvalidSource { shown, reason });
    };
    let calls = Calls::new(aws::access(&options.aws)?, &found.bucket, options.timeout)?;
    let tree = Tree::new(&found.prefix);
    let (conditions, denied) = probe::probe(&calls, &tree, source, options.read_only)?;
    let told = "the storage is opened for reading only".to_owned();
    let read_only = if options.read_only { Some(told) } else { denied };
    if let Some(reason) = read_only.as_ref().filter(|_| !options.read_only) {
        log::warn!("nothing can be written: {reason}");
    }
    let shared = Arc::new(Shared {
        calls,
        tree,
        conditions,
        read_only,
        dialect: options.dialect,
        input_key: options.input_key.clone(),
        spool: Spool::open(options.cache_dir.as_deref())?,
        cache: PartCache::new(options.cache_bytes),
        versions: Versions::default(),
        kept: KeptBytes::of_parts(options.cache_bytes),
        stores: KnownStores::default(),
        shown: Shown::default(),
        room: Room::default(),
        copies_parts: AtomicBool::new(true),
        keeps_directories: OnceLock::new(),
        keeps_names: AtomicBool::new(false),
        making: Mutex::new(()),
        lacking: Mutex::new(Generations::new(MOST_LACKING)),
    });
    if shared.read_only.is_none() {
        complete(&shared);
    }
    Ok(Arc::new(BucketBackend::new(shared)))
}

/// Completes what was broken off, beside the caller if it takes long.
fn complete(shared: &Arc<Shared>) {
    let (done, is_done) = std::sync::mpsc::channel();
    let own = Arc::clone(shared);
    let work = move || {
        if let Err(error) = own.complete_all() {
            log::warn!("what was broken off is not completed: {error}");
        }
        let _ = done.send(());
    };
    match std::thread::Builder::new().name("storefs-complete".to_owned()).spawn(work) {
        Ok(_) => drop(is_done.recv_timeout(LONGEST_COMPLETION)),
        Err(error) => log::warn!("what was broken off is not completed: {error}"),
    }
}

/// So long an open waits for the completion of what was broken off.
const LONGEST_COMPLETION: Duration = Duration::from_secs(10);
