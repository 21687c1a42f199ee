//! Stores are told, made, changed and removed.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::failures::Step;
use super::functions::any_text;
use super::times;
use super::transactions::{Transactions, store_id};
use crate::backend::sql::database::{Changed, Outcome, PurgedRows, StoreRow, Touched};
use crate::backend::sql::schema::Schema;
use crate::model::{Result, Timestamp};

/// All stores.
pub(super) fn all(database: &Transactions) -> Result<Vec<StoreRow>> {
    database.look(&|| "list the stores".to_owned(), |connection| {
        let sql = select(database.pool.place.schema);
        let mut statement = connection.prepare_cached(&sql)?;
        let stores = statement.query_map([], store_row)?;
        Ok(stores.collect::<rusqlite::Result<_>>()?)
    })
}

/// One store.
pub(super) fn one(database: &Transactions, internal_name: &str) -> Result<Option<StoreRow>> {
    database.look(&|| format!("look at store '{internal_name}'"), |connection| {
        let sql = select(database.pool.place.schema) + " AND internal_name = ?1";
        let mut statement = connection.prepare_cached(&sql)?;
        Ok(statement.query_row([internal_name], store_row).optional()?)
    })
}

/// Stores with times that tell of buffered rows too. The names of columns are only those of the one table.
fn select(schema: Schema) -> String {
    let newest = |column: &str| match schema.has_buffer {
        false => column.to_owned(),
        true => format!(
            "max({column}, coalesce((SELECT max({column}) FROM key_value_store_metadata_buffer buffer \
             WHERE buffer.key_value_store_id = stores.key_value_store_id), {column}))"
        ),
    };
    format!(
        "SELECT key_value_store_id, internal_name, name, created_at, {}, {} FROM key_value_stores stores \
         WHERE storefs_is_name(key_value_store_id) AND storefs_is_name(internal_name)",
        newest("accessed_at"),
        newest("modified_at"),
    )
}

fn store_row(row: &Row<'_>) -> rusqlite::Result<StoreRow> {
    let time = |at| Ok::<_, rusqlite::Error>(times::parse(row.get_ref(at)?.as_str().unwrap_or("")));
    Ok(StoreRow {
        id: row.get(0)?,
        internal_name: row.get(1)?,
        name: match row.get_ref(2)? {
            ValueRef::Null => None,
            _ => Some(any_text(row, 2)?),
        },
        created_at: time(3)?,
        accessed_at: time(4)?,
        modified_at: time(5)?,
    })
}

/// When a store was changed last.
///
/// A fold takes all rows of a store out of its buffer, and new ones may get numbers that were used before: then the newest
/// has a smaller one than was known, or all that are behind that are younger. A fold tells what it has taken out by the
/// store's own time.
pub(super) fn changed(
    database: &Transactions,
    internal_name: &str,
    known: Option<&Changed>,
) -> Result<Option<Changed>> {
    const BUFFERED: &str = "SELECT key_value_store_id, modified_at, \
        (SELECT max(id) FROM key_value_store_metadata_buffer buffer \
         WHERE buffer.key_value_store_id = stores.key_value_store_id), \
        (SELECT max(modified_at) FROM key_value_store_metadata_buffer buffer \
         WHERE buffer.key_value_store_id = stores.key_value_store_id AND id > ?2) \
        FROM key_value_stores stores WHERE internal_name = ?1";
    const UNBUFFERED: &str = "SELECT key_value_store_id, modified_at, NULL, ?2 * NULL \
        FROM key_value_stores WHERE internal_name = ?1";
    database.look(&|| format!("look at store '{internal_name}'"), |connection| {
        let has_buffer = database.pool.place.schema.has_buffer;
        let mut statement =
            connection.prepare_cached(if has_buffer { BUFFERED } else { UNBUFFERED })?;
        let mut look = |behind: i64| {
            let told = statement.query_row(params![internal_name, behind], |row| {
                let time =
                    |at| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str().map(times::parse));
                let (own, buffered) = (time(1)?.unwrap_or_default(), time(3)?.ok());
                let last = row.get::<_, Option<i64>>(2)?.unwrap_or(i64::MIN);
                Ok(Changed { id: row.get(0)?, last, at: buffered.map_or(own, |at| at.max(own)) })
            });
            told.optional()
        };
        let first = look(known.map_or(i64::MIN, |known| known.last))?;
        Ok(match (first, known) {
            (Some(first), Some(known)) if first.id == known.id && first.last >= known.last => {
                Some(Changed { at: first.at.max(known.at), ..first })
            }
            (Some(_), Some(_)) => look(i64::MIN)?,
            (first, _) => first,
        })
    })
}

/// Makes an empty store.
pub(super) fn create(database: &Transactions, store: &StoreRow) -> Result<bool> {
    let action = || format!("make store '{}'", store.internal_name);
    database.write(&action, false, |writing| {
        let sql = "INSERT INTO key_value_stores \
                   (key_value_store_id, internal_name, name, accessed_at, created_at, modified_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
        let mut statement = writing.reading.connection.prepare_cached(sql)?;
        let [accessed_at, created_at, modified_at] = texts(store);
        let StoreRow { id, internal_name, name, .. } = store;
        let values = params![id, internal_name, name, accessed_at, created_at, modified_at];
        Ok(statement.execute(values)? > 0)
    })
}

/// Replaces the row of a store.
pub(super) fn replace(
    database: &Transactions,
    internal_name: &str,
    store: &StoreRow,
) -> Result<Outcome> {
    let action = || format!("change store '{internal_name}'");
    database.write(&action, false, |writing| {
        let connection = writing.reading.connection;
        let Some(old_id) = store_id(connection, internal_name)? else {
            return Ok(Outcome::NoStore);
        };
        let StoreRow { id, internal_name, name, .. } = store;
        if is_taken(connection, &old_id, id, internal_name, name.as_deref())? {
            return Ok(Outcome::Taken);
        }
        // Between the two updates the records have no store. The setting ends with the transaction.
        connection.execute_batch("PRAGMA defer_foreign_keys = ON")?;
        let sql = "UPDATE key_value_stores SET key_value_store_id = ?2, internal_name = ?3, name = ?4, \
                   accessed_at = ?5, created_at = ?6, modified_at = ?7 WHERE key_value_store_id = ?1";
        let [accessed_at, created_at, modified_at] = texts(store);
        let values = params![old_id, id, internal_name, name, accessed_at, created_at, modified_at];
        connection.prepare_cached(sql)?.execute(values)?;
        if *id != old_id {
            let sql = "UPDATE key_value_store_records SET key_value_store_id = ?2 \
                       WHERE key_value_store_id = ?1";
            connection.prepare_cached(sql)?.execute([&old_id, id])?;
            writing.discard_notes(id)?;
        }
        writing.discard_notes(&old_id)?;
        Ok(Outcome::Done)
    })
}

/// Gives a store another name.
pub(super) fn rename(
    database: &Transactions,
    internal_name: &str,
    to: &str,
    name: Option<&str>,
) -> Result<Outcome> {
    let action = || format!("rename store '{internal_name}' to '{to}'");
    database.write(&action, false, |writing| {
        let connection = writing.reading.connection;
        let Some(id) = store_id(connection, internal_name)? else {
            return Ok(Outcome::NoStore);
        };
        if is_taken(connection, &id, &id, to, name)? {
            return Ok(Outcome::Taken);
        }
        let sql = "UPDATE key_value_stores SET internal_name = ?2, name = ?3 \
                   WHERE key_value_store_id = ?1";
        connection.prepare_cached(sql)?.execute(params![id, to, name])?;
        Ok(Outcome::Done)
    })
}

/// Whether a store other than that of `old_id` has any of these.
fn is_taken(
    connection: &Connection,
    old_id: &str,
    id: &str,
    internal_name: &str,
    name: Option<&str>,
) -> Step<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM key_value_stores WHERE key_value_store_id <> ?1 \
               AND (key_value_store_id = ?2 OR internal_name = ?3 OR name = ?4))";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(params![old_id, id, internal_name, name], |row| row.get(0))?)
}

/// Removes a store with all that it has.
pub(super) fn remove(
    database: &Transactions,
    internal_name: &str,
    only_empty: bool,
) -> Result<Outcome> {
    let action = || format!("remove store '{internal_name}'");
    database.write(&action, false, |writing| {
        let connection = writing.reading.connection;
        let Some(id) = store_id(connection, internal_name)? else {
            return Ok(Outcome::NoStore);
        };
        if only_empty {
            let sql = "SELECT EXISTS (SELECT 1 FROM key_value_store_records WHERE key_value_store_id = ?1)";
            if connection.prepare_cached(sql)?.query_row([&id], |row| row.get(0))? {
                return Ok(Outcome::NotEmpty);
            }
        }
        // Its records go with it in each database of the client's; this is for one that was copied without its keys.
        let records = "DELETE FROM key_value_store_records WHERE key_value_store_id = ?1";
        let store = "DELETE FROM key_value_stores WHERE key_value_store_id = ?1";
        for sql in [records, store] {
            connection.prepare_cached(sql)?.execute([&id])?;
        }
        writing.discard_notes(&id)?;
        Ok(Outcome::Done)
    })
}

/// Removes all records that are not spared.
pub(super) fn purge(
    database: &Transactions,
    internal_name: &str,
    at: Timestamp,
    spares: &dyn Fn(&str) -> bool,
) -> Result<Option<PurgedRows>> {
    let action = || format!("purge store '{internal_name}'");
    database.write(&action, false, |writing| {
        let connection = writing.reading.connection;
        let Some(id) = store_id(connection, internal_name)? else {
            return Ok(None);
        };
        let (mut spared, mut bytes) = (Vec::new(), 0);
        {
            let sql = "SELECT key, octet_length(value) FROM key_value_store_records \
                       WHERE key_value_store_id = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([&id])?;
            while let Some(row) = rows.next()? {
                let key = row.get_ref(0)?.as_str().unwrap_or_default();
                if spares(key) {
                    spared.push(key.to_owned());
                } else {
                    let size: Option<i64> = row.get(1)?;
                    bytes += size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
                }
            }
        }
        let sql = "DELETE FROM key_value_store_records WHERE key_value_store_id = ?1 \
                   AND key NOT IN (SELECT value FROM json_each(?2))";
        let kept = serde_json::Value::from(spared.clone()).to_string();
        let removed = connection.prepare_cached(sql)?.execute([&id, &kept])? as u64;
        writing.discard_notes(&id)?;
        let sql = "UPDATE key_value_stores SET accessed_at = ?2, modified_at = ?2 \
                   WHERE key_value_store_id = ?1";
        connection.prepare_cached(sql)?.execute([&id, &times::text(at)])?;
        Ok(Some(PurgedRows { spared, removed, bytes }))
    })
}

/// Notes that a store was used.
pub(super) fn touch(
    database: &Transactions,
    internal_name: &str,
    touched: Touched,
) -> Result<Outcome> {
    let action = || format!("note the use of store '{internal_name}'");
    database.write(&action, false, |writing| {
        let Some(id) = store_id(writing.reading.connection, internal_name)? else {
            return Ok(Outcome::NoStore);
        };
        writing.note(&id, touched)?;
        Ok(Outcome::Done)
    })
}

/// Accessed, created and modified, as the client writes them.
fn texts(store: &StoreRow) -> [String; 3] {
    [store.accessed_at, store.created_at, store.modified_at].map(times::text)
}
