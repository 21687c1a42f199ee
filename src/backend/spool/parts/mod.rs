//! Large values of a storage across a network: fetched in parts as they are read, and kept within a bound.
//!
//! A [`Parted`] is one version of a value. Its bytes are in a file of the spool where they have come, and holes
//! elsewhere; `state` knows which, and no reader gets at a hole. A [`PartCache`] bounds what all values take together.
//! Bytes come by [`FetchPart`], on threads of whoever fetches: there is none here. How far is read ahead, `streams` says.

mod arriving;
mod cache;
mod failure;
mod state;
mod streams;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

pub(crate) use arriving::{Arriving, FetchPart};
pub(crate) use cache::PartCache;

use self::cache::Kept;
use self::state::Step;
use self::streams::MOST_AHEAD;
use crate::model::{BackendErrorKind, Error, Result};

/// One version of a value of which some parts are here, and the others can be fetched.
#[derive(Debug)]
pub(crate) struct Parted {
    kept: Arc<Kept>,
    fetch: Arc<dyn FetchPart>,
}

impl Parted {
    /// A value of `size` bytes of which the first are known, or none. `file` is empty. Fetches nothing yet.
    ///
    /// # Errors
    /// [`Error::Io`] if the first bytes cannot be written; [`Error::Backend`] if there are more of them than the value
    /// has.
    pub(crate) fn begin(
        file: File,
        size: u64,
        first: &[u8],
        fetch: Arc<dyn FetchPart>,
        cache: &Arc<PartCache>,
    ) -> Result<Arc<Self>> {
        if first.len() as u64 > size {
            return Err(damaged("more has come than it holds"));
        }
        let kept = Arc::new(Kept::beginning(file, size, first, cache)?);
        cache.trim();
        Ok(Arc::new(Self { kept, fetch }))
    }

    /// A value of `size` bytes that are all in the file, and that can be fetched when they had to go.
    pub(crate) fn whole(
        file: File,
        size: u64,
        fetch: Arc<dyn FetchPart>,
        cache: &Arc<PartCache>,
    ) -> Arc<Self> {
        let kept = Arc::new(Kept::new(file, size, size, cache));
        cache.trim();
        Arc::new(Self { kept, fetch })
    }

    /// Length of the value in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.kept.size
    }

    /// Whether what is not here may still come: the storage has not said that the version is gone.
    pub(crate) fn is_sound(&self) -> bool {
        self.kept.cache.state.lock().is_sound(self.kept.number)
    }

    /// Whether a read of these bytes, or of what is of them in the value, would wait for no network now. They may have
    /// to go before it comes.
    pub(crate) fn has(&self, offset: u64, len: u64) -> bool {
        let end = offset.saturating_add(len).min(self.kept.size);
        offset >= end || self.kept.cache.state.lock().has(self.kept.number, offset..end)
    }

    /// Reads at an offset, as soon as the bytes have come; fewer than asked for only at the end.
    ///
    /// # Errors
    /// Why they do not come; another read may have them fetched again. [`Error::RecordReplaced`] is for ever, and is for
    /// bytes that are not here.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let end = offset.saturating_add(buffer.len() as u64).min(self.kept.size);
        if offset >= end {
            return Ok(0);
        }
        let Kept { cache, number, .. } = &*self.kept;
        let until = cache.state.lock().note_read(*number, offset..end, Instant::now());
        let mut read = 0;
        // One part is pinned at a time, so that a read takes no more room than that.
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            let at = offset + read as u64;
            if at >= end {
                break;
            }
            let part = at / cache.part_bytes;
            let upto = end.min((part + 1) * cache.part_bytes);
            let len = usize::try_from(upto - at).unwrap_or(usize::MAX).min(rest.len());
            let pin = Pin::new(&self.kept, part);
            self.wait(&pin, upto, until)?;
            self.copy(rest.get_mut(..len).unwrap_or_default(), at)?;
            read += len;
        }
        Ok(read)
    }

    /// Waits for the bytes of a part before offset `upto`; asks for what follows up to offset `until` meanwhile.
    fn wait(&self, pin: &Pin<'_>, upto: u64, until: u64) -> Result<()> {
        let Kept { cache, number, moved, .. } = &*self.kept;
        let (mut joined, mut has_asked) = (0, false);
        let mut state = cache.state.lock();
        loop {
            let step = state.want(*number, pin.part, upto, &mut joined);
            match step {
                Step::Fail(error) => return Err(error),
                Step::Begin(bytes) => {
                    drop(state);
                    self.fetch(pin.part, bytes);
                    state = cache.state.lock();
                }
                Step::Evict(victim) => {
                    drop(state);
                    cache.evict(&victim);
                    state = cache.state.lock();
                }
                _ if !has_asked => {
                    has_asked = true;
                    drop(state);
                    self.ask(pin.part, until);
                    state = cache.state.lock();
                }
                Step::Ready => return Ok(()),
                Step::Wait => {
                    moved.wait(&mut state);
                    // Another part may have come, and left its place to one that follows.
                    has_asked = false;
                }
                Step::Queue => {
                    state.queue(*number, 1);
                    moved.wait(&mut state);
                    state.queue(*number, -1);
                }
            }
        }
    }

    /// Begins to fetch what is worth it, from a part on to offset `until`, as far as there is room.
    fn ask(&self, first: u64, until: u64) {
        let Kept { cache, number, .. } = &*self.kept;
        let end = until.div_ceil(cache.part_bytes).min(first + MOST_AHEAD);
        let mut state = cache.state.lock();
        let mut parts = (first..end).peekable();
        while let Some(part) = parts.peek().copied() {
            match state.want_soon(*number, part, until) {
                Step::Ready => {
                    parts.next();
                }
                Step::Begin(bytes) => {
                    drop(state);
                    self.fetch(part, bytes);
                    state = cache.state.lock();
                }
                Step::Evict(victim) => {
                    drop(state);
                    cache.evict(&victim);
                    state = cache.state.lock();
                }
                _ => return,
            }
        }
    }

    fn fetch(&self, part: u64, bytes: Range<u64>) {
        self.fetch.begin(bytes.clone(), Arriving::new(&self.kept, part, bytes));
    }

    /// Copies bytes that are pinned.
    fn copy(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.kept.file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("its file in the spool is too short"),
            _ => Error::io("read a value from the spool", error),
        })
    }
}

fn damaged(reason: &'static str) -> Error {
    Error::backend(BackendErrorKind::Damaged, "fetch a value", reason)
}

/// A part that stays, from when it is there, because a reader waits for it or copies out of it.
struct Pin<'a> {
    kept: &'a Kept,
    part: u64,
}

impl<'a> Pin<'a> {
    fn new(kept: &'a Kept, part: u64) -> Self {
        kept.cache.state.lock().pin(kept.number, part);
        Self { kept, part }
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let Kept { cache, number, .. } = self.kept;
        let is_surplus = {
            let mut state = cache.state.lock();
            state.unpin(*number, self.part);
            state.is_over()
        };
        if is_surplus {
            cache.trim();
        }
    }
}
