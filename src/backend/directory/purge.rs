//! Purging a store: a fresh directory that holds only what is spared takes the store's place in one step.
//!
//! What is spared is linked into the fresh directory, the two directories are exchanged, and the old one, with
//! all records, is removed in the background. An observer sees the store before or after; so does whoever looks
//! after a crash, since the old records are then out of the store's sight and the next start removes them.
//!
//! To find what is spared takes a look at every name, or in a large store a probe of the usual names: so a purge
//! takes its caller the same time whatever the store holds. What a large store has besides, sub-directories and
//! inputs of unusual names, is given back when the old directory is cleared.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::delete_note::DeleteNote;
use super::layout;
use super::purge_box::{LOOK_AT, OldRecords, PurgeBox, number_of, size_of};
use super::purge_contents::Contents;
use super::purge_label::{Aim, Keeping, Label};
use super::records::remove_if_there;
use super::staging::{self, Session};
use super::state::DirectoryBackend;
use super::syncing::sync_file;
use super::tree::{self, StoreDir};
use crate::backend::document::Document;
use crate::backend::{Keep, Purge, Purged, Purging};
use crate::failpoint;
use crate::model::{AttributeChange, Error, Result, Stamp, StoreName};

/// What the fresh directory was filled with.
#[derive(Debug, Default)]
struct Filled {
    /// The spared files with the inode numbers that were linked.
    linked: BTreeMap<Vec<u8>, u64>,
    /// The metadata that was read; `None` if there was none, or damaged.
    metadata: Option<Stamp>,
}

impl DirectoryBackend {
    /// Purges a store, with every publish of this process held off.
    pub(super) fn purge_store(
        &self,
        name: &StoreName,
        purge: &Purge<'_>,
        keep: Option<&Keep>,
    ) -> Result<Purging> {
        self.refuse_if_read_only()?;
        // Before the gate is closed: making the session heals, and that passes gates.
        let session = self.session(name)?;
        let _closed = self.shared.store_gates.close(name);
        let dir = self.unguarded_store_dir(name)?;
        let contents = match self.look_through(&dir, purge.input_key, LOOK_AT)? {
            Some(contents) => contents,
            None => self.probe(&dir, purge.input_key)?,
        };
        match self.purge_by_exchange(&dir, &session, (purge, keep), &contents) {
            Err(Error::Io { source, .. }) if cannot_exchange(&source) => {
                if keep.is_some() {
                    let action = format!("keep what is purged of store '{name}' ({source})");
                    return Err(Error::io(action, Errno::OPNOTSUPP));
                }
                log::info!("store '{name}' is purged file by file: {source}");
                self.purge_file_by_file(&dir, &session, purge)
            }
            purged => purged,
        }
    }

    fn purge_by_exchange(
        &self,
        dir: &StoreDir,
        session: &Arc<Session>,
        (purge, keep): (&Purge<'_>, Option<&Keep>),
        contents: &Contents,
    ) -> Result<Purging> {
        let failed = |error: Errno| Error::io(format!("purge store '{}'", dir.name), error);
        let aim = match keep {
            None => Aim::Purge,
            Some(keep) => Aim::Keep(self.keeping(dir, purge, keep)?),
        };
        let mut purge_box = PurgeBox::make(session, &dir.name).map_err(failed)?;
        let exchanged = self.exchange(dir, session, &mut purge_box, (purge, aim), contents);
        let old_records = match exchanged {
            Ok(old_records) => old_records,
            Err(error) => {
                self.shared.reaper.give(move || purge_box.remove());
                return Err(error);
            }
        };
        let (purging, mut counting) =
            Purging::counting(contents.spared_keys.clone(), contents.removed());
        let is_kept = keep.is_some();
        self.shared.reaper.give(move || {
            if is_kept {
                return old_records.settle(&mut counting.counted);
            }
            old_records.clear(&mut counting.counted)?;
            purge_box.remove()
        });
        Ok(purging)
    }

    /// What is noted of a purge whose records are kept.
    fn keeping(&self, dir: &StoreDir, purge: &Purge<'_>, keep: &Keep) -> Result<Keeping> {
        let store_id = match self.read_metadata(dir) {
            Err(Error::DamagedMetadata { .. }) => None,
            metadata => metadata?.id,
        };
        Ok(Keeping { at: purge.at, until: keep.until, by: keep.by.clone(), store_id })
    }

    /// Exchanges the store's directory for the fresh one in a box, in which something may be already, and has that get
    /// what belongs to the store.
    pub(super) fn exchange(
        &self,
        dir: &StoreDir,
        session: &Arc<Session>,
        purge_box: &mut PurgeBox,
        (purge, aim): (&Purge<'_>, Aim),
        contents: &Contents,
    ) -> Result<OldRecords> {
        let what = match aim {
            Aim::Purge | Aim::Keep(_) => "purge store",
            Aim::Undo(_) => "undo the purge of store",
        };
        let failed = |error: io::Error| Error::io(format!("{what} '{}'", dir.name), error);
        let filled = self.fill_fresh(dir, session, &purge_box.fresh, purge, contents)?;
        let place = match tree::open_parent(&self.root(), &dir.name) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(dir.no_store()),
            place => place.map_err(|error| failed(error.into()))?,
        };
        let old = rustix::fs::fstat(&dir.fd).map_err(|error| failed(error.into()))?;
        let label = Label {
            store: dir.name.clone(),
            dialect: self.dialect(dir)?,
            input_key: purge.input_key.to_owned(),
            old: old.st_ino,
            linked: filled.linked,
            aim,
        };
        purge_box.label(&label).map_err(|error| failed(error.into()))?;
        let known = dir.fd.try_clone().map_err(|error| failed(error.into()))?;
        // Durable before the exchange: an input that was durable stays so whatever the disk keeps of the rest.
        sync_file(&purge_box.fresh, layout::METADATA.as_bytes())?;
        rustix::fs::fsync(&purge_box.fresh.fd).map_err(|error| failed(error.into()))?;
        failpoint::pass("purge: fresh directory filled");
        let old_records =
            purge_box.exchange(&place, known, label).map_err(|error| failed(error.into()))?;
        failpoint::pass("purge: exchanged");
        // The store is purged. What fails from here on is tried again when the old directory is cleared.
        let taken_over = old_records.take_over_inputs();
        failpoint::pass("purge: inputs taken over");
        let given_back = match taken_over {
            // All of it has been looked through before.
            Ok(()) if old_records.undone().is_some() => old_records.give_back(usize::MAX),
            Ok(()) if contents.has_others => old_records.give_back(LOOK_AT),
            taken_over => taken_over,
        };
        failpoint::pass("purge: sub-directories given back");
        if let Err(error) = given_back {
            log::error!("store '{}' is purged, but lacks what it keeps: {error}", dir.name);
        }
        let fresh = &purge_box.fresh;
        if let Err(error) =
            self.take_over_metadata(&old_records, session, fresh, purge, filled.metadata)
        {
            log::error!("store '{}' is purged, but lacks the last edit: {error}", dir.name);
        }
        Ok(old_records)
    }

    /// An SDK may have saved the metadata after it was read and before the directories were exchanged.
    fn take_over_metadata(
        &self,
        old_records: &OldRecords,
        session: &Arc<Session>,
        fresh: &StoreDir,
        purge: &Purge<'_>,
        read: Option<Stamp>,
    ) -> Result<()> {
        let failed = |error| Error::io(format!("purge store '{}'", fresh.name), error);
        let fd = old_records.directory().map_err(failed)?;
        let old = StoreDir { fd, name: fresh.name.clone() };
        let Some(text) = self.usable_metadata_text(&old)? else { return Ok(()) };
        if read.is_some_and(|read| read.same_bytes(&text.attributes.stamp)) {
            return Ok(());
        }
        let Ok(mut document) = Document::parse(&text.bytes) else { return Ok(()) };
        set_purged(&mut document, fresh, purge);
        self.place_metadata(fresh, session, &document.to_bytes(), Some(text.attributes.mode), true)
    }

    /// Fills the fresh directory with what is spared, and with the metadata.
    fn fill_fresh(
        &self,
        dir: &StoreDir,
        session: &Arc<Session>,
        fresh_dir: &StoreDir,
        purge: &Purge<'_>,
        contents: &Contents,
    ) -> Result<Filled> {
        let failed = |error: Errno| Error::io(format!("purge store '{}'", dir.name), error);
        let fresh = &fresh_dir.fd;
        let old = rustix::fs::fstat(&dir.fd).map_err(failed)?;
        let owned = AttributeChange {
            mode: Some(old.st_mode),
            uid: Some(old.st_uid),
            gid: Some(old.st_gid),
            ..AttributeChange::default()
        };
        staging::change_attributes(fresh, &owned).map_err(failed)?;
        let mut filled = Filled::default();
        for name in &contents.spared {
            match rustix::fs::linkat(
                &dir.fd,
                name.as_slice(),
                fresh,
                name.as_slice(),
                AtFlags::empty(),
            ) {
                // An SDK has removed it since it was seen.
                Err(Errno::NOENT) => continue,
                linked => linked.map_err(failed)?,
            }
            let number = number_of(fresh, name).map_err(failed)?;
            filled.linked.extend(number.map(|number| (name.clone(), number)));
        }
        let metadata = match self.read_metadata_text(dir) {
            Ok(None) => return Ok(filled),
            Ok(Some(text)) => Document::parse(&text.bytes).map(|document| (document, text)),
            Err(Error::DamagedMetadata { reason, .. }) => Err(reason),
            Err(error) => return Err(error),
        };
        match metadata {
            Ok((mut document, text)) => {
                set_purged(&mut document, dir, purge);
                let (bytes, mode) = (document.to_bytes(), Some(text.attributes.mode));
                self.place_metadata(fresh_dir, session, &bytes, mode, true)?;
                filled.metadata = Some(text.attributes.stamp);
            }
            Err(reason) => {
                log::warn!(
                    "the metadata of store '{}' is damaged, and kept so: {reason}",
                    dir.name
                );
                let name = layout::METADATA;
                rustix::fs::linkat(&dir.fd, name, fresh, name, AtFlags::empty()).map_err(failed)?;
            }
        }
        Ok(filled)
    }

    /// The slower way, for a storage where directories cannot be exchanged: records go one by one, each as it is
    /// deleted, so that a crash leaves some records and breaks none.
    fn purge_file_by_file(
        &self,
        dir: &StoreDir,
        session: &Arc<Session>,
        purge: &Purge<'_>,
    ) -> Result<Purging> {
        let contents = self.look_through(dir, purge.input_key, usize::MAX)?.unwrap_or_default();
        let failed = |error: Errno| Error::io(format!("purge store '{}'", dir.name), error);
        let is_sidecar = |name: &&Vec<u8>| layout::value_of_sidecar(name).is_some();
        let (sidecars, values): (Vec<_>, Vec<_>) = contents.doomed.iter().partition(is_sidecar);
        let mut bytes = 0;
        for name in values {
            bytes += size_of(&dir.fd, name).map_err(failed)?;
            if dir.name.is_plain() {
                remove_if_there(dir, name, "purge: remove an item")?;
                continue;
            }
            let note = match number_of(&dir.fd, name).map_err(failed)? {
                Some(_) => DeleteNote::of(session, dir, name).map_err(failed)?,
                // A link, which has no sidecar.
                None => None,
            };
            self.remove_files(dir, name)?;
            drop(note);
        }
        for name in sidecars {
            remove_if_there(dir, name, "purge: remove a sidecar")?;
        }
        self.edit_metadata_alone(dir, session, |document| {
            set_purged(document, dir, purge);
            true
        })?;
        let removed = contents.removed().unwrap_or_default();
        Ok(Purging::done(Purged { removed, bytes, spared: contents.spared_keys }))
    }
}

/// Has metadata say what a purge says.
fn set_purged(document: &mut Document, dir: &StoreDir, purge: &Purge<'_>) {
    document.set_purged(purge.at);
    if dir.name.is_plain() {
        document.set_emptied();
    }
}

/// Whether the system says that it cannot exchange these directories or link these files at all.
fn cannot_exchange(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::INVAL
                | Errno::NOSYS
                | Errno::OPNOTSUPP
                | Errno::PERM
                | Errno::MLINK
                | Errno::XDEV
                | Errno::BUSY
        )
    )
}
