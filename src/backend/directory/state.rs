//! What all operations on a storage directory share.
//!
//! Each operation is a method in the file that owns it. What they keep between calls is in the files of this list,
//! none of which knows an operation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dialect::DialectChoice;
use super::kept_keeper::KeptKeeper;
use super::kept_times::KeptTimes;
use super::key_locks::KeyLocks;
use super::layouts::Layouts;
use super::metadata_locks::MetadataLocks;
use super::reaper::Reaper;
use super::root::Root;
use super::staging_area::StagingArea;
use super::store_gates::StoreGates;
use super::tree::Directory;
use super::unsynced::Unsynced;
use crate::backend::items::ItemTexts;
use crate::model::{DEFAULT_INPUT_KEY, Error, Result};

/// How a storage directory is read and written.
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    /// Which layout to assume.
    pub dialect: DialectChoice,
    /// Whether nothing at all is written.
    pub read_only: bool,
    /// The input key: files of this key do not tell which layout a store has.
    pub input_key: String,
    /// Where the texts of datasets are held that are being read; `None` is a directory for temporary files.
    pub cache_dir: Option<PathBuf>,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        let input_key = DEFAULT_INPUT_KEY.to_owned();
        Self { dialect: DialectChoice::Auto, read_only: false, input_key, cache_dir: None }
    }
}

/// A Crawlee `storage/` directory. Cheap to clone; all clones are one backend.
#[derive(Clone, Debug)]
pub struct DirectoryBackend {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) root: Arc<Root>,
    pub(super) options: DirectoryOptions,
    pub(super) staging: StagingArea,
    /// Dropped before the reaper, which it gives work.
    pub(super) kept_keeper: KeptKeeper,
    pub(super) reaper: Arc<Reaper>,
    /// Whoever uses a store's directory passes; who replaces, moves or removes it closes.
    pub(super) store_gates: StoreGates,
    /// Held over each edit of a store's metadata.
    pub(super) metadata_locks: MetadataLocks,
    /// Held while a record's value and sidecar are replaced, so that they stay those of one writer.
    pub(super) key_locks: KeyLocks,
    pub(super) layouts: Layouts,
    pub(super) kept_times: KeptTimes,
    pub(super) unsynced: Unsynced,
    pub(super) item_texts: ItemTexts,
}

impl DirectoryBackend {
    /// Opens the storage directory at `path`, which may itself be a link.
    ///
    /// # Errors
    /// [`Error::Io`] if it is missing, no directory, or not readable.
    pub fn open(path: &Path, options: DirectoryOptions) -> Result<Self> {
        let root = Root::open(path, options.read_only)
            .map_err(|error| Error::io(format!("open storage '{}'", path.display()), error))?;
        let shared = Shared {
            root: Arc::new(root),
            options,
            staging: StagingArea::default(),
            kept_keeper: KeptKeeper::default(),
            reaper: Arc::default(),
            store_gates: StoreGates::default(),
            metadata_locks: MetadataLocks::default(),
            key_locks: KeyLocks::default(),
            layouts: Layouts::default(),
            kept_times: KeptTimes::default(),
            unsynced: Unsynced::default(),
            item_texts: ItemTexts::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The storage's own directory, as it is now.
    pub(super) fn root(&self) -> Arc<Directory> {
        self.shared.root.now()
    }

    pub(super) fn refuse_if_read_only(&self) -> Result<()> {
        if self.shared.options.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }
}
