//! Putting a value and its sidecar into their places, beside programs that hold nothing off (P6).
//!
//! Processes of our own hold a record while they place it. An SDK moves its value into place, and a moment later its
//! sidecar, and may be anywhere in that meanwhile. What is found in a place is therefore exchanged with what comes
//! there: so it is known for certain, and can be put back.
//!
//! | the SDK's value | the SDK's sidecar | what is done |
//! | --- | --- | --- |
//! | before our look | after it | we wait for the sidecar before we begin (`records`) |
//! | between our look and our value | at any time | we wait for the sidecar before ours is placed |
//! | after our value | before our sidecar | the sidecar that we have taken out is put back |
//! | after our value | after our sidecar | ours is taken back, and the SDK's comes |
//!
//! Where two entries cannot be exchanged, each replaces what is there, and nothing is put back.

use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, RenameFlags, Stat};
use rustix::io::Errno;

use super::layout;
use super::staging::{StagedFile, move_entry};
use super::tree::{self, StoreDir};
use crate::failpoint;
use crate::model::Stamp;

/// An SDK that has placed a value places the sidecar within this time, unless it has died in between or the machine
/// is very busy.
pub(super) const SETTLING: Duration = Duration::from_millis(100);

/// How long between two looks for an SDK's sidecar.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

/// So often at most a file is put back that others replace over and over.
const PUT_BACK: usize = 16;

/// What was in a place when something was moved there.
#[derive(Clone, Copy)]
pub(super) enum Found {
    Nothing,
    /// This file, which has the name in the staging directory now.
    TakenOut(Stat),
    /// Something that is gone, since it could not be taken out.
    Replaced,
}

/// An entry of the staging directory.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) directory: BorrowedFd<'a>,
    pub(super) name: &'a [u8],
}

impl<'a> Entry<'a> {
    pub(super) fn of(staged: &'a StagedFile) -> Self {
        Self { directory: staged.session().directory().as_fd(), name: staged.name() }
    }

    pub(super) fn stat(&self) -> rustix::io::Result<Stat> {
        rustix::fs::statat(self.directory, self.name, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn move_to(&self, dir: &StoreDir, name: &[u8], replace: bool) -> rustix::io::Result<()> {
        move_entry(self.directory, self.name, &dir.fd, name, replace)
    }

    pub(super) fn exchange(&self, dir: &StoreDir, name: &[u8]) -> rustix::io::Result<()> {
        rustix::fs::renameat_with(self.directory, self.name, &dir.fd, name, RenameFlags::EXCHANGE)
    }

    fn swap_into(&self, dir: &StoreDir, name: &[u8], expects: bool) -> rustix::io::Result<Found> {
        let mut is_there = expects;
        loop {
            if is_there {
                match self.exchange(dir, name) {
                    Ok(()) => return self.taken_out(dir, name),
                    // It was removed meanwhile; or the directory was.
                    Err(Errno::NOENT) => {}
                    Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                        return self.move_to(dir, name, true).map(|()| Found::Replaced);
                    }
                    Err(error) => return Err(error),
                }
            }
            match self.move_to(dir, name, false) {
                Ok(()) => return Ok(Found::Nothing),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            if !tree::has_file(&dir.fd, name)? {
                // A link or the like gives way; a directory does not.
                return self.move_to(dir, name, true).map(|()| Found::Replaced);
            }
            is_there = true;
        }
    }

    /// What an exchange has taken out of a place; a directory goes back.
    fn taken_out(&self, dir: &StoreDir, name: &[u8]) -> rustix::io::Result<Found> {
        let stat = self.stat()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(Found::TakenOut(stat));
        }
        self.exchange(dir, name)?;
        Err(Errno::ISDIR)
    }

    /// Gives up the place for what was taken out of it, or for what others have put there since. `own` is the number of
    /// the file that was placed. Gives back false if others replace the file faster than it can be put back.
    pub(super) fn put_back(
        &self,
        dir: &StoreDir,
        name: &[u8],
        own: u64,
    ) -> rustix::io::Result<bool> {
        let mut placed = own;
        for _ in 0..PUT_BACK {
            let holding = self.stat()?.st_ino;
            match self.exchange(dir, name) {
                // It was removed: that came last.
                Err(Errno::NOENT) => return Ok(true),
                exchanged => exchanged?,
            }
            if self.stat()?.st_ino == placed {
                return Ok(true);
            }
            // Somebody's newer one was in the place, and goes back there.
            placed = holding;
        }
        Ok(false)
    }

    /// Takes a file out of the place where nothing was before it, unless others have put theirs there since.
    fn take_back(&self, dir: &StoreDir, name: &[u8], own: u64) -> rustix::io::Result<()> {
        match move_entry(&dir.fd, name, self.directory, self.name, true) {
            Err(Errno::NOENT) => return Ok(()),
            moved => moved?,
        }
        if self.stat()?.st_ino == own {
            return Ok(());
        }
        match self.move_to(dir, name, false) {
            // A still newer one has come.
            Err(Errno::EXIST) => Ok(()),
            moved => moved,
        }
    }

    /// Moves a sidecar into the place beside the value `name` whose inode number is `value`, and leaves the place to
    /// others if the value there is not that one any more. `own` is the sidecar's inode number. Gives back whether a file
    /// is left under the entry's name.
    pub(super) fn place_sidecar(
        &self,
        dir: &StoreDir,
        name: &[u8],
        value: u64,
        own: u64,
        expects: bool,
    ) -> rustix::io::Result<bool> {
        let sidecar = layout::sidecar_of(name);
        let found = self.swap_into(dir, &sidecar, expects)?;
        failpoint::pass("sidecar: placed");
        let now = match tree::stat_file(&dir.fd, name) {
            Err(Errno::NOENT) => None,
            stat => Some(stat?.st_ino),
        };
        match (now, found) {
            (Some(now), _) if now == value => Ok(matches!(found, Found::TakenOut(_))),
            (Some(_), Found::TakenOut(_)) => self.put_back(dir, &sidecar, own).map(|_| true),
            // What was taken out was the sidecar of a record that is gone.
            (None, Found::TakenOut(_)) | (_, Found::Nothing) => {
                self.take_back(dir, &sidecar, own).map(|()| true)
            }
            (_, Found::Replaced) => Ok(false),
        }
    }
}

/// Moves a value that is on the medium to its place. A file that was there is kept under the staged file's name, and
/// removed with it.
pub(super) fn place_value(
    staged: &StagedFile,
    dir: &StoreDir,
    name: &[u8],
    expects: bool,
) -> rustix::io::Result<Found> {
    let found = Entry::of(staged).swap_into(dir, name, expects)?;
    staged.has_left(!matches!(found, Found::TakenOut(_)));
    Ok(found)
}

/// Undoes [`place_value`].
pub(super) fn take_value_back(
    staged: &StagedFile,
    dir: &StoreDir,
    name: &[u8],
    found: Found,
) -> rustix::io::Result<()> {
    match found {
        Found::Nothing => staged.take_back(&dir.fd, name),
        Found::TakenOut(_) => Entry::of(staged).exchange(dir, name),
        Found::Replaced => Err(Errno::NOENT),
    }
}

/// Moves a sidecar that is on the medium beside its value, whose inode number is `value`.
pub(super) fn place_sidecar(
    staged: &StagedFile,
    dir: &StoreDir,
    name: &[u8],
    value: u64,
    expects: bool,
) -> rustix::io::Result<()> {
    let own = rustix::fs::fstat(staged.file())?.st_ino;
    let is_left = Entry::of(staged).place_sidecar(dir, name, value, own, expects)?;
    staged.has_left(!is_left);
    Ok(())
}

/// Waits until the sidecar of a value is another than the one that was seen, if it comes soon.
pub(super) fn wait_for_sidecar(
    dir: &StoreDir,
    name: &[u8],
    seen: Option<Stamp>,
) -> rustix::io::Result<()> {
    let sidecar = layout::sidecar_of(name);
    failpoint::pass("sidecar: awaited");
    let begun = Instant::now();
    while begun.elapsed() < SETTLING {
        let now = match tree::stat_file(&dir.fd, &sidecar) {
            Err(Errno::NOENT) => None,
            stat => Some(tree::attributes(&stat?).stamp),
        };
        if now != seen {
            break;
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
