//! Changing a mount that is there, as `mount -o remount` asks: whether it may be written, and files be run.
//!
//! FUSE takes no other option at a remount, and the daemon has no part in it: the kernel refuses writes by itself. The
//! program that serves the mount is not told.

use std::path::Path;
use std::time::Duration;

use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_remount};
use serde_json::Value;

use super::asked::{MountAnswer, answer_at};
use super::table::{self, Mount};
use super::{MountError, deadline, preflight};

/// How long the mount may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// What is to be changed; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remount {
    /// Whether nothing may be written.
    pub read_only: Option<bool>,
    /// Whether no file may be run as a program.
    pub no_exec: Option<bool>,
}

/// Changes the storefs mount at `mountpoint`.
///
/// # Errors
/// [`MountError::Refused`] if no mount of storefs is there, if it was made for reading only and is to be written, if a
/// file in it is being written and it is to be read only, and for others than root; [`MountError::Io`].
pub fn remount(mountpoint: &Path, change: Remount) -> Result<(), MountError> {
    let shown = mountpoint.display();
    let table = preflight::read_table()?;
    let failed = |error| MountError::io(format!("remount '{shown}'"), error);
    let path = table::resolve(mountpoint, &table).map_err(failed)?;
    if !table.at(&path).is_some_and(Mount::is_ours) {
        return Err(MountError::refused(format!(
            "no storage is mounted at '{shown}': nothing to remount"
        )));
    }
    let stat = path.clone();
    let present = deadline::ask(DEADLINE, move || rustix::fs::statvfs(&stat));
    let present = present.unwrap_or(Err(Errno::TIMEDOUT)).map_err(|error| failed(error.into()))?;
    let read_only = change.read_only.unwrap_or(present.f_flag.contains(StatVfsMountFlags::RDONLY));
    let no_exec = change.no_exec.unwrap_or(present.f_flag.contains(StatVfsMountFlags::NOEXEC));
    if !read_only && is_served_read_only(&path) {
        return Err(MountError::refused(format!(
            "'{shown}' was mounted for reading only, which no remount changes; unmount it, and mount it again"
        )));
    }
    // What is not said would be taken away.
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
    flags.set(MountFlags::RDONLY, read_only);
    flags.set(MountFlags::NOEXEC, no_exec);
    mount_remount(&path, flags, c"").map_err(|error| match error {
        Errno::PERM => MountError::refused(format!(
            "only root remounts: '{shown}' is as it was; unmount it, and mount it again"
        )),
        Errno::BUSY => MountError::refused(format!(
            "'{shown}' is as it was: files in it are open for writing; close them first"
        )),
        error => failed(error.into()),
    })
}

/// Whether the daemon itself refuses to write. One that does not say so, or not to this user, is taken not to.
fn is_served_read_only(path: &Path) -> bool {
    match answer_at(path, DEADLINE) {
        MountAnswer::Live(status) => status.get("read_only").and_then(Value::as_bool) == Some(true),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let error = remount(Path::new("/proc"), Remount::default()).unwrap_err().to_string();
        assert!(error.contains("nothing to remount"), "{error}");
    }
}
