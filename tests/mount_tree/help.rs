//! What these tests share beyond `common`: storages made record by record, and errors down to their errno.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::fs::RenameFlags;
use rustix::io::Errno;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{METADATA, TempMount, TempStorage, sh, temp_dir, try_sh, wait_until};

/// A user without any right of its own.
pub(crate) const NOBODY: u32 = 65534;

/// When the stores that [`make_store`] makes were read and changed last.
pub(crate) const LONG_AGO: &str = "2024-01-15 10:30:00.000001+00:00";

/// Says that a test is skipped, and why; panics if `CI` is set.
#[track_caller]
fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
}

/// Whether the tests may do what only root may. If not, says so; where `CI` is set, that is a failure.
#[track_caller]
pub(crate) fn is_root() -> bool {
    let root = rustix::process::getuid().is_root();
    if !root {
        skipped("this test must run as root");
    }
    root
}

/// Makes a store on disk as crawlee-python does, without records.
pub(crate) fn make_store(storage: &TempStorage, store: &str) {
    let name = if store == "default" { Value::Null } else { store.into() };
    let metadata = json!({
        "id": "HvTUFIxMPIib09NEi",
        "name": name,
        "accessed_at": LONG_AGO,
        "created_at": LONG_AGO,
        "modified_at": LONG_AGO,
    });
    fs::create_dir_all(storage.store(store)).unwrap();
    let text = serde_json::to_string_pretty(&metadata).unwrap();
    fs::write(storage.store(store).join(METADATA), text).unwrap();
}

/// Puts a record into a store on disk, with its sidecar, under the name that it has there.
pub(crate) fn put(storage: &TempStorage, store: &str, disk_name: &str, value: &str) {
    let sidecar = json!({"key": disk_name, "content_type": "text/plain", "size": value.len()});
    let sidecar_path = storage.store(store).join(format!("{disk_name}.{METADATA}"));
    fs::write(storage.store(store).join(disk_name), value).unwrap();
    fs::write(sidecar_path, serde_json::to_string_pretty(&sidecar).unwrap()).unwrap();
}

/// A storage with a default store that holds these records, each with its name as its value.
pub(crate) fn storage_of(records: &[&str]) -> TempStorage {
    let storage = TempStorage::empty();
    make_store(&storage, "default");
    for record in records {
        put(&storage, "default", record, record);
    }
    storage
}

/// The metadata of a store on disk.
#[track_caller]
pub(crate) fn metadata_of(storage: &TempStorage, store: &str) -> Value {
    let text = fs::read(storage.store(store).join(METADATA)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// A record's sidecar on disk.
#[track_caller]
pub(crate) fn sidecar_of(storage: &TempStorage, store: &str, disk_name: &str) -> Value {
    let path = storage.store(store).join(format!("{disk_name}.{METADATA}"));
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// Every path under a directory with what must not change by looking at it: kind, mode, owner, size, mtime.
pub(crate) fn facts(dir: &Path) -> Vec<String> {
    let listed = sh("find . -printf '%P %y %m %U %G %s %T@ %l\\n'", dir);
    let mut lines: Vec<String> = listed.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Writes a whole file as `cp` does: what open, write or close has to say reaches the caller.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes.as_ref())?;
    close(file)
}

/// Closes a file and gives back what that came to.
pub(crate) fn close(file: File) -> io::Result<()> {
    Ok(nix::unistd::close(file)?)
}

/// The errno of a call that must fail.
#[track_caller]
pub(crate) fn errno<T: Debug>(outcome: Result<T, impl Into<io::Error>>) -> Errno {
    match outcome {
        Ok(value) => panic!("it should have failed, and gave {value:?}"),
        Err(error) => {
            let error = error.into();
            Errno::from_io_error(&error).unwrap_or_else(|| panic!("it has no errno: {error}"))
        }
    }
}

/// Waits until the daemon has heard that every writer is gone, which the kernel tells it after close(2).
#[track_caller]
pub(crate) fn let_writers_go(mount: &TempMount) {
    wait_until("the writers are gone", || {
        let status = fs::read(mount.path().join("@status")).unwrap();
        serde_json::from_slice::<Value>(&status).unwrap()["write_sessions"] == 0
    });
}

/// renameat2(2).
pub(crate) fn rename_with(from: &Path, to: &Path, flags: RenameFlags) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, flags)?)
}

/// Lets every user reach a mountpoint or storage, which lies in a temporary directory of root's own.
pub(crate) fn open_the_way_to(path: &Path) {
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a script in bash as [`NOBODY`], in the given directory.
pub(crate) fn as_nobody(script: &str, dir: &Path) -> Output {
    command_as_nobody(script, dir).stdin(Stdio::null()).output().unwrap()
}

/// A script that another user is to run, with the directory in `$DIR`.
pub(crate) fn command_as_nobody(script: &str, dir: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"])
        .args(["bash", "-c", script])
        .current_dir("/")
        .env("LC_ALL", "C.UTF-8")
        .env("DIR", dir);
    command
}

/// A small file system in a file. It is unmounted when dropped; mounts of what is in it are dropped before.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// Makes and mounts one of 4 MiB; `options` are those of mkfs. `None`, and said so, where that cannot be
    /// done; where `CI` is set, that is a failure.
    #[track_caller]
    pub(crate) fn make(options: &str) -> Option<Self> {
        Self::made_by(&format!(
            "truncate -s 4M image; mkfs.ext4 -q -m 0 -b 1024 {options} image; mount -o loop image disk; mkdir disk/storage"
        ))
    }

    /// Runs a script that mounts something at `disk` and makes the directory `storage` in it. What it mounts besides
    /// is to be at `below`.
    #[track_caller]
    pub(crate) fn made_by(script: &str) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let disk = Self { dir: temp_dir() };
        disk.run("mkdir disk below");
        let made = try_sh(script, disk.dir.path());
        if !made.status.success() {
            skipped(&format!("a file cannot be mounted as a disk here: {made:?}"));
            return None;
        }
        Some(disk)
    }

    /// Runs a script in the directory that holds `disk` and `below`.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        sh(script, self.dir.path())
    }

    /// The storage on it.
    pub(crate) fn storage(&self) -> PathBuf {
        self.dir.path().join("disk/storage")
    }

    /// Makes it read-only (`ro`) or writable again (`rw`). Files that were written may be open for a moment yet.
    #[track_caller]
    pub(crate) fn remount(&self, mode: &str) {
        let script = format!("mount -o remount,{mode} disk");
        wait_until("the disk is remounted", || try_sh(&script, self.dir.path()).status.success());
    }

    /// Takes all the room that is left, until [`SmallDisk::make_room`].
    #[track_caller]
    pub(crate) fn fill(&self) {
        sh(
            "for size in 64K 1K; do
                 while dd if=/dev/zero bs=$size count=1 oflag=append conv=notrunc of=disk/filler 2> log; do :; done
             done
             grep -q 'No space' log",
            self.dir.path(),
        );
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.dir.path().join("disk/filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        for place in ["disk", "below"] {
            let script = format!("! mountpoint -q {place} || umount {place}");
            let gone = try_sh(&script, self.dir.path());
            if !gone.status.success() {
                let _ = try_sh(&format!("umount -l {place}"), self.dir.path());
                assert!(std::thread::panicking(), "the small disk is still in use: {gone:?}");
            }
        }
    }
}
