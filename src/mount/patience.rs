//! Waiting for a source that comes up later: a directory that is on a medium not there yet, a server that is just starting.

use std::thread;
use std::time::{Duration, Instant};

use crate::Error;
use crate::model::BackendErrorKind;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a source is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    until: Instant,
}

impl Patience {
    /// It ends so long from now. The first try is made in any case.
    pub(super) fn of(time: Duration) -> Self {
        let now = Instant::now();
        Self { until: now.checked_add(time).unwrap_or(now) }
    }

    /// Whether nothing is waited for any more.
    pub(super) fn is_over(self) -> bool {
        Instant::now() >= self.until
    }

    /// Tries again until it succeeds, fails for a reason that does not pass by itself, or time is over, or nobody waits for
    /// it any more.
    ///
    /// # Errors
    /// Those of the last try.
    pub(super) fn attempt<T>(
        self,
        source: &str,
        mut is_given_up: impl FnMut() -> bool,
        mut attempt: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut is_told = false;
        loop {
            let error = match attempt() {
                Err(error) if may_pass(&error) => error,
                done => return done,
            };
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() || is_given_up() {
                return Err(error);
            }
            if !std::mem::replace(&mut is_told, true) {
                let seconds = left.as_secs_f64().ceil();
                log::warn!("'{source}' is waited for, {seconds} s at most: {error}");
            }
            thread::sleep(left.min(PAUSE));
        }
    }
}

/// Whether the same may succeed later without anybody doing something about it.
fn may_pass(error: &Error) -> bool {
    let Error::Backend { kind, .. } = error else { return error.is_not_found() };
    matches!(
        kind,
        BackendErrorKind::Unreachable | BackendErrorKind::TimedOut | BackendErrorKind::Busy
    )
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn missing() -> Error {
        Error::io("find it", io::Error::from_raw_os_error(libc::ENOENT))
    }

    #[test]
    fn what_may_come_is_waited_for_and_nothing_else() {
        let patience = Patience::of(Duration::from_secs(60));
        let mut tries = 0;
        let mut third = || {
            tries += 1;
            if tries < 3 { Err(missing()) } else { Ok(tries) }
        };
        assert_eq!(patience.attempt("s", || false, &mut third).unwrap(), 3);
        let mut tries = 0;
        let mut denied = || {
            tries += 1;
            Err::<(), _>(Error::io("read it", io::Error::from_raw_os_error(libc::EACCES)))
        };
        assert!(patience.attempt("s", || false, &mut denied).is_err());
        assert_eq!(tries, 1);
    }

    #[test]
    fn without_patience_there_is_one_try_and_who_gives_up_ends_it() {
        for (patience, gives_up) in [(Duration::ZERO, false), (Duration::from_secs(3600), true)] {
            let mut tries = 0;
            let mut never = || {
                tries += 1;
                Err::<(), _>(missing())
            };
            assert!(Patience::of(patience).attempt("s", || gives_up, &mut never).is_err());
            assert_eq!(tries, 1);
        }
    }
}
