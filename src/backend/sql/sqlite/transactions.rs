//! What happens in one transaction, and what its reader or writer may rely on.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::connect::Place;
use super::durability::Durability;
use super::failures::{Failure, Step};
use super::manners::Manners;
use super::pool::{Deadline, Pool, Use};
use super::versions::{Generation, Versions, data_version};
use crate::backend::Calls;
use crate::backend::sql::database::Version;
use crate::backend::sql::schema::Schema;
use crate::model::{BackendErrorKind, Error, Result};

/// An open database, as a place where transactions happen.
#[derive(Debug)]
pub(super) struct Transactions {
    pub(super) pool: Pool,
    pub(super) versions: Arc<Versions>,
    durability: Durability,
    manners: Manners,
    timeout: Duration,
    pub(super) calls: Calls,
}

/// A transaction that sees one state of the database.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) connection: &'a Connection,
    pub(super) versions: &'a Versions,
    /// Which state it sees, where that could be told.
    pub(super) generation: Option<Generation>,
}

/// A transaction that holds off all others that write.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    /// What it sees, its own changes too.
    pub(super) reading: Reading<'a>,
    pub(super) schema: Schema,
    /// Records that it has given bytes to: id of the store, key, version.
    pub(super) made: Vec<(String, String, Version)>,
}

impl Transactions {
    /// Opens connections to a database as they are needed.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn new(place: Place, timeout: Duration) -> rusqlite::Result<Self> {
        let versions = Arc::new(Versions::new(place.connect(false)?)?);
        let durability = Durability::new(&place);
        let pool = Pool::new(place, Arc::clone(&versions));
        let calls = Calls::default();
        Ok(Self { pool, versions, durability, manners: Manners::default(), timeout, calls })
    }

    /// Reads by one statement, which sees one state. `action` completes "cannot ...".
    ///
    /// # Errors
    /// As the methods of `Database`.
    pub(super) fn look<T>(
        &self,
        action: &dyn Fn() -> String,
        work: impl FnOnce(&Connection) -> Step<T>,
    ) -> Result<T> {
        let look =
            || work(self.pool.lease(Use::Reading, Deadline::after(self.timeout))?.connection()?);
        self.calls.count(look).map_err(|failure| failure.into_error(&action()))
    }

    /// Reads in a store, by as many statements as it takes; `None` if there is no such store. `work` is given its id.
    ///
    /// # Errors
    /// As the methods of `Database`.
    pub(super) fn read<T>(
        &self,
        action: &dyn Fn() -> String,
        internal_name: &str,
        work: impl FnOnce(&Reading<'_>, &str) -> Step<T>,
    ) -> Result<Option<T>> {
        let read = || {
            let lease = self.pool.lease(Use::Reading, Deadline::after(self.timeout))?;
            let connection = lease.connection()?;
            let before = self.versions.generation();
            connection.prepare_cached("BEGIN")?.execute([])?;
            // The first read decides which state the transaction sees.
            let found = store_id(connection, internal_name)?;
            let generation = before.filter(|_| self.versions.generation() == before);
            let reading = Reading { connection, versions: &self.versions, generation };
            let result = found.map(|id| work(&reading, &id)).transpose();
            connection.prepare_cached("COMMIT")?.execute([])?;
            result
        };
        self.calls.count(read).map_err(|failure: Failure| failure.into_error(&action()))
    }

    /// Changes something. All that `work` does is undone if it fails. What is durable when the call returns is durable
    /// with all that was committed before.
    ///
    /// # Errors
    /// As the methods of `Database`.
    pub(super) fn write<T>(
        &self,
        action: &dyn Fn() -> String,
        durable: bool,
        work: impl FnOnce(&mut Writing<'_>) -> Step<T>,
    ) -> Result<T> {
        if let Some(reason) = &self.pool.place.read_only {
            return Err(Error::backend(BackendErrorKind::ReadOnly, action(), reason.as_str()));
        }
        let write = || {
            let deadline = Deadline::after(self.timeout);
            let lease = self.pool.lease(Use::Writing, deadline)?;
            let connection = lease.connection()?;
            // In WAL mode, EXTRA syncs the log at each commit; in the other modes also the directory, without which the
            // journal could be there again after a power cut, and undo the commit.
            let ease = durable.then(|| Ease::after_strict(connection)).transpose()?;
            self.manners.wait();
            // Our own writers may have had the connection for some of the time.
            connection.busy_timeout(deadline.left())?;
            connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let begun = self.versions.begun(connection)?;
            if let Some(begun) = &begun {
                self.manners.begun(begun.data_version);
            }
            let generation = Versions::generation_of(begun.as_ref());
            let reading = Reading { connection, versions: &self.versions, generation };
            let schema = self.pool.place.schema;
            let mut writing = Writing { reading, schema, made: Vec::new() };
            let result = work(&mut writing)?;
            let made = writing.made;
            connection.busy_timeout(deadline.left())?;
            connection.prepare_cached("COMMIT")?.execute([])?;
            self.versions.committed(connection, begun.as_ref(), &made);
            self.manners.ended();
            drop(ease);
            if durable {
                self.durability.complete()?;
            }
            Ok(result)
        };
        self.calls.count(write).map_err(|failure: Failure| failure.into_error(&action()))
    }

    /// The writer's own number that changes when others have committed: of now, or of its last transaction if it is just
    /// used. `None` if that is not known.
    pub(super) fn seen_by_writer(&self) -> Option<i64> {
        let ask = || {
            data_version(
                self.pool
                    .lease(Use::Writing, Deadline::after(Duration::ZERO))
                    .ok()?
                    .connection()
                    .ok()?,
            )
            .ok()
        };
        if let Some(number) = ask() {
            self.manners.begun(number);
        }
        self.manners.data_version()
    }

    /// Bytes that the database takes with its log, and that its medium has free.
    ///
    /// # Errors
    /// As the methods of `Database`.
    pub(super) fn space(&self) -> Result<(u64, Option<u64>)> {
        let place = &self.pool.place;
        let bytes = self.look(&|| "measure the database".to_owned(), |connection| {
            let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
            Ok(connection
                .prepare_cached(sql)?
                .query_row([], |row| row.get::<_, i64>(0))?
                .cast_unsigned())
        })?;
        let log = fs::metadata(place.beside("-wal")).map_or(0, |log| log.len());
        let medium = rustix::fs::statvfs(&place.path).ok();
        Ok((bytes + log, medium.map(|it| it.f_bavail.saturating_mul(it.f_frsize))))
    }

    /// Makes durable what was committed before.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn sync(&self) -> Result<()> {
        self.durability.sync()
    }
}

/// Has a connection sync each commit, until it is dropped.
struct Ease<'a>(&'a Connection);

impl<'a> Ease<'a> {
    fn after_strict(connection: &'a Connection) -> rusqlite::Result<Self> {
        connection.execute_batch("PRAGMA synchronous = EXTRA")?;
        Ok(Self(connection))
    }
}

impl Drop for Ease<'_> {
    fn drop(&mut self) {
        // It cannot be changed within a transaction, so one that has failed is ended first.
        if !self.0.is_autocommit() {
            let _ = self.0.execute_batch("ROLLBACK");
        }
        // If it stays strict, that costs no more than time.
        let _ = self.0.execute_batch("PRAGMA synchronous = NORMAL");
    }
}

/// The id of a store.
pub(super) fn store_id(connection: &Connection, internal_name: &str) -> Step<Option<String>> {
    let sql = "SELECT key_value_store_id FROM key_value_stores WHERE internal_name = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([internal_name], |row| row.get(0)).optional()?)
}
