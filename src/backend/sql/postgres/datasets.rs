//! Datasets, which are only read.

use std::cell::RefCell;
use std::pin::pin;

use futures_util::TryStreamExt;

use super::PostgresDatabase;
use super::calls::{Attempt, Needs, Repeat};
use super::failure::Failure;
use super::rows::{column, size};
use crate::backend::sql::database::TakeText;
use crate::model::Result;

impl PostgresDatabase {
    /// Items are counted: the column `item_count` lags behind, as a store's times do.
    pub(super) fn all_datasets(&self) -> Result<Vec<(String, u64)>> {
        const TEXT: &str = "SELECT d.internal_name, count(r.item_id) FROM datasets d \
             LEFT JOIN dataset_records r USING (dataset_id) GROUP BY d.internal_name";
        if !self.schema.has_datasets {
            return Ok(Vec::new());
        }
        let action = || "list the datasets".to_owned();
        self.calls.call(Needs::ToLook, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            let client = attempt.client()?;
            let statement = client.prepare_cached(TEXT).await?;
            let rows = client.query(&statement, &[]).await?;
            rows.iter().map(|row| Ok((column(row, 0)?, size(column(row, 1)?)?))).collect()
        })
    }

    pub(super) fn items_of(
        &self,
        name: &str,
        from: u64,
        limit: usize,
    ) -> Result<Option<Vec<String>>> {
        const TEXT: &str = "SELECT i.data FROM datasets d LEFT JOIN LATERAL \
             (SELECT r.data::text AS data, r.item_id FROM dataset_records r \
             WHERE r.dataset_id = d.dataset_id ORDER BY r.item_id OFFSET $2 LIMIT $3) i ON true \
             WHERE d.internal_name = $1 ORDER BY i.item_id";
        if !self.schema.has_datasets {
            return Ok(None);
        }
        let action = || format!("read dataset '{name}'");
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.calls.call(Needs::ToLook, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            let client = attempt.client()?;
            let statement = client.prepare_cached(TEXT).await?;
            let rows = client.query(&statement, &[&name, &from, &limit]).await?;
            if rows.is_empty() {
                return Ok(None);
            }
            let items: Result<Vec<_>, _> =
                rows.iter().filter_map(|row| column(row, 0).transpose()).collect();
            items.map(Some)
        })
    }

    /// Gives all items of a dataset to `take`. Gives back whether there is such a dataset. What was taken is not taken
    /// again: a connection that is lost in between ends it.
    pub(super) fn each_item_of(&self, name: &str, take: &mut TakeText<'_>) -> Result<bool> {
        const TEXT: &str = "SELECT r.data::text, r.item_id IS NOT NULL FROM datasets d \
             LEFT JOIN dataset_records r USING (dataset_id) \
             WHERE d.internal_name = $1 ORDER BY r.item_id";
        if !self.schema.has_datasets {
            return Ok(false);
        }
        let action = || format!("read dataset '{name}'");
        let take = RefCell::new(take);
        self.calls.stream(Needs::ToLook, action, Repeat::Never, async |attempt: &Attempt<'_>| {
            let client = attempt.client()?;
            // The server sends as fast as the items are taken.
            attempt.begins();
            let begin = "BEGIN READ ONLY; SET LOCAL statement_timeout = 0";
            attempt.part(client.batch_execute(begin)).await?;
            let statement = attempt.part(client.prepare_cached(TEXT)).await?;
            let mut is_there = false;
            {
                let mut rows = pin!(attempt.part(client.query_raw(&statement, [&name])).await?);
                while let Some(row) = attempt.part(rows.try_next()).await? {
                    is_there = true;
                    if !column::<bool>(&row, 1)? {
                        break;
                    }
                    let text: Option<String> = column(&row, 0)?;
                    let text = text.unwrap_or_else(|| "null".to_owned());
                    let mut take = take.borrow_mut();
                    if take(text).map_err(Failure::Own)?.is_break() {
                        break;
                    }
                    attempt.extend();
                }
            }
            attempt.part(client.batch_execute("COMMIT")).await?;
            attempt.ends();
            Ok(is_there)
        })
    }

    /// The server does not tell what its medium has free.
    pub(super) fn space_taken(&self) -> Result<(u64, Option<u64>)> {
        const TEXT: &str = "SELECT pg_database_size(current_database())";
        let action = || "ask for the size of the database".to_owned();
        self.calls.call(Needs::ToLook, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            let client = attempt.client()?;
            let statement = client.prepare_cached(TEXT).await?;
            let row = client.query_one(&statement, &[]).await?;
            Ok((size(column(&row, 0)?)?, None))
        })
    }
}
