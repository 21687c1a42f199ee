//! Bytes at a place of a file.

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
