//! The box in `.storefs` in which a purge exchanges a store's directory for a fresh one.
//!
//! After the exchange the box holds the old directory, with all records. Not everything in there goes: an input
//! that an SDK replaced in the last moment, inputs of unusual names in a large store, and sub-directories are
//! given back. The box has a label that says how, so that after a crash the next start can do the same. What is
//! taken over from the old directory is not told from what the clearing has removed there, so a mark in the box ends
//! the taking over before the clearing begins.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, RenameFlags};
use rustix::io::Errno;

use super::dialect::Dialect;
use super::kept_box;
use super::purge_label::{Aim, LABEL, Label, RECORDS};
use super::removal::remove_tree;
use super::staging::{self, Session};
use super::tree::{Directory, StoreDir};
use super::{layout, tree};
use crate::backend::{Purged, is_item};
use crate::failpoint;
use crate::model::{KeptCount, Key, StoreName};

/// How many names of a store are looked at before it is purged: a few milliseconds' worth.
pub(super) const LOOK_AT: usize = 2048;

/// Beside the label once nothing is taken over from the old directory any more: from then on an input that is gone
/// there was removed by the clearing, and not by an SDK. A link too.
const TAKEN_OVER: &str = "taken-over";

/// A box that is being filled.
#[derive(Debug)]
pub(super) struct PurgeBox {
    session: Arc<Session>,
    /// The directory that it is in: the session's, or that of what is kept. `None` is the session's.
    kept_in: Option<Directory>,
    /// Its name there.
    name: String,
    directory: Directory,
    /// The fresh directory, wherever it is.
    pub(super) fresh: StoreDir,
}

impl PurgeBox {
    pub(super) fn make(session: &Arc<Session>, store: &StoreName) -> rustix::io::Result<Self> {
        let (name, directory) = session.create_dir()?;
        rustix::fs::mkdirat(&directory, RECORDS, Mode::from_raw_mode(0o700))?;
        let fd = tree::open_dir(&directory, RECORDS)?;
        let fresh = StoreDir { fd, name: store.clone() };
        Ok(Self { session: Arc::clone(session), kept_in: None, name, directory, fresh })
    }

    /// Labels the box: whoever finds the old directory in it must know what to do. One whose records are to be kept goes
    /// to its kind, held until it is dropped; without the old directory, it is nothing yet.
    pub(super) fn label(&mut self, label: &Label) -> rustix::io::Result<()> {
        label.write(&self.directory)?;
        if let Aim::Keep(_) = label.aim {
            rustix::fs::flock(&self.directory, FlockOperation::NonBlockingLockExclusive)?;
            let name = format!("{}-{}", self.session.directory_name(), self.name);
            let from = (self.session.directory(), self.name.as_str());
            self.kept_in = Some(kept_box::keep(self.session.private(), from, &name)?);
            self.name = name;
            failpoint::pass("purge: box among the kept");
        }
        Ok(())
    }

    /// Exchanges the fresh directory for that of the store. This is the purge. `known` is the store's directory as
    /// it was opened before, `stores` and `store` are where it is.
    pub(super) fn exchange(
        &self,
        (stores, store): &(Directory, String),
        known: Directory,
        label: Label,
    ) -> rustix::io::Result<OldRecords> {
        let exchange = RenameFlags::EXCHANGE;
        // Before the exchange: once it is done, nothing may fail that would have the box removed with all in it.
        let places = [stores.try_clone()?, self.directory.try_clone()?];
        let fresh = self.fresh.fd.try_clone()?;
        let kept = kept_records(self.session.private(), &label)?;
        failpoint::fail("purge: exchange")?;
        rustix::fs::renameat_with(&self.directory, RECORDS, stores, store.as_str(), exchange)?;
        // Crawlee JS 3 may have put another directory in the store's place just before.
        let old = tree::open_dir(&self.directory, RECORDS).unwrap_or(known);
        Ok(OldRecords { old, store: fresh, places, label, kept })
    }

    /// Removes the box with all that is in it.
    pub(super) fn remove(&self) -> io::Result<()> {
        let parent = self.kept_in.as_ref().unwrap_or(self.session.directory());
        remove_tree(parent, self.name.as_bytes())?;
        if self.kept_in.is_some() {
            kept_box::forget_if_empty(self.session.private());
        }
        Ok(())
    }
}

/// What a purge has taken out of a store's sight.
#[derive(Debug)]
pub(super) struct OldRecords {
    /// The old directory.
    old: Directory,
    /// The store's directory.
    store: Directory,
    /// The directories in which the two were exchanged: that of the stores, and the box.
    places: [Directory; 2],
    label: Label,
    /// Where a purge is undone: the records that were kept, which are linked into the store's directory.
    kept: Option<Directory>,
}

/// What becomes of an entry of the old directory.
enum Fate {
    /// The store gets it back.
    GiveBack,
    /// It is an input, with this key.
    GiveBackInput(Key),
    /// Somebody has put it there while a purge was undone: newer than what came back, older than what was put into the store
    /// since.
    GiveBackLate,
    /// A link to a file that is in the store: removed and not counted.
    Remove,
    /// A sidecar, which goes where its value goes and is not counted.
    Sidecar,
    /// A record or litter.
    Count,
}

impl OldRecords {
    /// What a dead process had in a box. `None` if there is nothing in it that must be given back. `private` is the
    /// `.storefs` that the box is in.
    pub(super) fn find(
        purge_box: &Directory,
        private: &Directory,
        root: &Directory,
    ) -> io::Result<Option<Self>> {
        let Some(label) = Label::read(purge_box)? else { return Ok(None) };
        let old = match tree::open_dir(purge_box, RECORDS) {
            Err(Errno::NOENT) => return Ok(None),
            old => old?,
        };
        if rustix::fs::fstat(&old)?.st_ino != label.old {
            // It died before the exchange.
            return Ok(None);
        }
        let (stores, name) = tree::open_parent(root, &label.store)?;
        let store = match tree::open_dir(&stores, &name) {
            // Dropped since then: nobody is there to be given anything.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            store => store?,
        };
        let places = [stores, purge_box.try_clone()?];
        let kept = kept_records(private, &label)?;
        Ok(Some(Self { old, store, places, label, kept }))
    }

    /// The purge that is undone with this, by what it is kept as.
    pub(super) fn undone(&self) -> Option<&str> {
        match &self.label.aim {
            Aim::Undo(kept) => Some(kept),
            Aim::Purge | Aim::Keep(_) => None,
        }
    }

    /// Whether the records are to be kept.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self.label.aim, Aim::Keep(_))
    }

    /// The old directory, once more.
    pub(super) fn directory(&self) -> rustix::io::Result<Directory> {
        self.old.try_clone()
    }

    /// An SDK may have replaced or deleted an input after it was linked and before the directories were
    /// exchanged. What it did is the newer state. May be tried again until the clearing has begun, and then does
    /// nothing.
    pub(super) fn take_over_inputs(&self) -> rustix::io::Result<()> {
        match rustix::fs::statat(self.purge_box(), TAKEN_OVER, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Ok(()),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        for (name, number) in &self.label.linked {
            if number_of(&self.store, name)? != Some(*number) {
                // Replaced since the exchange.
                continue;
            }
            match number_of(&self.old, name)? {
                Some(now) if now == *number => {}
                Some(_) => staging::move_entry(&self.old, name, &self.store, name, true)?,
                None => rustix::fs::unlinkat(&self.store, name.as_slice(), AtFlags::empty())?,
            }
        }
        Ok(())
    }

    /// Gives back what is the store's among the first `limit` entries.
    pub(super) fn give_back(&self, limit: usize) -> rustix::io::Result<()> {
        for entry in tree::entries(&self.old)?.take(limit) {
            let (name, listed) = entry?;
            match self.fate(&name, listed)? {
                Fate::GiveBack => self.move_back(&name)?,
                Fate::GiveBackInput(_) => self.move_input_back(&name)?,
                Fate::GiveBackLate => self.move_late_back(&name)?,
                Fate::Remove | Fate::Sidecar | Fate::Count => {}
            }
        }
        Ok(())
    }

    /// Gives back what is the store's and removes everything else.
    ///
    /// # Errors
    /// The last thing that could be neither given back nor removed. The box must be kept then.
    pub(super) fn clear(&self, counted: &mut Purged) -> io::Result<()> {
        self.end_taking_over()?;
        let mut cleared: io::Result<()> = Ok(());
        for entry in tree::entries(&self.old)? {
            let (name, listed) = entry?;
            if let Err(error) = self.clear_entry(&name, listed, counted) {
                cleared = Err(error.into());
            }
            failpoint::pass("purge: one of the old records removed");
        }
        cleared?;
        failpoint::pass("purge: old records removed");
        // Before the mark goes with the box: a label without one would have the store's inputs removed.
        remove(self.purge_box(), LABEL.as_bytes())?;
        Ok(())
    }

    /// Gives back what is the store's, and counts what is kept. May be done again.
    ///
    /// # Errors
    /// The last thing that could not be given back.
    pub(super) fn settle(&self, counted: &mut Purged) -> io::Result<()> {
        self.end_taking_over()?;
        let mut settled: io::Result<()> = Ok(());
        for entry in tree::entries(&self.old)? {
            let (name, listed) = entry?;
            let done = match self.fate(&name, listed)? {
                Fate::Sidecar => Ok(()),
                Fate::Count => {
                    counted.removed += 1;
                    counted.bytes += size_of(&self.old, &name)?;
                    Ok(())
                }
                _ => self.clear_entry(&name, listed, counted),
            };
            settled = done.map_err(io::Error::from).and(settled);
        }
        settled?;
        failpoint::pass("purge: kept records counted");
        let count = KeptCount { removed: counted.removed, bytes: counted.bytes };
        Ok(kept_box::note_count(self.purge_box(), count)?)
    }

    /// From here on nothing is taken over from the old directory any more.
    fn end_taking_over(&self) -> io::Result<()> {
        self.take_over_inputs()?;
        match rustix::fs::symlinkat("done", self.purge_box(), TAKEN_OVER) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.be_durable()?;
        Ok(())
    }

    /// Makes durable what the store has now. What was taken over before the mark that says so: else a power cut might undo
    /// the exchange and leave a store that lacks what is removed here.
    pub(super) fn be_durable(&self) -> rustix::io::Result<()> {
        rustix::fs::fsync(&self.store)?;
        self.places.iter().try_for_each(rustix::fs::fsync)
    }

    fn purge_box(&self) -> &Directory {
        let [_, purge_box] = &self.places;
        purge_box
    }

    fn clear_entry(
        &self,
        name: &[u8],
        listed: FileType,
        counted: &mut Purged,
    ) -> rustix::io::Result<()> {
        match self.fate(name, listed)? {
            Fate::GiveBack => self.move_back(name),
            Fate::GiveBackInput(key) => {
                counted.spared.push(key);
                self.move_input_back(name)
            }
            Fate::GiveBackLate => self.move_late_back(name),
            Fate::Remove | Fate::Sidecar => remove(&self.old, name).map(drop),
            Fate::Count => {
                let size = size_of(&self.old, name)?;
                // A directory that is read while its entries go may list one of them twice.
                if remove(&self.old, name)? {
                    counted.removed += 1;
                    counted.bytes += size;
                }
                Ok(())
            }
        }
    }

    fn fate(&self, name: &[u8], listed: FileType) -> rustix::io::Result<Fate> {
        if !tree::is_file_to_the_sdk(&self.old, name, listed) {
            return Ok(Fate::GiveBack);
        }
        if name == layout::METADATA.as_bytes() || self.is_linked(name) {
            return Ok(Fate::Remove);
        }
        if self.undone().is_some() {
            return Ok(Fate::GiveBackLate);
        }
        if self.label.dialect == Dialect::Plain {
            return Ok(if is_item(name) { Fate::Count } else { Fate::GiveBack });
        }
        // The sidecar of an input goes with its value.
        let value = layout::value_of_sidecar(name).unwrap_or(name);
        let is_plain = || number_of(&self.old, value).map(|number| number.is_some());
        Ok(match self.label.spared(value) {
            Some(key) if !self.is_linked(value) && is_plain()? => Fate::GiveBackInput(key),
            _ if value.len() < name.len() => Fate::Sidecar,
            _ => Fate::Count,
        })
    }

    fn is_linked(&self, name: &[u8]) -> bool {
        self.label.linked.contains_key(name)
    }

    /// Value before sidecar, as in a publish. An input that has been made anew in the store is the newer one.
    fn move_input_back(&self, name: &[u8]) -> rustix::io::Result<()> {
        let value = layout::value_of_sidecar(name).unwrap_or(name);
        self.move_back(value)?;
        self.move_back(&layout::sidecar_of(value))
    }

    fn move_late_back(&self, name: &[u8]) -> rustix::io::Result<()> {
        let there = number_of(&self.store, name)?;
        let kept = self.kept.as_ref().map_or(Ok(None), |kept| number_of(kept, name))?;
        if there.is_some() && there == kept {
            return staging::move_entry(&self.old, name, &self.store, name, true);
        }
        self.move_back(name)
    }

    fn move_back(&self, name: &[u8]) -> rustix::io::Result<()> {
        match staging::move_entry(&self.old, name, &self.store, name, false) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::EXIST) => remove(&self.old, name).map(drop),
            Err(error) => Err(error),
        }
    }
}

/// Removes a file; a directory that cannot be given back is not ours to remove. Gives back whether it was there.
fn remove(directory: impl AsFd, name: &[u8]) -> rustix::io::Result<bool> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The records that are kept of the purge that a label wants undone.
fn kept_records(private: &Directory, label: &Label) -> rustix::io::Result<Option<Directory>> {
    match &label.aim {
        Aim::Undo(kept) => kept_box::records(private, kept),
        Aim::Purge | Aim::Keep(_) => Ok(None),
    }
}

/// The bytes of a plain file; 0 for what is none.
pub(super) fn size_of(directory: impl AsFd, name: &[u8]) -> rustix::io::Result<u64> {
    match tree::stat_file(directory, name) {
        Ok(stat) => Ok(tree::attributes(&stat).size),
        Err(Errno::NOENT) => Ok(0),
        Err(error) => Err(error),
    }
}

/// The inode number of a plain file, if there is one.
pub(super) fn number_of(directory: impl AsFd, name: &[u8]) -> rustix::io::Result<Option<u64>> {
    match tree::stat_file(directory, name) {
        Ok(stat) => Ok(Some(stat.st_ino)),
        Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p14_a_record_that_is_listed_twice_counts_once() {
        let root = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap();
        let place = |name: &str| {
            std::fs::create_dir(root.path().join(name)).unwrap();
            tree::open_root(&root.path().join(name), false).unwrap()
        };
        let (old, store) = (place("old"), place("store"));
        let places = [place("stores"), place("box")];
        for name in ["record", "INPUT.json"] {
            std::fs::write(root.path().join("old").join(name), name).unwrap();
        }
        let label = Label {
            store: StoreName::default_store(),
            dialect: Dialect::Sidecars,
            input_key: "INPUT".to_owned(),
            old: 0,
            linked: Default::default(),
            aim: Aim::Purge,
        };
        let old_records = OldRecords { old, store, places, label, kept: None };
        let mut counted = Purged::default();
        for name in ["record", "INPUT.json", "record", "INPUT.json"] {
            old_records.clear_entry(name.as_bytes(), FileType::RegularFile, &mut counted).unwrap();
        }
        assert_eq!((counted.removed, counted.bytes, counted.spared.len()), (1, 6, 1));
        assert!(root.path().join("store/INPUT.json").exists());
    }
}
