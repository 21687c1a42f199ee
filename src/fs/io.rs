//! Opening, reading, writing and closing files.

use std::sync::Arc;

use parking_lot::Mutex;

use super::control::{EditedText, MetadataEdit, PurgeTrigger};
use super::handle::Open;
use super::inode::{Node, StoreNode, VersionNode};
use super::name::Name;
use super::session::{Ended, Session, Share, Target};
use super::sessions::{IntentKind, Join};
use super::{Caller, Entry, FileSystem, FsError, FsResult, Handle, Ino};
use crate::engine::{Staging, Value};
use crate::model::Key;

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenMode {
    /// For writing.
    pub write: bool,
    /// Every write goes to the end.
    pub append: bool,
    /// Emptied at open.
    pub truncate: bool,
    /// Only if it is not there.
    pub exclusive: bool,
}

impl OpenMode {
    fn changes(self) -> bool {
        self.write || self.truncate
    }
}

/// The size in bytes from which the kernel reads a version itself, where it can. Giving it the file costs two system
/// calls, and what it reads so is copied again each time; smaller ones are read as fast or faster from its own cache.
/// Where the two meet was measured, see docs/PERFORMANCE.md.
const LARGE: u64 = 256 * 1024;

/// An open file, and how the kernel may cache it.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The handle.
    pub handle: Handle,
    /// Whether reads and writes bypass the kernel's cache: for texts that change by themselves.
    pub direct: bool,
    /// Whether what the kernel has cached of the inode is still right.
    pub keep_cache: bool,
    /// Whether closing needs no request.
    pub no_flush: bool,
    /// Whether it is a record that is being written, of which nobody else sees anything.
    pub for_writing: bool,
    /// A version whose file the kernel had better read itself.
    pub large: Option<Arc<dyn Value>>,
}

/// Reads of a text at an offset.
pub(super) fn read_text(text: &[u8], buffer: &mut [u8], offset: u64) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|offset| text.get(offset..));
    let rest = rest.unwrap_or_default();
    let count = rest.len().min(buffer.len());
    for (into, byte) in buffer.iter_mut().zip(rest) {
        *into = *byte;
    }
    count
}

impl FileSystem {
    /// Opens a file.
    ///
    /// # Errors
    /// [`FsError::Stale`] if the inode is not what its name shows now, or stands for a published version and is
    /// to be written: the kernel then looks the name up again and opens what it finds.
    pub fn open(&self, caller: &Caller, ino: Ino, mode: OpenMode) -> FsResult<Opened> {
        if mode.changes() {
            self.refuse_if_read_only()?;
        }
        match &*self.node(ino)? {
            Node::Root | Node::Stores | Node::Store(_) => Err(FsError::IsDirectory),
            Node::Status if mode.changes() => Err(FsError::NotPermitted),
            Node::Status => Ok(self.open_text(self.status_text())),
            Node::Text(text) => Ok(self.open_text(text.bytes.clone())),
            Node::Purge(store) => {
                let open = if mode.write {
                    let pulled = Mutex::new(false);
                    Open::Purge(PurgeTrigger { store: Arc::clone(store), pulled })
                } else {
                    Open::Text(self.purge_text(store))
                };
                Ok(self.direct(open))
            }
            Node::Metadata(store) => self.open_metadata(store, mode),
            Node::Version(version) if mode.changes() => {
                let (store, key) = (&version.store, version.key());
                self.intents.announce(caller.thread, store, &key, IntentKind::Write);
                Err(FsError::Stale)
            }
            Node::Version(version) => self.open_version(caller, version),
            Node::Writer(session) => {
                let (store, key) = session.record();
                self.intents.fulfil(caller.thread, &store, &key);
                // An open that comes late goes on from what is there by now.
                let goes_on = session.is_live() || session.refresh(&self.store(&store))?;
                if !goes_on || !self.sessions.open_announced(session, caller.thread) {
                    let kind =
                        if mode.changes() { IntentKind::Write } else { IntentKind::Read(None) };
                    self.intents.announce(caller.thread, &store, &key, kind);
                    return Err(FsError::Stale);
                }
                self.open_session(session, mode)
            }
        }
    }

    /// Creates and opens a file, or opens it if it is there and `mode` is not exclusive.
    ///
    /// # Errors
    /// [`FsError::Exists`], [`FsError::Reserved`], [`FsError::InvalidName`], [`FsError::NotUnicode`], and
    /// what the storage says of the key.
    pub fn create(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &[u8],
        permissions: u32,
        mode: OpenMode,
    ) -> FsResult<(Entry, Opened)> {
        self.refuse_if_read_only()?;
        let store = self.store_node(parent)?;
        match store.parse(name)? {
            Name::Purge | Name::Status => Err(FsError::Exists),
            Name::Metadata => self.create_metadata(&store, mode),
            Name::Record(key) => self.create_record(caller, &store, &key, permissions, mode),
        }
    }

    /// Reads at an offset; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// [`FsError::BadHandle`], and what the storage says.
    pub fn read(&self, handle: Handle, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
        match &*self.opened(handle)? {
            Open::Reader(value) => Ok(value.read_at(buffer, offset)?),
            Open::Writer { session, .. } => session.read(buffer, offset),
            Open::Text(bytes) => Ok(read_text(bytes, buffer, offset)),
            Open::Purge(trigger) => Ok(read_text(&self.purge_text(&trigger.store), buffer, offset)),
            Open::Metadata(edit) => Ok(read_text(&edit.text.lock().bytes, buffer, offset)),
            Open::Directory(_) => Err(FsError::IsDirectory),
        }
    }

    /// Writes at an offset, or at the end if the file was opened so.
    ///
    /// # Errors
    /// [`FsError::BadHandle`]; [`FsError::Invalid`] for anything but `1` into `@purge`; what the storage says.
    pub fn write(&self, handle: Handle, data: &[u8], offset: u64) -> FsResult<()> {
        self.refuse_if_read_only()?;
        match &*self.opened(handle)? {
            Open::Writer { session, append, share } => {
                let offset = (!append).then_some(offset);
                session.write(&self.store_of(session), data, offset, share)
            }
            Open::Purge(trigger) => self.write_purge(trigger, data, offset),
            Open::Metadata(edit) => self.write_metadata(edit, data, offset),
            Open::Reader(_) | Open::Text(_) | Open::Directory(_) => Err(FsError::BadHandle),
        }
    }

    /// Reserves room for a file that is being written.
    ///
    /// # Errors
    /// [`FsError::BadHandle`], and what the storage says.
    pub fn reserve(&self, handle: Handle, offset: u64, len: u64, keep_size: bool) -> FsResult<()> {
        match &*self.opened(handle)? {
            Open::Writer { session, share, .. } => {
                session.reserve(&self.store_of(session), offset, len, keep_size, share)
            }
            _ => Err(FsError::BadHandle),
        }
    }

    /// A descriptor of the handle is being closed: what was written is published, and the writer is told if that
    /// fails (P3, P7).
    ///
    /// # Errors
    /// What the storage says; [`FsError::Failed`] if an earlier write had failed.
    pub fn flush(&self, handle: Handle) -> FsResult<()> {
        match &*self.opened(handle)? {
            Open::Writer { session, share, .. } => {
                self.with_target(session, |target| session.close(target, share))
            }
            Open::Metadata(edit) => self.keep_metadata(edit),
            _ => Ok(()),
        }
    }

    /// Publishes what was written and makes it durable (P5). A handle for reading makes the record durable that has
    /// the name now, whoever has published it.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn fsync(&self, ino: Ino, handle: Handle) -> FsResult<()> {
        if self.is_without_opens() {
            return Ok(());
        }
        match &*self.opened(handle)? {
            Open::Writer { session, .. } => self.publish(session, true),
            Open::Metadata(edit) => {
                self.keep_metadata(edit)?;
                Ok(self.store(&edit.store).sync()?)
            }
            Open::Reader(_) if !self.options.read_only => match &*self.node(ino)? {
                Node::Version(version) => {
                    match self.store(&version.store).sync_record(&version.key()) {
                        Err(crate::Error::NoSuchRecord { .. }) => Ok(()),
                        synced => Ok(synced?),
                    }
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Makes a directory's records durable, or which stores there are.
    ///
    /// # Errors
    /// What the storage says.
    pub fn fsyncdir(&self, ino: Ino) -> FsResult<()> {
        match &*self.node(ino)? {
            _ if self.options.read_only => Ok(()),
            Node::Store(store) => Ok(self.store(store).sync()?),
            Node::Root | Node::Stores => Ok(self.storage.sync_stores()?),
            _ => Ok(()),
        }
    }

    /// The last descriptor of the handle is closed.
    pub fn release(&self, handle: Handle) {
        let Some(open) = self.handles.remove(handle) else { return };
        match &*open {
            Open::Writer { session, share, .. } => self.leave(session, share),
            Open::Metadata(edit) => {
                if let Err(error) = self.keep_metadata(edit) {
                    self.log_late_failure("the metadata", &error);
                }
            }
            _ => {}
        }
    }

    fn opened(&self, handle: Handle) -> FsResult<Arc<Open>> {
        self.handles.get(handle).ok_or(FsError::BadHandle)
    }

    fn open_text(&self, text: Vec<u8>) -> Opened {
        Opened { no_flush: true, ..self.direct(Open::Text(text)) }
    }

    fn direct(&self, open: Open) -> Opened {
        let handle = self.handles.insert(open);
        Opened {
            handle,
            direct: true,
            keep_cache: false,
            no_flush: false,
            for_writing: false,
            large: None,
        }
    }

    fn open_version(&self, caller: &Caller, version: &VersionNode) -> FsResult<Opened> {
        let (store, key) = (&version.store, version.key());
        let is_own = |value: &Arc<dyn Value>| {
            value.attributes().is_ok_and(|own| own.stamp.same_bytes(&version.stamp()))
        };
        let value = match self.intents.take_pinned(caller.thread, is_own) {
            Some(value) => value,
            None => {
                self.settle(store, &key);
                let value = match self.store(store).open_value(&key) {
                    // The name may stand for something else by now; if for nothing, the next lookup tells.
                    Err(crate::Error::NoSuchRecord { .. }) => {
                        self.intents.announce(caller.thread, store, &key, IntentKind::Read(None));
                        return Err(FsError::Stale);
                    }
                    value => value?,
                };
                if value.attributes()?.stamp != version.stamp() {
                    self.intents.announce(caller.thread, store, &key, IntentKind::Read(None));
                    return Err(FsError::Stale);
                }
                value
            }
        };
        let value = version.share_value(value);
        // The kernel notes a time of access where it reads a file itself.
        let is_passed = self.options.passthrough && !self.options.read_only;
        let is_large = is_passed && version.attributes().size >= LARGE;
        let large = is_large.then(|| Arc::clone(&value));
        let handle = self.handles.insert(Open::Reader(value));
        Ok(Opened {
            handle,
            direct: false,
            keep_cache: version.keeps_cache(),
            no_flush: true,
            for_writing: false,
            large,
        })
    }

    fn open_session(&self, session: &Arc<Session>, mode: OpenMode) -> FsResult<Opened> {
        let share = Share::default();
        session.take_part_in_creation(&share);
        if mode.truncate
            && let Err(error) = session.truncate_at_open(&self.store_of(session), &share)
        {
            self.sessions.leave(session);
            return Err(error);
        }
        let open = Open::Writer { session: Arc::clone(session), append: mode.append, share };
        let handle = self.handles.insert(open);
        // Pages may be of a version that the session went on from before an SDK replaced it.
        Ok(Opened {
            handle,
            direct: false,
            keep_cache: false,
            no_flush: false,
            for_writing: true,
            large: None,
        })
    }

    fn open_metadata(&self, store: &Arc<StoreNode>, mode: OpenMode) -> FsResult<Opened> {
        let text = self.store(store).metadata_text()?.ok_or(FsError::NotFound)?;
        if !mode.changes() {
            return Ok(self.open_text(text.bytes));
        }
        let bytes = if mode.truncate { Vec::new() } else { text.bytes };
        Ok(self.edit_metadata(store, bytes))
    }

    fn edit_metadata(&self, store: &Arc<StoreNode>, bytes: Vec<u8>) -> Opened {
        let text = Mutex::new(EditedText { bytes, dirty: false });
        self.direct(Open::Metadata(MetadataEdit { store: Arc::clone(store), text }))
    }

    /// Truncating the metadata to nothing waits for the text that follows; alone it changes nothing.
    pub(super) fn truncate_metadata(&self, handle: Option<Handle>, size: u64) -> FsResult<()> {
        let open = handle.and_then(|handle| self.handles.get(handle));
        let Some(Open::Metadata(edit)) = open.as_deref() else { return Err(FsError::NotPermitted) };
        let mut text = edit.text.lock();
        let size = usize::try_from(size).map_err(|_| FsError::TooLarge)?;
        if size > text.bytes.len() {
            return Err(FsError::Invalid);
        }
        text.bytes.truncate(size);
        text.dirty = size > 0;
        Ok(())
    }

    fn create_metadata(&self, store: &Arc<StoreNode>, mode: OpenMode) -> FsResult<(Entry, Opened)> {
        let ino = self.inodes.metadata(store);
        let kept = self.store(store).metadata_text()?;
        let attr = match &kept {
            Some(_) if mode.exclusive => {
                self.forget(ino, 1);
                return Err(FsError::Exists);
            }
            Some(text) => self.file(ino, text.attributes),
            None => self.virtual_file(ino, 0o644, Some(&self.store(store).attributes()?)),
        };
        let bytes = kept.filter(|_| !mode.truncate).map(|text| text.bytes).unwrap_or_default();
        Ok((Entry::unkept(attr), self.edit_metadata(store, bytes)))
    }

    fn create_record(
        &self,
        caller: &Caller,
        store: &Arc<StoreNode>,
        key: &Key,
        permissions: u32,
        mode: OpenMode,
    ) -> FsResult<(Entry, Opened)> {
        // An open that was announced has become this: its announcement must not lead a later lookup.
        self.intents.fulfil(caller.thread, store, key);
        self.store(store).check_key(key)?;
        let session = self.session_for_create(caller, store, key, permissions, mode.exclusive)?;
        let opened = self.open_session(&session, mode)?;
        self.inodes.count_writer_lookup(&session);
        let attr = self.file(session.ino, session.attributes()?);
        Ok((Entry::unkept(attr), opened))
    }

    /// The session of a record that is created, or of the one that is there already, with a handle added.
    fn session_for_create(
        &self,
        caller: &Caller,
        store: &Arc<StoreNode>,
        key: &Key,
        permissions: u32,
        exclusive: bool,
    ) -> FsResult<Arc<Session>> {
        let _held = self.sessions.begin_lock(store, key);
        if let Some(session) = self.joined_session(store, key, Join::Open)? {
            if exclusive {
                self.sessions.leave(&session);
                return Err(FsError::Exists);
            }
            return Ok(session);
        }
        match self.store(store).open_value(key) {
            Ok(_) if exclusive => Err(FsError::Exists),
            Ok(base) => Ok(self.begin_on(base, store, key, Join::Open)),
            Err(crate::Error::NoSuchRecord { .. }) => {
                let staging = self.stage_for(caller, store, permissions)?;
                let ino = self.inodes.writer_number();
                let session = Session::of_new_record(ino, Arc::clone(store), key.clone(), staging);
                let session = Arc::new(session);
                self.sessions.begin(store, key, Join::Open, &session);
                Ok(session)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Joins the write session of a record that is there, beginning one if need be.
    pub(super) fn session_of_record(
        &self,
        store: &Arc<StoreNode>,
        key: &Key,
        how: Join,
    ) -> FsResult<Arc<Session>> {
        let _held = self.sessions.begin_lock(store, key);
        if let Some(session) = self.joined_session(store, key, how)? {
            return Ok(session);
        }
        let base = self.store(store).open_value(key)?;
        Ok(self.begin_on(base, store, key, how))
    }

    /// Joins the write session of a record, if it has one. The caller holds its begin lock.
    fn joined_session(
        &self,
        store: &StoreNode,
        key: &Key,
        how: Join,
    ) -> FsResult<Option<Arc<Session>>> {
        if let Some(session) = self.sessions.get(store, key)
            && !session.refresh(&self.store(store))?
        {
            self.detach_session(store, key);
            return Ok(None);
        }
        Ok(self.sessions.join(store, key, how))
    }

    fn begin_on(
        &self,
        base: Arc<dyn Value>,
        store: &Arc<StoreNode>,
        key: &Key,
        how: Join,
    ) -> Arc<Session> {
        let ino = self.inodes.writer_number();
        let shown = self.inodes.known_version(store, key).unwrap_or(ino);
        let session = Session::of_record(ino, shown, Arc::clone(store), key.clone(), base);
        let session = Arc::new(session);
        self.sessions.begin(store, key, how, &session);
        session
    }

    /// Staging for a record that the caller creates. A daemon that serves other users makes their files theirs.
    fn stage_for(
        &self,
        caller: &Caller,
        store: &StoreNode,
        permissions: u32,
    ) -> FsResult<Box<dyn Staging>> {
        let staging = self.store(store).stage()?;
        let made = staging.attributes()?;
        staging.set_attributes(&caller.owning(permissions, &made))?;
        Ok(staging)
    }

    /// Takes back a handle of a session and publishes what is left in it.
    fn leave(&self, session: &Arc<Session>, share: &Share) {
        let released = self.with_target(session, |target| session.release(target, share));
        let (store, key) = session.record();
        if let Err(error) = released {
            self.log_late_failure(&format!("record '{key}' of store '{}'", store.name()), &error);
        }
        // Nobody begins a session of the record before the version that this one leaves has its inode.
        let _held = self.sessions.begin_lock(&store, &key);
        if self.sessions.leave(session) {
            match session.end() {
                Ended::Published(attributes) => {
                    let (store, key) = session.record();
                    self.inodes.settle_writer(session.ino, &store, &key, &attributes);
                }
                Ended::Unseen => self.hand_set.forget(&store.name(), &key),
                Ended::Nameless => {}
            }
        }
    }

    /// A change by path is done: no open follows, and so no release.
    pub(super) fn leave_unopened(&self, session: &Arc<Session>, caller: &Caller) {
        if self.sessions.withdraw(session, caller.thread) && matches!(session.end(), Ended::Unseen)
        {
            let (store, key) = session.record();
            self.hand_set.forget(&store.name(), &key);
        }
    }

    pub(super) fn publish(&self, session: &Session, durable: bool) -> FsResult<()> {
        self.with_target(session, |target| session.publish(target, durable))
    }

    fn with_target(
        &self,
        session: &Session,
        act: impl FnOnce(&Target<'_>) -> FsResult<()>,
    ) -> FsResult<()> {
        let (store, key) = session.record();
        let store = self.store(&store);
        let content_type = self.hand_set.get(&store, &key)?;
        let done = act(&Target { store: &store, content_type: content_type.as_ref() });
        self.forget_trust(session);
        done
    }

    fn store_of(&self, session: &Session) -> crate::engine::Store {
        self.store(&session.record().0)
    }

    fn log_late_failure(&self, what: &str, error: &FsError) {
        self.late_failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        log::error!("{what} could not be published after its last close: {error}");
    }
}
