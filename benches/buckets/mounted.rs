//! A bucket that is mounted, by storefs or by somebody else.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::buckets::{self, Place};
use crate::rows::Subject;
use crate::sys::{Result, peak_memory, run_quiet, wait_until};

/// How long a daemon may take to end after its mount.
const ENDING: Duration = Duration::from_secs(30);

/// A mount, until it is dropped.
pub(crate) struct Mounted {
    mountpoint: PathBuf,
    daemon: Child,
}

impl Mounted {
    /// Mounts a place at `directory/mnt`, with an empty cache.
    pub(crate) fn new(
        subject: Subject,
        storefs: &Path,
        place: &Place,
        filer: Option<&str>,
        directory: &Path,
    ) -> Result<Self> {
        let (mountpoint, cache) = (directory.join("mnt"), directory.join("cache"));
        fs::create_dir_all(&mountpoint)?;
        if cache.exists() {
            fs::remove_dir_all(&cache)?;
        }
        fs::create_dir(&cache)?;
        let mut command = match subject {
            Subject::Storefs => by_storefs(storefs, place, &mountpoint, &cache),
            Subject::Rclone => by_rclone(place, &mountpoint, &cache)?,
            Subject::S3fs => by_s3fs(place, &mountpoint, directory)?,
            Subject::Weed => by_weed(place, &mountpoint, &cache, filer)?,
            _ => return Err(format!("{subject:?} mounts nothing").into()),
        };
        command.envs(place.variables());
        let log = fs::File::create(directory.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut mounted = Self { daemon: command.spawn()?, mountpoint };
        let outside = fs::metadata(directory)?.dev();
        wait_until("it is mounted", || {
            if let Some(status) = mounted.daemon.try_wait()? {
                let said = fs::read_to_string(directory.join("log"))?;
                return Err(format!("{command:?} ended with {status}: {said}").into());
            }
            Ok(fs::metadata(&mounted.mountpoint).is_ok_and(|inside| inside.dev() != outside))
        })?;
        Ok(mounted)
    }

    /// What is at a path of the prefix.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.mountpoint.join(path)
    }

    /// The most memory that the daemon has held, in bytes.
    pub(crate) fn memory(&self) -> Result<f64> {
        peak_memory(self.daemon.id())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        if run_quiet(unmount.arg(&self.mountpoint).stderr(Stdio::null()), &[0]).is_err() {
            let _ = run_quiet(Command::new("fusermount3").arg("-uz").arg(&self.mountpoint), &[0]);
        }
        let begun = Instant::now();
        while begun.elapsed() < ENDING {
            if !matches!(self.daemon.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = (self.daemon.kill(), self.daemon.wait());
    }
}

fn by_storefs(storefs: &Path, place: &Place, mountpoint: &Path, cache: &Path) -> Command {
    let mut command = Command::new(storefs);
    command.args(["mount", "--foreground", &place.url()]).arg(mountpoint);
    command.arg("--cache-dir").arg(cache);
    command
}

/// A program of the tests' own.
fn program(name: &str) -> Result<PathBuf> {
    let programs = buckets::programs().ok_or("run scripts/install-test-deps --only buckets")?;
    Ok(programs.join(name))
}

/// Its close waits for the upload, as that of all others does.
fn by_rclone(place: &Place, mountpoint: &Path, cache: &Path) -> Result<Command> {
    let (key, secret) = place.who.keys();
    let mut command = Command::new(program("rclone")?);
    command.arg("mount").arg(format!(":s3:{}/{}", place.bucket, place.prefix)).arg(mountpoint);
    command.args(["--config=", "--vfs-cache-mode=writes", "--vfs-write-back=0s"]);
    command.arg(format!("--cache-dir={}", cache.display()));
    command.args(["--s3-provider=SeaweedFS", "--s3-region=us-east-1", "--s3-force-path-style"]);
    command.arg(format!("--s3-endpoint={}", place.endpoint()));
    command.arg(format!("--s3-access-key-id={key}"));
    command.arg(format!("--s3-secret-access-key={secret}"));
    Ok(command)
}

fn by_s3fs(place: &Place, mountpoint: &Path, directory: &Path) -> Result<Command> {
    let (key, secret) = place.who.keys();
    let secrets = directory.join("s3fs-secret");
    fs::write(&secrets, format!("{key}:{secret}\n"))?;
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600))?;
    let mut command = Command::new("s3fs");
    command.arg(format!("{}:/{}", place.bucket, place.prefix)).arg(mountpoint).arg("-f");
    command.args(["-o", &format!("url={}", place.endpoint()), "-o", "use_path_request_style"]);
    command.args(["-o", &format!("passwd_file={}", secrets.display()), "-o", "endpoint=us-east-1"]);
    Ok(command)
}

/// It asks filer and volume servers, not S3.
fn by_weed(place: &Place, mountpoint: &Path, cache: &Path, filer: Option<&str>) -> Result<Command> {
    let filer = filer.ok_or("the filer is not known")?;
    let mut command = Command::new(program("weed")?);
    command.arg("-logtostderr=true").arg("mount").arg(format!("-filer={filer}"));
    command.arg(format!("-dir={}", mountpoint.display()));
    command.arg(format!("-filer.path=/buckets/{}/{}", place.bucket, place.prefix));
    command.arg(format!("-cacheDir={}", cache.display()));
    command.arg(format!("-localSocket={}/weed.sock", cache.display()));
    Ok(command)
}
