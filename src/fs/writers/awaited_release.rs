//! A release that the kernel has queued, and that is to publish what the close before it has left.

use std::time::{Duration, Instant};

use crate::fs::stragglers::{HELD_UP_FOR, LOOK_EVERY, Stragglers};
use crate::ranks::{Condvar, Mutex, TableEntry};

/// How long a look at a record waits for it.
///
/// A shell's `> file` closes a duplicate before it writes, so a close with nothing but a truncation behind it
/// does not publish where it cannot be seen whether a duplicate is left. If it was the last close, the release follows
/// at once and publishes; a look that comes between the two waits for it, since close() has returned. Only a bound:
/// nobody waits longer than it takes.
const RELEASE_FOLLOWS_WITHIN: Duration = Duration::from_millis(20);

/// The release of a session's handle, if one is awaited. Looked at without waiting for what is done to the session.
#[derive(Debug, Default)]
pub(super) struct AwaitedRelease {
    /// When the handle was closed, if that was the last close.
    closed_at: Mutex<TableEntry, Option<Instant>>,
    /// Signalled when the release has come.
    has_come: Condvar,
}

impl AwaitedRelease {
    /// A close has left something to publish.
    pub(super) fn begin(&self) {
        *self.closed_at.lock() = Some(Instant::now());
    }

    /// No release is to publish what a close has left.
    pub(super) fn has_come(&self) {
        *self.closed_at.lock() = None;
        self.has_come.notify_all();
    }

    /// Waits for it, so that what close() promised is true. Not for who holds the record: the release does.
    pub(super) fn wait(&self) {
        let mut held_up: Option<Stragglers> = None;
        let mut closed_at = self.closed_at.lock();
        while let Some(at) = *closed_at {
            let waited = at.elapsed();
            let pause = if waited < RELEASE_FOLLOWS_WITHIN {
                RELEASE_FOLLOWS_WITHIN - waited
            } else {
                drop(closed_at);
                let are_left = held_up.get_or_insert_with(Stragglers::now).are_left();
                if waited >= HELD_UP_FOR || !are_left {
                    return;
                }
                closed_at = self.closed_at.lock();
                LOOK_EVERY
            };
            self.has_come.wait_for(&mut closed_at, pause);
        }
    }
}
