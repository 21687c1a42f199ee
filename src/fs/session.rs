//! Write sessions: all that are writing one record share one staging file (P3, P6).
//!
//! A session begins when a record is created or opened for writing and ends when its last handle is released.
//! It has an inode of its own, which only its writers see: what they write is in no cache of a reader. What a
//! session holds becomes the record when it is published: at close if anything was written, at fsync, and at
//! the latest at release. After that the session goes on from the version that it published.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::inode::{Ino, StoreNode};
use super::{FsError, FsResult};
use crate::backend::{Staging, Value};
use crate::engine::{PublishAs, Store};
use crate::model::{AttributeChange, Attributes, ContentType, Error, Key};

/// How long the inode of a session may wait for the open that was announced by a lookup. The kernel sends the
/// two back to back, so this only bounds what a caller leaves behind that is killed between them.
const OPEN_FOLLOWS_WITHIN: Duration = Duration::from_secs(2);

/// How long a look at a record waits for a release that the kernel has already queued.
///
/// A shell's `> file` closes a duplicate before it writes, so a close with nothing but a truncation behind it
/// must not publish. If it was the last close, the release follows at once and publishes; a look that comes
/// between the two waits for it, since close() has returned. Only a bound: nobody waits longer than it takes.
const RELEASE_FOLLOWS_WITHIN: Duration = Duration::from_millis(20);

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
    /// Who has the session open. A leaf lock.
    life: Mutex<Life>,
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
    /// When a handle was closed while `dirty` was `Opened`.
    closed_at: Option<Instant>,
    /// Whether the name was removed or given to another record: what is written then has no name.
    detached: bool,
    /// Whether a write or publish failed: a part of what the writer meant is never published.
    failed: bool,
}

/// Where a session publishes to, and the content type if one was set by hand.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) store: &'a Store,
    pub(super) content_type: Option<&'a ContentType>,
}

impl Session {
    /// A session of a record that does not exist, holding its first bytes.
    pub(super) fn of_new_record(
        ino: Ino,
        store: Arc<StoreNode>,
        key: Key,
        staging: Box<dyn Staging>,
    ) -> Self {
        Self::new(ino, store, key, None, Some(staging), Dirty::Opened)
    }

    /// A session of a published record.
    pub(super) fn of_record(
        ino: Ino,
        store: Arc<StoreNode>,
        key: Key,
        base: Arc<dyn Value>,
    ) -> Self {
        Self::new(ino, store, key, Some(base), None, Dirty::Clean)
    }

    fn new(
        ino: Ino,
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
            closed_at: None,
            detached: false,
            failed: false,
        };
        let life = Life { handles: 0, announced: Vec::new() };
        Self { ino, life: Mutex::new(life), state: Mutex::new(state), settled: Condvar::new() }
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

    /// Whether anybody has the session open or is about to.
    pub(super) fn is_live(&self) -> bool {
        self.life.lock().is_live()
    }

    /// Adds a handle.
    pub(super) fn add_handle(&self) {
        self.life.lock().handles += 1;
    }

    /// Adds the handle of an open by inode: one that was announced, or one that writes. Gives back false if it is
    /// neither, or if the session has ended.
    pub(super) fn add_announced_handle(&self, thread: u32, writes: bool) -> bool {
        let mut life = self.life.lock();
        if !life.is_live() || !(writes || life.is_announced(thread)) {
            return false;
        }
        life.withdraw(thread);
        life.handles += 1;
        true
    }

    /// Takes back a handle.
    pub(super) fn remove_handle(&self) {
        let mut life = self.life.lock();
        life.handles = life.handles.saturating_sub(1);
    }

    /// Whether the record was there, or published since.
    pub(super) fn has_record(&self) -> bool {
        self.state.lock().base.is_some()
    }

    /// Empties the record, as an open with `O_TRUNC` does.
    pub(super) fn truncate_at_open(&self, store: &Store) -> FsResult<()> {
        let mut state = self.state.lock();
        state.set_len(store, 0)?;
        if state.dirty == Dirty::Clean {
            state.dirty = Dirty::Opened;
        }
        Ok(())
    }

    /// Sets the length.
    pub(super) fn truncate(&self, store: &Store, len: u64) -> FsResult<()> {
        let mut state = self.state.lock();
        state.set_len(store, len)?;
        state.dirty = Dirty::Written;
        Ok(())
    }

    /// Writes at an offset, or with `append` at the end. Gives back where the bytes went.
    pub(super) fn write(
        &self,
        store: &Store,
        data: &[u8],
        offset: u64,
        append: bool,
    ) -> FsResult<()> {
        let mut state = self.state.lock();
        let written = state.write(store, data, offset, append);
        state.fail_on_error(written)
    }

    /// Reserves room.
    pub(super) fn reserve(
        &self,
        store: &Store,
        offset: u64,
        len: u64,
        keep_size: bool,
    ) -> FsResult<()> {
        let mut state = self.state.lock();
        state.staging(store)?.reserve(offset, len, keep_size)?;
        if !keep_size {
            state.dirty = Dirty::Written;
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
            (None, None) => Err(FsError::Stale),
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

    /// A handle is being closed: publishes what was written. An open's truncation alone waits for the release.
    pub(super) fn close(&self, target: &Target<'_>) -> FsResult<()> {
        let mut state = self.state.lock();
        if state.failed {
            return Err(FsError::Failed);
        }
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
        if state.failed {
            return Err(FsError::Failed);
        }
        if state.dirty == Dirty::Clean {
            return if durable && !state.detached { Ok(target.store.sync()?) } else { Ok(()) };
        }
        self.publish_locked(&mut state, target, durable)
    }

    /// A handle is gone: publishes what is left.
    pub(super) fn release(&self, target: &Target<'_>) -> FsResult<()> {
        let mut state = self.state.lock();
        let published = if state.failed || state.dirty == Dirty::Clean {
            Ok(())
        } else {
            self.publish_locked(&mut state, target, false)
        };
        self.settled.notify_all();
        published
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
        let mut state = self.state.lock();
        while let Some(deadline) = state.settles_by() {
            if self.settled.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }

    fn publish_locked(
        &self,
        state: &mut MutexGuard<'_, State>,
        target: &Target<'_>,
        durable: bool,
    ) -> FsResult<()> {
        if state.detached {
            state.dirty = Dirty::Clean;
            return Ok(());
        }
        let Some(staging) = state.staging.take() else {
            state.dirty = Dirty::Clean;
            return Ok(());
        };
        let publish =
            PublishAs { content_type: target.content_type, durable, ..PublishAs::default() };
        match target.store.publish(&state.key, staging, &publish) {
            Ok(value) => {
                state.base = Some(value);
                state.dirty = Dirty::Clean;
                state.closed_at = None;
                self.settled.notify_all();
                Ok(())
            }
            Err((error, staging)) => {
                state.staging = Some(staging);
                state.failed = true;
                Err(error.into())
            }
        }
    }
}

impl Life {
    fn is_live(&self) -> bool {
        self.handles > 0 || self.announced.iter().any(|(_, until)| Instant::now() < *until)
    }

    fn is_announced(&self, thread: u32) -> bool {
        self.announced.iter().any(|(announced, _)| *announced == thread)
    }

    fn withdraw(&mut self, thread: u32) {
        self.announced.retain(|(announced, _)| *announced != thread);
    }
}

impl State {
    /// Until when a release is expected that publishes; `None` if there is nothing to wait for.
    fn settles_by(&self) -> Option<Instant> {
        if self.dirty != Dirty::Opened || self.detached || self.failed {
            return None;
        }
        let deadline = self.closed_at? + RELEASE_FOLLOWS_WITHIN;
        (Instant::now() < deadline).then_some(deadline)
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
        self.staging.as_deref().ok_or(FsError::Failed)
    }

    fn set_len(&mut self, store: &Store, len: u64) -> FsResult<()> {
        let kept = match &self.base {
            Some(base) if self.staging.is_none() => base.attributes()?.size.min(len),
            _ => 0,
        };
        self.staging_of(store, kept)?.set_len(len)?;
        Ok(())
    }

    fn write(&mut self, store: &Store, data: &[u8], offset: u64, append: bool) -> FsResult<()> {
        let staging = self.staging(store)?;
        let offset = if append { staging.attributes()?.size } else { offset };
        staging.write_at(data, offset)?;
        self.dirty = Dirty::Written;
        self.closed_at = None;
        Ok(())
    }

    /// A writer that was told of an error has not written what it meant to: the rest is never published.
    fn fail_on_error(&mut self, outcome: FsResult<()>) -> FsResult<()> {
        if let Err(FsError::Storage(Error::Io { .. })) = &outcome {
            self.failed = true;
        }
        outcome
    }
}
