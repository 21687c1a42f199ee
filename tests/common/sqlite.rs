//! SQLite databases for tests, with the tables of Crawlee's SQL client.

use std::path::Path;
use std::process::{Command, Stdio};

/// A database as the client of Crawlee 1.11 makes it, with some stores.
const MADE: &str = include_str!("../fixtures/sql/crawlee-1.11-sqlite.sql");

/// What holds its stores, datasets and queues, each behind what refers to it.
const TABLES: [&str; 10] = [
    "key_value_store_records",
    "key_value_store_metadata_buffer",
    "key_value_stores",
    "dataset_records",
    "dataset_metadata_buffer",
    "datasets",
    "request_queue_records",
    "request_queue_state",
    "request_queue_metadata_buffer",
    "request_queues",
];

/// Makes a database without stores, in the mode in which the client keeps it.
pub(crate) fn make(path: &Path) {
    let emptied = TABLES.map(|table| format!("DELETE FROM {table};")).concat();
    sql(path, &format!("PRAGMA journal_mode = WAL;\n{MADE}\n{emptied}"));
}

/// Runs statements in a database, with SQLite's own program; what it prints.
pub(crate) fn sql(path: &Path, text: &str) -> String {
    use std::io::Write;
    let mut shell = Command::new("sqlite3")
        .args(["-batch", "-bail"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sqlite3 is installed by scripts/install-test-deps");
    shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}");
    String::from_utf8(output.stdout).unwrap()
}
