//! Threads for requests that wait, made as they are needed.
//!
//! Where no further thread can be made (`ulimit -u`, `TasksMax=`), those that there are do the work one after the other:
//! a request is never lost, and nobody spins. A job that nobody is there to do is given back to whoever has brought it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// How long a thread that has nothing to do stays, so that the next request finds one. The first one stays for good.
const IDLE_FOR: Duration = Duration::from_secs(10);

/// More threads than this would wait for the same few records and the same medium.
const MOST_THREADS: usize = 512;

/// Something to be done.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The pool of one mount.
#[derive(Default)]
pub(super) struct Pool {
    /// A leaf lock.
    state: Mutex<State>,
    /// Signalled for each job that is brought.
    brought: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    /// Makes the first thread, which stays.
    ///
    /// # Errors
    /// The system's answer if it makes none.
    pub(super) fn begin(self: &Arc<Self>) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.threads == 0 {
            self.add_thread(&mut state)?;
        }
        Ok(())
    }

    /// Has a job done by some thread of the pool. Gives it back if there is none and none can be made.
    pub(super) fn take(self: &Arc<Self>, job: Job) -> Result<(), Job> {
        let mut state = self.state.lock();
        state.jobs.push_back(job);
        if state.jobs.len() > state.idle
            && state.threads < MOST_THREADS
            && let Err(error) = self.add_thread(&mut state)
        {
            log::debug!("no further thread for requests that wait: {error}");
            if state.threads == 0
                && let Some(job) = state.jobs.pop_back()
            {
                return Err(job);
            }
        }
        drop(state);
        self.brought.notify_one();
        Ok(())
    }

    fn add_thread(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let pool = Arc::clone(self);
        let thread = thread::Builder::new().name("storefs-pool".to_owned());
        thread.spawn(move || pool.work())?;
        state.threads += 1;
        Ok(())
    }

    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            while let Some(job) = state.jobs.pop_front() {
                drop(state);
                // What a request panics with is told to its caller; whatever panics besides must not cost a thread.
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                    log::error!("a request that was handed over panicked");
                }
                state = self.state.lock();
            }
            state.idle += 1;
            let timed_out = self.brought.wait_for(&mut state, IDLE_FOR).timed_out();
            state.idle -= 1;
            if timed_out && state.jobs.is_empty() && state.threads > 1 {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn as_many_jobs_as_are_brought_are_at_work_at_once() {
        let pool = Arc::new(Pool::default());
        pool.begin().unwrap();
        let (arrived, arrives) = mpsc::channel();
        let mut finishes = Vec::new();
        for _ in 0..20 {
            let (finish, finished) = mpsc::channel::<()>();
            let arrived = arrived.clone();
            finishes.push(finish);
            let job = move || {
                arrived.send(()).unwrap();
                let _ = finished.recv();
            };
            assert!(pool.take(Box::new(job)).is_ok());
        }
        for _ in 0..20 {
            arrives.recv_timeout(Duration::from_secs(60)).unwrap();
        }
    }

    #[test]
    fn a_job_that_panics_costs_no_thread() {
        let pool = Arc::new(Pool::default());
        assert!(pool.take(Box::new(|| panic!("on purpose"))).is_ok());
        let (done, is_done) = mpsc::channel();
        assert!(pool.take(Box::new(move || done.send(()).unwrap())).is_ok());
        is_done.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}
