//! What stores and records mean: the operations of the SDKs over any [`Backend`].
//!
//! The engine owns the rules that hold for every backend: how a store is opened by id, name or alias, which
//! content type a published record gets, which records are the input, and when the metadata's times move. It
//! knows nothing of file names, inodes or a mount.

mod activity;
mod collection;
mod content_type;
mod copy;
mod examine;
mod input;
mod iterate;
mod looked_at;
mod moved_aside;
mod open;
mod options;
mod purge;
mod rescue;
mod sidecars;
mod smallest;
mod store;
mod types;
mod values;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use activity::Activity;
pub use copy::{Copied, CopyNews, CopyOptions, TellCopy, ends_copy};
pub use iterate::{IterateKeys, KeyPage, Keys, RecordMetadata};
use moved_aside::MovedAside;
pub use open::OpenStore;
pub use options::{DEFAULT_TIMEOUT, StorageOptions};
pub use purge::PurgeOptions;
pub use store::{PublishAs, Record, Store};

#[cfg(feature = "mount")]
pub(crate) use crate::backend::Work;
#[cfg(feature = "mount")]
use crate::backend::describe;
pub use crate::backend::directory::{DialectChoice, DirectoryOptions};
pub use crate::backend::source::{Source, concealed};
pub use crate::backend::watch::{Change, Tell, Watch, Watched};
use crate::backend::{Backend, PlainDirectories, directory::DirectoryBackend};
pub use crate::backend::{
    Findings, ItemsFormat, KeptSidecar, Listed, Look, MetadataText, Over, PublishError, Purged,
    Purging, Scan, Staged, StagedFor, Traits, Value, WouldPurge,
};
use crate::model::{
    BackendErrorKind, Error, Result, Space, StoreMetadata, StoreName, StoreTimes, this_moment,
};

/// An open storage: a set of stores. Cheap to clone; all clones are one storage.
#[derive(Clone, Debug)]
pub struct Storage {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    backend: Arc<dyn Backend>,
    input_key: String,
    activity: Activity,
    moved_aside: MovedAside,
    /// Whether the last publish, or look at a record, has failed for the storage's own sake.
    is_failing: AtomicBool,
}

impl Storage {
    /// Opens the Crawlee storage directory at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if it is missing, no directory, or not readable.
    pub fn open_directory(path: &Path, options: StorageOptions) -> Result<Self> {
        let input_key = options::input_key(options.input_key);
        let read_only = options.read_only || options.directory.read_only;
        let directory = DirectoryOptions {
            input_key: input_key.clone(),
            read_only,
            cache_dir: options.cache_dir.or_else(|| options.directory.cache_dir.clone()),
            ..options.directory
        };
        let backend = DirectoryBackend::open(path, directory)?;
        Ok(Self::with_backend(Arc::new(backend), Some(input_key)))
    }

    /// Opens the storage that a source names, by what is there: a directory, a database or a bucket.
    ///
    /// Call it in the process that uses the storage: connections, threads and locks do not live on behind a fork.
    ///
    /// # Errors
    /// [`Error::InvalidSource`] if there is nothing that could be one; [`Error::Io`], [`Error::Backend`] if it cannot be
    /// opened. Nothing is made where there is nothing.
    pub fn open(source: &Source, options: StorageOptions) -> Result<Self> {
        let source = source.found()?;
        match source.directory() {
            Some(path) => Self::open_directory(path, options),
            None => Self::open_elsewhere(&source, options),
        }
    }

    fn open_elsewhere(source: &Source, options: StorageOptions) -> Result<Self> {
        #[cfg(feature = "s3")]
        if source.bucket().is_some() {
            let backend = crate::backend::open_bucket(source, &options.for_bucket())?;
            return Ok(Self::with_backend(backend, options.input_key));
        }
        Self::open_database(source, options)
    }

    #[cfg(feature = "sql")]
    fn open_database(source: &Source, options: StorageOptions) -> Result<Self> {
        let backend = crate::backend::open_database(source, &options.for_database())?;
        Ok(Self::with_backend(backend, options.input_key))
    }

    /// None is understood where none is built in.
    #[cfg(not(feature = "sql"))]
    fn open_database(source: &Source, _: StorageOptions) -> Result<Self> {
        Err(unopened(source))
    }

    /// Opens a storage over any backend. Without `input_key` it is `INPUT`.
    #[must_use]
    pub fn with_backend(backend: Arc<dyn Backend>, input_key: Option<String>) -> Self {
        let input_key = options::input_key(input_key);
        let activity = Activity::new(backend.traits().times_follow_changes);
        let moved_aside = MovedAside::default();
        let is_failing = AtomicBool::new(false);
        Self { shared: Arc::new(Shared { backend, input_key, activity, moved_aside, is_failing }) }
    }

    /// What the storage keeps of the promises, and its limits.
    #[must_use]
    pub fn traits(&self) -> Traits {
        self.backend().traits()
    }

    /// The same and the storage's capabilities, for people and programs.
    #[cfg(feature = "mount")]
    pub(crate) fn describe(&self) -> serde_json::Value {
        describe(self.backend())
    }

    /// What a storage that is no directory has been asked so far.
    #[cfg(feature = "mount")]
    pub(crate) fn work(&self) -> Option<Work> {
        self.backend().work()
    }

    /// Whether each store's metadata is a file that can be removed.
    #[cfg(feature = "mount")]
    pub(crate) fn has_metadata_files(&self) -> bool {
        self.backend().metadata_files().is_some()
    }

    /// The input key in force.
    #[must_use]
    pub fn input_key(&self) -> &str {
        &self.shared.input_key
    }

    /// The names of all stores, sorted.
    ///
    /// # Errors
    /// [`Error::Io`] if the storage cannot be read.
    pub fn stores(&self) -> Result<Vec<StoreName>> {
        let mut stores = self.backend().stores()?;
        stores.sort_unstable();
        Ok(stores)
    }

    /// A handle on the store of this name, whether or not it is there; its methods will tell.
    #[must_use]
    pub fn store(&self, name: &StoreName) -> Store {
        Store::new(self.clone(), name.clone())
    }

    /// Opens a store as the SDKs do: by id it must be there; by name, alias, or as the default store it is
    /// made if it is not. Metadata that is missing is made, with a new id (FORMAT 4.3, 4.5).
    ///
    /// # Errors
    /// [`Error::AmbiguousOpen`], [`Error::NoSuchStoreId`], [`Error::InvalidStoreName`],
    /// [`Error::DamagedMetadata`].
    pub fn open_store(&self, open: &OpenStore) -> Result<Store> {
        open::open_store(self, open)
    }

    /// Finds a store as [`open_store`](Self::open_store) does, but makes nothing.
    ///
    /// # Errors
    /// As `open_store`, and [`Error::NoSuchStore`].
    pub fn find_store(&self, open: &OpenStore) -> Result<Store> {
        open::find_store(self, open)
    }

    /// Makes an empty store; `default` is unnamed, any other is named after its directory.
    ///
    /// # Errors
    /// [`Error::StoreExists`].
    pub fn create_store(&self, name: &StoreName) -> Result<Store> {
        self.backend().create_store(name, &new_metadata(name.metadata_name()))?;
        Ok(self.store(name))
    }

    /// Makes durable which stores there are, and under which names.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync_stores(&self) -> Result<()> {
        self.backend().durability().map_or(Ok(()), |durability| durability.sync_stores())
    }

    /// The names of the directories in a plain directory, sorted.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn directories(&self, directory: &StoreName) -> Result<Vec<String>> {
        let Some(plain) = self.backend().plain_directories() else { return Ok(Vec::new()) };
        let mut names = plain.directories(directory)?;
        names.sort_unstable();
        Ok(names)
    }

    /// Makes a plain directory.
    ///
    /// # Errors
    /// [`Error::StoreExists`]; [`Error::NoSuchStore`] without its parent.
    pub fn create_directory(&self, directory: &StoreName) -> Result<Store> {
        self.plain_directories("make", directory)?.create_directory(directory)?;
        Ok(self.store(directory))
    }

    /// Removes an empty plain directory.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`]; [`Error::Io`] if it is not empty.
    pub fn remove_directory(&self, directory: &StoreName) -> Result<()> {
        self.plain_directories("remove", directory)?.remove_directory(directory)
    }

    /// Moves a plain directory with all that is in it; with `replace`, over an empty one.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::StoreExists`].
    pub fn rename_directory(&self, from: &StoreName, to: &StoreName, replace: bool) -> Result<()> {
        self.plain_directories("move", from)?.rename_directory(from, to, replace)
    }

    /// Gives a store another name, in its metadata too; renamed to `default` it becomes unnamed.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::StoreExists`].
    pub fn rename_store(&self, from: &StoreName, to: &StoreName) -> Result<Store> {
        self.write_back_store(from)?;
        // Nobody writes times back under the old name meanwhile.
        let taken = self.shared.activity.take(from);
        self.backend().rename_store(from, to, to.metadata_name().as_deref())?;
        taken.renamed(to);
        Ok(self.store(to))
    }

    /// Writes the times that have moved into the metadata of every store (P17). Called once a second by a
    /// mount, and when a storage is closed; costs nothing where nothing was read or changed.
    ///
    /// A store whose metadata cannot be written keeps its times for the next call; the first error is given back.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_back(&self) -> Result<()> {
        let mut outcome = Ok(());
        for store in self.shared.activity.active() {
            let written = self.write_back_store(&store);
            outcome = outcome.and(written);
        }
        outcome
    }

    /// Waits until some store's times have moved since the last write-back, or until [`Storage::close`].
    /// Gives back whether the storage is still open.
    pub fn wait_for_activity(&self) -> bool {
        self.shared.activity.wait()
    }

    /// Ends every [`Storage::wait_for_activity`].
    pub fn close(&self) {
        self.shared.activity.close();
    }

    /// Begins a version of a record that has no name any more, and is published nowhere.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::ReadOnly`].
    pub fn stage_nowhere(&self) -> Result<Staged> {
        self.backend().stage(None)
    }

    /// Which stores cannot be written, and why, each in a line for people. Looks at each store.
    ///
    /// # Errors
    /// [`Error::Io`] if the storage cannot be read.
    pub fn unwritable(&self) -> Result<Vec<String>> {
        self.backend().repair().map_or_else(|| Ok(Vec::new()), |repair| repair.unwritable())
    }

    /// Completes or undoes what a process was at when it died (P21). The first write of a process does it too.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::ReadOnly`].
    pub fn heal(&self) -> Result<()> {
        self.backend().repair().map_or(Ok(()), |repair| repair.heal())
    }

    /// Begins to watch for what changes in the storage, whoever changes it.
    ///
    /// # Errors
    /// The reason, where changes cannot be watched for.
    pub fn watch(&self, tell: Tell) -> Watched {
        match self.backend().watchable() {
            Some(watchable) => watchable.watch(tell),
            None => Err("a storage of this kind does not tell of changes".to_owned()),
        }
    }

    /// Room on the medium.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn space(&self) -> Result<Space> {
        self.backend().space()
    }

    fn write_back_store(&self, store: &StoreName) -> Result<()> {
        let taken = self.shared.activity.take(store);
        let Some(times) = taken.times() else { return Ok(()) };
        let written = match self.move_times(store, times) {
            Err(Error::ReadOnly) => Ok(()),
            // The store, or the whole storage, has been removed.
            Err(error) if error.is_not_found() => Ok(()),
            // That a read cannot be noted on a read-only disk is no loss.
            Err(Error::Io { source, .. })
                if source.kind() == io::ErrorKind::ReadOnlyFilesystem
                    && times.modified_at.is_none() =>
            {
                Ok(())
            }
            written => written,
        };
        if written.is_ok() {
            taken.done();
        }
        written
    }

    fn move_times(&self, store: &StoreName, times: activity::Times) -> Result<()> {
        let backend = self.backend();
        if let Some(dialects) = backend.dialects()
            && times.modified_at.is_some()
            && !self.store(store).has_metadata()?
        {
            dialects.complete_written_store(store, &new_metadata(store.metadata_name()))?;
        }
        backend.touch_store(store, times.accessed_at, times.modified_at)
    }

    /// Replaces or removes a store, whose times are none of its metadata's any more if that succeeds.
    fn instead_of_times<T>(
        &self,
        store: &StoreName,
        replace: impl FnOnce() -> Result<T>,
        has_replaced: impl FnOnce(&T) -> bool,
    ) -> Result<T> {
        // Taken before: what moves from here on may belong to what comes after.
        let taken = self.shared.activity.take(store);
        let outcome = replace();
        if outcome.as_ref().is_ok_and(has_replaced) {
            taken.done();
        }
        outcome
    }

    fn plain_directories(
        &self,
        what: &str,
        directory: &StoreName,
    ) -> Result<&dyn PlainDirectories> {
        self.backend().plain_directories().ok_or_else(|| {
            Error::backend(
                BackendErrorKind::Unsupported,
                format!("{what} directory '{directory}'"),
                "this storage has none but its stores",
            )
        })
    }

    /// Whether a storage elsewhere was of late not reached, or has said no: then whoever begins to write had better ask it
    /// first.
    #[cfg(feature = "mount")]
    pub(crate) fn is_failing(&self) -> bool {
        self.shared.is_failing.load(Ordering::Relaxed)
    }

    /// Notes what a publish or look has come to.
    fn note_answer(&self, error: Option<&Error>) {
        let is_failing = matches!(error, Some(Error::Backend { .. }));
        // Mostly nothing changes, and each lookup of each thread comes by here.
        if self.shared.is_failing.load(Ordering::Relaxed) != is_failing {
            self.shared.is_failing.store(is_failing, Ordering::Relaxed);
        }
    }

    fn backend(&self) -> &dyn Backend {
        &*self.shared.backend
    }

    fn activity(&self) -> &Activity {
        &self.shared.activity
    }

    fn moved_aside(&self) -> &MovedAside {
        &self.shared.moved_aside
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.activity.close();
    }
}

#[cfg(not(feature = "sql"))]
fn unopened(source: &Source) -> Error {
    Error::invalid_source(source.shown(), "is of a kind that is not built in")
}

/// Metadata for a store made now, with a new id.
fn new_metadata(name: Option<String>) -> StoreMetadata {
    StoreMetadata { id: Some(open::new_id()), name, times: StoreTimes::at(this_moment()) }
}
