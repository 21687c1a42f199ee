//! The far version that staged bytes go on from: which of them are still there, and not in the staging file.
//!
//! Each byte of what is staged is in one of two places: *kept*, if nobody has written, zeroed, cut off or fetched it since,
//! in the version; else in the file. A byte that was kept once and is no longer never is again, so that what was cut off
//! does not come back.
//!
//! Everything is staged through `&self`, so these may happen at once. Whoever gives the file a byte does so *first*, and
//! says that it is kept no longer *afterwards*. Whoever reads asks *first* which bytes are kept, and reads then. So:
//!
//! - What a reader takes for kept is read from the version: old bytes. What was written before it asked is not kept any more.
//! - What a reader does not take for kept is in the file already: new bytes, or zeros that somebody wanted.
//! - Nobody reads the zeros of a hole that only stands for kept bytes.
//!
//! The lock is held over a change of the file together with what follows from it, so that what is fetched
//! ([`Staged::fill`](super::Staged::fill)) never lands on bytes that have been written since: it is put into the file only
//! where the version's bytes are kept still, which nobody changes meanwhile. It is never held over a read of the version.

use std::ops::Range;
use std::sync::Arc;

use super::ranges::Ranges;
use crate::backend::versions::Value;
use crate::ranks::{Mutex, TableEntry};

/// What is staged over a far version, as far as its bytes are still there.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The version.
    pub value: Arc<dyn Value>,
    /// Which of its bytes are those of what is staged, at the same offsets. Sorted, apart from each other, none empty.
    pub ranges: Vec<Range<u64>>,
}

/// The far version, if there is one of which any byte is kept.
#[derive(Debug, Default)]
pub(super) struct Base(Mutex<TableEntry, Option<FarVersion>>);

#[derive(Debug)]
struct FarVersion {
    value: Arc<dyn Value>,
    kept: Ranges,
}

impl Base {
    /// Keeps the first bytes of a version, and none of another any more.
    pub(super) fn begin(&self, value: Arc<dyn Value>, len: u64) {
        let kept = Ranges::up_to(len);
        let version = (len > 0).then_some(FarVersion { value, kept });
        // What was there is let go of when the lock is not held.
        let _before = std::mem::replace(&mut *self.0.lock(), version);
    }

    /// Does what gives the file the bytes of a range, which are not kept any more if that succeeds.
    pub(super) fn change<E>(
        &self,
        range: Range<u64>,
        act: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut version = self.0.lock();
        let Some(far) = &mut *version else {
            drop(version);
            return act();
        };
        act()?;
        far.kept.remove(range);
        let emptied = version.take_if(|far| far.kept.is_empty());
        drop(version);
        // Whatever it takes to let go of a version, it is done without the lock.
        drop(emptied);
        Ok(())
    }

    /// Gives the file what was fetched of a version from `offset` on, by `write` and piece by piece, as far as it is kept.
    pub(super) fn give<E>(
        &self,
        value: &Arc<dyn Value>,
        (offset, bytes): (u64, &[u8]),
        write: impl Fn(&[u8], u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut version = self.0.lock();
        // It may be another's by now, or nobody's.
        let Some(far) = version.as_mut().filter(|far| Arc::ptr_eq(&far.value, value)) else {
            return Ok(());
        };
        let end = offset.saturating_add(bytes.len() as u64);
        let pieces: Vec<_> = far.kept.within(offset..end).collect();
        for piece in pieces {
            let at = |of: u64| usize::try_from(of - offset).unwrap_or(usize::MAX);
            let bytes = bytes.get(at(piece.start)..at(piece.end)).unwrap_or_default();
            write(bytes, piece.start)?;
            far.kept.remove(piece);
        }
        let emptied = version.take_if(|far| far.kept.is_empty());
        drop(version);
        drop(emptied);
        Ok(())
    }

    /// What is kept of a range; `None` if nothing is.
    pub(super) fn kept(&self, range: Range<u64>) -> Option<Kept> {
        let version = self.0.lock();
        let far = version.as_ref()?;
        let ranges: Vec<_> = far.kept.within(range).collect();
        (!ranges.is_empty()).then(|| Kept { value: Arc::clone(&far.value), ranges })
    }

    /// The first kept range that reaches behind an offset.
    pub(super) fn next(&self, offset: u64) -> Option<Range<u64>> {
        self.0.lock().as_ref()?.kept.next(offset)
    }

    /// How many bytes are kept.
    pub(super) fn count(&self) -> u64 {
        self.0.lock().as_ref().map_or(0, |far| far.kept.count())
    }
}
