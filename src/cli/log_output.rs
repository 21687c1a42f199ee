//! Where the lines of a mount's log go: to standard error, a file, the journal, or the system's log.

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use log::Level;

use super::log_lines::severity;
use crate::mount;

/// The socket of the system's log.
const SYSTEM_LOG: &str = "/dev/log";

/// The facility of daemons, as in syslog(3).
const DAEMON: u8 = 3 << 3;

/// The variable by which systemd says which of a service's outputs is connected to the journal, as `DEVICE:INODE`.
const JOURNAL_VARIABLE: &str = "JOURNAL_STREAM";

/// Where lines go.
#[derive(Debug)]
pub(super) enum LogOutput {
    /// Standard error, whatever that is.
    Terminal,
    /// Standard error, behind which is the journal: it is told how bad each line is (sd-daemon(3)).
    Journal,
    /// A file, which is opened again where others have renamed it.
    File {
        path: PathBuf,
        file: File,
        /// Whether it is standard error too, as in a daemon.
        is_stderr: bool,
    },
    /// The system's log.
    System(UnixDatagram),
    /// Nowhere.
    Nowhere,
}

impl LogOutput {
    /// A file, made if need be.
    ///
    /// # Errors
    /// The system's answer.
    pub(super) fn file(path: PathBuf, is_stderr: bool) -> io::Result<Self> {
        let file = mount::open_log(&path)?;
        Ok(Self::File { path, file, is_stderr })
    }

    /// The system's log.
    ///
    /// # Errors
    /// The system's answer, where nothing listens for it.
    pub(super) fn system() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SYSTEM_LOG)?;
        // Not libc's syslog(3), which waits for a log that hangs, and every request of the mount with it.
        socket.set_nonblocking(true)?;
        Ok(Self::System(socket))
    }

    /// The journal, if standard error leads there.
    pub(super) fn journal() -> Option<Self> {
        let stream = env::var(JOURNAL_VARIABLE).ok()?;
        let (device, inode) = stream.split_once(':')?;
        let stderr = Path::new("/proc/self/fd/2").metadata().ok()?;
        let is_it = device.parse() == Ok(stderr.dev()) && inode.parse() == Ok(stderr.ino());
        is_it.then_some(Self::Journal)
    }

    /// Whether lines have no time of their own.
    pub(super) fn keeps_times(&self) -> bool {
        matches!(self, Self::Journal | Self::System(_))
    }

    /// Writes a line.
    pub(super) fn write(&self, level: Level, line: &str) {
        let severity = severity(level);
        // A log that cannot be written has nowhere to say so.
        let _ = match self {
            Self::Nowhere => Ok(()),
            Self::Terminal => write_whole(&mut io::stderr(), &format!("{line}\n")),
            Self::Journal => write_whole(&mut io::stderr(), &format!("<{severity}>{line}\n")),
            Self::File { file, .. } => write_whole(&mut &*file, &format!("{line}\n")),
            Self::System(socket) => {
                let priority = DAEMON | severity;
                let process = std::process::id();
                let text = format!("<{priority}>storefs[{process}]: {line}");
                // Begun anew, the log has another socket at its place.
                let sent = socket.send(text.as_bytes());
                let again =
                    || socket.connect(SYSTEM_LOG).and_then(|()| socket.send(text.as_bytes()));
                sent.or_else(|error| match error.kind() {
                    io::ErrorKind::WouldBlock => Err(error),
                    _ => again(),
                })
                .map(drop)
            }
        };
    }

    /// Opens the log's file again, by its name.
    ///
    /// # Errors
    /// The system's answer; then the file that was open before is written to.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let Self::File { path, file, is_stderr } = self else { return Ok(()) };
        let opened = mount::open_log(path)?;
        if *is_stderr {
            rustix::stdio::dup2_stderr(&opened)?;
        }
        *file = opened;
        Ok(())
    }
}

/// In one call, so that lines of several processes do not mix.
fn write_whole(to: &mut impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())
}
