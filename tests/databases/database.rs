//! A database that a test mounts, of either kind: the same functions run over both.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

#[cfg(feature = "postgres")]
use crate::common::postgres::{self, Server};
use crate::common::{TempMount, can_mount, sqlite, storefs, temp_dir};
use crate::sdk::{Client, Python};

/// The store that most tests work in.
pub(crate) const STORE: &str = "work";

/// A fresh database with the tables of Crawlee's client, and without stores.
pub(crate) struct Database {
    /// Holds the file, and the spools.
    dir: tempfile::TempDir,
    kind: Kind,
}

enum Kind {
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres {
        server: &'static Server,
        name: String,
    },
}

/// Runs a test over a fresh SQLite database.
pub(crate) fn on_sqlite(test: fn(&Database)) {
    if can_mount() {
        test(&Database::sqlite());
    }
}

/// Runs a test over a fresh PostgreSQL database.
#[cfg(feature = "postgres")]
pub(crate) fn on_postgres(test: fn(&Database)) {
    if !can_mount() {
        return;
    }
    if let Some(server) = postgres::shared() {
        test(&Database::postgres(server, server.database()));
    }
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let database = Self { dir: temp_dir(), kind: Kind::Sqlite };
        sqlite::make(&database.file());
        database
    }

    /// A database of a server that outlives the test.
    #[cfg(feature = "postgres")]
    pub(crate) fn postgres(server: &'static Server, name: String) -> Self {
        Self { dir: temp_dir(), kind: Kind::Postgres { server, name } }
    }

    /// The file of an SQLite database.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("crawlee.db")
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.kind, Kind::Sqlite)
    }

    /// Whether it can keep a record of this key.
    pub(crate) fn keeps(&self, _: &str) -> bool {
        true
    }

    /// A directory for what else a test needs.
    pub(crate) fn beside(&self) -> PathBuf {
        let path = self.dir.path().join("beside");
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// What names the database in a crawler's code, and to storefs.
    pub(crate) fn url(&self) -> String {
        match &self.kind {
            Kind::Sqlite => format!("sqlite+aiosqlite:///{}", self.file().display()),
            #[cfg(feature = "postgres")]
            Kind::Postgres { server, name } => {
                server.url(name).replace("postgresql:", "postgresql+asyncpg:")
            }
        }
    }

    /// What statements answer, columns by `|`, rows by line ends.
    #[track_caller]
    pub(crate) fn sql(&self, text: &str) -> String {
        match &self.kind {
            Kind::Sqlite => {
                let text = format!(".timeout 30000\nPRAGMA foreign_keys = ON;\n{text};\n");
                sqlite::sql(&self.file(), &text).trim_end().to_owned()
            }
            #[cfg(feature = "postgres")]
            Kind::Postgres { server, name } => server.sql(name, text),
        }
    }

    /// A number that a statement answers.
    #[track_caller]
    pub(crate) fn number(&self, text: &str) -> u64 {
        let answer = self.sql(text);
        answer.parse().unwrap_or_else(|_| panic!("{text}: {answer}"))
    }

    /// The kind of storage, as `storefs info` shows it.
    pub(crate) fn kind(&self) -> &'static str {
        if self.is_sqlite() { "sqlite" } else { "postgresql" }
    }

    /// Whether an open value may be read no more once it was replaced or removed.
    #[allow(clippy::unused_self)]
    pub(crate) fn may_go_stale(&self) -> bool {
        false
    }

    /// Whether nothing is left of any store.
    #[track_caller]
    pub(crate) fn is_empty(&self) -> bool {
        let tables =
            ["key_value_stores", "key_value_store_records", "key_value_store_metadata_buffer"];
        tables.iter().all(|table| self.number(&format!("SELECT count(*) FROM {table}")) == 0)
    }

    /// Removes all records, past storefs.
    #[track_caller]
    pub(crate) fn remove_records(&self) {
        self.sql("DELETE FROM key_value_store_records");
    }

    /// The size of a record of the only store that has one, past storefs.
    #[track_caller]
    pub(crate) fn size_of(&self, key: &str) -> u64 {
        self.number(&format!("SELECT size FROM key_value_store_records WHERE key = '{key}'"))
    }

    /// Puts a record into the only store, past storefs.
    #[track_caller]
    pub(crate) fn put(&self, key: &str, value: &[u8], content_type: &str) {
        let hex = crate::sdk::hex(value);
        let bytes =
            if self.is_sqlite() { format!("x'{hex}'") } else { format!("decode('{hex}', 'hex')") };
        self.sql(&format!(
            "INSERT INTO key_value_store_records (key_value_store_id, key, value, content_type, size) \
             SELECT key_value_store_id, '{key}', {bytes}, '{content_type}', {} FROM key_value_stores",
            value.len()
        ));
    }

    /// All that the database is made of but its rows.
    #[track_caller]
    pub(crate) fn schema(&self) -> String {
        match &self.kind {
            Kind::Sqlite => {
                let settings = "PRAGMA journal_mode; PRAGMA user_version; PRAGMA auto_vacuum;";
                sqlite::sql(&self.file(), &format!(".schema\n{settings}\n"))
            }
            #[cfg(feature = "postgres")]
            Kind::Postgres { server, name } => server.schema(name),
        }
    }

    #[track_caller]
    pub(crate) fn mount(&self) -> TempMount {
        self.mount_with(&[])
    }

    #[track_caller]
    pub(crate) fn mount_with(&self, options: &[&str]) -> TempMount {
        mount(self, &self.url(), options)
    }

    /// A mount with the store that most tests work in.
    #[track_caller]
    pub(crate) fn mount_with_store(&self) -> TempMount {
        self.run(&["create", STORE]);
        self.mount()
    }

    /// A command of storefs on this database.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = storefs();
        command.args(arguments).args(["--source", &self.url()]);
        command.arg("--cache-dir").arg(self.dir.path().join("spool"));
        command
    }

    pub(crate) fn try_run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command of storefs prints; panics unless it succeeds.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Crawlee's client with a store of this database open, unless this machine has none.
    #[track_caller]
    pub(crate) fn client(&self, store: &str) -> Option<Client> {
        Some(Python::find()?.serve_database(&self.url(), store))
    }

    /// A record's value and type as they are in the database.
    #[track_caller]
    pub(crate) fn record(&self, key: &str) -> Option<(Vec<u8>, String)> {
        let hex = if self.is_sqlite() { "hex(value)" } else { "encode(value, 'hex')" };
        let row = self.sql(&format!(
            "SELECT {hex}, content_type FROM key_value_store_records r \
             JOIN key_value_stores s ON s.key_value_store_id = r.key_value_store_id \
             WHERE s.internal_name = '{STORE}' AND r.key = '{key}'"
        ));
        let (hex, content_type) = row.split_once('|')?;
        let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        Some(((0..hex.len()).step_by(2).map(digits).collect(), content_type.to_owned()))
    }
}

/// Mounts a source by a spool that the database's directory holds.
#[track_caller]
pub(crate) fn mount(database: &Database, source: &str, options: &[&str]) -> TempMount {
    TempMount::configured(source, |command| {
        command.args(options).arg("--cache-dir").arg(database.dir.path().join("spool"));
    })
}

/// Bytes that tell everywhere of which value they are, and from where in it.
pub(crate) fn bytes(seed: u32, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 16);
    for at in (0..size).step_by(16) {
        bytes.extend_from_slice(format!("{seed:04}:{at:010}\n").as_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// What something gave, which took no longer than `limit`.
#[track_caller]
pub(crate) fn within<T>(limit: Duration, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    let taken = begun.elapsed();
    assert!(taken < limit, "it took {taken:?}");
    done
}
