//! What a database is: its tables, its limits, and whether it can be written.

use futures_util::future::join;
use tokio_postgres::{Row, SimpleQueryMessage};

use super::PostgresDatabase;
use super::calls::{Attempt, Calls, Needs, Repeat};
use super::failure::Failure;
use super::rows::column;
use super::texts::ServerTells;
use crate::backend::sql::database::Facts;
use crate::backend::sql::schema::{self, Columns, Schema};
use crate::model::{BackendErrorKind, Error, Result};

/// Longest key and store name in characters, where the columns do not say.
const MOST_KEY_CHARS: usize = 255;
/// Longest content type in characters, where the columns do not say.
const MOST_TYPE_CHARS: usize = 50;
/// Longest value in bytes. The server keeps a field in one piece of memory of at most 1 GiB, with the row's head and the
/// message's around it.
const MOST_VALUE_BYTES: u64 = (1 << 30) - (64 << 10);

/// The tables of Crawlee that the search path leads to, with their columns and the most characters that those keep.
const COLUMNS: &str = "SELECT c.relname::text, a.attname::text, \
     CASE WHEN a.atttypmod > 4 THEN a.atttypmod - 4 END \
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
     WHERE c.relname = ANY ($1) AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) \
     AND a.attnum > 0 AND NOT a.attisdropped";

/// What the server and the role allow.
const STATE: &str = "SELECT current_setting('server_version'), pg_is_in_recovery(), \
     current_setting('transaction_read_only') = 'on', \
     current_setting('track_commit_timestamp') = 'on', current_user::text, \
     current_setting('server_version_num')::int4, \
     current_setting('synchronous_commit') = 'off'";

/// Whether the settings of the session have come there, by the one of our own. Asked by a text that is not
/// prepared, since what else is asked may fail behind such a pooler.
const IS_SET: &str = "SELECT current_setting('storefs.session', true)";

/// What is said where the settings of a session have not come to the server.
const NOT_SET: &str = "a pooler of connections is between, which drops the settings of a session: name the server itself, or \
     have the pooler keep sessions (PgBouncer: pool_mode = session, and no 'options' in ignore_startup_parameters)";

/// The tables that the role may not write, of those that a mount writes.
const DENIED: &str = "SELECT t.name FROM unnest($1::text[]) AS t (name) \
     WHERE NOT (has_table_privilege(t.name, 'INSERT') AND has_table_privilege(t.name, 'UPDATE') \
     AND has_table_privilege(t.name, 'DELETE')) ORDER BY 1 LIMIT 1";

/// The oldest server that the statements work on, as the server numbers itself.
const OLDEST: i32 = 120_000;
/// The first that tells how a value was compressed.
const TELLS_COMPRESSION: i32 = 140_000;

impl PostgresDatabase {
    /// A commit is durable when it is told, unless the server or the role is set to `synchronous_commit = off`. Then one
    /// that waits makes all before it durable; it is of a message that nobody reads, so that there is something to wait
    /// for.
    pub(super) fn flush_commits(&self) -> Result<()> {
        const TEXT: &str = "SELECT set_config('synchronous_commit', 'on', true), \
             pg_logical_emit_message(true, 'storefs', '')";
        if !self.tells.commits_late || self.facts.read_only.is_some() {
            return Ok(());
        }
        let action = || "make what was committed durable".to_owned();
        self.calls.call(Needs::ToChange, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            attempt.sends();
            attempt.client()?.query_one(TEXT, &[]).await?;
            Ok(())
        })
    }
}

/// What is known of a database.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) facts: Facts,
    pub(super) schema: Schema,
    pub(super) tells: ServerTells,
}

/// Looks at the database. Nothing is tried twice, so that who waits for a mount hears at once what is wrong.
pub(super) fn look(calls: &Calls, is_opened_to_read: bool) -> Result<Catalog> {
    let action = || "open the PostgreSQL database".to_owned();
    calls.call(Needs::ToLook, action, Repeat::Never, async |attempt: &Attempt<'_>| {
        let client = attempt.client()?;
        let (set, state) = join(client.simple_query(IS_SET), client.query_one(STATE, &[])).await;
        let is_set = set?.iter().any(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0) == Some("on"),
            _ => false,
        });
        if !is_set {
            return Err(unusable(NOT_SET.to_owned()));
        }
        let state = state?;
        let columns = client.query(COLUMNS, &[&&schema::TABLES[..]]).await?;
        let server: String = column(&state, 0)?;
        if column::<i32>(&state, 5)? < OLDEST {
            let said =
                format!("the server is PostgreSQL {server}, and 12 is the oldest that works");
            return Err(unusable(said));
        }
        let (columns, lengths) = of_rows(&columns)?;
        let schema = schema::detect(&columns).map_err(unusable)?;
        let mut written = vec!["key_value_stores", "key_value_store_records"];
        if schema.has_buffer {
            written.push("key_value_store_metadata_buffer");
        }
        let denied = client.query_opt(DENIED, &[&written]).await?;
        let read_only = why_read_only(is_opened_to_read, &state, denied.as_ref())?;
        let length = |table: &str, name: &str| {
            lengths.iter().find(|(of, column, _)| of == table && column == name).map(|it| it.2)
        };
        let shortest = [("key_value_store_records", "key"), ("key_value_stores", "internal_name")]
            .iter()
            .filter_map(|(table, name)| length(table, name))
            .min();
        let facts = Facts {
            server: format!("PostgreSQL {server}"),
            most_key_chars: shortest.unwrap_or(MOST_KEY_CHARS),
            most_type_chars: length("key_value_store_records", "content_type")
                .unwrap_or(MOST_TYPE_CHARS),
            most_value_bytes: MOST_VALUE_BYTES,
            read_only,
            is_remote: true,
            tells_versions: true,
        };
        let tells = ServerTells {
            commits: column(&state, 3)?,
            compression: column::<i32>(&state, 5)? >= TELLS_COMPRESSION,
            commits_late: column(&state, 6)?,
        };
        Ok(Catalog { facts, schema, tells })
    })
}

type Lengths = Vec<(String, String, usize)>;

/// The columns of each table, and how many characters they keep.
fn of_rows(rows: &[Row]) -> Result<(Columns, Lengths), Failure> {
    let mut columns = Columns::new();
    let mut lengths = Lengths::new();
    for row in rows {
        let (table, name): (String, String) = (column(row, 0)?, column(row, 1)?);
        if let Some(length) = column::<Option<i32>>(row, 2)?.and_then(|it| usize::try_from(it).ok())
        {
            lengths.push((table.clone(), name.clone(), length));
        }
        columns.entry(table).or_default().insert(name);
    }
    Ok((columns, lengths))
}

fn why_read_only(
    is_opened_to_read: bool,
    state: &Row,
    denied: Option<&Row>,
) -> Result<Option<String>, Failure> {
    if column::<bool>(state, 1)? {
        return Ok(Some("the server is a standby, which only reads".to_owned()));
    }
    if is_opened_to_read {
        return Ok(Some("the database is opened for reading only".to_owned()));
    }
    if column::<bool>(state, 2)? {
        return Ok(Some("transactions only read here (default_transaction_read_only)".to_owned()));
    }
    let Some(denied) = denied else { return Ok(None) };
    let (role, table): (String, String) = (column(state, 4)?, column(denied, 0)?);
    Ok(Some(format!("the role '{role}' may not write the table '{table}'")))
}

fn unusable(reason: String) -> Failure {
    Failure::Own(Error::backend(
        BackendErrorKind::Unsupported,
        "open the PostgreSQL database",
        reason,
    ))
}
