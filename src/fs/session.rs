//! Write sessions: all that are writing one record share one staging file (P3, P6).
//!
//! A session begins when a record is created or opened for writing and ends when its last handle is released.
//! It has an inode of its own, which only its writers see: what they write is in no cache of a reader. What a
//! session holds becomes the record when it is published: at close if anything was written, at fsync, and at
//! the latest at release. After that the session goes on from the version that it published.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::inode::{Ino, StoreNode};
use super::stragglers::Stragglers;
use super::{FsError, FsResult};
use crate::backend::{Staging, Value};
use crate::engine::{PublishAs, Store};
use crate::model::{AttributeChange, Attributes, ContentType, Error, Key, Stamp};

/// How long the inode of a session may wait for the open that was announced by a lookup. The kernel sends the
/// two back to back, so this only bounds what a caller leaves behind that is killed between them.
const OPEN_FOLLOWS_WITHIN: Duration = Duration::from_secs(2);

/// How long a look at a record waits for a release that the kernel has already queued.
///
/// A shell's `> file` closes a duplicate before it writes, so a close with nothing but a truncation behind it
/// must not publish. If it was the last close, the release follows at once and publishes; a look that comes
/// between the two waits for it, since close() has returned. Only a bound: nobody waits longer than it takes.
const RELEASE_FOLLOWS_WITHIN: Duration = Duration::from_millis(20);

/// How long is waited while the release may be in the hands of a thread that is held up.
const RELEASE_IS_HELD_UP_FOR: Duration = Duration::from_secs(1);

/// How often it is looked whether such a thread has come to rest.
const LOOK_AT_THREADS_EVERY: Duration = Duration::from_millis(1);

/// What a session holds that is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dirty {
    /// Nothing.
    Clean,
    /// The record was created or truncated by an open, and not written to.
    Opened,
    /// Bytes or a length.
    Written,
}

/// The writers of one record.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) ino: Ino,
    /// The number that `fstat` tells: the one that `stat` told before the open, since vim compares the two.
    pub(super) shown_ino: Ino,
    /// Who has the session open. A leaf lock.
    life: Mutex<Life>,
    /// Whether a write or publish failed: a part of what the writer meant is never published, and whoever opens
    /// the record next begins anew.
    failed: Failure,
    /// Rank 1: held over the backend's I/O for this one record, and before any table lock.
    state: Mutex<State>,
    /// Signalled when `state` has been published or released.
    settled: Condvar,
}

#[derive(Debug)]
struct Life {
    /// Open handles.
    handles: usize,
    /// Threads whose open a lookup has announced, and until when that counts.
    announced: Vec<(u32, Instant)>,
}

#[derive(Debug)]
struct State {
    store: Arc<StoreNode>,
    key: Key,
    /// The version that the writers go on from; `None` for a record that did not exist.
    base: Option<Arc<dyn Value>>,
    /// What they wrote; `None` until something differs from `base`.
    staging: Option<Box<dyn Staging>>,
    dirty: Dirty,
    /// Attributes of the base when the session ended.
    last_seen: Option<Attributes>,
    /// When a handle was closed while `dirty` was `Opened`.
    closed_at: Option<Instant>,
    /// Whether the name was removed or given to another record: what is written then has no name.
    detached: bool,
    /// Counts publishes, from 1.
    generation: u64,
}

/// What a handle has done that is not published: the session's generation at the time, or 0.
///
/// Closing a handle publishes only what it took part in. The kernel releases a handle some time after close() has
/// returned; by then the next writer may be in the middle of a new version of the same session.
#[derive(Debug, Default)]
pub(super) struct Share(AtomicU64);

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
pub(super) struct Target<'a> {
    pub(super) store: &'a Store,
    pub(super) content_type: Option<&'a ContentType>,
}

/// What a session leaves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ended {
    /// A version, under the session's name.
    Published(Attributes),
    /// A record was created that nobody will ever see.
    Unseen,
    /// What has no name, or cannot be looked at.
    Nameless,
}

impl Session {
    /// A session of a record that does not exist, holding its first bytes.
    pub(super) fn of_new_record(
        ino: Ino,
        store: Arc<StoreNode>,
        key: Key,
        staging: Box<dyn Staging>,
    ) -> Self {
        Self::new((ino, ino), store, key, None, Some(staging), Dirty::Opened)
    }

    /// A session of a published record.
    pub(super) fn of_record(
        ino: Ino,
        shown_ino: Ino,
        store: Arc<StoreNode>,
        key: Key,
        base: Arc<dyn Value>,
    ) -> Self {
        Self::new((ino, shown_ino), store, key, Some(base), None, Dirty::Clean)
    }

    fn new(
        (ino, shown_ino): (Ino, Ino),
        store: Arc<StoreNode>,
        key: Key,
        base: Option<Arc<dyn Value>>,
        staging: Option<Box<dyn Staging>>,
        dirty: Dirty,
    ) -> Self {
        let state = State {
            store,
            key,
            base,
            staging,
            dirty,
            last_seen: None,
            closed_at: None,
            detached: false,
            generation: 1,
        };
        let life = Life { handles: 0, announced: Vec::new() };
        Self {
            ino,
            shown_ino,
            life: Mutex::new(life),
            failed: Failure::default(),
            state: Mutex::new(state),
            settled: Condvar::new(),
        }
    }

    /// The record's store and key, now.
    pub(super) fn record(&self) -> (Arc<StoreNode>, Key) {
        let state = self.state.lock();
        (Arc::clone(&state.store), state.key.clone())
    }

    /// Announces the open that follows a thread's lookup.
    pub(super) fn announce(&self, thread: u32) {
        let mut life = self.life.lock();
        life.withdraw(thread);
        life.announced.push((thread, Instant::now() + OPEN_FOLLOWS_WITHIN));
    }

    /// What this thread has announced is done, without an open.
    pub(super) fn withdraw(&self, thread: u32) {
        self.life.lock().withdraw(thread);
    }

    /// Whether anybody has the session open or is about to.
    pub(super) fn is_live(&self) -> bool {
        self.life.lock().is_live()
    }

    /// Whether another writer may join.
    pub(super) fn is_joinable(&self) -> bool {
        !self.has_failed() && self.is_live()
    }

    fn has_failed(&self) -> bool {
        self.failed.number().is_some()
    }

    /// After a failure, what is staged may be in the record's place already, and must not change any more.
    fn refuse_after_failure(&self) -> FsResult<()> {
        self.failed.number().map_or(Ok(()), |number| Err(FsError::Failed(number)))
    }

    /// Goes on from the version that is the record now, if nothing is staged: an SDK may have replaced the one
    /// that the session began with. Gives back false if the record is gone, nothing is staged and nobody has the
    /// session open: whoever opens the name next must not come by its bytes.
    pub(super) fn refresh(&self, store: &Store) -> FsResult<bool> {
        let mut state = self.state.lock();
        let Some(base) = state.base.as_ref().filter(|_| state.staging.is_none()) else {
            return Ok(true);
        };
        match store.record(&state.key) {
            Ok(current) if !current.stamp.same_bytes(&base.attributes()?.stamp) => {
                state.base = Some(store.open_value(&state.key)?);
                Ok(true)
            }
            Ok(_) => Ok(true),
            Err(Error::NoSuchRecord { .. }) => Ok(self.life.lock().handles > 0),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the session holds a record that is created and was never published.
    pub(super) fn holds_new_record(&self) -> bool {
        let state = self.state.lock();
        state.base.is_none() && state.staging.is_some()
    }

    /// The version that the session has published or begun with, if the name is still its record's.
    pub(super) fn published_stamp(&self) -> Option<Stamp> {
        let state = self.state.lock();
        let base = state.base.as_ref().filter(|_| !state.detached)?;
        base.attributes().ok().map(|attributes| attributes.stamp)
    }

    /// Adds a handle.
    pub(super) fn add_handle(&self) {
        self.life.lock().handles += 1;
    }

    /// Takes back a handle.
    pub(super) fn remove_handle(&self) {
        let mut life = self.life.lock();
        life.handles = life.handles.saturating_sub(1);
    }

    /// The open that created the record takes its share in that.
    pub(super) fn take_part_in_creation(&self, share: &Share) {
        let state = self.state.lock();
        if state.base.is_none() {
            share.take_part(&state);
        }
    }

    /// Empties the record, as an open with `O_TRUNC` does.
    pub(super) fn truncate_at_open(&self, store: &Store, share: &Share) -> FsResult<()> {
        let mut state = self.state.lock();
        self.refuse_after_failure()?;
        state.set_len(store, 0)?;
        if state.dirty == Dirty::Clean {
            state.dirty = Dirty::Opened;
        }
        share.take_part(&state);
        Ok(())
    }

    /// Sets the length, through a handle or by name.
    pub(super) fn truncate(&self, store: &Store, len: u64, share: Option<&Share>) -> FsResult<()> {
        let mut state = self.state.lock();
        self.refuse_after_failure()?;
        state.set_len(store, len)?;
        state.dirty = Dirty::Written;
        if let Some(share) = share {
            share.take_part(&state);
        }
        Ok(())
    }

    /// Writes at an offset, or at the end if there is none.
    pub(super) fn write(
        &self,
        store: &Store,
        data: &[u8],
        offset: Option<u64>,
        share: &Share,
    ) -> FsResult<()> {
        let mut state = self.state.lock();
        self.refuse_after_failure()?;
        let _panicked = FailsOnPanic(&self.failed);
        let written = state.write(store, data, offset);
        share.take_part(&state);
        // A writer that was told of an error has not written what it meant to.
        if let Err(FsError::Storage(error @ Error::Io { .. })) = &written {
            self.failed.note(error);
        }
        written
    }

    /// Reserves room.
    pub(super) fn reserve(
        &self,
        store: &Store,
        offset: u64,
        len: u64,
        keep_size: bool,
        share: &Share,
    ) -> FsResult<()> {
        let mut state = self.state.lock();
        self.refuse_after_failure()?;
        state.staging(store)?.reserve(offset, len, keep_size)?;
        if !keep_size {
            state.dirty = Dirty::Written;
            share.take_part(&state);
        }
        Ok(())
    }

    /// Reads what the writers see.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
        let state = self.state.lock();
        match (&state.staging, &state.base) {
            (Some(staging), _) => Ok(staging.read_at(buffer, offset)?),
            (None, Some(base)) => Ok(base.read_at(buffer, offset)?),
            (None, None) => Ok(0),
        }
    }

    /// Attributes of what the writers see.
    pub(super) fn attributes(&self) -> FsResult<Attributes> {
        let state = self.state.lock();
        match (&state.staging, &state.base) {
            (Some(staging), _) => Ok(staging.attributes()?),
            (None, Some(base)) => Ok(base.attributes()?),
            (None, None) => state.last_seen.ok_or(FsError::Stale),
        }
    }

    /// Changes owner, mode and times: of what is staged, or of the published record if nothing is.
    pub(super) fn set_attributes(&self, store: &Store, change: &AttributeChange) -> FsResult<()> {
        let state = self.state.lock();
        if let Some(staging) = &state.staging {
            staging.set_attributes(change)?;
        } else if !state.detached {
            store.set_record_attributes(&state.key, change)?;
        }
        Ok(())
    }

    /// A handle is being closed: publishes what it took part in. An open's truncation alone waits for the release.
    pub(super) fn close(&self, target: &Target<'_>, share: &Share) -> FsResult<()> {
        let mut state = self.state.lock();
        if !share.has_part_in(&state) {
            return Ok(());
        }
        self.refuse_after_failure()?;
        match state.dirty {
            Dirty::Clean => Ok(()),
            Dirty::Opened => {
                state.closed_at = Some(Instant::now());
                Ok(())
            }
            Dirty::Written => self.publish_locked(&mut state, target, false),
        }
    }

    /// Publishes what is unpublished; with `durable`, so that it survives a power cut.
    pub(super) fn publish(&self, target: &Target<'_>, durable: bool) -> FsResult<()> {
        let mut state = self.state.lock();
        self.refuse_after_failure()?;
        if state.dirty == Dirty::Clean {
            if !durable || state.detached {
                return Ok(());
            }
            return match target.store.sync_record(&state.key) {
                // Somebody has removed what this session had published.
                Err(Error::NoSuchRecord { .. }) => Ok(()),
                synced => Ok(synced?),
            };
        }
        self.publish_locked(&mut state, target, durable)
    }

    /// A handle is gone: publishes what it took part in and no close has.
    pub(super) fn release(&self, target: &Target<'_>, share: &Share) -> FsResult<()> {
        let mut state = self.state.lock();
        let has_part = share.has_part_in(&state) && state.dirty != Dirty::Clean;
        let published = if has_part && !self.has_failed() {
            self.publish_locked(&mut state, target, false)
        } else {
            Ok(())
        };
        self.settled.notify_all();
        published
    }

    /// The last handle is gone: lets go of all that is open, since the kernel may remember the inode for long.
    pub(super) fn end(&self) -> Ended {
        let mut state = self.state.lock();
        state.staging = None;
        let base = state.base.take();
        state.last_seen = base.as_ref().and_then(|base| base.attributes().ok());
        match state.last_seen {
            Some(attributes) if !state.detached => Ended::Published(attributes),
            _ if base.is_none() && !state.detached => Ended::Unseen,
            _ => Ended::Nameless,
        }
    }

    /// The record has another name.
    pub(super) fn rename(&self, store: &Arc<StoreNode>, key: &Key) {
        let mut state = self.state.lock();
        state.store = Arc::clone(store);
        state.key = key.clone();
    }

    /// The record's name is gone: what the session still publishes goes nowhere, as with any unlinked file.
    pub(super) fn detach(&self) {
        self.state.lock().detached = true;
    }

    /// Waits for the release that follows a close, if one has just been, so that what close() promised is true.
    pub(super) fn settle(&self) {
        let mut held_up: Option<Stragglers> = None;
        let mut state = self.state.lock();
        while let Some(closed_at) = state.closed_unpublished_at() {
            let waited = closed_at.elapsed();
            let pause = if waited < RELEASE_FOLLOWS_WITHIN {
                RELEASE_FOLLOWS_WITHIN - waited
            } else {
                let may_come = waited < RELEASE_IS_HELD_UP_FOR
                    && MutexGuard::unlocked(&mut state, || {
                        held_up.get_or_insert_with(Stragglers::now).are_left()
                    });
                if !may_come {
                    return;
                }
                LOOK_AT_THREADS_EVERY
            };
            self.settled.wait_for(&mut state, pause);
        }
    }

    fn publish_locked(
        &self,
        state: &mut MutexGuard<'_, State>,
        target: &Target<'_>,
        durable: bool,
    ) -> FsResult<()> {
        let staging = if state.detached { None } else { state.staging.take() };
        let Some(staging) = staging else {
            state.settle_as_published();
            return Ok(());
        };
        let publish =
            PublishAs { content_type: target.content_type, durable, ..PublishAs::default() };
        let _panicked = FailsOnPanic(&self.failed);
        match target.store.publish(&state.key, staging, &publish) {
            Ok(value) => {
                state.base = Some(value);
                state.settle_as_published();
                self.settled.notify_all();
                Ok(())
            }
            Err((error, staging)) => {
                state.staging = Some(staging);
                self.failed.note(&error);
                Err(error.into())
            }
        }
    }
}

/// The error number of the first failure of a session; 0 as long as there is none.
#[derive(Debug, Default)]
struct Failure(AtomicI32);

impl Failure {
    fn number(&self) -> Option<i32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|number| *number != 0)
    }

    fn note(&self, error: &Error) {
        let number = match error {
            Error::Io { source, .. } => source.raw_os_error(),
            _ => None,
        };
        self.note_number(number.unwrap_or(libc::EIO));
    }

    fn note_number(&self, number: i32) {
        let _ = self.0.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Fails the session if a panic passes: what the writer meant is then not what is staged.
struct FailsOnPanic<'a>(&'a Failure);

impl Drop for FailsOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.note_number(libc::EIO);
        }
    }
}

impl Life {
    fn is_live(&self) -> bool {
        self.handles > 0 || self.announced.iter().any(|(_, until)| Instant::now() < *until)
    }

    fn withdraw(&mut self, thread: u32) {
        self.announced.retain(|(announced, _)| *announced != thread);
    }
}

impl State {
    fn settle_as_published(&mut self) {
        self.dirty = Dirty::Clean;
        self.closed_at = None;
        self.generation += 1;
    }

    /// When a handle was closed, if the release that may follow is to publish.
    fn closed_unpublished_at(&self) -> Option<Instant> {
        self.closed_at.filter(|_| self.dirty == Dirty::Opened && !self.detached)
    }

    /// What is staged, beginning with a copy of the base.
    fn staging(&mut self, store: &Store) -> FsResult<&dyn Staging> {
        let len = match &self.base {
            Some(base) if self.staging.is_none() => base.attributes()?.size,
            _ => 0,
        };
        self.staging_of(store, len)
    }

    /// What is staged, beginning with the first `len` bytes of the base if nothing was.
    fn staging_of(&mut self, store: &Store, len: u64) -> FsResult<&dyn Staging> {
        if self.staging.is_none() {
            let staging = store.stage()?;
            if let Some(base) = &self.base {
                staging.begin_with(&**base, len)?;
            }
            self.staging = Some(staging);
        }
        self.staging.as_deref().ok_or(FsError::Failed(libc::EIO))
    }

    fn set_len(&mut self, store: &Store, len: u64) -> FsResult<()> {
        let kept = match &self.base {
            Some(base) if self.staging.is_none() => base.attributes()?.size.min(len),
            _ => 0,
        };
        let staging = self.staging_of(store, kept)?;
        if staging.attributes()?.size != len {
            staging.set_len(len)?;
        }
        Ok(())
    }

    fn write(&mut self, store: &Store, data: &[u8], offset: Option<u64>) -> FsResult<()> {
        let staging = self.staging(store)?;
        let offset = match offset {
            Some(offset) => offset,
            None => staging.attributes()?.size,
        };
        staging.write_at(data, offset)?;
        self.dirty = Dirty::Written;
        self.closed_at = None;
        Ok(())
    }
}
