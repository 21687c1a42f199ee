//! The Crawlee storage directory as a backend: what the official SDKs read and write, beside them.
//!
//! | file | owns |
//! | --- | --- |
//! | `layout` | names: percent-encoding, sidecars, temporaries, limits |
//! | `dialect` | the two layouts, and how Crawlee JS 3 names files |
//! | `sidecar` | the text of a record's sidecar |
//! | `tree` | opening and looking, beneath a descriptor and following no link |
//! | `staging`, `staged_value` | bytes not yet visible, in `<source>/.storefs/` |
//! | `new_sidecar` | sidecars that wait to be placed |
//! | `note`, `delete_note` | what is under way, as names in `<source>/.storefs/` tell it |
//! | `key_locks` | one writer at a time for each record |
//! | `process_locks` | one process at a time for each record |
//! | `place` | two files into their places, beside SDKs |
//! | `fingerprint` | a number for bytes that never changes |
//! | `store_gates` | no publish into a store that is being purged |
//! | `doctor` | finding what is wrong, and mending what has one right answer |
//! | `heal` | completing what a dead process was at |
//! | `reaper` | removal in the background |
//! | `write_out` | data is written before its name |
//! | `unsynced` | what a later fsync has to make durable |
//! | `records`, `publish`, `rename`, `set_type`, `stores`, `plain`, `purge` | the operations |
//! | `purge_box` | what a purge has taken out of sight |
//! | `watch` | telling what others change |

mod delete_note;
mod dialect;
mod doctor;
mod fingerprint;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod heal;
mod key_locks;
mod layout;
mod new_sidecar;
mod note;
mod place;
mod plain;
mod process_locks;
mod publish;
mod purge;
mod purge_box;
mod reaper;
mod records;
mod rename;
mod set_type;
mod sidecar;
mod staged_value;
mod staging;
mod store_gates;
mod stores;
mod tree;
mod unsynced;
mod watch;
mod write_out;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use rustix::fs::FileType;

use dialect::Dialect;
pub use dialect::DialectChoice;
use key_locks::KeyLocks;
use reaper::Reaper;
use staged_value::StagedValue;
use staging::{Session, StagingArea};
use store_gates::StoreGates;
use tree::{Directory, Identity, StoreDir};
use unsynced::Unsynced;

use super::watch::{Tell, Watched};
use super::{
    Backend, Findings, Look, MetadataText, Purge, Purging, RenameRecord, Scan, Staging, Value,
};
use crate::failpoint;
use crate::model::{
    AttributeChange, Attributes, ContentType, Error, Finding, Key, Result, Space, StoreMetadata,
    StoreName,
};

/// How a storage directory is read and written.
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    /// Which layout to assume.
    pub dialect: DialectChoice,
    /// Whether nothing at all is written.
    pub read_only: bool,
    /// The input key: files of this key do not tell which layout a store has.
    pub input_key: String,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        let input_key = "INPUT".to_owned();
        Self { dialect: DialectChoice::Auto, read_only: false, input_key }
    }
}

/// A Crawlee `storage/` directory. Cheap to clone; all clones are one backend.
#[derive(Clone, Debug)]
pub struct DirectoryBackend {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: Directory,
    options: DirectoryOptions,
    staging: StagingArea,
    reaper: Reaper,
    /// Rank 2: whoever uses a store's directory passes, a purge closes.
    store_gates: StoreGates,
    /// Rank 3: held while a record's value and sidecar are replaced, so that they stay those of one writer.
    key_locks: KeyLocks,
    /// Layouts that are known and cannot be read off the directory again: JS 3's, and that of a store of sidecars
    /// whose metadata we have removed. A leaf lock.
    known_dialects: Mutex<HashMap<Identity, Dialect>>,
    /// The names of stores that were JS 3's when they were seen last. It purges a store by putting a new directory
    /// in its place, which holds nothing to recognise it by. A leaf lock.
    js3_names: Mutex<HashSet<StoreName>>,
    unsynced: Unsynced,
}

impl DirectoryBackend {
    /// Opens the storage directory at `path`, which may itself be a link.
    ///
    /// # Errors
    /// [`Error::Io`] if it is missing, no directory, or not readable.
    pub fn open(path: &Path, options: DirectoryOptions) -> Result<Self> {
        let root = tree::open_root(path, options.read_only)
            .map_err(|error| Error::io(format!("open storage '{}'", path.display()), error))?;
        let shared = Shared {
            root,
            options,
            staging: StagingArea::default(),
            reaper: Reaper::default(),
            store_gates: StoreGates::default(),
            key_locks: KeyLocks::default(),
            known_dialects: Mutex::default(),
            js3_names: Mutex::default(),
            unsynced: Unsynced::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The staging directory of this process, which somebody may have removed since it was used last: whoever cannot
    /// make a file in it takes [`session`](Self::session).
    fn known_session(&self) -> Result<Arc<Session>> {
        self.refuse_if_read_only()?;
        self.shared.staging.known_session().map_or_else(|| self.session(), Ok)
    }

    /// The staging directory of this process. Whoever makes it heals first what others have left.
    fn session(&self) -> Result<Arc<Session>> {
        self.refuse_if_read_only()?;
        let (session, is_new) = self.shared.staging.session(&self.shared.root)?;
        if is_new && let Err(error) = self.heal_in(session.private()) {
            log::warn!("what a dead process left is not healed: {error}");
        }
        Ok(session)
    }

    fn refuse_if_read_only(&self) -> Result<()> {
        if self.shared.options.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// The keys of a store's plain files that are records. Two files can stand for one key, `my%20file` and a
    /// bare `my file`; then the SDK's own name is the record, and the other is passed over.
    fn scan_store(&self, dir: &StoreDir) -> Result<Scan> {
        let failed = |name: &StoreName, error| Error::io(format!("list store '{name}'"), error);
        let dialect = self.dialect(dir)?;
        let entries = tree::entries(&dir.fd).map_err(|error| failed(&dir.name, error))?;
        let fd = dir
            .fd
            .try_clone()
            .map_err(|error| Error::io(format!("list store '{}'", dir.name), error))?;
        let own = StoreDir { fd, name: dir.name.clone() };
        let backend = self.clone();
        Ok(Box::new(entries.filter_map(move |entry| match entry {
            Ok((name, listed)) => backend.listed_key(&own, dialect, &name, listed).transpose(),
            Err(error) => Some(Err(failed(&own.name, error))),
        })))
    }

    fn listed_key(
        &self,
        dir: &StoreDir,
        dialect: Dialect,
        name: &[u8],
        listed: FileType,
    ) -> Result<Option<Key>> {
        if tree::kind(&dir.fd, name, listed) != FileType::RegularFile
            || !self.is_record(dir, name)?
        {
            return Ok(None);
        }
        if dialect.keeps_as_it_is(name) {
            return Key::from_bytes(name).map(Some);
        }
        let key = dialect.key(name)?;
        let own = dialect.value_name(&key);
        if own != name && tree::has_file(&dir.fd, &own) == Ok(true) {
            let bare = String::from_utf8_lossy(name);
            log::warn!(
                "the bare file '{bare}' in store '{}' is hidden by record '{key}'",
                dir.name
            );
            return Ok(None);
        }
        Ok(Some(key))
    }

    /// Attributes of a record in a store whose layout is known. Most are where the SDK keeps them: that takes one
    /// look at one name.
    fn listed_attributes(&self, dir: &StoreDir, dialect: Dialect, key: &Key) -> Result<Attributes> {
        let look = |name: &[u8]| {
            let stat = tree::stat_file(&dir.fd, name).ok()?;
            self.is_record(dir, name).is_ok_and(|is| is).then(|| tree::attributes(&stat))
        };
        let found = match dialect.keeps_as_it_is(key.as_bytes()) {
            true => look(key.as_bytes()),
            false => look(&dialect.value_name(key)),
        };
        found.map_or_else(|| self.record_attributes(dir, key), Ok)
    }
}

impl Backend for DirectoryBackend {
    fn stores(&self) -> Result<Vec<StoreName>> {
        self.store_names()
    }

    fn store_attributes(&self, store: &StoreName) -> Result<Attributes> {
        self.in_store(store, |dir| self.directory_attributes(dir))
    }

    fn create_store(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        self.make_store(store, metadata)
    }

    fn rename_store(
        &self,
        from: &StoreName,
        to: &StoreName,
        metadata_name: Option<&str>,
    ) -> Result<()> {
        self.move_store(from, to, metadata_name)
    }

    fn drop_store(&self, store: &StoreName) -> Result<()> {
        self.remove_store(store)
    }

    fn purge_store(&self, store: &StoreName, purge: &Purge<'_>) -> Result<Purging> {
        self.purge(store, purge)
    }

    fn metadata(&self, store: &StoreName) -> Result<StoreMetadata> {
        self.in_store(store, |dir| self.read_metadata(dir))
    }

    fn metadata_text(&self, store: &StoreName) -> Result<Option<MetadataText>> {
        self.in_store(store, |dir| self.usable_metadata_text(dir))
    }

    fn set_metadata_text(&self, store: &StoreName, text: Option<&[u8]>) -> Result<()> {
        self.in_store(store, |dir| self.replace_metadata_text(dir, text))
    }

    fn complete_metadata(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        self.in_store(store, |dir| self.add_metadata(dir, metadata))
    }

    fn touch_store(
        &self,
        store: &StoreName,
        accessed_at: Option<Timestamp>,
        modified_at: Option<Timestamp>,
    ) -> Result<()> {
        self.in_store(store, |dir| self.touch(dir, accessed_at, modified_at))
    }

    fn scan(&self, store: &StoreName) -> Result<Scan> {
        self.in_store(store, |dir| self.scan_store(dir))
    }

    fn record(&self, store: &StoreName, key: &Key) -> Result<Attributes> {
        self.in_store(store, |dir| self.record_attributes(dir, key))
    }

    fn look_at_records(&self, store: &StoreName, act: &mut dyn FnMut(&mut Look<'_>)) -> Result<()> {
        self.in_store(store, |dir| {
            let dialect = self.dialect(dir)?;
            act(&mut |key| self.listed_attributes(dir, dialect, key));
            Ok(())
        })
    }

    fn content_type(&self, store: &StoreName, key: &Key) -> Result<Option<ContentType>> {
        self.in_store(store, |dir| self.kept_type(dir, key))
    }

    fn is_type_in_doubt(&self, store: &StoreName, key: &Key) -> Result<bool> {
        self.in_store(store, |dir| self.is_sidecar_older(dir, key))
    }

    fn set_content_type(
        &self,
        store: &StoreName,
        key: &Key,
        content_type: &ContentType,
    ) -> Result<()> {
        self.refuse_if_read_only()?;
        self.set_kept_type(store, key, content_type)
    }

    fn open_value(&self, store: &StoreName, key: &Key) -> Result<Arc<dyn Value>> {
        Ok(Arc::new(self.in_store(store, |dir| self.open_record(dir, key))?))
    }

    fn stage(&self) -> Result<Box<dyn Staging>> {
        let session = self.known_session()?;
        failpoint::fail("stage: create")
            .map_err(|error| Error::io("make a staging file", error))?;
        let staged = match session.create() {
            Err(error) if error.is_not_found() => self.session()?.create()?,
            staged => staged?,
        };
        Ok(Box::new(StagedValue { backend: self.clone(), staged }))
    }

    fn check_key(&self, store: &StoreName, key: &Key) -> Result<()> {
        if !store.is_plain() && Dialect::is_irrelevant_for(key) {
            return self.check(Dialect::Sidecars, key);
        }
        self.check(self.in_store(store, |dir| self.dialect(dir))?, key)
    }

    fn resolve_key(
        &self,
        store: &StoreName,
        key: &Key,
        content_type: Option<&ContentType>,
    ) -> Result<Option<Key>> {
        let dir = &*self.store_dir(store)?;
        if self.dialect(dir)? != Dialect::Js3 {
            return Ok(None);
        }
        if let Some(content_type) = content_type {
            return Ok(dialect::js3_key_for(key, content_type));
        }
        let known = |file: &Result<Key>| {
            file.as_ref().map_or(true, |file| dialect::js3_is_known_as(file, key))
        };
        self.scan_store(dir)?.find(known).transpose()
    }

    fn set_attributes(
        &self,
        store: &StoreName,
        key: &Key,
        change: &AttributeChange,
    ) -> Result<Attributes> {
        self.refuse_if_read_only()?;
        self.in_store(store, |dir| self.change_record(dir, key, change))
    }

    fn set_store_attributes(
        &self,
        store: &StoreName,
        change: &AttributeChange,
    ) -> Result<Attributes> {
        self.refuse_if_read_only()?;
        let dir = self.store_dir(store)?;
        staging::change_attributes(&dir.fd, change)
            .map_err(|error| Error::io(format!("change attributes of store '{store}'"), error))?;
        self.directory_attributes(&dir)
    }

    fn delete(&self, store: &StoreName, key: &Key) -> Result<()> {
        self.refuse_if_read_only()?;
        self.in_store(store, |dir| self.delete_record(dir, key))
    }

    fn rename_record(&self, rename: &RenameRecord<'_>) -> Result<()> {
        self.refuse_if_read_only()?;
        self.move_record(rename)
    }

    fn sync_record(&self, store: &StoreName, key: &Key) -> Result<()> {
        self.in_store(store, |dir| self.sync_one(dir, key))
    }

    fn sync_stores(&self) -> Result<()> {
        self.sync_names_of_stores()
    }

    fn sync_store(&self, store: &StoreName) -> Result<()> {
        self.in_store(store, |dir| self.sync_directory(dir))
    }

    fn heal(&self) -> Result<()> {
        self.heal_abandoned()
    }

    fn examine(&self) -> Result<Findings> {
        self.examine_storage()
    }

    fn examine_store(&self, store: &StoreName) -> Result<Findings> {
        self.examine_directory(store)
    }

    fn mend(&self, finding: &Finding, content_type: Option<&ContentType>) -> Result<()> {
        self.refuse_if_read_only()?;
        self.mend_finding(finding, content_type)
    }

    fn directories(&self, directory: &StoreName) -> Result<Vec<String>> {
        self.in_store(directory, |dir| self.directory_names(dir))
    }

    fn create_directory(&self, directory: &StoreName) -> Result<()> {
        self.make_directory(directory)
    }

    fn remove_directory(&self, directory: &StoreName) -> Result<()> {
        self.unmake_directory(directory)
    }

    fn rename_directory(&self, from: &StoreName, to: &StoreName, replace: bool) -> Result<()> {
        self.move_directory(from, to, replace)
    }

    fn watch(&self, tell: Tell) -> Watched {
        watch::start(&self.shared.root, tell)
    }

    fn space(&self) -> Result<Space> {
        let stat = rustix::fs::fstatvfs(&self.shared.root)
            .map_err(|error| Error::io("look at the disk", error))?;
        Ok(Space {
            block_size: stat.f_frsize,
            blocks: stat.f_blocks,
            blocks_free: stat.f_bfree,
            blocks_available: stat.f_bavail,
            files: stat.f_files,
            files_free: stat.f_ffree,
        })
    }
}
