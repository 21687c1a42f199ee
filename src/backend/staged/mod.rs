//! Bytes that are written and not yet published (P3): one local file, wherever they will go.
//!
//! Who writes needs all that a file can: any offset, holes, a length, owner and mode. No storage across a network can
//! give that, so every backend stages in a file of this machine, and differs only in where that is and what becomes of it
//! ([`StagedPlace`]). To publish is the backend's ([`Backend::publish`](super::Backend::publish)).
//!
//! What goes on from a version that is far ([`Value::is_far`]) fetches nothing of it at first: bytes that nobody has changed
//! stay there, and are read from there. `base` says which those are, and why nobody ever sees anything else.

mod base;
mod copying;
mod far;
mod place;
mod ranges;

use std::any::Any;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use base::Base;
pub use base::Kept;
pub use place::{Partial, StagedPlace, Unnamed};

use super::local_file::{self, write_all_at};
use super::unpublished::StagedFor;
use super::versions::Value;
use crate::failpoint;
use crate::model::{AttributeChange, Attributes, Error, Result, Unpublished};

/// So many zeros are written at a time where there are no holes.
const ZEROS: [u8; 4096] = [0; 4096];

/// Bytes in a unit of [`Attributes::blocks`].
const BLOCK: u64 = 512;

/// A version of a record in the making, visible to nobody but its writers until it is published. Dropping it discards
/// it.
#[derive(Debug)]
pub struct Staged {
    file: Arc<OwnedFd>,
    /// The most bytes that it may have.
    limit: u64,
    place: Box<dyn StagedPlace>,
    /// Boxed, since what is staged comes back with each error of a publish, which should not be large.
    state: Box<State>,
}

/// What changes while bytes are staged, besides the file.
#[derive(Debug, Default)]
struct State {
    /// Whether the modification time was set by hand, so that publishing keeps it.
    is_dated: AtomicBool,
    base: Base,
}

impl Staged {
    /// Bytes staged in a file that is open for reading and writing, and empty. It never has more than `limit` bytes
    /// where that is given.
    pub fn new(
        file: impl Into<Arc<OwnedFd>>,
        limit: Option<u64>,
        place: Box<dyn StagedPlace>,
    ) -> Self {
        let limit = limit.unwrap_or(u64::MAX);
        Self { file: file.into(), limit, place, state: Box::default() }
    }

    /// The file. Who publishes may take it for the new version's. It holds all bytes, unless its place lets it be partial
    /// ([`StagedPlace::may_be_partial`]): then those that are [kept](Self::kept) are missing.
    #[must_use]
    pub fn file(&self) -> &Arc<OwnedFd> {
        &self.file
    }

    /// What its backend knows of it, if that is of this type: else another backend has staged it.
    #[must_use]
    pub fn place<P: StagedPlace>(&self) -> Option<&P> {
        let place: &dyn Any = &*self.place;
        place.downcast_ref()
    }

    /// The same bytes in another place, which is made of the one before: for a backend that wraps another.
    #[must_use]
    pub fn with_place(
        self,
        change: impl FnOnce(Box<dyn StagedPlace>) -> Box<dyn StagedPlace>,
    ) -> Self {
        Self { place: change(self.place), ..self }
    }

    /// Reads back at an offset; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// [`Error::Io`]; for bytes that are still in a far version, what reading that fails with.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if let Some(kept) = self.state.base.kept(offset..offset.saturating_add(buffer.len() as u64))
        {
            return self.read_both(&kept, buffer, offset);
        }
        local_file::read_at(&*self.file, buffer, offset).map_err(|error| failed("read", error))
    }

    /// Where the next bytes begin that may be other than zero, as [`Value::next_data`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn next_data(&self, offset: u64) -> Result<u64> {
        self.next_data_of_both(offset).map_err(|error| failed("look for the holes of", error))
    }

    /// Where the next hole begins, as [`Value::next_hole`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn next_hole(&self, offset: u64) -> Result<u64> {
        self.next_hole_of_both(offset).map_err(|error| failed("look for the holes of", error))
    }

    /// Makes zeros of `len` bytes from `offset`, and a hole where the file system has such. The value's length stays:
    /// what lies behind its end is passed over.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn zero(&self, offset: u64, len: u64) -> Result<()> {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let range = offset..offset.saturating_add(len);
        match self
            .state
            .base
            .change(range, || rustix::fs::fallocate(&*self.file, hole, offset, len))
        {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.write_zeros(offset, len),
            punched => punched.map_err(|error| failed("punch a hole into", error)),
        }
    }

    fn write_zeros(&self, offset: u64, len: u64) -> Result<()> {
        let end = offset.saturating_add(len).min(self.attributes()?.size);
        let mut at = offset;
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(ZEROS.len()).min(ZEROS.len());
            self.write_at(ZEROS.get(..most).unwrap_or_default(), at)?;
            at += most as u64;
        }
        Ok(())
    }

    /// Writes all of `data` at an offset.
    ///
    /// # Errors
    /// [`Error::Io`], such as ENOSPC; EFBIG over the most bytes that the storage keeps.
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        let end = offset.saturating_add(data.len() as u64);
        self.refuse_over_limit(end)?;
        failpoint::fail("stage: write")
            .and_then(|()| {
                let write = || write_all_at(&*self.file, data, offset);
                self.with_room(|| self.state.base.change(offset..end, write))
            })
            .and_then(|()| self.place.written(end))
            .map_err(|error| failed("write", error))
    }

    /// Cuts or extends with zeroes. What is cut off does not come back.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_len(&self, len: u64) -> Result<()> {
        self.refuse_over_limit(len)?;
        failpoint::fail("stage: truncate")
            .and_then(|()| {
                self.state.base.change(len..u64::MAX, || rustix::fs::ftruncate(&*self.file, len))
            })
            .map_err(|error| failed("truncate", error))
    }

    /// Reserves room for `len` bytes from `offset`, extending the value unless `keep_size`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn reserve(&self, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        self.refuse_over_limit(offset.saturating_add(len))?;
        let flags = if keep_size { FallocateFlags::KEEP_SIZE } else { FallocateFlags::empty() };
        self.with_room(|| rustix::fs::fallocate(&*self.file, flags, offset, len))
            .map_err(|error| failed("reserve room for", error))
    }

    /// Does something again as long as there is no room for it and some can be made.
    fn with_room(&self, act: impl Fn() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
        loop {
            match act() {
                Err(Errno::NOSPC | Errno::DQUOT) if self.place.make_room() => {}
                done => return done,
            }
        }
    }

    /// Begins with the first `len` bytes of a published version, and with its owner and mode. They are copied, or, if the
    /// version is far and this place lets bytes be missing, left where they are until somebody asks for them. Not while
    /// others write.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin_with(&self, value: &Arc<dyn Value>, len: u64) -> Result<()> {
        self.place.admit(&**value)?;
        if value.is_far() && self.place.may_be_partial() {
            self.go_on_from(value, len)
        } else {
            copying::begin_with(self, &**value, len)
        }
    }

    /// Copies the first `len` bytes of a version, of whichever storage, and nothing else of it. Gives back whether it has so
    /// many.
    ///
    /// # Errors
    /// [`Error::Io`], and what reading the version fails with.
    pub fn copy_from(&self, value: &dyn Value, len: u64) -> Result<bool> {
        self.refuse_over_limit(len)?;
        copying::copy(self, value, len)
    }

    /// Changes owner, mode and times; they pass to the published version, as far as the storage keeps them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_attributes(&self, change: &AttributeChange) -> Result<()> {
        local_file::change_attributes(&*self.file, change)
            .map_err(|error| failed("change attributes of", error))?;
        if change.modified.is_some() {
            self.state.is_dated.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the modification time was set by hand, and is to be that of the published version.
    #[must_use]
    pub fn is_dated(&self) -> bool {
        self.state.is_dated.load(Ordering::Relaxed)
    }

    /// Attributes of what is staged. What is missing in the file takes room all the same: some programs take a file without
    /// blocks for one hole.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn attributes(&self) -> Result<Attributes> {
        rustix::fs::fstat(&*self.file)
            .map(|stat| {
                let own = local_file::attributes(&stat);
                Attributes { blocks: own.blocks + self.state.base.count().div_ceil(BLOCK), ..own }
            })
            .map_err(|error| failed("look at", error))
    }

    /// The staged bytes are another record's from now on; with `None` nobody's any more, and not kept aside.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn belongs_to(&mut self, record: Option<&StagedFor<'_>>) -> Result<()> {
        self.place.belongs_to(record)
    }

    /// Keeps the staged bytes aside, since their process is about to end. `None` if there is nothing to keep: no bytes,
    /// or those that are published, or a backend that cannot. They are not to be published afterwards.
    ///
    /// # Errors
    /// [`Error::Io`]; then the bytes are where they were.
    pub fn keep_aside(&mut self) -> Result<Option<Unpublished>> {
        self.place.keep_aside()
    }

    fn refuse_over_limit(&self, end: u64) -> Result<()> {
        if end > self.limit { Err(failed("extend", Errno::FBIG)) } else { Ok(()) }
    }
}

fn failed(action: &str, error: Errno) -> Error {
    Error::io(format!("{action} a staging file"), error)
}
