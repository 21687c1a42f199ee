//! Bytes at a place of a file.

use super::error::{FsError, FsResult};
use crate::backend::Value;

/// Where bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// At this offset.
    At(u64),
    /// At the end, wherever that is by now.
    End,
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteMode {
    /// Where.
    pub position: Position,
    /// So that they are published and survive a power cut when the call returns (`O_SYNC`).
    pub sync: bool,
    /// From the pages of a memory map, through a handle that need not be the map's.
    pub mapped: bool,
    /// By somebody whose writes clear the set-id bits.
    pub clears_set_id: bool,
    /// By this thread; 0 if it has no number, as where a map is written back.
    pub by: u32,
}

impl From<Position> for WriteMode {
    fn from(position: Position) -> Self {
        Self { position, sync: false, mapped: false, clears_set_id: false, by: 0 }
    }
}

/// Reads of a text at an offset.
pub(super) fn read_text(text: &[u8], buffer: &mut [u8], offset: u64) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|offset| text.get(offset..));
    let rest = rest.unwrap_or_default();
    let count = rest.len().min(buffer.len());
    for (into, byte) in buffer.iter_mut().zip(rest) {
        *into = *byte;
    }
    count
}

/// What is looked for in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Bytes that may be other than zero.
    Data,
    /// Zeros that take no room; the end of a file counts as one.
    Hole,
}

impl Extent {
    /// Finds the next one, at `offset` or behind it, in a file of this size.
    ///
    /// # Errors
    /// [`FsError::NoData`] behind the end, and where no data follows; what `look` says.
    pub(super) fn find(
        self,
        offset: u64,
        size: u64,
        look: impl FnOnce(Self) -> FsResult<u64>,
    ) -> FsResult<u64> {
        if offset >= size {
            return Err(FsError::NoData);
        }
        match (self, look(self)?) {
            (Self::Data, found) if found >= size => Err(FsError::NoData),
            (_, found) => Ok(found.min(size)),
        }
    }

    /// The same in a text, which has no holes.
    pub(super) fn find_in_text(self, offset: u64, size: usize) -> FsResult<u64> {
        let size = size as u64;
        self.find(offset, size, |extent| Ok(if extent == Self::Data { offset } else { size }))
    }

    /// The same in a published version.
    pub(super) fn find_in_value(self, offset: u64, value: &dyn Value) -> FsResult<u64> {
        self.find(offset, value.attributes()?.size, |extent| match extent {
            Self::Data => Ok(value.next_data(offset)?),
            Self::Hole => Ok(value.next_hole(offset)?),
        })
    }
}
