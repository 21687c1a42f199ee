//! `storefs doctor` over real directories: what it finds, what it mends, and what it leaves alone.

// Clippy exempts tests from these, but not the functions that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

#[path = "doctor/litter.rs"]
mod litter;
#[path = "doctor/metadata.rs"]
mod metadata;
#[path = "doctor/names.rs"]
mod names;
#[path = "doctor/program.rs"]
mod program;
#[path = "doctor/records.rs"]
mod records;
// Made for tests/interop.rs, and used in part here.
#[allow(dead_code)]
#[path = "interop/sdk.rs"]
mod sdk;
#[path = "doctor/sdks.rs"]
mod sdks;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, SystemTime};

use common::{METADATA, TempStorage, storefs};
use serde_json::{Value, json};

/// The store that most tests work in.
const STORE: &str = "s";

/// Long enough for a temporary or lock to be nobody's.
const OLD: Duration = Duration::from_secs(90);

/// Runs `storefs doctor`.
fn doctor(storage: &TempStorage, arguments: &[&str]) -> Output {
    storefs().arg("--source").arg(storage.path()).arg("doctor").args(arguments).output().unwrap()
}

/// What `storefs doctor --json` tells, as objects. Checks that the exit status and the line on standard error
/// follow from it.
#[track_caller]
fn findings(storage: &TempStorage, arguments: &[&str]) -> Vec<Value> {
    let output = doctor(storage, &[arguments, &["--json"]].concat());
    let Ok(Value::Array(found)) = serde_json::from_slice(&output.stdout) else {
        panic!("{output:?}")
    };
    let is_open = |finding: &Value| {
        ["repairable", "left", "failed"].contains(&finding["state"].as_str().unwrap())
    };
    let open = found.iter().filter(|finding| is_open(finding)).count();
    let said = String::from_utf8(output.stderr).unwrap();
    let told = |line: &&str| !line.starts_with("storefs: warning: ");
    let said = said.lines().filter(told).collect::<Vec<_>>().join("\n");
    assert_eq!(output.status.code(), Some(i32::from(open > 0)), "{said}\n{found:?}");
    assert_eq!(said.lines().count(), usize::from(open > 0), "{said}");
    if open > 0 {
        assert!(said.starts_with(&format!("storefs: {open} ")), "{said}");
    }
    for finding in &found {
        assert!(!finding["problem"].as_str().unwrap().contains('\n'), "{finding}");
    }
    found
}

/// The same, sorted, as `file kind state` for the store of the tests, with the store before for others.
#[track_caller]
fn found(storage: &TempStorage, arguments: &[&str]) -> Vec<String> {
    let mut lines: Vec<String> = findings(storage, arguments).iter().map(line).collect();
    lines.sort_unstable();
    lines
}

fn line(finding: &Value) -> String {
    let word = |field: &str| finding[field].as_str().unwrap_or("-").to_owned();
    let fields = ["store", "file", "kind", "state"].map(word);
    let skipped = usize::from(fields[0] == STORE);
    fields[skipped..].join(" ")
}

/// A storage with one store, `s`, that has sound metadata and one sound record, `good`.
fn storage() -> TempStorage {
    let storage = TempStorage::empty();
    make_store(&storage, STORE);
    record(&storage, "good", "text/plain; charset=utf-8", b"good");
    assert_eq!(found(&storage, &[]), [""; 0]);
    storage
}

fn make_store(storage: &TempStorage, name: &str) {
    fs::create_dir_all(storage.store(name)).unwrap();
    let text = json!({
        "id": format!("id-of-{name}"),
        "name": name,
        "accessedAt": "2026-11-24T09:16:37.551100+00:00",
        "createdAt": "2026-11-24T09:16:37.549980+00:00",
        "modifiedAt": "2026-11-24T09:16:37.551100+00:00",
    });
    fs::write(storage.store(name).join(METADATA), text.to_string()).unwrap();
}

/// Makes a value file and a sound sidecar.
fn record(storage: &TempStorage, name: &str, content_type: &str, value: &[u8]) {
    put(storage, name, value);
    let sidecar = json!({"key": name, "contentType": content_type, "size": value.len()});
    put(storage, &format!("{name}.{METADATA}"), sidecar.to_string().as_bytes());
}

/// A path in the store of the tests.
fn path(storage: &TempStorage, name: impl AsRef<OsStr>) -> PathBuf {
    storage.store(STORE).join(name.as_ref())
}

fn put(storage: &TempStorage, name: &str, content: &[u8]) {
    fs::write(path(storage, name), content).unwrap();
}

/// The fields of a sidecar on disk.
#[track_caller]
fn sidecar(storage: &TempStorage, name: &str) -> Value {
    let text = fs::read(path(storage, format!("{name}.{METADATA}"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Makes a file or directory look as if it had not been touched for a while.
fn age(path: &Path, age: Duration) {
    File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}
