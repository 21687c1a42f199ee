//! One process at a time for each record.
//!
//! The file `.storefs/locks` has no bytes. Each of its offsets can be locked, and a record's is chosen by its
//! fingerprint; the system releases what a dead process held. The locks belong to the open file, so that threads of one
//! process do not hold each other off: the key lock does, which whoever takes a lock here already holds.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::fingerprint::fingerprint;
use super::tree::Directory;
use crate::failpoint;
use crate::model::{Key, StoreName};

const NAME: &str = "locks";

/// The offset that each process which has the file open holds for reading: whoever gets it for writing is the last.
const IN_USE: u64 = 1 << 62;

/// So long a process is waited for that holds a record. Its renames take microseconds, unless it has been stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long between two tries.
const PAUSE: Duration = Duration::from_micros(100);

/// The locks of a storage, as one process sees them.
#[derive(Debug)]
pub(super) struct ProcessLocks {
    private: Arc<Directory>,
    /// `None` where the file cannot be opened or locked: there each process is on its own.
    file: Option<OwnedFd>,
}

/// The records that are held; released when dropped.
#[derive(Debug)]
pub(super) struct ProcessHold<'a> {
    file: &'a OwnedFd,
    offsets: Vec<u64>,
}

impl ProcessLocks {
    /// Opens the locks in `.storefs`.
    pub(super) fn open(private: &Arc<Directory>) -> Self {
        let file = open_file(private).inspect_err(|error| {
            log::debug!("other processes are not held off: {error}");
        });
        Self { private: Arc::clone(private), file: file.ok() }
    }

    /// Holds records, whose key locks are held.
    pub(super) fn hold(&self, records: &[(&StoreName, &Key)]) -> Option<ProcessHold<'_>> {
        let mut offsets: Vec<u64> =
            records.iter().map(|(store, key)| offset_of(store, key)).collect();
        // In an order that all processes keep.
        offsets.sort_unstable();
        offsets.dedup();
        let mut hold = ProcessHold { file: self.file.as_ref()?, offsets: Vec::new() };
        let mut begun = None;
        for offset in offsets {
            loop {
                match set(hold.file, libc::F_WRLCK, offset) {
                    Ok(()) => {
                        hold.offsets.push(offset);
                        break;
                    }
                    Err(Errno::ACCESS | Errno::AGAIN) if is_patient(&mut begun) => {
                        thread::sleep(PAUSE);
                    }
                    Err(error) => {
                        log::warn!("another process is not held off a record: {error}");
                        break;
                    }
                }
            }
        }
        Some(hold)
    }
}

impl Drop for ProcessHold<'_> {
    fn drop(&mut self) {
        for offset in &self.offsets {
            if let Err(error) = set(self.file, libc::F_UNLCK, *offset) {
                log::error!("a record stays held: {error}");
            }
        }
    }
}

impl Drop for ProcessLocks {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            remove_if_last(&self.private, file);
        }
    }
}

/// Removes the file that dead processes have left.
pub(super) fn remove_if_unused(private: &Directory) -> rustix::io::Result<()> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::openat(private, NAME, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::ACCESS | Errno::ISDIR) => {
            return Ok(());
        }
        file => file?,
    };
    remove_if_last(private, &file);
    Ok(())
}

/// Removes the file if no other process has it open. As long as this one holds what it gets, none begins to use it.
fn remove_if_last(private: &Directory, file: &OwnedFd) {
    if set(file, libc::F_WRLCK, IN_USE).is_ok() {
        let _ = rustix::fs::unlinkat(private, NAME, AtFlags::empty());
    }
}

/// Whether another process is still waited for, since `begun`.
fn is_patient(begun: &mut Option<Instant>) -> bool {
    if begun.is_none() {
        failpoint::pass("record: awaited");
    }
    begun.get_or_insert_with(Instant::now).elapsed() < PATIENCE
}

fn offset_of(store: &StoreName, key: &Key) -> u64 {
    fingerprint(&[store.as_str().as_bytes(), b"\0", key.as_bytes()]) % IN_USE
}

/// Opens the file, made if need be, and notes that it is in use.
fn open_file(private: &Directory) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let begun = Instant::now();
    loop {
        let file = rustix::fs::openat(private, NAME, flags, Mode::from_raw_mode(0o600))?;
        match set(&file, libc::F_RDLCK, IN_USE) {
            // Else the last user has removed it meanwhile.
            Ok(()) if rustix::fs::fstat(&file)?.st_nlink > 0 => return Ok(file),
            Ok(()) => {}
            Err(Errno::ACCESS | Errno::AGAIN) if begun.elapsed() < PATIENCE => {
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Locks or unlocks one offset, without waiting.
fn set(file: &OwnedFd, kind: libc::c_int, offset: u64) -> rustix::io::Result<()> {
    // SAFETY: the struct holds numbers only, for which zeros are valid.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    let number = |value: libc::c_int| libc::c_short::try_from(value).map_err(|_| Errno::INVAL);
    lock.l_type = number(kind)?;
    lock.l_whence = number(libc::SEEK_SET)?;
    lock.l_start = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
    lock.l_len = 1;
    // SAFETY: the call reads the struct, which lives as long as it takes, and the descriptor is open.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::directory::tree;

    fn private(dir: &tempfile::TempDir) -> Arc<Directory> {
        Arc::new(tree::open_root(dir.path(), false).unwrap())
    }

    #[test]
    fn p6_another_process_is_held_off_the_same_record_alone() {
        let dir = tempfile::tempdir().unwrap();
        // Two descriptions of the file, as two processes have them.
        let (one, other) = (ProcessLocks::open(&private(&dir)), ProcessLocks::open(&private(&dir)));
        let (store, key) = (StoreName::new("s").unwrap(), Key::new("k").unwrap());
        let offset = offset_of(&store, &key);
        let held = one.hold(&[(&store, &key)]).unwrap();
        let file = other.file.as_ref().unwrap();
        assert_eq!(set(file, libc::F_WRLCK, offset), Err(Errno::AGAIN));
        assert!(other.hold(&[(&store, &Key::new("l").unwrap())]).is_some());
        drop(held);
        assert_eq!(set(file, libc::F_WRLCK, offset), Ok(()));
    }

    #[test]
    fn p9_the_last_user_removes_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (ProcessLocks::open(&private(&dir)), ProcessLocks::open(&private(&dir)));
        drop(one);
        assert!(dir.path().join(NAME).exists());
        drop(other);
        assert!(!dir.path().join(NAME).exists());
    }
}
