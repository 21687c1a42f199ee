//! Taking a mount away: plainly, through fusermount3, or detached while it is in use.
//!
//! A busy mount is never detached unasked, and its users are named. What the daemon has still to write when
//! the mount is gone (the times in the stores' metadata) is waited for.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

use super::asked::{MountAnswer, answer_at};
use super::preflight::LOG_FILE;
use super::table::{self, Mount, MountTable};
use super::{MountError, deadline, preflight};

/// How long those who read it may take to let go of it: `tail -f` looks once a second.
const LOG_READERS_DEADLINE: Duration = Duration::from_secs(2);

/// How long a daemon may take to tell its process id. One that hangs would never do so.
const STATUS_DEADLINE: Duration = Duration::from_secs(2);

/// How long the daemon may take to end after the unmount.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// Processes that are named when a mount is in use; of the others only the number is told.
const MOST_NAMED_USERS: usize = 5;

/// Programs that unmount for users without privileges, the first one found being taken.
const HELPERS: [&str; 2] = ["fusermount3", "fusermount"];

/// How an unmount ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmounted {
    /// The mount is gone, and so is its daemon, as far as can be known.
    Ended,
    /// The mount is gone, but its daemon, process `pid`, is still at work after 10 s.
    DaemonAtWork {
        /// The daemon's process id.
        pid: i32,
    },
    /// The mount is out of sight, but goes on for those who use it.
    Detached {
        /// Who uses it, in words; empty if nobody could be found.
        users: String,
    },
    /// The mount is out of sight; its daemon does not answer.
    HangingDetached,
}

/// Unmounts the storefs mount at `mountpoint`, also if its daemon is dead. One that is in use is detached if
/// `lazy`, else left alone.
///
/// # Errors
/// [`MountError::Refused`] if nothing is mounted there, or something else, or if it is in use;
/// [`MountError::Io`].
pub fn unmount(mountpoint: &Path, lazy: bool) -> Result<Unmounted, MountError> {
    let table = preflight::read_table()?;
    let path = find(mountpoint, &table)?;
    let daemon = ask_daemon(&path);
    match daemon {
        Daemon::Dead => return detach(&path).map(|()| Unmounted::Ended),
        Daemon::Hanging if lazy => return detach(&path).map(|()| Unmounted::HangingDetached),
        // The question that waits for the daemon keeps the mount busy by itself.
        Daemon::Hanging => return Err(hanging(mountpoint)),
        Daemon::Process { .. } | Daemon::Unknown => {}
    }
    match attempt_without_log(&path)? {
        Attempt::Done => Ok(wait_for_end(daemon)),
        Attempt::Busy if lazy => {
            let users = users_in_words(&path, &table);
            detach(&path)?;
            Ok(Unmounted::Detached { users })
        }
        Attempt::Busy => Err(busy(mountpoint, &users_in_words(&path, &table))),
    }
}

/// Takes a mount out of sight whatever uses it; its users keep it until they are done.
pub(super) fn detach(path: &Path) -> Result<(), MountError> {
    match attempt(path, How::Detaching)? {
        Attempt::Done => Ok(()),
        Attempt::Busy => Err(MountError::io(unmounting(path), Errno::BUSY)),
    }
}

/// Unmounts plainly if nobody uses the mount. Else gives back who does.
pub(super) fn unmount_unused(path: &Path) -> Result<Option<String>, MountError> {
    match attempt(path, How::Plainly)? {
        Attempt::Done => Ok(None),
        Attempt::Busy => Ok(Some(users_in_words(path, &preflight::read_table()?))),
    }
}

/// Unmounts plainly. Who only reads `@log` does not keep a mount: he is told that this is the end.
fn attempt_without_log(path: &Path) -> Result<Attempt, MountError> {
    if matches!(attempt(path, How::Plainly)?, Attempt::Done) {
        return Ok(Attempt::Done);
    }
    let is_read = has_log_readers(path) && end_log(path);
    let end = Instant::now() + LOG_READERS_DEADLINE;
    // Once more in any case: who read it may have left between the two looks.
    loop {
        let attempted = attempt(path, How::Plainly)?;
        if !is_read || matches!(attempted, Attempt::Done) || Instant::now() >= end {
            return Ok(attempted);
        }
        thread::sleep(LOG_READERS_DEADLINE / 100);
    }
}

fn has_log_readers(path: &Path) -> bool {
    let MountAnswer::Live(status) = answer_at(path, STATUS_DEADLINE) else { return false };
    let readers = status.pointer("/log/readers").and_then(Value::as_u64);
    readers.is_some_and(|readers| readers > 0)
}

/// A sync of `@log` ends it for all who read it.
fn end_log(path: &Path) -> bool {
    let log_file = path.join(LOG_FILE);
    let ended = move || fs::File::open(&log_file).and_then(|log| log.sync_all());
    matches!(deadline::ask(STATUS_DEADLINE, ended), Some(Ok(())))
}

fn find(mountpoint: &Path, table: &MountTable) -> Result<PathBuf, MountError> {
    let shown = mountpoint.display();
    let path = match table::resolve(mountpoint, table) {
        Ok(path) => path,
        Err(error) => {
            return Err(inside_of(mountpoint, table)
                .unwrap_or_else(|| MountError::io(format!("reach mountpoint '{shown}'"), error)));
        }
    };
    match table.at(&path) {
        Some(mount) if mount.is_ours() => Ok(path),
        Some(mount) => Err(not_ours(mountpoint, mount)),
        None => Err(inside_of(mountpoint, table)
            .unwrap_or_else(|| MountError::refused(format!("nothing is mounted at '{shown}'")))),
    }
}

/// What to say of a path that is no mountpoint itself, but lies in a mount of ours.
fn inside_of(path: &Path, table: &MountTable) -> Option<MountError> {
    let ancestors = path.ancestors().skip(1);
    let mountpoint = ancestors
        .filter_map(|ancestor| table::resolve(ancestor, table).ok())
        .find(|ancestor| table.at(ancestor).is_some_and(Mount::is_ours))?;
    Some(MountError::refused(format!(
        "'{}' is no mountpoint, but lies in the mount at '{1}': storefs unmount {1}",
        path.display(),
        mountpoint.display()
    )))
}

fn not_ours(mountpoint: &Path, mount: &Mount) -> MountError {
    MountError::refused(format!(
        "what is mounted at '{}' is no storefs mount but {} of type {}; unmount it with umount",
        mountpoint.display(),
        mount.source.to_string_lossy(),
        mount.file_system_type
    ))
}

fn busy(mountpoint: &Path, users: &str) -> MountError {
    let by = if users.is_empty() { String::new() } else { format!(" by {users}") };
    MountError::refused(format!(
        "'{}' is in use{by}; end that use first, or detach the mount with --lazy",
        mountpoint.display()
    ))
}

fn hanging(mountpoint: &Path) -> MountError {
    MountError::refused(format!(
        "the daemon behind '{}' does not answer; its log may say why, --lazy detaches the mount",
        mountpoint.display()
    ))
}

/// The daemon behind a mount.
enum Daemon {
    /// It has gone and left the mount behind.
    Dead,
    /// It told its process id; the descriptor stands for that very process, even if the number is used again.
    Process { pid: i32, pidfd: OwnedFd },
    /// It does not answer.
    Hanging,
    /// It lets this user see nothing, or tells no process that is there.
    Unknown,
}

fn ask_daemon(path: &Path) -> Daemon {
    match answer_at(path, STATUS_DEADLINE) {
        MountAnswer::Live(status) => process_of(&status).unwrap_or(Daemon::Unknown),
        MountAnswer::Dead => Daemon::Dead,
        MountAnswer::Hanging => Daemon::Hanging,
        MountAnswer::Unknown(_) => Daemon::Unknown,
    }
}

fn process_of(status: &Value) -> Option<Daemon> {
    // What answers may be no daemon of ours: `Pid` takes no negative number.
    let pid = i32::try_from(status.get("pid")?.as_i64()?).ok().filter(|pid| *pid > 0)?;
    let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    Some(Daemon::Process { pid, pidfd })
}

fn wait_for_end(daemon: Daemon) -> Unmounted {
    match daemon {
        Daemon::Process { pid, pidfd } if !has_ended(&pidfd) => Unmounted::DaemonAtWork { pid },
        _ => Unmounted::Ended,
    }
}

/// Whether the process ends in time.
fn has_ended(pidfd: &OwnedFd) -> bool {
    let Ok(deadline) = Timespec::try_from(END_DEADLINE) else { return false };
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&deadline)), Ok(1))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Plainly,
    Detaching,
}

enum Attempt {
    Done,
    Busy,
}

/// Asks the kernel, and where that takes privileges that this user has not, fusermount3.
fn attempt(path: &Path, how: How) -> Result<Attempt, MountError> {
    let flags = match how {
        How::Plainly => UnmountFlags::NOFOLLOW,
        How::Detaching => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    match rustix::mount::unmount(path, flags) {
        Ok(()) => Ok(Attempt::Done),
        Err(Errno::BUSY) => Ok(Attempt::Busy),
        Err(Errno::PERM) => attempt_by_helper(path, how),
        Err(error) => Err(MountError::io(unmounting(path), error)),
    }
}

fn attempt_by_helper(path: &Path, how: How) -> Result<Attempt, MountError> {
    let words = if how == How::Detaching { "-uz" } else { "-u" };
    for helper in HELPERS {
        let output = match Command::new(helper).arg(words).arg("--").arg(path).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            output => output.map_err(|error| MountError::io(format!("run {helper}"), error))?,
        };
        if output.status.success() {
            return Ok(Attempt::Done);
        }
        // The helper speaks English only, and has no exit status of its own for this.
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("busy") {
            return Ok(Attempt::Busy);
        }
        return Err(MountError::refused(format!("cannot {}: {}", unmounting(path), said.trim())));
    }
    Err(MountError::refused(format!(
        "cannot {}: it takes root, or fusermount3; install the package fuse3",
        unmounting(path)
    )))
}

fn unmounting(path: &Path) -> String {
    format!("unmount '{}'", path.display())
}

/// The processes and mounts that keep a mount busy, as words for a message.
///
/// Only the names of `/proc`'s links are read; following one could wait for a daemon that hangs. Of other
/// users' processes, root alone sees the links.
fn users_in_words(path: &Path, table: &MountTable) -> String {
    let mut users: Vec<String> = table
        .below(path)
        .map(|mount| format!("the mount '{}'", mount.mountpoint.display()))
        .collect();
    users.extend(processes_in(path));
    let unnamed = users.len().saturating_sub(MOST_NAMED_USERS);
    users.truncate(MOST_NAMED_USERS);
    if unnamed > 0 {
        users.push(format!("{unnamed} more"));
    }
    users.join(", ")
}

fn processes_in(path: &Path) -> Vec<String> {
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own && uses(*pid, path))
        .collect();
    pids.sort_unstable();
    pids.into_iter().map(|pid| format!("process {pid} ({})", command_of(pid))).collect()
}

fn uses(pid: u32, path: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let open_files = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    ["cwd", "root", "exe"]
        .iter()
        .map(|link| process.join(link))
        .chain(open_files)
        .any(|link| fs::read_link(link).is_ok_and(|target| target.starts_with(path)))
}

fn command_of(pid: u32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_mount_of_ours_is_named_and_left_alone() {
        let error = unmount(Path::new("/proc"), true).unwrap_err().to_string();
        assert!(error.contains("no storefs mount"), "{error}");
        assert!(error.contains("type proc"), "{error}");
        let directory = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap();
        let error = unmount(directory.path(), false).unwrap_err().to_string();
        assert!(error.contains("nothing is mounted"), "{error}");
    }

    #[test]
    fn users_of_a_directory_are_found_by_their_open_files() {
        let directory = tempfile::Builder::new().prefix("storefs-test-").tempdir().unwrap();
        let path = fs::canonicalize(directory.path()).unwrap();
        assert!(!uses(std::process::id(), &path));
        let _file = fs::File::create(path.join("open")).unwrap();
        assert!(uses(std::process::id(), &path));
        assert!(!uses(std::process::id(), &path.join("other")));
    }

    #[test]
    fn a_process_is_found_by_the_status_alone() {
        let own = json!({ "pid": std::process::id() });
        assert!(matches!(process_of(&own), Some(Daemon::Process { .. })));
        let others = [json!({ "pid": -1 }), json!({ "pid": 0 }), json!({ "pid": "1" })];
        for status in others.into_iter().chain([json!(null), json!({}), json!([])]) {
            assert!(process_of(&status).is_none(), "{status}");
        }
    }
}
