//! The first failure of a write session, told again at each further call.

use std::sync::atomic::{AtomicI32, Ordering};

use crate::fs::error::{self, FsError, FsResult};
use crate::model::Error;

/// The error number of the first failure of a session; 0 as long as there is none.
#[derive(Debug, Default)]
pub(super) struct Failure(AtomicI32);

impl Failure {
    pub(super) fn has_happened(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// After a failure, what is staged may be in the record's place already, and must not change any more.
    pub(super) fn refuse(&self) -> FsResult<()> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            number => Err(FsError::Failed(number)),
        }
    }

    pub(super) fn note(&self, error: &Error) {
        self.note_number(error::number_of(error));
    }

    /// Fails the session if a panic passes before this is dropped: what the writer meant is then not what is staged.
    pub(super) fn on_panic(&self) -> FailsOnPanic<'_> {
        FailsOnPanic(self)
    }

    fn note_number(&self, number: i32) {
        let _ = self.0.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// See [`Failure::on_panic`].
pub(super) struct FailsOnPanic<'a>(&'a Failure);

impl Drop for FailsOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.note_number(libc::EIO);
        }
    }
}
