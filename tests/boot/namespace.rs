//! Scripts in namespaces of their own, where storefs is installed for mount(8).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::common::{PROGRAM, can_mount, clean_environment, skipped, temp_dir};

/// What comes before each script: `/sbin` with the helpers in it, `/dev/fuse` for everybody, `/run` without anything.
///
/// What is mounted is gone with the namespace, and each process with it, since the script is the first of its own.
const PROLOGUE: &str = r#"
prepare() {
    # Mounts of others would be held as long as this namespace lives.
    while read -r _ where kind _; do
        case $kind in fuse*) umount -n -l "$(printf %b "${where//\\/\\0}")" ;; esac
    done < <(cat /proc/mounts)
    mount -n -t tmpfs none /run
    mkdir own; mount -n -t tmpfs -o mode=755 none own; mkdir own/sbin own/lower
    cp "$PROGRAM" own/storefs; chmod 755 own/storefs
    sbin=$(realpath /sbin)
    mount -n --bind "$sbin" own/lower
    ln -s "$PWD"/own/lower/* own/sbin/
    ln -s "$PWD/own/storefs" own/sbin/mount.storefs
    ln -s "$PWD/own/storefs" own/sbin/mount.fuse.storefs
    mount -n --bind own/sbin "$sbin"
    mknod -m 666 own/fuse c 10 229; mount -n --bind own/fuse /dev/fuse
    touch /etc/fstab 2>/dev/null; cp fstab own/fstab; mount -n --bind own/fstab /etc/fstab
}
prepare >&2 || exit 77
PATH=$PWD/own:$PATH:/usr/sbin:/sbin
"#;

/// A directory with a storage and some mountpoints, in which scripts are run.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// One with a storage, `storage`, that has the record `hello` in its default store, and the mountpoints `m1` to `m4`.
    /// `None`, and said so, where this user cannot have namespaces.
    #[track_caller]
    pub(crate) fn new() -> Option<Self> {
        if !can_mount() {
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            skipped("only root has mount(8) call helpers in a namespace of its own");
            return None;
        }
        let place = Self { dir: temp_dir() };
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["storage/key_value_stores/default", "m1", "m2", "m3", "m4"] {
            fs::create_dir_all(place.path().join(name)).unwrap();
        }
        fs::write(place.path().join("storage/key_value_stores/default/hello"), "world\n").unwrap();
        Some(place)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Runs a script in bash, in the directory, by root; what there is in `/etc/fstab` is given. Panics unless every command
    /// of it succeeds. Gives back what it printed.
    #[track_caller]
    pub(crate) fn run(&self, fstab: &str, script: &str) -> String {
        let output = self.try_run(fstab, script);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}\n{}\n{output:?}\n{said}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn try_run(&self, fstab: &str, script: &str) -> Output {
        let here = self.path().display().to_string();
        fs::write(self.at("fstab"), fstab.replace("HERE", &here)).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        // Not on the command line, where the script would find itself.
        fs::write(self.at("script"), format!("{PROLOGUE}\nset -euo pipefail\n{script}")).unwrap();
        command.args(["bash", "script"]);
        clean_environment(&mut command);
        command.env("PROGRAM", PROGRAM).env("LC_ALL", "C.UTF-8");
        command.env_remove("XDG_STATE_HOME").env("HOME", self.path());
        let output = command.current_dir(self.path()).stdin(Stdio::null()).output().unwrap();
        assert_ne!(output.status.code(), Some(77), "the namespace cannot be prepared: {output:?}");
        let _ = fs::remove_dir(self.at("own"));
        output
    }
}
