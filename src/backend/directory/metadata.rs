//! A store's metadata: the file `__metadata__.json` in its directory.
//!
//! Who edits it reads it, changes it and puts a new file in its place. Within this process one edit of a store follows
//! the other (`metadata_locks`); who has closed the store's gate is alone anyway. Other processes are not held off,
//! so an edit exchanges its file for the one that it has read, and for no other: what somebody has saved meanwhile is
//! put back and edited in turn, and where the file is gone none is made. Only a whole new text takes the place of
//! whatever is there.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::{AtFlags, Mode, Stat};
use rustix::io::Errno;

use super::dialect::Dialect;
use super::kept_times::Kept;
use super::layout;
use super::place::Entry;
use super::staging::{self, Session, StagedFile};
use super::state::DirectoryBackend;
use super::tree::{self, StoreDir};
use crate::backend::MetadataText;
use crate::backend::document::Document;
use crate::failpoint;
use crate::model::{
    AttributeChange, Attributes, BackendErrorKind, Error, Result, Stamp, StoreMetadata, StoreName,
    StoreTimes,
};

/// Longest store metadata that is read, in bytes. Real ones hold a few hundred.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;

/// So often is an edit tried anew because somebody else has saved the file meanwhile.
const TRIES: usize = 16;

/// The modification time of metadata that was edited.
#[derive(Clone, Copy)]
enum Dated {
    /// The moment of the edit.
    Now,
    /// That of the text before: it is our own time-keeping, which nobody else has to notice.
    AsBefore,
}

impl DirectoryBackend {
    pub(super) fn read_metadata_text(&self, dir: &StoreDir) -> Result<Option<MetadataText>> {
        match tree::read_small(&dir.fd, layout::METADATA.as_bytes(), MAX_BYTES) {
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

    /// The same with the times that are shown.
    pub(super) fn shown_metadata_text(&self, dir: &StoreDir) -> Result<Option<MetadataText>> {
        let text = self.usable_metadata_text(dir)?;
        Ok(text.map(|text| {
            let attributes = self.shared.kept_times.of_metadata(&dir.name, text.attributes);
            MetadataText { attributes, ..text }
        }))
    }

    /// The metadata as it can be edited, with what the system says of its file. `None` if it is missing or damaged.
    fn document(&self, dir: &StoreDir) -> Result<Option<(Document, Attributes)>> {
        let Some(text) = self.usable_metadata_text(dir)? else { return Ok(None) };
        let document = Document::parse(&text.bytes)
            .inspect_err(|reason| log::warn!("{}", dir.damaged(reason.clone())))
            .ok();
        Ok(document.map(|document| (document, text.attributes)))
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

    pub(super) fn set_metadata_text(&self, store: &StoreName, text: Option<&[u8]>) -> Result<()> {
        self.refuse_if_read_only()?;
        let Some(text) = text else {
            return self.in_store(store, |dir| self.remove_metadata(dir));
        };
        let session = self.session(store)?;
        self.in_store(store, |dir| {
            Document::parse(text).map_err(|reason| dir.damaged(reason))?;
            let _held = self.shared.metadata_locks.hold(&dir.name);
            let old = self.read_metadata_text(dir).ok().flatten();
            let mode = old.map(|old| old.attributes.mode);
            self.place_metadata(dir, &session, text, mode, true)
        })
    }

    /// Edits the metadata to say this; where it is missing or damaged, a new text does.
    pub(super) fn set_metadata(&self, store: &StoreName, metadata: &StoreMetadata) -> Result<()> {
        self.refuse_if_read_only()?;
        let session = self.session(store)?;
        self.in_store(store, |dir| {
            if self.dialect(dir)? == Dialect::Js3 {
                let action = format!("set the metadata of store '{store}'");
                let reason = "a store in the layout of Crawlee JS 3 has none";
                return Err(Error::backend(BackendErrorKind::Unsupported, action, reason));
            }
            let _held = self.shared.metadata_locks.hold(&dir.name);
            if self.document(dir)?.is_some() {
                return self.edit_metadata_alone(dir, &session, |document| {
                    document.set(metadata);
                    true
                });
            }
            let text = Document::new(metadata).to_bytes();
            self.place_metadata(dir, &session, &text, None, true)
        })
    }

    pub(super) fn change_metadata(&self, dir: &StoreDir, change: &AttributeChange) -> Result<()> {
        let _held = self.shared.metadata_locks.hold(&dir.name);
        staging::change_named(&dir.fd, layout::METADATA.as_bytes(), change)
            .map(drop)
            .map_err(|error| dir.not_written(error))
    }

    fn remove_metadata(&self, dir: &StoreDir) -> Result<()> {
        let _held = self.shared.metadata_locks.hold(&dir.name);
        // A store of sidecars stays one, whatever bare files are left in it without the metadata.
        let identity = dir.identity()?;
        self.shared.layouts.keep(&dir.name, identity, Dialect::Sidecars);
        log::warn!(
            "the metadata of store '{}' is removed: unless it is put back, the store gets a new id",
            dir.name
        );
        match rustix::fs::unlinkat(&dir.fd, layout::METADATA, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => {
                Err(Error::io(format!("remove the metadata of store '{}'", dir.name), error))
            }
        }
    }

    /// Makes the metadata of a store that has none and keeps some.
    pub(super) fn complete_metadata(
        &self,
        store: &StoreName,
        metadata: &StoreMetadata,
    ) -> Result<()> {
        let lacks = |dir: &StoreDir| Ok(self.dialect(dir)? != Dialect::Js3 && !dir.has_metadata()?);
        self.add_metadata_if(store, metadata, lacks)
    }

    /// Makes the metadata of a store that had none already when this process put a record into it, and has records.
    /// Any other without metadata may be one that an SDK is removing: its last step must find nothing of ours.
    pub(super) fn complete_written_store(
        &self,
        store: &StoreName,
        metadata: &StoreMetadata,
    ) -> Result<()> {
        self.add_metadata_if(store, metadata, |dir| {
            let lacks = self.shared.layouts.lacks_metadata(&dir.name, &dir.identity()?);
            Ok(lacks && !dir.has_metadata()? && dir.has_records()?)
        })
    }

    fn add_metadata_if(
        &self,
        store: &StoreName,
        metadata: &StoreMetadata,
        lacks: impl Fn(&StoreDir) -> Result<bool>,
    ) -> Result<()> {
        self.refuse_if_read_only()?;
        // Where nothing is written, no staging directory is made.
        if !self.in_store(store, &lacks)? {
            return Ok(());
        }
        let session = self.session(store)?;
        self.in_store(store, |dir| {
            let _held = self.shared.metadata_locks.hold(&dir.name);
            if !lacks(dir)? {
                return Ok(());
            }
            let text = Document::new(metadata).to_bytes();
            match self.place_metadata(dir, &session, &text, None, false) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                    Ok(())
                }
                placed => placed,
            }
        })
    }

    /// Moves the times in a store's metadata forward.
    pub(super) fn touch_store(
        &self,
        store: &StoreName,
        accessed_at: Option<Timestamp>,
        modified_at: Option<Timestamp>,
    ) -> Result<()> {
        self.refuse_if_read_only()?;
        let edit = |document: &mut Document| document.touch(accessed_at, modified_at);
        // Where nothing is written, no staging directory is made.
        let changes = self.in_store(store, |dir| {
            Ok(self.document(dir)?.is_some_and(|(mut document, _)| edit(&mut document)))
        })?;
        if !changes {
            return Ok(());
        }
        let session = self.session(store)?;
        self.in_store(store, |dir| {
            let _held = self.shared.metadata_locks.hold(&dir.name);
            self.edit_text(dir, &session, edit, Dated::AsBefore)
        })
    }

    /// Edits the metadata of a store whose gate was passed.
    pub(super) fn edit_metadata(
        &self,
        dir: &StoreDir,
        session: &Arc<Session>,
        edit: impl FnMut(&mut Document) -> bool,
    ) -> Result<()> {
        let _held = self.shared.metadata_locks.hold(&dir.name);
        self.edit_metadata_alone(dir, session, edit)
    }

    /// The same, for whoever has closed the store's gate.
    pub(super) fn edit_metadata_alone(
        &self,
        dir: &StoreDir,
        session: &Arc<Session>,
        edit: impl FnMut(&mut Document) -> bool,
    ) -> Result<()> {
        self.edit_text(dir, session, edit, Dated::Now)
    }

    /// Reads the metadata, changes it and writes it back if `edit` says that it has changed; does so anew if somebody
    /// else has saved it meanwhile. Metadata that is missing or damaged stays as it is.
    fn edit_text(
        &self,
        dir: &StoreDir,
        session: &Arc<Session>,
        mut edit: impl FnMut(&mut Document) -> bool,
        dated: Dated,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let Some((mut document, read)) = self.document(dir)? else { return Ok(()) };
            if !edit(&mut document) {
                return Ok(());
            }
            let bytes = document.to_bytes();
            let staged = self.stage_metadata(dir, session, &bytes, Some(read.mode))?;
            let exchanged = match dated {
                Dated::Now => exchange(dir, &staged, &read.stamp),
                Dated::AsBefore => self.exchange_unnoticed(dir, &staged, &read),
            };
            if exchanged.map_err(|error| dir.not_written(error))? {
                self.shared.unsynced.note(&dir.name, layout::METADATA.as_bytes());
                return Ok(());
            }
            log::debug!("the metadata of store '{}' was saved by somebody else", dir.name);
        }
        Err(dir.not_written(Errno::BUSY))
    }

    /// Exchanges a staged file for a store's metadata, and leaves all times that are shown as they were. What is added to
    /// the directory just then, or removed, is noticed too late by those who look at its times alone.
    fn exchange_unnoticed(
        &self,
        dir: &StoreDir,
        staged: &StagedFile,
        read: &Attributes,
    ) -> rustix::io::Result<bool> {
        let kept_times = &self.shared.kept_times;
        let metadata = kept_times.of_metadata(&dir.name, *read);
        staging::set_modified(staged.file(), read.modified)?;
        let before = tree::attributes(&rustix::fs::fstat(&dir.fd)?);
        let directory = kept_times.of_directory(&dir.name, before);
        if !exchange(dir, staged, &read.stamp)? {
            return Ok(false);
        }
        // Whoever may write into the directory need not own it. What cannot be put back is shown so all the same.
        if let Err(error) = staging::set_modified(&dir.fd, before.modified) {
            log::debug!("the time of the directory of store '{}' moves: {error}", dir.name);
        }
        let left = tree::attributes(&rustix::fs::fstat(&dir.fd)?);
        let left_metadata = tree::attributes(&rustix::fs::fstat(staged.file())?);
        kept_times.keep(
            &dir.name,
            Kept::new(directory, &left),
            Kept::new(metadata, &left_metadata),
        );
        Ok(true)
    }

    /// Puts a text in the place of a store's metadata, in one step, whatever is there; without `replace`, only where
    /// nothing is. `mode` is that of the file before.
    pub(super) fn place_metadata(
        &self,
        dir: &StoreDir,
        session: &Arc<Session>,
        text: &[u8],
        mode: Option<u32>,
        replace: bool,
    ) -> Result<()> {
        let staged = self.stage_metadata(dir, session, text, mode)?;
        let moved = failpoint::fail("metadata: move")
            .and_then(|()| staged.move_to(&dir.fd, layout::METADATA.as_bytes(), replace));
        match moved {
            Err(Errno::NOENT) => Err(dir.no_store()),
            moved => {
                moved.map_err(|error| dir.not_written(error))?;
                self.shared.unsynced.note(&dir.name, layout::METADATA.as_bytes());
                Ok(())
            }
        }
    }

    fn stage_metadata(
        &self,
        dir: &StoreDir,
        session: &Arc<Session>,
        text: &[u8],
        mode: Option<u32>,
    ) -> Result<StagedFile> {
        let failed = |error: Errno| dir.not_written(error);
        failpoint::fail("metadata: create").map_err(failed)?;
        let staged = session.create()?;
        staging::inherit_group(staged.file(), &dir.fd).map_err(failed)?;
        if let Some(mode) = mode {
            rustix::fs::fchmod(staged.file(), Mode::from_raw_mode(mode)).map_err(failed)?;
        }
        failpoint::fail("metadata: write").map_err(failed)?;
        staged.write_all_at(text, 0).map_err(failed)?;
        staged.begin_write_out().and_then(|()| staged.write_out()).map_err(failed)?;
        Ok(staged)
    }
}

/// Exchanges a staged file for a store's metadata if that is still what was read. Gives back false if it is not: then
/// what somebody else has saved or removed is as that one left it.
fn exchange(dir: &StoreDir, staged: &StagedFile, read: &Stamp) -> rustix::io::Result<bool> {
    let name = layout::METADATA.as_bytes();
    let is_read = |stat: &Stat| tree::attributes(stat).stamp.same_bytes(read);
    failpoint::fail("metadata: move")?;
    match tree::stat_file(&dir.fd, name) {
        Ok(stat) if tree::attributes(&stat).stamp == *read => {}
        Ok(_) | Err(Errno::NOENT) => return Ok(false),
        Err(error) => return Err(error),
    }
    failpoint::pass("metadata: exchange");
    let entry = Entry::of(staged);
    match entry.exchange(dir, name) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(false),
        // A file system that exchanges nothing: the look and the move are two steps there.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            return staged.move_to(&dir.fd, name, true).map(|()| true);
        }
        Err(error) => return Err(error),
    }
    if is_read(&entry.stat()?) {
        return Ok(true);
    }
    // Saved between the look and the exchange. It goes back, and so does what may have been saved while it was away.
    let own = rustix::fs::fstat(staged.file())?.st_ino;
    if entry.put_back(dir, name, own)? { Ok(false) } else { Err(Errno::BUSY) }
}

impl StoreDir {
    pub(super) fn damaged(&self, reason: String) -> Error {
        Error::DamagedMetadata { store: self.name.to_string(), reason }
    }

    fn not_written(&self, error: Errno) -> Error {
        Error::io(format!("write the metadata of store '{}'", self.name), error)
    }
}
