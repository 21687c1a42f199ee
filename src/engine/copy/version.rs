//! One version of a record, and its bytes.

use std::sync::Arc;

use super::super::Store;
use crate::backend::Value;
use crate::failpoint;
use crate::model::{Attributes, Key, RecordType, Result};

/// Bytes that are compared at a time.
const CHUNK: usize = 256 * 1024;

/// One version of a record, open.
pub(super) struct Version {
    pub(super) value: Arc<dyn Value>,
    pub(super) attributes: Attributes,
    pub(super) record_type: RecordType,
}

/// Opens a record's current version, with the type that is kept, or that a bare file shows.
///
/// # Errors
/// As [`Store::open_value`].
pub(super) fn open(store: &Store, key: &Key) -> Result<Version> {
    let value = store.backend().open_value(&store.name, key)?;
    let attributes = value.attributes()?;
    failpoint::pass("copy: value opened");
    let kept = match value.record_type() {
        None => store.backend().kept_type(&store.name, key)?,
        came => came,
    };
    let record_type = match kept {
        Some(kept) => kept,
        None => store.guess(key, &value)?,
    };
    Ok(Version { value, attributes, record_type })
}

/// Whether two values of this length have the same bytes.
///
/// # Errors
/// Of either side.
pub(super) fn have_same_bytes(one: &dyn Value, other: &dyn Value, size: u64) -> Result<bool> {
    let mut buffers = [vec![0; chunk_of(size)], vec![0; chunk_of(size)]];
    let mut at = 0;
    while at < size {
        let most = chunk_of(size - at);
        let [left, right] = &mut buffers;
        let (left, right) =
            (left.get_mut(..most).unwrap_or_default(), right.get_mut(..most).unwrap_or_default());
        let count = one.read_at(left, at)?;
        if count == 0 || other.read_at(right, at)? != count {
            return Ok(false);
        }
        if left.get(..count) != right.get(..count) {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}

/// How many of so many bytes are held at once.
fn chunk_of(size: u64) -> usize {
    usize::try_from(size).unwrap_or(CHUNK).min(CHUNK)
}
