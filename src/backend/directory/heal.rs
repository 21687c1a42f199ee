//! Completing, or undoing, what a process was at when it died (P21).
//!
//! A record is two files, so publishing, renaming and deleting one takes several steps. There is no journal:
//! the sidecar that waits in `.storefs` to be moved into place is the note of what was under way. Its name (`note`)
//! says which step it waits for, which file the record's value is, and the value's disk name. Whether that very file
//! is under that name in some store tells how far the dead process came:
//!
//! | note | value is there | meaning | healed by |
//! | --- | --- | --- | --- |
//! | `publish` | yes | the sidecar was not moved yet | moving it into place |
//! | `publish` | no | nothing was published | removing the note |
//! | `delete` | yes, without a sidecar | half deleted | putting the sidecar back |
//! | `delete` | no, but this very sidecar is | moved away or deleted | removing that sidecar |
//!
//! This looks at one name in each store for each note, and at nothing else. Directories of processes that live
//! are locked and left alone.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, FlockOperation};
use rustix::io::Errno;
use serde_json::Value;

use super::dialect::Dialect;
use super::kept_box::{self, KeptBox, PURGED};
use super::kept_purges;
use super::layout;
use super::metadata;
use super::note::{Note, Object, Step};
use super::place::Entry;
use super::places::private_directories;
use super::purge_box::{LOOK_AT, OldRecords, number_of};
use super::removal::remove_tree;
use super::removed_store::{empty_store, give_back_if_used};
use super::rescued::{self, RESCUED};
use super::sidecar::{self, Sidecar};
use super::staging::{Session, move_entry};
use super::state::DirectoryBackend;
use super::tree::{self, Directory, StoreDir};
use crate::backend::Purged;
use crate::backend::document::Document;
use crate::failpoint;
use crate::model::{Error, Key, Result, StoreName, Unpublished};

impl DirectoryBackend {
    /// Completes or undoes what dead processes were at, and has what they left removed in the background.
    pub(super) fn heal(&self) -> Result<()> {
        self.refuse_if_read_only()?;
        let places = private_directories(&self.root()).map_err(|error| look(error.into()))?;
        places.into_iter().try_for_each(|(_, private)| self.heal_in(&Arc::new(private)))
    }

    pub(super) fn heal_in(&self, private: &Arc<Directory>) -> Result<()> {
        if let Err(error) = self.expire_rescued(private) {
            log::warn!("what was kept aside for a week is not removed: {error}");
        }
        match kept_purges::end_kept(&self.root(), &self.shared.reaper, private) {
            Ok(None) => {}
            Ok(Some(_)) => self.look_after_kept(),
            Err(error) => log::warn!("what is kept of purges is not ended: {error}"),
        }
        for entry in tree::entries(private).map_err(|error| look(error.into()))? {
            let (name, listed) = entry.map_err(|error| look(error.into()))?;
            if tree::kind(private, &name, listed) != FileType::Directory {
                continue;
            }
            let Ok(text) = String::from_utf8(name) else { continue };
            if text == RESCUED || text == PURGED {
                continue;
            }
            let Ok(session) = tree::open_dir(private, &text) else { continue };
            if rustix::fs::flock(&session, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            log::info!("healing what process {text} left in '{}'", layout::PRIVATE);
            failpoint::pass("heal: begun");
            let purged = self.heal_session(&session, (private, &text))?;
            let is_kept = self.keep_unpublished(&session, (private, &text)).inspect_err(|error| {
                log::error!("what writers had not published stays in '{text}' as it is: {error}");
            });
            if is_kept.is_err() && purged.is_empty() {
                continue;
            }
            let private = Arc::clone(private);
            self.shared.reaper.give(move || {
                for old_records in purged {
                    old_records.clear(&mut Purged::default())?;
                }
                if is_kept.is_err() {
                    return Ok(());
                }
                remove_tree(&private, text.as_bytes())?;
                // The lock was kept until now, so that nobody else took the directory up meanwhile.
                drop(session);
                Ok(())
            });
        }
        Ok(())
    }

    /// Heals what can be healed with a few looks. Gives back what purges had taken out of sight, to be cleared.
    /// `place` is where the session's directory is, and its name there.
    fn heal_session(
        &self,
        session: &Directory,
        place: (&Arc<Directory>, &str),
    ) -> Result<Vec<OldRecords>> {
        let mut notes = Vec::new();
        let mut purged = Vec::new();
        for entry in tree::entries(session).map_err(|error| look(error.into()))? {
            let (name, listed) = entry.map_err(|error| look(error.into()))?;
            if tree::kind(session, &name, listed) == FileType::Directory {
                self.heal_empty_store(session, &name)?;
                purged.extend(self.heal_purge(session, place, &name).map_err(look)?);
            } else if let Some(note) = Note::parse(&name) {
                notes.push((note.step, name, note));
            }
        }
        // A record that was moved to another store under the same name has a note of each step. First it gets its
        // new sidecar: without that it would pass for one that is half deleted there.
        notes.sort_unstable_by_key(|(step, ..)| *step);
        for (step, name, note) in notes {
            let healed = match step {
                Step::RenameStore => self.heal_store_rename(session, place, &name, &note),
                Step::Publish | Step::Delete => self.heal_record(session, &name, &note),
            };
            healed.map_err(look)?;
            failpoint::pass("heal: note done");
        }
        Ok(purged)
    }

    /// Keeps aside what the dead process had staged and not published. What it was publishing is in its place by now.
    fn keep_unpublished(
        &self,
        session: &Directory,
        (private, process): (&Arc<Directory>, &str),
    ) -> io::Result<()> {
        for entry in tree::entries(session)? {
            let (name, _) = entry?;
            let Some(leftover) = self.leftover(session, &name)? else { continue };
            let Unpublished { id, store, key, size, .. } =
                rescued::keep(private, (session, process), &name, leftover)?;
            log::warn!(
                "{size} bytes of record '{key}' of store '{store}' were not published when process {process} ended; \
                 they are kept for a week, and 'storefs rescue {id}' gives them back"
            );
        }
        Ok(())
    }

    fn heal_record(&self, session: &Directory, name: &[u8], note: &Note) -> io::Result<()> {
        let Some(waiting) = Waiting::read(session, name)? else { return Ok(()) };
        let Some(value_name) = waiting.subject(note) else { return Ok(()) };
        let sidecar_name = layout::sidecar_of(&value_name);
        for store in self.stores().map_err(io::Error::other)? {
            let Ok(dir) = self.store_dir(&store) else { continue };
            let value = match tree::object_of(&dir.fd, &value_name) {
                Err(Errno::NOENT | Errno::NAMETOOLONG) => None,
                value => Some(value?),
            };
            let is_of = |value: &Object| note.is_of(value, waiting.changed_ns, waiting.size());
            let noted = value.filter(is_of);
            let sidecar = number_of(&dir.fd, &sidecar_name)?;
            match (note.step, noted) {
                (Step::Publish, Some(value)) if waiting.is_whole(note) => {
                    log::info!("completing a publish in store '{store}'");
                    let entry = Entry { directory: session.as_fd(), name };
                    let own = waiting.number;
                    entry.place_sidecar(&dir, &value_name, value.number, own, sidecar.is_some())?;
                    return Ok(());
                }
                (Step::Delete, Some(_)) if sidecar.is_none() => {
                    log::info!("undoing a half-done delete in store '{store}'");
                    return match move_entry(session, name, &dir.fd, &sidecar_name, false) {
                        // An SDK has written the record meanwhile.
                        Err(Errno::EXIST) => Ok(()),
                        moved => Ok(moved?),
                    };
                }
                (Step::Delete, None) if value.is_none() && sidecar == Some(waiting.number) => {
                    log::info!("completing a rename or delete in store '{store}'");
                    rustix::fs::unlinkat(&dir.fd, sidecar_name.as_slice(), AtFlags::empty())?;
                    return Ok(());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The directory has been renamed if the note's is under the new name; then its metadata gets that name too, and
    /// keeps what else was written into it since.
    fn heal_store_rename(
        &self,
        session: &Directory,
        place: (&Arc<Directory>, &str),
        name: &[u8],
        note: &Note,
    ) -> io::Result<()> {
        let store = note.subject.as_ref().and_then(|name| std::str::from_utf8(name).ok());
        let Some(Ok(store)) = store.map(StoreName::new) else { return Ok(()) };
        let Ok(dir) = self.store_dir(&store) else { return Ok(()) };
        let waiting = Waiting::read(session, name)?;
        let changed_ns = waiting.map_or(i64::MIN, |waiting| waiting.changed_ns);
        if !note.is_of(&tree::object(&dir.fd)?, changed_ns, Some(0)) {
            return Ok(());
        }
        let waiting = tree::read_small(session, name, metadata::MAX_BYTES)?;
        let Some((waiting, _)) = waiting else { return Ok(()) };
        let Ok(waiting) = Document::parse(&waiting) else { return Ok(()) };
        let waiting = waiting.metadata();
        // In the place of the dead process: whoever heals may have nothing to write besides.
        let own = Arc::new(Session::take_over(place, session)?);
        let edited = self.edit_metadata(&dir, &own, |document| {
            let kept = document.metadata();
            let is_to_do = kept.id == waiting.id && kept.name != waiting.name;
            if is_to_do {
                log::info!("completing the rename of a store to '{store}'");
                document.set_name(waiting.name.as_deref());
            }
            is_to_do
        });
        edited.map_err(io::Error::other)
    }

    /// A store that was removed because it had no records comes back if it has one after all.
    fn heal_empty_store(&self, session: &Directory, name: &[u8]) -> Result<()> {
        let Ok(text) = std::str::from_utf8(name) else { return Ok(()) };
        let Some(store) = empty_store(text) else { return Ok(()) };
        let Some(stores) = tree::open_stores(&self.root())? else { return Ok(()) };
        let fd = tree::open_dir(session, text).map_err(|error| look(error.into()))?;
        let dir = StoreDir { fd, name: store };
        give_back_if_used(session, name, &dir, &stores).map(drop)
    }

    /// Gives back what a purge, or the undoing of one, leaves in a store and the dead process had not yet moved over.
    fn heal_purge(
        &self,
        session: &Directory,
        (private, process): (&Arc<Directory>, &str),
        name: &[u8],
    ) -> io::Result<Option<OldRecords>> {
        let Ok(text) = std::str::from_utf8(name) else { return Ok(None) };
        let purge_box = match tree::open_dir(session, text) {
            // A store that has come back.
            Err(Errno::NOENT) => return Ok(None),
            purge_box => purge_box?,
        };
        let Some(old_records) = OldRecords::find(&purge_box, private, &self.root())? else {
            return Ok(None);
        };
        old_records.take_over_inputs()?;
        if old_records.is_kept() {
            // A disk that keeps no order has kept the purge, and not that its box had gone to those that are kept.
            log::info!("keeping what a purge has removed");
            kept_box::keep(private, (session, text), &format!("{process}-{text}"))?;
            self.shared.reaper.give(move || old_records.settle(&mut Purged::default()));
            self.look_after_kept();
            return Ok(None);
        }
        let Some(undone) = old_records.undone() else {
            log::info!("completing a purge");
            old_records.give_back(LOOK_AT)?;
            return Ok(Some(old_records));
        };
        log::info!("completing the undoing of a purge");
        old_records.give_back(usize::MAX)?;
        old_records.be_durable()?;
        if let Some(kept) = KeptBox::take(private, undone, false)? {
            kept.end()?;
            self.shared.reaper.give(move || Ok(kept.remove()?));
        }
        Ok(Some(old_records))
    }
}

/// The file of a note.
struct Waiting {
    /// Its inode number.
    number: u64,
    /// Nanoseconds since the epoch at which anything of it changed last: not after its process died.
    changed_ns: i64,
    text: Vec<u8>,
}

impl Waiting {
    /// Reads a note. `None` if it is gone; one too large for a sidecar counts as empty.
    fn read(session: &Directory, name: &[u8]) -> io::Result<Option<Self>> {
        let stat = match tree::stat_file(session, name) {
            Err(Errno::NOENT) => return Ok(None),
            stat => stat?,
        };
        let text = match tree::read_small(session, name, sidecar::MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Vec::new(),
            text => text?.map(|(text, _)| text).unwrap_or_default(),
        };
        let stamp = tree::attributes(&stat).stamp;
        Ok(Some(Self { number: stamp.object, changed_ns: stamp.changed_ns, text }))
    }

    /// The value's disk name: in the note's name, or else as the sidecar's key says.
    fn subject(&self, note: &Note) -> Option<Vec<u8>> {
        if let Some(subject) = &note.subject {
            return Some(subject.clone());
        }
        let fields: Value = serde_json::from_slice(&self.text).ok()?;
        let key = Key::new(fields.get("key")?.as_str()?).ok()?;
        Some(Dialect::Sidecars.value_name(&key))
    }

    /// The size of the value as the sidecar says it.
    fn size(&self) -> Option<u64> {
        Sidecar::parse(&self.text).ok()?.size
    }

    /// Whether this is the whole of what the note was made to hold. One that is not was being written when its process
    /// died, and nothing was moved yet; or its sidecar is in place, and this is what was there before.
    fn is_whole(&self, note: &Note) -> bool {
        note.holds(&self.text).unwrap_or_else(|| Sidecar::parse(&self.text).is_ok())
    }
}

fn look(error: io::Error) -> Error {
    Error::io(format!("look into '{}'", layout::PRIVATE), error)
}
