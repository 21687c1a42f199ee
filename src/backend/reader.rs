//! Values and what is staged as streams.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use super::{Staged, Value};
use crate::model::{Error, Result};

/// Reads a [`Value`] or [`Staged`], mostly from its beginning.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    offset: u64,
    /// Where to end, if the source does not.
    end: u64,
    shortens_holes: bool,
}

impl<R> Reader<R> {
    /// Begins at the first byte.
    pub fn new(source: R) -> Self {
        Self { source, offset: 0, end: u64::MAX, shortens_holes: false }
    }

    /// Begins at the first byte, and makes a few zeros of each hole, however large: enough for whoever asks what kind
    /// of bytes these are.
    pub fn shortening_holes(source: R) -> Self {
        Self { shortens_holes: true, ..Self::new(source) }
    }

    /// The bytes of a range of offsets, of which each hole is made a few zeros likewise.
    pub(crate) fn of_range(source: R, range: Range<u64>) -> Self {
        Self { source, offset: range.start, end: range.end, shortens_holes: true }
    }

    fn advance(
        &mut self,
        buffer: &mut [u8],
        read_at: impl FnOnce(&R, &mut [u8], u64) -> Result<usize>,
        next_data: impl FnOnce(&R, u64) -> Result<u64>,
    ) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        let count = read_at(&self.source, buffer, self.offset).map_err(into_io)?;
        self.offset += count as u64;
        if self.shortens_holes && count > 0 && buffer.iter().take(count).all(|byte| *byte == 0) {
            let data = next_data(&self.source, self.offset).map_err(into_io)?;
            self.offset = self.offset.max(data);
        }
        Ok(count)
    }
}

impl Read for Reader<&Staged> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read_at = |staged: &&Staged, buffer: &mut [u8], at| staged.read_at(buffer, at);
        self.advance(buffer, read_at, |staged, at| staged.next_data(at))
    }
}

impl Read for Reader<Arc<dyn Value>> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read_at = |value: &Arc<dyn Value>, buffer: &mut [u8], at| value.read_at(buffer, at);
        self.advance(buffer, read_at, |value, at| value.next_data(at))
    }
}

/// The system's answer inside an error, or the error itself as an I/O error.
pub(crate) fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io { source, .. } => source,
        other => io::Error::other(other),
    }
}
