//! Room on the medium; across a network as it was a moment ago, so that `df` waits for no server.

use std::time::{Duration, Instant};

use super::error::FsResult;
use super::system::FileSystem;
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

impl FileSystem {
    /// Room on the medium.
    ///
    /// # Errors
    /// What the storage says.
    pub fn statfs(&self) -> FsResult<Space> {
        let space = self.storage.space()?;
        if self.is_remote {
            *self.room.last.lock() = Some((space, Instant::now()));
        }
        Ok(space)
    }

    /// Room as the storage has told it of late, if it is across a network. Waits for nobody. Who is told that it is old
    /// has to ask: nobody else is told so for a while.
    #[must_use]
    pub fn known_space(&self) -> Option<KnownSpace> {
        let mut last = self.room.last.lock();
        let (space, at) = last.as_mut()?;
        let is_old = at.elapsed() > GOOD_FOR;
        if is_old {
            *at = Instant::now();
        }
        Some(KnownSpace { space: *space, is_old })
    }
}
