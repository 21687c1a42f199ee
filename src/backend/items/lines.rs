//! The items of a dataset as lines, in a file that grows as the dataset does.

use std::fs::File;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compact::one_line;
use super::{GiveItems, Item, ItemBytes};
use crate::backend::local_file::write_all_at;
use crate::backend::spool::Spool;
use crate::model::{Error, Result};

/// So many times the items are read anew if some of them are gone before they are read. A purge of ours takes all at
/// once; one of an SDK takes a while, and then what is left is shown.
const MOST_TRIES: usize = 5;

/// Lines are written when they have come to so many bytes.
const PORTION: usize = 1024 * 1024;

/// Counts versions of lines, so that no two have the same number.
static VERSIONS: AtomicU64 = AtomicU64::new(1);

/// Lines: the beginning of a file. What follows in the file is nobody's, and is written over.
#[derive(Debug)]
pub(super) struct Lines {
    file: Arc<File>,
    /// Bytes.
    size: u64,
    count: u64,
    /// The hash of the items that the lines were made of.
    hash: u64,
    version: u64,
}

impl Lines {
    /// No lines.
    fn empty(spool: &Spool, hashes: &RandomState) -> Result<Self> {
        let (file, hash) = (Arc::new(spool.file()?), hashes.build_hasher().finish());
        Ok(Self { file, size: 0, count: 0, hash, version: next_version() })
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// How many bytes they are.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// A number that changes when they do.
    pub(super) fn version(&self) -> u64 {
        self.version
    }
}

/// The lines of the items as they are now. `known` are those of before: if the items of which they were made are still
/// the first ones, only the others are read.
///
/// # Errors
/// As [`ItemTexts::text`](super::ItemTexts::text).
pub(super) fn follow(
    mut known: Option<Lines>,
    hashes: &RandomState,
    spool: &Spool,
    items: &GiveItems<'_>,
) -> Result<Lines> {
    let mut tries = 0;
    loop {
        let lines = match known.take() {
            Some(lines) => lines,
            None => Lines::empty(spool, hashes)?,
        };
        tries += 1;
        let mut following = Following::begin(lines, hashes, tries > MOST_TRIES);
        let mut is_other = false;
        items(&mut |item| {
            let flow = following.take(item)?;
            is_other |= flow.is_break();
            Ok(flow)
        })?;
        if !is_other && let Some(lines) = following.end()? {
            return Ok(lines);
        }
    }
}

/// Lines that are being followed up.
struct Following {
    lines: Lines,
    /// How many lines there were before.
    before: u64,
    hasher: <RandomState as BuildHasher>::Hasher,
    /// How many of the items that the lines were made of are behind.
    known: u64,
    /// Lines that are not written yet.
    portion: Vec<u8>,
    /// An item that is no JSON, if there is one behind.
    damaged: Option<Error>,
    /// Whether an item that is gone is passed over.
    passes_over: bool,
}

impl Following {
    fn begin(lines: Lines, hashes: &RandomState, passes_over: bool) -> Self {
        Self {
            before: lines.count,
            lines,
            hasher: hashes.build_hasher(),
            known: 0,
            portion: Vec::new(),
            damaged: None,
            passes_over,
        }
    }

    /// Takes the next item. Breaks off if the items are not those that the lines were made of, or if this one is gone
    /// before it is read: then the lines are to be begun anew.
    fn take(&mut self, item: Item<'_>) -> Result<ControlFlow<()>> {
        let is_known = self.known < self.before;
        let text = match item.bytes {
            ItemBytes::File(stamp, read) => {
                (item.number, stamp).hash(&mut self.hasher);
                if is_known { None } else { read()? }
            }
            ItemBytes::Known(text) => {
                text.hash(&mut self.hasher);
                Some(text).filter(|_| !is_known)
            }
        };
        match text {
            None if is_known => {
                self.known += 1;
                let is_last = self.known == self.before;
                if is_last && self.hasher.finish() != self.lines.hash {
                    return Ok(ControlFlow::Break(()));
                }
            }
            None if self.passes_over => {}
            None => return Ok(ControlFlow::Break(())),
            Some(text) => self.add(item.number, &text)?,
        }
        Ok(ControlFlow::Continue(()))
    }

    /// All items are taken. `None` if there are fewer than the lines were made of.
    fn end(mut self) -> Result<Option<Lines>> {
        if self.known < self.before {
            return Ok(None);
        }
        self.write()?;
        if self.lines.count > self.before {
            self.lines.version = next_version();
        }
        Ok(Some(self.lines))
    }

    /// Adds an item. One that is no JSON may be just being written, as long as no other is behind it.
    fn add(&mut self, number: u64, text: &[u8]) -> Result<()> {
        let Some(line) = one_line(text) else {
            self.damaged.get_or_insert_with(|| {
                let action = format!("show item {number} of a dataset: it is no JSON");
                Error::io(action, io::Error::from(io::ErrorKind::InvalidData))
            });
            return Ok(());
        };
        if let Some(damaged) = self.damaged.take() {
            return Err(damaged);
        }
        self.portion.extend_from_slice(&line);
        self.portion.push(b'\n');
        self.lines.count += 1;
        // Of those alone that have a line: an item that was just being written is looked at again.
        self.lines.hash = self.hasher.finish();
        if self.portion.len() < PORTION { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<()> {
        let Lines { file, size, .. } = &mut self.lines;
        write_all_at(&**file, &self.portion, *size)
            .map_err(|error| Error::io("write the items of a dataset to the spool", error))?;
        *size += self.portion.len() as u64;
        self.portion.clear();
        Ok(())
    }
}

fn next_version() -> u64 {
    VERSIONS.fetch_add(1, Ordering::Relaxed)
}
