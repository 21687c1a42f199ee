//! The bytes of records: read and written in parts, so that no whole value is in our memory.

use std::hash::Hasher;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use rusqlite::{MAIN_DB, OptionalExtension, params};

use super::failures::Step;
use super::functions::any_text;
use super::transactions::Reading;
use crate::backend::sql::database::{Put, RecordRow, Version};
use crate::model::{Error, Result};

/// Length of a part in bytes, of which one is in memory.
const PART: usize = 1 << 20;
/// A value up to this length in bytes is read in one piece, and its version told wherever the record is.
pub(super) const SMALL: u64 = 64 << 10;

const TABLE: &str = "key_value_store_records";
const COLUMN: &str = "value";

/// A record in its table.
#[derive(Debug)]
pub(super) struct Located {
    rowid: i64,
    pub(super) size: u64,
    pub(super) content_type: String,
}

impl Located {
    /// What is told of the record.
    pub(super) fn row(&self, key: &str, version: Option<Version>) -> RecordRow {
        RecordRow {
            key: key.to_owned(),
            size: self.size,
            content_type: self.content_type.clone(),
            version,
            committed_at: None,
        }
    }
}

impl Reading<'_> {
    /// Finds a record; its value is not read.
    pub(super) fn locate(&self, store_id: &str, key: &str) -> Step<Option<Located>> {
        let sql = "SELECT rowid, octet_length(value), content_type FROM key_value_store_records \
                   WHERE key_value_store_id = ?1 AND key = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let located = statement.query_row([store_id, key], |row| {
            Ok(Located {
                rowid: row.get(0)?,
                size: row.get::<_, i64>(1)?.cast_unsigned(),
                content_type: any_text(row, 2)?,
            })
        });
        Ok(located.optional()?)
    }

    /// A record's version, if it is known without reading the value.
    pub(super) fn known_version(&self, store_id: &str, key: &str) -> Option<Version> {
        self.versions.remembered(store_id, key, self.generation)
    }

    /// A record's version; its value is read if it takes that.
    pub(super) fn version(&self, store_id: &str, key: &str, located: &Located) -> Step<Version> {
        if let Some(version) = self.known_version(store_id, key) {
            return Ok(version);
        }
        let mut hasher = self.versions.hasher();
        self.parts(located, &mut |part| {
            hasher.write(part);
            Ok(())
        })?;
        let version = Version(hasher.finish());
        self.versions.remember(store_id, [(key, version)].into_iter(), self.generation);
        Ok(version)
    }

    /// A value as a whole.
    pub(super) fn whole(&self, located: &Located) -> Step<Vec<u8>> {
        let sql = "SELECT CAST(value AS BLOB) FROM key_value_store_records WHERE rowid = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([located.rowid], |row| row.get(0))?)
    }

    /// A value in parts, from its first byte on.
    pub(super) fn parts(
        &self,
        located: &Located,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Step<()> {
        if located.size <= SMALL {
            let whole = self.whole(located)?;
            return if whole.is_empty() { Ok(()) } else { Ok(sink(&whole)?) };
        }
        let mut blob = self.connection.blob_open(MAIN_DB, TABLE, COLUMN, located.rowid, true)?;
        let mut buffer = vec![0; PART];
        loop {
            let count = blob.read(&mut buffer).map_err(into_io)?;
            match buffer.get(..count) {
                Some(part) if count > 0 => sink(part)?,
                _ => return Ok(()),
            }
        }
    }

    /// Writes a record, as the client does, and gives back its version.
    pub(super) fn upsert(&self, store_id: &str, put: &Put<'_>) -> Step<Version> {
        let sql = "INSERT INTO key_value_store_records \
                   (key_value_store_id, key, value, content_type, size) VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (key_value_store_id, key) DO UPDATE \
                   SET value = excluded.value, content_type = excluded.content_type, size = excluded.size";
        let mut statement = self.connection.prepare_cached(sql)?;
        let size = put.size.cast_signed();
        if put.size <= PART as u64 {
            let mut value = vec![0; usize::try_from(put.size).unwrap_or_default()];
            put.value.read_exact_at(&mut value, 0).map_err(into_io)?;
            statement.execute(params![store_id, put.key, value, put.content_type, size])?;
            return Ok(self.versions.of(&value));
        }
        let room = rusqlite::blob::ZeroBlob(i32::try_from(put.size).unwrap_or(i32::MAX));
        statement.execute(params![store_id, put.key, room, put.content_type, size])?;
        let located = self.locate(store_id, put.key)?;
        let rowid = located.map(|it| it.rowid).ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let mut blob = self.connection.blob_open(MAIN_DB, TABLE, COLUMN, rowid, false)?;
        let mut hasher = self.versions.hasher();
        let mut buffer = vec![0; PART];
        let mut at = 0;
        while at < put.size {
            let length = usize::try_from(put.size - at).map_or(PART, |left| left.min(PART));
            let Some(part) = buffer.get_mut(..length) else { break };
            put.value.read_exact_at(part, at).map_err(into_io)?;
            hasher.write(part);
            blob.write_all(part).map_err(into_io)?;
            at += length as u64;
        }
        Ok(Version(hasher.finish()))
    }
}

/// The system's answer while bytes are moved.
fn into_io(error: io::Error) -> Error {
    Error::io("move the bytes of a value", error)
}
