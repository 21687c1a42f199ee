//! Parts of one version of an object, as they are read.

use std::ops::Range;

use super::calls::Calls;
use super::pouring::Pouring;
use super::requests::Tag;
use crate::backend::elsewhere::{Large, RecordId};
use crate::backend::spool::{Arriving, FetchPart, Parted};
use crate::model::{Error, Result};

/// Fetches parts of one version of a record's object.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) calls: Calls,
    pub(super) record: RecordId,
    /// The object's key.
    pub(super) key: String,
    pub(super) tag: Tag,
}

impl FetchPart for Fetch {
    fn begin(&self, range: Range<u64>, arriving: Arriving) {
        let Self { calls, record, key, tag } = self;
        let (own, action) = (calls.clone(), reading(record));
        let pouring = Pouring::new(record.clone(), key.clone(), tag.clone(), range, arriving);
        let fetch = async move { pouring.pour(&own, action).await };
        // Dropped with what is arriving, which tells that nothing comes.
        drop(calls.spawn(fetch));
    }
}

/// What is tried of a record that is read.
pub(super) fn reading(record: &RecordId) -> String {
    format!("read record '{}' of store '{}'", record.1, record.0)
}

impl Large for Parted {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.read_at(buffer, offset)
    }

    fn is_sound(&self) -> bool {
        self.is_sound()
    }

    fn has(&self, offset: u64, len: u64) -> bool {
        self.has(offset, len)
    }

    fn size(&self) -> u64 {
        self.size()
    }

    fn comes_by_parts(&self) -> bool {
        true
    }
}
