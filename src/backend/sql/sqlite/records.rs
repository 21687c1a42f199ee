//! Records are read.

use rusqlite::params;

use super::failures::Step;
use super::functions::any_text;
use super::transactions::{Reading, Transactions};
use super::values::SMALL;
use crate::backend::sql::database::{Lookup, Opened, RecordRow, Version};
use crate::model::{Error, Result};

/// Columns of a page: a version that is remembered is not told by reading the value again.
const PAGE: &str = "SELECT key, octet_length(value), content_type, \
    coalesce(storefs_known(?1, key, ?3), \
             CASE WHEN octet_length(value) <= ?4 THEN storefs_version(value) END) \
    FROM key_value_store_records WHERE key_value_store_id = ?1 AND storefs_is_name(key) AND ";

/// The next records behind `after`.
pub(super) fn page(
    database: &Transactions,
    internal_name: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Option<Vec<RecordRow>>> {
    let action = || format!("list the records of store '{internal_name}'");
    database.read(&action, internal_name, |reading, store_id| {
        let records = rows(reading, store_id, after, limit)?;
        let told = records.iter().filter_map(|row| Some((row.key.as_str(), row.version?)));
        reading.versions.remember(store_id, told, reading.generation);
        Ok(records)
    })
}

fn rows(
    reading: &Reading<'_>,
    store_id: &str,
    after: Option<&str>,
    limit: usize,
) -> Step<Vec<RecordRow>> {
    // The empty text is the first of all, and a condition on the key has SQLite use the primary key's order.
    let behind = if after.is_some() { "key > ?2" } else { "key >= ?2" };
    let sql = format!("{PAGE}{behind} ORDER BY key LIMIT ?5");
    let mut statement = reading.connection.prepare_cached(&sql)?;
    let generation = reading.generation.map(super::versions::Generation::to_bits);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values =
        params![store_id, after.unwrap_or_default(), generation, SMALL.cast_signed(), limit];
    let records = statement.query_map(values, |row| {
        Ok(RecordRow {
            key: row.get(0)?,
            size: row.get::<_, i64>(1)?.cast_unsigned(),
            content_type: any_text(row, 2)?,
            version: row.get::<_, Option<i64>>(3)?.map(|bits| Version(bits.cast_unsigned())),
            committed_at: None,
        })
    })?;
    Ok(records.collect::<rusqlite::Result<_>>()?)
}

/// One record without its value.
pub(super) fn head(
    database: &Transactions,
    internal_name: &str,
    key: &str,
) -> Result<Lookup<RecordRow>> {
    let action = || format!("look at record '{key}' of store '{internal_name}'");
    let found = database.read(&action, internal_name, |reading, store_id| {
        let Some(located) = reading.locate(store_id, key)? else {
            return Ok(None);
        };
        let version = match located.size <= SMALL {
            true => Some(reading.version(store_id, key, &located)?),
            false => reading.known_version(store_id, key),
        };
        Ok(Some(located.row(key, version)))
    })?;
    Ok(lookup(found))
}

/// One record with its value, if that is small and not known.
pub(super) fn open(
    database: &Transactions,
    internal_name: &str,
    key: &str,
    inline: u64,
    known: Option<Version>,
) -> Result<Lookup<Opened>> {
    let action = || format!("open record '{key}' of store '{internal_name}'");
    let found = database.read(&action, internal_name, |reading, store_id| {
        let Some(located) = reading.locate(store_id, key)? else {
            return Ok(None);
        };
        let remembered = reading.known_version(store_id, key);
        let (version, bytes) = match remembered {
            Some(version) if known == Some(version) || located.size > inline => (version, None),
            None if located.size > inline => (reading.version(store_id, key, &located)?, None),
            _ => {
                let bytes = reading.whole(&located)?;
                let version = reading.versions.of(&bytes);
                let told = [(key, version)].into_iter();
                reading.versions.remember(store_id, told, reading.generation);
                (version, (known != Some(version)).then_some(bytes))
            }
        };
        Ok(Some(Opened { row: located.row(key, Some(version)), bytes }))
    })?;
    Ok(lookup(found))
}

/// Streams a record's value if it is of this version.
pub(super) fn stream(
    database: &Transactions,
    internal_name: &str,
    key: &str,
    version: Version,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let action = || format!("read record '{key}' of store '{internal_name}'");
    let (store, named) = (internal_name.to_owned(), key.to_owned());
    let is_there = database.read(&action, internal_name, |reading, store_id| {
        let Some(located) = reading.locate(store_id, key)? else {
            return Ok(false);
        };
        if reading.version(store_id, key, &located)? != version {
            return Ok(false);
        }
        reading.parts(&located, sink)?;
        Ok(true)
    })?;
    match is_there {
        Some(true) => Ok(()),
        Some(false) | None => Err(Error::RecordReplaced { store, key: named }),
    }
}

fn lookup<T>(found: Option<Option<T>>) -> Lookup<T> {
    match found {
        Some(Some(found)) => Lookup::Found(found),
        Some(None) => Lookup::NoRecord,
        None => Lookup::NoStore,
    }
}
