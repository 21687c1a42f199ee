//! Functions of our own in SQL, so that a page with versions is one statement; and texts where a column may hold anything.

use std::sync::{Arc, Once};

use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::versions::{Generation, Versions};

/// Gives a connection `storefs_known(store_id, key, generation)`, the version that is remembered of a record, or NULL, and
/// `storefs_version(value)`, both as the bits of a signed number; and `storefs_is_name(value)`, whether it is a text, as
/// what names something has to be: a row that nothing can be asked of by its name is left out, and hides no other.
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
    })?;
    connection.create_scalar_function("storefs_is_name", 1, flags, |context| {
        let is_name =
            matches!(context.get_raw(0), ValueRef::Text(text) if std::str::from_utf8(text).is_ok());
        if !is_name {
            tell_once();
        }
        Ok(is_name)
    })
}

fn tell_once() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        log::warn!(
            "what has a name or key in the database that is no text is not shown, and left as it is"
        );
    });
}

/// A text of a column in which SQLite takes anything.
///
/// # Errors
/// SQLite's, if there is no such column.
pub(super) fn any_text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
    })
}
