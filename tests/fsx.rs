//! fsx, the file system exerciser: random operations on one open file, each read compared with what was written.
//!
//! Here the file is a record. When fsx has ended, the record on disk must be what the same operations have made of
//! a plain file. Another run: `STOREFS_FSX_SEED=... STOREFS_FSX_OPS=... cargo test --test fsx -- --nocapture`.

// Clippy's leave for tests does not reach helper functions of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

// This program needs one of the two SDKs, to read with.
#[allow(dead_code)]
#[path = "interop/sdk.rs"]
mod sdk;

use std::env;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{TempMount, TempStorage, can_mount, clean_environment, fsx, wait_until};
use sdk::Python;
use serde_json::Value;

/// The seed of a run that is given none.
const SEED: u64 = 20_261_124;

/// Operations of one run. fsx never gives up a map that it has read through, so that a long run collects thousands.
const OPERATIONS: u64 = 5_000;

/// The store, and the record in it.
const STORE: &str = "default";
const RECORD: &str = "record";

// In tests of their own, so that each ends in good time on a busy machine.

#[test]
fn p3_fsx_leaves_in_a_record_what_it_leaves_in_a_plain_file() {
    exercise("unmapped", 0..5);
}

#[test]
fn p3_fsx_leaves_in_a_record_what_it_leaves_in_a_plain_file_once_more() {
    exercise("unmapped", 5..10);
}

#[test]
fn p3_fsx_with_memory_maps_leaves_in_a_record_what_it_leaves_in_a_plain_file() {
    exercise("mapped", 0..5);
}

#[test]
fn p3_fsx_with_memory_maps_leaves_in_a_record_what_it_leaves_in_a_plain_file_once_more() {
    exercise("mapped", 5..10);
}

#[test]
fn p5_fsx_with_msync_leaves_in_a_record_what_it_leaves_in_a_plain_file() {
    exercise("synced", 0..1);
}

#[test]
fn p3_fsx_leaves_in_a_large_record_what_it_leaves_in_a_plain_file() {
    exercise("large", 0..1);
}

/// Runs fsx by `tests/fsx/<name>.toml` on a record, and on a plain file to compare with. Each of the runs has a seed of
/// its own, and begins with the record that the one before has left.
#[track_caller]
fn exercise(name: &str, runs: Range<u64>) {
    let Some(fsx) = fsx() else { return };
    if !can_mount() {
        return;
    }
    let storage = TempStorage::empty();
    let mount = TempMount::new(&storage);
    let record = new_record(&mount);
    let plain = storage.beside().join("plain");
    let mut expected = Vec::new();
    for part in runs {
        let run = Run {
            fsx: &fsx,
            config: Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fsx/{name}.toml")),
            operations: variable("STOREFS_FSX_OPS").unwrap_or(OPERATIONS),
            seed: variable("STOREFS_FSX_SEED").unwrap_or(SEED) + part,
        };
        println!("fsx, {name}: {} operations, seed {}", run.operations, run.seed);
        run.on(&record, storage.beside());
        run.on(&plain, storage.beside());
        expected = fs::read(&plain).unwrap();

        // What a map held last is published when the kernel lets go of the file, after fsx has ended.
        wait_until("what fsx has left is published", || on_disk(&storage) == expected);
        assert!(fs::read(&record).unwrap() == expected, "the mount shows other bytes");
    }
    assert!(!expected.is_empty(), "with this seed, fsx leaves nothing to compare");

    mount.unmount();
    assert!(on_disk(&storage) == expected, "the bytes have changed on unmounting");
    sdk_reads(&storage, &expected);
}

/// A run that always does the same.
struct Run<'a> {
    fsx: &'a Path,
    config: PathBuf,
    operations: u64,
    seed: u64,
}

impl Run<'_> {
    /// Runs on a file; panics with what fsx has found wrong. `artifacts` is where it may put files.
    #[track_caller]
    fn on(&self, file: &Path, artifacts: &Path) {
        let mut command = Command::new(self.fsx);
        clean_environment(&mut command);
        command.arg("-f").arg(&self.config);
        command.args(["-N", &self.operations.to_string(), "-S", &self.seed.to_string()]);
        command.arg("-P").arg(artifacts).arg(file).stdin(Stdio::null());
        let output = command.output().unwrap();
        if !output.status.success() {
            // The last operations stand at the end.
            std::io::stderr().write_all(&output.stderr).unwrap();
            panic!("{command:?}: {}", output.status);
        }
    }
}

/// Makes the record in a store of its own.
fn new_record(mount: &TempMount) -> PathBuf {
    fs::create_dir(mount.store(STORE)).unwrap();
    let path = mount.store(STORE).join(RECORD);
    fs::write(&path, "").unwrap();
    path
}

fn on_disk(storage: &TempStorage) -> Vec<u8> {
    fs::read(storage.store(STORE).join(RECORD)).unwrap()
}

/// The official SDK reads the same bytes.
#[track_caller]
fn sdk_reads(storage: &TempStorage, expected: &[u8]) {
    let Some(python) = Python::find() else { return };
    let records = python.dump(storage, STORE);
    assert_eq!(records.keys().collect::<Vec<_>>(), [RECORD]);
    let record = &records[RECORD];
    // Bytes that happen to be UTF-8 have got a type under which an SDK gives text.
    let same = match &record["hex"] {
        Value::String(hex) => *hex == to_hex(expected),
        _ => record["value"].as_str().map(str::as_bytes) == Some(expected),
    };
    assert!(same, "the SDK reads other bytes, as {}", record["content_type"]);
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number from the environment.
fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}
