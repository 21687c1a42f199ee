//! What the manager of services is told of a mount in the foreground (sd_notify(3)): that it is ready, that it stops, and, as
//! often as it wants to know, that it lives.
//!
//! That the daemon lives is seen by asking the mount itself, through the kernel: a process whose serving threads all wait for
//! each other would else go on to say so. It is asked for what needs no storage, since a medium that hangs is no reason to
//! kill the daemon.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sd_notify::NotifyState;

use super::preflight::STATUS_FILE;

/// The variable that names the manager's socket.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// So long a mount may take to stop from when it says so: somewhat longer than it waits for its users.
const TIME_TO_STOP_MICROSECONDS: u32 = 15_000_000;

/// A mount that is a service.
#[derive(Debug)]
pub(super) struct Service {
    mountpoint: PathBuf,
    watchdog: Option<Watchdog>,
}

impl Service {
    /// `None` where no manager wants to know. Where the mount `is_seen` at its place, its answer is what shows that it lives.
    pub(super) fn begin(mountpoint: &Path, is_seen: bool) -> Option<Self> {
        std::env::var_os(SOCKET_VARIABLE)?;
        let asked = is_seen.then(|| mountpoint.to_owned());
        let watchdog = sd_notify::watchdog_enabled().and_then(|time| Watchdog::start(time, asked));
        Some(Self { mountpoint: mountpoint.to_owned(), watchdog })
    }

    /// The mount is usable.
    pub(super) fn ready(&self) {
        let status = format!("serving '{}'", self.mountpoint.display());
        notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// The mount is about to end, and does this.
    pub(super) fn stopping(&self, status: &str) {
        let time = NotifyState::ExtendTimeoutUsec(TIME_TO_STOP_MICROSECONDS);
        notify(&[NotifyState::Stopping, time, NotifyState::Status(status)]);
        // A mount that is being taken away need not answer any more, and must not be killed for it.
        if let Some(watchdog) = &self.watchdog {
            watchdog.ask_no_more();
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("the manager of services is not told: {error}");
    }
}

/// The thread that says that the mount lives. Ends with this.
#[derive(Debug)]
struct Watchdog {
    /// Dropped to end the thread; what is sent ends its questions.
    running: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Says so twice in the time after which the manager takes the service for dead.
    fn start(time: Duration, mut asked: Option<PathBuf>) -> Option<Self> {
        let (running, stopped) = mpsc::channel();
        let live = move || loop {
            // One that does not answer is waited for, and meanwhile nothing is said.
            if let Some(mountpoint) = &asked
                && let Err(error) = rustix::fs::stat(mountpoint.join(STATUS_FILE))
            {
                log::debug!("the mount answers: {error}");
            }
            notify(&[NotifyState::Watchdog]);
            match stopped.recv_timeout(time / 2) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) => asked = None,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        };
        let spawned = thread::Builder::new().name("storefs-watchdog".to_owned()).spawn(live);
        let thread = spawned.inspect_err(|error| log::error!("no watchdog: {error}")).ok()?;
        Some(Self { running: Some(running), thread: Some(thread) })
    }

    fn ask_no_more(&self) {
        if let Some(running) = &self.running {
            let _ = running.send(());
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.running = None;
        // It may be waiting for a mount that does not answer any more: then it ends with the process.
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}
