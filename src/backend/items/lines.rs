//! The items of a dataset as lines, in a file that grows as the dataset does.

use std::fs::File;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compact::one_line;
use super::{Item, ItemBytes, ItemsOf};
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
pub(super) fn follow<'a>(
    known: Option<Lines>,
    hashes: &RandomState,
    spool: &Spool,
    items: &dyn Fn() -> Result<ItemsOf<'a>>,
) -> Result<Lines> {
    let mut known = known;
    let mut tries = 0;
    loop {
        let lines = match known.take() {
            Some(lines) => lines,
            None => Lines::empty(spool, hashes)?,
        };
        tries += 1;
        if let Some(lines) = Following::begin(lines, hashes).end(items()?, tries > MOST_TRIES)? {
            return Ok(lines);
        }
    }
}

/// Lines that are being followed up.
struct Following {
    lines: Lines,
    hasher: <RandomState as BuildHasher>::Hasher,
    /// How many of the items that the lines were made of are behind.
    known: u64,
    /// Lines that are not written yet.
    portion: Vec<u8>,
    /// An item that is no JSON, if there is one behind.
    damaged: Option<Error>,
}

impl Following {
    fn begin(lines: Lines, hashes: &RandomState) -> Self {
        let hasher = hashes.build_hasher();
        Self { lines, hasher, known: 0, portion: Vec::new(), damaged: None }
    }

    /// Follows all items. `None` if they are not those that the lines were made of, or if one was gone before it was
    /// read, unless that is to be passed over: then the lines are to be begun anew.
    fn end(mut self, items: ItemsOf<'_>, passes_over: bool) -> Result<Option<Lines>> {
        let before = self.lines.count;
        for item in items {
            let Item { number, bytes } = item?;
            let text = match bytes {
                ItemBytes::File(stamp, read) => {
                    (number, stamp).hash(&mut self.hasher);
                    if self.known < before { None } else { Some(read()?) }
                }
                ItemBytes::Known(text) => {
                    text.hash(&mut self.hasher);
                    (self.known >= before).then_some(Some(text))
                }
            };
            match text {
                None => {
                    self.known += 1;
                    if self.known == before && self.hasher.finish() != self.lines.hash {
                        return Ok(None);
                    }
                }
                Some(Some(text)) => self.add(number, &text)?,
                Some(None) if passes_over => {}
                Some(None) => return Ok(None),
            }
        }
        if self.known < before {
            return Ok(None);
        }
        self.write()?;
        if self.lines.count > before {
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
