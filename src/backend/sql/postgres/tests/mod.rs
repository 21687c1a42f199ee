//! The backend against real servers, started by the tests.

mod client;
mod faults;
mod logins;
mod proxy;
mod races;
mod records;
#[path = "../../../../../tests/common/postgres.rs"]
mod server;
mod stores;
mod values;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use self::server::Server;
use super::settings::Environment;
use super::{PostgresDatabase, PostgresOptions};
use crate::backend::source::{Source, SqlSource};
use crate::backend::sql::database::{
    Database, Lookup, Opened, Put, PutOver, RecordRow, StoreRow, Written,
};
use crate::model::{BackendErrorKind, Error, Result, Timestamp};

/// A deadline that no test meets by chance.
const PATIENT: PostgresOptions =
    PostgresOptions { read_only: false, timeout: Duration::from_secs(30), connections: 8 };

/// Opens the database of a URL.
fn open(url: &str, options: &PostgresOptions) -> Result<PostgresDatabase> {
    open_in(url, options, &super::settings::of_process)
}

/// The same with an environment of the test's own.
fn open_in(
    url: &str,
    options: &PostgresOptions,
    environment: Environment<'_>,
) -> Result<PostgresDatabase> {
    match Source::parse(OsStr::new(url))?.sql() {
        Some(SqlSource::Postgres(source)) => super::open_in(source, options, environment),
        _ => panic!("no PostgreSQL: {url}"),
    }
}

/// A database of the shared server with an empty store `s`; `None` without a server.
#[track_caller]
fn with_store() -> Option<(&'static Server, String, PostgresDatabase)> {
    let server = server::shared()?;
    let name = server.database();
    let database = opened(server, &name);
    assert!(database.create_store(&store("s")).unwrap());
    Some((server, name, database))
}

#[track_caller]
fn opened(server: &Server, name: &str) -> PostgresDatabase {
    open(&server.url(name), &PATIENT).unwrap()
}

/// A store of this name, with an id of its own.
fn store(name: &str) -> StoreRow {
    let at = at(1_000_000);
    StoreRow {
        id: format!("{name:a<17}").chars().take(17).collect(),
        internal_name: name.to_owned(),
        name: Some(name.to_owned()),
        created_at: at,
        accessed_at: at,
        modified_at: at,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn file_of(value: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(value, 0).unwrap();
    file
}

/// Puts a text.
fn put(database: &PostgresDatabase, key: &str, value: &[u8], over: PutOver) -> Result<Written> {
    put_at(database, key, value, over, at(2_000_000))
}

/// The same, at a time.
fn put_at(
    database: &PostgresDatabase,
    key: &str,
    value: &[u8],
    over: PutOver,
    at: Timestamp,
) -> Result<Written> {
    let value_file = file_of(value);
    database.put(&Put {
        internal_name: "s",
        key,
        content_type: "text/plain",
        value: &value_file,
        size: value.len() as u64,
        over,
        at,
        durable: true,
    })
}

#[track_caller]
fn done(written: Written) -> RecordRow {
    match written {
        Written::Done(row) => row,
        other => panic!("it was not written: {other:?}"),
    }
}

#[track_caller]
fn found<T>(lookup: Lookup<T>) -> T {
    match lookup {
        Lookup::Found(found) => found,
        Lookup::NoRecord => panic!("there is no such record"),
        Lookup::NoStore => panic!("there is no such store"),
    }
}

/// The record with its value.
#[track_caller]
fn opened_record(database: &PostgresDatabase, key: &str) -> Opened {
    found(database.open("s", key, 1 << 20, None).unwrap())
}

#[track_caller]
fn kind(error: &Error) -> BackendErrorKind {
    match error {
        Error::Backend { kind, .. } => *kind,
        other => panic!("not of a backend: {other}"),
    }
}
