//! A database that is mounted.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::sys::{Result, run_quiet, wait_until};

/// A mount, until it is dropped.
pub(crate) struct Mounted {
    mountpoint: PathBuf,
    daemon: Child,
}

impl Mounted {
    /// Mounts a source at `place/mnt`.
    pub(crate) fn new(storefs: &Path, source: &str, place: &Path) -> Result<Self> {
        let mountpoint = place.join("mnt");
        fs::create_dir_all(&mountpoint)?;
        let log = fs::File::create(place.join("log"))?;
        let mut command = Command::new(storefs);
        command.args(["mount", "--foreground", source]).arg(&mountpoint);
        command.arg("--cache-dir").arg(place.join("spool"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut mounted = Self { daemon: command.spawn()?, mountpoint };
        let outside = fs::metadata(place)?.dev();
        wait_until("it is mounted", || {
            if let Some(status) = mounted.daemon.try_wait()? {
                let said = fs::read_to_string(place.join("log"))?;
                return Err(format!("{command:?} ended with {status}: {said}").into());
            }
            Ok(fs::metadata(&mounted.mountpoint).is_ok_and(|inside| inside.dev() != outside))
        })?;
        Ok(mounted)
    }

    /// The directory of a store.
    pub(crate) fn store(&self, name: &str) -> PathBuf {
        self.mountpoint.join("key_value_stores").join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        if run_quiet(unmount.arg(&self.mountpoint).stderr(Stdio::null()), &[0]).is_err() {
            let _ = run_quiet(Command::new("fusermount3").arg("-uz").arg(&self.mountpoint), &[0]);
        }
        let _ = self.daemon.wait();
    }
}
