//! Which problems the log was told of late.
//!
//! One `rm -r` of a store that cannot be changed fails for each of its records, and is one problem: the same operation, in
//! the same store, with the same error number. A problem is told once a minute at most, with the record that had it then,
//! and how many more there were.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::ranks::{Mutex, Table};

/// For so long a problem is not told again.
const PAUSE: Duration = Duration::from_secs(60);

/// So many problems are known; beyond that, they are told as if each were new, and it is the log that is bounded.
const MOST: usize = 1024;

/// Operation, store, and the system's number of the error.
pub(super) type Problem = (&'static str, String, i32);

/// The problems that were told of late.
#[derive(Debug, Default)]
pub(super) struct Problems {
    told: Mutex<Table, HashMap<Problem, Told>>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    /// So many more since then, of which nothing was told.
    more: u64,
}

impl Problems {
    /// Whether a problem is to be told now; then how many there were since it was told last.
    pub(super) fn judge(&self, problem: Problem, now: Instant) -> Option<u64> {
        let mut told = self.told.lock();
        if told.len() >= MOST {
            told.retain(|_, told| now.saturating_duration_since(told.at) < PAUSE);
        }
        if let Some(known) = told.get_mut(&problem) {
            if now.saturating_duration_since(known.at) < PAUSE {
                known.more += 1;
                return None;
            }
            known.at = now;
            return Some(std::mem::take(&mut known.more));
        }
        if told.len() < MOST {
            told.insert(problem, Told { at: now, more: 0 });
        }
        Some(0)
    }

    /// Takes those of which more is known than was told.
    pub(super) fn take_rest(&self) -> Vec<(Problem, u64)> {
        let told = std::mem::take(&mut *self.told.lock());
        let rest = told.into_iter().filter(|(_, told)| told.more > 0);
        rest.map(|(problem, told)| (problem, told.more)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_once_a_minute_with_how_many_there_were() {
        let (problems, begin) = (Problems::default(), Instant::now());
        let judge = |store: &str, errno, seconds| {
            let problem = ("unlink", store.to_owned(), errno);
            problems.judge(problem, begin + Duration::from_secs(seconds))
        };
        assert_eq!(judge("s", 1, 0), Some(0));
        for second in 1..60 {
            assert_eq!(judge("s", 1, second), None);
        }
        // Another one.
        assert_eq!((judge("t", 1, 1), judge("s", 2, 1)), (Some(0), Some(0)));
        assert_eq!(judge("s", 1, 60), Some(59));
        assert_eq!(judge("s", 1, 61), None);
        assert_eq!(problems.take_rest(), [(("unlink", "s".to_owned(), 1), 1)]);
        assert_eq!(problems.take_rest(), []);
    }

    #[test]
    fn so_many_problems_are_known_at_most() {
        let (problems, begin) = (Problems::default(), Instant::now());
        for number in 0..3 * MOST {
            let problem = ("open", number.to_string(), 5);
            assert_eq!(problems.judge(problem, begin), Some(0));
        }
        assert_eq!(problems.told.lock().len(), MOST);
    }
}
