//! Functions of our own in SQL, so that a page with versions is one statement.

use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

use super::versions::{Generation, Versions};

/// Gives a connection `storefs_known(store_id, key, generation)`, the version that is remembered of a record, or NULL, and
/// `storefs_version(value)`. Both as the bits of a signed number.
///
/// # Errors
/// SQLite's.
pub(super) fn register(connection: &Connection, versions: &Arc<Versions>) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    let known = Arc::clone(versions);
    connection.create_scalar_function("storefs_known", 3, flags, move |context| {
        let (ValueRef::Text(store_id), ValueRef::Text(key), ValueRef::Integer(generation)) =
            (context.get_raw(0), context.get_raw(1), context.get_raw(2))
        else {
            return Ok(None);
        };
        let (Ok(store_id), Ok(key)) = (std::str::from_utf8(store_id), std::str::from_utf8(key))
        else {
            return Ok(None);
        };
        let generation = Some(Generation::from_bits(generation));
        Ok(known.remembered(store_id, key, generation).map(|version| version.0.cast_signed()))
    })?;
    let versions = Arc::clone(versions);
    connection.create_scalar_function("storefs_version", 1, flags, move |context| {
        let value = match context.get_raw(0) {
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes,
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => return Ok(None),
        };
        Ok(Some(versions.of(value).0.cast_signed()))
    })
}
