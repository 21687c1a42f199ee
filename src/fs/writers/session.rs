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
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::state::{Change, Content, Place, Stage, State};
use super::stragglers::Stragglers;
use super::users::Users;
use crate::backend::{Staging, Value};
use crate::engine::{PublishAs, Store};
use crate::fs::error::{FsError, FsResult};
use crate::fs::ino::Ino;
use crate::fs::store_node::StoreNode;
use crate::model::{AttributeChange, Attributes, ContentType, Error, Key, Stamp};
use crate::ranks::{Condvar, Mutex, MutexGuard, OpenFile, TableEntry};

/// How long a look at a record waits for a release that the kernel has already queued.
///
/// A shell's `> file` closes a duplicate before it writes, so a close with nothing but a truncation behind it
/// does not publish where it cannot be seen whether a duplicate is left. If it was the last close, the release follows
/// at once and publishes; a look that comes between the two waits for it, since close() has returned. Only a bound:
/// nobody waits longer than it takes.
const RELEASE_FOLLOWS_WITHIN: Duration = Duration::from_millis(20);

/// How long is waited while the release may be in the hands of a thread that is held up.
const RELEASE_IS_HELD_UP_FOR: Duration = Duration::from_secs(1);

/// How often it is looked whether such a thread has come to rest.
const LOOK_AT_THREADS_EVERY: Duration = Duration::from_millis(1);

/// The writers of one record.
#[derive(Debug)]
pub(in crate::fs) struct WriteSession {
    pub(in crate::fs) ino: Ino,
    /// The number that `fstat` tells: the one that `stat` told before the open, since vim compares the two.
    pub(in crate::fs) shown_ino: Ino,
    pub(super) users: Mutex<TableEntry, Users>,
    /// Whether a write or publish failed: a part of what the writer meant is never published, and whoever opens
    /// the record next begins anew.
    failure: Failure,
    /// Whether the record has a name and has never been published, so that the session is all there is of it. Changes
    /// with `state`, and is read without waiting for what is done to that.
    is_unpublished: AtomicBool,
    /// Held over the backend's I/O for this one record.
    state: Mutex<OpenFile, State>,
    /// When a handle was closed whose release is to publish, if it was the last. Looked at without waiting for what is
    /// done to `state`.
    closed_at: Mutex<TableEntry, Option<Instant>>,
    /// Signalled when what `closed_at` waits for has come.
    settled: Condvar,
}

/// What a handle has done that is not published: the session's generation at the time, or 0.
///
/// Closing a handle publishes only what it took part in. The kernel releases a handle some time after close() has
/// returned; by then the next writer may be in the middle of a new version of the same session.
#[derive(Debug, Default)]
pub(in crate::fs) struct Share(AtomicU64);

impl Share {
    fn take_part(&self, state: &State) {
        self.0.store(state.generation, Ordering::Relaxed);
    }

    fn has_part_in(&self, state: &State) -> bool {
        self.0.load(Ordering::Relaxed) == state.generation
    }
}

/// Where a session publishes to, and the content type if one was set by hand.
#[derive(Debug)]
pub(in crate::fs) struct Target<'a> {
    pub(in crate::fs) store: &'a Store,
    pub(in crate::fs) content_type: Option<&'a ContentType>,
}

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
    /// A session of a record that does not exist, holding its first bytes.
    pub(in crate::fs) fn of_new_record(
        ino: Ino,
        store: Arc<StoreNode>,
        key: Key,
        staging: Box<dyn Staging>,
    ) -> Self {
        let content = Content::Staged { staging, base: None, change: Change::Opened };
        Self::new((ino, ino), Place::At(store, key), content)
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
        let is_new = matches!(content, Content::Staged { base: None, .. });
        Self {
            ino,
            shown_ino,
            is_unpublished: AtomicBool::new(is_new),
            users: Mutex::default(),
            failure: Failure::default(),
            state: Mutex::new(State { place, content, generation: 1 }),
            closed_at: Mutex::default(),
            settled: Condvar::new(),
        }
    }

    /// The record, now; `None` if its name is gone.
    pub(in crate::fs) fn record(&self) -> Option<(Arc<StoreNode>, Key)> {
        match &self.state.lock().place {
            Place::At(store, key) => Some((Arc::clone(store), key.clone())),
            Place::Nowhere => None,
        }
    }

    /// Whether the record has a name.
    pub(in crate::fs) fn has_name(&self) -> bool {
        matches!(self.state.lock().place, Place::At(..))
    }

    /// Whether anybody has the session open for writing or is about to.
    pub(in crate::fs) fn is_live(&self) -> bool {
        self.users.lock().are_writing()
    }

    /// Whether another writer may join.
    pub(in crate::fs) fn is_joinable(&self) -> bool {
        !self.failure.has_happened() && self.is_live()
    }

    /// Whether somebody is just doing something that others have to wait for.
    pub(in crate::fs) fn is_busy(&self) -> bool {
        self.state.is_locked()
    }

    /// Goes on from the version that is the record now, if nothing is written: an SDK may have replaced the one
    /// that the session began with. Gives back false if the record is gone and nothing is written: whoever opens the
    /// name next must not come by its bytes. For who holds the record.
    pub(in crate::fs) fn refresh(&self, store: &Store) -> FsResult<bool> {
        let mut state = self.state.lock();
        let Place::At(_, key) = &state.place else { return Ok(false) };
        let base = match &state.content {
            Content::Published(base) => base,
            Content::Staged { base: Some(base), change: Change::Reserved, .. } => base,
            Content::Staged { .. } => return Ok(true),
            Content::Ended(_) => return Ok(false),
        };
        match store.record(key) {
            Ok(current) if current.stamp.same_bytes(&base.attributes()?.stamp) => Ok(true),
            Ok(_) => {
                let current = store.open_value(key)?;
                state.content = Content::Published(current);
                Ok(true)
            }
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the record has a name and has never been published, so that the session is all there is of it.
    pub(in crate::fs) fn is_new(&self) -> bool {
        self.is_unpublished.load(Ordering::SeqCst) && !self.failure.has_happened()
    }

    /// The version that the session has published or begun with, if the name is still its record's.
    pub(in crate::fs) fn published_stamp(&self) -> Option<Stamp> {
        let state = self.state.lock();
        if matches!(state.place, Place::Nowhere) {
            return None;
        }
        state.base()?.attributes().ok().map(|attributes| attributes.stamp)
    }

    /// The open that created the record takes its share in that.
    pub(in crate::fs) fn take_part_in_creation(&self, share: &Share) {
        let state = self.state.lock();
        if matches!(state.content, Content::Staged { base: None, .. }) {
            share.take_part(&state);
        }
    }

    /// Empties the record, as an open with `O_TRUNC` does.
    pub(in crate::fs) fn truncate_at_open(&self, stage: Stage<'_>, share: &Share) -> FsResult<()> {
        let mut state = self.state.lock();
        self.failure.refuse()?;
        state.set_len(stage, 0)?;
        state.note(Change::Opened);
        share.take_part(&state);
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
        state.set_len(stage, len)?;
        state.note(Change::Written);
        if let Some(share) = share {
            share.take_part(&state);
        }
        Ok(())
    }

    /// Writes at an offset, or at the end if there is none.
    pub(in crate::fs) fn write(
        &self,
        stage: Stage<'_>,
        data: &[u8],
        offset: Option<u64>,
        share: &Share,
    ) -> FsResult<()> {
        let mut state = self.state.lock();
        self.failure.refuse()?;
        let _panicked = self.failure.on_panic();
        let written = state.write(stage, data, offset);
        share.take_part(&state);
        self.settle();
        // A writer that was told of an error has not written what it meant to.
        if let Err(FsError::Storage(error @ Error::Io { .. })) = &written {
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
        state.stage(stage, u64::MAX)?.reserve(offset, len, keep_size)?;
        if !keep_size {
            state.note(Change::Written);
            share.take_part(&state);
        }
        Ok(())
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

    /// The same without waiting; `None` if somebody is just doing something to the record.
    pub(in crate::fs) fn attributes_at_once(&self) -> Option<FsResult<Attributes>> {
        self.state.try_lock().map(|state| state.attributes())
    }

    /// The published version that the session goes on from.
    pub(in crate::fs) fn published(&self) -> Option<Arc<dyn Value>> {
        self.state.lock().base().cloned()
    }

    /// Changes owner, mode and times: of what is staged, and owner and mode of the published record too, as a disk shows
    /// them to everybody at once. Times of what is staged are those of its content, and are published with it. For who
    /// holds the record; `None` if that has no name.
    pub(in crate::fs) fn set_attributes(
        &self,
        store: Option<&Store>,
        change: &AttributeChange,
    ) -> FsResult<()> {
        let state = self.state.lock();
        let published = match &state.content {
            Content::Staged { staging, base, .. } => {
                staging.set_attributes(change)?;
                let owned = AttributeChange { accessed: None, modified: None, ..*change };
                base.as_ref().map(|_| owned).filter(|owned| !owned.is_empty())
            }
            _ => Some(*change),
        };
        if let (Some(change), Some(store), Place::At(_, key)) = (published, store, &state.place) {
            match store.set_record_attributes(key, &change) {
                // Somebody has removed it; what is staged has the change.
                Err(error) if error.is_not_found() => {}
                changed => drop(changed?),
            }
        }
        Ok(())
    }

    /// Changes owner and mode of what is staged, as those of the published record are being changed by its name.
    pub(in crate::fs) fn follow_attributes(&self, change: &AttributeChange) -> FsResult<()> {
        if let Content::Staged { staging, .. } = &self.state.lock().content {
            let owned = AttributeChange { accessed: None, modified: None, ..*change };
            staging.set_attributes(&owned)?;
        }
        Ok(())
    }

    /// Whether a close of this handle would publish anything, or has to be told of a failure. `None` if somebody is
    /// just doing something to the record.
    pub(in crate::fs) fn would_publish(&self, share: &Share) -> Option<bool> {
        let state = self.state.try_lock()?;
        Some(share.has_part_in(&state) && (state.is_changed() || self.failure.has_happened()))
    }

    /// After a failure, no call succeeds any more.
    pub(in crate::fs) fn refuse_after_failure(&self) -> FsResult<()> {
        self.failure.refuse()
    }

    /// Whether a close of this handle might publish only a truncation or creation.
    pub(in crate::fs) fn is_merely_opened(&self, share: &Share) -> bool {
        let state = self.state.lock();
        let change = matches!(
            &state.content,
            Content::Staged { change: Change::Opened | Change::Closed, .. }
        );
        change && share.has_part_in(&state)
    }

    /// A handle is being closed: publishes what it took part in. A truncation or creation alone is published if this is
    /// known to be its last descriptor; else it waits for the release. For who holds the record.
    pub(in crate::fs) fn close(
        &self,
        target: &Target<'_>,
        share: &Share,
        is_last: bool,
    ) -> FsResult<()> {
        let mut state = self.state.lock();
        if !share.has_part_in(&state) {
            return Ok(());
        }
        self.failure.refuse()?;
        match &mut state.content {
            Content::Staged { change: change @ (Change::Opened | Change::Closed), .. }
                if !is_last =>
            {
                *change = Change::Closed;
                *self.closed_at.lock() = Some(Instant::now());
                Ok(())
            }
            Content::Staged {
                change: Change::Opened | Change::Closed | Change::Written, ..
            } => self.publish_state(&mut state, target, false),
            _ => Ok(()),
        }
    }

    /// Publishes what is unpublished; with `durable`, so that it survives a power cut. For who holds the record.
    pub(in crate::fs) fn publish(&self, target: &Target<'_>, durable: bool) -> FsResult<()> {
        let mut state = self.state.lock();
        self.failure.refuse()?;
        if state.is_changed() {
            return self.publish_state(&mut state, target, durable);
        }
        let Place::At(_, key) = &state.place else { return Ok(()) };
        if !durable {
            return Ok(());
        }
        match target.store.sync_record(key) {
            // Somebody has removed what this session had published.
            Err(Error::NoSuchRecord { .. }) => Ok(()),
            synced => Ok(synced?),
        }
    }

    /// Publishes a record that is all its session's, or what a close has left to its release, before its name goes
    /// elsewhere. For who holds the record.
    pub(in crate::fs) fn publish_closed(&self, target: &Target<'_>) -> FsResult<()> {
        let mut state = self.state.lock();
        let is_due = matches!(
            state.content,
            Content::Staged { base: None, .. } | Content::Staged { change: Change::Closed, .. }
        );
        if !is_due {
            return Ok(());
        }
        self.failure.refuse()?;
        self.publish_state(&mut state, target, false)
    }

    /// A handle is gone: publishes what it took part in and no close has. For who holds the record.
    pub(in crate::fs) fn release(&self, target: &Target<'_>, share: &Share) -> FsResult<()> {
        let mut state = self.state.lock();
        let is_due = share.has_part_in(&state) && state.is_changed();
        let published = if is_due && !self.failure.has_happened() {
            self.publish_state(&mut state, target, false)
        } else {
            Ok(())
        };
        self.settle();
        published
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
        self.state.lock().place = Place::At(Arc::clone(store), key.clone());
    }

    /// The record's name is gone. For who holds the record.
    pub(in crate::fs) fn detach(&self) {
        self.state.lock().place = Place::Nowhere;
        self.is_unpublished.store(false, Ordering::SeqCst);
        self.settle();
    }

    /// Waits for the release that follows a close, if one has just been, so that what close() promised is true. Not for
    /// who holds the record: the release does.
    pub(in crate::fs) fn wait_for_release(&self) {
        let mut held_up: Option<Stragglers> = None;
        let mut closed_at = self.closed_at.lock();
        while let Some(at) = *closed_at {
            let waited = at.elapsed();
            let pause = if waited < RELEASE_FOLLOWS_WITHIN {
                RELEASE_FOLLOWS_WITHIN - waited
            } else {
                drop(closed_at);
                let are_left = held_up.get_or_insert_with(Stragglers::now).are_left();
                if waited >= RELEASE_IS_HELD_UP_FOR || !are_left {
                    return;
                }
                closed_at = self.closed_at.lock();
                LOOK_AT_THREADS_EVERY
            };
            self.settled.wait_for(&mut closed_at, pause);
        }
    }

    /// No release is to publish what a close has left.
    fn settle(&self) {
        *self.closed_at.lock() = None;
        self.settled.notify_all();
    }

    fn publish_state(
        &self,
        state: &mut MutexGuard<'_, State>,
        target: &Target<'_>,
        durable: bool,
    ) -> FsResult<()> {
        let Place::At(_, key) = state.place.clone() else {
            state.settle();
            return Ok(());
        };
        let (staging, base, change) =
            match std::mem::replace(&mut state.content, Content::Ended(None)) {
                Content::Staged { staging, base, change } => (staging, base, change),
                content => {
                    state.content = content;
                    return Ok(());
                }
            };
        let publish =
            PublishAs { content_type: target.content_type, durable, ..PublishAs::default() };
        let _panicked = self.failure.on_panic();
        match target.store.publish(&key, staging, &publish) {
            Ok(value) => {
                state.content = Content::Published(value);
                state.generation += 1;
                self.is_unpublished.store(false, Ordering::SeqCst);
                self.settle();
                Ok(())
            }
            Err((error, staging)) => {
                state.content = Content::Staged { staging, base, change };
                self.failure.note(&error);
                Err(error.into())
            }
        }
    }
}
