//! Signals as events of a mount's life.
//!
//! INT, TERM and HUP ask for an orderly stop, USR1 for the status in the log. The signals are caught before
//! the mount is made: one that came in between would else kill the daemon and leave a dead mount.

use std::thread::{self, JoinHandle};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::{Handle, Signals};

use super::MountError;

/// What somebody asks of a running mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Unmount and end.
    Stop,
    /// Write the status into the log.
    LogStatus,
}

/// Signals that no longer end the process but wait to be looked at.
#[derive(Debug)]
pub struct CaughtSignals {
    signals: Signals,
}

impl CaughtSignals {
    /// Catches the signals that a mount obeys.
    ///
    /// # Errors
    /// [`MountError::Io`].
    pub fn catch() -> Result<Self, MountError> {
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])
            .map_err(|error| MountError::io("catch signals", error))?;
        Ok(Self { signals })
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
                    pass_on(if signal == SIGUSR1 { Request::LogStatus } else { Request::Stop });
                }
            })
            .map_err(|error| MountError::io("start the thread that waits for signals", error))?;
        Ok(SignalWatch { handle, thread: Some(thread) })
    }
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
