//! The bytes that a content type is found from, and which of them need not be looked at.
//!
//! What is staged over a far version has bytes that are still there. To fetch all of them for the sake of a type would make
//! an append to a large log cost the log. So they are believed to be what that version's own type says, and only what
//! somebody has changed is looked at:
//!
//! - Under a text or JSON type they are UTF-8. Of each large part only the ends are read: a character that is cut there, or
//!   completed, is that of the bytes beside it.
//! - Where the version's type was found from its bytes to be none but bytes, they are no text, and no more text if something
//!   follows them.
//!
//! JSON is never believed. Whether a document is whole can be told by no part of it, except that one whose last letter can
//! end none is not.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;

use crate::backend::{Kept, Reader, Staged, into_io};
use crate::model::{ContentType, Origin, RecordType, Result};

/// Parts of a far version are passed over if they have so many bytes: fewer cost no more than to ask for their ends.
const LARGE: u64 = 64 * 1024;

/// So many bytes of each end are read: two characters at least.
const END: usize = 8;

/// So many bytes are looked through for the last letter at a time, and at most.
const LAST_BLOCK: u64 = 512;
const LAST: u64 = 64 * 1024;

/// Bytes whose type is to be found.
pub(super) trait LookedAt {
    /// All of them, from the first on.
    fn all(&self) -> impl Read;

    /// So many of them that these are UTF-8 only if all are; and so, whether there is a NUL.
    ///
    /// # Errors
    /// What reading them fails with.
    fn as_text(&self) -> io::Result<impl Read> {
        Ok(self.all())
    }

    /// Whether they are known to be no UTF-8 without a NUL.
    fn is_no_text(&self) -> bool {
        false
    }

    /// Whether they are known not to fit a type.
    fn is_known_not_to_fit(&self, _content_type: &ContentType) -> bool {
        false
    }

    /// The last byte that is no JSON white space; `None` if that is not known.
    fn last_letter(&self) -> io::Result<Option<u8>> {
        Ok(None)
    }
}

/// Bytes that are at hand, and read anew each time.
impl<R: Read, F: Fn() -> R> LookedAt for F {
    fn all(&self) -> impl Read {
        self()
    }
}

/// What is staged.
pub(super) struct StagedBytes<'a> {
    staged: &'a Staged,
    size: u64,
    /// Where what was changed begins that nothing unchanged follows.
    last_own: u64,
    /// What is kept, if that is text.
    kept_text: Option<Kept>,
    /// How it is looked through for text, once somebody has asked.
    parts: OnceCell<Vec<Part>>,
    /// The version's type, if that says that what is staged is no text.
    no_text: Option<RecordType>,
}

/// A part of what is looked through for text.
#[derive(Clone, Debug)]
enum Part {
    /// This range.
    Range(Range<u64>),
    /// Bytes that were read already.
    Read(Vec<u8>),
}

impl<'a> StagedBytes<'a> {
    pub(super) fn of(staged: &'a Staged) -> Result<Self> {
        let size = staged.attributes()?.size;
        let parts = OnceCell::new();
        let mut bytes = Self { staged, size, last_own: 0, kept_text: None, parts, no_text: None };
        if let Some(kept) = staged.kept() {
            bytes.last_own = kept.ranges.last().map_or(0, |range| range.end);
            bytes.believe(kept)?;
        }
        Ok(bytes)
    }

    /// Believes a version's type.
    fn believe(&mut self, kept: Kept) -> Result<()> {
        let Some(record_type) = kept.value.record_type() else { return Ok(()) };
        if record_type.content_type.is_text() || record_type.content_type.is_json() {
            self.kept_text = Some(kept);
        } else if record_type.content_type == ContentType::bytes()
            && record_type.origin != Origin::Given
            && is_untouched(&kept)?
        {
            self.no_text = Some(record_type);
        }
        Ok(())
    }

    /// Whether any of it is still in a far version.
    pub(super) fn is_far(&self) -> bool {
        self.last_own > 0
    }
}

impl LookedAt for StagedBytes<'_> {
    fn all(&self) -> impl Read {
        Reader::shortening_holes(self.staged)
    }

    fn as_text(&self) -> io::Result<impl Read> {
        let parts = match self.parts.get() {
            Some(parts) => parts,
            None => {
                let parts = match &self.kept_text {
                    Some(kept) => text_parts(kept, self.size).map_err(into_io)?,
                    None => vec![Part::Range(0..self.size)],
                };
                self.parts.get_or_init(|| parts)
            }
        };
        let parts = parts.iter().cloned().collect();
        Ok(Parts { staged: self.staged, parts, now: None })
    }

    fn is_no_text(&self) -> bool {
        self.no_text.is_some()
    }

    fn is_known_not_to_fit(&self, content_type: &ContentType) -> bool {
        let given = self.no_text.as_ref().and_then(RecordType::declared);
        content_type.is_text() && given == Some(content_type)
    }

    fn last_letter(&self) -> io::Result<Option<u8>> {
        let mut end = self.size;
        let least = end.saturating_sub(LAST);
        while end > least {
            // What has just been written is here, and is mostly all that it takes.
            let begin = end.saturating_sub(LAST_BLOCK);
            let begin = if self.last_own < end { begin.max(self.last_own) } else { begin };
            let mut block = Vec::new();
            Reader::of_range(self.staged, begin..end).read_to_end(&mut block)?;
            if let Some(letter) = block.into_iter().rev().find(|byte| !b" \t\r\n".contains(byte)) {
                return Ok(Some(letter));
            }
            end = begin;
        }
        Ok(None)
    }
}

/// Reads parts one after the other.
struct Parts<'a> {
    staged: &'a Staged,
    parts: VecDeque<Part>,
    now: Option<Reader<&'a Staged>>,
}

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(reader) = &mut self.now {
                match reader.read(buffer)? {
                    0 => self.now = None,
                    count => return Ok(count),
                }
            }
            match self.parts.pop_front() {
                None => return Ok(0),
                Some(Part::Range(range)) => {
                    self.now = Some(Reader::of_range(self.staged, range));
                }
                Some(Part::Read(bytes)) => {
                    let mut rest = bytes.as_slice();
                    let count = rest.read(buffer)?;
                    if !rest.is_empty() {
                        self.parts.push_front(Part::Read(rest.to_vec()));
                    }
                    if count > 0 || buffer.is_empty() {
                        return Ok(count);
                    }
                }
            }
        }
    }
}

/// Whether a version is kept as a whole, and ends with no character that what follows might complete.
fn is_untouched(kept: &Kept) -> Result<bool> {
    let size = kept.value.attributes()?.size;
    if kept.ranges.first() != Some(&(0..size)) || size < END as u64 {
        return Ok(false);
    }
    let end = read_end(kept, size - END as u64)?;
    Ok(!std::str::from_utf8(after_cut(&end)).is_err_and(|error| error.error_len().is_none()))
}

/// How to look for text through `size` bytes, of which those that are kept are text: all that is not kept or not large, and
/// whole characters of both ends of the rest.
fn text_parts(kept: &Kept, size: u64) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut begin = 0;
    for range in kept.ranges.iter().filter(|range| range.end - range.start >= LARGE) {
        parts.push(Part::Range(begin..range.start));
        if range.start > 0 {
            let mut end = read_end(kept, range.start)?;
            // As far as the last character that begins: that one may be cut.
            end.truncate(end.iter().rposition(|byte| begins_character(*byte)).unwrap_or(end.len()));
            parts.push(Part::Read(end));
        }
        let end = read_end(kept, range.end - END as u64)?;
        parts.push(Part::Read(after_cut(&end).to_vec()));
        begin = range.end;
    }
    parts.push(Part::Range(begin..size));
    Ok(parts)
}

/// Reads an end of what is kept.
fn read_end(kept: &Kept, offset: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; END];
    let count = kept.value.read_at(&mut bytes, offset)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Text without the rest of a character that is cut off at its beginning.
fn after_cut(text: &[u8]) -> &[u8] {
    let cut = text.iter().take(3).take_while(|byte| !begins_character(**byte)).count();
    text.get(cut..).unwrap_or_default()
}

fn begins_character(byte: u8) -> bool {
    byte & 0b1100_0000 != 0b1000_0000
}
