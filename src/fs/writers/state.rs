//! What a write session holds, and where it belongs.

use std::sync::Arc;

use super::share::Share;
use crate::backend::{Staged, StagedFor, Value};
use crate::fs::bytes::{Extent, Position, WriteMode};
use crate::fs::error::{FsError, FsResult};
use crate::fs::store_node::StoreNode;
use crate::model::{AttributeChange, Attributes, Key, Result};

/// Begins a new version of a record, or of one that has no name any more.
pub(in crate::fs) type Stage<'a> = &'a dyn Fn(Option<StagedRecord<'_>>) -> Result<Staged>;

/// Whose bytes are staged (P21).
#[derive(Clone, Copy, Debug)]
pub(in crate::fs) struct StagedRecord<'a> {
    pub(in crate::fs) store: &'a StoreNode,
    pub(in crate::fs) key: &'a Key,
    /// The object of the version that is written over, if there is one.
    pub(in crate::fs) base: Option<u64>,
    /// So many bytes of it are copied first.
    pub(in crate::fs) copied: u64,
}

impl StagedRecord<'_> {
    /// Does something with the record, under the name that its store has meanwhile.
    pub(in crate::fs) fn named<T>(&self, act: impl FnOnce(&StagedFor<'_>) -> T) -> T {
        let Self { store, key, base, copied } = *self;
        let store = &store.name();
        act(&StagedFor { store, key, base, copied })
    }
}

/// The state of a session.
#[derive(Debug)]
pub(super) struct State {
    pub(super) place: Place,
    pub(super) content: Content,
    /// Counts publishes, from 1.
    pub(super) generation: u64,
    /// Whether bytes of a memory map are staged. The kernel writes them back through any handle, and any close is to
    /// publish them.
    pub(super) is_mapped: bool,
    /// Whether bytes of the published version are among what is staged.
    pub(super) holds_base: bool,
    /// Whether the record was created where there must be none, so that it takes the place of nothing.
    pub(super) is_exclusive: bool,
    /// Whether the kernel may have cached what was before the session went on from what others have written.
    pub(super) has_stale_pages: bool,
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
    Staged { staging: Staged, base: Option<Arc<dyn Value>>, change: Change },
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
    pub(super) fn new(place: Place, content: Content) -> Self {
        Self {
            place,
            content,
            generation: 1,
            is_mapped: false,
            holds_base: false,
            is_exclusive: false,
            has_stale_pages: false,
        }
    }

    /// Whether a handle took part in what is not published.
    pub(super) fn is_of(&self, share: &Share) -> bool {
        self.is_mapped || share.has_part_in(self.generation)
    }

    /// What was staged is published, or never will be: nobody has a share in it any more.
    pub(super) fn end_shares(&mut self) {
        self.generation += 1;
        self.is_mapped = false;
    }

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
        self.end_shares();
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

    /// What is staged, beginning with as many as `most` bytes of the published version if nothing was. Those of a far
    /// version stay where they are.
    pub(super) fn stage(&mut self, stage: Stage<'_>, most: u64) -> FsResult<&Staged> {
        if let Content::Published(base) = &self.content {
            let base = Arc::clone(base);
            let attributes = base.attributes()?;
            let copied = attributes.size.min(most);
            let staging = stage(match &self.place {
                Place::At(store, key) => {
                    let base = Some(attributes.stamp.object);
                    Some(StagedRecord { store, key, base, copied })
                }
                Place::Nowhere => None,
            })?;
            staging.begin_with(&base, copied)?;
            self.holds_base = copied > 0;
            let change = Change::Reserved;
            self.content = Content::Staged { staging, base: Some(base), change };
        }
        match &self.content {
            Content::Staged { staging, .. } => Ok(staging),
            Content::Published(_) | Content::Ended(_) => Err(FsError::Failed(libc::EIO)),
        }
    }

    /// Clears the set-id bits, as a disk does when others than a privileged user write.
    pub(super) fn clear_set_id(&self) -> FsResult<()> {
        match &self.content {
            Content::Staged { staging, .. } => clear_set_id(staging),
            Content::Published(_) | Content::Ended(_) => Ok(()),
        }
    }

    pub(super) fn set_len(&mut self, stage: Stage<'_>, len: u64) -> FsResult<()> {
        let size = self.stage(stage, len)?.attributes()?.size;
        if len < size {
            // What has fewer bytes than were copied is no copy that was cut off.
            self.follow()?;
        }
        if len != size {
            self.stage(stage, len)?.set_len(len)?;
        }
        self.holds_base &= len > 0;
        Ok(())
    }

    /// Makes zeros of a range of an offset and a length; without `keep_size` what is staged reaches to its end at least.
    pub(super) fn zero(
        &mut self,
        stage: Stage<'_>,
        (offset, len): (u64, u64),
        keep_size: bool,
    ) -> FsResult<()> {
        let staging = self.stage(stage, u64::MAX)?;
        staging.zero(offset, len)?;
        let end = offset.saturating_add(len);
        if !keep_size && staging.attributes()?.size < end {
            staging.set_len(end)?;
        }
        self.note(Change::Written);
        Ok(())
    }

    /// Where the next extent begins of what the writers see.
    pub(super) fn seek(&self, offset: u64, extent: Extent) -> FsResult<u64> {
        extent.find(offset, self.attributes()?.size, |extent| {
            Ok(match (&self.content, extent) {
                (Content::Staged { staging, .. }, Extent::Data) => staging.next_data(offset)?,
                (Content::Staged { staging, .. }, Extent::Hole) => staging.next_hole(offset)?,
                (Content::Published(base), Extent::Data) => base.next_data(offset)?,
                (Content::Published(base), Extent::Hole) => base.next_hole(offset)?,
                (Content::Ended(_), _) => return Err(FsError::NoData),
            })
        })
    }

    /// What is staged belongs to the record that has its place now.
    pub(super) fn follow(&mut self) -> Result<()> {
        let Content::Staged { staging, base, .. } = &mut self.content else { return Ok(()) };
        let Place::At(store, key) = &self.place else { return staging.belongs_to(None) };
        let base = base.as_ref().map(|base| base.attributes()).transpose()?;
        let base = base.map(|attributes| attributes.stamp.object);
        let record = StagedRecord { store, key, base, copied: 0 };
        record.named(|record| staging.belongs_to(Some(record)))
    }

    pub(super) fn write(
        &mut self,
        stage: Stage<'_>,
        data: &[u8],
        mode: &WriteMode,
    ) -> FsResult<()> {
        let staging = self.stage(stage, u64::MAX)?;
        let offset = match mode.position {
            Position::At(offset) => offset,
            Position::End => staging.attributes()?.size,
        };
        staging.write_at(data, offset)?;
        if mode.clears_set_id {
            clear_set_id(staging)?;
        }
        self.note(Change::Written);
        Ok(())
    }
}

/// A file that a group may not execute is not set-group-id: there the bit means something else, and stays.
fn clear_set_id(staging: &Staged) -> FsResult<()> {
    const SET_USER: u32 = 0o4000;
    const SET_GROUP: u32 = 0o2010;
    let mode = staging.attributes()?.mode;
    let is_set_group = mode & SET_GROUP == SET_GROUP;
    let cleared = mode & !SET_USER & if is_set_group { !0o2000 } else { !0 };
    if cleared != mode {
        let change = AttributeChange { mode: Some(cleared), ..AttributeChange::default() };
        staging.set_attributes(&change)?;
    }
    Ok(())
}
