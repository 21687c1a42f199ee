//! Values in memory: published versions, and those in the making.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Bytes, Facts, Record, Shared, find_mut};
use crate::backend::{Publish, PublishError, Staging, Value};
use crate::model::{AttributeChange, Attributes, Result};
use crate::ranks::{Mutex, Table};

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

/// A version in the making. Nobody but its owner has a way to it.
#[derive(Debug)]
pub(super) struct MemoryStaging {
    pub(super) shared: Arc<Shared>,
    /// All that is staged. Never held together with [`Shared::stores`].
    pub(super) staged: Mutex<Table, Staged>,
}

#[derive(Debug)]
pub(super) struct Staged {
    pub(super) bytes: Bytes,
    pub(super) facts: Facts,
    /// Whether the modification time was set by hand after the last write, and so outlives publication.
    pub(super) modified_given: bool,
}

impl Staged {
    /// Notes that the bytes have changed.
    fn written(&mut self) {
        self.facts.touch();
        self.modified_given = false;
    }
}

impl Staging for MemoryStaging {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        Ok(self.staged.lock().bytes.read_at(buffer, offset))
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let mut staged = self.staged.lock();
        staged.bytes.range_mut(offset, data.len() as u64)?.copy_from_slice(data);
        staged.written();
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut staged = self.staged.lock();
        staged.bytes.resize(len)?;
        staged.written();
        Ok(())
    }

    fn reserve(&self, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        if !keep_size {
            let mut staged = self.staged.lock();
            staged.bytes.range_mut(offset, len)?;
            staged.written();
        }
        Ok(())
    }

    fn begin_with(&self, value: &dyn Value, len: u64) -> Result<()> {
        let attributes = value.attributes()?;
        let mut bytes = Bytes(Vec::new());
        bytes.resize(len.min(attributes.size))?;
        let count = value.read_at(&mut bytes.0, 0)?;
        bytes.0.truncate(count);
        let mut staged = self.staged.lock();
        staged.bytes = bytes;
        staged.facts.mode = attributes.mode;
        staged.facts.uid = attributes.uid;
        staged.facts.gid = attributes.gid;
        staged.written();
        Ok(())
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<()> {
        let mut staged = self.staged.lock();
        staged.facts.apply(change);
        staged.modified_given |= change.modified.is_some();
        Ok(())
    }

    fn attributes(&self) -> Result<Attributes> {
        let staged = self.staged.lock();
        Ok(staged.facts.attributes(staged.bytes.0.len()))
    }

    fn publish(self: Box<Self>, publish: &Publish<'_>) -> Result<Arc<dyn Value>, PublishError> {
        let Publish { store, key, content_type, over, durable: _ } = *publish;
        let shared = Arc::clone(&self.shared);
        let record_type = match content_type.of(&*self, || shared.replaced(store, key)) {
            Ok(record_type) => record_type,
            Err(error) => return Err((error, self)),
        };
        let mut stores = shared.stores.write();
        let admitted = key.require_unicode().and_then(|_| {
            let found = find_mut(&mut stores, store)?;
            over.admit(store, key, found.stamp_of(key))?;
            Ok(found)
        });
        let found = match admitted {
            Ok(found) => found,
            Err(error) => return Err((error, self)),
        };
        let Staged { bytes, mut facts, modified_given } = self.staged.into_inner();
        facts.changed = SystemTime::now();
        if !modified_given {
            facts.touch();
        }
        let record = Record { bytes: Arc::new(bytes), record_type: Some(record_type), facts };
        let value = record.open();
        found.records_mut().insert(key.clone(), record);
        Ok(value)
    }
}
