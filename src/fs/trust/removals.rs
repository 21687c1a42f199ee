//! Records that this mount has removed a moment ago: what a listing was told of them before holds no more.

use std::collections::VecDeque;

use crate::ranks::{Mutex, Table};

/// So many removals are remembered. What was told before the oldest of them is told anew.
const MOST_REMEMBERED: usize = 1024;

/// The removals, by the hashes of the records' names: that two have the same one costs a look.
#[derive(Debug, Default)]
pub(super) struct Removals {
    all: Mutex<Table, All>,
}

#[derive(Debug, Default)]
struct All {
    /// How many there have been.
    count: u64,
    /// The names of the last of them.
    last: VecDeque<u64>,
}

impl Removals {
    /// A record was removed.
    pub(super) fn note(&self, name: u64) {
        let mut all = self.all.lock();
        all.count += 1;
        if all.last.len() == MOST_REMEMBERED {
            all.last.pop_front();
        }
        all.last.push_back(name);
    }

    /// Any number of records was removed.
    pub(super) fn note_many(&self) {
        let mut all = self.all.lock();
        // As if more had been removed than are remembered.
        all.count += 1;
        all.last.clear();
    }

    /// How many removals there have been.
    pub(super) fn count(&self) -> u64 {
        self.all.lock().count
    }

    /// Whether a record may have been removed since there were so many.
    pub(super) fn is_since(&self, name: impl FnOnce() -> u64, count: u64) -> bool {
        let all = self.all.lock();
        let since = usize::try_from(all.count.saturating_sub(count)).unwrap_or(usize::MAX);
        if since == 0 {
            return false;
        }
        let name = name();
        since > all.last.len() || all.last.iter().rev().take(since).any(|last| *last == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_is_known_from_its_moment_on() {
        let removals = Removals::default();
        removals.note(1);
        let moment = removals.count();
        assert!(!removals.is_since(|| 1, moment));
        removals.note(2);
        assert!(removals.is_since(|| 2, moment) && !removals.is_since(|| 1, moment));
        for name in 0..MOST_REMEMBERED as u64 {
            removals.note(1000 + name);
        }
        assert!(removals.is_since(|| 1, moment), "more than are remembered");
        let moment = removals.count();
        removals.note_many();
        assert!(removals.is_since(|| 1, moment), "it may be one of the many");
        let moment = removals.count();
        removals.note(5);
        assert!(removals.is_since(|| 5, moment) && !removals.is_since(|| 1, moment));
    }
}
