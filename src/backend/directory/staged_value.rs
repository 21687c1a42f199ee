//! A version of a record in the making (P3).

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::staging::{Session, StagedFile, change_attributes, next_data, read_at};
use super::state::DirectoryBackend;
use super::tree;
use crate::backend::{Publish, PublishError, StagedFor, Staging, Value};
use crate::failpoint;
use crate::model::{AttributeChange, Attributes, Error, Result, Unpublished};

/// A value being staged in a directory storage.
#[derive(Debug)]
pub(super) struct StagedValue {
    pub(super) backend: DirectoryBackend,
    pub(super) staged: StagedFile,
}

impl DirectoryBackend {
    /// Begins to stage, in a file that `make` makes.
    pub(super) fn stage_by(
        &self,
        make: impl Fn(&Arc<Session>) -> Result<StagedFile>,
    ) -> Result<Box<dyn Staging>> {
        let session = self.known_session()?;
        failpoint::fail("stage: create")
            .map_err(|error| Error::io("make a staging file", error))?;
        let staged = match make(&session) {
            Err(error) if error.is_not_found() => make(&self.session()?)?,
            staged => staged?,
        };
        Ok(Box::new(StagedValue { backend: self.clone(), staged }))
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
        self.keep_owner_and_mode(&value.attributes()?);
        failpoint::fail("stage: copy").map_err(|error| self.failed("copy into", error))?;
        let mut copied = 0;
        if let Some(local) = value.local_file().filter(|_| len > 0) {
            copied =
                self.copy_local(local, len).map_err(|error| self.failed("copy into", error))?;
        }
        let mut buffer = vec![0; 256 * 1024];
        while copied < len {
            let most = usize::try_from(len - copied).unwrap_or(usize::MAX).min(buffer.len());
            let room = buffer.get_mut(..most).unwrap_or_default();
            let count = value.read_at(room, copied)?;
            if count == 0 {
                break;
            }
            self.write_at(room.get(..count).unwrap_or_default(), copied)?;
            copied += count as u64;
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

    fn publish(self: Box<Self>, publish: &Publish<'_>) -> Result<Arc<dyn Value>, PublishError> {
        match self.backend.publish(&self, publish) {
            Ok(value) => Ok(Arc::new(value)),
            Err(error) => Err((error, self)),
        }
    }
}

impl StagedValue {
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

    /// Shares or copies blocks inside the kernel, as far as the file systems can. Gives back how far it came.
    fn copy_local(&self, from: BorrowedFd<'_>, len: u64) -> rustix::io::Result<u64> {
        let whole =
            rustix::fs::fstat(from).is_ok_and(|stat| u64::try_from(stat.st_size) == Ok(len));
        if whole && rustix::fs::ioctl_ficlone(self.staged.file(), from).is_ok() {
            return Ok(len);
        }
        let (mut read, mut written) = (0, 0);
        while written < len {
            let most = usize::try_from(len - written).unwrap_or(usize::MAX);
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
}
