//! Room on the medium; across a network as it was a moment ago, so that `df` waits for no server.

use std::time::{Duration, Instant};

use crate::model::Space;
use crate::ranks::{Mutex, TableEntry};

/// How long an answer is good enough. An older one is told too, and asked for anew.
const GOOD_FOR: Duration = Duration::from_secs(10);

/// What a storage across a network has said last.
#[derive(Debug, Default)]
pub(super) struct Room {
    last: Mutex<TableEntry, Option<(Space, Instant)>>,
}

/// Room that is known without asking.
#[derive(Clone, Copy, Debug)]
pub struct KnownSpace {
    /// The room.
    pub space: Space,
    /// Whether it had better be asked for anew, for those who ask next.
    pub is_old: bool,
}

impl Room {
    /// Notes what the storage has said.
    pub(super) fn note(&self, space: Space) {
        *self.last.lock() = Some((space, Instant::now()));
    }

    /// What is known. Who is told that it is old has to ask: nobody else is told so for a while.
    pub(super) fn known(&self) -> Option<KnownSpace> {
        let mut last = self.last.lock();
        let (space, at) = last.as_mut()?;
        let is_old = at.elapsed() > GOOD_FOR;
        if is_old {
            *at = Instant::now();
        }
        Some(KnownSpace { space: *space, is_old })
    }
}
