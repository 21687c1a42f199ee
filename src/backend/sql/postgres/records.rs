//! Records: looked up, listed, put, moved and removed.

use futures_util::future::{join, try_join, try_join3};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::PostgresDatabase;
use super::calls::{Attempt, Needs, Repeat};
use super::failure::Failure;
use super::rows::{self, column, to_server};
use super::texts::Puts;
use super::values;
use crate::backend::sql::database::{
    Changed, Lookup, Opened, Outcome, Put, PutOver, RecordRow, Rename, Version, Written,
};
use crate::model::{BackendErrorKind, Error, Result, Timestamp};

/// Values of up to this many bytes are sent with their statement; larger ones are staged in parts before.
const MOST_SENT_BYTES: u64 = 1 << 20;

/// Has the server read a page in the order of the primary key. Where it has no statistics yet, as after a store was
/// filled, it takes all stores for small, and would sort the whole store for each page.
const IN_KEY_ORDER: &str = "BEGIN READ ONLY; SET LOCAL enable_sort = off; \
     SET LOCAL enable_bitmapscan = off";

impl PostgresDatabase {
    pub(super) fn page_of(
        &self,
        internal_name: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<RecordRow>>> {
        let action = || format!("list store '{internal_name}'");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.calls.call(Needs::ToLook, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            let client = attempt.client()?;
            let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&internal_name, &limit];
            let text = match &after {
                None => &self.texts.first_page,
                Some(after) => {
                    parameters.push(after);
                    &self.texts.page
                }
            };
            let statement = client.prepare_cached(text).await?;
            attempt.begins();
            let (_, rows, _) = try_join3(
                client.batch_execute(IN_KEY_ORDER),
                client.query(&statement, &parameters),
                client.batch_execute("COMMIT"),
            )
            .await?;
            attempt.ends();
            if rows.is_empty() {
                return Ok(None);
            }
            let records: Result<Vec<_>, _> =
                rows.iter().filter_map(|row| rows::record(row).transpose()).collect();
            records.map(Some)
        })
    }

    pub(super) fn head_of(&self, internal_name: &str, key: &str) -> Result<Lookup<RecordRow>> {
        let action = || format!("look up record '{key}' of store '{internal_name}'");
        self.calls.call(Needs::ToLook, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            self.find(attempt, internal_name, key).await
        })
    }

    /// The two are sent together.
    pub(super) fn head_and_changed_of(
        &self,
        internal_name: &str,
        key: &str,
        known: Option<&Changed>,
    ) -> Result<(Lookup<RecordRow>, Option<Changed>)> {
        let action = || format!("look up record '{key}' of store '{internal_name}'");
        self.calls.call(Needs::ToLook, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            try_join(
                self.find(attempt, internal_name, key),
                self.find_changed(attempt, internal_name, known),
            )
            .await
        })
    }

    async fn find(
        &self,
        attempt: &Attempt<'_>,
        internal_name: &str,
        key: &str,
    ) -> Result<Lookup<RecordRow>, Failure> {
        let client = attempt.client()?;
        let statement = client.prepare_cached(&self.texts.head).await?;
        let row = client.query_opt(&statement, &[&internal_name, &key]).await?;
        Ok(match row {
            None => Lookup::NoStore,
            Some(row) => rows::record(&row)?.map_or(Lookup::NoRecord, Lookup::Found),
        })
    }

    pub(super) fn open_record(
        &self,
        internal_name: &str,
        key: &str,
        inline: u64,
        known: Option<Version>,
    ) -> Result<Lookup<Opened>> {
        let action = || format!("open record '{key}' of store '{internal_name}'");
        self.calls.call(Needs::ToLook, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            self.find_with_value(attempt, internal_name, key, inline, known).await
        })
    }

    /// The two are sent together.
    pub(super) fn open_record_and_changed(
        &self,
        internal_name: &str,
        key: &str,
        inline: u64,
        known: Option<&Changed>,
    ) -> Result<(Lookup<Opened>, Option<Changed>)> {
        let action = || format!("open record '{key}' of store '{internal_name}'");
        self.calls.call(Needs::ToLook, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            try_join(
                self.find_with_value(attempt, internal_name, key, inline, None),
                self.find_changed(attempt, internal_name, known),
            )
            .await
        })
    }

    async fn find_with_value(
        &self,
        attempt: &Attempt<'_>,
        internal_name: &str,
        key: &str,
        inline: u64,
        known: Option<Version>,
    ) -> Result<Lookup<Opened>, Failure> {
        let inline = i32::try_from(inline).unwrap_or(i32::MAX);
        let known = known.map(rows::number_of).transpose()?;
        let client = attempt.client()?;
        let statement = client.prepare_cached(&self.texts.open).await?;
        let row = client.query_opt(&statement, &[&internal_name, &key, &inline, &known]).await?;
        let Some(found) = row else { return Ok(Lookup::NoStore) };
        let Some(row) = rows::record(&found)? else { return Ok(Lookup::NoRecord) };
        Ok(Lookup::Found(Opened { row, bytes: column(&found, 5)? }))
    }

    pub(super) fn put_record(&self, put: &Put<'_>) -> Result<Written> {
        let action = || format!("put record '{}' of store '{}'", put.key, put.internal_name);
        if put.size > self.facts.most_value_bytes {
            let limit = self.facts.most_value_bytes;
            let said = format!("it has {} bytes, and PostgreSQL keeps at most {limit}", put.size);
            return Err(Error::backend(BackendErrorKind::TooLarge, action(), said));
        }
        let repeat = match put.over {
            PutOver::Anything | PutOver::Hoped => Repeat::Always,
            PutOver::Nothing | PutOver::Version(_) => Repeat::IfCertain,
        };
        if put.size <= MOST_SENT_BYTES {
            let value = values::read(put)?;
            self.calls.call(Needs::ToChange, action, repeat, async |attempt: &Attempt<'_>| {
                self.put_small(attempt, put, &value).await
            })
        } else {
            self.calls.stream(Needs::ToChange, action, repeat, async |attempt: &Attempt<'_>| {
                self.put_large(attempt, put).await
            })
        }
    }

    async fn put_small(
        &self,
        attempt: &Attempt<'_>,
        put: &Put<'_>,
        value: &[u8],
    ) -> Result<Written, Failure> {
        let at = to_server(put.at);
        let size = length_of(put)?;
        let text = text_of(&self.texts.put, put.over);
        let client = attempt.client()?;
        let statement = client.prepare_cached(text).await?;
        let head = client.prepare_cached(&self.texts.head).await?;
        let version = replaced(put.over)?;
        let mut parameters: Vec<&(dyn ToSql + Sync)> =
            vec![&put.internal_name, &put.key, &put.content_type, &size, &at, &put.durable, &value];
        parameters.extend(version.as_ref().map(|version| version as &(dyn ToSql + Sync)));
        attempt.sends();
        let row = if self.tells.commits {
            // Sent along behind it, so that the time of the commit takes no round trip of its own.
            let (put_row, head_row) = join(
                client.query_one(&statement, &parameters),
                client.query_opt(&head, &[&put.internal_name, &put.key]),
            )
            .await;
            let found = head_row.ok().flatten().and_then(|row| rows::record(&row).ok().flatten());
            return self.written(attempt, put, &put_row?, found).await;
        } else {
            client.query_one(&statement, &parameters).await?
        };
        self.written(attempt, put, &row, None).await
    }

    /// Sends the value in parts, and puts it from where it was staged, in one transaction.
    async fn put_large(&self, attempt: &Attempt<'_>, put: &Put<'_>) -> Result<Written, Failure> {
        let at = to_server(put.at);
        let size = length_of(put)?;
        let text = text_of(&self.texts.put_staged, put.over);
        let client = attempt.client()?;
        // What is refused already is so before a long value is sent.
        let found = attempt.part(self.find(attempt, put.internal_name, put.key)).await?;
        match (found, put.over) {
            (Lookup::NoStore, _) => return Ok(Written::NoStore),
            (Lookup::NoRecord, PutOver::Version(_)) => return Ok(Written::NoRecord),
            (Lookup::Found(_), PutOver::Nothing | PutOver::Hoped) => return Ok(Written::Refused),
            (Lookup::Found(row), PutOver::Version(version)) if row.version != Some(version) => {
                return Ok(Written::Refused);
            }
            _ => {}
        }
        attempt.begins();
        values::stage(attempt, client, put).await?;
        let statement = attempt.part(client.prepare(text)).await?;
        let version = replaced(put.over)?;
        let mut parameters: Vec<&(dyn ToSql + Sync)> =
            vec![&put.internal_name, &put.key, &put.content_type, &size, &at, &put.durable];
        parameters.extend(version.as_ref().map(|version| version as &(dyn ToSql + Sync)));
        let row = attempt.part(client.query_one(&statement, &parameters)).await?;
        attempt.sends();
        attempt.part(client.batch_execute("COMMIT")).await?;
        attempt.ends();
        let found = if self.tells.commits {
            match attempt.part(self.find(attempt, put.internal_name, put.key)).await {
                Ok(Lookup::Found(row)) => Some(row),
                _ => None,
            }
        } else {
            None
        };
        attempt.part(self.written(attempt, put, &row, found)).await
    }

    /// What became of a version, by what its statement and a look behind it have told.
    async fn written(
        &self,
        attempt: &Attempt<'_>,
        put: &Put<'_>,
        row: &Row,
        found: Option<RecordRow>,
    ) -> Result<Written, Failure> {
        if column::<i64>(row, 0)? == 0 {
            return Ok(Written::NoStore);
        }
        let Some(version) = column::<Option<i64>>(row, 1)? else {
            if matches!(put.over, PutOver::Version(_))
                && matches!(
                    self.find(attempt, put.internal_name, put.key).await?,
                    Lookup::NoRecord | Lookup::NoStore
                )
            {
                return Ok(Written::NoRecord);
            }
            return Ok(Written::Refused);
        };
        let version = Some(rows::version(version)?);
        Ok(Written::Done(RecordRow {
            key: put.key.to_owned(),
            size: put.size,
            content_type: put.content_type.to_owned(),
            version,
            committed_at: found
                .filter(|found| found.version == version)
                .and_then(|found| found.committed_at),
        }))
    }

    pub(super) fn change_type(
        &self,
        internal_name: &str,
        key: &str,
        content_type: &str,
    ) -> Result<Written> {
        let action =
            || format!("set the content type of record '{key}' of store '{internal_name}'");
        let at = to_server(Timestamp::now());
        self.calls.call(Needs::ToChange, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            let client = attempt.client()?;
            let statement = client.prepare_cached(&self.texts.set_type).await?;
            attempt.sends();
            let row =
                client.query_one(&statement, &[&internal_name, &key, &content_type, &at]).await?;
            if column::<i64>(&row, 0)? == 0 {
                return Ok(Written::NoStore);
            }
            self.moved(attempt, &row, 1, (internal_name, key), content_type).await
        })
    }

    pub(super) fn remove_record(&self, internal_name: &str, key: &str) -> Result<Outcome> {
        let action = || format!("remove record '{key}' of store '{internal_name}'");
        let at = to_server(Timestamp::now());
        self.calls.call(Needs::ToChange, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            let client = attempt.client()?;
            let statement = client.prepare_cached(&self.texts.delete).await?;
            attempt.sends();
            let row = client.query_one(&statement, &[&internal_name, &key, &at]).await?;
            Ok(if column::<i64>(&row, 0)? == 0 {
                Outcome::NoStore
            } else if column::<i64>(&row, 1)? == 0 && !attempt.is_repeated() {
                Outcome::NoRecord
            } else {
                Outcome::Done
            })
        })
    }

    pub(super) fn move_record(&self, rename: &Rename<'_>) -> Result<Written> {
        if (rename.from_store, rename.from_key) == (rename.to_store, rename.to_key) {
            return self.change_type(rename.to_store, rename.to_key, rename.content_type);
        }
        let action = || {
            let Rename { from_store, from_key, to_store, to_key, .. } = rename;
            format!(
                "rename record '{from_key}' of store '{from_store}' to '{to_key}' of store '{to_store}'"
            )
        };
        let text = if rename.replace { &self.texts.rename } else { &self.texts.rename_to_nothing };
        let at = to_server(rename.at);
        self.calls.call(
            Needs::ToChange,
            action,
            Repeat::IfCertain,
            async |attempt: &Attempt<'_>| {
                let client = attempt.client()?;
                let statement = client.prepare_cached(text).await?;
                attempt.sends();
                let renamed = client
                    .query_one(
                        &statement,
                        &[
                            &rename.from_store,
                            &rename.from_key,
                            &rename.to_store,
                            &rename.to_key,
                            &rename.content_type,
                            &at,
                        ],
                    )
                    .await;
                let row = match renamed {
                    Ok(row) => row,
                    Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                        // Made by others since the statement began.
                        return if rename.replace {
                            Err(Failure::Outrun)
                        } else {
                            Ok(Written::Refused)
                        };
                    }
                    Err(error) => return Err(error.into()),
                };
                if column::<i64>(&row, 0)? == 0 || column::<i64>(&row, 1)? == 0 {
                    return Ok(Written::NoStore);
                }
                let to = (rename.to_store, rename.to_key);
                self.moved(attempt, &row, 2, to, rename.content_type).await
            },
        )
    }

    /// The record that a statement has changed: its size and its version are the columns from `at` on.
    async fn moved(
        &self,
        attempt: &Attempt<'_>,
        row: &Row,
        at: usize,
        (internal_name, key): (&str, &str),
        content_type: &str,
    ) -> Result<Written, Failure> {
        let (Some(size), Some(version)) =
            (column::<Option<i64>>(row, at)?, column::<Option<i64>>(row, at + 1)?)
        else {
            return Ok(Written::NoRecord);
        };
        let version = rows::version(version)?;
        let committed_at = if self.tells.commits {
            match self.find(attempt, internal_name, key).await {
                Ok(Lookup::Found(found)) if found.version == Some(version) => found.committed_at,
                _ => None,
            }
        } else {
            None
        };
        Ok(Written::Done(RecordRow {
            key: key.to_owned(),
            size: rows::size(size)?,
            content_type: content_type.to_owned(),
            version: Some(version),
            committed_at,
        }))
    }
}

fn text_of(puts: &Puts, over: PutOver) -> &str {
    match over {
        PutOver::Anything => &puts.anything,
        PutOver::Nothing | PutOver::Hoped => &puts.nothing,
        PutOver::Version(_) => &puts.version,
    }
}

fn replaced(over: PutOver) -> Result<Option<i64>, Failure> {
    match over {
        PutOver::Version(version) => rows::number_of(version).map(Some),
        PutOver::Anything | PutOver::Nothing | PutOver::Hoped => Ok(None),
    }
}

fn length_of(put: &Put<'_>) -> Result<i32, Failure> {
    i32::try_from(put.size).map_err(|_| rows::damaged("a length is out of range"))
}
