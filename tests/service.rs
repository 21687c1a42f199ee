//! A mount as a service: what its manager is told, and where its log goes.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

#[path = "service/logs.rs"]
mod logs;
#[path = "boot/namespace.rs"]
mod namespace;
#[path = "service/notify.rs"]
mod notify;
#[path = "service/signals.rs"]
mod signals;

use std::fs;

use common::{TempMount, TempStorage};
use rustix::process::{Pid, Signal, kill_process};

/// A storage with so many records in the store `s`.
fn storage_of(records: usize) -> TempStorage {
    let storage = TempStorage::empty();
    fs::create_dir_all(storage.store("s")).unwrap();
    for number in 0..records {
        fs::write(storage.store("s").join(format!("r{number}.txt")), "value").unwrap();
    }
    storage
}

fn send(mount: &TempMount, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(mount.pid()).unwrap()).unwrap(), signal).unwrap();
}
