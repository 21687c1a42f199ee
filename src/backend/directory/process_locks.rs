//! One process at a time for each record.
//!
//! `.storefs/locks` holds an empty directory for each of a few numbers, and a record's number is chosen by its
//! fingerprint. Whoever holds a record has that directory open and locked by `flock`, which the system releases when
//! the process dies. Each hold has an open description of its own, so threads of one process hold each other off too,
//! and nothing is open for writing, so that the file system can still be made read-only.
//!
//! Each process keeps `.storefs/locks` itself locked for sharing. When the last one is gone, it is removed as everything
//! is that a dead process has left there.

use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode};
use rustix::io::Errno;

use super::fingerprint::fingerprint;
use super::removal::remove_tree;
use super::tree::{self, Directory};
use crate::failpoint;
use crate::model::{Key, StoreName};

/// Their directory in `.storefs`, which is no process's.
pub(super) const NAME: &str = "locks";

/// So many locks are shared by all records.
const LOCKS: u64 = 256;

/// So long a process is waited for that holds a record. Its renames take microseconds, unless it has been stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long between two tries.
const PAUSE: Duration = Duration::from_micros(50);

/// The locks of a storage, as one process sees them.
#[derive(Debug)]
pub(super) struct ProcessLocks {
    /// `None` where it cannot be made or locked: there each process is on its own.
    directory: Option<Directory>,
}

/// The records that are held; released when dropped.
#[derive(Debug)]
pub(super) struct ProcessHold {
    _locks: Vec<Directory>,
}

impl ProcessLocks {
    /// Opens the locks in `.storefs`.
    pub(super) fn open(private: &Directory) -> Self {
        let directory = open_directory(private).inspect_err(|error| {
            log::debug!("other processes are not held off: {error}");
        });
        Self { directory: directory.ok() }
    }

    /// Holds records, whose key locks are held.
    pub(super) fn hold(&self, records: &[(&StoreName, &Key)]) -> Option<ProcessHold> {
        let directory = self.directory.as_ref()?;
        let mut numbers: Vec<u64> =
            records.iter().map(|(store, key)| number_of(store, key)).collect();
        // In an order that all keep, and none twice: it would wait for itself.
        numbers.sort_unstable();
        numbers.dedup();
        let mut locks = Vec::with_capacity(numbers.len());
        for number in numbers {
            match lock(directory, number) {
                Ok(lock) => locks.push(lock),
                Err(error) => log::warn!("another process is not held off a record: {error}"),
            }
        }
        Some(ProcessHold { _locks: locks })
    }

    /// Ends the use of the locks, and removes them if nobody else uses them.
    pub(super) fn close(&mut self, private: &Directory) {
        let Some(directory) = self.directory.take() else { return };
        // As long as this is held, nobody begins to use what is about to be removed.
        let alone = rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive);
        if alone.is_ok()
            && let Err(error) = remove_tree(private, NAME.as_bytes())
        {
            log::debug!("'{NAME}' stays until the next start: {error}");
        }
    }
}

fn number_of(store: &StoreName, key: &Key) -> u64 {
    fingerprint(&[store.as_str().as_bytes(), b"\0", key.as_bytes()]) % LOCKS
}

/// Opens a directory, made if need be.
fn open_or_make(parent: &Directory, name: &str) -> rustix::io::Result<Directory> {
    match tree::open_dir(parent, name) {
        Err(Errno::NOENT) => {
            match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            tree::open_dir(parent, name)
        }
        opened => opened,
    }
}

/// Locks an open directory; somebody else's lock is waited for.
fn lock_open(directory: &Directory, operation: FlockOperation) -> rustix::io::Result<()> {
    let mut begun = None;
    loop {
        match rustix::fs::flock(directory, operation) {
            Err(Errno::AGAIN) => {}
            locked => return locked,
        }
        if begun.is_none() {
            failpoint::pass("record: awaited");
        }
        if begun.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
            return Err(Errno::AGAIN);
        }
        thread::sleep(PAUSE);
    }
}

fn lock(directory: &Directory, number: u64) -> rustix::io::Result<Directory> {
    let lock = open_or_make(directory, &number.to_string())?;
    lock_open(&lock, FlockOperation::NonBlockingLockExclusive)?;
    Ok(lock)
}

/// Opens the directory of all locks, and notes that it is in use.
fn open_directory(private: &Directory) -> rustix::io::Result<Directory> {
    loop {
        let directory = match open_or_make(private, NAME) {
            Err(Errno::NOENT) => continue,
            directory => directory?,
        };
        lock_open(&directory, FlockOperation::NonBlockingLockShared)?;
        // Else the last user has removed it meanwhile.
        if rustix::fs::fstat(&directory)?.st_nlink > 0 {
            return Ok(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p6_another_process_is_held_off_the_same_record() {
        let dir = tempfile::tempdir().unwrap();
        let private = tree::open_root(dir.path(), false).unwrap();
        let (one, other) = (ProcessLocks::open(&private), ProcessLocks::open(&private));
        let (store, key) = (StoreName::new("s").unwrap(), Key::new("k").unwrap());
        let held = one.hold(&[(&store, &key), (&store, &key)]).unwrap();
        let directory = other.directory.as_ref().unwrap();
        let lock = open_or_make(directory, &number_of(&store, &key).to_string()).unwrap();
        let operation = FlockOperation::NonBlockingLockExclusive;
        assert_eq!(rustix::fs::flock(&lock, operation), Err(Errno::AGAIN));
        drop(held);
        assert_eq!(rustix::fs::flock(&lock, operation), Ok(()));
    }

    #[test]
    fn p9_the_last_user_removes_the_locks() {
        let dir = tempfile::tempdir().unwrap();
        let private = tree::open_root(dir.path(), false).unwrap();
        let (mut one, mut other) = (ProcessLocks::open(&private), ProcessLocks::open(&private));
        let (store, key) = (StoreName::new("s").unwrap(), Key::new("k").unwrap());
        drop(one.hold(&[(&store, &key)]));
        one.close(&private);
        assert!(dir.path().join(NAME).exists());
        other.close(&private);
        assert!(!dir.path().join(NAME).exists());
    }
}
