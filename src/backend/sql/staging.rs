//! Versions in the making: files in the spool.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use rustix::fs::FallocateFlags;

use super::database::{Put, PutOver, RecordRow};
use super::shared::{Shared, time};
use super::value::{Bytes, INLINE, SqlValue};
use super::versions::{RecordId, Seen};
use crate::backend::spool::Fetched;
use crate::backend::{Over, Publish, PublishError, Staging, Value};
use crate::model::{AttributeChange, Attributes, BackendErrorKind, Error, RecordType, Result};
use crate::ranks::{Mutex, TableEntry};

/// A version in the making.
#[derive(Debug)]
pub(super) struct SqlStaging {
    shared: Arc<Shared>,
    file: File,
    modified: Mutex<TableEntry, SystemTime>,
}

/// So much of a published version is copied at a time.
const PART: usize = 256 * 1024;

impl SqlStaging {
    pub(super) fn begin(shared: &Arc<Shared>) -> Result<Self> {
        let (shared, file) = (Arc::clone(shared), shared.spool.file()?);
        Ok(Self { shared, file, modified: Mutex::new(SystemTime::now()) })
    }

    fn size(&self) -> Result<u64> {
        let metadata = self.file.metadata();
        Ok(metadata.map_err(|error| Error::io("look at a file in the spool", error))?.len())
    }

    /// Refuses what the database could not keep, before it is written.
    fn refuse_beyond(&self, end: u64) -> Result<()> {
        let limit = self.shared.database.facts().most_value_bytes;
        if end > limit {
            let reason = format!("a value in this database has at most {limit} bytes");
            return Err(Error::backend(BackendErrorKind::TooLarge, "write a value", reason));
        }
        Ok(())
    }

    fn has_changed(&self) {
        *self.modified.lock() = SystemTime::now();
    }

    /// Puts the staged bytes into the database.
    fn put(&self, publish: &Publish<'_>) -> Result<Published> {
        let shared = &*self.shared;
        let Publish { store, key, content_type, durable, over } = *publish;
        let text = shared.check_key(key)?;
        let record = (store.clone(), key.clone());
        let record_type = content_type.of(self, || shared.replaced_type(&record))?;
        let record_type = shared.fitting(record_type)?;
        let size = self.size()?;
        // Before anything is published: nothing that comes afterwards may fail.
        let few = self.few_bytes(size)?;
        let before = shared.versions.last(&record);
        let put_over = match over {
            Over::Anything => PutOver::Anything,
            Over::Nothing => PutOver::Nothing,
            Over::Version(stamp) => PutOver::Version(shared.version_of(&record, stamp)?),
        };
        let at = now();
        let written = shared.database.put(&Put {
            internal_name: store.as_str(),
            key: text,
            content_type: record_type.content_type.as_str(),
            value: &self.file,
            size,
            over: put_over,
            at,
            durable,
        })?;
        let row = shared.written(written, &record, over == Over::Nothing)?;
        Ok(Published { record, row, record_type, few, before, at })
    }

    /// The staged bytes, if they are so few that they are held in memory.
    fn few_bytes(&self, size: u64) -> Result<Option<Arc<[u8]>>> {
        if size > INLINE {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        let read = self.file.read_exact_at(&mut bytes, 0);
        read.map_err(|error| Error::io("read a file in the spool", error))?;
        Ok(Some(bytes.into()))
    }
}

/// What a publish has made.
struct Published {
    record: RecordId,
    row: RecordRow,
    record_type: RecordType,
    few: Option<Arc<[u8]>>,
    /// What was known of the record before.
    before: Option<Seen>,
    at: Timestamp,
}

impl Published {
    /// The new version, open. `file` holds its bytes.
    fn open(self, shared: &Shared, file: File) -> Arc<dyn Value> {
        let Self { record, row, record_type, few, before, at } = self;
        let bytes = match few {
            Some(few) => Bytes::Memory(few),
            None => Bytes::Spool(Arc::new(Fetched::whole(file, row.size))),
        };
        let guessed = Some(&record_type).filter(|record_type| is_guessed(record_type));
        let facts = (time(row.committed_at.unwrap_or(at)), guessed.cloned());
        let seen = shared.versions.published(&record, &row, facts, before.as_ref());
        if let Some(version) = row.version {
            shared.kept.keep(&record, version, &bytes);
        }
        Arc::new(SqlValue { bytes, attributes: shared.record_attributes(&seen), record_type })
    }
}

/// Whether a type holds for the bytes only that it was guessed from.
pub(super) fn is_guessed(record_type: &RecordType) -> bool {
    record_type.declared() != Some(&record_type.content_type)
}

/// Now, in whole microseconds: no database keeps more.
pub(super) fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap_or_default()
}

impl Staging for SqlStaging {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(read as u64)) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read a file in the spool", error)),
            }
        }
        Ok(read)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.refuse_beyond(offset.saturating_add(data.len() as u64))?;
        let written = self.file.write_all_at(data, offset);
        written.map_err(|error| Error::io("write to a file in the spool", error))?;
        self.has_changed();
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.refuse_beyond(len)?;
        let cut = self.file.set_len(len);
        cut.map_err(|error| Error::io("cut or extend a file in the spool", error))?;
        self.has_changed();
        Ok(())
    }

    fn reserve(&self, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        self.refuse_beyond(offset.saturating_add(len))?;
        let flags = if keep_size { FallocateFlags::KEEP_SIZE } else { FallocateFlags::empty() };
        let reserved = rustix::fs::fallocate(&self.file, flags, offset, len);
        reserved.map_err(|error| Error::io("reserve room in the spool", error))
    }

    fn begin_with(&self, value: &dyn Value, len: u64) -> Result<()> {
        let len = len.min(value.attributes()?.size);
        self.set_len(0)?;
        let mut buffer = vec![0; PART.min(usize::try_from(len).unwrap_or(PART))];
        let mut at = 0;
        while at < len {
            let most = usize::try_from(len - at).unwrap_or(PART).min(PART);
            let part = buffer.get_mut(..most).unwrap_or_default();
            let count = value.read_at(part, at)?;
            if count == 0 {
                break;
            }
            self.write_at(part.get(..count).unwrap_or_default(), at)?;
            at += count as u64;
        }
        Ok(())
    }

    fn set_attributes(&self, _change: &AttributeChange) -> Result<()> {
        // The database keeps none of them.
        Ok(())
    }

    fn attributes(&self) -> Result<Attributes> {
        Ok(self.shared.staged_attributes(self.size()?, *self.modified.lock()))
    }

    fn publish(self: Box<Self>, publish: &Publish<'_>) -> Result<Arc<dyn Value>, PublishError> {
        match self.put(publish) {
            Ok(published) => {
                let Self { shared, file, .. } = *self;
                Ok(published.open(&shared, file))
            }
            Err(error) => Err((error, self)),
        }
    }
}
