//! Threads that serve the kernel and have been given something to do, but no core or no medium to do it on.
//!
//! The kernel hands requests out in their order, but whoever has taken one may be held up before it has done what
//! the next one relies on. On a busy machine that takes many milliseconds.

use std::fs;
use std::time::Duration;

use rustix::thread::{Pid, gettid};

use super::processes::SystemCall;

/// How long is waited for what such a thread may have been given.
pub(super) const HELD_UP_FOR: Duration = Duration::from_secs(1);

/// How often it is looked whether it has come to rest.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How fuser begins the names of the threads that take requests from the kernel; a number follows.
const TAKING: &str = "fuser-";

/// Threads that were held up, and have not been seen at rest since.
#[derive(Debug)]
pub(super) struct Stragglers(Vec<Pid>);

impl Stragglers {
    /// All of this moment but the calling thread. None where `/proc` does not tell.
    pub(super) fn now() -> Self {
        let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let numbers = threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok());
        let own = gettid();
        let others = numbers.filter_map(Pid::from_raw).filter(|thread| *thread != own);
        Self(others.filter(|thread| is_held_up(*thread)).collect())
    }

    /// Whether any has still not come to rest: what it was given before, it may not have begun.
    pub(super) fn are_left(&mut self) -> bool {
        self.0.retain(|thread| is_held_up(*thread));
        !self.0.is_empty()
    }
}

/// Whether a thread serves the kernel and is at something: it runs, or waits for a core, a medium or a lock. It is at
/// rest if it waits for a request.
fn is_held_up(thread: Pid) -> bool {
    let number = thread.as_raw_nonzero().get().cast_unsigned();
    // "NUMBER (NAME) STATE ...", where a name may hold anything (proc_pid_stat(5)).
    let is_it = |stat: String| {
        let (before, after) = stat.rsplit_once(") ")?;
        let (_, name) = before.split_once('(')?;
        let takes = name.strip_prefix(TAKING)?;
        if !after.starts_with('S') {
            return Some(true);
        }
        // The one that is called otherwise waits for these.
        let is_numbered = takes.bytes().all(|byte| byte.is_ascii_digit());
        Some(is_numbered && !SystemCall::of(number)?.reads())
    };
    fs::read_to_string(format!("/proc/self/task/{number}/stat"))
        .ok()
        .and_then(is_it)
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write, pipe};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn a_thread_that_serves_the_kernel_is_left_until_it_waits_for_a_request() {
        let (runs, lock) = (AtomicBool::new(true), Mutex::new(()));
        let (mut requests, mut kernel) = pipe().unwrap();
        let mut requests_of_other = requests.try_clone().unwrap();
        thread::scope(|scope| {
            let named = |name: &str| thread::Builder::new().name(name.to_owned());
            let work = || {
                while runs.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                drop(lock.lock());
            };
            let held = lock.lock();
            let serve = move || (work(), requests.read_exact(&mut [0]).unwrap());
            let other = move || (work(), requests_of_other.read_exact(&mut [0]).unwrap());
            named("fuser-9").spawn_scoped(scope, serve).unwrap();
            named("storefs-9").spawn_scoped(scope, other).unwrap();
            let mut stragglers = Stragglers::now();
            while stragglers.0.is_empty() {
                stragglers = Stragglers::now();
            }
            assert_eq!(stragglers.0.len(), 1, "only who serves the kernel");
            assert!(stragglers.are_left());
            runs.store(false, Ordering::Relaxed);
            for _ in 0..50 {
                assert!(stragglers.are_left(), "it waits for a lock, and not for a request");
                thread::sleep(LOOK_EVERY);
            }
            drop(held);
            while stragglers.are_left() {
                thread::yield_now();
            }
            assert!(!Stragglers::now().are_left());
            kernel.write_all(&[0; 2]).unwrap();
        });
    }
}
