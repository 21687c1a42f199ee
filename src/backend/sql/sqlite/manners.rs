//! Others get their turn.
//!
//! SQLite has no queue for the lock that writers take: who finds it taken looks again after some milliseconds, up to a
//! hundred. A mount that writes as fast as it can has the lock nearly all the time, so that a client beside it would find
//! it free by luck only. So as long as others write too, our own transactions leave room between them.

use std::time::{Duration, Instant};

use crate::ranks::{Mutex, TableEntry};

/// Room between two transactions of ours; most take a tenth of it.
const ROOM: Duration = Duration::from_millis(1);
/// How long after a commit of another's they are taken to be writing.
const AFTER_OTHERS: Duration = Duration::from_secs(1);

/// Who has written when.
#[derive(Debug, Default)]
pub(super) struct Manners {
    seen: Mutex<TableEntry, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    ours: Option<Instant>,
    others: Option<Instant>,
    /// The writer's `data_version` at its last transaction.
    data_version: Option<i64>,
}

impl Manners {
    /// Waits, before a transaction of ours, until others have had room for theirs.
    pub(super) fn wait(&self) {
        let wait = {
            let seen = self.seen.lock();
            let is_shared = seen.others.is_some_and(|at| at.elapsed() < AFTER_OTHERS);
            let since = seen.ours.filter(|_| is_shared).map(|at| at.elapsed());
            since.and_then(|since| ROOM.checked_sub(since))
        };
        if let Some(wait) = wait {
            std::thread::sleep(wait);
        }
    }

    /// Notes the number, when a transaction of ours begins or when it is asked for besides, that tells the writer of others' commits.
    pub(super) fn begun(&self, data_version: i64) {
        let mut seen = self.seen.lock();
        if seen.data_version.is_some_and(|known| known != data_version) {
            seen.others = Some(Instant::now());
        }
        seen.data_version = Some(data_version);
    }

    /// The writer's `data_version` as it was told last.
    pub(super) fn data_version(&self) -> Option<i64> {
        self.seen.lock().data_version
    }

    /// Notes that it has ended.
    pub(super) fn ended(&self) {
        self.seen.lock().ours = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_only_for_others_who_write() {
        let manners = Manners::default();
        let hundred = |begin: &dyn Fn(i64) -> i64| {
            let before = Instant::now();
            for round in 0..100 {
                manners.wait();
                manners.begun(begin(round));
                manners.ended();
            }
            before.elapsed()
        };
        assert!(hundred(&|_| 7) < 50 * ROOM);
        assert!(hundred(&|round| round) > 90 * ROOM);
    }
}
