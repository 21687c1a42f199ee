//! Rows of the server as what a storage asks for.

use std::time::SystemTime;

use tokio_postgres::Row;
use tokio_postgres::types::FromSqlOwned;

use super::failure::Failure;
use crate::backend::sql::database::{RecordRow, StoreRow, Version};
use crate::model::{BackendErrorKind, Error, Timestamp};

/// The column at `at`.
pub(super) fn column<T: FromSqlOwned>(row: &Row, at: usize) -> Result<T, Failure> {
    Ok(row.try_get(at)?)
}

/// A row of the statements on stores.
pub(super) fn store(row: &Row) -> Result<StoreRow, Failure> {
    Ok(StoreRow {
        id: column(row, 0)?,
        internal_name: column(row, 1)?,
        name: column(row, 2)?,
        created_at: from_server(column(row, 3)?),
        accessed_at: from_server(column(row, 4)?),
        modified_at: from_server(column(row, 5)?),
    })
}

/// The record in the first five columns; `None` for a store without.
pub(super) fn record(row: &Row) -> Result<Option<RecordRow>, Failure> {
    let Some(key) = column::<Option<String>>(row, 0)? else { return Ok(None) };
    Ok(Some(RecordRow {
        key,
        size: size(column(row, 1)?)?,
        content_type: column(row, 2)?,
        version: Some(version(column(row, 3)?)?),
        committed_at: column::<Option<SystemTime>>(row, 4)?.map(from_server),
    }))
}

pub(super) fn version(number: i64) -> Result<Version, Failure> {
    u64::try_from(number).map(Version).map_err(|_| damaged("a version is negative"))
}

pub(super) fn size(number: i64) -> Result<u64, Failure> {
    u64::try_from(number).map_err(|_| damaged("a length is negative"))
}

/// How the server is told a version.
pub(super) fn number_of(version: Version) -> Result<i64, Failure> {
    i64::try_from(version.0).map_err(|_| damaged("a version is out of range"))
}

/// A time as the server has it. What is out of range, such as its `infinity`, is as near as can be.
pub(super) fn from_server(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(if time < SystemTime::UNIX_EPOCH {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// A time as the server takes it.
pub(super) fn to_server(time: Timestamp) -> SystemTime {
    // Linux keeps any time that there is.
    SystemTime::try_from(time).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The failure of an answer that cannot be.
pub(super) fn damaged(reason: &'static str) -> Failure {
    Failure::Own(Error::backend(
        BackendErrorKind::Damaged,
        "understand the answer of PostgreSQL",
        reason,
    ))
}
