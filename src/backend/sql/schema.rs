//! Which tables and columns a database of Crawlee's SQL client has.
//!
//! Crawlee never migrates a database: it makes the tables that are missing, and leaves the columns of those that are
//! there. So a database is taken as its columns say, and the version that it was made by is not asked. Columns and tables
//! that are unknown here do not matter.

use std::collections::{BTreeMap, BTreeSet};

/// The columns of each table, by name.
pub(super) type Columns = BTreeMap<String, BTreeSet<String>>;

/// The tables that [`detect`] looks at; a database has to tell the columns of no others.
pub(super) const TABLES: [&str; 5] = [STORES, RECORDS, BUFFER, DATASETS, ITEMS];

const STORES: &str = "key_value_stores";
const RECORDS: &str = "key_value_store_records";
const BUFFER: &str = "key_value_store_metadata_buffer";
const DATASETS: &str = "datasets";
const ITEMS: &str = "dataset_records";

/// What a database has beyond what each of Crawlee's has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schema {
    /// The buffer of a store's times (Crawlee 1.4); without it, the times are the store's own.
    pub(super) has_buffer: bool,
    /// The column `buffer_locked_until`, by which clients agree who folds a buffer (Crawlee 1.4, if the database was made
    /// by it).
    pub(super) has_lock: bool,
    /// The tables of datasets.
    pub(super) has_datasets: bool,
}

/// Finds which of Crawlee's tables and columns there are.
///
/// # Errors
/// What is missing, if the database is no Crawlee's: a part of a sentence for people.
pub(super) fn detect(columns: &Columns) -> Result<Schema, String> {
    let stores = ["key_value_store_id", "internal_name", "name"];
    let times = ["accessed_at", "created_at", "modified_at"];
    require(columns, STORES, &[&stores[..], &times[..]].concat())?;
    require(columns, RECORDS, &["key_value_store_id", "key", "value", "content_type", "size"])?;
    let has = |table, wanted: &[&str]| require(columns, table, wanted).is_ok();
    Ok(Schema {
        has_buffer: has(BUFFER, &["key_value_store_id", "id", "accessed_at", "modified_at"]),
        has_lock: has(STORES, &["buffer_locked_until"]),
        has_datasets: has(DATASETS, &["dataset_id", "internal_name"])
            && has(ITEMS, &["item_id", "dataset_id", "data"]),
    })
}

/// Looks whether a table and its columns are there.
fn require(columns: &Columns, table: &str, wanted: &[&str]) -> Result<(), String> {
    let Some(there) = columns.get(table) else {
        return Err(format!("it is no database of Crawlee's, which has a table '{table}'"));
    };
    match wanted.iter().find(|column| !there.contains(**column)) {
        None => Ok(()),
        Some(column) => Err(format!(
            "it is no database of Crawlee's, whose table '{table}' has a column '{column}'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables with their columns, as `table: column column`.
    fn columns(tables: &[&str]) -> Columns {
        let split = |text: &&str| {
            let (table, columns) = text.split_once(": ").unwrap();
            (table.to_owned(), columns.split(' ').map(str::to_owned).collect())
        };
        tables.iter().map(split).collect()
    }

    const OLD: [&str; 2] = [
        "key_value_stores: key_value_store_id internal_name name accessed_at created_at modified_at",
        "key_value_store_records: key_value_store_id key value content_type size",
    ];

    #[test]
    fn a_database_is_what_its_columns_say() {
        let old = Schema { has_buffer: false, has_lock: false, has_datasets: false };
        assert_eq!(detect(&columns(&OLD)), Ok(old));

        let buffer =
            "key_value_store_metadata_buffer: id key_value_store_id accessed_at modified_at";
        let items = "dataset_records: item_id dataset_id data";
        let datasets = "datasets: dataset_id internal_name item_count";
        let grown = columns(&[OLD[0], OLD[1], buffer, items, "version: version"]);
        assert_eq!(detect(&grown), Ok(Schema { has_buffer: true, ..old }));

        let locked = format!("{} buffer_locked_until owner", OLD[0]);
        let new = columns(&[&locked, OLD[1], buffer, items, datasets]);
        assert_eq!(
            detect(&new),
            Ok(Schema { has_buffer: true, has_lock: true, has_datasets: true })
        );
    }

    #[test]
    fn what_is_no_crawlees_is_told_by_what_it_lacks() {
        let other = columns(&["key_value_stores: id name", "users: id"]);
        assert_eq!(
            detect(&other).unwrap_err(),
            "it is no database of Crawlee's, whose table 'key_value_stores' has a column 'key_value_store_id'"
        );
        assert_eq!(
            detect(&columns(&OLD[..1])).unwrap_err(),
            "it is no database of Crawlee's, which has a table 'key_value_store_records'"
        );
        assert!(detect(&Columns::new()).is_err());
    }
}
