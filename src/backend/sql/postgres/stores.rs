//! Stores: looked up, made, renamed, dropped and purged.

use std::pin::pin;

use futures_util::TryStreamExt;
use futures_util::future::{try_join, try_join3, try_join4};
use tokio_postgres::error::SqlState;

use super::PostgresDatabase;
use super::calls::{Attempt, Needs, Repeat};
use super::failure::Failure;
use super::rows::{self, column, to_server};
use crate::backend::sql::database::{Changed, Outcome, PurgedRows, StoreRow, Touched};
use crate::model::{Result, Timestamp};

impl PostgresDatabase {
    pub(super) fn all_stores(&self) -> Result<Vec<StoreRow>> {
        let action = || "list the stores".to_owned();
        self.calls.call(Needs::ToLook, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            let client = attempt.client()?;
            let statement = client.prepare_cached(&self.texts.stores).await?;
            client.query(&statement, &[]).await?.iter().map(rows::store).collect()
        })
    }

    pub(super) fn one_store(&self, internal_name: &str) -> Result<Option<StoreRow>> {
        let action = || format!("look up store '{internal_name}'");
        self.calls.call(Needs::ToLook, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            self.find_store(attempt, internal_name).await
        })
    }

    async fn find_store(
        &self,
        attempt: &Attempt<'_>,
        internal_name: &str,
    ) -> Result<Option<StoreRow>, Failure> {
        let client = attempt.client()?;
        let statement = client.prepare_cached(&self.texts.store).await?;
        client.query_opt(&statement, &[&internal_name]).await?.as_ref().map(rows::store).transpose()
    }

    pub(super) fn store_changed(
        &self,
        internal_name: &str,
        known: Option<&Changed>,
    ) -> Result<Option<Changed>> {
        let action = || format!("look up store '{internal_name}'");
        self.calls.call(Needs::ToLook, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            self.find_changed(attempt, internal_name, known).await
        })
    }

    /// No number of a buffered row is used again. One that was taken earlier and committed later tells of a change at a
    /// time that is known already, as far as times go.
    pub(super) async fn find_changed(
        &self,
        attempt: &Attempt<'_>,
        internal_name: &str,
        known: Option<&Changed>,
    ) -> Result<Option<Changed>, Failure> {
        let client = attempt.client()?;
        let statement = client.prepare_cached(&self.texts.changed).await?;
        let (id, last) = known.map_or(("", i64::MIN), |known| (known.id.as_str(), known.last));
        let row = client.query_opt(&statement, &[&internal_name, &id, &last]).await?;
        let Some(row) = row else { return Ok(None) };
        let told = Changed {
            id: column(&row, 0)?,
            last: column::<Option<i64>>(&row, 1)?.unwrap_or(i64::MIN),
            at: rows::from_server(column(&row, 2)?),
        };
        Ok(Some(match known {
            Some(known) if known.id == told.id => {
                Changed { last: told.last.max(known.last), at: told.at.max(known.at), ..told }
            }
            _ => told,
        }))
    }

    pub(super) fn make_store(&self, store: &StoreRow) -> Result<bool> {
        const TEXT: &str = "INSERT INTO key_value_stores (key_value_store_id, internal_name, name, \
             created_at, accessed_at, modified_at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT DO NOTHING";
        let action = || format!("create store '{}'", store.internal_name);
        let times = [store.created_at, store.accessed_at, store.modified_at].map(to_server);
        self.calls.call(Needs::ToChange, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            let client = attempt.client()?;
            let statement = client.prepare_cached(TEXT).await?;
            attempt.sends();
            let made = client
                .execute(
                    &statement,
                    &[
                        &store.id,
                        &store.internal_name,
                        &store.name,
                        &times[0],
                        &times[1],
                        &times[2],
                    ],
                )
                .await?;
            if made == 0 && attempt.is_repeated() {
                // An earlier attempt may have made it: the id is nobody else's.
                let there = self.find_store(attempt, &store.internal_name).await?;
                return Ok(there.is_some_and(|there| there.id == store.id));
            }
            Ok(made > 0)
        })
    }

    pub(super) fn change_store(&self, internal_name: &str, store: &StoreRow) -> Result<Outcome> {
        let action = || format!("replace the metadata of store '{internal_name}'");
        let times = [store.created_at, store.accessed_at, store.modified_at].map(to_server);
        self.calls.call(
            Needs::ToChange,
            action,
            Repeat::IfCertain,
            async |attempt: &Attempt<'_>| {
                let client = attempt.client()?;
                let statement = client.prepare_cached(&self.texts.replace_store).await?;
                attempt.sends();
                let changed = client
                    .query_one(
                        &statement,
                        &[
                            &internal_name,
                            &store.id,
                            &store.internal_name,
                            &store.name,
                            &times[0],
                            &times[1],
                            &times[2],
                        ],
                    )
                    .await;
                match changed {
                    Ok(row) => done_if(column::<i64>(&row, 0)? > 0),
                    Err(error) => taken_or(error),
                }
            },
        )
    }

    pub(super) fn give_name(
        &self,
        internal_name: &str,
        to: &str,
        name: Option<&str>,
    ) -> Result<Outcome> {
        const TEXT: &str =
            "UPDATE key_value_stores SET internal_name = $2, name = $3 WHERE internal_name = $1";
        let action = || format!("rename store '{internal_name}' to '{to}'");
        self.calls.call(
            Needs::ToChange,
            action,
            Repeat::IfCertain,
            async |attempt: &Attempt<'_>| {
                let client = attempt.client()?;
                let statement = client.prepare_cached(TEXT).await?;
                attempt.sends();
                match client.execute(&statement, &[&internal_name, &to, &name]).await {
                    Ok(changed) => done_if(changed > 0),
                    Err(error) => taken_or(error),
                }
            },
        )
    }

    /// Whether the store is empty is looked at by a statement of its own, after the store was locked: it then sees all
    /// records that were put by those who were waited for.
    pub(super) fn remove_store(&self, internal_name: &str, only_empty: bool) -> Result<Outcome> {
        let action = || format!("remove store '{internal_name}'");
        self.calls.call(
            Needs::ToChange,
            action,
            Repeat::IfCertain,
            async |attempt: &Attempt<'_>| {
                let client = attempt.client()?;
                let lock = client.prepare_cached(LOCK).await?;
                let drop = client.prepare_cached(&self.texts.drop_store).await?;
                attempt.begins();
                attempt.sends();
                let (_, locked, dropped, _) = try_join4(
                    client.batch_execute("BEGIN"),
                    client.query_opt(&lock, &[&internal_name]),
                    client.query_one(&drop, &[&internal_name, &only_empty]),
                    client.batch_execute("COMMIT"),
                )
                .await?;
                Ok(match (locked, column::<i64>(&dropped, 0)?) {
                    (None, _) => Outcome::NoStore,
                    (Some(_), 0) => Outcome::NotEmpty,
                    (Some(_), _) => Outcome::Done,
                })
            },
        )
    }

    /// Keys are looked through one by one, and none is kept but those that are spared.
    pub(super) fn purge_store(
        &self,
        internal_name: &str,
        at: Timestamp,
        spares: &dyn Fn(&str) -> bool,
    ) -> Result<Option<PurgedRows>> {
        const KEYS: &str = "SELECT key, octet_length(value)::bigint FROM key_value_store_records \
             WHERE key_value_store_id = $1";
        const REMOVE: &str = "DELETE FROM key_value_store_records \
             WHERE key_value_store_id = $1 AND key <> ALL ($2)";
        let action = || format!("purge store '{internal_name}'");
        let at = to_server(at);
        self.calls.call(
            Needs::ToChange,
            action,
            Repeat::IfCertain,
            async |attempt: &Attempt<'_>| {
                let client = attempt.client()?;
                let lock = client.prepare_cached(LOCK).await?;
                let keys = client.prepare_cached(KEYS).await?;
                let remove = client.prepare_cached(REMOVE).await?;
                let purge = client.prepare_cached(&self.texts.purge_store).await?;
                attempt.begins();
                let (_, locked) = try_join(
                    client.batch_execute("BEGIN"),
                    client.query_opt(&lock, &[&internal_name]),
                )
                .await?;
                let Some(locked) = locked else {
                    client.batch_execute("ROLLBACK").await?;
                    return Ok(None);
                };
                let id: String = column(&locked, 0)?;
                let (mut spared, mut bytes): (Vec<String>, u64) = (Vec::new(), 0);
                let mut found = pin!(client.query_raw(&keys, [&id]).await?);
                while let Some(row) = found.try_next().await? {
                    let key: &str = row.try_get(0)?;
                    if spares(key) {
                        spared.push(key.to_owned());
                    } else {
                        let size: Option<i64> = row.try_get(1)?;
                        bytes += size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
                    }
                }
                attempt.sends();
                let (removed, _, _) = try_join3(
                    client.execute(&remove, &[&id, &spared]),
                    client.query_one(&purge, &[&id, &at]),
                    client.batch_execute("COMMIT"),
                )
                .await?;
                Ok(Some(PurgedRows { spared, removed, bytes }))
            },
        )
    }

    pub(super) fn note_use(&self, internal_name: &str, touched: Touched) -> Result<Outcome> {
        let action = || format!("note that store '{internal_name}' was used");
        let accessed_at = to_server(touched.accessed_at);
        let modified_at = touched.modified_at.map(to_server);
        self.calls.call(Needs::ToChange, action, Repeat::Always, async |attempt: &Attempt<'_>| {
            let client = attempt.client()?;
            let statement = client.prepare_cached(&self.texts.touch).await?;
            attempt.sends();
            let row =
                client.query_one(&statement, &[&internal_name, &accessed_at, &modified_at]).await?;
            done_if(column::<i64>(&row, 0)? > 0)
        })
    }
}

/// Holds a store as it is: nobody puts a record into it, and nobody drops it.
const LOCK: &str =
    "SELECT key_value_store_id FROM key_value_stores WHERE internal_name = $1 FOR UPDATE";

fn done_if(is_done: bool) -> Result<Outcome, Failure> {
    Ok(if is_done { Outcome::Done } else { Outcome::NoStore })
}

fn taken_or(error: tokio_postgres::Error) -> Result<Outcome, Failure> {
    if error.code() == Some(&SqlState::UNIQUE_VIOLATION) {
        return Ok(Outcome::Taken);
    }
    Err(error.into())
}
