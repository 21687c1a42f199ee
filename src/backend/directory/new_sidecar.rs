//! Sidecars that wait to be placed.

use std::sync::Arc;

use rustix::io::Errno;

use super::note::{Object, Step};
use super::sidecar::{self, Sidecar};
use super::staging::{self, Session, StagedFile};
use super::tree::StoreDir;
use crate::failpoint;
use crate::model::{ContentType, Error, Key, RecordType, Result};

/// A sidecar that is to be made.
#[derive(Clone, Copy)]
pub(super) struct NewSidecar<'a> {
    pub(super) key: &'a Key,
    /// The value's disk name.
    pub(super) name: &'a [u8],
    pub(super) value: Object,
    pub(super) record_type: &'a RecordType,
    /// The input key, if the sidecar is to be the one that the Apify SDK makes for an input.
    pub(super) of_input: Option<&'a str>,
}

impl NewSidecar<'_> {
    pub(super) fn text(&self) -> Vec<u8> {
        let size = self.value.size;
        match self.of_input {
            None => Sidecar::text(self.key, self.record_type, size),
            Some(input_key) => sidecar::input_text(input_key, &self.record_type.content_type, size),
        }
    }

    /// Makes the sidecar, and has it on the medium or, if it need not be durable, on its way there.
    pub(super) fn stage(
        &self,
        session: &Arc<Session>,
        dir: &StoreDir,
        durable: bool,
    ) -> Result<StagedFile> {
        let text = self.text();
        let NewSidecar { key, name, value, .. } = *self;
        stage_text(&text, (key, name, &value), session, dir, durable)
    }
}

/// Makes a sidecar of this text for a record, whose value has this disk name, as [`NewSidecar::stage`] does.
pub(super) fn stage_text(
    text: &[u8],
    (key, name, value): (&Key, &[u8], &Object),
    session: &Arc<Session>,
    dir: &StoreDir,
    durable: bool,
) -> Result<StagedFile> {
    let failed = |error: Errno| dir.failed("write the sidecar of", key, error);
    if text.len() as u64 > sidecar::MAX_BYTES {
        return Err(Error::ContentTypeTooLong { limit: ContentType::MAX_BYTES });
    }
    failpoint::fail("sidecar: create").map_err(failed)?;
    let name = session.note_name(Step::Publish, value, Some(text), name);
    let staged = session.create_as(name)?;
    staging::inherit_group(staged.file(), &dir.fd).map_err(failed)?;
    failpoint::fail("sidecar: write").map_err(failed)?;
    staged.write_all_at(text, 0).map_err(failed)?;
    if durable {
        failpoint::fail("sidecar: sync").and_then(|()| staged.sync())
    } else {
        staged.begin_write_out()
    }
    .map_err(failed)?;
    Ok(staged)
}
