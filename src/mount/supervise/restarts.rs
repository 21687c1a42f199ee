//! How often a worker is started anew, and when no more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time over which restarts are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// How long the second worker in a row that has died before it served anybody is waited with. It doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// The longest wait.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// The restarts of one mount.
#[derive(Debug)]
pub(super) struct Restarts {
    most: u32,
    last: VecDeque<Instant>,
    /// How many workers in a row have died before they served.
    fruitless: u32,
}

impl Restarts {
    /// At most `most` in a minute.
    pub(super) fn at_most(most: u32) -> Self {
        Self { most, last: VecDeque::new(), fruitless: 0 }
    }

    /// A worker has died, which had served or had not. Gives back how long the next one is to be waited with; `None` if there is to be
    /// none.
    pub(super) fn next(&mut self, now: Instant, has_served: bool) -> Option<Duration> {
        while self.last.front().is_some_and(|first| now.duration_since(*first) > WINDOW) {
            self.last.pop_front();
        }
        if self.last.len() >= usize::try_from(self.most).unwrap_or(usize::MAX) {
            return None;
        }
        self.last.push_back(now);
        self.fruitless = if has_served { 0 } else { self.fruitless + 1 };
        // None for the first: whatever killed it may be over.
        let doublings = self.fruitless.checked_sub(2);
        let delay =
            doublings.map(|doublings| FIRST_DELAY * 2_u32.saturating_pow(doublings.min(10)));
        Some(delay.unwrap_or_default().min(LONGEST_DELAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loop_is_slowed_down_and_ends() {
        let begin = Instant::now();
        let mut restarts = Restarts::at_most(12);
        assert_eq!(restarts.next(begin, true), Some(Duration::ZERO));
        assert_eq!(restarts.next(begin, false), Some(Duration::ZERO));
        assert_eq!(restarts.next(begin, false), Some(FIRST_DELAY));
        assert_eq!(restarts.next(begin, false), Some(2 * FIRST_DELAY));
        assert_eq!(restarts.next(begin, true), Some(Duration::ZERO), "it has served");
        let delays: Vec<_> = (0..8).map_while(|_| restarts.next(begin, false)).collect();
        assert_eq!(delays.len(), 7, "the twelfth is the last in a minute");
        assert_eq!(delays.last(), Some(&Duration::from_millis(3200)));
        assert_eq!(restarts.next(begin + WINDOW * 2, false), Some(LONGEST_DELAY));
    }
}
