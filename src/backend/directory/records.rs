//! Records of a store: where their files are, what is known of them, and how they are removed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;

use super::delete_note::DeleteNote;
use super::dialect::{self, Dialect};
use super::process_locks::ProcessHold;
use super::sidecar::SidecarFile;
use super::staging::{self, Session};
use super::state::DirectoryBackend;
use super::tree::StoreDir;
use super::{key_locks, layout, tree};
use crate::backend::Value;
use crate::failpoint;
use crate::model::{AttributeChange, Attributes, Error, Key, RecordType, Result, StoreName};

/// A value file, open for reading. Versions are replaced and never rewritten, so its bytes do not change;
/// only Crawlee JS 3 writes in place.
#[derive(Debug)]
pub(super) struct FileValue {
    file: Arc<OwnedFd>,
}

impl FileValue {
    pub(super) fn new(file: Arc<OwnedFd>) -> Self {
        Self { file }
    }
}

impl Value for FileValue {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        staging::read_at(&*self.file, buffer, offset)
            .map_err(|error| Error::io("read a value", error))
    }

    fn attributes(&self) -> Result<Attributes> {
        rustix::fs::fstat(&*self.file)
            .map(|stat| tree::attributes(&stat))
            .map_err(|error| Error::io("look at a value", error))
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<()> {
        staging::change_attributes(&*self.file, change)
            .map_err(|error| Error::io("change attributes of a value", error))
    }

    fn next_data(&self, offset: u64) -> Result<u64> {
        staging::next_data(&*self.file, offset)
            .map_err(|error| Error::io("look for the holes of a value", error))
    }

    fn next_hole(&self, offset: u64) -> Result<u64> {
        staging::next_hole(&*self.file, offset)
            .map_err(|error| Error::io("look for the holes of a value", error))
    }

    fn local_file(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}

/// The names under which a key's value file may be.
pub(super) struct Names {
    /// What the SDK of the store's dialect calls the file, and under which it is written.
    own: Vec<u8>,
    /// The key itself, if a file dropped in by hand may have that as its name and would stand for this key.
    bare: Option<Vec<u8>>,
}

impl Names {
    pub(super) fn of(dialect: Dialect, key: &Key) -> Self {
        let own = dialect.value_name(key);
        let name = key.as_bytes();
        let stands_for_key = || dialect.key(name).is_ok_and(|decoded| decoded == *key);
        let is_bare = own != name && layout::is_value_name(name) && stands_for_key();
        Self { bare: is_bare.then(|| name.to_vec()), own }
    }

    pub(super) fn own(&self) -> &[u8] {
        &self.own
    }

    pub(super) fn bare(&self) -> Option<&[u8]> {
        self.bare.as_deref()
    }

    /// In the order in which they are looked for.
    pub(super) fn all(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.own.as_slice()).chain(self.bare.as_deref())
    }
}

/// One record, or two, that no other thread and no other process of ours places meanwhile.
#[derive(Debug)]
pub(super) struct HeldRecords<'a> {
    _of_processes: Option<ProcessHold>,
    _of_threads: key_locks::Held<'a>,
}

impl DirectoryBackend {
    /// Holds a record of a store whose gate is passed.
    pub(super) fn hold_record(
        &self,
        session: Option<&Session>,
        store: &StoreName,
        key: &Key,
    ) -> HeldRecords<'_> {
        let _of_threads = self.shared.key_locks.hold(store, key);
        // In a plain directory no second file belongs to the value.
        let locks = session.filter(|_| !store.is_plain()).map(Session::locks);
        let _of_processes = locks.and_then(|locks| locks.hold(&[(store, key)]));
        HeldRecords { _of_processes, _of_threads }
    }

    /// Holds two records of stores whose gates are passed.
    pub(super) fn hold_records(
        &self,
        session: &Session,
        one: (&StoreName, &Key),
        other: (&StoreName, &Key),
    ) -> HeldRecords<'_> {
        let _of_threads = self.shared.key_locks.hold_both(one, other);
        HeldRecords { _of_processes: session.locks().hold(&[one, other]), _of_threads }
    }

    fn names(&self, dir: &StoreDir, key: &Key) -> Result<Names> {
        if Dialect::is_irrelevant_for(key) {
            return Ok(Names { own: key.as_bytes().to_vec(), bare: None });
        }
        Ok(Names::of(self.dialect(dir)?, key))
    }

    /// Finds a record's value file: its name and what the system says of it.
    pub(super) fn locate(&self, dir: &StoreDir, key: &Key) -> Result<(Vec<u8>, Stat)> {
        self.locate_as(dir, &self.names(dir, key)?, key)
    }

    pub(super) fn locate_as(
        &self,
        dir: &StoreDir,
        names: &Names,
        key: &Key,
    ) -> Result<(Vec<u8>, Stat)> {
        for name in names.all() {
            match tree::stat_file(&dir.fd, name) {
                Ok(stat) if self.is_record(dir, name)? => return Ok((name.to_vec(), stat)),
                Ok(_) | Err(Errno::NOENT | Errno::NAMETOOLONG) => {}
                Err(error) => return Err(dir.failed("look for", key, error)),
            }
        }
        Err(dir.no_record(key))
    }

    pub(super) fn is_record(&self, dir: &StoreDir, name: &[u8]) -> Result<bool> {
        is_record(dir, name)
    }

    pub(super) fn record_attributes(&self, dir: &StoreDir, key: &Key) -> Result<Attributes> {
        self.locate(dir, key).map(|(_, stat)| tree::attributes(&stat))
    }

    pub(super) fn open_record(&self, dir: &StoreDir, key: &Key) -> Result<FileValue> {
        for name in self.names(dir, key)?.all() {
            match tree::open_file(&dir.fd, name) {
                Ok(file) if self.is_record(dir, name)? => {
                    return Ok(FileValue { file: Arc::new(file) });
                }
                Ok(_) | Err(Errno::NOENT | Errno::NAMETOOLONG) => {}
                Err(error) => return Err(dir.failed("open", key, error)),
            }
        }
        Err(dir.no_record(key))
    }

    /// The type in the sidecar, or in a JS 3 store that of the extension.
    pub(super) fn record_type(&self, dir: &StoreDir, key: &Key) -> Result<Option<RecordType>> {
        let (name, _) = self.locate(dir, key)?;
        let of_sdk = match self.dialect(dir)? {
            Dialect::Js3 => return Ok(dialect::js3_content_type(key).map(RecordType::given)),
            Dialect::Sidecars => key.clone(),
            Dialect::Plain => layout::decode(&name)?,
        };
        let file = SidecarFile::read(dir, &name, &of_sdk)?;
        Ok(file.and_then(|file| Some(file.sidecar.as_ref()?.record_type.clone())))
    }

    /// Whether the sidecar seems to be that of an earlier value: it was written before this one was put in place, as far as
    /// the clock's ticks tell, and names another size. Age alone says nothing, as in a storage that was copied.
    pub(super) fn is_sidecar_older(&self, dir: &StoreDir, key: &Key) -> Result<bool> {
        let (name, value) = self.locate(dir, key)?;
        let Some(file) = SidecarFile::read(dir, &name, key)? else { return Ok(false) };
        let said = file.sidecar.as_ref().and_then(|sidecar| sidecar.size);
        let value = tree::attributes(&value);
        Ok(!file.is_written_after(&value.stamp) && said.is_some_and(|said| said != value.size))
    }

    /// Removes a record: sidecar, then value, so that no half-deleted record is listed by an SDK. A file in a plain
    /// directory is removed without a session, and so is a record where nothing can be staged.
    pub(super) fn delete_record(
        &self,
        dir: &StoreDir,
        key: &Key,
        session: Option<&Arc<Session>>,
    ) -> Result<()> {
        let _held = self.hold_record(session.map(|session| &**session), &dir.name, key);
        let (name, _) = self.locate(dir, key)?;
        if dir.name.is_plain() {
            return remove_if_there(dir, &name, "delete: remove value");
        }
        let note = match session.map(|session| DeleteNote::of(session, dir, &name)) {
            None => None,
            Some(note) => note.map_err(|error| dir.failed("delete", key, error))?,
        };
        failpoint::pass("delete: noted");
        self.remove_files(dir, &name).inspect_err(|_| {
            if let Some(note) = &note {
                note.put_back(dir, &name);
            }
        })
    }

    pub(super) fn remove_files(&self, dir: &StoreDir, name: &[u8]) -> Result<()> {
        remove_if_there(dir, &layout::sidecar_of(name), "delete: remove sidecar")?;
        failpoint::pass("delete: sidecar removed");
        remove_if_there(dir, name, "delete: remove value")
    }

    /// Changes attributes of a value file through a descriptor, so that no link can be put in its place.
    pub(super) fn change_record(
        &self,
        dir: &StoreDir,
        key: &Key,
        change: &AttributeChange,
    ) -> Result<Attributes> {
        let (name, _) = self.locate(dir, key)?;
        let failed = |error: Errno| dir.failed("change attributes of", key, error);
        let file = staging::change_named(&dir.fd, &name, change).map_err(failed)?;
        rustix::fs::fstat(&file).map(|stat| tree::attributes(&stat)).map_err(failed)
    }

    pub(super) fn check(&self, dialect: Dialect, key: &Key) -> Result<()> {
        if dialect == Dialect::Plain {
            return layout::check_file_name(key);
        }
        key.require_unicode()?;
        layout::check_value_name(&dialect.value_name(key), key)
    }
}

/// Whether a plain file is a record: it is, unless it is an SDK's temporary in a store.
pub(super) fn is_record(dir: &StoreDir, name: &[u8]) -> Result<bool> {
    if dir.name.is_plain() {
        return Ok(true);
    }
    if !layout::is_value_name(name) {
        return Ok(false);
    }
    if !layout::looks_temporary(name) {
        return Ok(true);
    }
    tree::has_file(&dir.fd, &layout::sidecar_of(name))
        .map_err(|error| Error::io(format!("look into store '{}'", dir.name), error))
}

pub(super) fn remove_if_there(dir: &StoreDir, name: &[u8], step: &str) -> Result<()> {
    let removed =
        failpoint::fail(step).and_then(|()| rustix::fs::unlinkat(&dir.fd, name, AtFlags::empty()));
    match removed {
        Ok(()) | Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(()),
        Err(error) => {
            let name = String::from_utf8_lossy(name);
            Err(Error::io(format!("remove '{name}' of store '{}'", dir.name), error))
        }
    }
}
