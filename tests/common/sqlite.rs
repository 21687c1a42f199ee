//! SQLite databases for tests, with the tables of Crawlee's SQL client.

use std::path::Path;
use std::process::{Command, Stdio};

/// The tables as the client of Crawlee 1.11 makes them.
const EMPTY: &str = include_str!("../fixtures/sql/crawlee-1.11-sqlite-empty.sql");

/// Makes a database without stores, in the mode in which the client keeps it.
pub(crate) fn make(path: &Path) {
    sql(path, &format!("PRAGMA journal_mode = WAL;\n{EMPTY}"));
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
