//! Undoing a purge whose records were kept: the mirror image of it.
//!
//! A fresh directory gets links of the records that are kept; then, with the store's gate closed, of all that is in the
//! store by now, which goes over what is kept; and then the two directories are exchanged, in one step for every observer. What
//! others do in the store while its files are linked is taken over afterwards, as at a purge. What is kept stays as it is
//! until the store has everything, so that an undoing that fails or dies has changed nothing.
//!
//! The links take time with each record that comes back, some tens of microseconds; the gate is closed only while those are linked
//! that were made since.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::kept_box::{Kept, KeptBox};
use super::layout;
use super::purge_box::{OldRecords, PurgeBox};
use super::purge_contents::Contents;
use super::purge_label::{Aim, RECORDS};
use super::staging::Session;
use super::state::DirectoryBackend;
use super::tree::{self, Directory, StoreDir};
use crate::backend::{Purge, Purged};
use crate::failpoint;
use crate::model::{Error, Key, Result, StoreName, Unpurged};

/// So often what is kept last is looked for anew that somebody else ends or brings back just then.
const ATTEMPTS: u32 = 16;

impl DirectoryBackend {
    /// Undoes the last purge of a store that is kept.
    pub(super) fn unpurge_store(&self, name: &StoreName, undo: &Purge<'_>) -> Result<Unpurged> {
        self.refuse_if_read_only()?;
        // Before the gate is closed: making the session heals, and that passes gates.
        let session = self.session(name)?;
        let (kept_box, kept) = self.take_last_kept(name)?;
        let failed = |error: Errno| failed(name, error);
        let records = tree::open_dir(kept_box.directory(), RECORDS).map_err(failed)?;
        let mut fresh = PurgeBox::make(&session, name).map_err(failed)?;
        let done = link_kept(&records, &fresh.fresh.fd, &kept)
            .map_err(failed)
            .and_then(|linked| {
                failpoint::pass("unpurge: records linked");
                self.exchange_back(&session, &mut fresh, (&kept, undo), linked)
            })
            .and_then(|(old, unpurged)| {
                old.be_durable().map_err(failed)?;
                Ok((old, unpurged))
            });
        let (old, unpurged) = match done {
            Ok(done) => done,
            Err(error) => {
                self.shared.reaper.give(move || fresh.remove());
                return Err(error);
            }
        };
        kept_box.end().map_err(failed)?;
        self.shared.reaper.give(move || {
            old.clear(&mut Purged::default())?;
            fresh.remove()?;
            Ok(kept_box.remove()?)
        });
        Ok(unpurged)
    }

    /// The last purge of a store that is kept, in hand and counted: the store has what is its own.
    fn take_last_kept(&self, name: &StoreName) -> Result<(KeptBox, Kept)> {
        let failed =
            |error: std::io::Error| Error::io(format!("undo the purge of store '{name}'"), error);
        for _ in 0..ATTEMPTS {
            let dir = self.unguarded_store_dir(name)?;
            let Some((private, kept)) = self.kept_of(&dir)?.pop() else { break };
            let taken = KeptBox::take(&private, &kept.name, true);
            let Some(kept_box) = taken.map_err(|error| failed(error.into()))? else { continue };
            let Some(kept) = kept_box.kept().map_err(failed)? else { continue };
            if kept.counted.is_none()
                && let Some(old) = OldRecords::find(kept_box.directory(), &private, &self.root())
                    .map_err(failed)?
            {
                old.settle(&mut Purged::default()).map_err(failed)?;
            }
            return Ok((kept_box, kept));
        }
        Err(Error::NoKeptPurge { store: name.to_string() })
    }

    /// Has the store get what is in the fresh directory, and keep what it has. `linked` are the values that are kept.
    fn exchange_back(
        &self,
        session: &Arc<Session>,
        fresh: &mut PurgeBox,
        (kept, undo): (&Kept, &Purge<'_>),
        linked: u64,
    ) -> Result<(OldRecords, Unpurged)> {
        let name = fresh.fresh.name.clone();
        let failed = |error: Errno| failed(&name, error);
        let _closed = self.shared.store_gates.close(&name);
        let dir = self.unguarded_store_dir(&name)?;
        let (names, has_others) = names_of(&dir).map_err(failed)?;
        let dialect = kept.label.dialect;
        if self.dialect_shown(&dir)?.is_some_and(|shown| shown != dialect) {
            let action =
                format!("undo the purge of store '{name}': its records have another layout since");
            return Err(Error::io(action, Errno::EXIST));
        }
        let mut left: Vec<Key> = Vec::new();
        for own in &names {
            if unlink(&fresh.fresh.fd, own).map_err(failed)?
                && layout::value_of_sidecar(own).is_none()
            {
                left.push(dialect.key(own)?);
            }
            // A value that was made since has its own sidecar, or none.
            unlink(&fresh.fresh.fd, &layout::sidecar_of(own)).map_err(failed)?;
        }
        let contents = Contents::spared_alone(names.into_iter().collect(), has_others);
        let aim = Aim::Undo(kept.name.clone());
        let old = self.exchange(&dir, session, fresh, (undo, aim), &contents)?;
        failpoint::pass("unpurge: done");
        left.sort_unstable();
        let restored = linked.saturating_sub(left.len() as u64);
        Ok((old, Unpurged { purged_at: kept.keeping.at, restored, left }))
    }
}

/// Links all that is kept into a directory. Gives back how many of it are no sidecars.
fn link_kept(records: &Directory, fresh: &Directory, kept: &Kept) -> rustix::io::Result<u64> {
    let mut values = 0;
    for entry in tree::entries(records)? {
        let (name, listed) = entry?;
        // Those are the store's, and were given to it, or left in it.
        let is_of_store = name == layout::METADATA.as_bytes()
            || kept.label.linked.contains_key(&name)
            || tree::kind(records, &name, listed) == FileType::Directory;
        if is_of_store {
            continue;
        }
        match rustix::fs::linkat(records, name.as_slice(), fresh, name.as_slice(), AtFlags::empty())
        {
            Ok(()) => values += u64::from(layout::value_of_sidecar(&name).is_none()),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(values)
}

/// The files of a store but its metadata, and whether there is anything besides.
fn names_of(dir: &StoreDir) -> rustix::io::Result<(BTreeSet<Vec<u8>>, bool)> {
    let (mut names, mut has_others) = (BTreeSet::new(), false);
    for entry in tree::entries(&dir.fd)? {
        let (name, listed) = entry?;
        if !tree::is_file_to_the_sdk(&dir.fd, &name, listed) {
            has_others = true;
        } else if name != layout::METADATA.as_bytes() {
            names.insert(name);
        }
    }
    Ok((names, has_others))
}

/// Removes a name; gives back whether it was there.
fn unlink(directory: &Directory, name: &[u8]) -> rustix::io::Result<bool> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(false),
        Err(error) => Err(error),
    }
}

fn failed(store: &StoreName, error: Errno) -> Error {
    Error::io(format!("undo the purge of store '{store}'"), error)
}
