//! What only a place of staged bytes knows.

use std::any::Any;
use std::fmt::Debug;

use crate::backend::unpublished::StagedFor;
use crate::backend::versions::Value;
use crate::model::{Result, Unpublished};

/// What a backend knows of bytes that it has begun to stage: where their file is, and whose they are. What is discarded
/// without having been published goes with it.
pub trait StagedPlace: Any + Debug + Send + Sync {
    /// Refuses to write over a version that could not be replaced.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn admit(&self, _value: &dyn Value) -> Result<()> {
        Ok(())
    }

    /// Whether the file may be without bytes that are still in the far version which is written over. Not if the file
    /// itself becomes the record or is kept aside, nor unless who publishes asks for what is missing
    /// ([`Staged::kept`](super::Staged::kept), [`Staged::fill`](super::Staged::fill)).
    fn may_be_partial(&self) -> bool {
        false
    }

    /// Bytes up to `end` have been written.
    ///
    /// # Errors
    /// What the system says of writing them out.
    fn written(&self, _end: u64) -> rustix::io::Result<()> {
        Ok(())
    }

    /// There is no room for more. Gives back whether some has been made, so that the same may succeed.
    fn make_room(&self) -> bool {
        false
    }

    /// The bytes are another record's from now on, or nobody's.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn belongs_to(&mut self, _record: Option<&StagedFor<'_>>) -> Result<()> {
        Ok(())
    }

    /// Keeps the bytes aside, as [`Staged::keep_aside`](super::Staged::keep_aside) says.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn keep_aside(&mut self) -> Result<Option<Unpublished>> {
        Ok(None)
    }
}

/// A file without a name, that goes with its last descriptor.
#[derive(Debug)]
pub struct Unnamed;

impl StagedPlace for Unnamed {}

/// The same for a backend whose values are far, and which publishes also what is still there.
#[derive(Debug)]
pub struct Partial;

impl StagedPlace for Partial {
    fn may_be_partial(&self) -> bool {
        true
    }
}
