//! Values in memory: published versions, and those in the making, which are files in memory.

use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{MemfdFlags, Mode};
use rustix::io::Errno;

use super::{Bytes, Facts, MAX_VALUE, RECORD_MODE, Record, Shared, find_mut};
use crate::backend::{Partial, Publish, PublishError, Staged, Value};
use crate::model::{Attributes, Error, Result};

/// A version as it was when it was opened.
#[derive(Debug)]
pub(super) struct MemoryValue {
    pub(super) bytes: Arc<Bytes>,
    pub(super) attributes: Attributes,
}

impl Value for MemoryValue {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        Ok(self.bytes.read_at(buffer, offset))
    }

    fn attributes(&self) -> Result<Attributes> {
        Ok(self.attributes)
    }
}

/// An empty version in the making.
pub(super) fn stage() -> Result<Staged> {
    let failed = |error: Errno| Error::io("make a staging file", error);
    let file = rustix::fs::memfd_create("storefs-staged", MemfdFlags::CLOEXEC).map_err(failed)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(RECORD_MODE)).map_err(failed)?;
    Ok(Staged::new(file, Some(MAX_VALUE as u64), Box::new(Partial)))
}

/// Makes staged bytes the record.
pub(super) fn publish(
    shared: &Shared,
    staged: Staged,
    publish: &Publish<'_>,
) -> Result<Arc<dyn Value>, PublishError> {
    match place(shared, &staged, publish) {
        Ok(value) => Ok(value),
        Err(error) => Err((error, staged)),
    }
}

fn place(shared: &Shared, staged: &Staged, publish: &Publish<'_>) -> Result<Arc<dyn Value>> {
    let Publish { store, key, content_type, over, durable: _ } = *publish;
    let record_type = content_type.of(staged, || shared.replaced(store, key))?;
    let attributes = staged.attributes()?;
    let mut bytes = Bytes(Vec::new());
    bytes.resize(attributes.size)?;
    let count = staged.read_at(&mut bytes.0, 0)?;
    bytes.0.truncate(count);
    let made = shared.new_facts(attributes.mode);
    let (uid, gid, accessed) = (attributes.uid, attributes.gid, attributes.accessed);
    let mut stores = shared.stores.write();
    key.require_unicode()?;
    let found = find_mut(&mut stores, store)?;
    over.admit(store, key, found.stamp_of(key))?;
    let now = SystemTime::now();
    let modified = if staged.is_dated() { attributes.modified } else { now };
    let facts = Facts { uid, gid, accessed, modified, changed: now, ..made };
    let record_type = Some(record_type);
    let record = Record { bytes: Arc::new(bytes), record_type: record_type.clone(), facts };
    let value = record.open();
    found.records_mut().insert(key.clone(), record);
    drop(stores);
    Ok(shared.shown(value, record_type))
}
