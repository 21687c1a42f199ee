//! A mount that survives the process that serves it.
//!
//! ```text
//!   caller ---- fork ----> supervisor ---- fork ----> worker
//!   returns when           one thread; mounts; holds:  everything else: storage, sessions,
//!   the mount is           - the connection            threads, watch. Dies at any moment.
//!   usable                 - the first request
//!                          - what is kept (`fs::kept`)
//! ```
//!
//! When the worker dies, the supervisor has the kernel send again what was not answered, and starts another worker, which answers the
//! kernel's first request as the first one did, to the supervisor, and goes on. Signals are passed on to the worker; what it ends with
//! of its own accord is the end of the mount. A supervisor that dies takes the worker with it, and leaves a dead mount.
//!
//! | file | owns |
//! | --- | --- |
//! | `kernel` | the connection: mounting, the first request, what is sent again |
//! | `worker` | what a worker is handed, and what it tells |
//! | `restarts` | how often a worker is started anew |
//! | `upgrade` | another program as the worker |
//! | `waiting` | a storage that does not answer yet |

mod kernel;
mod restarts;
mod upgrade;
mod waiting;
mod worker;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid, setpgid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use rustix::process::{PidfdFlags, pidfd_open};

use kernel::Connection;
use restarts::Restarts;
use upgrade::Upgrade;
pub use upgrade::{handed, upgrade};
pub use worker::Handed;
use worker::{Report, Told, hear};

use super::signals::{self, Request};
use super::{
    Caller, CaughtSignals, LogRequest, MountError, MountedFs, Prepared, environment, service,
    session, unmount,
};
use crate::fs::Kept;

/// Restarts in a minute beyond which a mount is given up, unless more are allowed.
pub const MOST_RESTARTS: u32 = 20;

/// What ties a process that serves to what is around it.
#[derive(Clone, Copy, Debug)]
pub struct Ties {
    /// Does what signals ask of the log.
    pub log: fn(LogRequest),
    /// Whether the manager of services that has started the mount, if one has, is told of its life.
    pub is_service: bool,
}

/// How a mount is supervised.
#[derive(Clone, Debug)]
pub struct Supervision {
    /// The workers' ties.
    pub ties: Ties,
    /// Does the same with the supervisor's log, and does not speak of it.
    pub log: fn(LogRequest),
    /// Restarts in a minute beyond which it is given up.
    pub most_restarts: u32,
    /// The command line by which the mount was asked for, and the directory where that was: another program serves it by the same.
    pub arguments: Vec<OsString>,
    /// See [`arguments`](Self::arguments).
    pub directory: PathBuf,
}

/// Whether a mount can be supervised on this kernel.
#[must_use]
pub fn can_supervise() -> bool {
    kernel::can_send_again()
}

/// Mounts, and serves by a worker, and by another one when that dies. Runs on in two processes, and returns in each when the mount has
/// ended; called in a process that has no other thread.
///
/// # Errors
/// [`MountError`], as [`MountedFs::start`] and [`MountedFs::serve`] have them; [`MountError::Refused`] if workers have died more than
/// so many times in a minute, which leaves a dead mount.
pub fn supervise(
    prepared: &Prepared,
    supervision: &Supervision,
    caller: &mut Caller,
) -> Result<(), MountError> {
    debug_assert!(environment::is_single_threaded(), "whoever forks has no other thread");
    let signals = block_signals().map_err(|error| MountError::io("take signals", error))?;
    // Whoever sees the mount may hang up.
    let hangup = signals::hangup();
    waiting::wait_for_storage(prepared, &signals, caller)?;
    let kept =
        Kept::create().map_err(|error| MountError::io("keep what outlives workers", error))?;
    let source = prepared.source().shown();
    let options = session::kernel_options(prepared, &source);
    let connection = Connection::mount(prepared.mountpoint(), &options)
        .map_err(|error| session::explain(&error, &prepared.places))?;
    let restarts = Restarts::at_most(supervision.most_restarts);
    let listener = upgrade::listener();
    if let Err(error) = &listener {
        log::warn!("this mount cannot be upgraded: {error}");
    }
    let mut supervisor = Supervisor {
        prepared,
        supervision,
        connection,
        kept,
        signals,
        hangup,
        restarts,
        listener: listener.ok(),
        program: None,
        upgrade: None,
        is_usable: false,
        is_stopping: false,
    };
    loop {
        match supervisor.fork_worker()? {
            Side::Worker(handed) => {
                // What this process has open is closed with it alone.
                caller.leave();
                let handed = supervisor.become_program(handed)?;
                drop(supervisor);
                return work(prepared, handed, supervision.ties);
            }
            Side::Supervisor(worker) => {
                if let Some(end) = supervisor.outlive(&worker, caller) {
                    return end;
                }
            }
        }
    }
}

/// A child of the supervisor, as that sees it.
struct Worker {
    pid: Pid,
    process: OwnedFd,
    channel: OwnedFd,
}

enum Side {
    Worker(Handed),
    Supervisor(Worker),
}

enum Forked {
    /// With its end of the channel.
    Child(OwnedFd),
    Parent(Worker),
}

/// Splits off a child that dies with this process. It finds `waiting` in its channel, if that is something.
fn fork_child(waiting: Option<&[u8]>) -> io::Result<Forked> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    if let Some(waiting) = waiting {
        send(&ours, waiting, SendFlags::NOSIGNAL)?;
    }
    let supervisor = getpid();
    // SAFETY: a child may do anything after fork if the parent has no other thread; this process starts none.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(ours);
            die_with(supervisor);
            leave_terminal();
            Ok(Forked::Child(theirs))
        }
        ForkResult::Parent { child } => {
            let pid = rustix::process::Pid::from_raw(child.as_raw());
            let process = pidfd_open(pid.ok_or(rustix::io::Errno::SRCH)?, PidfdFlags::empty())?;
            Ok(Forked::Parent(Worker { pid: child, process, channel: ours }))
        }
    }
}

/// How a worker ended.
enum End {
    /// Of its own accord, with this status.
    Exited(i32),
    /// By this signal.
    Killed(Signal),
}

struct Supervisor<'a> {
    prepared: &'a Prepared,
    supervision: &'a Supervision,
    connection: Connection,
    kept: OwnedFd,
    signals: SignalFd,
    /// What SIGHUP asks for.
    hangup: Request,
    restarts: Restarts,
    /// Where an upgrade is asked for.
    listener: Option<OwnedFd>,
    /// The program that serves, if it is another one than this.
    program: Option<PathBuf>,
    upgrade: Option<Upgrade>,
    /// Whether a worker has served it.
    is_usable: bool,
    /// Whether the mount was asked to end.
    is_stopping: bool,
}

impl Supervisor<'_> {
    fn fork_worker(&self) -> Result<Side, MountError> {
        let failed = |error: io::Error| MountError::io("start a worker", error);
        let device = self.connection.share().map_err(failed)?;
        let kept = self.kept.try_clone().map_err(failed)?;
        Ok(match fork_child(Some(self.connection.greeting())).map_err(failed)? {
            Forked::Child(channel) => Side::Worker(Handed { device, channel, kept }),
            Forked::Parent(worker) => Side::Supervisor(worker),
        })
    }

    /// In the worker: becomes the program that is to serve. Gives back what was handed if it is this one, or if there is none to fall
    /// back on.
    fn become_program(&self, handed: Handed) -> Result<Handed, MountError> {
        let Some(program) = &self.program else { return Ok(handed) };
        let mountpoint = self.prepared.mountpoint();
        let error = upgrade::become_program(program, self.supervision, mountpoint, &handed);
        let error = MountError::io(format!("run '{}'", program.display()), error);
        if self.upgrade.is_some() {
            if let Ok(report) = handed.report() {
                report.failed(&error);
            }
            std::process::exit(1);
        }
        log::error!("{error}; the program that has mounted serves instead");
        Ok(handed)
    }

    /// Watches a worker to its end. Gives back how the mount ended, if it did with it.
    fn outlive(&mut self, worker: &Worker, caller: &mut Caller) -> Option<Result<(), MountError>> {
        let mut told = Told::Nothing;
        let end = match self.watch(worker, caller, &mut told) {
            Ok(end) => end,
            // Nothing that a worker does leads here.
            Err(error) => return Some(Err(MountError::io("watch the worker", error))),
        };
        let shown = self.prepared.mountpoint().display();
        let has_served = matches!(told, Told::Serves(_));
        let cause = match (&told, end) {
            (Told::Serves(_), End::Exited(0)) => return Some(Ok(())),
            (Told::Serves(_), End::Exited(status)) => {
                return Some(Err(MountError::refused(format!(
                    "what served '{shown}' has ended with status {status}; its log says why"
                ))));
            }
            (Told::Failed(reason), _) => reason.clone(),
            (_, End::Exited(status)) => format!("ended with status {status}"),
            (_, End::Killed(signal)) => format!("killed by {signal}"),
        };
        if !self.connection.is_connected() {
            return Some(Ok(()));
        }
        // Nobody has been told of a mount yet, nor could anybody use it.
        if !self.is_usable && (matches!(told, Told::Failed(_)) || !self.connection.is_answered()) {
            self.detach();
            return Some(Err(MountError::refused(cause)));
        }
        if self.is_stopping {
            self.detach();
            return Some(Ok(()));
        }
        self.connection.begin_anew();
        match self.upgrade.take() {
            // Killed for it.
            Some(upgrade) if !upgrade.is_begun => {
                self.upgrade = Some(upgrade);
                return None;
            }
            Some(mut upgrade) => {
                log::error!("'{shown}' is not upgraded: {cause}");
                self.program = upgrade.previous.take();
                upgrade.failed(&cause);
                return None;
            }
            None => {}
        }
        log::warn!("what served '{shown}', process {}, is gone: {cause}", worker.pid);
        let Some(delay) = self.restarts.next(Instant::now(), has_served) else {
            return Some(Err(MountError::refused(format!(
                "what served '{shown}' died again and again, the last time: {cause}; the mount is dead: \
                 storefs unmount {shown}, and mount again"
            ))));
        };
        // Otherwise what has come meanwhile is for the next one.
        if !delay.is_zero() && self.pause(delay) {
            self.detach();
            return Some(Ok(()));
        }
        None
    }

    fn watch(&mut self, worker: &Worker, caller: &mut Caller, told: &mut Told) -> io::Result<End> {
        let mut hears = true;
        if let Some(upgrade) = &mut self.upgrade {
            upgrade.is_begun = true;
        }
        loop {
            let mut fds = vec![
                PollFd::new(&self.signals, PollFlags::IN),
                PollFd::new(&worker.process, PollFlags::IN),
            ];
            // What is not asked for tells of nothing.
            let heard_for = if hears { PollFlags::IN } else { PollFlags::empty() };
            let nobody = &worker.process;
            fds.push(PollFd::new(if hears { &worker.channel } else { nobody }, heard_for));
            fds.extend(self.listener.as_ref().map(|listener| PollFd::new(listener, PollFlags::IN)));
            let timeout = self
                .upgrade
                .as_ref()
                .map(|upgrade| upgrade.deadline.saturating_duration_since(Instant::now()));
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            let ready = rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref()))?;
            let is_ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
            let (signalled, ended, heard, asked) =
                (is_ready(0), is_ready(1), is_ready(2), is_ready(3));
            if ready == 0 {
                // The program has not come to serve in time.
                let _ = kill(worker.pid, Signal::SIGKILL);
                waitpid(worker.pid, None)?;
                *told = Told::Failed("it did not serve in time".to_owned());
                return Ok(End::Killed(Signal::SIGKILL));
            }
            if asked && !ended {
                self.take_question(worker);
            }
            // For the next worker, if this one cannot hear it any more.
            if signalled && !ended {
                self.pass_on(worker)?;
            }
            if heard {
                match hear(&worker.channel)? {
                    Told::Nothing => hears = false,
                    Told::Answer(answer) => self.connection.answer(&answer)?,
                    Told::Serves(notices) => {
                        self.tell_usable(worker, caller, &notices);
                        *told = Told::Serves(notices);
                    }
                    Told::ForManager(words) => service::tell(&words),
                    failed @ Told::Failed(_) => *told = failed,
                }
            } else if ended {
                return match waitpid(worker.pid, None)? {
                    WaitStatus::Signaled(_, signal, _) => Ok(End::Killed(signal)),
                    WaitStatus::Exited(_, status) => Ok(End::Exited(status)),
                    _ => continue,
                };
            }
        }
    }

    /// The mount is usable. If whoever wanted it has gone, it ends.
    fn tell_usable(&mut self, worker: &Worker, caller: &mut Caller, notices: &[String]) {
        let mountpoint = self.prepared.mountpoint();
        let status = service::serving(mountpoint);
        if self.is_usable {
            let shown = mountpoint.display();
            log::info!("'{shown}' is served again, by process {}", worker.pid);
        }
        match (self.supervision.ties.is_service, self.is_usable) {
            (false, _) => {}
            (true, false) => service::tell_ready(&status),
            (true, true) => {
                service::tell_status(&format!("{status}, again, by process {}", worker.pid));
            }
        }
        self.is_usable = true;
        if let Some(upgrade) = self.upgrade.take_if(|upgrade| upgrade.is_begun) {
            upgrade.done(worker.pid.as_raw());
        }
        if let Err(error) = caller.fulfil(notices) {
            log::warn!("{error}");
            let _ = kill(worker.pid, Signal::SIGTERM);
        }
    }

    /// Somebody asks for an upgrade. One at a time, and none of a mount that nobody serves yet.
    fn take_question(&mut self, worker: &Worker) {
        let Some((mut asked, program)) = self.listener.as_ref().and_then(upgrade::question) else {
            return;
        };
        if self.upgrade.is_some() || !self.is_usable {
            return asked.failed("another process is just taking over");
        }
        log::info!("upgrading to '{}'", program.display());
        asked.previous = self.program.replace(program);
        self.upgrade = Some(asked);
        let _ = kill(worker.pid, Signal::SIGKILL);
    }

    fn pass_on(&mut self, worker: &Worker) -> io::Result<()> {
        while let Some(signal) = self.take_signal()? {
            // It may have died just now.
            let _ = kill(worker.pid, signal);
        }
        Ok(())
    }

    /// A signal that has come, if one has, as the worker is to be told.
    fn take_signal(&mut self) -> io::Result<Option<Signal>> {
        let Some(taken) = self.signals.read_signal()? else { return Ok(None) };
        let number = i32::try_from(taken.ssi_signo).unwrap_or_default();
        let signal = Signal::try_from(number)?;
        let request = signals::request(number, self.hangup);
        match request {
            Request::Stop => self.is_stopping = true,
            // The workers to come inherit it.
            Request::Log(request) => (self.supervision.log)(request),
            Request::LogStatus => {}
        }
        // A worker that has begun when the terminal was gone would take it for something else.
        let is_hangup = signal == Signal::SIGHUP && request == Request::Stop;
        Ok(Some(if is_hangup { Signal::SIGTERM } else { signal }))
    }

    /// Waits, unless it is asked to stop. Gives back whether it was.
    fn pause(&mut self, delay: Duration) -> bool {
        let deadline = Instant::now() + delay;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(timeout) = Timespec::try_from(left) else { return self.is_stopping };
            let mut fds = [PollFd::new(&self.signals, PollFlags::IN)];
            let is_signalled = poll(&mut fds, Some(&timeout)).is_ok_and(|ready| ready > 0);
            if is_signalled {
                while matches!(self.take_signal(), Ok(Some(_))) {}
            }
            if self.is_stopping || (!is_signalled && left.is_zero()) {
                return self.is_stopping;
            }
        }
    }

    /// Takes the mount out of sight, which nobody serves.
    fn detach(&self) {
        if let Err(error) = unmount::detach(self.prepared.mountpoint()) {
            log::error!("{error}");
        }
    }
}

/// Serves a mount that another process supervises, as its worker.
///
/// # Errors
/// As [`MountedFs::serve`]. Why it cannot serve is told to the supervisor alone.
pub fn work(prepared: &Prepared, handed: Handed, ties: Ties) -> Result<(), MountError> {
    let report = handed.report().map_err(|error| MountError::io("reach the supervisor", error))?;
    let report = Arc::new(report);
    // Caught before they are let through.
    let started = CaughtSignals::catch().and_then(|mut signals| {
        environment::settle()?;
        let is_given_up = || signals.ask_to_stop();
        let mounted = MountedFs::start_as_worker(prepared, &handed, is_given_up)?;
        Ok((signals, mounted))
    });
    drop(handed);
    match started {
        Ok((signals, mut mounted)) => {
            if ties.is_service {
                let report = Arc::clone(&report);
                mounted.be_service_of_supervisor(Arc::new(move |text| report.for_manager(text)));
            }
            mounted.serve(signals, ties.log, |notices| report.serves(notices))
        }
        Err(error) => {
            // Whoever hears it says it.
            report.failed(&error);
            Ok(())
        }
    }
}

/// A worker without its supervisor would serve on, and nobody would take over from it.
fn die_with(supervisor: Pid) {
    let killed = Some(rustix::process::Signal::KILL);
    if let Err(error) = rustix::process::set_parent_process_death_signal(killed) {
        log::debug!("the worker outlives its supervisor: {error}");
    }
    // It may have died before.
    if getppid() != supervisor {
        std::process::exit(1);
    }
}

/// What is typed at a terminal is for the supervisor alone, which passes it on: a second request to stop would be another one. In a
/// process group of its own, the worker must not be stopped for what it logs there.
fn leave_terminal() {
    let group = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    // SAFETY: a signal that is ignored calls nothing.
    let ignored = unsafe { signal(Signal::SIGTTOU, SigHandler::SigIgn) };
    if let Err(error) = group.and(ignored) {
        log::debug!("the worker stays in its supervisor's process group: {error}");
    }
}

fn block_signals() -> nix::Result<SignalFd> {
    let mut blocked = SigSet::empty();
    for number in signals::obeyed() {
        blocked.add(Signal::try_from(number)?);
    }
    blocked.thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    SignalFd::with_flags(&blocked, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}
