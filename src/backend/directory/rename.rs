//! How a record takes another key or store: prepared and written out while nothing is held, placed while both records
//! are.

use std::sync::Arc;

use rustix::fs::Stat;
use rustix::io::Errno;

use super::delete_note::DeleteNote;
use super::dialect::Dialect;
use super::new_sidecar::NewSidecar;
use super::records::{Names, remove_if_there};
use super::staging::{Session, StagedFile, move_entry};
use super::state::DirectoryBackend;
use super::tree::StoreDir;
use super::{layout, place, tree};
use crate::backend::RenameRecord;
use crate::failpoint;
use crate::model::Result;

/// All that a rename needs before the records are held.
struct Prepared {
    /// The value that is moved: its name, and what the system says of it.
    name: Vec<u8>,
    value: Stat,
    dialect: Dialect,
    /// What the value is called afterwards.
    names: Names,
    sidecar: Option<StagedFile>,
}

impl Prepared {
    /// Whether these are the files that it was prepared for.
    fn is_for(&self, name: &[u8], value: &Stat, dialect: Dialect) -> bool {
        let stamp = |stat| tree::attributes(stat).stamp;
        self.dialect == dialect && self.name == name && stamp(&self.value).same_bytes(&stamp(value))
    }
}

impl DirectoryBackend {
    /// Moves a record: the value by one rename, then its new sidecar into place, then the old one away.
    pub(super) fn rename_record(&self, rename: &RenameRecord<'_>) -> Result<()> {
        let session = self.session(rename.to_store)?;
        loop {
            // Each turn but the first follows a publish of somebody else.
            let prepared = self.prepare_move(rename, &session)?;
            if self.place_moved(rename, &session, &prepared)? {
                return Ok(());
            }
        }
    }

    fn prepare_move(&self, rename: &RenameRecord<'_>, session: &Arc<Session>) -> Result<Prepared> {
        let (key, to_key) = (rename.from_key, rename.to_key);
        let from = self.unguarded_store_dir(rename.from_store)?;
        let to = self.unguarded_store_dir(rename.to_store)?;
        let (name, value) = self.locate(&from, key)?;
        let dialect = self.dialect_to_write(&to)?;
        self.check(dialect, to_key)?;
        let names = Names::of(dialect, to_key);
        let mut sidecar = None;
        if dialect == Dialect::Sidecars {
            let failed = |error: Errno| from.failed("rename", key, error);
            let object = match tree::object_of(&from.fd, &name) {
                Err(Errno::NOENT) => return Err(from.no_record(key)),
                object => object.map_err(failed)?,
            };
            let record_type = rename.record_type;
            let (own, of_input) = (names.own(), None);
            let new = NewSidecar { key: to_key, name: own, value: object, record_type, of_input };
            let staged = new.stage(session, &to, false)?;
            staged.write_out().map_err(failed)?;
            sidecar = Some(staged);
        }
        Ok(Prepared { name, value, dialect, names, sidecar })
    }

    /// Makes the renames. Gives back whether the record is still as it was prepared; if not, nothing was done.
    fn place_moved(
        &self,
        rename: &RenameRecord<'_>,
        session: &Arc<Session>,
        prepared: &Prepared,
    ) -> Result<bool> {
        let (key, to_key) = (rename.from_key, rename.to_key);
        let dirs = self.store_dirs(rename.from_store, rename.to_store)?;
        let (from, to) = (&dirs.from, &dirs.to);
        let _held = self.hold_records(session, (rename.from_store, key), (rename.to_store, to_key));
        let (from_name, stat) = self.locate(from, key)?;
        if rename.from_store == rename.to_store && key == to_key {
            return Ok(true);
        }
        if !prepared.is_for(&from_name, &stat, self.dialect(to)?) {
            return Ok(false);
        }
        let names = &prepared.names;
        if !rename.replace && self.locate_as(to, names, to_key).is_ok() {
            return Err(to.record_exists(to_key));
        }
        let failed = |error: Errno| from.failed("rename", key, error);
        let note = match from.name.is_plain() {
            true => None,
            false => DeleteNote::of(session, from, &from_name).map_err(failed)?,
        };
        failpoint::pass("rename: noted");
        let fresh = tree::has_file(&to.fd, names.own()) == Ok(false);
        let moved = failpoint::fail("rename: move value")
            .and_then(|()| move_entry(&from.fd, &from_name, &to.fd, names.own(), rename.replace));
        match moved {
            Err(Errno::EXIST) if !rename.replace => return Err(to.record_exists(to_key)),
            Err(Errno::NOENT) => return Err(from.no_record(key)),
            moved => moved.map_err(failed)?,
        }
        failpoint::pass("rename: value moved");
        if let Some(sidecar) = &prepared.sidecar
            && let Err(error) = failpoint::fail("rename: move sidecar")
                .and_then(|()| place::place_sidecar(sidecar, to, names.own(), stat.st_ino, !fresh))
        {
            // What was replaced is gone for good; where nothing was, all can be as before.
            let (own, old) = (names.own(), &from_name);
            if !fresh || move_entry(&to.fd, own, &from.fd, old, false).is_err() {
                log::error!("record '{to_key}' of store '{}' stays without its type", to.name);
            }
            return Err(failed(error));
        }
        failpoint::pass("rename: sidecar moved");
        self.shared.unsynced.note(rename.to_store, names.own());
        self.remove_moved(rename, from, &from_name)?;
        drop(note);
        let is_moved = |bare: &&[u8]| rename.from_store == rename.to_store && *bare == from_name;
        if let Some(bare) = names.bare().filter(|bare| !is_moved(bare)) {
            self.remove_files(to, bare)?;
        }
        Ok(true)
    }

    /// Removes the sidecar that a record has left behind.
    fn remove_moved(
        &self,
        rename: &RenameRecord<'_>,
        from: &StoreDir,
        from_name: &[u8],
    ) -> Result<()> {
        if rename.from_store.is_plain() {
            return Ok(());
        }
        remove_if_there(from, &layout::sidecar_of(from_name), "rename: remove old sidecar")
    }
}
