//! The thread that removes what has been taken out of sight.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::ranks::{Mutex, Table};

/// Removes something. It owns what it needs for that, such as the lock of the directory that it is in.
type Job = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// Everybody else goes first.
const NICENESS: i32 = 19;

/// Removes in the background, one job after the other, at the lowest priority. Dropping it waits until all is
/// gone; what a killed process leaves is removed by the next one that writes.
#[derive(Debug, Default)]
pub(super) struct Reaper {
    /// The thread and the way to it; `None` until there is work.
    worker: Mutex<Table, Option<Worker>>,
}

struct Worker {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Reaper {
    /// Does a job in the background.
    pub(super) fn give(&self, job: impl FnOnce() -> io::Result<()> + Send + 'static) {
        let mut worker = self.worker.lock();
        if worker.is_none() {
            let (jobs, work) = channel();
            let thread = std::thread::Builder::new().name("storefs-reaper".to_owned());
            match thread.spawn(move || run(&work)) {
                Ok(thread) => *worker = Some(Worker { jobs, thread }),
                Err(error) => {
                    log::warn!(
                        "what was removed stays in '.storefs' until the next start: {error}"
                    );
                }
            }
        }
        if let Some(worker) = &*worker {
            // The thread ends only after this sender is dropped.
            let _ = worker.jobs.send(Box::new(job));
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        let worker = self.worker.lock().take();
        if let Some(worker) = worker {
            drop(worker.jobs);
            // A panic of the thread has been reported on standard error.
            let _ = worker.thread.join();
        }
    }
}

fn run(work: &Receiver<Job>) {
    let thread = rustix::thread::gettid();
    // Linux gives each thread a priority of its own; that for the disk follows it.
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICENESS) {
        log::debug!("removing in the background at ordinary priority: {error}");
    }
    for job in work {
        if let Err(error) = job() {
            log::warn!("something removed stays in '.storefs' until the next start: {error}");
        }
    }
}
