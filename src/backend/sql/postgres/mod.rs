//! A database of Crawlee's SQL client on a PostgreSQL server.
//!
//! | file | owns |
//! | --- | --- |
//! | `settings`, `service_file`, `passfile` | what text, environment and libpq's files say |
//! | `servers`, `tls`, `connect` | where to connect to, with what certificate, and how a session begins |
//! | `calls`, `failure` | deadlines, what is tried again, what an error means |
//! | `catalog` | what the database has and allows |
//! | `texts`, `rows` | statements, and their answers |
//! | `stores`, `records`, `values`, `datasets` | what is asked and changed |
//!
//! A version is the row's `xmin`: the transaction that made it. A key's order is the collation's of the database.

mod calls;
mod catalog;
mod connect;
mod datasets;
mod failure;
mod passfile;
mod records;
mod rows;
mod servers;
mod service_file;
mod settings;
mod stores;
mod texts;
mod tls;
mod values;

#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use self::calls::Calls;
use self::catalog::Catalog;
use self::connect::{Connector, Session};
use self::settings::Environment;
use self::texts::{ServerTells, Texts};
use super::database::{
    Changed, Database, Facts, Lookup, Opened, Outcome, PurgedRows, Put, RecordRow, Rename,
    StoreRow, TakeText, Touched, Version, Written,
};
use super::schema::Schema;
use crate::backend::Work;
use crate::backend::source::PostgresSource;
use crate::model::{Result, Timestamp};

/// How a database is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct PostgresOptions {
    /// Whether the sessions are told to change nothing.
    pub(super) read_only: bool,
    /// What a call may take, or a part of a stream.
    pub(super) timeout: Duration,
    /// Most connections at once.
    pub(super) connections: usize,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { read_only: false, timeout: Duration::from_secs(30), connections: 8 }
    }
}

/// A database on a PostgreSQL server.
#[derive(Debug)]
pub(super) struct PostgresDatabase {
    calls: Calls,
    facts: Facts,
    schema: Schema,
    texts: Texts,
    tells: ServerTells,
}

/// Opens the database of a source, with what libpq's variables and files add to it.
///
/// It starts threads: a process that goes to the background does so before.
///
/// # Errors
/// A parameter is not understood, the server cannot be reached or lets nobody in, or the database is no Crawlee's. No
/// password is in any of them.
pub(super) fn open(source: &PostgresSource, options: &PostgresOptions) -> Result<PostgresDatabase> {
    open_in(source, options, &settings::of_process)
}

fn open_in(
    source: &PostgresSource,
    options: &PostgresOptions,
    environment: Environment<'_>,
) -> Result<PostgresDatabase> {
    let settings = settings::settings(source.settings(), environment)?;
    let timeout = options.timeout;
    let connect_timeout = servers::connect_timeout(&settings)?.unwrap_or(timeout);
    let mut connector = Connector {
        servers: servers::servers(&settings, connect_timeout, environment)?,
        target: servers::target(&settings)?,
        tls: tls::tls(&settings, environment)?,
        server_timeout: timeout,
        session: Session::new(timeout, options.read_only),
        keeps_sessions: AtomicBool::new(false),
    };
    // While one server is waited for, time is left for the others.
    let attempts = connector.servers.len() * connector.target.attempts().len();
    let share = timeout / u32::try_from(attempts).unwrap_or(u32::MAX).max(1);
    connector.server_timeout = share.min(connect_timeout);
    let calls = Calls::new(connector, options.connections, timeout)?;
    let Catalog { facts, schema, tells } = catalog::look(&calls, options.read_only)?;
    let texts = Texts::new(schema, tells);
    Ok(PostgresDatabase { calls, facts, schema, texts, tells })
}

impl Database for PostgresDatabase {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn work(&self) -> Work {
        self.calls.counted.work()
    }

    fn stores(&self) -> Result<Vec<StoreRow>> {
        self.all_stores()
    }

    fn store(&self, internal_name: &str) -> Result<Option<StoreRow>> {
        self.one_store(internal_name)
    }

    fn changed(&self, internal_name: &str, known: Option<&Changed>) -> Result<Option<Changed>> {
        self.store_changed(internal_name, known)
    }

    fn create_store(&self, store: &StoreRow) -> Result<bool> {
        self.make_store(store)
    }

    fn replace_store(&self, internal_name: &str, store: &StoreRow) -> Result<Outcome> {
        self.change_store(internal_name, store)
    }

    fn rename_store(&self, internal_name: &str, to: &str, name: Option<&str>) -> Result<Outcome> {
        self.give_name(internal_name, to, name)
    }

    fn drop_store(&self, internal_name: &str, only_empty: bool) -> Result<Outcome> {
        self.remove_store(internal_name, only_empty)
    }

    fn purge(
        &self,
        internal_name: &str,
        at: Timestamp,
        spares: &dyn Fn(&str) -> bool,
    ) -> Result<Option<PurgedRows>> {
        self.purge_store(internal_name, at, spares)
    }

    fn touch(&self, internal_name: &str, touched: Touched) -> Result<Outcome> {
        self.note_use(internal_name, touched)
    }

    fn page(
        &self,
        internal_name: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<RecordRow>>> {
        self.page_of(internal_name, after, limit)
    }

    fn head(&self, internal_name: &str, key: &str) -> Result<Lookup<RecordRow>> {
        self.head_of(internal_name, key)
    }

    fn head_and_changed(
        &self,
        internal_name: &str,
        key: &str,
        known: Option<&Changed>,
    ) -> Result<(Lookup<RecordRow>, Option<Changed>)> {
        self.head_and_changed_of(internal_name, key, known)
    }

    fn open(
        &self,
        internal_name: &str,
        key: &str,
        inline: u64,
        known: Option<Version>,
    ) -> Result<Lookup<Opened>> {
        self.open_record(internal_name, key, inline, known)
    }

    fn open_and_changed(
        &self,
        internal_name: &str,
        key: &str,
        inline: u64,
        known: Option<&Changed>,
    ) -> Result<(Lookup<Opened>, Option<Changed>)> {
        self.open_record_and_changed(internal_name, key, inline, known)
    }

    fn stream(
        &self,
        internal_name: &str,
        key: &str,
        version: Version,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.stream_value(internal_name, key, version, sink)
    }

    fn put(&self, put: &Put<'_>) -> Result<Written> {
        self.put_record(put)
    }

    fn set_type(&self, internal_name: &str, key: &str, content_type: &str) -> Result<Written> {
        self.change_type(internal_name, key, content_type)
    }

    fn delete(&self, internal_name: &str, key: &str) -> Result<Outcome> {
        self.remove_record(internal_name, key)
    }

    fn rename(&self, rename: &Rename<'_>) -> Result<Written> {
        self.move_record(rename)
    }

    fn datasets(&self) -> Result<Vec<(String, u64)>> {
        self.all_datasets()
    }

    fn each_item(&self, name: &str, take: &mut TakeText<'_>) -> Result<bool> {
        self.each_item_of(name, take)
    }

    fn dataset_items(&self, name: &str, from: u64, limit: usize) -> Result<Option<Vec<String>>> {
        self.items_of(name, from, limit)
    }

    fn space(&self) -> Result<(u64, Option<u64>)> {
        self.space_taken()
    }

    fn sync(&self) -> Result<()> {
        self.flush_commits()
    }
}
