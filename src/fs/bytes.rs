//! Bytes at a place of a file.

/// Where bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// At this offset.
    At(u64),
    /// At the end, wherever that is by now.
    End,
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
