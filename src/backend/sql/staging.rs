//! Versions in the making: files in the spool, and how they become rows.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::Mode;

use super::database::{Put, PutOver, RecordRow, Version, Written};
use super::shared::{INLINE, Shared};
use crate::backend::elsewhere::{Bytes, RECORD_MODE, RecordId, RemoteValue, Seen, file_time};
use crate::backend::spool::Fetched;
use crate::backend::{Over, Publish, PublishError, Staged, Unnamed, Value};
use crate::model::{Error, RecordType, Result, this_moment};

/// An empty version in the making.
pub(super) fn stage(shared: &Shared) -> Result<Staged> {
    let file = shared.spool.file()?;
    // As the record will be shown. Nobody else gets to the file, which has no name.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(RECORD_MODE))
        .map_err(|error| Error::io("make a file in the spool", error))?;
    let limit = shared.database.facts().most_value_bytes;
    Ok(Staged::new(OwnedFd::from(file), Some(limit), Box::new(Unnamed)))
}

/// Makes staged bytes the record.
pub(super) fn publish(
    shared: &Shared,
    staged: Staged,
    publish: &Publish<'_>,
) -> Result<Arc<dyn Value>, PublishError> {
    match put(shared, &staged, publish) {
        Ok(published) => Ok(published.open(shared)),
        Err(error) => Err((error, staged)),
    }
}

/// Puts staged bytes into the database.
fn put(shared: &Shared, staged: &Staged, publish: &Publish<'_>) -> Result<Published> {
    let Publish { store, key, content_type, durable, over } = *publish;
    let text = shared.check_key(key)?;
    let record = (store.clone(), key.clone());
    let size = staged.attributes()?.size;
    // Before anything is published: nothing that comes afterwards may fail.
    let few = few_bytes(staged, size)?;
    // The same file: it is lent to the database.
    let file = file_of(staged)?;
    let put = |record_type: &RecordType, over, at| {
        shared.database.put(&Put {
            internal_name: store.as_str(),
            key: text,
            content_type: record_type.content_type.as_str(),
            value: &file,
            size,
            over,
            at,
            durable,
        })
    };
    let before = shared.versions.last(&record);
    // A look at what it replaces is a round trip, and most likely there is nothing.
    if over == Over::Anything
        && shared.database.facts().is_remote
        && before.is_none()
        && few.is_some()
    {
        let record_type = shared.fitting(content_type.of(staged, || Ok(None))?)?;
        let at = this_moment();
        match put(&record_type, PutOver::Hoped, at)? {
            Written::Refused => {}
            written => {
                let row = shared.written(written, &record, false)?;
                return Ok(Published { record, row, record_type, few, file, before, at });
            }
        }
    }
    let record_type = content_type.of(staged, || shared.replaced_type(&record))?;
    let record_type = shared.fitting(record_type)?;
    let before = shared.versions.last(&record);
    let put_over = match over {
        Over::Anything => PutOver::Anything,
        Over::Nothing => PutOver::Nothing,
        Over::Version(stamp) => PutOver::Version(shared.version_of(&record, stamp)?),
    };
    let at = this_moment();
    let row = shared.written(put(&record_type, put_over, at)?, &record, over == Over::Nothing)?;
    Ok(Published { record, row, record_type, few, file, before, at })
}

/// The staged bytes, if they are so few that they are held in memory.
fn few_bytes(staged: &Staged, size: u64) -> Result<Option<Arc<[u8]>>> {
    if size > INLINE {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    let count = staged.read_at(&mut bytes, 0)?;
    bytes.truncate(count);
    Ok(Some(bytes.into()))
}

fn file_of(staged: &Staged) -> Result<File> {
    let file = staged.file().try_clone();
    Ok(file.map_err(|error| Error::io("hold a file in the spool", error))?.into())
}

/// What a publish has made.
struct Published {
    record: RecordId,
    row: RecordRow,
    record_type: RecordType,
    few: Option<Arc<[u8]>>,
    /// Holds all bytes.
    file: File,
    /// What was known of the record before.
    before: Option<Seen<Version>>,
    at: Timestamp,
}

impl Published {
    /// The new version, open. `file` holds its bytes.
    fn open(self, shared: &Shared) -> Arc<dyn Value> {
        let Self { record, row, record_type, few, file, before, at } = self;
        let bytes = match few {
            Some(few) => Bytes::Memory(few),
            None => Bytes::Spool(Arc::new(Fetched::whole(file, row.size))),
        };
        let guessed = Some(&record_type).filter(|record_type| is_guessed(record_type));
        let facts = (file_time(row.committed_at.unwrap_or(at)), guessed.cloned());
        let seen = shared.versions.published(&record, &row, facts, before.as_ref());
        shared.note_published(&record.0, at);
        if let Some(version) = row.version {
            shared.kept.keep(&record, version, &bytes);
        }
        let (attributes, record_type) = (shared.record_attributes(&seen), Some(record_type));
        Arc::new(RemoteValue { bytes, attributes, record_type })
    }
}

/// Whether a type holds for the bytes only that it was guessed from.
pub(super) fn is_guessed(record_type: &RecordType) -> bool {
    record_type.declared() != Some(&record_type.content_type)
}
