//! Boxes of purges whose records are kept: `.storefs/purged/<id>`, with a label that says until when.
//!
//! Whoever works on a box holds its lock: who purges from before the box is there until all is counted, who undoes, and who
//! ends it. A box that nobody holds is a purge that can be undone if it has a label and the old directory of a store. To end
//! one is to remove the label, in one step; what is left then is removed by whoever comes by, as is a box whose process
//! died before the purge.

use std::io;

use jiff::Timestamp;
use rustix::fs::{AtFlags, FlockOperation, Mode};
use rustix::io::Errno;

use super::purge_label::{Aim, Keeping, LABEL, Label, RECORDS};
use super::removal::remove_tree;
use super::tree::{self, Directory};
use crate::failpoint;
use crate::model::KeptCount;

/// The directory in `.storefs`.
pub(super) const PURGED: &str = "purged";

/// Once the store has all that is its own, and what is kept is counted: a link to the counts.
const COUNTED: &str = "counted";

/// So often the directory is made anew that another process removes because it has become empty.
const ATTEMPTS: u32 = 8;

/// At least this much stays free of a disk, in bytes, or the part below if that is less: else what is kept goes.
const LEAST_FREE: u64 = 1 << 30;

/// This part of a disk.
const LEAST_FREE_PART: u64 = 20;

/// A box, held by this process as long as its directory is open.
#[derive(Debug)]
pub(super) struct KeptBox {
    private: Directory,
    purged: Directory,
    pub(super) name: String,
    directory: Directory,
}

/// What a label says of a box.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) label: Label,
    pub(super) keeping: Keeping,
    /// `None` as long as somebody counts, or has died over it.
    pub(super) counted: Option<KeptCount>,
}

impl KeptBox {
    /// Takes a box in hand. `None` if it is gone; or, unless this waits, if somebody else has it.
    pub(super) fn take(
        private: &Directory,
        name: &str,
        waits: bool,
    ) -> rustix::io::Result<Option<Self>> {
        let Some(purged) = open(private)? else { return Ok(None) };
        let directory = match tree::open_dir(&purged, name) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            directory => directory?,
        };
        let how = match waits {
            true => FlockOperation::LockExclusive,
            false => FlockOperation::NonBlockingLockExclusive,
        };
        match rustix::fs::flock(&directory, how) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            locked => locked?,
        }
        // It may have been removed before it was locked.
        let is_there = match rustix::fs::statat(&purged, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => false,
            stat => stat?.st_ino == rustix::fs::fstat(&directory)?.st_ino,
        };
        let private = private.try_clone()?;
        Ok(is_there.then(|| Self { private, purged, name: name.to_owned(), directory }))
    }

    /// Its directory. Clones of it hold the box, too.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What is kept in it. `None` if nothing is that could come back.
    pub(super) fn kept(&self) -> io::Result<Option<Kept>> {
        read(&self.directory, &self.name)
    }

    /// From here on the purge can be undone no more.
    pub(super) fn end(&self) -> rustix::io::Result<()> {
        match rustix::fs::unlinkat(&self.directory, LABEL, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        failpoint::pass("keep: ended");
        Ok(())
    }

    /// Removes the box with all that is in it, of which the label goes first.
    pub(super) fn remove(&self) -> rustix::io::Result<()> {
        self.end()?;
        remove_tree(&self.purged, self.name.as_bytes())?;
        forget_if_empty(&self.private);
        Ok(())
    }
}

/// Removes the directory of all boxes if there is none.
pub(super) fn forget_if_empty(private: &Directory) {
    // That fails as long as one is in there.
    let _ = rustix::fs::unlinkat(private, PURGED, AtFlags::REMOVEDIR);
}

/// Moves a labelled box, whose directory is locked, to those that are kept.
pub(super) fn keep(
    private: &Directory,
    (parent, own): (&Directory, &str),
    name: &str,
) -> rustix::io::Result<Directory> {
    let mut attempt = 1;
    loop {
        match rustix::fs::mkdirat(private, PURGED, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let moved = tree::open_dir(private, PURGED).and_then(|purged| {
            rustix::fs::renameat(parent, own, &purged, name)?;
            Ok(purged)
        });
        match moved {
            Err(Errno::NOENT) if attempt < ATTEMPTS => attempt += 1,
            moved => return moved,
        }
    }
}

/// Notes that the store has what is its own, and how much is kept.
pub(super) fn note_count(directory: &Directory, count: KeptCount) -> rustix::io::Result<()> {
    let text = format!("{},{}", count.removed, count.bytes);
    match rustix::fs::symlinkat(text, directory, COUNTED) {
        Err(Errno::EXIST) => Ok(()),
        noted => noted,
    }
}

/// All boxes, by name.
pub(super) fn names(private: &Directory) -> io::Result<Vec<String>> {
    let Some(purged) = open(private)? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in tree::entries(&purged)? {
        names.extend(String::from_utf8(entry?.0).ok());
    }
    Ok(names)
}

/// All that is kept, the oldest first, whoever has a box in hand.
pub(super) fn list(private: &Directory) -> io::Result<Vec<Kept>> {
    let Some(purged) = open(private)? else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for name in names(private)? {
        if let Ok(directory) = tree::open_dir(&purged, &name) {
            all.extend(read(&directory, &name)?);
        }
    }
    all.sort_by(|one, other| (one.keeping.at, &one.name).cmp(&(other.keeping.at, &other.name)));
    Ok(all)
}

/// The old directory in a box that is kept.
pub(super) fn records(private: &Directory, name: &str) -> rustix::io::Result<Option<Directory>> {
    let Some(purged) = open(private)? else { return Ok(None) };
    match tree::open_dir(&purged, name).and_then(|kept| tree::open_dir(&kept, RECORDS)) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        records => records.map(Some),
    }
}

/// Ends the oldest that nobody has in hand, for its room. Gives back whether there was one.
pub(super) fn make_room(private: &Directory) -> bool {
    let ended = list(private).and_then(|all| {
        for kept in all {
            if let Some(kept_box) = KeptBox::take(private, &kept.name, false)? {
                log::warn!(
                    "room is short: what was purged from store '{}' at {:.0} is kept no longer",
                    kept.label.store,
                    kept.keeping.at
                );
                kept_box.remove()?;
                return Ok(true);
            }
        }
        Ok(false)
    });
    ended.unwrap_or_else(|error| {
        log::warn!("what is kept of purges cannot make room: {error}");
        false
    })
}

/// Ends what is kept, the oldest first, until enough of the disk is free.
pub(super) fn leave_room(private: &Directory) -> rustix::io::Result<()> {
    loop {
        let disk = rustix::fs::fstatvfs(private)?;
        let least = LEAST_FREE.min((disk.f_blocks / LEAST_FREE_PART).saturating_mul(disk.f_frsize));
        let is_free = disk.f_bavail.saturating_mul(disk.f_frsize) >= least;
        if is_free || !make_room(private) {
            return Ok(());
        }
    }
}

/// Does something again as long as it fails for want of room and something is kept that can make some.
pub(super) fn with_room<T>(
    private: &Directory,
    act: impl Fn() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    loop {
        match act() {
            Err(Errno::NOSPC | Errno::DQUOT) if make_room(private) => {}
            done => return done,
        }
    }
}

impl Kept {
    /// Whether it is over by now.
    pub(super) fn is_over(&self) -> bool {
        self.keeping.until <= Timestamp::now()
    }
}

fn open(private: &Directory) -> rustix::io::Result<Option<Directory>> {
    match tree::open_dir(private, PURGED) {
        // What nobody lets us see, nobody lets us undo.
        Err(Errno::NOENT | Errno::ACCESS) => Ok(None),
        purged => purged.map(Some),
    }
}

fn read(directory: &Directory, name: &str) -> io::Result<Option<Kept>> {
    let Some(label) = Label::read(directory)? else { return Ok(None) };
    let Aim::Keep(keeping) = label.aim.clone() else { return Ok(None) };
    let is_purged = match rustix::fs::statat(directory, RECORDS, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => false,
        stat => stat?.st_ino == label.old,
    };
    let counted = rustix::fs::readlinkat(directory, COUNTED, Vec::new()).ok();
    let counted = counted.and_then(|text| read_count(text.to_str().ok()?));
    Ok(is_purged.then(|| Kept { name: name.to_owned(), label, keeping, counted }))
}

fn read_count(text: &str) -> Option<KeptCount> {
    let (removed, bytes) = text.split_once(',')?;
    Some(KeptCount { removed: removed.parse().ok()?, bytes: bytes.parse().ok()? })
}
