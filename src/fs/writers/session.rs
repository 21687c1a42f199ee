//! Write sessions: all that are writing one record share one staging file (P3, P6).
//!
//! A session begins when a record is created or opened for writing and ends when its last handle is released.
//! It has an inode of its own, which only its writers see: what they write is in no cache of a reader. What a
//! session holds becomes the record when it is published: at close if anything was written, at fsync, and at
//! the latest at release. After that the session goes on from the version that it published.
//!
//! A record that has never been published is in the mount as its session is: by the same inode, for everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::awaited_release::AwaitedRelease;
use super::failure::Failure;
use super::share::Share;
use super::state::{Change, Content, Place, Stage, State};
use super::users::Users;
use crate::backend::{Staged, Value};
use crate::fs::bytes::{Extent, WriteMode};
use crate::fs::entry::Caller;
use crate::fs::error::{FsError, FsResult};
use crate::fs::ino::Ino;
use crate::fs::processes::Process;
use crate::fs::store_node::StoreNode;
use crate::model::{AttributeChange, Attributes, Error, Key, Stamp};
use crate::ranks::{Mutex, OpenFile, TableEntry};

/// In the place of an object's number: nothing was published. No object has it.
const NOT_PUBLISHED: u64 = 0;

/// In the place of an object's number: what is published is no longer the session's.
const NO_RECORD: u64 = u64::MAX;

/// The writers of one record.
#[derive(Debug)]
pub(in crate::fs) struct WriteSession {
    pub(in crate::fs) ino: Ino,
    /// The number that `fstat` tells: the one that `stat` told before the open, since vim compares the two.
    pub(in crate::fs) shown_ino: Ino,
    pub(super) users: Mutex<TableEntry, Users>,
    /// Whether a write or publish failed: a part of what the writer meant is never published, and whoever opens
    /// the record next begins anew.
    pub(super) failure: Failure,
    /// The object that holds the version which the session has published or begun with, or that there is none. Changes
    /// with `state`, and is read without waiting for what is done to that.
    object: AtomicU64,
    /// Whether the record was created without a look at what its name stood for. The first look tells.
    is_unlooked: AtomicBool,
    /// Held over the backend's I/O for this one record.
    pub(super) state: Mutex<OpenFile, State>,
    /// What the writers saw before something began that holds `state` for long.
    before: Mutex<TableEntry, Option<Attributes>>,
    /// The release that a close has left to publish.
    pub(super) release: AwaitedRelease,
}

/// As long as something takes long; see [`WriteSession::attributes_soon`].
#[must_use]
pub(super) struct Long<'a>(&'a WriteSession);

impl Drop for Long<'_> {
    fn drop(&mut self) {
        *self.0.before.lock() = None;
    }
}

/// Changes the published record by its name.
pub(in crate::fs) type ChangeRecord<'a> = &'a dyn Fn(&AttributeChange) -> FsResult<()>;

/// What a session leaves.
#[derive(Debug)]
pub(in crate::fs) enum Left {
    /// A version of this record.
    Version(Arc<StoreNode>, Key, Attributes),
    /// A record was created that nobody will ever see.
    Unseen(Arc<StoreNode>, Key),
    /// What has no name, or cannot be looked at.
    Nothing,
}

impl WriteSession {
    /// A session of a record that does not exist, holding its first bytes. If it is exclusive, it is published only where
    /// there is still none.
    pub(in crate::fs) fn of_new_record(
        ino: Ino,
        store: Arc<StoreNode>,
        key: Key,
        staging: Staged,
        is_exclusive: bool,
    ) -> Self {
        let content = Content::Staged { staging, base: None, change: Change::Opened };
        let session = Self::new((ino, ino), Place::At(store, key), content);
        session.state.lock().is_exclusive = is_exclusive;
        session
    }

    /// A session of a published record.
    pub(in crate::fs) fn of_record(
        ino: Ino,
        shown_ino: Ino,
        store: Arc<StoreNode>,
        key: Key,
        base: Arc<dyn Value>,
    ) -> Self {
        Self::new((ino, shown_ino), Place::At(store, key), Content::Published(base))
    }

    fn new((ino, shown_ino): (Ino, Ino), place: Place, content: Content) -> Self {
        let session = Self {
            ino,
            shown_ino,
            object: AtomicU64::new(NOT_PUBLISHED),
            is_unlooked: AtomicBool::new(false),
            users: Mutex::default(),
            failure: Failure::default(),
            state: Mutex::new(State::new(place, content)),
            before: Mutex::default(),
            release: AwaitedRelease::default(),
        };
        session.published().inspect(|base| session.goes_on_from(&**base));
        session
    }

    /// The record, now; `None` if its name is gone.
    pub(in crate::fs) fn record(&self) -> Option<(Arc<StoreNode>, Key)> {
        match &self.state.lock().place {
            Place::At(store, key) => Some((Arc::clone(store), key.clone())),
            Place::Nowhere => None,
        }
    }

    /// The numbers by which descriptors of it are known.
    pub(in crate::fs) fn inodes(&self) -> [Ino; 2] {
        [self.ino, self.shown_ino]
    }

    /// Whether the record has a name.
    pub(in crate::fs) fn has_name(&self) -> bool {
        matches!(self.state.lock().place, Place::At(..))
    }

    /// Whether anybody has the session open for writing or is about to.
    pub(in crate::fs) fn is_live(&self) -> bool {
        self.users.lock().are_writing()
    }

    /// Whether the thread's process has the record open for writing, or one that has started it.
    pub(in crate::fs) fn is_written_by(&self, thread: u32) -> bool {
        let openers = self.users.lock().busy_threads();
        if openers.is_empty() || thread == 0 {
            return false;
        }
        if openers.contains(&thread) {
            return true;
        }
        let Some(process) = Process::of(thread) else { return false };
        let openers = openers.into_iter().map(|opener| Process::of(opener).map(|it| it.id));
        let Some(openers) = openers.collect::<Option<Vec<u32>>>() else {
            // A thread has ended that had opened it: its process, or who has inherited the descriptor, may go on.
            let inodes = self.inodes();
            return process.and_ancestors().any(|process| process.writes_to(inodes) == Some(true));
        };
        process.and_ancestors().any(|process| openers.contains(&process.id))
    }

    /// Whether another writer may join.
    pub(in crate::fs) fn is_joinable(&self) -> bool {
        !self.failure.has_happened() && self.is_live()
    }

    /// Whether somebody is just doing something that others have to wait for.
    pub(in crate::fs) fn is_busy(&self) -> bool {
        self.state.is_locked()
    }

    /// Goes on from the version that is the record now, as far as nothing is written: an SDK may have written it in place,
    /// or have replaced it before anybody had it open here. Gives back false if whoever has it open has another file
    /// open. For who holds the record; `current` is `None` if that is gone.
    pub(in crate::fs) fn refresh(
        &self,
        current: Option<Stamp>,
        open: impl FnOnce() -> FsResult<Arc<dyn Value>>,
    ) -> FsResult<bool> {
        let mut state = self.state.lock();
        let (base, is_pending) = match &state.content {
            Content::Staged { base: None, .. } => return Ok(true),
            Content::Published(base) => (base, false),
            Content::Staged { base: Some(base), change, .. } => (base, *change != Change::Reserved),
            Content::Ended(_) => return Ok(false),
        };
        let base = base.attributes()?.stamp;
        let is_same_file = current.is_some_and(|current| current.object == base.object);
        match current {
            _ if is_pending => Ok(is_same_file || (current.is_some() && !state.holds_base)),
            Some(current) if current.same_bytes(&base) => Ok(true),
            Some(_) if is_same_file || self.users.lock().openers().is_empty() => {
                let value = open()?;
                self.goes_on_from(&*value);
                state.content = Content::Published(value);
                state.has_stale_pages = true;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Whether what the kernel has cached of the session's inode is what the writers see. Asked by an open, which has the
    /// kernel drop what is not.
    pub(in crate::fs) fn keeps_cache(&self) -> bool {
        !std::mem::take(&mut self.state.lock().has_stale_pages)
    }

    /// Whether what it holds is staged, so that to write to it fetches nothing. Waits for nobody: not, if somebody is just
    /// doing something to it.
    pub(in crate::fs) fn is_staged(&self) -> bool {
        let state = self.state.try_lock();
        state.is_some_and(|state| matches!(state.content, Content::Staged { .. }))
    }

    /// Whether these bytes are staged and on this machine, so that to read them fetches nothing. Waits for nobody, likewise.
    pub(in crate::fs) fn has(&self, offset: u64, len: u64) -> bool {
        self.state.try_lock().is_some_and(|state| match &state.content {
            Content::Staged { staging, .. } => staging.has(offset, len),
            Content::Published(_) | Content::Ended(_) => false,
        })
    }

    /// How many bytes are staged, if any. Waits for nobody: nothing, if somebody is just doing something to it.
    pub(in crate::fs) fn staged_soon(&self) -> Option<u64> {
        let state = self.state.try_lock()?;
        match &state.content {
            Content::Staged { staging, .. } => Some(staging.attributes().ok()?.size),
            Content::Published(_) | Content::Ended(_) => None,
        }
    }

    /// Whether any of its writers may have a memory map of it.
    pub(in crate::fs) fn is_mappable(&self) -> bool {
        self.users.lock().shares().iter().any(|share| share.is_mappable())
    }

    /// Who has it open for writing.
    pub(in crate::fs) fn openers(&self) -> Vec<Caller> {
        self.users.lock().openers()
    }

    /// Whether the record has a name and has never been published, so that the session is all there is of it.
    pub(in crate::fs) fn is_new(&self) -> bool {
        self.object.load(Ordering::SeqCst) == NOT_PUBLISHED && !self.failure.has_happened()
    }

    /// The version that the session has published or begun with, if the name is still its record's.
    pub(in crate::fs) fn published_stamp(&self) -> Option<Stamp> {
        let state = self.state.lock();
        if matches!(state.place, Place::Nowhere) {
            return None;
        }
        state.base()?.attributes().ok().map(|attributes| attributes.stamp)
    }

    /// The record was created without a look: what the next one finds is what it was begun with.
    pub(in crate::fs) fn set_unlooked(&self) {
        self.is_unlooked.store(true, Ordering::SeqCst);
    }

    /// Whether this is the record that the session writes: the version that it has published or begun with. `record` is what
    /// a look has found that began after the session.
    pub(in crate::fs) fn is_of(&self, record: Option<&Attributes>) -> bool {
        let object = record.map_or(NOT_PUBLISHED, |record| record.stamp.object);
        if self.is_unlooked.load(Ordering::SeqCst) {
            // Unless it has published since. Only then is it known to all that somebody has looked.
            let (none, order) = (NOT_PUBLISHED, Ordering::SeqCst);
            let _ = self.object.compare_exchange(none, object, order, order);
            self.is_unlooked.store(false, Ordering::SeqCst);
        }
        self.object.load(Ordering::SeqCst) == object
    }

    pub(super) fn goes_on_from(&self, value: &dyn Value) {
        let object = value.attributes().map_or(NO_RECORD, |attributes| attributes.stamp.object);
        self.object.store(object, Ordering::SeqCst);
    }

    /// The open that created the record takes its share in that.
    pub(in crate::fs) fn take_part_in_creation(&self, share: &Share) {
        let state = self.state.lock();
        if matches!(state.content, Content::Staged { base: None, .. }) {
            share.take_part(state.generation);
        }
    }

    /// Empties the record, as an open with `O_TRUNC` does.
    pub(in crate::fs) fn truncate_at_open(&self, stage: Stage<'_>, share: &Share) -> FsResult<()> {
        let mut state = self.state.lock();
        self.failure.refuse()?;
        let _copy = self.begin_copy(&state);
        state.set_len(stage, 0)?;
        if !share.opener().is_privileged() {
            state.clear_set_id()?;
        }
        state.note(Change::Opened);
        share.take_part(state.generation);
        Ok(())
    }

    /// Sets the length, through a handle or by name.
    pub(in crate::fs) fn truncate(
        &self,
        stage: Stage<'_>,
        len: u64,
        share: Option<&Share>,
    ) -> FsResult<()> {
        let mut state = self.state.lock();
        self.failure.refuse()?;
        let _copy = self.begin_copy(&state);
        state.set_len(stage, len)?;
        state.note(Change::Written);
        if let Some(share) = share {
            share.take_part(state.generation);
        }
        Ok(())
    }

    /// Writes. What comes from a memory map comes through any handle, and becomes every handle's.
    pub(in crate::fs) fn write(
        &self,
        stage: Stage<'_>,
        data: &[u8],
        mode: &WriteMode,
        share: &Share,
    ) -> FsResult<()> {
        let mut state = self.state.lock();
        self.failure.refuse()?;
        let _panicked = self.failure.on_panic();
        let _copy = self.begin_copy(&state);
        let written = state.write(stage, data, mode);
        if mode.mapped {
            state.is_mapped = true;
        } else {
            share.take_part(state.generation);
            share.note_writer(mode.by);
        }
        self.release.has_come();
        // A writer that was told of an error has not written what it meant to.
        if let Err(FsError::Storage(error @ (Error::Io { .. } | Error::Backend { .. }))) = &written
        {
            self.failure.note(error);
        }
        written
    }

    /// Reserves room.
    pub(in crate::fs) fn reserve(
        &self,
        stage: Stage<'_>,
        offset: u64,
        len: u64,
        keep_size: bool,
        share: &Share,
    ) -> FsResult<()> {
        let mut state = self.state.lock();
        self.failure.refuse()?;
        let _copy = self.begin_copy(&state);
        state.stage(stage, u64::MAX)?.reserve(offset, len, keep_size)?;
        if !keep_size {
            state.note(Change::Written);
            share.take_part(state.generation);
        }
        Ok(())
    }

    /// Makes zeros of a range; without `keep_size` the record reaches to its end at least.
    pub(in crate::fs) fn zero(
        &self,
        stage: Stage<'_>,
        range: (u64, u64),
        keep_size: bool,
        share: &Share,
    ) -> FsResult<()> {
        let mut state = self.state.lock();
        self.failure.refuse()?;
        state.zero(stage, range, keep_size)?;
        share.take_part(state.generation);
        Ok(())
    }

    /// Where the next extent begins of what the writers see.
    pub(in crate::fs) fn seek(&self, offset: u64, extent: Extent) -> FsResult<u64> {
        self.state.lock().seek(offset, extent)
    }

    /// Reads what the writers see.
    pub(in crate::fs) fn read(&self, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
        match &self.state.lock().content {
            Content::Staged { staging, .. } => Ok(staging.read_at(buffer, offset)?),
            Content::Published(base) => Ok(base.read_at(buffer, offset)?),
            Content::Ended(_) => Ok(0),
        }
    }

    /// Attributes of what the writers see.
    pub(in crate::fs) fn attributes(&self) -> FsResult<Attributes> {
        self.state.lock().attributes()
    }

    /// The same without waiting for what takes long: what the writers saw before it changes only when it has ended. A size
    /// that is not theirs would have the kernel drop pages that a map has written.
    pub(in crate::fs) fn attributes_soon(&self) -> FsResult<Attributes> {
        if let Some(state) = self.state.try_lock() {
            return state.attributes();
        }
        let before = *self.before.lock();
        before.map_or_else(|| self.attributes(), Ok)
    }

    /// Something begins that takes long.
    pub(super) fn begin_long(&self, state: &State) -> Long<'_> {
        *self.before.lock() = state.attributes().ok();
        Long(self)
    }

    /// A copy of the published version, if the writers go on from that and have nothing staged, takes long.
    fn begin_copy(&self, state: &State) -> Option<Long<'_>> {
        matches!(state.content, Content::Published(_)).then(|| self.begin_long(state))
    }

    /// The published version that the session goes on from.
    pub(in crate::fs) fn published(&self) -> Option<Arc<dyn Value>> {
        self.state.lock().base().cloned()
    }

    /// Changes owner, mode and times: of what is staged, and owner and mode of the published version too, as a disk shows
    /// them to everybody at once. Times of what is staged are those of its content, and are published with it.
    /// `change_record` changes the version that the session goes on from by the record's name; without it, that is no
    /// longer the record.
    pub(in crate::fs) fn set_attributes(
        &self,
        change: &AttributeChange,
        change_record: Option<ChangeRecord<'_>>,
    ) -> FsResult<()> {
        let state = self.state.lock();
        let (base, change) = match &state.content {
            Content::Staged { staging, base, .. } => {
                staging.set_attributes(change)?;
                (base.as_ref(), AttributeChange { accessed: None, modified: None, ..*change })
            }
            Content::Published(base) => (Some(base), *change),
            Content::Ended(_) => return Err(FsError::Stale),
        };
        match (base, change_record) {
            (Some(_), Some(change_record)) if !change.is_empty() => change_record(&change),
            (Some(base), None) if !change.is_empty() => Ok(base.set_attributes(&change)?),
            _ => Ok(()),
        }
    }

    /// Changes owner and mode of what is staged, as those of the published record are being changed by its name.
    pub(in crate::fs) fn follow_attributes(&self, change: &AttributeChange) -> FsResult<()> {
        if let Content::Staged { staging, .. } = &self.state.lock().content {
            let owned = AttributeChange { accessed: None, modified: None, ..*change };
            staging.set_attributes(&owned)?;
        }
        Ok(())
    }

    /// The last writer is gone: lets go of all that is open, since the kernel may remember the inode for long. Who
    /// followed the writers goes on with what they have left, published or not.
    pub(in crate::fs) fn end(&self) -> Left {
        let mut state = self.state.lock();
        let is_followed = self.users.lock().are_following();
        let base = match std::mem::replace(&mut state.content, Content::Ended(None)) {
            Content::Published(base) => Some(base),
            Content::Staged { staging, base: None, change } if is_followed => {
                state.content = Content::Staged { staging, base: None, change };
                None
            }
            Content::Staged { base, .. } => base,
            ended @ Content::Ended(_) => {
                state.content = ended;
                return Left::Nothing;
            }
        };
        let last_seen = base.as_ref().and_then(|base| base.attributes().ok());
        let is_unseen = base.is_none();
        match base {
            Some(base) if is_followed => state.content = Content::Published(base),
            Some(_) => state.content = Content::Ended(last_seen),
            None => {}
        }
        match (&state.place, last_seen) {
            (Place::At(store, key), Some(seen)) => {
                Left::Version(Arc::clone(store), key.clone(), seen)
            }
            (Place::At(store, key), None) if is_unseen => {
                Left::Unseen(Arc::clone(store), key.clone())
            }
            _ => Left::Nothing,
        }
    }

    /// Who read along is gone, as the writers are: lets go of what they have left.
    pub(in crate::fs) fn let_go(&self) {
        let mut state = self.state.lock();
        let last_seen = match &state.content {
            Content::Published(base) => base.attributes().ok(),
            Content::Staged { .. } => None,
            Content::Ended(last_seen) => *last_seen,
        };
        state.content = Content::Ended(last_seen);
    }

    /// The record has another name. For who holds both.
    pub(in crate::fs) fn rename(&self, store: &Arc<StoreNode>, key: &Key) {
        let mut state = self.state.lock();
        state.place = Place::At(Arc::clone(store), key.clone());
        // Who renames says what becomes of what is there.
        state.is_exclusive = false;
        follow(&mut state);
    }

    /// The store of the record has another name. For who holds it.
    pub(in crate::fs) fn store_renamed(&self) {
        follow(&mut self.state.lock());
    }

    /// Waits for the release that follows a close, if one has just been. Not for who holds the record.
    pub(in crate::fs) fn wait_for_release(&self) {
        self.release.wait();
    }

    /// The record's name is gone. For who holds the record.
    pub(in crate::fs) fn detach(&self) {
        let mut state = self.state.lock();
        state.place = Place::Nowhere;
        follow(&mut state);
        drop(state);
        self.object.store(NO_RECORD, Ordering::SeqCst);
        self.release.has_come();
    }
}

/// Notes whose the staged bytes are. Should that fail, they are kept aside under the name that the record had.
fn follow(state: &mut State) {
    if let Err(error) = state.follow() {
        log::debug!("what is staged goes by an old name: {error}");
    }
}
