//! Who runs the scripts, and how a thread becomes somebody else.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use rustix::process::{Gid, Uid};
use rustix::thread::{
    UnshareFlags, set_thread_groups, set_thread_res_gid, set_thread_res_uid, unshare_unsafe,
};

use crate::help::NOBODY;

/// What the kernel hands requests out by.
const FUSE: &str = "/dev/fuse";

/// How long a script may take before it is ended, in seconds. None comes near.
const PATIENCE: &str = "200";

/// Who runs the scripts.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Caller {
    /// Who runs the tests, and has mounted.
    Same,
    /// [`NOBODY`], in a mount of root's that lets others in.
    Other,
    /// [`NOBODY`], who has mounted.
    Nobody,
    /// Who has mounted, in namespaces of every kind.
    Contained,
}

impl Caller {
    /// What the list of meant differences calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Other => "other",
            Self::Nobody => "nobody",
            Self::Contained => "contained",
        }
    }

    /// A command that runs another as this caller.
    pub(crate) fn command(self) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", PATIENCE]);
        if self == Self::Contained {
            command.args(["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"]);
            command.args(["--mount-proc", "--kill-child", "--ipc", "--uts", "--cgroup"]);
        }
        command
    }

    /// Makes the thread one of this caller's.
    pub(crate) fn take_over_thread(self) {
        if self == Self::Other {
            become_nobody();
        }
    }
}

/// Lets the calling thread, and all that it starts, open `/dev/fuse` as any user, as most systems do: where that is for
/// root alone, by a node of its own in a mount namespace of its own. `dir` is where that may be.
pub(crate) fn open_fuse_to_all(dir: &Path) {
    if fs::metadata(FUSE).unwrap().mode() & 0o6 == 0o6 {
        return;
    }
    // SAFETY: the thread has not opened any file, nor does it share its working directory's changes with another.
    unsafe { unshare_unsafe(UnshareFlags::FS | UnshareFlags::NEWNS) }.unwrap();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    leave_mounts_of_others();
    fs::create_dir(dir).unwrap();
    mount("tmpfs", dir, "tmpfs", MountFlags::empty(), None).unwrap();
    let node = dir.join("fuse");
    let device = fs::metadata(FUSE).unwrap().rdev();
    mknodat(CWD, &node, FileType::CharacterDevice, Mode::from_raw_mode(0o666), device).unwrap();
    fs::set_permissions(&node, fs::Permissions::from_mode(0o666)).unwrap();
    mount_bind(&node, FUSE).unwrap();
}

/// Detaches the mounts of other tests from the calling thread's own namespace: they would live as long as that does, and
/// so would their daemons.
fn leave_mounts_of_others() {
    for line in fs::read_to_string("/proc/thread-self/mounts").unwrap().lines() {
        let mut words = line.split(' ');
        let (at, kind) = (words.nth(1).unwrap(), words.next().unwrap());
        if kind.starts_with("fuse") {
            // It may have gone by itself.
            let _ = unmount(at, UnmountFlags::DETACH);
        }
    }
}

/// Makes the calling thread [`NOBODY`]'s, and all that it starts; the process's other threads stay what they are.
pub(crate) fn become_nobody() {
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    set_thread_groups(&[]).unwrap();
    set_thread_res_gid(group, group, group).unwrap();
    set_thread_res_uid(user, user, user).unwrap();
}
