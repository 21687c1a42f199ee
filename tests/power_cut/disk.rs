//! A disk whose power can be cut.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::ioctl::{self, Setter, opcode};
use tempfile::TempDir;

use crate::common::{self, sh, temp_dir, try_sh, wait_until};

/// `EXT4_IOC_SHUTDOWN`.
const SHUTDOWN: ioctl::Opcode = opcode::read::<u32>(b'X', 125);

/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: what the journal has not written by now is lost.
const WITHOUT_THE_JOURNAL: u32 = 2;

/// An ext4 file system in a file, with the options that everybody has: a journal, and blocks that are allocated
/// only when data is written back. It is unmounted when dropped; mounts of what is in it are dropped before.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: TempDir,
}

impl Disk {
    /// Makes and mounts one, with an empty storage on it. `None`, and said so, where that cannot be done; where
    /// `CI` is set, that is a failure.
    #[track_caller]
    pub(crate) fn make(options: &str) -> Option<Self> {
        if !rustix::process::getuid().is_root() {
            common::skipped("a disk can be made and its power cut by root only");
            return None;
        }
        let disk = Self { dir: temp_dir() };
        let script =
            format!("mkdir disk; truncate -s 64M image; mkfs.ext4 -q -m 0 {options} image");
        sh(&script, disk.dir.path());
        let mounted = try_sh("mount -o loop image disk", disk.dir.path());
        if !mounted.status.success() {
            common::skipped(&format!("a file cannot be mounted as a disk here: {mounted:?}"));
            return None;
        }
        fs::create_dir(disk.storage()).unwrap();
        rustix::fs::syncfs(File::open(disk.root()).unwrap()).unwrap();
        Some(disk)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// The storage on it.
    pub(crate) fn storage(&self) -> PathBuf {
        self.root().join("storage")
    }

    /// A store's directory.
    pub(crate) fn store(&self, name: &str) -> PathBuf {
        self.storage().join(common::STORES).join(name)
    }

    /// From now on nothing reaches the medium. What was written and not synced is lost, and every call that
    /// would need the medium fails.
    pub(crate) fn cut_power(&self) {
        let root = File::open(self.root()).unwrap();
        // SAFETY: the operation takes a pointer to an unsigned 32-bit number and writes nothing there.
        unsafe { ioctl::ioctl(root, Setter::<SHUTDOWN, u32>::new(WITHOUT_THE_JOURNAL)) }.unwrap();
    }

    /// Starts again: the journal is replayed, and what is there is what was on the medium. Nobody may have
    /// anything open on the disk any more, or is about to let it go.
    #[track_caller]
    pub(crate) fn restore_power(&self) {
        let path = self.dir.path();
        wait_until("the dead disk is unmounted", || try_sh("umount disk", path).status.success());
        sh("e2fsck -p image > fsck.log || [ $? -eq 1 ]; mount -o loop image disk", path);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let path: &Path = self.dir.path();
        if !try_sh("mountpoint -q disk", path).status.success() {
            return;
        }
        let gone = try_sh("umount disk", path);
        if !gone.status.success() {
            let _ = try_sh("umount -l disk", path);
            assert!(std::thread::panicking(), "the disk is still in use: {gone:?}");
        }
    }
}
