//! Records of a store: where their files are, and how a version takes the place of another.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::dialect::{self, Dialect};
use super::heal::{DeleteNote, Step};
use super::sidecar::{self, Sidecar};
use super::staging::{self, Session, StagedFile, StagedValue};
use super::tree::StoreDir;
use super::unsynced::sync_file;
use super::{DirectoryBackend, layout, tree};
use crate::backend::{Publish, RenameRecord, Replaced, Value};
use crate::failpoint;
use crate::model::{AttributeChange, Attributes, ContentType, Error, Key, Result, Stamp};

/// A value file, open for reading. Versions are replaced and never rewritten, so its bytes do not change;
/// only Crawlee JS 3 writes in place.
#[derive(Debug)]
pub(super) struct FileValue {
    file: Arc<OwnedFd>,
}

impl Value for FileValue {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        staging::read_at(&*self.file, buffer, offset)
            .map_err(|error| Error::io("read a value", error))
    }

    fn attributes(&self) -> Result<Attributes> {
        rustix::fs::fstat(&*self.file)
            .map(|stat| tree::attributes(&stat))
            .map_err(|error| Error::io("look at a value", error))
    }

    fn next_data(&self, offset: u64) -> Result<u64> {
        staging::next_data(&*self.file, offset)
            .map_err(|error| Error::io("look for the holes of a value", error))
    }

    fn local_file(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}

/// The names under which a key's value file may be.
pub(super) struct Names {
    /// What the SDK of the store's dialect calls the file, and under which it is written.
    own: Vec<u8>,
    /// The key itself, if a file dropped in by hand may have that as its name and would stand for this key.
    bare: Option<Vec<u8>>,
}

impl Names {
    pub(super) fn of(dialect: Dialect, key: &Key) -> Self {
        let own = dialect.value_name(key);
        let name = key.as_bytes();
        let stands_for_key = || dialect.key(name).is_ok_and(|decoded| decoded == *key);
        let is_bare = own != name && layout::is_value_name(name) && stands_for_key();
        Self { bare: is_bare.then(|| name.to_vec()), own }
    }

    /// In the order in which they are looked for.
    pub(super) fn all(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.own.as_slice()).chain(self.bare.as_deref())
    }
}

impl DirectoryBackend {
    fn names(&self, dir: &StoreDir, key: &Key) -> Result<Names> {
        if Dialect::is_irrelevant_for(key) {
            return Ok(Names { own: key.as_bytes().to_vec(), bare: None });
        }
        Ok(Names::of(self.dialect(dir)?, key))
    }

    /// Finds a record's value file: its name and what the system says of it.
    pub(super) fn locate(&self, dir: &StoreDir, key: &Key) -> Result<(Vec<u8>, Stat)> {
        self.locate_as(dir, &self.names(dir, key)?, key)
    }

    fn locate_as(&self, dir: &StoreDir, names: &Names, key: &Key) -> Result<(Vec<u8>, Stat)> {
        for name in names.all() {
            match tree::stat_file(&dir.fd, name) {
                Ok(stat) if self.is_record(dir, name)? => return Ok((name.to_vec(), stat)),
                Ok(_) | Err(Errno::NOENT | Errno::NAMETOOLONG) => {}
                Err(error) => return Err(dir.failed("look for", key, error)),
            }
        }
        Err(dir.no_record(key))
    }

    /// Whether a plain file is a record: it is, unless it is an SDK's temporary in a store.
    pub(super) fn is_record(&self, dir: &StoreDir, name: &[u8]) -> Result<bool> {
        if dir.name.is_plain() {
            return Ok(true);
        }
        if !layout::is_value_name(name) {
            return Ok(false);
        }
        if !layout::looks_temporary(name) {
            return Ok(true);
        }
        tree::has_file(&dir.fd, &layout::sidecar_of(name))
            .map_err(|error| Error::io(format!("look into store '{}'", dir.name), error))
    }

    pub(super) fn record_attributes(&self, dir: &StoreDir, key: &Key) -> Result<Attributes> {
        self.locate(dir, key).map(|(_, stat)| tree::attributes(&stat))
    }

    pub(super) fn open_record(&self, dir: &StoreDir, key: &Key) -> Result<FileValue> {
        for name in self.names(dir, key)?.all() {
            match tree::open_file(&dir.fd, name) {
                Ok(file) if self.is_record(dir, name)? => {
                    return Ok(FileValue { file: Arc::new(file) });
                }
                Ok(_) | Err(Errno::NOENT | Errno::NAMETOOLONG) => {}
                Err(error) => return Err(dir.failed("open", key, error)),
            }
        }
        Err(dir.no_record(key))
    }

    /// The type in the sidecar, or in a JS 3 store that of the extension.
    pub(super) fn kept_type(&self, dir: &StoreDir, key: &Key) -> Result<Option<ContentType>> {
        let (name, _) = self.locate(dir, key)?;
        let of_sdk = match self.dialect(dir)? {
            Dialect::Js3 => return Ok(dialect::js3_content_type(key)),
            Dialect::Sidecars => key.clone(),
            Dialect::Plain => layout::decode(&name)?,
        };
        Ok(read_sidecar(dir, &name, &of_sdk)?
            .and_then(|file| file.sidecar)
            .map(|sidecar| sidecar.content_type))
    }

    /// Whether the sidecar seems to be that of an earlier value: it was put in place before this one, as far as the
    /// clock's ticks tell, and names another size. Age alone says nothing, as in a storage that was copied.
    pub(super) fn is_sidecar_older(&self, dir: &StoreDir, key: &Key) -> Result<bool> {
        let (name, value) = self.locate(dir, key)?;
        let sidecar = match tree::stat_file(&dir.fd, &layout::sidecar_of(&name)) {
            Err(Errno::NOENT | Errno::NAMETOOLONG) => return Ok(false),
            sidecar => {
                sidecar.map_err(|error| dir.failed("look for the sidecar of", key, error))?
            }
        };
        let placed = |stat: &Stat| (stat.st_ctime, stat.st_ctime_nsec);
        if placed(&sidecar) > placed(&value) {
            return Ok(false);
        }
        let said = read_sidecar(dir, &name, key)?.and_then(|file| file.sidecar?.size);
        Ok(said.is_some() && said != u64::try_from(value.st_size).ok())
    }

    pub(super) fn set_kept_type(
        &self,
        dir: &StoreDir,
        key: &Key,
        content_type: &ContentType,
    ) -> Result<()> {
        let _held = self.shared.key_locks.hold(&dir.name, key);
        let (found, stat) = self.locate(dir, key)?;
        if self.dialect(dir)? != Dialect::Sidecars {
            log::debug!("the type of '{key}' in '{}' is not kept beside it", dir.name);
            return Ok(());
        }
        key.require_unicode()?;
        let own = Dialect::Sidecars.value_name(key);
        layout::check_value_name(&own, key)?;
        if found != own {
            staging::move_entry(&dir.fd, &found, &dir.fd, &own, false)
                .map_err(|error| dir.failed("rename the file of", key, error))?;
            remove_if_there(dir, &layout::sidecar_of(&found), "set type: remove old sidecar")?;
        }
        let from = (&self.session()?, None);
        if let Some(staged) =
            self.stage_sidecar((dir, &own), key, content_type, &stat, from, false)?
        {
            failpoint::fail("set type: move sidecar")
                .and_then(|()| staged.write_out())
                .and_then(|()| staged.move_to(&dir.fd, &layout::sidecar_of(&own), true))
                .map_err(|error| dir.failed("set the type of", key, error))?;
        }
        self.shared.unsynced.note(&dir.name, &own);
        Ok(())
    }

    /// What a publish would replace, as far as it has a type; and the sidecar under the value's own name, if it was
    /// looked at.
    fn replaced(
        &self,
        dir: &StoreDir,
        dialect: Dialect,
        names: &Names,
        key: &Key,
    ) -> Result<(Option<Replaced>, Option<SidecarFile>)> {
        let (name, stat) = match self.locate_as(dir, names, key) {
            Err(Error::NoSuchRecord { .. }) => return Ok((None, None)),
            located => located?,
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let replaced = |content_type| Replaced { content_type, size };
        if dialect == Dialect::Js3 {
            return Ok((dialect::js3_content_type(key).map(replaced), None));
        }
        let sidecar = read_sidecar(dir, &name, key)?;
        let kept = sidecar.as_ref().and_then(|file| file.sidecar.as_ref());
        let kept = kept.map(|sidecar| replaced(sidecar.content_type.clone()));
        Ok((kept, sidecar.filter(|_| name == names.own)))
    }

    /// Stages the sidecar that the value file of this name needs, durable or on its way to the medium; `None` if
    /// it has it already. `seen` is the sidecar that was read last.
    fn stage_sidecar(
        &self,
        (dir, name): (&StoreDir, &[u8]),
        key: &Key,
        content_type: &ContentType,
        value: &Stat,
        (session, seen): (&Arc<Session>, Option<SidecarFile>),
        durable: bool,
    ) -> Result<Option<StagedFile>> {
        let size = u64::try_from(value.st_size).unwrap_or(0);
        let text = Sidecar::text(key, content_type, size);
        if sidecar_now(dir, name, key, seen)?.is_some_and(|old| old.text == text) {
            if durable {
                // Whoever put it there need not have made it durable.
                sync_file(dir, &layout::sidecar_of(name))?;
            }
            return Ok(None);
        }
        let failed = |error: Errno| dir.failed("write the sidecar of", key, error);
        failpoint::fail("sidecar: create").map_err(failed)?;
        let staged = session.create_note(Step::Publish, value.st_ino, name)?;
        failpoint::fail("sidecar: write").map_err(failed)?;
        staged.write_all_at(&text, 0).map_err(failed)?;
        if durable {
            failpoint::fail("sidecar: sync").and_then(|()| staged.sync())
        } else {
            staged.begin_write_out()
        }
        .map_err(failed)?;
        Ok(Some(staged))
    }

    /// Makes a staged file the record: value, then sidecar, each by one rename. Whoever reads between the two
    /// has the new value under the old type, as with crawlee-python's own writes (FORMAT 5.5).
    pub(super) fn publish(&self, staged: &StagedValue, publish: &Publish<'_>) -> Result<FileValue> {
        self.refuse_if_read_only()?;
        let (key, durable) = (publish.key, publish.durable);
        let dir = self.store_dir(publish.store)?;
        let dialect = self.dialect(&dir)?;
        let names = Names::of(dialect, key);
        self.check(dialect, key)?;
        let failed = |error: Errno| dir.failed("publish", key, error);
        let mut seen = None;
        let content_type = publish.content_type.of(staged, || {
            let (replaced, sidecar) = self.replaced(&dir, dialect, &names, key)?;
            seen = sidecar;
            Ok(replaced)
        })?;

        let value = &staged.staged;
        value.date().map_err(failed)?;
        // The two files are on their way to the medium at the same time, so one wait is enough for both.
        if durable {
            failpoint::fail("publish: sync value").and_then(|()| value.sync())
        } else {
            value.begin_write_out()
        }
        .map_err(failed)?;
        let stat = rustix::fs::fstat(value.file()).map_err(failed)?;
        let _held = self.shared.key_locks.hold(publish.store, key);
        let sidecar = match dialect {
            Dialect::Sidecars => {
                let (of, from) = ((&*dir, names.own.as_slice()), (value.session(), seen));
                self.stage_sidecar(of, key, &content_type, &stat, from, durable)?
            }
            Dialect::Js3 | Dialect::Plain => None,
        };
        let bare = names.bare.filter(|name| tree::has_file(&dir.fd, name) == Ok(true));
        if !publish.replace && bare.is_some() {
            return Err(dir.record_exists(key));
        }
        let fresh = tree::has_file(&dir.fd, &names.own) == Ok(false);
        if !durable {
            value.write_out().map_err(failed)?;
            sidecar.as_ref().map_or(Ok(()), StagedFile::write_out).map_err(failed)?;
        }
        failpoint::pass("publish: staged");
        let moved = failpoint::fail("publish: move value")
            .and_then(|()| value.move_to(&dir.fd, &names.own, publish.replace));
        match moved {
            Err(Errno::EXIST | Errno::NOTEMPTY) if !publish.replace => {
                return Err(dir.record_exists(key));
            }
            Err(Errno::NOENT) => return Err(dir.no_store()),
            moved => moved.map_err(failed)?,
        }
        failpoint::pass("publish: value moved");
        if let Some(sidecar) = sidecar
            && let Err(error) = failpoint::fail("publish: move sidecar")
                .and_then(|()| sidecar.move_to(&dir.fd, &layout::sidecar_of(&names.own), true))
        {
            if fresh && value.take_back(&dir.fd, &names.own).is_err() {
                log::error!("record '{key}' of store '{}' stays without a sidecar", dir.name);
            }
            return Err(failed(error));
        }
        failpoint::pass("publish: sidecar moved");
        if let Some(bare) = bare {
            self.remove_files(&dir, &bare)?;
        }
        if durable {
            self.sync_place(&dir)?;
            failpoint::fail("publish: sync directory").map_err(failed)?;
            rustix::fs::fsync(&dir.fd).map_err(failed)?;
            self.shared.unsynced.is_durable(publish.store, &names.own);
        } else {
            self.shared.unsynced.note(publish.store, &names.own);
        }
        Ok(FileValue { file: Arc::clone(value.file()) })
    }

    /// Removes a record: sidecar, then value, so that no half-deleted record is listed by an SDK.
    pub(super) fn delete_record(&self, dir: &StoreDir, key: &Key) -> Result<()> {
        let _held = self.shared.key_locks.hold(&dir.name, key);
        let (name, stat) = self.locate(dir, key)?;
        if dir.name.is_plain() {
            return remove_if_there(dir, &name, "delete: remove value");
        }
        let session = self.known_session()?;
        let note = DeleteNote::of(&session, dir, &name, stat.st_ino)
            .map_err(|error| dir.failed("delete", key, error))?;
        failpoint::pass("delete: noted");
        self.remove_files(dir, &name).inspect_err(|_| {
            if let Some(note) = &note {
                note.put_back(dir, &name);
            }
        })
    }

    pub(super) fn remove_files(&self, dir: &StoreDir, name: &[u8]) -> Result<()> {
        remove_if_there(dir, &layout::sidecar_of(name), "delete: remove sidecar")?;
        failpoint::pass("delete: sidecar removed");
        remove_if_there(dir, name, "delete: remove value")
    }

    /// Moves a record: the value by one rename, then its new sidecar into place, then the old one away.
    pub(super) fn move_record(&self, rename: &RenameRecord<'_>) -> Result<()> {
        let (key, to_key) = (rename.from_key, rename.to_key);
        let from = self.store_dir(rename.from_store)?;
        let to = self.store_dir(rename.to_store)?;
        let _held =
            self.shared.key_locks.hold_both((rename.from_store, key), (rename.to_store, to_key));
        let (from_name, stat) = self.locate(&from, key)?;
        if rename.from_store == rename.to_store && key == to_key {
            return Ok(());
        }
        let dialect = self.dialect(&to)?;
        self.check(dialect, to_key)?;
        let names = Names::of(dialect, to_key);
        if !rename.replace && self.locate(&to, to_key).is_ok() {
            return Err(to.record_exists(to_key));
        }
        let session = self.session()?;
        let sidecar = match dialect {
            Dialect::Sidecars => {
                let of = (&*to, names.own.as_slice());
                let content_type = rename.content_type;
                self.stage_sidecar(of, to_key, content_type, &stat, (&session, None), false)?
            }
            Dialect::Js3 | Dialect::Plain => None,
        };
        let failed = |error: Errno| from.failed("rename", key, error);
        let note = match from.name.is_plain() {
            true => None,
            false => DeleteNote::of(&session, &from, &from_name, stat.st_ino).map_err(failed)?,
        };
        sidecar.as_ref().map_or(Ok(()), StagedFile::write_out).map_err(failed)?;
        failpoint::pass("rename: noted");
        let fresh = tree::has_file(&to.fd, &names.own) == Ok(false);
        let moved = failpoint::fail("rename: move value").and_then(|()| {
            staging::move_entry(&from.fd, &from_name, &to.fd, &names.own, rename.replace)
        });
        match moved {
            Err(Errno::EXIST) if !rename.replace => return Err(to.record_exists(to_key)),
            Err(Errno::NOENT) => return Err(from.no_record(key)),
            moved => moved.map_err(failed)?,
        }
        failpoint::pass("rename: value moved");
        if let Some(sidecar) = sidecar
            && let Err(error) = failpoint::fail("rename: move sidecar")
                .and_then(|()| sidecar.move_to(&to.fd, &layout::sidecar_of(&names.own), true))
        {
            // What was replaced is gone for good; where nothing was, all can be as before.
            let (own, old) = (&names.own, &from_name);
            if !fresh || staging::move_entry(&to.fd, own, &from.fd, old, false).is_err() {
                log::error!("record '{to_key}' of store '{}' stays without its type", to.name);
            }
            return Err(failed(error));
        }
        failpoint::pass("rename: sidecar moved");
        self.shared.unsynced.note(rename.to_store, &names.own);
        if !from.name.is_plain() {
            let sidecar = layout::sidecar_of(&from_name);
            remove_if_there(&from, &sidecar, "rename: remove old sidecar")?;
        }
        drop(note);
        let is_moved = |bare: &Vec<u8>| rename.from_store == rename.to_store && *bare == from_name;
        if let Some(bare) = names.bare.filter(|bare| !is_moved(bare)) {
            self.remove_files(&to, &bare)?;
        }
        Ok(())
    }

    /// Changes attributes of a value file through a descriptor, so that no link can be put in its place.
    pub(super) fn change_record(
        &self,
        dir: &StoreDir,
        key: &Key,
        change: &AttributeChange,
    ) -> Result<Attributes> {
        let (name, _) = self.locate(dir, key)?;
        let failed = |error: Errno| dir.failed("change attributes of", key, error);
        let file = match tree::open_file(&dir.fd, &name) {
            // Its owner may change a file that nobody may read.
            Err(Errno::ACCESS) => {
                let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                rustix::fs::openat(&dir.fd, name.as_slice(), flags, Mode::empty())
            }
            file => file,
        };
        let file = file.map_err(failed)?;
        staging::change_attributes(&file, change).map_err(failed)?;
        rustix::fs::fstat(&file).map(|stat| tree::attributes(&stat)).map_err(failed)
    }

    pub(super) fn check(&self, dialect: Dialect, key: &Key) -> Result<()> {
        if dialect == Dialect::Plain {
            return layout::check_file_name(key);
        }
        key.require_unicode()?;
        layout::check_value_name(&dialect.value_name(key), key)
    }
}

impl StoreDir {
    fn failed(&self, action: &str, key: &Key, error: impl Into<io::Error>) -> Error {
        Error::io(format!("{action} record '{key}' of store '{}'", self.name), error)
    }

    fn no_record(&self, key: &Key) -> Error {
        Error::NoSuchRecord { store: self.name.to_string(), key: key.to_string() }
    }

    fn record_exists(&self, key: &Key) -> Error {
        Error::RecordExists { store: self.name.to_string(), key: key.to_string() }
    }

    pub(super) fn no_store(&self) -> Error {
        Error::NoSuchStore { store: self.name.to_string() }
    }
}

/// A sidecar as it was read.
struct SidecarFile {
    text: Vec<u8>,
    /// What it says; `None` if it is damaged.
    sidecar: Option<Sidecar>,
    /// Of which file it was read; `None` if it is too large to be read.
    stamp: Option<Stamp>,
}

/// The sidecar as it is now: the one that was seen, if it is still there.
fn sidecar_now(
    dir: &StoreDir,
    name: &[u8],
    key: &Key,
    seen: Option<SidecarFile>,
) -> Result<Option<SidecarFile>> {
    let stamp = match tree::stat_file(&dir.fd, &layout::sidecar_of(name)) {
        Err(Errno::NOENT | Errno::NAMETOOLONG) => return Ok(None),
        stat => stat.map_err(|error| dir.failed("look for the sidecar of", key, error))?,
    };
    let stamp = tree::attributes(&stamp).stamp;
    match seen.filter(|file| file.stamp == Some(stamp)) {
        None => read_sidecar(dir, name, key),
        seen => Ok(seen),
    }
}

/// Reads a sidecar; `None` without one. That it is damaged is logged.
fn read_sidecar(dir: &StoreDir, name: &[u8], key: &Key) -> Result<Option<SidecarFile>> {
    let damaged = |reason: &str| {
        log::warn!("the sidecar of '{key}' in store '{}' is damaged: {reason}", dir.name);
    };
    match tree::read_small(&dir.fd, &layout::sidecar_of(name), sidecar::MAX_BYTES) {
        Ok(None) => Ok(None),
        Ok(Some((text, stat))) => {
            let sidecar = Sidecar::parse(&text).inspect_err(|reason| damaged(reason)).ok();
            let stamp = Some(tree::attributes(&stat).stamp);
            Ok(Some(SidecarFile { text, sidecar, stamp }))
        }
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            damaged("it is too large");
            Ok(Some(SidecarFile { text: Vec::new(), sidecar: None, stamp: None }))
        }
        // A name so long that it can have no sidecar.
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => Ok(None),
        Err(error) => Err(dir.failed("read the sidecar of", key, error)),
    }
}

pub(super) fn remove_if_there(dir: &StoreDir, name: &[u8], step: &str) -> Result<()> {
    let removed =
        failpoint::fail(step).and_then(|()| rustix::fs::unlinkat(&dir.fd, name, AtFlags::empty()));
    match removed {
        Ok(()) | Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(()),
        Err(error) => {
            let name = String::from_utf8_lossy(name);
            Err(Error::io(format!("remove '{name}' of store '{}'", dir.name), error))
        }
    }
}
