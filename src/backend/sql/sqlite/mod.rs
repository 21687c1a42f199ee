//! A database of Crawlee's SQL client in an SQLite file.
//!
//! What is in one transaction is `transactions`'; who has which connection, `pool`'s; how a record's version is told that
//! SQLite does not tell, `versions`'; that others have changed something, `watch`'s. `connect` knows the file.

mod connect;
mod datasets;
mod durability;
mod failures;
mod functions;
mod manners;
mod pool;
mod records;
mod stores;
#[cfg(test)]
mod tests;
mod times;
mod transactions;
mod usage;
mod values;
mod versions;
mod watch;
mod writes;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::database::{
    Changed, Database, Facts, Lookup, Opened, Outcome, PurgedRows, Put, RecordRow, Rename,
    StoreRow, TakeText, Touched, Version, Written,
};
use crate::backend::watch::{Tell, Watched};
use crate::backend::{Watchable, Work};
use crate::model::{Result, Timestamp};
use connect::Place;
use failures::Failure;
use transactions::Transactions;

/// How a database is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct SqliteOptions {
    /// Nothing is written.
    pub(super) read_only: bool,
    /// How long an operation may wait for others' locks.
    pub(super) timeout: Duration,
}

/// An open database.
#[derive(Debug)]
pub(super) struct SqliteDatabase {
    facts: Facts,
    transactions: Arc<Transactions>,
}

/// Opens a database that is there.
///
/// # Errors
/// [`Error::Io`](crate::model::Error::Io) if there is none; [`Error::Backend`](crate::model::Error::Backend) if it is no
/// database, or not one of Crawlee's, or cannot be read.
pub(super) fn open(path: &Path, options: &SqliteOptions) -> Result<SqliteDatabase> {
    let place = Place::find(path, options.read_only, options.timeout)?;
    let facts = Facts {
        server: format!("SQLite {}", rusqlite::version()),
        // SQLite itself counts nothing. Keys and names are to fit the columns as the client declares them, so that a
        // database of another kind can take them; types that are longer than the 50 characters there are everyday ones.
        most_key_chars: 255,
        most_type_chars: 255,
        most_value_bytes: writes::MOST_VALUE_BYTES,
        read_only: place.read_only.clone(),
        is_remote: false,
        // To tell the version of a large value it has to be read.
        tells_versions: false,
    };
    let transactions = Transactions::new(place, options.timeout)
        .map_err(|error| Failure::from(error).into_error(&connect::action(path)))?;
    Ok(SqliteDatabase { facts, transactions: Arc::new(transactions) })
}

impl Database for SqliteDatabase {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn stores(&self) -> Result<Vec<StoreRow>> {
        stores::all(&self.transactions)
    }

    fn store(&self, internal_name: &str) -> Result<Option<StoreRow>> {
        stores::one(&self.transactions, internal_name)
    }

    fn changed(&self, internal_name: &str, known: Option<&Changed>) -> Result<Option<Changed>> {
        stores::changed(&self.transactions, internal_name, known)
    }

    fn create_store(&self, store: &StoreRow) -> Result<bool> {
        stores::create(&self.transactions, store)
    }

    fn replace_store(&self, internal_name: &str, store: &StoreRow) -> Result<Outcome> {
        stores::replace(&self.transactions, internal_name, store)
    }

    fn rename_store(&self, internal_name: &str, to: &str, name: Option<&str>) -> Result<Outcome> {
        stores::rename(&self.transactions, internal_name, to, name)
    }

    fn drop_store(&self, internal_name: &str, only_empty: bool) -> Result<Outcome> {
        stores::remove(&self.transactions, internal_name, only_empty)
    }

    fn purge(
        &self,
        internal_name: &str,
        at: Timestamp,
        spares: &dyn Fn(&str) -> bool,
    ) -> Result<Option<PurgedRows>> {
        stores::purge(&self.transactions, internal_name, at, spares)
    }

    fn touch(&self, internal_name: &str, touched: Touched) -> Result<Outcome> {
        stores::touch(&self.transactions, internal_name, touched)
    }

    fn page(
        &self,
        internal_name: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<RecordRow>>> {
        records::page(&self.transactions, internal_name, after, limit)
    }

    fn head(&self, internal_name: &str, key: &str) -> Result<Lookup<RecordRow>> {
        records::head(&self.transactions, internal_name, key)
    }

    fn open(
        &self,
        internal_name: &str,
        key: &str,
        inline: u64,
        known: Option<Version>,
    ) -> Result<Lookup<Opened>> {
        records::open(&self.transactions, internal_name, key, inline, known)
    }

    fn stream(
        &self,
        internal_name: &str,
        key: &str,
        version: Version,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        records::stream(&self.transactions, internal_name, key, version, sink)
    }

    fn put(&self, put: &Put<'_>) -> Result<Written> {
        writes::put(&self.transactions, put)
    }

    fn set_type(&self, internal_name: &str, key: &str, content_type: &str) -> Result<Written> {
        writes::set_type(&self.transactions, internal_name, key, content_type)
    }

    fn delete(&self, internal_name: &str, key: &str) -> Result<Outcome> {
        writes::delete(&self.transactions, internal_name, key)
    }

    fn rename(&self, rename: &Rename<'_>) -> Result<Written> {
        writes::rename(&self.transactions, rename)
    }

    fn datasets(&self) -> Result<Vec<(String, u64)>> {
        datasets::all(&self.transactions)
    }

    fn each_item(&self, name: &str, take: &mut TakeText<'_>) -> Result<bool> {
        datasets::each_item(&self.transactions, name, take)
    }

    fn dataset_items(&self, name: &str, from: u64, limit: usize) -> Result<Option<Vec<String>>> {
        datasets::items(&self.transactions, name, from, limit)
    }

    fn space(&self) -> Result<(u64, Option<u64>)> {
        self.transactions.space()
    }

    fn sync(&self) -> Result<()> {
        self.transactions.sync()
    }

    fn work(&self) -> Work {
        self.transactions.calls.work()
    }

    fn watchable(&self) -> Option<&dyn Watchable> {
        Some(self)
    }
}

impl Watchable for SqliteDatabase {
    fn watch(&self, tell: Tell) -> Watched {
        watch::begin(&self.transactions, tell)
    }
}
