//! The connection to the kernel, made and held by the supervisor: mounting, the kernel's first request, and what the kernel is told
//! when a worker has died.
//!
//! The crate mounts only together with a session, so it is done here, in the same two ways: by mount(2), and where that takes
//! privileges that this user has not, by fusermount3.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, IoSliceMut, fcntl_setfd};
use rustix::mount::MountFlags;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};

use crate::mount::options::{KernelOptions, SUBTYPE, file_system_name};

const DEVICE: &str = "/dev/fuse";

/// Programs that mount for users without privileges, the first one found being taken.
const HELPERS: [&str; 2] = ["fusermount3", "fusermount"];

/// Tells a helper by which descriptor it is to give the connection back.
const HELPER_VARIABLE: &str = "_FUSE_COMMFD";

/// The shortest buffer into which the kernel puts a request (`FUSE_MIN_READ_BUFFER`).
const REQUEST_BYTES: usize = 8192;

/// `FUSE_NOTIFY_RESEND` (protocol 7.40): what was taken and not answered is sent again.
const RESEND: i32 = 7;

/// `FUSE_NOTIFY_INC_EPOCH` (protocol 7.44): every name is looked up again.
const RAISE_EPOCH: i32 = 8;

/// A mount's connection to the kernel.
#[derive(Debug)]
pub(super) struct Connection {
    device: OwnedFd,
    /// The kernel's first request, which each worker is shown.
    greeting: Vec<u8>,
    /// Whether the kernel has got the answer to it.
    is_answered: bool,
}

impl Connection {
    /// Mounts, and takes the kernel's first request.
    ///
    /// # Errors
    /// The system's answer, or what a helper said.
    pub(super) fn mount(mountpoint: &Path, options: &KernelOptions<'_>) -> io::Result<Self> {
        let device = match mount_directly(mountpoint, options) {
            Err(Errno::PERM) => mount_by_helper(mountpoint, options)?,
            mounted => mounted?,
        };
        let mut greeting = vec![0; REQUEST_BYTES];
        let length = rustix::io::retry_on_intr(|| rustix::io::read(&device, &mut *greeting))?;
        greeting.truncate(length);
        Ok(Self { device, greeting, is_answered: false })
    }

    /// The kernel's first request.
    pub(super) fn greeting(&self) -> &[u8] {
        &self.greeting
    }

    /// The descriptor, for a worker.
    ///
    /// # Errors
    /// The system's answer.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        self.device.try_clone()
    }

    /// Whether the kernel has been answered, and so lets itself be asked.
    pub(super) fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// Passes on a worker's answer to the first request. The kernel takes one; those of later workers say the same.
    ///
    /// # Errors
    /// The system's answer.
    pub(super) fn answer(&mut self, answer: &[u8]) -> io::Result<()> {
        if !self.is_answered {
            rustix::io::write(&self.device, answer)?;
            self.is_answered = true;
        }
        Ok(())
    }

    /// A worker has died: has the kernel send again what it had not answered, and look every name up again. Not before the first
    /// answer, since then the kernel would take the answer no more.
    pub(super) fn begin_anew(&self) {
        if !self.is_answered {
            return;
        }
        for (code, what) in [(RESEND, "send requests again"), (RAISE_EPOCH, "look names up again")]
        {
            let mut message = Vec::with_capacity(16);
            message.extend(16_u32.to_ne_bytes());
            message.extend(code.to_ne_bytes());
            message.extend(0_u64.to_ne_bytes());
            if let Err(error) = rustix::io::write(&self.device, &message) {
                // Names are then trusted for as long as was said.
                log::debug!("the kernel does not {what}: {error}");
            }
        }
    }

    /// Whether the mount is still there.
    pub(super) fn is_connected(&self) -> bool {
        let mut fds = [PollFd::new(&self.device, PollFlags::empty())];
        let polled = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        polled.is_ok() && !fds.iter().any(|fd| fd.revents().contains(PollFlags::ERR))
    }
}

/// Words that both ways of mounting understand.
fn words(options: &KernelOptions<'_>) -> String {
    let allow_other = if options.allow_other { ",allow_other" } else { "" };
    format!("{SUBTYPE},default_permissions{allow_other}")
}

fn mount_directly(mountpoint: &Path, options: &KernelOptions<'_>) -> Result<OwnedFd, Errno> {
    let number = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let device: OwnedFd = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC)
        .open(DEVICE)
        .map_err(number)?
        .into();
    let mode = std::fs::metadata(mountpoint).map_err(number)?.mode();
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    let data = format!(
        "fd={},rootmode={mode:o},user_id={uid},group_id={gid},{}",
        device.as_raw_fd(),
        words(options)
    );
    let data = CString::new(data).map_err(|_| Errno::INVAL)?;
    let mut flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOATIME;
    flags.set(MountFlags::RDONLY, options.read_only);
    flags.set(MountFlags::NOEXEC, options.no_exec);
    let source = file_system_name(options.source);
    rustix::mount::mount(source.as_str(), mountpoint, "fuse", flags, data.as_c_str())?;
    Ok(device)
}

fn mount_by_helper(mountpoint: &Path, options: &KernelOptions<'_>) -> io::Result<OwnedFd> {
    let mut all = format!("fsname={},nodev,nosuid,noatime", file_system_name(options.source));
    all.push_str(if options.read_only { ",ro" } else { "" });
    all.push_str(if options.no_exec { ",noexec" } else { "" });
    let all = format!("{all},{}", words(options));
    for helper in HELPERS {
        // For the helper alone: this process has no other thread that could start a program now.
        let (theirs, ours) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None)?;
        fcntl_setfd(&ours, FdFlags::CLOEXEC)?;
        let started = Command::new(helper)
            .arg("-o")
            .arg(&all)
            .arg("--")
            .arg(mountpoint)
            .env(HELPER_VARIABLE, theirs.as_raw_fd().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            started => started?,
        };
        drop(theirs);
        let device = receive_descriptor(ours.as_fd());
        let mut said = String::new();
        if let Some(stderr) = &mut child.stderr {
            stderr.read_to_string(&mut said)?;
        }
        child.wait()?;
        return match device {
            Some(device) => {
                fcntl_setfd(&device, FdFlags::CLOEXEC)?;
                Ok(device)
            }
            None => Err(io::Error::other(said)),
        };
    }
    Err(ErrorKind::NotFound.into())
}

fn receive_descriptor(socket: BorrowedFd<'_>) -> Option<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut buffer = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut byte)];
    recvmsg(socket, &mut parts, &mut buffer, RecvFlags::empty()).ok()?;
    buffer.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })
}

/// Whether this kernel sends requests again (Linux 6.9).
pub(super) fn can_send_again() -> bool {
    let name = rustix::system::uname();
    is_at_least(&name.release().to_string_lossy(), (6, 9))
}

fn is_at_least(release: &str, least: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok());
    let version: (u32, u32) =
        (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    version >= least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_told_by_their_release() {
        for (release, is) in [
            ("6.9.0", true),
            ("6.8.12-generic", false),
            ("6.18.44-x", true),
            ("7.0", true),
            ("", false),
        ] {
            assert_eq!(is_at_least(release, (6, 9)), is, "{release}");
        }
    }
}
