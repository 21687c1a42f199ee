//! A text that is read: the beginning of a file that may grow behind it.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::SystemTime;

use crate::backend::local_file::{self, nanoseconds};
use crate::backend::versions::Value;
use crate::model::{Attributes, Error, Result, Stamp};

/// Bytes of a block, as `stat` counts them.
const BLOCK: u64 = 512;

/// A text of the items of a dataset. It never changes.
#[derive(Debug)]
pub(super) struct ItemsText {
    file: Arc<File>,
    attributes: Attributes,
}

impl ItemsText {
    /// The first `size` bytes of a file. `version` is a number that no other text of the dataset's lines has.
    pub(super) fn new(file: Arc<File>, size: u64, version: u64) -> Self {
        let at = SystemTime::now();
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        let at_ns = nanoseconds(seconds, since.subsec_nanos());
        let attributes = Attributes {
            size,
            blocks: size.div_ceil(BLOCK),
            links: 1,
            mode: 0o444,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            accessed: at,
            modified: at,
            changed: at,
            stamp: Stamp { object: version, size, modified_ns: at_ns, changed_ns: at_ns },
        };
        Self { file, attributes }
    }
}

impl Value for ItemsText {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        read_within(&self.file, self.attributes.size, buffer, offset)
            .map_err(|error| Error::io("read the items of a dataset from the spool", error))
    }

    fn attributes(&self) -> Result<Attributes> {
        Ok(self.attributes)
    }
}

/// Reads the first `size` bytes of a file from their beginning, whatever its own position is.
#[derive(Debug)]
pub(super) struct Beginning<'a> {
    pub(super) file: &'a File,
    pub(super) size: u64,
    /// How many bytes are behind.
    pub(super) offset: u64,
}

impl Read for Beginning<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = read_within(self.file, self.size, buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

fn read_within(file: &File, size: u64, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let rest = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
    let most = rest.min(buffer.len());
    Ok(local_file::read_at(file, buffer.get_mut(..most).unwrap_or_default(), offset)?)
}
