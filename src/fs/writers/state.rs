//! What a write session holds, and where it belongs.

use std::sync::Arc;

use crate::backend::{Staging, Value};
use crate::fs::error::{FsError, FsResult};
use crate::fs::store_node::StoreNode;
use crate::model::{Attributes, Key, Result};

/// Begins a new version of a record of a store, or of one that has no name any more.
pub(in crate::fs) type Stage<'a> = &'a dyn Fn(Option<&StoreNode>) -> Result<Box<dyn Staging>>;

/// The state of a session.
#[derive(Debug)]
pub(super) struct State {
    pub(super) place: Place,
    pub(super) content: Content,
    /// Counts publishes, from 1.
    pub(super) generation: u64,
}

/// Where the record is. Changes only while the record is held.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// It has a name.
    At(Arc<StoreNode>, Key),
    /// Its name was removed, or given to another record: what is written goes nowhere, as with any unlinked file.
    Nowhere,
}

/// What the writers see.
#[derive(Debug)]
pub(super) enum Content {
    /// A published version, with nothing written over it.
    Published(Arc<dyn Value>),
    /// What was written; over a published version, or for a record that never was.
    Staged { staging: Box<dyn Staging>, base: Option<Arc<dyn Value>>, change: Change },
    /// Nobody writes any more. The last that was seen of what there was.
    Ended(Option<Attributes>),
}

/// How what is staged differs from what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Only by room that was reserved.
    Reserved,
    /// The record was created or truncated by an open, and not written to.
    Opened,
    /// As `Opened`, and a handle that took part in it was closed: if it was the last, its release publishes.
    Closed,
    /// By bytes or a length.
    Written,
}

impl State {
    /// Whether there is anything to publish.
    pub(super) fn is_changed(&self) -> bool {
        match &self.content {
            Content::Staged { change, .. } => *change != Change::Reserved,
            Content::Published(_) | Content::Ended(_) => false,
        }
    }

    /// Notes a change of what is staged. What was written stays written.
    pub(super) fn note(&mut self, change: Change) {
        if let Content::Staged { change: noted, .. } = &mut self.content
            && *noted != Change::Written
        {
            *noted = change;
        }
    }

    /// What is staged has no name to be published under: it stays, and nobody has a share in it any more.
    pub(super) fn settle(&mut self) {
        if let Content::Staged { change, .. } = &mut self.content {
            *change = Change::Reserved;
        }
        self.generation += 1;
    }

    /// The published version that the writers go on from.
    pub(super) fn base(&self) -> Option<&Arc<dyn Value>> {
        match &self.content {
            Content::Published(base) | Content::Staged { base: Some(base), .. } => Some(base),
            Content::Staged { base: None, .. } | Content::Ended(_) => None,
        }
    }

    /// Attributes of what the writers see.
    pub(super) fn attributes(&self) -> FsResult<Attributes> {
        match &self.content {
            Content::Staged { staging, .. } => Ok(staging.attributes()?),
            Content::Published(base) => Ok(base.attributes()?),
            Content::Ended(last_seen) => last_seen.ok_or(FsError::Stale),
        }
    }

    /// What is staged, beginning with as many as `most` bytes of the published version if nothing was.
    pub(super) fn stage(&mut self, stage: Stage<'_>, most: u64) -> FsResult<&dyn Staging> {
        if let Content::Published(base) = &self.content {
            let base = Arc::clone(base);
            let staging = stage(match &self.place {
                Place::At(store, _) => Some(store),
                Place::Nowhere => None,
            })?;
            staging.begin_with(&*base, base.attributes()?.size.min(most))?;
            let change = Change::Reserved;
            self.content = Content::Staged { staging, base: Some(base), change };
        }
        match &self.content {
            Content::Staged { staging, .. } => Ok(&**staging),
            Content::Published(_) | Content::Ended(_) => Err(FsError::Failed(libc::EIO)),
        }
    }

    pub(super) fn set_len(&mut self, stage: Stage<'_>, len: u64) -> FsResult<()> {
        let staging = self.stage(stage, len)?;
        if staging.attributes()?.size != len {
            staging.set_len(len)?;
        }
        Ok(())
    }

    pub(super) fn write(
        &mut self,
        stage: Stage<'_>,
        data: &[u8],
        offset: Option<u64>,
    ) -> FsResult<()> {
        let staging = self.stage(stage, u64::MAX)?;
        let offset = match offset {
            Some(offset) => offset,
            None => staging.attributes()?.size,
        };
        staging.write_at(data, offset)?;
        self.note(Change::Written);
        Ok(())
    }
}
