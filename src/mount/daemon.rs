//! Going into the background: the command returns when the mount is usable, the daemon stays.
//!
//! The parent forks before any thread exists and waits at a pipe. Through it the daemon sends one answer: that
//! the mount is usable, or why it is not. A daemon that dies without an answer closes the pipe, too.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{ForkResult, fork};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::{MountError, environment};

/// Begins the answer of a daemon whose mount is usable; what the user has to know follows, in lines.
const USABLE: u8 = b'+';

/// Begins the answer of a daemon that could not mount; the reason follows.
const FAILED: u8 = b'-';

/// Bytes of log that are kept from earlier mounts at the same place. A longer file is begun anew.
const MOST_KEPT_LOG: u64 = 1024 * 1024;

/// Everything but letters, digits, `.` and `_` is escaped in a log's name, so that no two mountpoints share
/// one; `/` becomes `-`, which is itself escaped.
const ESCAPED_IN_LOG_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_');

/// The two processes after a fork.
#[derive(Debug)]
pub enum Side {
    /// The process that was called: waits for the answer.
    Parent(Answer),
    /// The daemon: mounts, gives the answer, serves.
    Daemon(Promise),
}

/// Splits off a daemon in a session of its own, its directory `/`, its input and output closed, and its log
/// going to `log`, if there is one. It has nothing open but those, its end of the pipe and what is `kept`, so the caller may
/// own no other descriptor.
///
/// # Errors
/// [`MountError::Io`], in either process.
pub fn fork_daemon(log: Option<&File>, kept: &[RawFd]) -> Result<Side, MountError> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)
        .map_err(|error| MountError::io("make a pipe to the daemon", error))?;
    // SAFETY: a child may do anything after fork if the parent has no other thread, whose locks it would
    // inherit locked. The command line starts none before this.
    let side = unsafe { fork() };
    match side.map_err(|error| MountError::io("fork the daemon", error))? {
        ForkResult::Parent { .. } => {
            drop(writer);
            Ok(Side::Parent(Answer { pipe: reader.into() }))
        }
        ForkResult::Child => {
            drop(reader);
            let promise = Promise { pipe: writer.into() };
            let left = leave_terminal(log).and_then(|()| {
                let log = log.map(AsRawFd::as_raw_fd);
                let promised = promise.pipe.as_raw_fd();
                let staying =
                    Vec::from_iter(log.into_iter().chain(kept.iter().copied()).chain([promised]));
                environment::close_others(&staying)
                    .map_err(|error| MountError::io("close what the caller has open", error))
            });
            match left {
                Ok(()) => Ok(Side::Daemon(promise)),
                Err(error) => {
                    promise.fail(&error);
                    Err(error)
                }
            }
        }
    }
}

/// The parent's end of the pipe.
#[derive(Debug)]
pub struct Answer {
    pipe: File,
}

impl Answer {
    /// Waits until the mount is usable. Gives back what whoever mounts has to know, in lines.
    ///
    /// # Errors
    /// [`MountError::Refused`] with the daemon's reason.
    pub fn wait(mut self) -> Result<String, MountError> {
        let mut answer = Vec::new();
        self.pipe
            .read_to_end(&mut answer)
            .map_err(|error| MountError::io("read the daemon's answer", error))?;
        match answer.split_first() {
            Some((&USABLE, notices)) => Ok(String::from_utf8_lossy(notices).into_owned()),
            Some((_, reason)) => Err(MountError::refused(String::from_utf8_lossy(reason))),
            None => Err(MountError::refused(
                "the daemon ended before the mount was usable; try again with --foreground",
            )),
        }
    }
}

/// The daemon's end of the pipe.
#[derive(Debug)]
pub struct Promise {
    pipe: File,
}

impl Promise {
    /// Says that the mount is usable, and what the user has to know.
    ///
    /// # Errors
    /// [`MountError::Io`] if the parent has gone, killed by somebody who wants no mount any more.
    pub fn fulfil(mut self, notices: &[String]) -> Result<(), MountError> {
        let mut answer = vec![USABLE];
        answer.extend_from_slice(notices.join("\n").as_bytes());
        self.pipe
            .write_all(&answer)
            .map_err(|error| MountError::io("tell the caller that the mount is usable", error))
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        let mut fds = [PollFd::new(&self.pipe, PollFlags::empty())];
        let polled = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        polled.is_ok() && fds.iter().any(|fd| fd.revents().contains(PollFlags::ERR))
    }

    /// Says why there is no mount.
    pub fn fail(mut self, error: &MountError) {
        let mut answer = vec![FAILED];
        answer.extend_from_slice(error.to_string().as_bytes());
        if let Err(error) = self.pipe.write_all(&answer) {
            log::warn!("cannot tell the caller why the mount failed: {error}");
        }
    }
}

/// Whoever waits for a mount to be usable: the caller of a daemon, or nobody.
#[derive(Debug, Default)]
pub struct Caller(Option<Promise>);

impl Caller {
    /// The one that a promise was given to.
    #[must_use]
    pub fn waiting(promise: Promise) -> Self {
        Self(Some(promise))
    }

    /// Says that the mount is usable, unless he knows.
    ///
    /// # Errors
    /// As [`Promise::fulfil`]: whoever interrupted him wants no mount.
    pub fn fulfil(&mut self, notices: &[String]) -> Result<(), MountError> {
        self.0.take().map_or(Ok(()), |promise| promise.fulfil(notices))
    }

    /// Says why there is no mount, unless he was told that there is.
    pub fn fail(&mut self, error: &MountError) {
        if let Some(promise) = self.0.take() {
            promise.fail(error);
        }
    }

    /// Whether he waits no more, without having been told.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        self.0.as_ref().is_some_and(Promise::is_forgotten)
    }

    /// Another process is to tell him.
    pub(super) fn leave(&mut self) {
        self.0 = None;
    }
}

/// Leaves session, directory, input and output of the caller.
fn leave_terminal(log: Option<&File>) -> Result<(), MountError> {
    let step = |action: &'static str| move |error| MountError::io(action, error);
    rustix::process::setsid().map_err(|error| MountError::io("begin a session", error))?;
    env::set_current_dir("/").map_err(step("go to /"))?;
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(step("open /dev/null"))?;
    let duplicate = |error: rustix::io::Errno| step("leave the terminal")(error.into());
    rustix::stdio::dup2_stdin(&null).map_err(duplicate)?;
    rustix::stdio::dup2_stdout(&null).map_err(duplicate)?;
    // The logger writes to standard error, and so does a panic.
    rustix::stdio::dup2_stderr(log.unwrap_or(&null)).map_err(duplicate)
}

/// Opens a log for appending, readable for its owner only: it names keys.
///
/// # Errors
/// The system's answer.
pub fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The log of a daemon that was given none: `storefs/MOUNTPOINT.log` in the user's state directory. `None` if
/// there is no such directory and it cannot be made, or the log cannot be opened.
#[must_use]
pub fn default_log(mountpoint: &Path) -> Option<PathBuf> {
    let directory = log_directory()?;
    fs::create_dir_all(&directory).ok()?;
    let path = directory.join(log_name(mountpoint));
    let log = open_log(&path).ok()?;
    if log.metadata().is_ok_and(|metadata| metadata.len() > MOST_KEPT_LOG) {
        log.set_len(0).ok()?;
    }
    Some(path)
}

/// Where such logs are, whether it is there or not.
#[must_use]
pub fn log_directory() -> Option<PathBuf> {
    Some(state_directory()?.join("storefs"))
}

/// `$XDG_STATE_HOME`, or `~/.local/state`; a relative path counts as none, as the XDG specification demands.
fn state_directory() -> Option<PathBuf> {
    let absolute =
        |variable| Some(PathBuf::from(env::var_os(variable)?)).filter(|p| p.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))
}

fn log_name(mountpoint: &Path) -> String {
    let bytes = mountpoint.as_os_str().as_bytes();
    let names: Vec<String> = bytes
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .map(|name| percent_encode(name, ESCAPED_IN_LOG_NAME).to_string())
        .collect();
    names.join("-") + ".log"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mountpoint_has_its_own_log() {
        assert_eq!(log_name(Path::new("/home/me/my mnt")), "home-me-my%20mnt.log");
        assert_eq!(log_name(Path::new("/a-b/c")), "a%2Db-c.log");
        assert_eq!(log_name(Path::new("/a/b-c")), "a-b%2Dc.log");
    }

    #[test]
    fn an_answer_is_usable_a_reason_or_nothing() {
        let ends = || {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            (Answer { pipe: reader.into() }, Promise { pipe: writer.into() })
        };
        let (answer, promise) = ends();
        promise.fulfil(&["one".to_owned(), "two".to_owned()]).unwrap();
        assert_eq!(answer.wait().unwrap(), "one\ntwo");
        let (answer, promise) = ends();
        promise.fail(&MountError::refused("no such luck"));
        assert_eq!(answer.wait().unwrap_err().to_string(), "no such luck");
        let (answer, promise) = ends();
        drop(promise);
        assert!(answer.wait().unwrap_err().to_string().contains("--foreground"));
        let (answer, promise) = ends();
        assert!(!promise.is_forgotten());
        drop(answer);
        assert!(promise.is_forgotten());
        assert!(promise.fulfil(&[]).is_err());
    }
}
