//! A log that tells each problem once.
//!
//! Whoever uses a mount can repeat what is logged as often as he likes: one damaged sidecar is met by each `ls -l`. So a
//! line that was written is not written again for a day, and when a day has had so many different ones of a level that no
//! more are remembered, the log says so and keeps silent until there is room again. What is asked for with `-vv` is not
//! limited.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use log::{Level, Log, Metadata, Record};
use parking_lot::Mutex;

/// The levels that are limited.
const LEVELS: [Level; 3] = [Level::Error, Level::Warn, Level::Info];

/// So many different lines of a level are written in the time for which one is remembered.
const MOST: usize = 1024;

/// For so long a line is not written again.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// Passes on to another log what has not been told yet.
pub(super) struct ToldOnce<L> {
    inner: L,
    /// One for each level, so that many warnings hide no error. A leaf without a rank: lines are written whatever lock is
    /// held.
    told: [Mutex<Told>; LEVELS.len()],
}

impl<L: Log> ToldOnce<L> {
    pub(super) fn new(inner: L) -> Self {
        Self { inner, told: LEVELS.map(|_| Mutex::default()) }
    }
}

impl<L: Log> Log for ToldOnce<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let level = LEVELS.iter().position(|level| *level == record.level());
        let Some(told) = level.and_then(|level| self.told.get(level)) else {
            return self.inner.log(record);
        };
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut hasher = DefaultHasher::new();
        (record.target(), record.args().to_string()).hash(&mut hasher);
        // The lock is released before anything is written.
        let verdict = told.lock().judge(hasher.finish(), Instant::now());
        match verdict {
            Verdict::Tell => self.inner.log(record),
            Verdict::TellThatFull => self.inner.log(
                &Record::builder()
                    .metadata(record.metadata().clone())
                    .args(format_args!(
                        "{MOST} different problems were told within a day: what else there is is not told; \
                         'storefs doctor' lists what is wrong with a storage"
                    ))
                    .build(),
            ),
            Verdict::Silence => {}
        }
    }

    fn flush(&self) {
        self.inner.flush();
    }
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Tell,
    /// No more can be remembered, which is told once.
    TellThatFull,
    Silence,
}

/// The lines that were written, by their hashes.
#[derive(Debug, Default)]
struct Told {
    since: HashMap<u64, Instant>,
    order: VecDeque<u64>,
    is_full: bool,
}

impl Told {
    fn judge(&mut self, line: u64, now: Instant) -> Verdict {
        let is_over = |since: &Instant| now.saturating_duration_since(*since) >= REMEMBERED;
        while let Some(oldest) = self.order.front()
            && self.since.get(oldest).is_none_or(is_over)
        {
            self.since.remove(oldest);
            self.order.pop_front();
            self.is_full = false;
        }
        if self.since.contains_key(&line) {
            return Verdict::Silence;
        }
        if self.order.len() >= MOST {
            let was_told = std::mem::replace(&mut self.is_full, true);
            return if was_told { Verdict::Silence } else { Verdict::TellThatFull };
        }
        self.since.insert(line, now);
        self.order.push_back(line);
        Verdict::Tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_once_a_day() {
        let (mut told, begin) = (Told::default(), Instant::now());
        assert_eq!(told.judge(1, begin), Verdict::Tell);
        assert_eq!(told.judge(2, begin + REMEMBERED / 2), Verdict::Tell);
        for moment in [begin, begin + REMEMBERED / 2, begin + REMEMBERED - Duration::from_secs(1)] {
            assert_eq!(told.judge(1, moment), Verdict::Silence);
        }
        assert_eq!(told.judge(1, begin + REMEMBERED), Verdict::Tell);
        assert_eq!(told.judge(2, begin + REMEMBERED), Verdict::Silence);
    }

    #[test]
    fn so_many_lines_are_told_a_day_and_that_there_are_more() {
        let (mut told, begin) = (Told::default(), Instant::now());
        let verdicts = |told: &mut Told, now: Instant| {
            let all: Vec<_> = (0..10 * MOST as u64).map(|line| told.judge(line, now)).collect();
            [Verdict::Tell, Verdict::TellThatFull]
                .map(|wanted| all.iter().filter(|verdict| **verdict == wanted).count())
        };
        assert_eq!(verdicts(&mut told, begin), [MOST, 1]);
        assert_eq!(verdicts(&mut told, begin + REMEMBERED / 2), [0, 0]);
        assert_eq!((told.since.len(), told.order.len()), (MOST, MOST));
        assert_eq!(verdicts(&mut told, begin + REMEMBERED), [MOST, 1]);
    }

    struct Kept(Mutex<Vec<String>>);

    impl Log for &Kept {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.level() <= Level::Debug
        }

        fn log(&self, record: &Record<'_>) {
            if self.enabled(record.metadata()) {
                self.0.lock().push(record.args().to_string());
            }
        }

        fn flush(&self) {}
    }

    #[test]
    fn lines_that_differ_are_told_and_debugging_is_not_limited() {
        let kept = Kept(Mutex::new(Vec::new()));
        let log = ToldOnce::new(&kept);
        for (level, text) in [
            (Level::Warn, "a"),
            (Level::Warn, "a"),
            (Level::Error, "a"),
            (Level::Warn, "b"),
            (Level::Debug, "d"),
            (Level::Debug, "d"),
            (Level::Trace, "t"),
        ] {
            log.log(&Record::builder().level(level).args(format_args!("{text}")).build());
        }
        assert_eq!(*kept.0.lock(), ["a", "a", "b", "d", "d"]);
    }
}
