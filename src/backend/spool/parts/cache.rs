//! The bound over the parts of all values, and how it is kept.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::state::{Loss, State, Victim};
use crate::model::{Error, Result};
use crate::ranks::{Condvar, Mutex, TableEntry};

/// Length of a part in bytes: 4 MiB. What one request brings in the time of some round trips over a fast line; smaller
/// ones would cost more requests, which are paid for, and larger ones more bytes that nobody has asked for.
const PART_BYTES: u64 = 4 * 1024 * 1024;

/// Keeps the parts of all values together below a number of bytes.
///
/// What is in the files and what is being fetched count, at most `most_bytes`, and beyond that one part for each
/// reader that is within a read, if nothing else can go: whatever is not pinned by a reader or still to come goes first,
/// and what cannot come again, since its version is gone, last.
/// So a cache that is smaller than a part works too. Reading ahead never takes more than `most_bytes`. For a moment
/// there may be as much more as a value brings along ([`Parted::begin`](super::Parted::begin) and
/// [`whole`](super::Parted::whole)). The file system rounds up: to a block for each value, where its first bytes or the
/// value itself end within one, and what it needs to keep track of them.
///
/// Where a file system cannot give back bytes from the middle of a file, they stay, count and can be read until the value
/// is dropped. Nothing is read ahead then as soon as the bound is reached, and what is wanted goes over it.
///
/// One lock guards what is known of all parts, since those of one value go for those of another. It is a leaf that is
/// held for a look or a change; values may so be dropped while a table is held. Nothing is fetched, written or given
/// back while it is held: a part that is pinned, on its way or going is said to be so instead.
#[derive(Debug)]
pub(crate) struct PartCache {
    pub(super) part_bytes: u64,
    pub(super) state: Mutex<TableEntry, State>,
}

impl PartCache {
    /// A cache of `most_bytes` bytes on disk.
    pub(crate) fn new(most_bytes: u64) -> Arc<Self> {
        Self::with_parts_of(PART_BYTES, most_bytes)
    }

    /// A cache whose parts have another size, a multiple of the file system's blocks.
    pub(super) fn with_parts_of(part_bytes: u64, most_bytes: u64) -> Arc<Self> {
        Arc::new(Self { part_bytes, state: Mutex::new(State::new(most_bytes, part_bytes)) })
    }

    /// Bytes that are in the files of all values.
    pub(crate) fn present(&self) -> u64 {
        self.state.lock().present()
    }

    /// Gives back the bytes of a part, if the file system can.
    pub(super) fn evict(&self, victim: &Victim) {
        let outcome = punch(victim);
        if let Err(error) = outcome
            && error != Errno::OPNOTSUPP
        {
            log::warn!("cannot give back bytes of a value in the spool: {error}");
        }
        self.state.lock().note_gone(victim, outcome.is_ok());
    }

    /// Gives back what is too much.
    pub(super) fn trim(&self) {
        loop {
            let surplus = self.state.lock().surplus();
            let Some(victim) = surplus else { return };
            self.evict(&victim);
        }
    }

    /// Writes bytes of a value. Where the file system is full, other parts go for them.
    ///
    /// # Errors
    /// [`Error::Io`], also if nothing can go.
    pub(super) fn write(&self, file: &File, bytes: &[u8], offset: u64) -> Result<()> {
        while let Err(error) = file.write_all_at(bytes, offset) {
            let is_full =
                matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            let victim = if is_full { self.state.lock().choose(Loss::Forever) } else { None };
            match victim {
                Some(victim) => self.evict(&victim),
                None => return Err(Error::io("write a value to the spool", error)),
            }
        }
        Ok(())
    }
}

fn punch(victim: &Victim) -> rustix::io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let len = victim.bytes.end - victim.bytes.start;
    rustix::io::retry_on_intr(|| {
        rustix::fs::fallocate(&*victim.file, flags, victim.bytes.start, len)
    })
}

/// The bytes of one value that are in its file. They count until this is dropped.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) number: u64,
    pub(super) file: Arc<File>,
    pub(super) size: u64,
    pub(super) cache: Arc<PartCache>,
    /// Signalled when a part has come, failed or gone.
    pub(super) moved: Arc<Condvar>,
}

impl Kept {
    /// A value whose first `filled` bytes are in the file.
    pub(super) fn new(file: File, size: u64, filled: u64, cache: &Arc<PartCache>) -> Self {
        let (file, moved) = (Arc::new(file), Arc::new(Condvar::new()));
        let number = cache.state.lock().add(&file, size, filled, &moved);
        Self { number, file, size, cache: Arc::clone(cache), moved }
    }

    /// A value whose first bytes are yet to be written to the file.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be.
    pub(super) fn beginning(
        file: File,
        size: u64,
        first: &[u8],
        cache: &Arc<PartCache>,
    ) -> Result<Self> {
        let filled = first.len() as u64;
        loop {
            let victim = cache.state.lock().reserve(filled);
            let Some(victim) = victim else { break };
            cache.evict(&victim);
        }
        let written = cache.write(&file, first, 0);
        cache.state.lock().release(filled);
        written.map(|()| Self::new(file, size, filled, cache))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.cache.state.lock().remove(self.number);
    }
}
