//! Bytes that are written and not yet visible: files in a `.storefs` (`places`), moved into place at once (P9).
//!
//! Each process has a directory of its own there, made at its first write and held by an `flock`. A directory
//! whose lock nobody holds was left by a process that died, and is removed by the next one that stages.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, FlockOperation, Gid, Mode, OFlags};
use rustix::io::Errno;

use super::kept_box::with_room;
use super::note::{self, Object, Step};
use super::process_locks::ProcessLocks;
use super::staged_name::{link_name, staged_name};
use super::tree::Directory;
use super::volume::Volume;
use super::{layout, tree, write_out};
use crate::backend::StagedFor;
pub(super) use crate::backend::local_file::{
    change_attributes, next_data, next_hole, read_at, set_modified,
};
use crate::backend::local_file::{owner, times, write_all_at};
use crate::failpoint;
use crate::model::{AttributeChange, Error, Result};

/// The directory of this process for what it stages on one volume.
#[derive(Debug)]
pub(super) struct Session {
    /// The `.storefs` that it is in.
    private: Arc<Directory>,
    volume: Volume,
    /// Our directory in it; the descriptor carries the lock.
    directory: Directory,
    name: String,
    next: AtomicU64,
    locks: ProcessLocks,
}

impl Session {
    /// Makes the directory of this process in the `.storefs` of a directory, which is made too.
    pub(super) fn make(parent: &Directory) -> io::Result<Self> {
        failpoint::fail("session: make")?;
        match rustix::fs::mkdirat(parent, layout::PRIVATE, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let private = Arc::new(tree::open_dir(parent, layout::PRIVATE)?);
        let volume = Volume::of(&private)?;
        loop {
            let name = format!("{}-{:08x}", std::process::id(), random()?);
            rustix::fs::mkdirat(&private, name.as_str(), Mode::from_raw_mode(0o700))?;
            // Another process may take it for abandoned, and remove it, before it is locked.
            let directory = match tree::open_dir(&private, &name) {
                Err(Errno::NOENT) => continue,
                directory => directory?,
            };
            failpoint::pass("session: directory made");
            rustix::fs::flock(&directory, FlockOperation::LockExclusive)?;
            let next = AtomicU64::new(0);
            let locks = ProcessLocks::open(&private);
            let private = Arc::clone(&private);
            let session = Self { private, volume, directory, name, next, locks };
            if session.is_linked() {
                return Ok(session);
            }
        }
    }

    /// The session of a dead process, for whoever has locked its directory and heals it. Nothing that is in there goes
    /// with this.
    pub(super) fn take_over(
        (private, name): (&Arc<Directory>, &str),
        directory: &Directory,
    ) -> io::Result<Self> {
        /// More files than any process makes: the new ones get other names.
        const BEHIND: u64 = 1 << 63;
        Ok(Self {
            private: Arc::clone(private),
            volume: Volume::of(private)?,
            directory: directory.try_clone()?,
            name: name.to_owned(),
            next: AtomicU64::new(BEHIND),
            locks: ProcessLocks::open(private),
        })
    }

    /// Whether the directory is still the one under its name; someone may have removed `.storefs` by hand.
    pub(super) fn is_linked(&self) -> bool {
        let linked =
            rustix::fs::statat(&self.private, self.name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        match (linked, rustix::fs::fstat(&self.directory)) {
            (Ok(linked), Ok(own)) => linked.st_ino == own.st_ino && linked.st_dev == own.st_dev,
            _ => false,
        }
    }

    /// A name that nothing in the directory has.
    pub(super) fn next_name(&self) -> String {
        self.next_serial().to_string()
    }

    fn next_serial(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A name for a note of what is under way.
    pub(super) fn note_name(
        &self,
        step: Step,
        object: &Object,
        text: Option<&[u8]>,
        subject: &[u8],
    ) -> Vec<u8> {
        note::note_name(self.next_serial(), step, object, text, subject)
    }

    /// Makes an empty file.
    pub(super) fn create(self: &Arc<Self>) -> Result<StagedFile> {
        self.create_as(self.next_name().into_bytes())
    }

    /// Makes an empty file that tells whose bytes it will hold.
    pub(super) fn create_for(self: &Arc<Self>, of: &StagedFor<'_>) -> Result<StagedFile> {
        let (name, link) =
            self.name_for(of).map_err(|error| Error::io("note a staging file", error))?;
        let mut file = self.create_as(name)?;
        file.link = link;
        Ok(file)
    }

    /// A name that tells a record, and the link that was made where it cannot.
    fn name_for(
        self: &Arc<Self>,
        of: &StagedFor<'_>,
    ) -> rustix::io::Result<(Vec<u8>, Option<RecordLink>)> {
        let serial = self.next_serial();
        let (name, target) = staged_name(serial, of);
        let Some(target) = target else { return Ok((name, None)) };
        let link = link_name(serial);
        match rustix::fs::symlinkat(target.as_slice(), &self.directory, &link) {
            Ok(()) => Ok((name, Some(RecordLink { session: Arc::clone(self), name: link }))),
            // A path of directories that no link can hold: the bytes are nobody's.
            Err(Errno::NAMETOOLONG) => Ok((self.next_name().into_bytes(), None)),
            Err(error) => Err(error),
        }
    }

    /// Makes an empty file under a name of its own, such as that of a note.
    pub(super) fn create_as(self: &Arc<Self>, name: Vec<u8>) -> Result<StagedFile> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let make = || rustix::fs::openat(&self.directory, name.as_slice(), flags, mode);
        let file = with_room(&self.private, make)
            .map_err(|error| Error::io("make a staging file", error))?;
        let state = StagedState::default();
        Ok(StagedFile { session: Arc::clone(self), file: Arc::new(file), name, link: None, state })
    }

    /// Makes an empty directory, to be moved into place when it is complete.
    pub(super) fn create_dir(&self) -> rustix::io::Result<(String, Directory)> {
        failpoint::fail("stage: make a directory")?;
        let name = self.next_name();
        rustix::fs::mkdirat(&self.directory, name.as_str(), Mode::from_raw_mode(0o777))?;
        let directory = tree::open_dir(&self.directory, &name)?;
        Ok((name, directory))
    }

    /// What holds off other processes from a record.
    pub(super) fn locks(&self) -> &ProcessLocks {
        &self.locks
    }

    /// The volume within which what is staged can be moved.
    pub(super) fn volume(&self) -> &Volume {
        &self.volume
    }

    /// Whether the session is in the `.storefs` of this directory.
    pub(super) fn is_in(&self, parent: &Directory) -> bool {
        let private = rustix::fs::statat(parent, layout::PRIVATE, AtFlags::SYMLINK_NOFOLLOW);
        match (private, rustix::fs::fstat(&self.private)) {
            (Ok(private), Ok(own)) => (private.st_dev, private.st_ino) == (own.st_dev, own.st_ino),
            _ => false,
        }
    }

    /// The `.storefs` that the session is in.
    pub(super) fn private(&self) -> &Arc<Directory> {
        &self.private
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What the directory is called in `.storefs`.
    pub(super) fn directory_name(&self) -> &str {
        &self.name
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nothing is staged any more, since every staged file holds its session. What is in there all the same could
        // not be put in its place, and waits for the next start to heal it: so not with all that is in it.
        self.locks.close(&self.private);
        if self.is_linked() {
            let name = self.name.as_str();
            let _ = rustix::fs::unlinkat(&*self.private, name, AtFlags::REMOVEDIR);
        }
    }
}

fn random() -> io::Result<u32> {
    getrandom::u32().map_err(io::Error::from)
}

/// So many bytes are left to the system before they begin to go to the medium.
const WRITE_OUT_EVERY: u64 = 8 * 1024 * 1024;

/// A file in the staging directory. Dropped before it is published, it is removed.
#[derive(Debug)]
pub(super) struct StagedFile {
    session: Arc<Session>,
    file: Arc<OwnedFd>,
    name: Vec<u8>,
    /// What tells the record, where the name cannot.
    link: Option<RecordLink>,
    state: StagedState,
}

/// A link in the staging directory that tells whose bytes a file holds; goes with this.
#[derive(Debug)]
struct RecordLink {
    session: Arc<Session>,
    name: String,
}

impl Drop for RecordLink {
    fn drop(&mut self) {
        let name = self.name.as_str();
        if let Err(error) = rustix::fs::unlinkat(&self.session.directory, name, AtFlags::empty()) {
            log::debug!("what tells a record stays until the next start: {error}");
        }
    }
}

#[derive(Debug, Default)]
struct StagedState {
    /// Whether the file has been moved into a store, and nothing is left under its name.
    published: AtomicBool,
    /// Up to where the bytes are on their way to the medium, as far as they were written one after the other.
    behind: AtomicU64,
}

impl StagedFile {
    pub(super) fn file(&self) -> &Arc<OwnedFd> {
        &self.file
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The session in whose directory the file is.
    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> rustix::io::Result<()> {
        with_room(&self.session.private, || write_all_at(&*self.file, bytes, offset))
    }

    /// Makes the bytes durable, and the times too.
    pub(super) fn sync(&self) -> rustix::io::Result<()> {
        rustix::fs::fsync(&*self.file)
    }

    /// Dates the file: its modification time is the moment of publication.
    pub(super) fn date(&self) -> rustix::io::Result<()> {
        // Our own clock, not the system's "now": that moves in ticks of milliseconds, and two versions of a record
        // that was removed in between could get one stamp.
        set_modified(&*self.file, SystemTime::now())
    }

    /// Bytes up to `end` have been written: begins to write them to the medium if they are many, so that a close does
    /// not wait for all of them.
    pub(super) fn write_out_behind(&self, end: u64) -> rustix::io::Result<()> {
        let behind = self.state.behind.load(Ordering::Relaxed);
        if end < behind.saturating_add(WRITE_OUT_EVERY) {
            return Ok(());
        }
        self.state.behind.store(end, Ordering::Relaxed);
        write_out::begin_range(&*self.file, behind..end)
    }

    /// Begins to write the bytes to the medium.
    pub(super) fn begin_write_out(&self) -> rustix::io::Result<()> {
        write_out::begin(&*self.file)
    }

    /// Waits until the bytes are on the medium. What is moved without that may lose its bytes, and keep its name.
    pub(super) fn write_out(&self) -> rustix::io::Result<()> {
        write_out::finish(&*self.file)
    }

    /// Moves the file, which is [written out](Self::write_out) or synced, into a store in one step.
    pub(super) fn move_to(
        &self,
        directory: impl AsFd,
        name: &[u8],
        replace: bool,
    ) -> rustix::io::Result<()> {
        let (from, to) = (&self.session.directory, directory.as_fd());
        with_room(&self.session.private, || move_entry(from, &self.name, to, name, replace))?;
        self.has_left(true);
        Ok(())
    }

    /// Notes whether the staging directory has nothing under the file's name any more.
    pub(super) fn has_left(&self, has_left: bool) {
        self.state.published.store(has_left, Ordering::Relaxed);
    }

    /// The bytes are those of another record from now on, or nobody's.
    pub(super) fn belongs_to(&mut self, of: Option<&StagedFor<'_>>) -> rustix::io::Result<()> {
        let (name, link) = match of {
            Some(of) => self.session.name_for(of)?,
            None => (self.session.next_name().into_bytes(), None),
        };
        let directory = &self.session.directory;
        rustix::fs::renameat(directory, self.name.as_slice(), directory, name.as_slice())?;
        self.name = name;
        self.link = link;
        Ok(())
    }

    /// Takes back a file that [`move_to`](Self::move_to) has moved.
    pub(super) fn take_back(&self, directory: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
        move_entry(directory, name, &self.session.directory, &self.name, false)?;
        self.has_left(false);
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.state.published.load(Ordering::Relaxed) {
            let directory = &self.session.directory;
            let name = self.name.as_slice();
            let removed = rustix::fs::unlinkat(directory, name, AtFlags::empty());
            // What others have put in its place was given back to them.
            if let Err(error) = removed
                && error != Errno::NOENT
            {
                log::warn!("a staging file stays until the next start: {error}");
            }
        }
    }
}

/// Moves a directory entry; with `replace` false, fails with `EEXIST` if the target is there.
pub(super) fn move_entry(
    from: impl AsFd,
    from_name: &[u8],
    to: impl AsFd,
    to_name: &[u8],
    replace: bool,
) -> rustix::io::Result<()> {
    use rustix::fs::RenameFlags;
    if replace {
        return rustix::fs::renameat(from, from_name, to, to_name);
    }
    let (from, to) = (from.as_fd(), to.as_fd());
    match rustix::fs::renameat_with(from, from_name, to, to_name, RenameFlags::NOREPLACE) {
        // A file system that does not know the flag: the check and the move are two steps there.
        Err(Errno::INVAL) => match rustix::fs::statat(to, to_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => rustix::fs::renameat(from, from_name, to, to_name),
            Err(error) => Err(error),
        },
        other => other,
    }
}

/// Gives what was staged the group that the system gives what is made in a directory that is set-group-id: the
/// directory's, and to a directory that bit too. Who may not give a file to that group keeps it as it is.
pub(super) fn inherit_group(staged: impl AsFd, directory: impl AsFd) -> rustix::io::Result<()> {
    const SET_GROUP_ID: u32 = 0o2000;
    let directory = rustix::fs::fstat(directory)?;
    if directory.st_mode & SET_GROUP_ID == 0 {
        return Ok(());
    }
    let staged = staged.as_fd();
    let made = rustix::fs::fstat(staged)?;
    if made.st_gid != directory.st_gid {
        let group = Gid::from_raw(directory.st_gid);
        if let Err(error) = rustix::fs::fchown(staged, None, Some(group)) {
            log::debug!("the group {} of the directory is not given: {error}", directory.st_gid);
        }
    }
    if !tree::is_plain(&made) {
        rustix::fs::fchmod(staged, Mode::from_raw_mode(made.st_mode & 0o7777 | SET_GROUP_ID))?;
    }
    Ok(())
}

/// Changes owner, mode and times of a plain file through a descriptor, so that no link can be put in its place. Gives back
/// the descriptor.
pub(super) fn change_named(
    parent: &Directory,
    name: &[u8],
    change: &AttributeChange,
) -> rustix::io::Result<OwnedFd> {
    match tree::open_file(parent, name) {
        // Its owner may change a file that nobody may open.
        Err(Errno::ACCESS) => {
            let file = tree::open_path(parent, name)?;
            change_attributes_by_path(&file, change)?;
            Ok(file)
        }
        file => {
            let file = file?;
            change_attributes(&file, change)?;
            Ok(file)
        }
    }
}

/// The same for a descriptor that opens nothing (`O_PATH`).
pub(super) fn change_attributes_by_path(
    file: &OwnedFd,
    change: &AttributeChange,
) -> rustix::io::Result<()> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    if let Some((uid, gid)) = owner(change) {
        rustix::fs::chownat(CWD, &path, uid, gid, AtFlags::empty())?;
    }
    if let Some(mode) = change.mode {
        let mode = Mode::from_raw_mode(mode & 0o7777);
        rustix::fs::chmodat(CWD, &path, mode, AtFlags::empty())?;
    }
    if let Some(times) = times(change) {
        rustix::fs::utimensat(CWD, &path, &times, AtFlags::empty())?;
    }
    Ok(())
}
