//! Staged bytes of which some are still in the far version that they go on from.

use std::ops::Range;
use std::sync::Arc;

use rustix::io::Errno;

use super::base::Kept;
use super::{Staged, copying, failed};
use crate::backend::local_file::{self, write_all_at};
use crate::backend::versions::Value;
use crate::model::{Error, Result};

/// Bytes that are fetched at a time: so many that few requests are made for a large value.
const FETCHED_AT_ONCE: u64 = 4 << 20;

impl Staged {
    /// Begins with the first `len` bytes of a far version without fetching any of them.
    pub(super) fn go_on_from(&self, value: &Arc<dyn Value>, len: u64) -> Result<()> {
        let attributes = value.attributes()?;
        copying::keep_owner_and_mode(self, &attributes);
        let end = len.min(attributes.size);
        // Another version's bytes, if any are kept, cannot be told from this one's.
        self.fill(end..u64::MAX)?;
        // In this order: the file is never so long that its zeros would be read for bytes of the version.
        self.state.base.begin(Arc::clone(value), end);
        copying::extend_to(self, end).map_err(|error| {
            let given_up = self.state.base.change(0..u64::MAX, || Ok::<_, Error>(()));
            debug_assert!(given_up.is_ok(), "nothing was tried");
            failed("extend", error)
        })
    }

    /// What of the staged bytes is not in the file, but still in the far version that they go on from; `None` if all is in
    /// the file. Who publishes takes these bytes from there, or asks for them by [`fill`](Self::fill).
    #[must_use]
    pub fn kept(&self) -> Option<Kept> {
        self.state.base.kept(0..u64::MAX)
    }

    /// Whether these bytes are on this machine, so that to read them waits for no network, as [`Value::has`].
    #[must_use]
    pub fn has(&self, offset: u64, len: u64) -> bool {
        self.state.base.kept(offset..offset.saturating_add(len)).is_none_or(
            |Kept { value, ranges }| {
                ranges.iter().all(|range| value.has(range.start, range.end - range.start))
            },
        )
    }

    /// Fetches what is missing of a range of offsets, so that the file holds all of it. What is written meanwhile stays as
    /// it is written.
    ///
    /// # Errors
    /// What reading the version fails with, such as [`Error::RecordReplaced`] if its bytes are gone; [`Error::Io`]. What was
    /// fetched until then is in the file, and what is staged has not changed.
    pub fn fill(&self, range: Range<u64>) -> Result<()> {
        let Some(Kept { value, ranges }) = self.state.base.kept(range) else { return Ok(()) };
        let mut buffer = Vec::new();
        for range in ranges {
            let mut at = range.start;
            while at < range.end {
                let len = FETCHED_AT_ONCE.min(range.end - at);
                buffer.resize(usize::try_from(len).unwrap_or_default(), 0);
                read_all(&*value, &mut buffer, at)?;
                self.with_room(|| {
                    let write = |bytes: &[u8], at| write_all_at(&*self.file, bytes, at);
                    self.state.base.give(&value, (at, &buffer), write)
                })
                .and_then(|()| self.place.written(at + len))
                .map_err(|error| failed("write", error))?;
                at += len;
            }
        }
        Ok(())
    }

    /// Reads a range of which some is kept.
    pub(super) fn read_both(&self, kept: &Kept, buffer: &mut [u8], offset: u64) -> Result<usize> {
        // The file is cut off where what is staged ends.
        let size = copying::size(self).map_err(|error| failed("look at", error))?;
        let end = size.min(offset.saturating_add(buffer.len() as u64));
        let mut at = offset;
        let pieces = kept.ranges.iter().map(|range| range.start.min(end)..range.end.min(end));
        for piece in pieces.chain(std::iter::once(end..end)) {
            if at < piece.start {
                let own = part(buffer, offset, at..piece.start);
                let count = local_file::read_at(&*self.file, own, at)
                    .map_err(|error| failed("read", error))?;
                at += count as u64;
                if at < piece.start {
                    // It has been cut off just now.
                    break;
                }
            }
            if at < piece.end {
                read_all(&*kept.value, part(buffer, offset, at..piece.end), at)?;
                at = piece.end;
            }
        }
        Ok(usize::try_from(at.saturating_sub(offset)).unwrap_or_default())
    }

    /// Where the next bytes begin that may be other than zero: what is kept counts as such.
    pub(super) fn next_data_of_both(&self, offset: u64) -> rustix::io::Result<u64> {
        let kept = self.state.base.next(offset).map_or(u64::MAX, |kept| kept.start);
        if kept == offset {
            return Ok(offset);
        }
        Ok(local_file::next_data(&*self.file, offset)?.min(kept))
    }

    /// Where the next hole begins: what is kept is none, though it is one of the file.
    pub(super) fn next_hole_of_both(&self, offset: u64) -> rustix::io::Result<u64> {
        let mut at = offset;
        loop {
            let kept = self.state.base.next(at);
            if let Some(kept) = kept.as_ref().filter(|kept| kept.start == at) {
                at = kept.end;
                continue;
            }
            let hole = local_file::next_hole(&*self.file, at)?;
            match kept {
                Some(kept) if kept.start <= hole => at = kept.end,
                _ => return Ok(hole),
            }
        }
    }
}

/// The part of a buffer, which holds what is at `offset`, for a range of offsets.
fn part(buffer: &mut [u8], offset: u64, range: Range<u64>) -> &mut [u8] {
    let index = |at: u64| usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX);
    buffer.get_mut(index(range.start)..index(range.end)).unwrap_or_default()
}

/// Fills a buffer from a version that has so many bytes.
fn read_all(value: &dyn Value, buffer: &mut [u8], offset: u64) -> Result<()> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match value.read_at(rest, offset.saturating_add(filled as u64))? {
            0 => {
                return Err(Error::io(
                    "read on in a version that is shorter than it was",
                    Errno::IO,
                ));
            }
            count => filled += count,
        }
    }
    Ok(())
}
