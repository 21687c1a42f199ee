//! Stores: their directories and their metadata.

use std::io;

use jiff::Timestamp;
use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::dialect::Dialect;
use super::note::Step;
use super::staging::StagedFile;
use super::tree::{self, Directory, HeldStoreDir, StoreDir};
use super::{DialectChoice, DirectoryBackend, layout, staging};
use crate::backend::document::Document;
use crate::backend::{MetadataText, is_input_key};
use crate::failpoint;
use crate::model::{Attributes, Error, Result, StoreMetadata, StoreName, StoreTimes};

/// Longest store metadata that is read, in bytes. Real ones hold a few hundred.
pub(super) const MAX_METADATA_BYTES: u64 = 1024 * 1024;

impl DirectoryBackend {
    /// Opens a store's directory and holds off whoever would replace it.
    pub(super) fn store_dir(&self, name: &StoreName) -> Result<HeldStoreDir<'_>> {
        let passed = self.shared.store_gates.pass(name);
        Ok(HeldStoreDir { dir: self.unguarded_store_dir(name)?, _passed: passed })
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
        if let Ok(fd) = tree::open_store(&self.shared.root, name) {
            return Ok(StoreDir { fd, name: name.clone() });
        }
        // One after the other, to tell what is wrong.
        let missing = || Error::NoSuchStore { store: name.to_string() };
        let stores = tree::open_stores(&self.shared.root)?.ok_or_else(missing)?;
        match tree::open_dir(&stores, name.as_str()) {
            Ok(fd) => Ok(StoreDir { fd, name: name.clone() }),
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => Err(missing()),
            Err(error) => Err(Error::io(format!("open store '{name}'"), error)),
        }
    }

    pub(super) fn store_names(&self) -> Result<Vec<StoreName>> {
        let failed = |error: Errno| Error::io(format!("list '{}'", layout::STORES), error);
        let Some(stores) = tree::open_stores(&self.shared.root)? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in tree::entries(&stores).map_err(failed)? {
            let (name, listed) = entry.map_err(failed)?;
            if tree::kind(&stores, &name, listed) != FileType::Directory {
                log::debug!("'{}' is no store: it is no directory", String::from_utf8_lossy(&name));
                continue;
            }
            match std::str::from_utf8(&name).map(StoreName::new) {
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
        Ok(Attributes { size: 0, ..tree::attributes(&stat) })
    }

    /// The layout of a store (P12). It is JS 3's if it has no metadata and no sidecar, but a bare file that is
    /// no input. Once seen, that holds for the directory until metadata appears in it.
    pub(super) fn dialect(&self, dir: &StoreDir) -> Result<Dialect> {
        if dir.name.is_plain() {
            return Ok(Dialect::Plain);
        }
        match self.shared.options.dialect {
            DialectChoice::Sidecars => return Ok(Dialect::Sidecars),
            DialectChoice::Js3 => return Ok(Dialect::Js3),
            DialectChoice::Auto => {}
        }
        let dialect = self.recognised_dialect(dir)?;
        let mut js3_names = self.shared.js3_names.lock();
        match dialect {
            Some(Dialect::Js3) => {
                js3_names.insert(dir.name.clone());
            }
            Some(_) => {
                js3_names.remove(&dir.name);
            }
            None if js3_names.contains(&dir.name) => return Ok(Dialect::Js3),
            None => {}
        }
        Ok(dialect.unwrap_or(Dialect::Sidecars))
    }

    /// The layout that a directory shows; `None` if it holds nothing that tells.
    fn recognised_dialect(&self, dir: &StoreDir) -> Result<Option<Dialect>> {
        let failed = |error: Errno| Error::io(format!("look into store '{}'", dir.name), error);
        if tree::has_file(&dir.fd, layout::METADATA.as_bytes()).map_err(failed)? {
            return Ok(Some(Dialect::Sidecars));
        }
        let identity = tree::identity(&dir.fd).map_err(failed)?;
        if let Some(known) = self.shared.known_dialects.lock().get(&identity) {
            return Ok(Some(*known));
        }
        let mut has_bare_file = false;
        for entry in tree::entries(&dir.fd).map_err(failed)? {
            let (name, listed) = entry.map_err(failed)?;
            if tree::kind(&dir.fd, &name, listed) != FileType::RegularFile {
                continue;
            }
            if layout::value_of_sidecar(&name).is_some() {
                return Ok(Some(Dialect::Sidecars));
            }
            let is_input = Dialect::Js3
                .key(&name)
                .is_ok_and(|key| is_input_key(&key, &self.shared.options.input_key));
            has_bare_file |= !is_input && !layout::looks_temporary(&name);
        }
        if !has_bare_file {
            return Ok(None);
        }
        self.shared.known_dialects.lock().insert(identity, Dialect::Js3);
        Ok(Some(Dialect::Js3))
    }

    /// Makes a store: a directory that already holds its metadata is moved into place.
    pub(super) fn make_store(&self, name: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        self.refuse_if_read_only()?;
        let failed = |error: Errno| Error::io(format!("make store '{name}'"), error);
        let stores = self.open_or_make_stores()?;
        if rustix::fs::statat(&stores, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(Error::StoreExists { store: name.to_string() });
        }
        let session = self.session()?;
        let (staged_name, directory) = session.create_dir().map_err(failed)?;
        let made = self.fill_new_store(name, directory, metadata).and_then(|()| {
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
            let _ = staging::remove_tree(session.directory(), staged_name.as_bytes());
        }
        made
    }

    fn fill_new_store(
        &self,
        name: &StoreName,
        fd: Directory,
        metadata: &StoreMetadata,
    ) -> Result<()> {
        if self.shared.options.dialect == DialectChoice::Js3 {
            return Ok(());
        }
        let dir = StoreDir { fd, name: name.clone() };
        self.write_metadata(&dir, &Document::new(metadata).to_bytes(), None, true)
    }

    fn open_or_make_stores(&self) -> Result<Directory> {
        let failed = |error: Errno| Error::io(format!("make '{}'", layout::STORES), error);
        if let Some(stores) = tree::open_stores(&self.shared.root)? {
            return Ok(stores);
        }
        match rustix::fs::mkdirat(&self.shared.root, layout::STORES, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        tree::open_stores(&self.shared.root)?.ok_or_else(|| failed(Errno::NOENT))
    }

    /// Renames the directory, then the name in its metadata.
    pub(super) fn move_store(
        &self,
        from: &StoreName,
        to: &StoreName,
        metadata_name: Option<&str>,
    ) -> Result<()> {
        self.refuse_if_read_only()?;
        let dir = self.store_dir(from)?;
        if from == to {
            return Ok(());
        }
        let Some(stores) = tree::open_stores(&self.shared.root)? else {
            return Err(dir.no_store());
        };
        let (old, new) = (from.as_str().as_bytes(), to.as_str().as_bytes());
        let _note = self.note_store_rename(&dir, to, metadata_name)?;
        failpoint::pass("rename store: noted");
        let moved = failpoint::fail("rename store: move")
            .and_then(|()| staging::move_entry(&stores, old, &stores, new, false));
        match moved {
            Err(Errno::EXIST | Errno::NOTEMPTY) => {
                return Err(Error::StoreExists { store: to.to_string() });
            }
            Err(Errno::NOENT) => return Err(dir.no_store()),
            moved => moved.map_err(|error| Error::io(format!("rename store '{from}'"), error))?,
        }
        failpoint::pass("rename store: directory moved");
        self.shared.unsynced.rename_store(from, to);
        let moved = self.store_dir(to)?;
        let edited = self.edit_metadata(&moved, |document| {
            document.set_name(metadata_name);
            true
        });
        edited.inspect_err(|_| {
            self.shared.unsynced.rename_store(to, from);
            // A directory whose metadata has another name is none of ours.
            if let Err(error) = staging::move_entry(&stores, new, &stores, old, false) {
                log::error!("store '{to}' keeps the metadata of '{from}': {error}");
            }
        })
    }

    /// Notes which metadata a store that is being renamed must get, in case this process dies in between.
    fn note_store_rename(
        &self,
        dir: &StoreDir,
        to: &StoreName,
        metadata_name: Option<&str>,
    ) -> Result<Option<StagedFile>> {
        let Some(text) = self.usable_metadata_text(dir)? else { return Ok(None) };
        let Ok(mut document) = Document::parse(&text.bytes) else { return Ok(None) };
        document.set_name(metadata_name);
        let failed = |error: Errno| Error::io(format!("rename store '{}'", dir.name), error);
        let directory = tree::object(&dir.fd).map_err(failed)?;
        let session = self.session()?;
        let name = session.note_name(Step::RenameStore, &directory, None, to.as_str().as_bytes());
        let note = session.create_note(name)?;
        rustix::fs::fchmod(note.file(), Mode::from_raw_mode(text.attributes.mode))
            .map_err(failed)?;
        note.write_all_at(&document.to_bytes(), 0).map_err(failed)?;
        note.begin_write_out().and_then(|()| note.write_out()).map_err(failed)?;
        Ok(Some(note))
    }

    /// Takes a store out of sight in one step, then removes it.
    pub(super) fn remove_store(&self, name: &StoreName) -> Result<()> {
        self.refuse_if_read_only()?;
        // Before the gate is closed: making the session heals, and that passes gates.
        let session = self.session()?;
        let _closed = self.shared.store_gates.close(name);
        let dir = self.unguarded_store_dir(name)?;
        let failed = |error: Errno| Error::io(format!("drop store '{name}'"), error);
        let Some(stores) = tree::open_stores(&self.shared.root)? else {
            return Err(dir.no_store());
        };
        let trash = session.trash_name();
        let own = name.as_str().as_bytes();
        failpoint::fail("drop: move").map_err(failed)?;
        staging::move_entry(&stores, own, session.directory(), trash.as_bytes(), false)
            .map_err(failed)?;
        failpoint::pass("drop: taken out of sight");
        self.shared.unsynced.forget_store(name);
        self.shared.reaper.give(move || {
            // Durable first: else a power cut might bring back the store without what is removed here.
            rustix::fs::fsync(&stores)?;
            rustix::fs::fsync(session.directory())?;
            Ok(staging::remove_tree(session.directory(), trash.as_bytes())?)
        });
        Ok(())
    }

    pub(super) fn read_metadata_text(&self, dir: &StoreDir) -> Result<Option<MetadataText>> {
        let read = tree::read_small(&dir.fd, layout::METADATA.as_bytes(), MAX_METADATA_BYTES);
        match read {
            Ok(None) => Ok(None),
            Ok(Some((bytes, stat))) => {
                Ok(Some(MetadataText { bytes, attributes: tree::attributes(&stat) }))
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(dir.damaged("it is too large".to_owned()))
            }
            Err(error) => {
                Err(Error::io(format!("read the metadata of store '{}'", dir.name), error))
            }
        }
    }

    /// The same, but metadata that is too large to be read counts as none: it must not keep its store from being
    /// listed and used. It stays in its place.
    pub(super) fn usable_metadata_text(&self, dir: &StoreDir) -> Result<Option<MetadataText>> {
        match self.read_metadata_text(dir) {
            Err(error @ Error::DamagedMetadata { .. }) => {
                log::warn!("{error}");
                Ok(None)
            }
            text => text,
        }
    }

    pub(super) fn read_metadata(&self, dir: &StoreDir) -> Result<StoreMetadata> {
        if let Some(text) = self.read_metadata_text(dir)? {
            let document = Document::parse(&text.bytes).map_err(|reason| dir.damaged(reason))?;
            return Ok(document.metadata().clone());
        }
        let attributes = self.directory_attributes(dir)?;
        let at = |time| Timestamp::try_from(time).unwrap_or_default();
        let times = StoreTimes {
            created_at: at(attributes.changed.min(attributes.modified)),
            accessed_at: at(attributes.accessed),
            modified_at: at(attributes.modified),
        };
        Ok(StoreMetadata { id: None, name: dir.name.metadata_name(), times })
    }

    pub(super) fn replace_metadata_text(&self, dir: &StoreDir, text: Option<&[u8]>) -> Result<()> {
        self.refuse_if_read_only()?;
        let Some(text) = text else {
            // A store of sidecars stays one, whatever bare files are left in it without the metadata.
            let identity = tree::identity(&dir.fd)
                .map_err(|error| Error::io(format!("look at store '{}'", dir.name), error))?;
            self.shared.known_dialects.lock().insert(identity, Dialect::Sidecars);
            log::warn!(
                "the metadata of store '{}' is removed: the store will get a new id",
                dir.name
            );
            return match rustix::fs::unlinkat(&dir.fd, layout::METADATA, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(error) => {
                    Err(Error::io(format!("remove the metadata of store '{}'", dir.name), error))
                }
            };
        };
        Document::parse(text).map_err(|reason| dir.damaged(reason))?;
        let old = self.read_metadata_text(dir).ok().flatten();
        self.write_metadata(dir, text, old.as_ref().map(|old| &old.attributes), true)
    }

    pub(super) fn add_metadata(&self, dir: &StoreDir, metadata: &StoreMetadata) -> Result<()> {
        if self.dialect(dir)? == Dialect::Js3 {
            return Ok(());
        }
        match self.write_metadata(dir, &Document::new(metadata).to_bytes(), None, false) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                Ok(())
            }
            other => other,
        }
    }

    pub(super) fn touch(
        &self,
        dir: &StoreDir,
        accessed_at: Option<Timestamp>,
        modified_at: Option<Timestamp>,
    ) -> Result<()> {
        self.edit_metadata(dir, |document| document.touch(accessed_at, modified_at))
    }

    /// Reads the metadata anew, changes it and writes it back if `edit` says that it has changed. Metadata that
    /// is missing or damaged stays as it is.
    pub(super) fn edit_metadata(
        &self,
        dir: &StoreDir,
        edit: impl FnOnce(&mut Document) -> bool,
    ) -> Result<()> {
        self.refuse_if_read_only()?;
        let Some(text) = self.usable_metadata_text(dir)? else { return Ok(()) };
        match Document::parse(&text.bytes) {
            Err(reason) => log::warn!("{}", dir.damaged(reason)),
            Ok(mut document) => {
                if edit(&mut document) {
                    let bytes = document.to_bytes();
                    self.write_metadata(dir, &bytes, Some(&text.attributes), true)?;
                }
            }
        }
        Ok(())
    }

    /// Puts a text in the place of a store's metadata, in one step.
    pub(super) fn write_metadata(
        &self,
        dir: &StoreDir,
        text: &[u8],
        old: Option<&Attributes>,
        replace: bool,
    ) -> Result<()> {
        self.refuse_if_read_only()?;
        let failed =
            |error: Errno| Error::io(format!("write the metadata of store '{}'", dir.name), error);
        failpoint::fail("metadata: create").map_err(failed)?;
        let staged = self.session()?.create()?;
        if let Some(old) = old {
            let mode = Mode::from_raw_mode(old.mode);
            rustix::fs::fchmod(staged.file(), mode).map_err(failed)?;
        }
        failpoint::fail("metadata: write").map_err(failed)?;
        staged.write_all_at(text, 0).map_err(failed)?;
        staged.begin_write_out().and_then(|()| staged.write_out()).map_err(failed)?;
        let moved = failpoint::fail("metadata: move")
            .and_then(|()| staged.move_to(&dir.fd, layout::METADATA.as_bytes(), replace));
        match moved {
            Err(Errno::NOENT) => Err(dir.no_store()),
            moved => {
                moved.map_err(failed)?;
                self.shared.unsynced.note(&dir.name, layout::METADATA.as_bytes());
                Ok(())
            }
        }
    }
}

impl StoreDir {
    fn damaged(&self, reason: String) -> Error {
        Error::DamagedMetadata { store: self.name.to_string(), reason }
    }
}
