//! Versions of a record: a published one, and one in the making.

use std::fmt::Debug;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::{Publish, PublishError, StagedFor};
use crate::model::{AttributeChange, Attributes, RecordType, Result, Unpublished};

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

    /// A local file that holds the same bytes, where the backend has one to hand to the kernel.
    fn local_file(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A version of a record in the making, visible to nobody but its writers until [`Staging::publish`].
pub trait Staging: Debug + Send + Sync {
    /// Reads back at an offset; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Where the next bytes begin that may be other than zero, as [`Value::next_data`].
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn next_data(&self, offset: u64) -> Result<u64> {
        Ok(offset)
    }

    /// Where the next hole begins, as [`Value::next_hole`].
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn next_hole(&self, _offset: u64) -> Result<u64> {
        Ok(self.attributes()?.size)
    }

    /// Makes zeros of `len` bytes from `offset`, and a hole where the backend has such. The value's length stays: what lies
    /// behind its end is passed over.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        self.write_zeros(offset, len)
    }

    /// The same by writing, for a backend that has no holes.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn write_zeros(&self, offset: u64, len: u64) -> Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let end = offset.saturating_add(len).min(self.attributes()?.size);
        let mut at = offset;
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(ZEROS.len()).min(ZEROS.len());
            self.write_at(ZEROS.get(..most).unwrap_or_default(), at)?;
            at += most as u64;
        }
        Ok(())
    }

    /// Writes all of `data` at an offset.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`], such as ENOSPC.
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()>;

    /// Cuts or extends with zeroes.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn set_len(&self, len: u64) -> Result<()>;

    /// Reserves room for `len` bytes from `offset`, extending the value unless `keep_size`.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn reserve(&self, offset: u64, len: u64, keep_size: bool) -> Result<()>;

    /// Begins with the first `len` bytes of a published version, and with its owner and mode.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn begin_with(&self, value: &dyn Value, len: u64) -> Result<()>;

    /// Changes owner, mode and times; they pass to the published version.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn set_attributes(&self, change: &AttributeChange) -> Result<()>;

    /// Attributes of what is staged.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn attributes(&self) -> Result<Attributes>;

    /// The staged bytes are another record's from now on; with `None` nobody's any more, and not kept aside.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`].
    fn belongs_to(&mut self, _record: Option<&StagedFor<'_>>) -> Result<()> {
        Ok(())
    }

    /// Keeps the staged bytes aside, since their process is about to end. `None` if there is nothing to keep: no bytes,
    /// or those that are published, or a backend that cannot. They are not to be published afterwards.
    ///
    /// # Errors
    /// [`crate::model::Error::Io`]; then the bytes are where they were.
    fn keep_aside(&mut self) -> Result<Option<Unpublished>> {
        Ok(None)
    }

    /// Makes the staged bytes the record, in one step for every observer, and gives back the new version. An
    /// error leaves the old version in place and the staged bytes as they are.
    ///
    /// # Errors
    /// [`crate::model::Error::NoSuchStore`],
    /// [`crate::model::Error::RecordExists`], [`crate::model::Error::NoSuchRecord`] and [`crate::model::Error::RecordReplaced`] as `over` says,
    /// [`crate::model::Error::Io`].
    fn publish(self: Box<Self>, publish: &Publish<'_>) -> Result<Arc<dyn Value>, PublishError>;
}
