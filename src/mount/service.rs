//! What the manager of services is told of a mount in the foreground (sd_notify(3)): that it is ready, that it stops, and, as
//! often as it wants to know, that it lives.
//!
//! That the daemon lives is seen by asking the mount itself, through the kernel: a process whose serving threads all wait for
//! each other would else go on to say so. It is asked for what needs no storage, since a medium that hangs is no reason to
//! kill the daemon.
//!
//! The manager listens to the process that it has started. Where that is a supervisor, it says what its workers have it say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sd_notify::NotifyState;

use super::preflight::STATUS_FILE;

/// The variable that names the manager's socket.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// So long a mount may take to stop from when it says so: somewhat longer than it waits for its users.
const TIME_TO_STOP_MICROSECONDS: u32 = 15_000_000;

/// Passes on what the manager is to be told.
pub(super) type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// A mount that is a service, as the process that serves it sees it.
pub(super) struct Service {
    tell: Tell,
    is_supervised: bool,
    watchdog: Option<Watchdog>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("watchdog", &self.watchdog).finish_non_exhaustive()
    }
}

impl Service {
    /// `None` where no manager wants to know. Where the mount `is_seen` at its place, its answer is what shows that it lives.
    pub(super) fn begin(mountpoint: &Path, is_seen: bool) -> Option<Self> {
        std::env::var_os(SOCKET_VARIABLE)?;
        let (time, tell): (_, Tell) = (sd_notify::watchdog_enabled(), Arc::new(tell));
        let watchdog = watchdog(time, is_seen.then_some(mountpoint), &tell);
        Some(Self { tell, is_supervised: false, watchdog })
    }

    /// As [`begin`](Self::begin), in a worker, for which its supervisor speaks.
    pub(super) fn begin_by_supervisor(tell: Tell, mountpoint: &Path) -> Option<Self> {
        std::env::var_os(SOCKET_VARIABLE)?;
        let watchdog = watchdog(supervisors_watchdog(), Some(mountpoint), &tell);
        Some(Self { tell, is_supervised: true, watchdog })
    }

    /// The mount is usable, which a supervisor knows.
    pub(super) fn ready(&self, mountpoint: &Path) {
        if !self.is_supervised {
            tell_ready(&serving(mountpoint));
        }
    }

    /// The mount is about to end, and does this.
    pub(super) fn stopping(&self, status: &str) {
        let time = NotifyState::ExtendTimeoutUsec(TIME_TO_STOP_MICROSECONDS);
        (self.tell)(&text_of(&[NotifyState::Stopping, time, NotifyState::Status(status)]));
        // A mount that is being taken away need not answer any more, and must not be killed for it.
        if let Some(watchdog) = &self.watchdog {
            watchdog.ask_no_more();
        }
    }
}

/// Tells the manager that the mount is usable, and what it is doing.
pub(super) fn tell_ready(status: &str) {
    tell(&text_of(&[NotifyState::Ready, NotifyState::Status(status)]));
}

/// Tells the manager what the mount is doing.
pub(super) fn tell_status(status: &str) {
    tell(&text_of(&[NotifyState::Status(status)]));
}

/// Tells the manager something, in its own words.
pub(super) fn tell(text: &str) {
    if let Err(error) = sd_notify::notify(&[NotifyState::Custom(text)]) {
        log::debug!("the manager of services is not told: {error}");
    }
}

/// What a mount that serves is said to do.
pub(super) fn serving(mountpoint: &Path) -> String {
    format!("serving '{}'", mountpoint.display())
}

fn text_of(states: &[NotifyState<'_>]) -> String {
    let lines: Vec<_> = states.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn watchdog(time: Option<Duration>, asked: Option<&Path>, tell: &Tell) -> Option<Watchdog> {
    Watchdog::start(time?, asked.map(Path::to_owned), Arc::clone(tell))
}

/// The time after which the manager takes the service for dead, if it does: it has named the process that it has started, which is not
/// this one but the one that supervises it.
fn supervisors_watchdog() -> Option<Duration> {
    let number = |variable| -> Option<u64> { std::env::var(variable).ok()?.parse().ok() };
    let named = number("WATCHDOG_PID");
    let supervisor = rustix::process::getppid()?.as_raw_nonzero().get();
    let is_for_us = named.is_none_or(|pid| u64::try_from(supervisor) == Ok(pid));
    number("WATCHDOG_USEC").filter(|_| is_for_us).map(Duration::from_micros)
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
    fn start(time: Duration, mut asked: Option<PathBuf>, tell: Tell) -> Option<Self> {
        let (running, stopped) = mpsc::channel();
        let live = move || loop {
            // One that does not answer is waited for, and meanwhile nothing is said.
            if let Some(mountpoint) = &asked
                && let Err(error) = rustix::fs::stat(mountpoint.join(STATUS_FILE))
            {
                log::debug!("the mount answers: {error}");
            }
            tell(&text_of(&[NotifyState::Watchdog]));
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
