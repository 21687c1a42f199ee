//! What becomes of a request when one step of it fails or panics (P7, P19), through a kernel mount.
//!
//! Built with the feature `failpoints`, the program can be told while it runs that the next pass of a step has to
//! fail with a given errno, to panic, or to wait, so that others meet a request in the middle (P3, P6, P10, P17).
//! Faults of real disks are in `mount_tree/faults.rs` and `disks.rs`.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "fault_points/beside.rs"]
mod beside;
mod common;
#[path = "fault_points/errors.rs"]
mod errors;
#[path = "fault_points/gates.rs"]
mod gates;
// Made for tests/mount_tree.rs, and used in part here.
#[allow(dead_code)]
#[path = "mount_tree/help.rs"]
mod help;
#[path = "fault_points/interleaving.rs"]
mod interleaving;
#[path = "fault_points/panics.rs"]
mod panics;

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use common::{DEADLINE, TempMount, TempStorage, can_mount, staged, wait_until};
use help::{let_writers_go, make_store, put};
use serde_json::Value;

/// A mount in which steps can be made to fail.
struct Faulty {
    // Before the storage: it is unmounted first.
    mount: TempMount,
    storage: TempStorage,
}

impl Faulty {
    /// `None`, and said so, where nothing can be mounted.
    fn new() -> Option<Self> {
        Self::with_options(&[])
    }

    /// As `new`, with options of `storefs mount`.
    fn with_options(options: &[&str]) -> Option<Self> {
        if !can_mount() {
            return None;
        }
        let storage = TempStorage::empty();
        let file = storage.beside().join("fault");
        let mount = TempMount::configured(&storage.path(), |command| {
            command.env("STOREFS_FAULT_FILE", file).args(options);
        });
        Some(Self { mount, storage })
    }

    fn fault_file(&self) -> PathBuf {
        self.storage.beside().join("fault")
    }

    /// From now on, the next pass of `step` fails with the errno of this number, or does what the word says.
    fn arm(&self, step: &str, what: &str) {
        // Moved into place, so that no half of it is read.
        let new = self.storage.beside().join("new fault");
        fs::write(&new, format!("{step}={what}")).unwrap();
        fs::rename(new, self.fault_file()).unwrap();
    }

    /// Asserts that the step was passed since it was armed.
    #[track_caller]
    fn was_hit(&self, what: &str) {
        assert!(!self.fault_file().exists(), "{what}: the step was not passed");
    }

    /// Makes a store with an input, two records of different types, and one to be renamed over.
    fn make_store(&self, name: &str) {
        make_store(&self.storage, name);
        for record in ["INPUT.json", "k", "other"] {
            put(&self.storage, name, record, "old");
        }
        let sidecar = r#"{"key": "other", "content_type": "text/x-other", "size": 3}"#;
        fs::write(self.storage.store(name).join("other.__metadata__.json"), sidecar).unwrap();
    }

    /// Asserts that the daemon answers, and waits until nothing is staged.
    #[track_caller]
    fn is_well(&self, what: &str) {
        let status = fs::read(self.mount.path().join("@status")).unwrap();
        let status: Value = serde_json::from_slice(&status).unwrap();
        assert_eq!(status["pid"], self.mount.pid(), "{what}");
        let_writers_go(&self.mount);
        let nothing_is = format!("{what}: nothing is staged");
        wait_until(&nothing_is, || staged(&self.storage.path()).is_empty());
    }
}

/// Does something that must not hang.
#[track_caller]
fn in_time<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    let acting = thread::spawn(move || {
        let _ = done.send(act());
    });
    match is_done.recv_timeout(DEADLINE) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: still not done after {DEADLINE:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(acting.join().unwrap_err())
        }
    }
}
