//! Readers through the mount while the Python SDK rewrites one record as fast as it can.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::{TempMount, TempStorage};
use crate::sdk::{Client, Python, STORE};
use crate::work::{Seen, while_working};

/// Reads in one test, by all its readers.
const READS: usize = 10_000;

const READERS: usize = 2;

/// How often the SDK goes through the values at one order.
const TIMES: usize = 10;

/// A value that tells whether it is whole: it says at its end how much came before.
pub(crate) fn flat(lines: usize) -> Value {
    let lines: Vec<_> = (0..lines).map(|line| format!("line {line}")).collect();
    json!({"shape": "flat", "lines": lines, "count": lines.len()})
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!({"depth": 0}), |inner, level| json!({"inner": inner, "depth": level + 1}))
}

/// Lets the SDK set the record to the values in turn while readers read it [`READS`] times through the mount,
/// each of which `check` must accept.
#[track_caller]
pub(crate) fn hammer(
    client: &mut Client,
    record: &Path,
    values: &[Value],
    check: impl Fn(&Seen) + Sync,
) {
    let order = json!({"hammer": "state", "values": values, "times": TIMES});
    client.ask(&order);
    let read = || {
        for _ in 0..READS / READERS {
            check(&Seen::read(record).unwrap());
        }
    };
    while_working(
        || drop(client.ask(&order)),
        || {
            std::thread::scope(|scope| {
                let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
                for reader in readers {
                    reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                }
            });
        },
    );
}

#[test]
fn p01_p02_p04_json_of_two_shapes_is_never_torn_under_readers() {
    json_is_never_torn(&[]);
}

#[test]
fn p01_p04_json_of_two_shapes_is_never_torn_under_readers_of_a_read_only_mount() {
    json_is_never_torn(&["--read-only"]);
}

#[track_caller]
fn json_is_never_torn(options: &[&str]) {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let mut client = python.serve(&storage, STORE);
    let mount = TempMount::with_options(&storage, options);
    let values = [flat(400), nested(40)];
    hammer(&mut client, &mount.store(STORE).join("state"), &values, |seen| {
        let value: Value = serde_json::from_slice(&seen.bytes)
            .unwrap_or_else(|error| panic!("torn after {} bytes: {error}", seen.bytes.len()));
        assert!(values.contains(&value), "{value}");
        for content_type in &seen.content_types {
            assert_eq!(content_type.as_deref(), Some("application/json; charset=utf-8"));
        }
    });
}
