//! The thread that ends what is kept of purges, in a process that lives long enough.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::ranks::{Mutex, Table};

/// So long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Looks after what is kept, once something is. Until then there is no thread, and while nothing is kept it sleeps.
#[derive(Default)]
pub(super) struct KeptKeeper {
    worker: Mutex<Table, Option<Worker>>,
}

struct Worker {
    wake: Sender<()>,
    thread: JoinHandle<()>,
}

impl fmt::Debug for KeptKeeper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeptKeeper").finish_non_exhaustive()
    }
}

impl KeptKeeper {
    /// Something is kept in the storage. `end` ends what is over, and gives back in what time to do that again, if anything
    /// is kept.
    pub(super) fn wake(&self, end: impl Fn() -> io::Result<Option<Duration>> + Send + 'static) {
        let mut worker = self.worker.lock();
        if worker.is_none() {
            let (wake, woken) = channel();
            let thread = thread::Builder::new().name("storefs-keeper".to_owned());
            match thread.spawn(move || keep(&woken, end)) {
                Ok(thread) => *worker = Some(Worker { wake, thread }),
                Err(error) => {
                    log::warn!("what is kept of purges ends at the next start: {error}");
                }
            }
        }
        if let Some(worker) = &*worker {
            // The thread ends only after this sender is dropped.
            let _ = worker.wake.send(());
        }
    }
}

impl Drop for KeptKeeper {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.lock().take() {
            drop(worker.wake);
            // A panic of the thread has been reported on standard error.
            let _ = worker.thread.join();
        }
    }
}

fn keep(woken: &Receiver<()>, end: impl Fn() -> io::Result<Option<Duration>>) {
    let mut next = None;
    loop {
        let pause = match next {
            Some(next) => woken.recv_timeout(next),
            None => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        if pause == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        next = end().unwrap_or_else(|error| {
            log::warn!("what is kept of purges is not ended: {error}");
            Some(AGAIN)
        });
    }
}
