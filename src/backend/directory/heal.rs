//! Completing, or undoing, what a process was at when it died (P21).
//!
//! A record is two files, so publishing, renaming and deleting one takes several steps. There is no journal:
//! the sidecar that waits in `.storefs` to be moved into place is the note of what was under way. Its name says
//! which step it waits for, the inode number of the record's value, and the value's disk name. Whether the value
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
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, FlockOperation};
use rustix::io::Errno;
use serde_json::Value;

use super::dialect::Dialect;
use super::purge_box::{LOOK_AT, OldRecords, number_of};
use super::removed_store::{empty_store, give_back_if_used};
use super::sidecar::{self, Sidecar};
use super::staging::{self, Session};
use super::state::DirectoryBackend;
use super::store_gates::StoreGates;
use super::tree::{self, StoreDir};
use super::{layout, metadata};
use crate::backend::Purged;
use crate::backend::document::Document;
use crate::failpoint;
use crate::model::{Error, Key, Result, StoreName};

/// What a note in the staging directory waits for, in the order in which notes are healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A new sidecar, to be moved beside its value.
    Publish,
    /// A second link to a sidecar whose record is being moved or deleted.
    Delete,
    /// The metadata of a store that is being renamed.
    RenameStore,
}

impl Step {
    fn word(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Delete => "delete",
            Self::RenameStore => "rename-store",
        }
    }
}

/// A note, as its name tells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) step: Step,
    /// The inode number of the value, or of the store's directory.
    pub(super) number: u64,
    /// The value's disk name, or the store's new name; too long for a note's name, it is left out.
    pub(super) subject: Option<Vec<u8>>,
}

/// The name of a note. `serial` makes it unique in its session.
pub(super) fn note_name(serial: u64, step: Step, number: u64, subject: &[u8]) -> Vec<u8> {
    /// Longest name of a file in bytes.
    const NAME_MAX: usize = 255;
    let head = format!("{serial}.{}.{number}", step.word()).into_bytes();
    let whole = [head.as_slice(), b".", subject].concat();
    if whole.len() <= NAME_MAX { whole } else { head }
}

impl Note {
    pub(super) fn parse(name: &[u8]) -> Option<Self> {
        let mut parts = name.splitn(4, |byte| *byte == b'.');
        let mut text = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
        let _serial: u64 = text()?.parse().ok()?;
        let word = text()?;
        let steps = [Step::Publish, Step::Delete, Step::RenameStore];
        let step = steps.into_iter().find(|step| step.word() == word)?;
        let number = text()?.parse().ok()?;
        Some(Self { step, number, subject: parts.next().map(<[u8]>::to_vec) })
    }
}

impl DirectoryBackend {
    /// The staging directory of this process, which somebody may have removed since it was used last: whoever cannot
    /// make a file in it takes [`session`](Self::session).
    pub(super) fn known_session(&self) -> Result<Arc<Session>> {
        self.refuse_if_read_only()?;
        self.shared.staging.known_session().map_or_else(|| self.session(), Ok)
    }

    /// The staging directory of this process. Whoever makes it heals first what others have left; that passes gates, so
    /// a session is taken before any gate is passed or closed.
    pub(super) fn session(&self) -> Result<Arc<Session>> {
        self.refuse_if_read_only()?;
        StoreGates::must_be_free();
        let (session, is_new) = self.shared.staging.session(&self.shared.root)?;
        if is_new && let Err(error) = self.heal_in(session.private()) {
            log::warn!("what a dead process left is not healed: {error}");
        }
        Ok(session)
    }

    /// Completes or undoes what dead processes were at, and has what they left removed in the background.
    pub(super) fn heal(&self) -> Result<()> {
        self.refuse_if_read_only()?;
        let private = match tree::open_dir(&self.shared.root, layout::PRIVATE) {
            Err(Errno::NOENT) => return Ok(()),
            private => private.map_err(|error| look(error.into()))?,
        };
        self.heal_in(&Arc::new(private))
    }

    pub(super) fn heal_in(&self, private: &Arc<OwnedFd>) -> Result<()> {
        for entry in tree::entries(private).map_err(|error| look(error.into()))? {
            let (name, listed) = entry.map_err(|error| look(error.into()))?;
            if tree::kind(private, &name, listed) != FileType::Directory {
                continue;
            }
            let Ok(text) = String::from_utf8(name) else { continue };
            let Ok(session) = tree::open_dir(private, &text) else { continue };
            if rustix::fs::flock(&session, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            log::info!("healing what process {text} left in '{}'", layout::PRIVATE);
            failpoint::pass("heal: begun");
            let purged = self.heal_session(&session, (private, &text))?;
            let private = Arc::clone(private);
            self.shared.reaper.give(move || {
                for old_records in purged {
                    old_records.clear(&mut Purged::default())?;
                }
                staging::remove_tree(&private, text.as_bytes())?;
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
        session: &OwnedFd,
        place: (&Arc<OwnedFd>, &str),
    ) -> Result<Vec<OldRecords>> {
        let mut notes = Vec::new();
        let mut purged = Vec::new();
        for entry in tree::entries(session).map_err(|error| look(error.into()))? {
            let (name, listed) = entry.map_err(|error| look(error.into()))?;
            if tree::kind(session, &name, listed) == FileType::Directory {
                self.heal_empty_store(session, &name)?;
                purged.extend(self.heal_purge(session, &name).map_err(look)?);
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

    fn heal_record(&self, session: &OwnedFd, name: &[u8], note: &Note) -> io::Result<()> {
        let Some(value_name) = subject_of(session, name, note)? else { return Ok(()) };
        let sidecar_name = layout::sidecar_of(&value_name);
        for store in self.stores().map_err(io::Error::other)? {
            let Ok(dir) = self.store_dir(&store) else { continue };
            let has_value = number_of(&dir.fd, &value_name)? == Some(note.number);
            let sidecar = number_of(&dir.fd, &sidecar_name)?;
            match note.step {
                // A note that is not whole was being written when its process died: nothing was moved yet.
                Step::Publish if has_value && is_whole_sidecar(session, name)? => {
                    log::info!("completing a publish in store '{store}'");
                    staging::move_entry(session, name, &dir.fd, &sidecar_name, true)?;
                    return Ok(());
                }
                Step::Delete if has_value && sidecar.is_none() => {
                    log::info!("undoing a half-done delete in store '{store}'");
                    staging::move_entry(session, name, &dir.fd, &sidecar_name, false)?;
                    return Ok(());
                }
                Step::Delete
                    if !has_value && sidecar.is_some() && sidecar == number_of(session, name)? =>
                {
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
        session: &OwnedFd,
        place: (&Arc<OwnedFd>, &str),
        name: &[u8],
        note: &Note,
    ) -> io::Result<()> {
        let store = note.subject.as_ref().and_then(|name| std::str::from_utf8(name).ok());
        let Some(Ok(store)) = store.map(StoreName::new) else { return Ok(()) };
        let Ok(dir) = self.store_dir(&store) else { return Ok(()) };
        if rustix::fs::fstat(&dir.fd)?.st_ino != note.number {
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
    fn heal_empty_store(&self, session: &OwnedFd, name: &[u8]) -> Result<()> {
        let Ok(text) = std::str::from_utf8(name) else { return Ok(()) };
        let Some(store) = empty_store(text) else { return Ok(()) };
        let Some(stores) = tree::open_stores(&self.shared.root)? else { return Ok(()) };
        let fd = tree::open_dir(session, text).map_err(|error| look(error.into()))?;
        let dir = StoreDir { fd, name: store };
        give_back_if_used(session, name, &dir, &stores).map(drop)
    }

    /// Gives back what a purge leaves in a store and the dead process had not yet moved over.
    fn heal_purge(&self, session: &OwnedFd, name: &[u8]) -> io::Result<Option<OldRecords>> {
        let Ok(text) = std::str::from_utf8(name) else { return Ok(None) };
        let purge_box = match tree::open_dir(session, text) {
            // A store that has come back.
            Err(Errno::NOENT) => return Ok(None),
            purge_box => purge_box?,
        };
        let Some(old_records) = OldRecords::find(&purge_box, &self.shared.root)? else {
            return Ok(None);
        };
        log::info!("completing a purge");
        old_records.take_over_inputs()?;
        old_records.give_back(LOOK_AT)?;
        Ok(Some(old_records))
    }
}

/// The value's disk name: in the note's name, or else as the sidecar's key says.
fn subject_of(session: &OwnedFd, name: &[u8], note: &Note) -> io::Result<Option<Vec<u8>>> {
    if let Some(subject) = &note.subject {
        return Ok(Some(subject.clone()));
    }
    let text = tree::read_small(session, name, sidecar::MAX_BYTES)?;
    let fields: Option<Value> = text.and_then(|(text, _)| serde_json::from_slice(&text).ok());
    let key = fields.as_ref().and_then(|fields| fields.get("key")).and_then(Value::as_str);
    Ok(key.and_then(|key| Key::new(key).ok()).map(|key| Dialect::Sidecars.value_name(&key)))
}

fn is_whole_sidecar(session: &OwnedFd, name: &[u8]) -> io::Result<bool> {
    let text = tree::read_small(session, name, sidecar::MAX_BYTES)?;
    Ok(text.is_some_and(|(text, _)| Sidecar::parse(&text).is_ok()))
}

fn look(error: io::Error) -> Error {
    Error::io(format!("look into '{}'", layout::PRIVATE), error)
}

/// A second link to a record's sidecar, kept while the record is moved or deleted.
#[derive(Debug)]
pub(super) struct DeleteNote {
    session: Arc<Session>,
    name: Vec<u8>,
}

impl DeleteNote {
    /// Links the sidecar of the value file `name`. `None` if it has none.
    pub(super) fn of(
        session: &Arc<Session>,
        dir: &StoreDir,
        name: &[u8],
        number: u64,
    ) -> rustix::io::Result<Option<Self>> {
        let note = session.note_name(Step::Delete, number, name);
        let sidecar = layout::sidecar_of(name);
        let flags = AtFlags::empty();
        let linked = failpoint::fail("note: link").and_then(|()| {
            rustix::fs::linkat(&dir.fd, &*sidecar, session.directory(), &*note, flags)
        });
        match linked {
            Ok(()) => Ok(Some(Self { session: Arc::clone(session), name: note })),
            // Without links, or with somebody else's file: the steps are as ordered, and not healed.
            Err(
                Errno::NOENT | Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK | Errno::NAMETOOLONG,
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the sidecar back to the value file `name`, which could not be removed.
    pub(super) fn put_back(&self, dir: &StoreDir, name: &[u8]) {
        let (note, sidecar) = (self.name.as_slice(), layout::sidecar_of(name));
        let flags = AtFlags::empty();
        match rustix::fs::linkat(self.session.directory(), note, &dir.fd, &*sidecar, flags) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                let name = String::from_utf8_lossy(name);
                log::error!("'{name}' of store '{}' has lost its sidecar: {error}", dir.name);
            }
        }
    }
}

impl Drop for DeleteNote {
    fn drop(&mut self) {
        let name = self.name.as_slice();
        if let Err(error) = rustix::fs::unlinkat(self.session.directory(), name, AtFlags::empty()) {
            log::debug!("a note stays until the next start: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn p18_any_name_is_a_note_or_none(name: Vec<u8>) {
            let _ = Note::parse(&name);
        }
    }

    #[test]
    fn notes_are_read_as_they_are_written() {
        let name = note_name(7, Step::Publish, 42, b"a%2Fb.json");
        assert_eq!(name, b"7.publish.42.a%2Fb.json");
        let note = Note { step: Step::Publish, number: 42, subject: Some(b"a%2Fb.json".to_vec()) };
        assert_eq!(Note::parse(&name), Some(note));
        let long = note_name(7, Step::Delete, 42, &[b'x'; 250]);
        assert_eq!(long, b"7.delete.42");
        assert_eq!(Note::parse(&long).unwrap().subject, None);
        assert_eq!(Note::parse(b"12"), None);
        assert_eq!(Note::parse(b"12.other.3.x"), None);
    }
}
