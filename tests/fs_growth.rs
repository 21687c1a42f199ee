//! What the file system keeps does not grow with what was done: a million operations, and as little memory, as few
//! descriptors and threads as after the first thousand.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use storefs::backend::Backend;
use storefs::backend::directory::{DirectoryBackend, DirectoryOptions};
use storefs::backend::memory::MemoryBackend;
use storefs::engine::Storage;
use storefs::fs::{Caller, Entry, FileSystem, FsError, FsOptions, Ino, OpenMode, Position, STORES};
use storefs::model::StoreName;

/// Operations in one [`round`].
const OPERATIONS: usize = 20;

struct Kernel {
    fs: FileSystem,
    store: Ino,
}

impl Kernel {
    fn over(backend: Arc<dyn Backend>) -> Self {
        let storage = Storage::with_backend(backend, Some("INPUT".to_owned()));
        storage.create_store(&StoreName::default_store()).unwrap();
        let fs = FileSystem::new(storage, FsOptions::default());
        let store = fs.lookup(&caller(1), STORES, b"default").unwrap().attr.ino;
        Self { fs, store }
    }

    /// Looks a name up and forgets it again, as the kernel does when it is short of memory.
    fn look(&self, thread: u32, name: &str) -> Entry {
        let entry = self.fs.lookup(&caller(thread), self.store, name.as_bytes()).unwrap();
        self.fs.forget(entry.attr.ino, 1);
        entry
    }

    /// One record's whole life, under a name that nobody has had before, by a thread that has not been there before.
    fn round(&self, number: u32) {
        let (fs, store) = (&self.fs, self.store);
        let by = caller(if number.is_multiple_of(5) { 0 } else { number + 2 });
        let (name, moved) = (format!("record-{number}"), format!("moved-{number}"));
        let create = OpenMode { write: true, exclusive: true, ..OpenMode::default() };
        let (entry, opened) = fs.create(&by, store, name.as_bytes(), 0o644, create).unwrap();
        fs.write(opened.handle, b"{}", Position::End.into()).unwrap();
        fs.flush(&by, opened.handle).unwrap();
        fs.release(opened.handle);
        fs.forget(entry.attr.ino, 1);

        let version = fs.lookup(&by, store, name.as_bytes()).unwrap().attr.ino;
        fs.setxattr(version, b"user.mime_type", b"text/x-own", false).unwrap();
        let write = OpenMode { write: true, ..OpenMode::default() };
        // Who has no number may have been given an inode of its own at once.
        let (again, opened) = match fs.open(&by, version, write) {
            Ok(opened) => (version, opened),
            Err(FsError::Stale) => {
                let again = fs.lookup(&by, store, name.as_bytes()).unwrap().attr.ino;
                fs.forget(version, 1);
                (again, fs.open(&by, again, write).unwrap())
            }
            Err(error) => panic!("{error}"),
        };
        fs.write(opened.handle, b" ", Position::End.into()).unwrap();
        fs.flush(&by, opened.handle).unwrap();
        fs.release(opened.handle);
        fs.forget(again, 1);

        fs.rename(store, name.as_bytes(), store, moved.as_bytes(), false).unwrap();
        self.look(by.thread, &moved);
        if number.is_multiple_of(3) {
            // Removed by others.
            let key = storefs::model::Key::new(&moved).unwrap();
            let default = fs.storage().store(&StoreName::default_store());
            assert!(default.delete_value(&key).unwrap());
        } else {
            fs.unlink(store, moved.as_bytes()).unwrap();
        }
        assert!(fs.lookup(&by, store, moved.as_bytes()).is_err());
        // A thread that is killed in the middle of an open leaves no more than its announcement, for a while.
        if number.is_multiple_of(1000) {
            self.purge();
        }
    }

    fn purge(&self) {
        let by = caller(1);
        let ino = self.fs.lookup(&by, self.store, b"@purge").unwrap().attr.ino;
        let opened = self.fs.open(&by, ino, OpenMode { write: true, ..OpenMode::default() });
        let handle = opened.unwrap().handle;
        self.fs.write(handle, b"1", Position::At(0).into()).unwrap();
        self.fs.release(handle);
        self.fs.forget(ino, 1);
    }
}

fn caller(thread: u32) -> Caller {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    // No process has such a number, so that none of the system is taken for it.
    let thread = if thread == 0 { 0 } else { (1 << 23) + thread };
    Caller { uid, gid, thread }
}

/// Memory of this process in bytes.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

fn count(dir: &str) -> usize {
    fs::read_dir(Path::new("/proc/self").join(dir)).unwrap().count()
}

fn counters(kernel: &Kernel) -> Vec<u64> {
    let status = kernel.fs.status();
    let counters = ["handles", "write_sessions", "inodes"].map(|name| status[name].as_u64());
    counters.into_iter().flatten().collect()
}

#[test]
fn p19_a_million_operations_leave_nothing_behind() {
    /// More than the tables that are bounded may hold.
    const GROWN: usize = 48 << 20;
    let kernel = Kernel::over(Arc::new(MemoryBackend::default()));
    (0..1000).for_each(|number| kernel.round(number));
    let (before, memory, threads) = (counters(&kernel), resident(), count("task"));
    let rounds = u32::try_from(1_000_000 / OPERATIONS).unwrap();
    (1000..rounds + 1000).for_each(|number| kernel.round(number));
    assert_eq!(counters(&kernel), before, "handles, sessions and inodes");
    let grown = resident().saturating_sub(memory);
    assert!(grown < GROWN, "{grown} bytes more");
    assert!(count("task") <= threads, "threads");
}

#[test]
fn p19_operations_on_a_directory_leave_no_descriptor_open() {
    let storage = common::TempStorage::empty();
    let options = DirectoryOptions::default();
    let backend = DirectoryBackend::open(&storage.path(), options).unwrap();
    let kernel = Kernel::over(Arc::new(backend));
    (0..100).for_each(|number| kernel.round(number));
    let (before, open, threads) = (counters(&kernel), count("fd"), count("task"));
    (100..2_100).for_each(|number| kernel.round(number));
    assert_eq!(counters(&kernel), before, "handles, sessions and inodes");
    // A purge that is still being cleared has a few directories open.
    common::wait_until("descriptors and threads are as many as before", || {
        count("fd") <= open && count("task") <= threads
    });
}
