//! Datasets are read.

use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, Row, params};

use super::functions::any_text;
use super::transactions::Transactions;
use crate::backend::sql::database::TakeText;
use crate::model::Result;

/// Names of the datasets, and how many items each has. The client's own count may lag behind.
pub(super) fn all(database: &Transactions) -> Result<Vec<(String, u64)>> {
    if !database.pool.place.schema.has_datasets {
        return Ok(Vec::new());
    }
    database.look(&|| "list the datasets".to_owned(), |connection| {
        let sql = "SELECT internal_name, (SELECT count(*) FROM dataset_records items \
                   WHERE items.dataset_id = datasets.dataset_id) FROM datasets \
                   WHERE storefs_is_name(dataset_id) AND storefs_is_name(internal_name)";
        let mut statement = connection.prepare_cached(sql)?;
        let datasets = statement
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?;
        Ok(datasets.collect::<rusqlite::Result<_>>()?)
    })
}

/// Items of a dataset as JSON texts.
pub(super) fn items(
    database: &Transactions,
    name: &str,
    from: u64,
    limit: usize,
) -> Result<Option<Vec<String>>> {
    if !database.pool.place.schema.has_datasets {
        return Ok(None);
    }
    database.look(&|| format!("read dataset '{name}'"), |connection| {
        let sql = "SELECT dataset_id FROM datasets WHERE internal_name = ?1";
        let mut statement = connection.prepare_cached(sql)?;
        let found = statement.query_row([name], |row| row.get::<_, String>(0)).optional()?;
        let Some(id) = found else {
            return Ok(None);
        };
        let sql = "SELECT data FROM dataset_records WHERE dataset_id = ?1 \
                   ORDER BY item_id LIMIT ?2 OFFSET ?3";
        let mut statement = connection.prepare_cached(sql)?;
        let [limit, from] = [limit as u64, from].map(|it| i64::try_from(it).unwrap_or(i64::MAX));
        let items = statement.query_map(params![id, limit, from], text)?;
        Ok(Some(items.collect::<rusqlite::Result<_>>()?))
    })
}

/// Gives all items of a dataset to `take`. Gives back whether there is such a dataset.
pub(super) fn each_item(
    database: &Transactions,
    name: &str,
    take: &mut TakeText<'_>,
) -> Result<bool> {
    if !database.pool.place.schema.has_datasets {
        return Ok(false);
    }
    database.look(&|| format!("read dataset '{name}'"), |connection| {
        // A dataset that has no items has one row.
        let sql = "SELECT data, item_id FROM datasets LEFT JOIN dataset_records USING (dataset_id) \
                   WHERE internal_name = ?1 ORDER BY item_id";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([name])?;
        let mut is_there = false;
        while let Some(row) = rows.next()? {
            is_there = true;
            if row.get::<_, Option<i64>>(1)?.is_none() || take(text(row)?)?.is_break() {
                break;
            }
        }
        Ok(is_there)
    })
}

/// An item as JSON.
fn text(row: &Row<'_>) -> rusqlite::Result<String> {
    match row.get_ref(0)? {
        ValueRef::Null => Ok("null".to_owned()),
        _ => any_text(row, 0),
    }
}
