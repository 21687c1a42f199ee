//! Signals as events of a mount's life.
//!
//! INT and TERM ask for an orderly stop, and so does XCPU, by which the system says that the process is about to be killed.
//! HUP does where a terminal has hung up; to a mount without a terminal it says, as to any daemon, to open its log again. It
//! stays ignored where it was, as by nohup. USR1 asks for the status in the log, USR2 for more in the log. The signals are
//! caught before the mount is made: one that came in between would else kill the daemon and leave a dead mount.

use std::thread::{self, JoinHandle};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};
use signal_hook::iterator::{Handle, Signals};

use super::MountError;

/// What somebody asks of a running mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Unmount and end.
    Stop,
    /// Write the status into the log.
    LogStatus,
    /// Something about the log.
    Log(LogRequest),
}

/// What somebody asks of the log of a running mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRequest {
    /// Open its file again, which was renamed.
    Reopen,
    /// Tell more; after everything, what was told at first.
    Raise,
}

/// The signals that a mount obeys.
pub(super) fn obeyed() -> impl Iterator<Item = i32> {
    let hangup = (!is_hangup_ignored()).then_some(SIGHUP);
    [SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU].into_iter().chain(hangup)
}

/// What SIGHUP asks of this process.
pub(super) fn hangup() -> Request {
    match has_terminal() {
        true => Request::Stop,
        false => Request::Log(LogRequest::Reopen),
    }
}

/// What a signal that is obeyed asks for.
pub(super) fn request(signal: i32, hangup: Request) -> Request {
    match signal {
        SIGUSR1 => Request::LogStatus,
        SIGUSR2 => Request::Log(LogRequest::Raise),
        SIGHUP => hangup,
        _ => Request::Stop,
    }
}

/// Signals that no longer end the process but wait to be looked at.
#[derive(Debug)]
pub struct CaughtSignals {
    signals: Signals,
    /// What SIGHUP asks for.
    hangup: Request,
}

impl CaughtSignals {
    /// Catches the signals that a mount obeys.
    ///
    /// # Errors
    /// [`MountError::Io`].
    pub fn catch() -> Result<Self, MountError> {
        let signals =
            Signals::new(obeyed()).map_err(|error| MountError::io("catch signals", error))?;
        Ok(Self { signals, hangup: hangup() })
    }

    /// Whether a signal that was caught asks the mount to stop before it has begun. What else was asked by then is forgotten.
    pub fn ask_to_stop(&mut self) -> bool {
        let hangup = self.hangup;
        self.signals.pending().any(|signal| request(signal, hangup) == Request::Stop)
    }

    /// Passes on what each signal asks for, those caught up to now first, until the watch ends.
    pub(super) fn watch(
        mut self,
        pass_on: impl Fn(Request) + Send + 'static,
    ) -> Result<SignalWatch, MountError> {
        let handle = self.signals.handle();
        let thread = thread::Builder::new()
            .name("storefs-signals".to_owned())
            .spawn(move || {
                for signal in self.signals.forever() {
                    log::debug!("signal {signal}");
                    if signal == SIGXCPU {
                        log::error!(
                            "the processor time that this process may use (ulimit -t) is used up"
                        );
                    }
                    pass_on(request(signal, self.hangup));
                }
            })
            .map_err(|error| MountError::io("start the thread that waits for signals", error))?;
        Ok(SignalWatch { handle, thread: Some(thread) })
    }
}

/// Whether there is a terminal that may hang up.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether this process was started to ignore SIGHUP, as nohup does. Where `/proc` does not tell, it was not.
fn is_hangup_ignored() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

/// The thread that waits for signals; ends with this.
#[derive(Debug)]
pub(super) struct SignalWatch {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[test]
    fn a_signal_before_the_watch_is_kept() {
        let caught = CaughtSignals::catch().unwrap();
        raise(Signal::SIGUSR1).unwrap();
        let (sender, receiver) = mpsc::channel();
        let watch = caught.watch(move |request| sender.send(request).unwrap()).unwrap();
        let request = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(request, Request::LogStatus);
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(receiver.recv_timeout(Duration::from_secs(10)).unwrap(), Request::Stop);
        drop(watch);
    }
}
