//! Threads that serve the kernel and have been given something to do, but no core or no medium to do it on.
//!
//! The kernel hands requests out in their order, but whoever has taken one may be held up before it has done what
//! the next one relies on. On a busy machine that takes many milliseconds.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::thread::{Pid, gettid};

/// How long is waited for what such a thread may have been given.
pub(super) const HELD_UP_FOR: Duration = Duration::from_secs(1);

/// How often it is looked whether it has come to rest.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How fuser begins the names of the threads that serve the kernel.
const SERVING: &str = "fuser-";

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

/// Whether a thread serves the kernel and runs, or waits for a core or a medium. It is at rest if it waits for a
/// request.
fn is_held_up(thread: Pid) -> bool {
    let file = Path::new("/proc/self/task").join(thread.to_string()).join("stat");
    // "NUMBER (NAME) STATE ...", where a name may hold anything (proc_pid_stat(5)).
    let is_it = |text: String| {
        let (before, after) = text.rsplit_once(") ")?;
        let (_, name) = before.split_once('(')?;
        Some(name.starts_with(SERVING) && !after.starts_with('S'))
    };
    fs::read_to_string(file).ok().and_then(is_it).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_that_serves_the_kernel_is_left_until_it_rests() {
        let rests = AtomicBool::new(false);
        thread::scope(|scope| {
            let named = |name: &str| thread::Builder::new().name(name.to_owned());
            let work = || {
                while !rests.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                thread::park();
            };
            let serving = named("fuser-9").spawn_scoped(scope, work).unwrap();
            let other = named("storefs-9").spawn_scoped(scope, work).unwrap();
            let mut stragglers = Stragglers::now();
            while stragglers.0.is_empty() {
                stragglers = Stragglers::now();
            }
            assert_eq!(stragglers.0.len(), 1, "only who serves the kernel");
            for _ in 0..10 {
                assert!(stragglers.are_left());
            }
            rests.store(true, Ordering::Relaxed);
            while stragglers.are_left() {
                thread::yield_now();
            }
            assert!(!Stragglers::now().are_left());
            serving.thread().unpark();
            other.thread().unpark();
        });
    }
}
