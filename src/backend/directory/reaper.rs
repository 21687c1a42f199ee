//! The thread that removes what has been taken out of sight.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::staging::{self, Session};

/// Something to remove.
#[derive(Debug)]
enum Job {
    /// A directory of our own session.
    Remove(Arc<Session>, String),
    /// The directory of a process that died: `.storefs`, its name in there, and the descriptor with its lock.
    Abandoned(Arc<OwnedFd>, String, OwnedFd),
}

/// Removes directories in the background, one after the other. Dropping it waits until all are gone; what a
/// killed process leaves is removed by the next one that writes.
#[derive(Debug, Default)]
pub(super) struct Reaper {
    /// The thread and the way to it; `None` until there is work. A leaf lock.
    worker: Mutex<Option<Worker>>,
}

#[derive(Debug)]
struct Worker {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

impl Reaper {
    /// Removes a directory of a session.
    pub(super) fn remove(&self, session: &Arc<Session>, name: String) {
        self.give(Job::Remove(Arc::clone(session), name));
    }

    /// Removes the directory of a process that died. It stays locked until it is gone.
    pub(super) fn remove_abandoned(&self, private: Arc<OwnedFd>, name: String, lock: OwnedFd) {
        self.give(Job::Abandoned(private, name, lock));
    }

    fn give(&self, job: Job) {
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
            let _ = worker.jobs.send(job);
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.lock().take() {
            drop(worker.jobs);
            // A panic of the thread has been reported on standard error.
            let _ = worker.thread.join();
        }
    }
}

fn run(work: &Receiver<Job>) {
    for job in work {
        let done = match &job {
            Job::Remove(session, name) => {
                staging::remove_tree(session.directory(), name.as_bytes())
            }
            Job::Abandoned(private, name, _lock) => staging::remove_tree(private, name.as_bytes()),
        };
        if let Err(error) = done {
            log::warn!("something removed stays in '.storefs' until the next start: {error}");
        }
    }
}
