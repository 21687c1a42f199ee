//! The database beside others who use it. All of it is real: the client's own tables, SQLite's own locks.

mod opening;
mod records;
mod sharing;
mod stores;
mod versions;
mod watching;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::super::database::{Database, Lookup, Opened, Put, PutOver, RecordRow, Version, Written};
use super::{SqliteDatabase, SqliteOptions, open};
use crate::model::{BackendErrorKind, Error, Timestamp};

const FIXTURE: &str = include_str!("../../../../../tests/fixtures/sql/crawlee-1.11-sqlite.sql");
/// What makes a database of Crawlee before 1.4 of it.
const OLD: &str = "DROP TABLE key_value_store_metadata_buffer;
    ALTER TABLE key_value_stores DROP COLUMN buffer_locked_until;";

/// A database of the client's in a directory of its own.
struct Fixture {
    directory: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::altered("PRAGMA journal_mode = WAL")
    }

    fn old() -> Self {
        Self::altered(&format!("PRAGMA journal_mode = WAL; {OLD}"))
    }

    /// As the client has made it, and then something else was done.
    fn altered(sql: &str) -> Self {
        let fixture = Self { directory: TempDir::new().unwrap() };
        let connection = Connection::open(fixture.path()).unwrap();
        // The tables are in the order of their names, not in that of their keys.
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        connection.execute_batch(FIXTURE).unwrap();
        connection.execute_batch(sql).unwrap();
        fixture
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("crawlee.db")
    }

    fn open(&self) -> SqliteDatabase {
        open(&self.path(), &options()).unwrap()
    }

    /// Somebody else's connection.
    fn other(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection
    }

    /// The one number or text that a query gives.
    fn tell<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        self.other().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

fn options() -> SqliteOptions {
    SqliteOptions { read_only: false, timeout: Duration::from_secs(10) }
}

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn staged(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn put_over(
    database: &SqliteDatabase,
    store: &str,
    key: &str,
    bytes: &[u8],
    over: PutOver,
) -> Written {
    let put = Put {
        internal_name: store,
        key,
        content_type: "text/plain",
        value: &staged(bytes),
        size: bytes.len() as u64,
        over,
        at: Timestamp::now(),
        durable: false,
    };
    database.put(&put).unwrap()
}

/// Writes a record whatever is there, and gives back what it is.
fn put(database: &SqliteDatabase, store: &str, key: &str, bytes: &[u8]) -> RecordRow {
    done(put_over(database, store, key, bytes, PutOver::Anything))
}

fn done(written: Written) -> RecordRow {
    match written {
        Written::Done(row) => row,
        other => panic!("{other:?}"),
    }
}

fn opened(database: &SqliteDatabase, key: &str, known: Option<Version>) -> Opened {
    match database.open("default", key, 64 << 10, known).unwrap() {
        Lookup::Found(opened) => opened,
        other => panic!("{other:?}"),
    }
}

fn bytes(database: &SqliteDatabase, key: &str) -> Vec<u8> {
    opened(database, key, None).bytes.unwrap()
}

fn streamed(database: &SqliteDatabase, key: &str, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut sink = |part: &[u8]| {
        bytes.extend_from_slice(part);
        Ok(())
    };
    database.stream("default", key, version, &mut sink).unwrap();
    bytes
}

fn kind(error: &Error) -> BackendErrorKind {
    match error {
        Error::Backend { kind, .. } => *kind,
        other => panic!("{other:?}"),
    }
}
