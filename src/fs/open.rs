//! Opening and creating files.

use std::sync::Arc;

use super::control::PurgeTrigger;
use super::entry::{Caller, Entry, SET_GROUP_ID};
use super::error::{FsError, FsResult};
use super::handle::{Follower, Handle, Open, Writer};
use super::ino::Ino;
use super::locks::On;
use super::name::Name;
use super::permits::Access;
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::versions::{Node, Ticket, VersionNode};
use super::writers::{Absence, Announced, Join, Purpose, Share, StagedRecord, WriteSession};
use crate::engine::{Staged, Value};
use crate::failpoint;
use crate::model::{Error, Key};

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenMode {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Emptied at open.
    pub truncate: bool,
    /// Only if it is not there.
    pub exclusive: bool,
}

impl OpenMode {
    pub(super) fn changes(self) -> bool {
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
    /// Whether it is a record that is being written, so that its bytes change.
    pub is_written: bool,
    /// Whether what is written through it may come from a memory map, which shares pages with every other writer.
    pub is_mappable: bool,
    /// A version whose file the kernel had better read itself.
    pub large: Option<Arc<dyn Value>>,
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
        let node = self.node(ino)?;
        let opened = self.open_node(caller, ino, &node, mode)?;
        self.keep_reader(ino, opened.handle, &node);
        Ok(opened)
    }

    fn open_node(
        &self,
        caller: &Caller,
        ino: Ino,
        node: &Node,
        mode: OpenMode,
    ) -> FsResult<Opened> {
        match node {
            Node::Root | Node::Stores | Node::Private(_) | Node::Store(_) => {
                Err(FsError::IsDirectory)
            }
            Node::Status if mode.changes() => Err(FsError::NotPermitted),
            Node::Status => Ok(self.open_text(self.status_text())),
            Node::Log => self.open_log(mode),
            Node::Text(text) => Ok(self.open_text(text.bytes.clone())),
            Node::Items(_) if mode.changes() => Err(FsError::NotPermitted),
            Node::Items(items) => Ok(self.open_items(items)),
            Node::Purge(store) if mode.write => {
                Ok(self
                    .direct(Open::Purge(PurgeTrigger::new(Arc::clone(store), self.purger(caller)))))
            }
            Node::Purge(store) => Ok(self.direct(Open::Text(self.purge_text(store)))),
            Node::Metadata(node) => self.open_metadata(node, mode),
            Node::Version(version) if mode.changes() => {
                self.refuse_overwrite_of(&version.store, &version.key())?;
                self.open_version_to_write(caller, ino, version, mode)
            }
            Node::Version(version) => self.open_version(caller, ino, version),
            Node::Ticket(ticket) => self.open_ticket(caller, ino, ticket, mode),
            Node::Writer(session) if mode.changes() => self.open_writer(caller, ino, session, mode),
            Node::Writer(session) => self.open_follower(caller, ino, session),
        }
    }

    /// The bytes that the lookup of this open has brought along, if it has: [`open_foreseen`](Self::open_foreseen) takes
    /// them, and waits for nothing.
    #[must_use]
    pub fn foreseen(&self, caller: &Caller, ino: Ino, mode: OpenMode) -> Option<Arc<dyn Value>> {
        if !self.is_remote || mode.changes() {
            return None;
        }
        self.writers.announcements().take_version(caller.thread, ino)
    }

    /// Opens for reading what a lookup has brought along.
    ///
    /// # Errors
    /// [`FsError::Stale`] if the inode stands for no version.
    pub fn open_foreseen(&self, ino: Ino, value: Arc<dyn Value>) -> FsResult<Opened> {
        let node = self.node(ino)?;
        let Node::Version(version) = &*node else { return Err(FsError::Stale) };
        let opened = self.open_value(version, value)?;
        self.keep_reader(ino, opened.handle, &node);
        Ok(opened)
    }

    /// Creates and opens a file, or opens it if it is there and `mode` is not exclusive.
    ///
    /// # Errors
    /// [`FsError::Exists`], [`FsError::Reserved`], [`FsError::NotUnicode`], and
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
        // An open that was announced has become this: its announcement must not lead a later lookup.
        self.withdraw(caller);
        let store = self.store_node(parent)?;
        match store.parse(name)? {
            Name::Purge | Name::Status | Name::Log | Name::Items(_) => Err(FsError::Exists),
            Name::Metadata(name) => self.create_metadata(caller, &store, &name, permissions, mode),
            Name::Record(key) => self.create_record(caller, &store, &key, permissions, mode),
        }
    }

    /// Answers an open so that the kernel looks the name up again, and is led to what it is for.
    pub(super) fn look_again(
        &self,
        caller: &Caller,
        store: &StoreNode,
        purpose: Purpose,
    ) -> FsError {
        self.writers.announcements().announce(caller.thread, store, purpose);
        FsError::Stale
    }

    pub(super) fn open_text(&self, text: Vec<u8>) -> Opened {
        Opened { no_flush: true, ..self.direct(Open::Text(text)) }
    }

    pub(super) fn direct(&self, open: Open) -> Opened {
        Opened { direct: true, ..self.opened_as(open) }
    }

    pub(super) fn opened_as(&self, open: Open) -> Opened {
        Opened {
            handle: self.handles.insert(open),
            direct: false,
            keep_cache: false,
            no_flush: false,
            is_written: false,
            is_mappable: false,
            large: None,
        }
    }

    fn open_version(&self, caller: &Caller, ino: Ino, version: &VersionNode) -> FsResult<Opened> {
        let store = &version.store;
        let announced = self.announced(caller, store, ino);
        let comes_by_no_name = announced.comes_by_no_name;
        let value = match announced.held {
            // Held by the lookup, and to be opened whatever has become of the record since then.
            Some(value) => value,
            None => {
                let key = version.key();
                if let Some(session) = self.writers.get(store, &key) {
                    session.wait_for_release();
                }
                let value = match self.store(store).open_value(&key) {
                    // The name may stand for something else by now; if for nothing, the next lookup tells.
                    Err(Error::NoSuchRecord { .. }) => None,
                    value => Some(value?),
                };
                let stamp = value.as_ref().map(|value| value.attributes()).transpose()?;
                match value {
                    Some(value) if stamp.is_some_and(|it| it.stamp == version.stamp()) => value,
                    // Who has come by a descriptor of it, and not by its name, goes on with that.
                    _ => match version.open_value().filter(|_| comes_by_no_name) {
                        Some(value) => value,
                        None => return Err(self.look_again(caller, store, Purpose::Read)),
                    },
                }
            }
        };
        self.open_value(version, value)
    }

    fn open_value(&self, version: &VersionNode, value: Arc<dyn Value>) -> FsResult<Opened> {
        let value = version.share_value(value);
        // The kernel notes a time of access where it reads a file itself.
        let is_passed = self.options.passthrough && !self.options.read_only;
        let is_large = is_passed && version.attributes().size >= LARGE;
        let large = is_large.then(|| Arc::clone(&value));
        // Only Crawlee JS 3 writes in place: then pages may be of what the version was before.
        let is_unchanged = value.attributes()?.stamp.same_bytes(&version.stamp());
        let keep_cache = version.keeps_cache() && is_unchanged;
        // A close must be told where it gives back locks.
        let no_flush = !self.locks.are_on(&On::Record(version.store.record(&version.key())));
        Ok(Opened { keep_cache, no_flush, large, ..self.opened_as(Open::Reader(value)) })
    }

    fn announced(&self, caller: &Caller, store: &StoreNode, ino: Ino) -> Announced {
        self.writers.announcements().end(caller.thread, store.ino, ino)
    }

    /// Whether an open of a session's inode was led there by a look again; it is led no further.
    fn is_second(&self, caller: &Caller, record: Option<&(Arc<StoreNode>, Key)>, ino: Ino) -> bool {
        record.is_some_and(|(store, _)| self.announced(caller, store, ino).is_second)
    }

    /// A version that is to be written is looked up again, so that the caller is led to the writers. If he was, and they
    /// have left this version to their inode meanwhile, it is theirs once more, unless somebody reads by it: what is
    /// written would change the size that the kernel tells readers. Nor if the record has another version by now.
    fn open_version_to_write(
        &self,
        caller: &Caller,
        ino: Ino,
        version: &VersionNode,
        mode: OpenMode,
    ) -> FsResult<Opened> {
        let is_second = self.announced(caller, &version.store, ino).is_second;
        let (store, key) = (&version.store, version.key());
        let is_current = || {
            let current = self.store(store).record(&key);
            current.is_ok_and(|current| current.stamp.same_bytes(&version.stamp()))
        };
        if is_second && version.open_value().is_none() && is_current() {
            return self.open_as_writer(caller, ino, (store, &key), mode);
        }
        Err(self.look_again(caller, store, Purpose::Write))
    }

    /// An inode becomes one of the writers'.
    fn open_as_writer(
        &self,
        caller: &Caller,
        ino: Ino,
        (store, key): (&Arc<StoreNode>, &Key),
        mode: OpenMode,
    ) -> FsResult<Opened> {
        let share = Share::of(caller, mode.read);
        let session = match self.session_of_record(store, key, Join::Open(&share)) {
            Err(FsError::Storage(error)) if error.is_not_found() => {
                return Err(self.look_again(caller, store, Purpose::Write));
            }
            session => session?,
        };
        self.versions.become_writer(ino, &session);
        // Past the kernel's cache, which goes by the inode: other writers may have come by another one.
        let opened = self.open_session(&session, share, mode, false)?;
        Ok(Opened { is_mappable: false, keep_cache: false, ..opened })
    }

    /// What one lookup has found for this open alone: it becomes what the open is for.
    fn open_ticket(
        &self,
        caller: &Caller,
        ino: Ino,
        ticket: &Ticket,
        mode: OpenMode,
    ) -> FsResult<Opened> {
        let version = &ticket.version;
        self.announced(caller, &version.store, ino);
        if mode.changes() {
            self.refuse_overwrite_of(&version.store, &version.key())?;
            return self.open_as_writer(caller, ino, (&version.store, &version.key()), mode);
        }
        match ticket.take() {
            Some(value) => self.open_value(version, value),
            None => self.open_version(caller, ino, version),
        }
    }

    /// An open for writing, of the inode that was looked up for it.
    fn open_writer(
        &self,
        caller: &Caller,
        ino: Ino,
        session: &Arc<WriteSession>,
        mode: OpenMode,
    ) -> FsResult<Opened> {
        let record = session.record();
        let is_second = self.is_second(caller, record.as_ref(), ino);
        if let Some((store, key)) = &record {
            self.refuse_overwrite_of(store, key)?;
        }
        let is_as_looked_up = self.writers.is_open_expected(session, caller.thread)
            && (mode.truncate || self.is_as_begun(session, record.as_ref())?);
        // Else it goes on from what is there by now.
        let goes_on = is_as_looked_up || self.goes_on(session)?;
        let share = Share::of(caller, mode.read);
        if goes_on && self.writers.open_announced(session, &share) {
            return self.open_session(session, share, mode, false);
        }
        match record {
            Some((store, key)) if is_second => {
                self.open_as_writer(caller, ino, (&store, &key), mode)
            }
            Some((store, _)) => Err(self.look_again(caller, &store, Purpose::Write)),
            None => Err(FsError::Stale),
        }
    }

    /// Whether a session's record is still the version that it has published or begun with. Waits for nobody: who is just
    /// publishing is as good as another.
    fn is_as_begun(
        &self,
        session: &WriteSession,
        record: Option<&(Arc<StoreNode>, Key)>,
    ) -> FsResult<bool> {
        let Some((store, key)) = record else { return Ok(false) };
        Ok(session.is_of(self.published(store, key)?.as_ref()))
    }

    fn goes_on(&self, session: &WriteSession) -> FsResult<bool> {
        match self.writers.hold_session(session) {
            Some((_held, store, key)) => self.refresh(session, &store, &key),
            // A file that has no name, opened by way of a descriptor of it.
            None => Ok(session.is_live()),
        }
    }

    /// A record that has never been published is read as it grows, and so is one that the reader writes himself. Of any
    /// other, a reader sees what is published: he came here by a lookup that was meant for writing, or from before the
    /// first publish.
    fn open_follower(
        &self,
        caller: &Caller,
        ino: Ino,
        session: &Arc<WriteSession>,
    ) -> FsResult<Opened> {
        let record = session.record();
        let is_second = self.is_second(caller, record.as_ref(), ino);
        if session.is_new() || session.is_written_by(caller.thread) {
            self.writers.follow(session);
            let keep_cache = session.keeps_cache();
            let open = Open::Follower(Follower { session: Arc::clone(session), opener: *caller });
            return Ok(Opened { is_written: true, keep_cache, ..self.opened_as(open) });
        }
        match (record, session.published()) {
            // By this inode, past the kernel's cache, which is the writers'.
            (Some(_), Some(value)) if is_second => {
                let open = self.direct(Open::Reader(value));
                Ok(Opened { keep_cache: true, no_flush: true, ..open })
            }
            (Some((store, _)), _) => Err(self.look_again(caller, &store, Purpose::Read)),
            (None, _) => Err(FsError::Stale),
        }
    }

    fn open_session(
        &self,
        session: &Arc<WriteSession>,
        share: Arc<Share>,
        mode: OpenMode,
        is_created: bool,
    ) -> FsResult<Opened> {
        if is_created {
            session.take_part_in_creation(&share);
        }
        if mode.truncate
            && let Err(error) = session.truncate_at_open(&|record| self.stage(record), &share)
        {
            self.leave(session, &share);
            return Err(error);
        }
        let session = Arc::clone(session);
        Ok(Opened {
            is_written: true,
            is_mappable: session.is_mappable(),
            keep_cache: session.keeps_cache(),
            ..self.opened_as(Open::Writer(Writer { session, share }))
        })
    }

    fn create_record(
        &self,
        caller: &Caller,
        store: &Arc<StoreNode>,
        key: &Key,
        permissions: u32,
        mode: OpenMode,
    ) -> FsResult<(Entry, Opened)> {
        self.store(store).check_key(key)?;
        self.refuse_second_input(store, key)?;
        self.advise_on_record(store, key);
        let share = Share::of(caller, mode.read);
        let (session, is_created) =
            self.session_for_create(&share, store, key, permissions, mode.exclusive)?;
        let opened = self.open_session(&session, share, mode, is_created)?;
        Ok((self.writer_entry(&session)?, opened))
    }

    /// The session of a record that is created, or of the one that is there already, with a handle added. Gives back
    /// whether it was created.
    fn session_for_create(
        &self,
        share: &Arc<Share>,
        store: &Arc<StoreNode>,
        key: &Key,
        permissions: u32,
        exclusive: bool,
    ) -> FsResult<(Arc<WriteSession>, bool)> {
        let join = Join::Open(share);
        let _held = self.writers.hold(store, key);
        if exclusive && self.writers.new_record(store, key).is_some() {
            return Err(FsError::Exists);
        }
        if !exclusive {
            self.refuse_overwrite_of(store, key)?;
        }
        if !exclusive && let Some(session) = self.joined_session(store, key, join)? {
            return Ok((session, false));
        }
        match self.found_for_create(share.opener(), store, key)? {
            Ok(_) if exclusive => Err(FsError::Exists),
            Ok(base) => Ok((self.begin_on(base, store, key, join), false)),
            Err(absence) => {
                // Whoever still writes a record of this name that others have removed goes on without the name.
                self.writers.detach(store, key);
                let staging = self.stage_for(share.opener(), (store, key), permissions)?;
                let ino = self.versions.writer_number();
                let (at, key_there) = (Arc::clone(store), key.clone());
                let session = WriteSession::of_new_record(ino, at, key_there, staging, exclusive);
                let session = Arc::new(session);
                if absence == Absence::Supposed {
                    session.set_unlooked();
                }
                self.writers.begin(store, key, join, &session);
                Ok((session, true))
            }
        }
    }

    /// The record that an open is about to create, if it is there. The lookup of that open may have told that it is not: then
    /// only this mount can have made it since, as far as its writers would share it. For who holds the record.
    fn found_for_create(
        &self,
        caller: &Caller,
        store: &StoreNode,
        key: &Key,
    ) -> FsResult<Result<Arc<dyn Value>, Absence>> {
        if self.is_remote
            && let record = store.record(key)
            && let Some(absence) = self.writers.announcements().take_absence(caller.thread, &record)
            && !self.store(store).may_have_made(key)
        {
            return Ok(Err(absence));
        }
        match self.store(store).open_value(key) {
            Err(Error::NoSuchRecord { .. }) => Ok(Err(Absence::Seen)),
            value => Ok(Ok(value?)),
        }
    }

    /// Joins the write session of a record that is there, beginning one if need be.
    pub(super) fn session_of_record(
        &self,
        store: &Arc<StoreNode>,
        key: &Key,
        how: Join<'_>,
    ) -> FsResult<Arc<WriteSession>> {
        let _held = self.writers.hold(store, key);
        failpoint::pass("open for writing: record held");
        if let Some(session) = self.joined_session(store, key, how)? {
            return Ok(session);
        }
        // What can never be published is refused here, and not at a close that nobody may hear of.
        self.store(store).check_key(key)?;
        let base = self.store(store).open_value(key)?;
        Ok(self.begin_on(base, store, key, how))
    }

    /// Joins the write session of a record, if it has one. For who holds the record.
    fn joined_session(
        &self,
        store: &StoreNode,
        key: &Key,
        how: Join<'_>,
    ) -> FsResult<Option<Arc<WriteSession>>> {
        if let Some(session) = self.writers.get(store, key)
            && !self.refresh(&session, store, key)?
        {
            self.writers.detach(store, key);
            return Ok(None);
        }
        Ok(self.writers.join(store, key, how))
    }

    /// Has a session go on from what the record is now. Gives back false if it cannot, since its writers have another
    /// file open than the name stands for by now, or since any of them may not write the record any more: whoever opens
    /// the name must have nothing in common with them. For who holds the record.
    fn refresh(&self, session: &WriteSession, store: &StoreNode, key: &Key) -> FsResult<bool> {
        let current = self.published(store, key)?;
        if let Some(current) = &current
            && !session
                .openers()
                .iter()
                .all(|opener| self.options.permit(opener, current, Access::Write))
        {
            return Ok(false);
        }
        let open = || Ok(self.store(store).open_value(key)?);
        session.refresh(current.map(|current| current.stamp), open)
    }

    fn begin_on(
        &self,
        base: Arc<dyn Value>,
        store: &Arc<StoreNode>,
        key: &Key,
        how: Join<'_>,
    ) -> Arc<WriteSession> {
        let ino = self.versions.writer_number();
        let shown = self.versions.known_version(store, key).unwrap_or(ino);
        let session = WriteSession::of_record(ino, shown, Arc::clone(store), key.clone(), base);
        let session = Arc::new(session);
        self.writers.begin(store, key, how, &session);
        session
    }

    /// Staging for a record that the caller creates. A daemon that serves other users makes their files theirs.
    fn stage_for(
        &self,
        caller: &Caller,
        (store, key): (&StoreNode, &Key),
        permissions: u32,
    ) -> FsResult<Staged> {
        let staging = self.stage(Some(StagedRecord { store, key, base: None, copied: 0 }))?;
        let made = staging.attributes()?;
        let inherits = self.gives_its_group(store);
        staging.set_attributes(&caller.owning(permissions, &made, inherits))?;
        Ok(staging)
    }

    /// Whether what is made in a store is of the group of its directory. A store that is gone is said when the record is
    /// published.
    pub(super) fn gives_its_group(&self, store: &StoreNode) -> bool {
        // Not asked where it is known, which may be far away.
        if !self.storage.traits().keeps_owner_and_mode {
            return false;
        }
        let directory = self.store(store).attributes();
        directory.is_ok_and(|directory| directory.mode & SET_GROUP_ID != 0)
    }
}
