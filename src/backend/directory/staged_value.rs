//! A version of a record in the making (P3).

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::records::FileValue;
use super::staging::{self, Session, StagedFile, change_attributes, next_data, next_hole, read_at};
use super::state::DirectoryBackend;
use super::tree;
use super::volume::Volume;
use crate::backend::{Publish, PublishError, StagedFor, Staging, Value};
use crate::failpoint;
use crate::model::{
    AttributeChange, Attributes, Error, Result, StoreName, TimeChange, Unpublished,
};

/// A value being staged in a directory storage.
#[derive(Debug)]
pub(super) struct StagedValue {
    pub(super) backend: DirectoryBackend,
    pub(super) staged: StagedFile,
    /// Whether it is to be published.
    pub(super) has_place: bool,
}

impl DirectoryBackend {
    /// Begins to stage for a store, in a file that `make` makes; without one, what is published nowhere.
    pub(super) fn stage_by(
        &self,
        store: Option<&StoreName>,
        make: impl Fn(&Arc<Session>) -> Result<StagedFile>,
    ) -> Result<Box<dyn Staging>> {
        let dir = match store.map(|store| self.unguarded_store_dir(store)) {
            // Who writes into a store that is gone learns of it when that is published.
            None | Some(Err(Error::NoSuchStore { .. })) => None,
            Some(dir) => Some(dir?),
        };
        let session = match &dir {
            Some(dir) => self.known_session(dir)?,
            None => self.any_session()?,
        };
        failpoint::fail("stage: create")
            .map_err(|error| Error::io("make a staging file", error))?;
        let staged = match (make(&session), store) {
            (Err(error), Some(store)) if error.is_not_found() => make(&self.session(store)?)?,
            (staged, _) => staged?,
        };
        if let Some(dir) = &dir {
            staging::inherit_group(staged.file(), &dir.fd)
                .map_err(|error| Error::io("make a staging file", error))?;
        }
        Ok(Box::new(StagedValue { backend: self.clone(), staged, has_place: store.is_some() }))
    }
}

impl StagedValue {
    fn failed(&self, action: &str, error: impl Into<io::Error>) -> Error {
        Error::io(format!("{action} a staging file"), error)
    }
}

impl Staging for StagedValue {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        read_at(self.staged.file(), buffer, offset).map_err(|error| self.failed("read", error))
    }

    fn next_data(&self, offset: u64) -> Result<u64> {
        next_data(self.staged.file(), offset)
            .map_err(|error| self.failed("look for the holes of", error))
    }

    fn next_hole(&self, offset: u64) -> Result<u64> {
        next_hole(self.staged.file(), offset)
            .map_err(|error| self.failed("look for the holes of", error))
    }

    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(self.staged.file(), hole, offset, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.write_zeros(offset, len),
            punched => punched.map_err(|error| self.failed("punch a hole into", error)),
        }
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        failpoint::fail("stage: write")
            .and_then(|()| self.staged.write_all_at(data, offset))
            .and_then(|()| self.staged.write_out_behind(offset + data.len() as u64))
            .map_err(|error| self.failed("write", error))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        failpoint::fail("stage: truncate")
            .and_then(|()| rustix::fs::ftruncate(self.staged.file(), len))
            .map_err(|error| self.failed("truncate", error))
    }

    fn reserve(&self, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        let flags = if keep_size { FallocateFlags::KEEP_SIZE } else { FallocateFlags::empty() };
        rustix::fs::fallocate(self.staged.file(), flags, offset, len)
            .map_err(|error| self.failed("reserve room for", error))
    }

    fn begin_with(&self, value: &dyn Value, len: u64) -> Result<()> {
        self.refuse_mountpoint(value)?;
        self.keep_owner_and_mode(&value.attributes()?);
        failpoint::fail("stage: copy").map_err(|error| self.failed("copy into", error))?;
        let mut copied = 0;
        if let Some(local) = value.local_file().filter(|_| len > 0) {
            copied = self.copy_file(local, len).map_err(|error| self.failed("copy into", error))?;
        }
        let mut buffer = vec![0; if copied < len { 256 * 1024 } else { 0 }];
        while copied < len {
            // A hole stays one.
            copied = value.next_data(copied)?;
            if copied >= len {
                break;
            }
            let most = usize::try_from(len - copied).unwrap_or(usize::MAX).min(buffer.len());
            let room = buffer.get_mut(..most).unwrap_or_default();
            let count = value.read_at(room, copied)?;
            if count == 0 {
                break;
            }
            self.write_at(room.get(..count).unwrap_or_default(), copied)?;
            copied += count as u64;
        }
        if len > 0 {
            let end = len.min(value.attributes()?.size);
            self.extend_to(end).map_err(|error| self.failed("copy into", error))?;
        }
        Ok(())
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<()> {
        change_attributes(self.staged.file(), change)
            .map_err(|error| self.failed("change attributes of", error))?;
        if change.modified.is_some() {
            self.staged.is_dated();
        }
        Ok(())
    }

    fn attributes(&self) -> Result<Attributes> {
        rustix::fs::fstat(self.staged.file())
            .map(|stat| tree::attributes(&stat))
            .map_err(|error| self.failed("look at", error))
    }

    fn belongs_to(&mut self, record: Option<&StagedFor<'_>>) -> Result<()> {
        self.staged.belongs_to(record).map_err(|error| self.failed("note whose is", error))
    }

    fn keep_aside(&mut self) -> Result<Option<Unpublished>> {
        self.backend.keep_aside(&self.staged)
    }

    fn publish(mut self: Box<Self>, publish: &Publish<'_>) -> Result<Arc<dyn Value>, PublishError> {
        match self.backend.clone().publish(&mut self, publish) {
            Ok(value) => Ok(Arc::new(value)),
            Err(error) => Err((error, self)),
        }
    }
}

impl StagedValue {
    /// A file that is mounted over a value cannot be replaced. That must be said before anything is written, since not
    /// every program hears what a close says.
    fn refuse_mountpoint(&self, value: &dyn Value) -> Result<()> {
        let Some(file) = value.local_file().filter(|_| self.has_place) else { return Ok(()) };
        let of_value = Volume::of_file(file).map_err(|error| self.failed("look for", error))?;
        if self.staged.session().volume().is_one_mount(&of_value) {
            return Ok(());
        }
        let action =
            "replace a record over which a file is mounted; mount the volume at the storage";
        Err(Error::io(action, Errno::BUSY))
    }

    /// A copy in another staging directory.
    pub(super) fn copied_to(
        &self,
        session: &Arc<Session>,
        record: &StagedFor<'_>,
    ) -> Result<StagedFile> {
        let staged = session.create_for(record)?;
        let own = self.attributes()?;
        // Not as what is published: that is on another volume by now.
        let copy = Self { backend: self.backend.clone(), staged, has_place: false };
        copy.begin_with(&FileValue::new(Arc::clone(self.staged.file())), own.size)?;
        let Self { staged, .. } = copy;
        if self.staged.has_date() {
            let modified = Some(TimeChange::At(own.modified));
            let dated = AttributeChange { modified, ..AttributeChange::default() };
            change_attributes(staged.file(), &dated)
                .map_err(|error| self.failed("change attributes of", error))?;
            staged.is_dated();
        }
        Ok(staged)
    }

    /// As a write in place would, keep whose file it is and who may read it. Without the privilege to give a
    /// file away it becomes the writer's own, as with any editor that saves by rename.
    fn keep_owner_and_mode(&self, old: &Attributes) {
        // A system call for what is so already would cost more than the look.
        let made = self.attributes().ok();
        let differs = |of: fn(&Attributes) -> u32| made.as_ref().map(of) != Some(of(old));
        let mode = differs(|file| file.mode).then_some(old.mode);
        let uid = differs(|file| file.uid).then_some(old.uid);
        let gid = differs(|file| file.gid).then_some(old.gid);
        let owned = AttributeChange { mode, uid, gid, ..Default::default() };
        if change_attributes(self.staged.file(), &owned).is_err() {
            let moded = AttributeChange { mode, ..AttributeChange::default() };
            if let Err(error) = change_attributes(self.staged.file(), &moded) {
                log::debug!("mode {:o} is not kept: {error}", old.mode);
            }
        }
    }

    /// Shares or copies blocks inside the kernel, as far as the file systems can; holes stay holes. Gives back how far
    /// it came.
    fn copy_file(&self, from: BorrowedFd<'_>, len: u64) -> rustix::io::Result<u64> {
        let size = rustix::fs::fstat(from)?.st_size;
        if u64::try_from(size) == Ok(len)
            && rustix::fs::ioctl_ficlone(self.staged.file(), from).is_ok()
        {
            return Ok(len);
        }
        let mut copied = 0;
        while copied < len {
            let begin = next_data(from, copied)?.min(len);
            let end = next_hole(from, begin)?.min(len);
            copied = self.copy_range(from, begin..end)?;
            if copied < end || begin == end {
                break;
            }
        }
        Ok(copied)
    }

    /// Gives back up to where it came: not to the end where the kernel cannot copy between these files.
    fn copy_range(&self, from: BorrowedFd<'_>, range: Range<u64>) -> rustix::io::Result<u64> {
        let (mut read, mut written) = (range.start, range.start);
        while written < range.end {
            let most = usize::try_from(range.end - written).unwrap_or(usize::MAX);
            let into = self.staged.file();
            match rustix::fs::copy_file_range(from, Some(&mut read), into, Some(&mut written), most)
            {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Makes the file so long, if it is shorter; what is added is a hole.
    fn extend_to(&self, len: u64) -> rustix::io::Result<()> {
        let size = rustix::fs::fstat(self.staged.file())?.st_size;
        if u64::try_from(size).is_ok_and(|size| size < len) {
            rustix::fs::ftruncate(self.staged.file(), len)?;
        }
        Ok(())
    }
}
