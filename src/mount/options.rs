//! What the kernel and fusermount3 are told about a mount.

use fuser::{Config, MountOption, SessionACL};

use crate::fuse::SERVING_THREADS;

/// The subtype that makes the mount's type `fuse.storefs`, by which our own mounts are told from others'.
///
/// Not [`MountOption::Subtype`]: fuser 0.18 passes that on to fusermount3 only, never to mount(2), and a mount
/// made by root would be of the type `fuse`. The kernel (`OPT_SUBTYPE` in fs/fuse/inode.c) and fusermount3
/// both understand this spelling.
pub(super) const SUBTYPE: &str = "subtype=storefs";

/// What a mount needs to be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct KernelOptions<'a> {
    /// What is mounted, for the first column of mount tables.
    pub(super) source: &'a str,
    /// Whether nothing may be written.
    pub(super) read_only: bool,
    /// Whether no file may be run as a program.
    pub(super) no_exec: bool,
    /// Whether users other than the mounting one get in.
    pub(super) allow_other: bool,
}

/// The session's configuration.
pub(super) fn session_config(options: KernelOptions<'_>) -> Config {
    // AutoUnmount is left out on purpose: it needs allow_other, and it makes the session unable to unmount
    // itself (fuser issue 407). Signals and `storefs unmount` do its work.
    let mut mount_options = vec![
        MountOption::FSName(file_system_name(options.source)),
        MountOption::CUSTOM(SUBTYPE.to_owned()),
        // The kernel checks owner and mode (P20); with --allow-other nothing else would.
        MountOption::DefaultPermissions,
        MountOption::NoDev,
        MountOption::NoSuid,
        // Reads move the store's accessed time by our own rule (P17), not by the kernel's.
        MountOption::NoAtime,
    ];
    if options.read_only {
        mount_options.push(MountOption::RO);
    }
    if options.no_exec {
        mount_options.push(MountOption::NoExec);
    }
    let mut config = Config::default();
    config.mount_options = mount_options;
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(SERVING_THREADS);
    config.clone_fd = true;
    config
}

/// The source, as it may be shown to anybody, as a mount option. fuser 0.18 escapes nothing (fuser issue 424): a comma would begin
/// another option, a backslash an escape, and NUL would end the text.
pub(super) fn file_system_name(source: &str) -> String {
    source.replace([',', '\\', '\0'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(read_only: bool, allow_other: bool) -> Config {
        session_config(KernelOptions {
            source: "/a,b\\c",
            read_only,
            no_exec: read_only,
            allow_other,
        })
    }

    #[test]
    fn a_path_can_smuggle_in_no_option() {
        assert_eq!(file_system_name("/s,allow_other\\x\0y"), "/s_allow_other_x_y");
        assert!(
            options(false, false).mount_options.contains(&MountOption::FSName("/a_b_c".into()))
        );
    }

    #[test]
    fn only_the_owner_gets_in_unless_others_are_let_in() {
        assert_eq!(options(false, false).acl, SessionACL::Owner);
        assert_eq!(options(false, true).acl, SessionACL::All);
    }

    #[test]
    fn what_is_not_allowed_is_told_to_the_kernel() {
        assert!(options(true, false).mount_options.contains(&MountOption::RO));
        assert!(options(true, false).mount_options.contains(&MountOption::NoExec));
        assert!(!options(false, false).mount_options.contains(&MountOption::NoExec));
        assert!(!options(false, false).mount_options.contains(&MountOption::RO));
    }
}
