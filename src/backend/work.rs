//! What a storage that is no directory has been asked, and what it keeps of the answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::histogram::{Histogram, Times};

/// What a storage has done so far.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// How long its calls took, with what was tried again.
    pub(crate) times: Times,
    /// Calls that failed in the end.
    pub(crate) failures: u64,
    /// How often one was tried again.
    pub(crate) retries: u64,
    /// Bytes of values that are kept in memory.
    pub(crate) memory_bytes: u64,
    /// Bytes of values that are kept in local files.
    pub(crate) spool_bytes: u64,
}

/// Counts the calls of a database: transactions, or round trips to a server.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    times: Histogram,
    failures: AtomicU64,
    retries: AtomicU64,
}

impl Calls {
    /// Makes a call and counts it.
    pub(crate) fn count<T, E>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let began = Instant::now();
        let outcome = call();
        self.times.add(began.elapsed());
        if outcome.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    /// A call has been made that took so long.
    #[cfg(feature = "s3")]
    pub(crate) fn note(&self, took: std::time::Duration, has_failed: bool) {
        self.times.add(took);
        if has_failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A call is tried again.
    #[cfg_attr(not(any(feature = "postgres", feature = "s3")), allow(dead_code))]
    pub(crate) fn note_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn work(&self) -> Work {
        Work {
            times: self.times.times(),
            failures: self.failures.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            ..Work::default()
        }
    }
}
