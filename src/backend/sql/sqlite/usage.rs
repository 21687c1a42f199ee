//! When a store was used: rows in its buffer, which the client and we fold into the store's own row from time to time.

use rusqlite::params;

use super::failures::Step;
use super::times;
use super::transactions::Writing;
use crate::backend::sql::database::Touched;
use crate::model::Timestamp;

/// Each time that the newest row of the buffer has a number that is a multiple of this, the one who wrote it folds those
/// of its store. The client does it when it opens a store or is asked for its metadata, which may never be while a mount
/// writes, and each look at a store's times reads all rows that are not folded.
const FOLDED_EACH: i64 = 1024;

impl Writing<'_> {
    /// Notes that a store was used, as the client does.
    pub(super) fn note(&self, store_id: &str, touched: Touched) -> Step<()> {
        let accessed_at = times::text(touched.accessed_at);
        let modified_at = touched.modified_at.map(times::text);
        let sql = match self.schema.has_buffer {
            true => {
                "INSERT INTO key_value_store_metadata_buffer \
                 (key_value_store_id, accessed_at, modified_at) VALUES (?1, ?2, ?3)"
            }
            false => {
                "UPDATE key_value_stores SET accessed_at = max(accessed_at, ?2), \
                 modified_at = max(modified_at, coalesce(?3, modified_at)) \
                 WHERE key_value_store_id = ?1"
            }
        };
        let connection = self.reading.connection;
        connection.prepare_cached(sql)?.execute(params![store_id, accessed_at, modified_at])?;
        if self.schema.has_buffer && connection.last_insert_rowid() % FOLDED_EACH == 0 {
            self.fold(store_id)?;
        }
        Ok(())
    }

    /// Folds the buffered rows of a store, unless a client has said that it does.
    fn fold(&self, store_id: &str) -> Step<()> {
        let connection = self.reading.connection;
        let may_fold = match self.schema.has_lock {
            true => " AND (buffer_locked_until IS NULL OR buffer_locked_until < ?2)",
            false => " AND ?2 IS NOT NULL",
        };
        let newest = |column| {
            format!(
                "max({column}, coalesce((SELECT max({column}) FROM key_value_store_metadata_buffer \
                 WHERE key_value_store_id = ?1), {column}))"
            )
        };
        let sql = format!(
            "UPDATE key_value_stores SET accessed_at = {}, modified_at = {} \
             WHERE key_value_store_id = ?1{may_fold}",
            newest("accessed_at"),
            newest("modified_at"),
        );
        let now = times::text(Timestamp::now());
        if connection.prepare_cached(&sql)?.execute([store_id, &now])? > 0 {
            self.discard_notes(store_id)?;
        }
        Ok(())
    }

    /// Removes the buffered rows of a store.
    pub(super) fn discard_notes(&self, store_id: &str) -> Step<()> {
        if self.schema.has_buffer {
            let sql = "DELETE FROM key_value_store_metadata_buffer WHERE key_value_store_id = ?1";
            self.reading.connection.prepare_cached(sql)?.execute([store_id])?;
        }
        Ok(())
    }
}
