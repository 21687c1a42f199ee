//! A mount that survives the process that serves it: each test kills that process under whoever uses the mount.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "survive/control.rs"]
mod control;
#[path = "survive/ends.rs"]
mod ends;
#[path = "survive/goes_on.rs"]
mod goes_on;
#[path = "survive/kills.rs"]
mod kills;
#[path = "survive/upgrades.rs"]
mod upgrades;

use std::fs;
use std::path::Path;

use common::{TempMount, TempStorage, wait_until};
use rustix::process::{Pid, Signal, kill_process};

/// A storage with two records.
fn seeded() -> TempStorage {
    let storage = TempStorage::empty();
    let store = storage.store("default");
    fs::create_dir_all(&store).unwrap();
    fs::write(store.join("INPUT.json"), "{\"a\": 1}").unwrap();
    fs::write(store.join("kept.json"), "[1, 2]").unwrap();
    storage
}

/// A supervised mount.
#[track_caller]
fn supervised(storage: &TempStorage, options: &[&str]) -> TempMount {
    let mount = TempMount::with_options(storage, &[&["--supervise"], options].concat());
    assert!(mount.status()["worker"].is_u64(), "{}", mount.status());
    mount
}

fn process(pid: &serde_json::Value) -> Pid {
    Pid::from_raw(i32::try_from(pid.as_i64().unwrap()).unwrap()).unwrap()
}

/// Whether a process is there, and no mere entry of a table.
fn lives(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    status.is_ok_and(|status| !status.rsplit_once(')').unwrap().1.trim_start().starts_with('Z'))
}

/// Kills the worker, and waits until it is dead.
#[track_caller]
fn kill_worker(mount: &TempMount) {
    let worker = process(&mount.status()["worker"]);
    kill_process(worker, Signal::KILL).unwrap();
    wait_until("the worker is dead", || !lives(worker));
}

/// The number of a file's inode.
#[track_caller]
fn ino(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
}
