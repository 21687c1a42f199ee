//! Where requests wait for a medium, or for one another, without holding up those that need nothing.
//!
//! A few threads take requests from the kernel, and each is taken up by its request. So those that may wait are counted:
//! only some of the threads may do such at a time, and what comes beyond that is done by threads of a pool. Without
//! contention nothing is handed over, which would cost more than most requests take.
//!
//! Across a network a round trip takes longer than that. There each request that may wait is handed over, so that those
//! threads are always there for what needs nothing.

use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::pool::{Job, Pool};

/// Threads that take requests from the kernel; more would only compete for the same disk.
pub(crate) const SERVING_THREADS: usize = 4;

/// So many of them may be at requests that wait. The others are there for all that need nothing.
const MOST_WAITING: usize = SERVING_THREADS / 2;

/// The requests that may be waiting. A leaf lock.
#[derive(Debug)]
pub(super) struct Waiting {
    /// So many may be on the threads that take requests.
    most_here: usize,
    counts: Mutex<Counts>,
    /// Signalled when none is elsewhere any more.
    done: Condvar,
    pool: Arc<Pool>,
}

#[derive(Debug, Default)]
struct Counts {
    /// On the threads that take requests.
    here: usize,
    /// On threads of the pool.
    elsewhere: usize,
}

/// That a request may be waiting on this thread.
struct Place<'a> {
    waiting: &'a Waiting,
    is_here: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut counts = self.waiting.counts.lock();
        if self.is_here {
            counts.here -= 1;
        } else {
            counts.elsewhere -= 1;
            if counts.elsewhere == 0 {
                self.waiting.done.notify_all();
            }
        }
    }
}

impl Waiting {
    /// With a thread that is there for requests that wait, however many the system lets us make later.
    ///
    /// # Errors
    /// The system's answer if it makes none.
    pub(super) fn begin() -> io::Result<Self> {
        Self::with(MOST_WAITING)
    }

    /// The same, for a storage across a network: what may wait is always served by the pool.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub(super) fn elsewhere() -> io::Result<Self> {
        Self::with(0)
    }

    fn with(most_here: usize) -> io::Result<Self> {
        let (counts, done, pool) = (Mutex::default(), Condvar::new(), Arc::<Pool>::default());
        pool.begin()?;
        Ok(Self { most_here, counts, done, pool })
    }

    /// Serves a request that may wait: here if enough other threads are left, else on a thread of the pool.
    pub(super) fn serve(self: &Arc<Self>, serve: impl FnOnce() + Send + 'static) {
        let is_here = {
            let mut counts = self.counts.lock();
            let is_here = counts.here < self.most_here;
            if is_here {
                counts.here += 1
            } else {
                counts.elsewhere += 1
            }
            is_here
        };
        if is_here {
            let _place = Place { waiting: self, is_here };
            return serve();
        }
        let waiting = Arc::clone(self);
        let elsewhere: Job = Box::new(move || {
            let _place = Place { waiting: &waiting, is_here: false };
            serve();
        });
        // Better late than never.
        if let Err(job) = self.pool.take(elsewhere) {
            job();
        }
    }

    /// Waits until nothing is served elsewhere: what a release publishes there must not be cut off.
    pub(super) fn wait(&self) {
        let mut counts = self.counts.lock();
        while counts.elsewhere > 0 {
            self.done.wait(&mut counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn threads_are_left_for_requests_that_need_nothing() {
        let waiting = Arc::new(Waiting::begin().unwrap());
        let (finish, finished) = mpsc::channel::<()>();
        let finished = Arc::new(Mutex::new(finished));
        let (begun, begins) = mpsc::channel();
        let request = |begun: mpsc::Sender<thread::ThreadId>| {
            let finished = Arc::clone(&finished);
            move || {
                begun.send(thread::current().id()).unwrap();
                finished.lock().recv().unwrap();
            }
        };
        let mut serving = Vec::new();
        for _ in 0..MOST_WAITING {
            let (waiting, request) = (Arc::clone(&waiting), request(begun.clone()));
            serving.push(thread::spawn(move || waiting.serve(request)));
            let id = begins.recv().unwrap();
            assert_eq!(id, serving.last().unwrap().thread().id(), "it waits where it was taken");
        }
        // Comes back although what it serves has not: this thread could take the next request.
        waiting.serve(request(begun.clone()));
        assert_ne!(begins.recv().unwrap(), thread::current().id());
        for _ in 0..=MOST_WAITING {
            finish.send(()).unwrap();
        }
        waiting.wait();
        serving.into_iter().for_each(|thread| thread.join().unwrap());
        let counts = waiting.counts.lock();
        assert_eq!((counts.here, counts.elsewhere), (0, 0));
    }
}
