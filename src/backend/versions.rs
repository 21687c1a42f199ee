//! Published versions of a record.

use std::fmt::Debug;
use std::os::fd::BorrowedFd;

use crate::model::{AttributeChange, Attributes, RecordType, Result};

/// One published version of a record, open for reading. It never changes, whatever becomes of the record.
pub trait Value: Debug + Send + Sync {
    /// Reads at an offset; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Attributes of this version, also after the record has been replaced or removed.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn attributes(&self) -> Result<Attributes>;

    /// The content type that came with this version, where one look has told both; `None` asks
    /// [`Backend::kept_type`](super::Backend::kept_type). It stays as it was, whatever type the record is given.
    fn record_type(&self) -> Option<RecordType> {
        None
    }

    /// Changes owner, mode and times of this version, whatever has its name; without effect where they are not kept.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn set_attributes(&self, _change: &AttributeChange) -> Result<()> {
        Ok(())
    }

    /// Where the next bytes begin, at `offset` or behind it, that may be other than zero; the value's end if there are
    /// none. A backend that does not know of holes gives back `offset`.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn next_data(&self, offset: u64) -> Result<u64> {
        Ok(offset)
    }

    /// Where the next hole begins, at `offset` or behind it: bytes that are zero and take no room. The value's end if there is
    /// none.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn next_hole(&self, _offset: u64) -> Result<u64> {
        Ok(self.attributes()?.size)
    }

    /// Whether these bytes are on this machine, so that to read them waits for no network. Asked of values across one only.
    fn has(&self, _offset: u64, _len: u64) -> bool {
        true
    }

    /// Whether its bytes are across a network and better asked for when they are wanted: to copy it as a whole would be dear.
    fn is_far(&self) -> bool {
        false
    }

    /// A local file that holds the same bytes, where the backend has one to hand to the kernel.
    fn local_file(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
