//! A database of the harness's own, and what its own program takes for the same work.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::postgres::{self, Server};
use crate::sqlite;
use crate::sys::{Result, run_quiet, seconds};

/// Which database is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// A database with Crawlee's tables, that goes with this.
pub(crate) enum Database {
    Sqlite { path: PathBuf },
    Postgres { server: Box<Server>, name: String },
}

/// The extension of the server that counts statements is in this database.
const COUNTS: &str = "postgres";

impl Database {
    /// Makes one in an empty directory; a server keeps its files where temporary ones are.
    pub(crate) fn make(kind: Kind, place: &Path) -> Result<Self> {
        match kind {
            Kind::Sqlite => {
                let path = place.join("crawlee.db");
                sqlite::make(&path);
                Ok(Self::Sqlite { path })
            }
            Kind::Postgres => {
                let settings =
                    ["shared_preload_libraries=pg_stat_statements", "shared_buffers=512MB"];
                let server = postgres::own(&settings).ok_or("there is no server of PostgreSQL")?;
                server.sql(COUNTS, "CREATE EXTENSION pg_stat_statements");
                let name = server.database();
                Ok(Self::Postgres { server: Box::new(server), name })
            }
        }
    }

    /// What names it to storefs.
    pub(crate) fn source(&self) -> String {
        match self {
            Self::Sqlite { path } => path.display().to_string(),
            Self::Postgres { server, name } => server.url(name),
        }
    }

    /// What names it to the client.
    pub(crate) fn client_url(&self) -> String {
        match self {
            Self::Sqlite { path } => format!("sqlite+aiosqlite:///{}", path.display()),
            Self::Postgres { server, name } => {
                server.url(name).replacen("postgresql:", "postgresql+asyncpg:", 1)
            }
        }
    }

    /// Runs statements, and gives back what they answer.
    pub(crate) fn sql(&self, text: &str) -> String {
        match self {
            Self::Sqlite { path } => sqlite::sql(path, text),
            Self::Postgres { server, name } => server.sql(name, text),
        }
    }

    /// Makes a store of `count` records of `size` bytes, which nobody has seen yet.
    pub(crate) fn fill(&self, store: &str, count: usize, size: usize) {
        let (now, series, value) = match self {
            Self::Sqlite { .. } => (
                "strftime('%Y-%m-%d %H:%M:%f', 'now')",
                format!(
                    "WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n + 1 < {count})"
                ),
                format!("randomblob({size})"),
            ),
            Self::Postgres { .. } => (
                "now()",
                format!("WITH s (n) AS (SELECT generate_series(0, {count} - 1))"),
                // Random, so that it is not compressed.
                format!(
                    "substring((SELECT string_agg(sha512((n || ' ' || p)::bytea), '') \
                     FROM generate_series(0, {size} / 64) p) FOR {size})"
                ),
            ),
        };
        let key = match self {
            Self::Sqlite { .. } => "printf('record-%07d', n)",
            Self::Postgres { .. } => "'record-' || lpad(n::text, 7, '0')",
        };
        // An id of 17 letters and digits.
        let id: String = store.chars().filter(char::is_ascii_alphanumeric).collect();
        let id = format!("{id:0<17}");
        self.sql(&format!(
            "INSERT INTO key_value_stores (key_value_store_id, internal_name, name, accessed_at, \
             created_at, modified_at) VALUES ('{id}', '{store}', '{store}', {now}, {now}, {now});"
        ));
        self.sql(&format!(
            "{series} INSERT INTO key_value_store_records (key_value_store_id, key, value, \
             content_type, size) SELECT '{id}', {key}, {value}, 'application/octet-stream', {size} \
             FROM s;"
        ));
        match self {
            Self::Sqlite { .. } => self.sql("PRAGMA wal_checkpoint(TRUNCATE);"),
            Self::Postgres { .. } => self.sql("VACUUM ANALYZE key_value_store_records"),
        };
    }

    /// Takes a store away.
    pub(crate) fn drop_store(&self, store: &str) {
        let keys = match self {
            Self::Sqlite { .. } => "PRAGMA foreign_keys = ON; ",
            Self::Postgres { .. } => "",
        };
        self.sql(&format!("{keys}DELETE FROM key_value_stores WHERE internal_name = '{store}';"));
    }

    /// Seconds that the database's own program takes to list the keys of a store in order.
    pub(crate) fn list_keys(&self, store: &str) -> Result<f64> {
        self.own_program(&format!(
            "SELECT key FROM key_value_store_records JOIN key_value_stores \
             USING (key_value_store_id) WHERE internal_name = '{store}' ORDER BY key"
        ))
    }

    /// Seconds that the database's own program takes to write a value out.
    pub(crate) fn write_out(&self, store: &str) -> Result<f64> {
        let (value, from) = (
            "value",
            format!(
                "FROM key_value_store_records JOIN key_value_stores USING (key_value_store_id) \
                 WHERE internal_name = '{store}'"
            ),
        );
        self.own_program(&match self {
            Self::Sqlite { .. } => format!("SELECT writefile('/dev/null', {value}) {from}"),
            Self::Postgres { .. } => {
                format!("COPY (SELECT {value} {from}) TO STDOUT (FORMAT binary)")
            }
        })
    }

    fn own_program(&self, statement: &str) -> Result<f64> {
        let mut command;
        match self {
            Self::Sqlite { path } => {
                command = Command::new("sqlite3");
                command.arg("-batch").arg(path).arg(statement);
            }
            Self::Postgres { server, name } => {
                command = Command::new("psql");
                command.args(["-X", "-q", "-A", "-t", "-d", &server.url(name), "-c", statement]);
            }
        }
        seconds(|| run_quiet(&mut command, &[0]))
    }

    /// Forgets the statements that were counted.
    pub(crate) fn count_anew(&self) {
        if let Self::Postgres { server, .. } = self {
            server.sql(COUNTS, "SELECT pg_stat_statements_reset()");
        }
    }

    /// Statements on the client's tables since then, if the database counts them.
    pub(crate) fn counted(&self) -> Option<f64> {
        let Self::Postgres { server, .. } = self else { return None };
        let counted = server.sql(
            COUNTS,
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE '%key_value%'",
        );
        counted.parse().ok()
    }
}
