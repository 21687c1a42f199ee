//! How a version takes the place of another: prepared and written out while nothing is held, placed while the record is
//! held, then made durable.

use std::sync::Arc;
use std::time::SystemTime;

use rustix::io::Errno;

use super::dialect::{self, Dialect};
use super::new_sidecar::NewSidecar;
use super::note::Object;
use super::place::{self, Found, SETTLING};
use super::records::{FileValue, Names};
use super::sidecar::{Sidecar, SidecarFile};
use super::staged_value::StagedValue;
use super::staging::StagedFile;
use super::state::DirectoryBackend;
use super::store_gates::HeldStoreDir;
use super::syncing::sync_file;
use super::tree::StoreDir;
use super::{layout, tree};
use crate::backend::{Over, Publish, PublishType, Staged, StagedFor};
use crate::failpoint;
use crate::model::{Attributes, Error, Key, RecordType, Result, Stamp};

/// So often a publish is prepared anew because what it replaces has changed. Then it goes on: the type that was found
/// fits the bytes all the same.
const ATTEMPTS: u32 = 4;

/// What a publish finds in the places of its value and sidecar.
struct Look {
    /// Whether the store's layout has any.
    has_sidecars: bool,
    /// The value, under whichever name.
    value: Option<Attributes>,
    /// The sidecar under the name that the value gets.
    sidecar: Option<Arc<SidecarFile>>,
    /// The type of what is replaced, if it has one.
    replaced: Option<RecordType>,
}

impl Look {
    fn sidecar_stamp(&self) -> Option<Stamp> {
        self.sidecar.as_ref().map(|file| file.stamp)
    }

    /// Whether an SDK has put its value into place, and its sidecar is still to come. It is told by a young value
    /// that no sidecar of its size accompanies, which storefs leaves nowhere.
    fn is_half_written(&self) -> bool {
        let Some(value) = self.value.as_ref().filter(|_| self.has_sidecars) else { return false };
        let is_young =
            SystemTime::now().duration_since(value.changed).is_ok_and(|age| age < SETTLING);
        let is_accompanied = self.sidecar.as_ref().is_some_and(|file| {
            let said = file.sidecar.as_ref().and_then(|sidecar| sidecar.size);
            file.is_written_after(&value.stamp) || said.is_none_or(|said| said == value.size)
        });
        is_young && !is_accompanied
    }

    /// Whether a type that was found for what is replaced here is the one for what is replaced there.
    fn decides_as(&self, other: &Self) -> bool {
        self.replaced == other.replaced
    }
}

/// All that a publish needs before the record is held.
struct Prepared {
    dir: StoreDir,
    dialect: Dialect,
    names: Names,
    look: Look,
    /// The value that is published.
    object: Object,
    record_type: RecordType,
    /// The new sidecar; `None` where none is kept, or where the one in place says the same.
    sidecar: Option<StagedFile>,
}

/// Whether an error says that what is staged is on another file system than its store.
fn crosses(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if Errno::from_io_error(source) == Some(Errno::XDEV))
}

/// The file of what was staged by a directory.
fn own_file(staged: &Staged) -> Result<&StagedFile> {
    let place = staged.place::<StagedValue>().map(|place| &place.staged);
    place.ok_or_else(|| Error::io("publish what another storage has staged", Errno::XDEV))
}

/// What came of an attempt to place a version.
enum Placed<'a> {
    /// It is in its place.
    In(HeldStoreDir<'a>),
    /// What it is to replace has changed since it was prepared.
    Changed,
    /// An SDK's sidecar is still to come, in the place of this one.
    HalfWritten(Option<Stamp>),
}

impl DirectoryBackend {
    /// Makes a staged file the record: value, then sidecar, each by one rename. Whoever reads between the two
    /// has the new value under the old type, as with crawlee-python's own writes (FORMAT 5.5).
    pub(super) fn publish(&self, staged: &mut Staged, publish: &Publish<'_>) -> Result<FileValue> {
        self.refuse_if_read_only()?;
        let mut attempt = 1;
        let mut is_written = false;
        let mut has_moved = false;
        let (held, prepared) = loop {
            let insists = attempt >= ATTEMPTS;
            let prepared = self.prepare(staged, publish, insists, &mut is_written)?;
            failpoint::pass("publish: prepared");
            let placed = self.place(own_file(staged)?, publish, &prepared, insists);
            match placed {
                Err(error) if !has_moved && crosses(&error) => {
                    self.stage_elsewhere(staged, publish, error)?;
                    (has_moved, is_written) = (true, false);
                    continue;
                }
                placed => match placed? {
                    Placed::In(held) => break (held, prepared),
                    Placed::Changed => {}
                    Placed::HalfWritten(seen) => {
                        let Prepared { dir, names, .. } = &prepared;
                        place::wait_for_sidecar(dir, names.own(), seen)
                            .map_err(|error| dir.failed("publish", publish.key, error))?;
                    }
                },
            }
            attempt += 1;
        };
        // The descriptor leads to the directory whatever becomes of its name, so it need not stay in its place.
        let HeldStoreDir { dir, _passed } = held;
        drop(_passed);
        if publish.durable {
            self.settle(&dir, publish, prepared.names.own())?;
        }
        Ok(FileValue::new(Arc::clone(staged.file())))
    }

    /// Copies what is staged to where it can be moved into its store: a volume has come or gone since it was begun, or
    /// the system has reasons of its own. `refusal` is what it said.
    fn stage_elsewhere(
        &self,
        staged: &mut Staged,
        publish: &Publish<'_>,
        refusal: Error,
    ) -> Result<()> {
        let session = self.other_session(publish.store, own_file(staged)?.session())?;
        let Some(session) = session else { return Err(refusal) };
        log::info!("what is staged for store '{}' is copied: {refusal}", publish.store);
        let (store, key) = (publish.store, publish.key);
        let record = StagedFor { store, key, base: None, copied: 0 };
        *staged = self.copied_to(staged, &session, &record)?;
        Ok(())
    }

    /// Finds the type, makes the sidecar, and has both files on the medium. Holds nothing.
    fn prepare(
        &self,
        staged: &Staged,
        publish: &Publish<'_>,
        insists: bool,
        is_written: &mut bool,
    ) -> Result<Prepared> {
        let (key, durable, value) = (publish.key, publish.durable, own_file(staged)?);
        let dir = self.unguarded_store_dir(publish.store)?;
        let failed = |error: Errno| dir.failed("publish", key, error);
        let dialect = self.dialect_to_write(&dir)?;
        let names = Names::of(dialect, key);
        self.check(dialect, key)?;
        let look = self.look(&dir, dialect, &names, key, None)?;
        let record_type = publish.content_type.of(staged, || Ok(look.replaced.clone()))?;
        if !*is_written {
            if !staged.is_dated() {
                value.date().map_err(failed)?;
            }
            // The two files are on their way to the medium at the same time, so one wait is enough for both.
            if durable {
                failpoint::fail("publish: sync value").and_then(|()| value.sync())
            } else {
                value.begin_write_out()
            }
            .map_err(failed)?;
        }
        let object = tree::object(value.file()).map_err(failed)?;
        let mut sidecar = None;
        if dialect == Dialect::Sidecars {
            let record_type = &record_type;
            let new =
                NewSidecar { key, name: names.own(), value: object, record_type, of_input: None };
            let input_key = self.shared.options.input_key.as_str();
            let says_so = |sidecar: &Sidecar| {
                sidecar.record_type == *record_type && sidecar.is_sound(key, input_key, object.size)
            };
            let in_place = look.sidecar.as_ref().and_then(|file| file.sidecar.as_ref());
            let is_there = in_place.is_some_and(says_so);
            if insists || !is_there {
                sidecar = Some(new.stage(value.session(), &dir, durable)?);
            } else if durable {
                // Whoever put it there need not have made it durable.
                sync_file(&dir, &layout::sidecar_of(names.own()))?;
            }
        }
        if !durable {
            if !*is_written {
                value.write_out().map_err(failed)?;
            }
            sidecar.as_ref().map_or(Ok(()), StagedFile::write_out).map_err(failed)?;
        }
        *is_written = true;
        Ok(Prepared { dir, dialect, names, look, object, record_type, sidecar })
    }

    /// Looks at what a publish replaces. `seen` is the sidecar that was read last.
    fn look(
        &self,
        dir: &StoreDir,
        dialect: Dialect,
        names: &Names,
        key: &Key,
        seen: Option<&Arc<SidecarFile>>,
    ) -> Result<Look> {
        let (name, value) = match self.locate_as(dir, names, key) {
            Err(Error::NoSuchRecord { .. }) => (None, None),
            located => {
                let (name, stat) = located?;
                (Some(name), Some(tree::attributes(&stat)))
            }
        };
        if dialect != Dialect::Sidecars {
            let of_name = || dialect::js3_content_type(key).map(RecordType::given);
            let replaced = value.filter(|_| dialect == Dialect::Js3).and_then(|_| of_name());
            return Ok(Look { has_sidecars: false, value, sidecar: None, replaced });
        }
        let sidecar = SidecarFile::look(dir, names.own(), key, seen)?;
        let of_found = match &name {
            None => None,
            Some(name) if name == names.own() => sidecar.clone(),
            Some(bare) => SidecarFile::read(dir, bare, key)?,
        };
        let kept = of_found.as_ref().and_then(|file| file.sidecar.as_ref());
        let replaced = kept.map(|sidecar| sidecar.record_type.clone());
        Ok(Look { has_sidecars: true, value, sidecar, replaced })
    }

    /// Moves value and sidecar into their places, if what they replace is what they were prepared for.
    fn place<'a>(
        &'a self,
        value: &StagedFile,
        publish: &Publish<'_>,
        prepared: &Prepared,
        insists: bool,
    ) -> Result<Placed<'a>> {
        let key = publish.key;
        let held = self.store_dir(publish.store)?;
        let dir: &StoreDir = &held;
        let _record = self.hold_record(Some(value.session()), publish.store, key);
        let Prepared { dialect, names, look, .. } = prepared;
        if self.dialect(dir)? != *dialect {
            return Ok(Placed::Changed);
        }
        let now = self.look(dir, *dialect, names, key, look.sidecar.as_ref())?;
        if !insists {
            let is_decided = matches!(publish.content_type, PublishType::Decided(_));
            let is_left = *dialect == Dialect::Sidecars && prepared.sidecar.is_none();
            if now.is_half_written() {
                return Ok(Placed::HalfWritten(now.sidecar_stamp()));
            }
            if (is_decided && !now.decides_as(look))
                || (is_left && now.sidecar_stamp() != look.sidecar_stamp())
            {
                return Ok(Placed::Changed);
            }
        }
        publish.over.admit(publish.store, key, now.value.map(|value| value.stamp))?;
        let bare = names.bare().filter(|name| tree::has_file(&dir.fd, name) == Ok(true));
        self.put_in(dir, value, publish, prepared, &now)?;
        if let Some(bare) = bare {
            self.remove_files(dir, bare)?;
        }
        if publish.durable {
            // What waits for an fsync under this name has been replaced.
            self.shared.unsynced.is_durable(publish.store, prepared.names.own());
        } else {
            self.shared.unsynced.note(publish.store, prepared.names.own());
        }
        Ok(Placed::In(held))
    }

    /// Makes the renames. The record is held.
    fn put_in(
        &self,
        dir: &StoreDir,
        value: &StagedFile,
        publish: &Publish<'_>,
        prepared: &Prepared,
        now: &Look,
    ) -> Result<()> {
        let (key, own) = (publish.key, prepared.names.own());
        let failed = |error: Errno| dir.failed("publish", key, error);
        failpoint::pass("publish: staged");
        let moved = failpoint::fail("publish: move value").and_then(|()| match publish.over {
            Over::Anything | Over::Version(_) => {
                place::place_value(value, dir, own, now.value.is_some())
            }
            Over::Nothing => value.move_to(&dir.fd, own, false).map(|()| Found::Nothing),
        });
        let found = match moved {
            Err(Errno::EXIST | Errno::NOTEMPTY) if publish.over == Over::Nothing => {
                return Err(dir.record_exists(key));
            }
            Err(Errno::NOENT) => return Err(dir.no_store()),
            moved => moved.map_err(failed)?,
        };
        failpoint::pass("publish: value moved");
        if prepared.dialect == Dialect::Sidecars
            && let Err(error) = self.put_sidecar_in(dir, value, key, prepared, now, found)
        {
            if let Err(lost) = place::take_value_back(value, dir, own, found) {
                log::error!(
                    "record '{key}' of store '{}' stays without its sidecar: {lost}",
                    dir.name
                );
            }
            return Err(error);
        }
        failpoint::pass("publish: sidecar moved");
        Ok(())
    }

    /// Puts the sidecar beside a value that has just been placed, and has taken out what was `found`.
    fn put_sidecar_in(
        &self,
        dir: &StoreDir,
        value: &StagedFile,
        key: &Key,
        prepared: &Prepared,
        now: &Look,
        found: Found,
    ) -> Result<()> {
        let own = prepared.names.own();
        let failed = |error: Errno| dir.failed("publish", key, error);
        let seen = now.sidecar_stamp();
        let is_settled = !now.is_half_written();
        let was_seen = is_settled
            && match (found, &now.value) {
                (Found::TakenOut(stat), Some(value)) => {
                    tree::attributes(&stat).stamp.same_bytes(&value.stamp)
                }
                // A file dropped in by hand, of another name.
                (Found::Nothing, Some(_)) => prepared.names.bare().is_some(),
                (Found::TakenOut(_), None) => false,
                (Found::Nothing, None) | (Found::Replaced, _) => true,
            };
        let late;
        let sidecar = if was_seen {
            prepared.sidecar.as_ref()
        } else {
            // An SDK has written or removed the record just now, and is not done.
            place::wait_for_sidecar(dir, own, seen).map_err(failed)?;
            late = match &prepared.sidecar {
                Some(_) => None,
                None => Some(self.stage_late(dir, value, key, prepared)?),
            };
            prepared.sidecar.as_ref().or(late.as_ref())
        };
        let Some(sidecar) = sidecar else { return Ok(()) };
        let number = prepared.object.number;
        failpoint::fail("publish: move sidecar")
            .and_then(|()| place::place_sidecar(sidecar, dir, own, number, seen.is_some()))
            .map_err(failed)
    }

    /// Makes the sidecar that was not needed when the version was prepared.
    fn stage_late(
        &self,
        dir: &StoreDir,
        value: &StagedFile,
        key: &Key,
        prepared: &Prepared,
    ) -> Result<StagedFile> {
        let (name, record_type) = (prepared.names.own(), &prepared.record_type);
        let new = NewSidecar { key, name, value: prepared.object, record_type, of_input: None };
        new.stage(value.session(), dir, true)
    }

    /// Makes durable that a record, whose files are, is in its place. Nothing is held: who renames the store meanwhile
    /// takes the directory with all that is in it to the new name, and who purges or drops it comes after the publish.
    fn settle(&self, dir: &StoreDir, publish: &Publish<'_>, name: &[u8]) -> Result<()> {
        let failed = |error: Errno| dir.failed("publish", publish.key, error);
        let settled = self.sync_place(dir).and_then(|()| {
            failpoint::fail("publish: sync directory").map_err(failed)?;
            rustix::fs::fsync(&dir.fd).map_err(failed)
        });
        if settled.is_err() {
            // A later fsync of the directory has to make up for this one.
            self.shared.unsynced.note(publish.store, name);
        }
        settled
    }
}
