//! Who uses which connection.
//!
//! One connection writes, so that our own writers wait for each other in a queue that wakes them, not by asking SQLite
//! again and again. Others read, so that a reader never waits for a writer of our own. A connection is leased: no lock is
//! held over its use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::connect::Place;
use super::failures::{Failure, Step};
use super::functions;
use super::versions::Versions;
use crate::model::{BackendErrorKind, Error};
use crate::ranks::{Condvar, Mutex, Table};

/// Most connections that read at once: a large value that is streamed takes one for all its time. Each has a page cache
/// of 2 MiB at most.
const MOST_READERS: usize = 16;

/// Until when an operation has to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        let now = Instant::now();
        // Beyond what a clock can tell, a day is as good as for ever.
        Self(now.checked_add(timeout).unwrap_or(now + Duration::from_secs(86_400)))
    }

    pub(super) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// The connections of an open database.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) place: Place,
    versions: Arc<Versions>,
    slots: Mutex<Table, Slots>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Slots {
    /// Open and used by nobody.
    readers: Vec<Connection>,
    leased_readers: usize,
    writer: Option<Connection>,
    is_writer_leased: bool,
}

/// What a connection is leased for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Reading,
    Writing,
}

impl Slots {
    /// A lease, with the connection if one is open.
    fn lease(&mut self, for_what: Use) -> Option<Option<Connection>> {
        match for_what {
            Use::Reading if self.leased_readers < MOST_READERS => {
                self.leased_readers += 1;
                Some(self.readers.pop())
            }
            Use::Writing if !self.is_writer_leased => {
                self.is_writer_leased = true;
                Some(self.writer.take())
            }
            Use::Reading | Use::Writing => None,
        }
    }

    fn give_back(&mut self, for_what: Use, connection: Option<Connection>) {
        match for_what {
            Use::Reading => {
                self.leased_readers = self.leased_readers.saturating_sub(1);
                self.readers.extend(connection);
            }
            Use::Writing => {
                self.is_writer_leased = false;
                self.writer = connection;
            }
        }
    }
}

impl Pool {
    /// Opens connections as they are needed.
    pub(super) fn new(place: Place, versions: Arc<Versions>) -> Self {
        Self { place, versions, slots: Mutex::default(), freed: Condvar::new() }
    }

    /// Takes a connection that waits for others' locks until the deadline.
    ///
    /// # Errors
    /// [`BackendErrorKind::Busy`] if there is none until then; SQLite's.
    pub(super) fn lease(&self, for_what: Use, deadline: Deadline) -> Step<Lease<'_>> {
        let mut slots = self.slots.lock();
        let connection = loop {
            if let Some(connection) = slots.lease(for_what) {
                break connection;
            }
            let left = deadline.left();
            if left.is_zero() {
                return Err(busy().into());
            }
            self.freed.wait_for(&mut slots, left);
        };
        drop(slots);
        let mut lease = Lease { pool: self, for_what, connection };
        self.place.check()?;
        let connection = match lease.connection.take() {
            Some(connection) => connection,
            None => self.connect(for_what)?,
        };
        connection.busy_timeout(deadline.left())?;
        lease.connection = Some(connection);
        Ok(lease)
    }

    fn connect(&self, for_what: Use) -> Step<Connection> {
        let connection = self.place.connect(for_what == Use::Writing)?;
        functions::register(&connection, &self.versions)?;
        Ok(connection)
    }
}

/// What is said if all connections are in use for longer than the deadline.
fn busy() -> Error {
    Error::backend(BackendErrorKind::Busy, "use the database", "all connections to it are in use")
}

/// A connection that is used by one operation.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    for_what: Use,
    connection: Option<Connection>,
}

impl Lease<'_> {
    /// The connection; each lease that was given out has one.
    ///
    /// # Errors
    /// Never, as long as that is so.
    pub(super) fn connection(&self) -> Step<&Connection> {
        self.connection.as_ref().ok_or_else(|| Failure::from(busy()))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // One that cannot end its transaction is closed, which ends it.
        let connection = self.connection.take();
        let connection =
            connection.filter(|it| it.is_autocommit() || it.execute_batch("ROLLBACK").is_ok());
        self.pool.slots.lock().give_back(self.for_what, connection);
        self.pool.freed.notify_all();
    }
}
