//! A storage that does not answer yet is waited for before there is a mount: whoever looked into that would have to wait, too.

use std::io;
use std::process;

use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitStatus, waitpid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::worker::{Told, hear};
use super::{Forked, Report, Worker, environment, fork_child};
use crate::mount::signals::{self, Request};
use crate::mount::{Caller, CaughtSignals, MountError, Prepared};

/// How often it is looked whether anybody still wants the mount.
const CALLER_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Waits for as long as the mount is told to, if that is any time. A process of its own tries to open the storage, since that may start
/// threads, and this process has to fork.
///
/// # Errors
/// [`MountError::Refused`] if it does not answer in time, or nobody wants the mount any more.
pub(super) fn wait_for_storage(
    prepared: &Prepared,
    signals: &SignalFd,
    caller: &Caller,
) -> Result<(), MountError> {
    if prepared.patience.is_over() {
        return Ok(());
    }
    let failed = |error: io::Error| MountError::io("wait for the storage", error);
    match fork_child(None).map_err(failed)? {
        Forked::Child(channel) => look(prepared, &Report::by(channel)),
        Forked::Parent(child) => outlive(&child, signals, caller).map_err(failed)?,
    }
}

/// In the child: looks whether the storage can be opened.
fn look(prepared: &Prepared, report: &Report) -> ! {
    let found = CaughtSignals::catch().and_then(|mut signals| {
        environment::settle()?;
        prepared.open_storage(|| signals.ask_to_stop()).map(drop)
    });
    if let Err(error) = found {
        report.failed(&error);
        process::exit(1);
    }
    process::exit(0);
}

/// Watches the child to its end. Gives back what it has found.
fn outlive(
    child: &Worker,
    signals: &SignalFd,
    caller: &Caller,
) -> io::Result<Result<(), MountError>> {
    let hangup = signals::hangup();
    let mut is_wanted = true;
    loop {
        let mut fds =
            [PollFd::new(signals, PollFlags::IN), PollFd::new(&child.process, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut fds, Some(&CALLER_EVERY)))?;
        let has_ended = fds.last().is_some_and(|fd| !fd.revents().is_empty());
        while let Some(taken) = signals.read_signal()? {
            let number = i32::try_from(taken.ssi_signo).unwrap_or_default();
            is_wanted &= signals::request(number, hangup) != Request::Stop;
        }
        is_wanted &= !caller.is_forgotten();
        if !has_ended {
            if !is_wanted {
                // It may have ended just now.
                let _ = kill(child.pid, Signal::SIGTERM);
            }
            continue;
        }
        let status = waitpid(child.pid, None)?;
        return Ok(match (hear(&child.channel)?, status) {
            (Told::Failed(reason), _) => Err(MountError::refused(reason)),
            (_, WaitStatus::Exited(_, 0)) if is_wanted => Ok(()),
            (_, WaitStatus::Exited(_, 0)) => {
                Err(MountError::refused("nobody wants the mount any more"))
            }
            (_, status) => Err(MountError::refused(format!(
                "the process that waited for the storage has died: {status:?}"
            ))),
        });
    }
}
