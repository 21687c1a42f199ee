//! How bytes of a value come.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, Weak};

use super::cache::Kept;
use super::failure::Failure;
use crate::model::Result;

/// Fetches bytes of one version of a value.
pub(crate) trait FetchPart: Debug + Send + Sync {
    /// Begins to fetch the bytes of a range, which is not empty, and returns at once; what has come is told to
    /// `arriving`, on whichever thread.
    ///
    /// No bytes of another version are ever told. That this version is gone, and be it with its record, is
    /// [`RecordReplaced`](crate::model::Error::RecordReplaced), and nothing more is asked for then; after any other
    /// error the same range may be asked for again.
    fn begin(&self, range: Range<u64>, arriving: Arriving);
}

/// A part that is being fetched: takes its bytes as they come, in order.
///
/// It writes to the disk, so a runtime calls it where that may block. Who drops it before [`end`](Self::end) says that
/// the fetch was broken off.
#[derive(Debug)]
pub(crate) struct Arriving {
    /// The value, unless nobody has it any more.
    kept: Weak<Kept>,
    part: u64,
    /// Bytes that are still to come.
    rest: Range<u64>,
    has_ended: bool,
}

impl Arriving {
    pub(super) fn new(kept: &Arc<Kept>, part: u64, bytes: Range<u64>) -> Self {
        Self { kept: Arc::downgrade(kept), part, rest: bytes, has_ended: false }
    }

    /// Takes the next bytes, in pieces, which readers get at at once. Tells whether the fetch is to go on: not if nobody has the
    /// value any more, if the bytes could not be written, or if there are more than were asked for.
    #[must_use = "a fetch that nobody wants goes on"]
    pub(crate) fn take(&mut self, pieces: &[impl AsRef<[u8]>]) -> bool {
        let Some(kept) = self.kept.upgrade() else { return false };
        let len = pieces.iter().map(|piece| piece.as_ref().len() as u64).sum::<u64>();
        if self.has_ended || len == 0 {
            return !self.has_ended;
        }
        if len > self.rest.end - self.rest.start {
            self.close(Some(Failure::damaged("more has come than was asked for")));
            return false;
        }
        // Nobody else writes there, and no part goes that is on its way.
        for piece in pieces {
            if let Err(error) = kept.cache.write(&kept.file, piece.as_ref(), self.rest.start) {
                self.close(Some(error.into()));
                return false;
            }
            self.rest.start += piece.as_ref().len() as u64;
        }
        kept.cache.state.lock().note_come(kept.number, self.part, len);
        if self.rest.is_empty() {
            self.has_ended = true;
            kept.cache.trim();
        }
        true
    }

    /// No more comes: all has, or an error.
    pub(crate) fn end(mut self, outcome: Result<()>) {
        let failure = match outcome {
            Err(error) => Some(error.into()),
            Ok(()) if self.rest.is_empty() => None,
            Ok(()) => Some(Failure::damaged("it ends too early")),
        };
        self.close(failure);
    }

    /// Takes all that comes, or an error, in one.
    #[cfg(test)]
    pub(crate) fn done(mut self, outcome: Result<impl AsRef<[u8]>>) {
        match outcome {
            Ok(bytes) => {
                if self.take(&[bytes]) {
                    self.end(Ok(()));
                }
            }
            Err(error) => self.end(Err(error)),
        }
    }

    fn close(&mut self, failure: Option<Failure>) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        if let Some(kept) = self.kept.upgrade() {
            kept.cache.state.lock().note_end(kept.number, self.part, failure);
            // What nobody waits for may be too much by now.
            kept.cache.trim();
        }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.close(Some(Failure::broken_off()));
    }
}
