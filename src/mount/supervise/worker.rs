//! The worker's side: what it is handed, its session, and what it tells its supervisor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use fuser::{Config, Session};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::fs::Kept;
use crate::fuse::Guarded;
use crate::mount::MountError;

/// Begins the message of a worker that serves; what whoever mounts has to know follows, in lines.
const SERVES: u8 = b'+';

/// Begins the message of a worker that cannot serve; the reason follows.
const FAILED: u8 = b'-';

/// Begins what the manager of services is to be told, in its own words.
const FOR_MANAGER: u8 = b'=';

/// The longest message, in bytes.
const MESSAGE_BYTES: usize = 64 * 1024;

/// What a worker is handed by its supervisor.
#[derive(Debug)]
pub struct Handed {
    /// The connection to the kernel.
    pub(super) device: OwnedFd,
    /// A socket, in which the kernel's first request waits; the answer goes there, and then what the worker has to tell.
    pub(super) channel: OwnedFd,
    /// What is kept of the workers before.
    pub(super) kept: OwnedFd,
}

impl Handed {
    /// What the workers before have left.
    ///
    /// # Errors
    /// The system's answer.
    pub(in crate::mount) fn kept(&self) -> io::Result<Arc<Kept>> {
        Ok(Arc::new(Kept::open(self.kept.try_clone()?)?))
    }

    /// A session on the connection.
    ///
    /// # Errors
    /// The system's answer.
    pub(in crate::mount) fn session(
        &self,
        adapter: Guarded,
        mut config: Config,
    ) -> io::Result<Session<Guarded>> {
        // What is read through a clone of the descriptor would be lost with this process, which alone holds it.
        config.clone_fd = false;
        let session = Session::from_fd(adapter, self.channel.try_clone()?, config.acl, config)?;
        // The session has its answer from the socket; from here on it talks to the kernel.
        // SAFETY: both descriptors are open, and the session goes on owning its own, whatever that stands for.
        let put = unsafe {
            libc::dup3(self.device.as_raw_fd(), session.as_fd().as_raw_fd(), libc::O_CLOEXEC)
        };
        if put < 0 { Err(io::Error::last_os_error()) } else { Ok(session) }
    }

    /// The way to tell the supervisor how it went.
    ///
    /// # Errors
    /// The system's answer.
    pub(super) fn report(&self) -> io::Result<Report> {
        Ok(Report(self.channel.try_clone()?))
    }
}

/// Tells the supervisor how a worker's start went, and what the manager of services is to be told.
#[derive(Debug)]
pub(super) struct Report(OwnedFd);

impl Report {
    /// One that tells through a socket.
    pub(super) fn by(channel: OwnedFd) -> Self {
        Self(channel)
    }

    /// It serves.
    ///
    /// # Errors
    /// [`MountError::Io`] if the supervisor has gone.
    pub(super) fn serves(&self, notices: &[String]) -> Result<(), MountError> {
        self.tell(SERVES, &notices.join("\n"))
            .map_err(|error| MountError::io("tell the supervisor that the mount is served", error))
    }

    /// It cannot serve.
    pub(super) fn failed(&self, error: &MountError) {
        if let Err(error) = self.tell(FAILED, &error.to_string()) {
            log::warn!("cannot tell the supervisor why the mount is not served: {error}");
        }
    }

    /// The manager of services is to be told this.
    pub(super) fn for_manager(&self, text: &str) {
        if let Err(error) = self.tell(FOR_MANAGER, text) {
            log::debug!("the manager of services is not told: {error}");
        }
    }

    fn tell(&self, kind: u8, text: &str) -> io::Result<()> {
        let text = text.as_bytes();
        let text = text.get(..MESSAGE_BYTES - 1).unwrap_or(text);
        send(&self.0, &[&[kind], text].concat(), SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// What a worker has told.
#[derive(Debug)]
pub(super) enum Told {
    /// The answer to the kernel's first request.
    Answer(Vec<u8>),
    /// It serves. What whoever mounts has to know.
    Serves(Vec<String>),
    /// It cannot serve, for this reason.
    Failed(String),
    /// The manager of services is to be told this.
    ForManager(String),
    /// Nothing more.
    Nothing,
}

/// Takes what a worker tells, if it has.
///
/// # Errors
/// The system's answer.
pub(super) fn hear(channel: &OwnedFd) -> io::Result<Told> {
    let mut message = vec![0; MESSAGE_BYTES];
    let mut receive = || recv(channel, &mut *message, RecvFlags::DONTWAIT);
    let (length, _) = match receive() {
        // Its end is gone, and the kernel's first request was not read there. That is said once, before what was told.
        Err(rustix::io::Errno::CONNRESET) => receive()?,
        received => received?,
    };
    message.truncate(length);
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    Ok(match message.split_first() {
        None => Told::Nothing,
        Some((&SERVES, notices)) => {
            Told::Serves(text(notices).lines().map(str::to_owned).collect())
        }
        Some((&FAILED, reason)) => Told::Failed(text(reason)),
        Some((&FOR_MANAGER, words)) => Told::ForManager(text(words)),
        // It begins with its length, which is none of them.
        Some(_) => Told::Answer(message),
    })
}
