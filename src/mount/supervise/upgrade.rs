//! Another program serves a mount from now on: `storefs upgrade`.
//!
//! The supervisor listens at a socket that only its own user and root may ask. It is told a program, kills the worker, and starts that
//! program as the next one. If that does not serve in time, the program that served before does again.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with,
    bind, connect, listen, recv, send, socket_with, sockopt,
};

use super::Supervision;
use super::worker::Handed;
use crate::mount::{MountAnswer, MountError, status_of};

/// How long a program may take to serve.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long whoever asks for it waits: for that, and for the way back.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// How long a mount may take to tell of itself.
const STATUS_DEADLINE: Duration = Duration::from_secs(2);

/// Tells a program what it is handed: three descriptors, and the mountpoint.
const HANDED: &str = "STOREFS_HANDED";

/// Begins the answer when the program serves; its process follows.
const DONE: u8 = b'+';

/// Begins the answer when it does not; the reason follows.
const FAILED: u8 = b'-';

/// The longest path.
const PATH_BYTES: usize = 4096;

/// An upgrade that is under way.
#[derive(Debug)]
pub(super) struct Upgrade {
    asker: OwnedFd,
    /// What served before.
    pub(super) previous: Option<PathBuf>,
    pub(super) deadline: Instant,
    /// Whether the program was started.
    pub(super) is_begun: bool,
}

impl Upgrade {
    pub(super) fn done(self, process: i32) {
        self.answer(DONE, &process.to_string());
    }

    pub(super) fn failed(self, reason: &str) {
        self.answer(FAILED, reason);
    }

    fn answer(&self, kind: u8, text: &str) {
        let answer = [&[kind], text.as_bytes()].concat();
        if let Err(error) = send(&self.asker, &answer, SendFlags::NOSIGNAL) {
            log::debug!("nobody hears how the upgrade went: {error}");
        }
    }
}

fn address(supervisor: i32) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new_abstract_name(format!("storefs/{supervisor}").as_bytes())?)
}

fn socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// The socket at which this process is asked.
///
/// # Errors
/// The system's answer.
pub(super) fn listener() -> io::Result<OwnedFd> {
    let listener = socket()?;
    bind(&listener, &address(rustix::process::getpid().as_raw_nonzero().get())?)?;
    listen(&listener, 1)?;
    Ok(listener)
}

/// Takes a question: who asks, and for which program. `None` if it is none, or of somebody who may not ask.
pub(super) fn question(listener: &OwnedFd) -> Option<(Upgrade, PathBuf)> {
    let asker = accept_with(listener, SocketFlags::CLOEXEC).ok()?;
    let asking = sockopt::socket_peercred(&asker).ok()?.uid;
    if !asking.is_root() && asking != rustix::process::geteuid() {
        return None;
    }
    // It is sent with the connection, and nobody is waited for.
    is_readable(&asker, Duration::from_millis(200)).then_some(())?;
    let mut path = vec![0; PATH_BYTES];
    let (length, _) = recv(&asker, &mut *path, RecvFlags::DONTWAIT).ok()?;
    path.truncate(length);
    let deadline = Instant::now() + DEADLINE;
    let path = PathBuf::from(OsString::from_vec(path));
    path.is_absolute()
        .then_some((Upgrade { asker, previous: None, deadline, is_begun: false }, path))
}

fn is_readable(socket: &OwnedFd, within: Duration) -> bool {
    let Ok(timeout) = Timespec::try_from(within) else { return false };
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut fds, Some(&timeout)).is_ok_and(|ready| ready > 0)
}

/// What a mount tells of itself, as far as it matters here: its supervisor, if it has one, and what is being written.
fn ask_status(mountpoint: &Path) -> Result<(Option<i32>, u64), MountError> {
    let shown = mountpoint.display();
    let status = match status_of(mountpoint, STATUS_DEADLINE)?.answer {
        MountAnswer::Live(status) => status,
        MountAnswer::Dead => {
            return Err(MountError::refused(format!(
                "'{shown}' is dead: unmount it, and mount it again"
            )));
        }
        MountAnswer::Hanging => {
            return Err(MountError::refused(format!("'{shown}' does not answer")));
        }
        MountAnswer::Unknown(why) => {
            return Err(MountError::refused(format!("'{shown}' does not tell of itself: {why}")));
        }
    };
    let number = |field| status.get(field).and_then(serde_json::Value::as_i64);
    let supervisor = number("worker").and_then(|_| number("pid")?.try_into().ok());
    let written = status.get("write_sessions").and_then(serde_json::Value::as_u64);
    Ok((supervisor, written.unwrap_or_default()))
}

/// Has a mount served by another program from now on. Gives back the process that does. Waits until nothing is being written, unless
/// it is to be by force: who writes is then told that it failed.
///
/// # Errors
/// [`MountError::Refused`] if the mount is not supervised, if files stay open for writing, or if the program does not serve: then what
/// served before does.
pub fn upgrade(mountpoint: &Path, program: &Path, force: bool) -> Result<i32, MountError> {
    let begun = Instant::now();
    let supervisor = loop {
        let (supervisor, written) = ask_status(mountpoint)?;
        let shown = mountpoint.display();
        let Some(supervisor) = supervisor else {
            return Err(MountError::refused(format!(
                "'{shown}' is served by one process, which nothing can take over from: unmount it, and mount again"
            )));
        };
        if written == 0 || force {
            break supervisor;
        }
        if begun.elapsed() > DEADLINE {
            return Err(MountError::refused(format!(
                "{written} files are open for writing in '{shown}'; --force upgrades all the same, and their writers get EIO"
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    ask_supervisor(supervisor, program)
}

fn ask_supervisor(supervisor: i32, program: &Path) -> Result<i32, MountError> {
    let asked = |error: io::Error| MountError::io("ask the mount's supervisor", error);
    let asker = socket().map_err(asked)?;
    connect(&asker, &address(supervisor).map_err(asked)?).map_err(|error| asked(error.into()))?;
    send(&asker, program.as_os_str().as_bytes(), SendFlags::NOSIGNAL)
        .map_err(|error| asked(error.into()))?;
    if !is_readable(&asker, ANSWER_DEADLINE) {
        return Err(MountError::refused("the supervisor does not answer; the log may say why"));
    }
    let mut answer = vec![0; PATH_BYTES];
    let (length, _) =
        recv(&asker, &mut *answer, RecvFlags::empty()).map_err(|error| asked(error.into()))?;
    answer.truncate(length);
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    match answer.split_first() {
        Some((&DONE, process)) => Ok(text(process).parse().unwrap_or_default()),
        Some((_, reason)) => Err(MountError::refused(format!(
            "'{}' does not serve the mount, and what served it before does again: {}",
            program.display(),
            text(reason)
        ))),
        None => {
            Err(MountError::refused("the supervisor takes orders of its own user and root only"))
        }
    }
}

/// Becomes another program, which is handed what this process was. Comes back only if that fails.
pub(super) fn become_program(
    program: &Path,
    supervision: &Supervision,
    mountpoint: &Path,
    handed: &Handed,
) -> io::Error {
    let descriptors = [&handed.device, &handed.channel, &handed.kept];
    for descriptor in descriptors {
        if let Err(error) = fcntl_setfd(descriptor, FdFlags::empty()) {
            return error.into();
        }
    }
    let [device, channel, kept] = descriptors.map(|descriptor| descriptor.as_raw_fd());
    let mut said = OsString::from(format!("{device},{channel},{kept},"));
    said.push(mountpoint);
    let mut arguments = supervision.arguments.iter();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        // As mount(8)'s helper, it has another grammar.
        command.arg0(name);
    }
    command.args(arguments).current_dir(&supervision.directory).env(HANDED, said).exec()
}

/// What this process was handed, and where it is mounted, if it was started to serve a mount that is there.
///
/// # Errors
/// [`MountError::Refused`] if that makes no sense.
pub fn handed() -> Result<Option<(Handed, PathBuf)>, MountError> {
    let Some(said) = env::var_os(HANDED) else { return Ok(None) };
    let strange = || MountError::refused(format!("{HANDED} is for storefs itself"));
    let mut parts = said.as_bytes().splitn(4, |byte| *byte == b',');
    let mut descriptor = || {
        let number =
            str::from_utf8(parts.next()?).ok()?.parse().ok().filter(|number| *number > 2)?;
        // SAFETY: the supervisor has left it open for this process, where nobody else owns it yet.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        // Refused where it is not open.
        fcntl_setfd(&descriptor, FdFlags::CLOEXEC).ok()?;
        Some(descriptor)
    };
    let (device, channel, kept) = match (descriptor(), descriptor(), descriptor()) {
        (Some(device), Some(channel), Some(kept)) => (device, channel, kept),
        _ => return Err(strange()),
    };
    let mountpoint = PathBuf::from(OsStr::from_bytes(parts.next().ok_or_else(strange)?));
    Ok(Some((Handed { device, channel, kept }, mountpoint)))
}
