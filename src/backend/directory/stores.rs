//! Stores: their directories and their metadata.

use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::dialect::Dialect;
use super::note::Step;
use super::records;
use super::removal::remove_tree;
use super::removed_store::RemovedStore;
use super::staging::{Session, StagedFile};
use super::state::DirectoryBackend;
use super::store_gates::{HeldStoreDir, HeldStoreDirs};
use super::tree::{self, Directory, Identity, StoreDir};
use super::unmovable::is_unmovable;
use super::{layout, staging};
use crate::backend::document::Document;
use crate::failpoint;
use crate::model::{Attributes, Error, Result, StoreMetadata, StoreName};

impl DirectoryBackend {
    /// Opens a store's directory and holds off whoever would replace it.
    pub(super) fn store_dir(&self, name: &StoreName) -> Result<HeldStoreDir<'_>> {
        let passed = self.shared.store_gates.pass(name);
        Ok(HeldStoreDir { dir: self.unguarded_store_dir(name)?, _passed: passed })
    }

    /// The same for two stores, which may be one.
    pub(super) fn store_dirs(&self, from: &StoreName, to: &StoreName) -> Result<HeldStoreDirs<'_>> {
        let passed = self.shared.store_gates.pass_both(from, to);
        let (from, to) = (self.unguarded_store_dir(from)?, self.unguarded_store_dir(to)?);
        Ok(HeldStoreDirs { from, to, _passed: passed })
    }

    /// Does something in a store's directory while it stays in its place.
    pub(super) fn in_store<R>(
        &self,
        name: &StoreName,
        act: impl FnOnce(&StoreDir) -> Result<R>,
    ) -> Result<R> {
        act(&*self.store_dir(name)?)
    }

    /// Opens a store's directory, for whoever has closed its gate.
    pub(super) fn unguarded_store_dir(&self, name: &StoreName) -> Result<StoreDir> {
        if name.is_plain() {
            return self.plain_dir(name);
        }
        let missing = || Error::NoSuchStore { store: name.to_string() };
        if layout::is_private(name) {
            return Err(missing());
        }
        if let Ok(fd) = tree::open_store(&self.shared.root.last(), name) {
            return Ok(StoreDir { fd, name: name.clone() });
        }
        // One after the other, to tell what is wrong.
        let stores = tree::open_stores(&self.root())?.ok_or_else(missing)?;
        match tree::open_dir(&stores, name.as_str()) {
            Ok(fd) => Ok(StoreDir { fd, name: name.clone() }),
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => Err(missing()),
            Err(error) => Err(Error::io(format!("open store '{name}'"), error)),
        }
    }

    pub(super) fn stores(&self) -> Result<Vec<StoreName>> {
        let failed = |error: Errno| Error::io(format!("list '{}'", layout::STORES), error);
        let Some(stores) = tree::open_stores(&self.root())? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in tree::entries(&stores).map_err(failed)? {
            let (name, listed) = entry.map_err(failed)?;
            if tree::kind(&stores, &name, listed) != FileType::Directory {
                log::debug!("'{}' is no store: it is no directory", String::from_utf8_lossy(&name));
                continue;
            }
            match std::str::from_utf8(&name).map(StoreName::new) {
                Ok(Ok(name)) if layout::is_private(&name) => {}
                Ok(Ok(name)) => names.push(name),
                _ => log::warn!(
                    "the store directory '{}' is passed over: its name is not UTF-8",
                    String::from_utf8_lossy(&name)
                ),
            }
        }
        Ok(names)
    }

    pub(super) fn directory_attributes(&self, dir: &StoreDir) -> Result<Attributes> {
        let stat = rustix::fs::fstat(&dir.fd)
            .map_err(|error| Error::io(format!("look at store '{}'", dir.name), error))?;
        let attributes = Attributes { size: 0, ..tree::attributes(&stat) };
        Ok(self.shared.kept_times.of_directory(&dir.name, attributes))
    }

    /// Makes a store: a directory that already holds its metadata is moved into place.
    pub(super) fn create_store(&self, name: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        self.refuse_if_read_only()?;
        let failed = |error: Errno| Error::io(format!("make store '{name}'"), error);
        refuse_private(name)?;
        let stores = self.open_or_make_stores()?;
        if rustix::fs::statat(&stores, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(Error::StoreExists { store: name.to_string() });
        }
        let session = self.session_of_stores()?;
        let (staged_name, directory) = session.create_dir().map_err(failed)?;
        staging::inherit_group(&directory, &stores).map_err(failed)?;
        let made = self.fill_new_store(name, directory, &session, metadata).and_then(|()| {
            let staged = staged_name.as_bytes();
            let own = name.as_str().as_bytes();
            let moved = failpoint::fail("make store: move").and_then(|()| {
                staging::move_entry(session.directory(), staged, &stores, own, false)
            });
            match moved {
                Err(Errno::EXIST | Errno::NOTEMPTY) => {
                    Err(Error::StoreExists { store: name.to_string() })
                }
                moved => moved.map_err(failed),
            }
        });
        failpoint::pass("make store: moved");
        if made.is_err() {
            let _ = remove_tree(session.directory(), staged_name.as_bytes());
        }
        made
    }

    fn fill_new_store(
        &self,
        name: &StoreName,
        fd: Directory,
        session: &Arc<Session>,
        metadata: &StoreMetadata,
    ) -> Result<()> {
        if self.dialect_of_new(name)? == Dialect::Js3 {
            return Ok(());
        }
        let dir = StoreDir { fd, name: name.clone() };
        self.place_metadata(&dir, session, &Document::new(metadata).to_bytes(), None, true)
    }

    fn open_or_make_stores(&self) -> Result<Directory> {
        let failed = |error: Errno| Error::io(format!("make '{}'", layout::STORES), error);
        if let Some(stores) = tree::open_stores(&self.root())? {
            return Ok(stores);
        }
        match rustix::fs::mkdirat(&*self.root(), layout::STORES, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        tree::open_stores(&self.root())?.ok_or_else(|| failed(Errno::NOENT))
    }

    /// Renames the directory, then the name in its metadata. Nobody is in the store meanwhile, under either name: what
    /// is noted under the old name moves with it, and whoever comes with that one finds no store.
    pub(super) fn rename_store(
        &self,
        from: &StoreName,
        to: &StoreName,
        metadata_name: Option<&str>,
    ) -> Result<()> {
        // Before the gates are closed: making the session heals, and that passes gates.
        refuse_private(to)?;
        let session = self.session_of_stores()?;
        let _closed = self.shared.store_gates.close_both(from, to);
        let dir = self.unguarded_store_dir(from)?;
        if from == to {
            return Ok(());
        }
        let Some(stores) = tree::open_stores(&self.root())? else {
            return Err(dir.no_store());
        };
        let (old, new) = (from.as_str().as_bytes(), to.as_str().as_bytes());
        let _note = self.note_store_rename(&dir, &session, to, metadata_name)?;
        failpoint::pass("rename store: noted");
        let moved = failpoint::fail("rename store: move")
            .and_then(|()| staging::move_entry(&stores, old, &stores, new, false));
        match moved {
            Err(Errno::EXIST | Errno::NOTEMPTY) => {
                return Err(Error::StoreExists { store: to.to_string() });
            }
            Err(Errno::NOENT) => return Err(dir.no_store()),
            Err(Errno::XDEV) => {
                self.rename_unmovable(&dir, &stores, &session, to, metadata_name)?;
                self.rename_in_tables(from, to);
                return Ok(());
            }
            moved => moved.map_err(|error| Error::io(format!("rename store '{from}'"), error))?,
        }
        failpoint::pass("rename store: directory moved");
        self.rename_in_tables(from, to);
        let dir = StoreDir { name: to.clone(), ..dir };
        let edited = self.edit_metadata_alone(&dir, &session, |document| {
            document.set_name(metadata_name);
            true
        });
        edited.inspect_err(|_| {
            self.rename_in_tables(to, from);
            // A directory whose metadata has another name is none of ours.
            if let Err(error) = staging::move_entry(&stores, new, &stores, old, false) {
                log::error!("store '{to}' keeps the metadata of '{from}': {error}");
            }
        })
    }

    fn rename_in_tables(&self, from: &StoreName, to: &StoreName) {
        self.shared.unsynced.rename_store(from, to);
        self.shared.layouts.rename(from, to);
    }

    /// Notes which metadata a store that is being renamed must get, in case this process dies in between.
    fn note_store_rename(
        &self,
        dir: &StoreDir,
        session: &Arc<Session>,
        to: &StoreName,
        metadata_name: Option<&str>,
    ) -> Result<Option<StagedFile>> {
        let Some(text) = self.usable_metadata_text(dir)? else { return Ok(None) };
        let Ok(mut document) = Document::parse(&text.bytes) else { return Ok(None) };
        document.set_name(metadata_name);
        let failed = |error: Errno| Error::io(format!("rename store '{}'", dir.name), error);
        let directory = tree::object(&dir.fd).map_err(failed)?;
        let name = session.note_name(Step::RenameStore, &directory, None, to.as_str().as_bytes());
        let note = session.create_as(name)?;
        rustix::fs::fchmod(note.file(), Mode::from_raw_mode(text.attributes.mode))
            .map_err(failed)?;
        note.write_all_at(&document.to_bytes(), 0).map_err(failed)?;
        note.begin_write_out().and_then(|()| note.write_out()).map_err(failed)?;
        Ok(Some(note))
    }

    /// Takes a store out of sight in one step, then removes it.
    pub(super) fn drop_store(&self, name: &StoreName) -> Result<()> {
        // Before the gate is closed: making the session heals, and that passes gates.
        let session = self.session_of_stores()?;
        let _closed = self.shared.store_gates.close(name);
        let dir = self.unguarded_store_dir(name)?;
        match RemovedStore::take(&dir, &self.root(), session) {
            Err(error) if is_unmovable(&error) => self.drop_unmovable(&dir)?,
            removed => {
                let removed = removed?;
                self.shared.reaper.give(move || removed.remove());
            }
        }
        self.forget_in_tables(name);
        Ok(())
    }

    /// The same if it has no records. Nobody of this process is in it meanwhile. Another process may be: it finds the
    /// store by its name, so what it has put into it shows in a look after that name is gone; then the store goes back
    /// with everything. Only another mount, which keeps the directory open for as long as a publish takes, can come
    /// still later; for that one there is a last look before anything is removed.
    pub(super) fn drop_store_if_empty(&self, name: &StoreName) -> Result<bool> {
        let session = self.session_of_stores()?;
        let _closed = self.shared.store_gates.close(name);
        let dir = self.unguarded_store_dir(name)?;
        if dir.has_records()? {
            return Ok(false);
        }
        failpoint::pass("drop: looked");
        let removed = match RemovedStore::take_empty(&dir, &self.root(), Arc::clone(&session)) {
            Err(error) if is_unmovable(&error) => {
                let is_gone = self.drop_unmovable_if_empty(&dir, &session)?;
                if is_gone {
                    self.forget_in_tables(name);
                }
                return Ok(is_gone);
            }
            removed => removed?,
        };
        if removed.give_back_if_used()? {
            return Ok(false);
        }
        self.forget_in_tables(name);
        self.shared.reaper.give(move || removed.remove_if_empty());
        Ok(true)
    }

    fn forget_in_tables(&self, name: &StoreName) {
        self.shared.unsynced.forget_store(name);
        self.shared.layouts.forget(name);
    }
}

/// Our own directory is no store's.
fn refuse_private(store: &StoreName) -> Result<()> {
    if !layout::is_private(store) {
        return Ok(());
    }
    let reason = "storefs keeps what is being written under this name";
    Err(Error::InvalidStoreName { name: store.to_string(), reason })
}

impl StoreDir {
    /// Whether there is any record. What may be an SDK's temporary is none.
    pub(super) fn has_records(&self) -> Result<bool> {
        let failed = |error: Errno| Error::io(format!("look into store '{}'", self.name), error);
        for entry in tree::entries(&self.fd).map_err(failed)? {
            let (name, listed) = entry.map_err(failed)?;
            if tree::kind(&self.fd, &name, listed) == FileType::RegularFile
                && records::is_record(self, &name)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn has_metadata(&self) -> Result<bool> {
        tree::has_file(&self.fd, layout::METADATA.as_bytes())
            .map_err(|error| Error::io(format!("look into store '{}'", self.name), error))
    }

    pub(super) fn identity(&self) -> Result<Identity> {
        tree::identity(&self.fd)
            .map_err(|error| Error::io(format!("look at store '{}'", self.name), error))
    }
}
