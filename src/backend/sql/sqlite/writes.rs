//! Records are written, moved and removed, each with a row in its store's buffer, as the client writes it.

use rusqlite::params;

use super::failures::Step;
use super::transactions::{Transactions, Writing, store_id};
use crate::backend::sql::database::{
    Outcome, Put, PutOver, RecordRow, Rename, Touched, Version, Written,
};
use crate::model::{BackendErrorKind, Error, Result, Timestamp};

/// Longest value in bytes. SQLite's limit is that of a row, 1,000,000,000 bytes, in which the other columns are too.
pub(super) const MOST_VALUE_BYTES: u64 = 1_000_000_000 - (64 << 10);

/// Makes a version of a record.
pub(super) fn put(database: &Transactions, put: &Put<'_>) -> Result<Written> {
    let action = || format!("write record '{}' of store '{}'", put.key, put.internal_name);
    if put.size > MOST_VALUE_BYTES {
        let limit = format!("a value in SQLite has at most {MOST_VALUE_BYTES} bytes");
        return Err(Error::backend(BackendErrorKind::TooLarge, action(), limit));
    }
    database.write(&action, put.durable, |writing| {
        let Some(store_id) = store_id(writing.reading.connection, put.internal_name)? else {
            return Ok(Written::NoStore);
        };
        match put.over {
            PutOver::Anything => {}
            PutOver::Nothing | PutOver::Hoped => {
                if writing.reading.locate(&store_id, put.key)?.is_some() {
                    return Ok(Written::Refused);
                }
            }
            PutOver::Version(version) => {
                let Some(located) = writing.reading.locate(&store_id, put.key)? else {
                    return Ok(Written::NoRecord);
                };
                if writing.reading.version(&store_id, put.key, &located)? != version {
                    return Ok(Written::Refused);
                }
            }
        }
        let version = writing.reading.upsert(&store_id, put)?;
        writing.note(&store_id, Touched::changed_at(put.at))?;
        writing.made.push((store_id, put.key.to_owned(), version));
        Ok(Written::Done(row(put.key, put.size, put.content_type, version)))
    })
}

/// Gives a record another content type.
pub(super) fn set_type(
    database: &Transactions,
    internal_name: &str,
    key: &str,
    content_type: &str,
) -> Result<Written> {
    let action = || format!("set the type of record '{key}' of store '{internal_name}'");
    database.write(&action, false, |writing| {
        let Some(store_id) = store_id(writing.reading.connection, internal_name)? else {
            return Ok(Written::NoStore);
        };
        let Some(located) = writing.reading.locate(&store_id, key)? else {
            return Ok(Written::NoRecord);
        };
        let version = writing.reading.version(&store_id, key, &located)?;
        let sql = "UPDATE key_value_store_records SET content_type = ?3 \
                   WHERE key_value_store_id = ?1 AND key = ?2";
        let mut statement = writing.reading.connection.prepare_cached(sql)?;
        statement.execute([&store_id, key, content_type])?;
        writing.note(&store_id, Touched::changed_at(Timestamp::now()))?;
        Ok(Written::Done(row(key, located.size, content_type, version)))
    })
}

/// Removes a record.
pub(super) fn delete(database: &Transactions, internal_name: &str, key: &str) -> Result<Outcome> {
    let action = || format!("remove record '{key}' of store '{internal_name}'");
    database.write(&action, false, |writing| {
        let Some(store_id) = store_id(writing.reading.connection, internal_name)? else {
            return Ok(Outcome::NoStore);
        };
        if !writing.remove(&store_id, key)? {
            return Ok(Outcome::NoRecord);
        }
        writing.note(&store_id, Touched::changed_at(Timestamp::now()))?;
        Ok(Outcome::Done)
    })
}

/// Moves a record.
pub(super) fn rename(database: &Transactions, rename: &Rename<'_>) -> Result<Written> {
    let action = || {
        let Rename { from_store, from_key, to_store, to_key, .. } = rename;
        format!(
            "move record '{from_key}' of store '{from_store}' to '{to_key}' of store '{to_store}'"
        )
    };
    database.write(&action, false, |writing| {
        let connection = writing.reading.connection;
        let (Some(from), Some(to)) =
            (store_id(connection, rename.from_store)?, store_id(connection, rename.to_store)?)
        else {
            return Ok(Written::NoStore);
        };
        let Some(located) = writing.reading.locate(&from, rename.from_key)? else {
            return Ok(Written::NoRecord);
        };
        let version = writing.reading.version(&from, rename.from_key, &located)?;
        if (&from, rename.from_key) == (&to, rename.to_key) {
            return Ok(Written::Done(located.row(rename.to_key, Some(version))));
        }
        if !rename.replace && writing.reading.locate(&to, rename.to_key)?.is_some() {
            return Ok(Written::Refused);
        }
        writing.remove(&to, rename.to_key)?;
        // The row itself moves, and with it what columns it has that are unknown here.
        let sql = "UPDATE key_value_store_records \
                   SET key_value_store_id = ?3, key = ?4, content_type = ?5 \
                   WHERE key_value_store_id = ?1 AND key = ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let (from_key, to_key) = (rename.from_key, rename.to_key);
        statement.execute([from.as_str(), from_key, to.as_str(), to_key, rename.content_type])?;
        let touched = Touched::changed_at(rename.at);
        writing.note(&to, touched)?;
        if from != to {
            writing.note(&from, touched)?;
        }
        writing.made.push((to, rename.to_key.to_owned(), version));
        Ok(Written::Done(row(rename.to_key, located.size, rename.content_type, version)))
    })
}

impl Touched {
    /// Read and changed.
    fn changed_at(at: Timestamp) -> Self {
        Self { accessed_at: at, modified_at: Some(at) }
    }
}

impl Writing<'_> {
    /// Removes a record; gives back whether there was one.
    fn remove(&self, store_id: &str, key: &str) -> Step<bool> {
        let sql = "DELETE FROM key_value_store_records WHERE key_value_store_id = ?1 AND key = ?2";
        let mut statement = self.reading.connection.prepare_cached(sql)?;
        Ok(statement.execute(params![store_id, key])? > 0)
    }
}

fn row(key: &str, size: u64, content_type: &str, version: Version) -> RecordRow {
    RecordRow {
        key: key.to_owned(),
        size,
        content_type: content_type.to_owned(),
        version: Some(version),
        committed_at: None,
    }
}
