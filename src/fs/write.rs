//! Reading, writing and closing files.

use std::cell::Cell;
use std::sync::Arc;

use super::bytes::{Position, WriteMode, read_text};
use super::entry::Caller;
use super::error::{FsError, FsResult};
use super::handle::{Follower, Handle, Open, Writer};
use super::ino::Ino;
use super::permits::Access;
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::versions::Node;
use super::writers::{Left, Share, StagedRecord, Target, WriteSession, is_last};
use crate::engine::Staged;
use crate::failpoint;
use crate::model::{Error, Key};

impl FileSystem {
    /// Reads at an offset; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// [`FsError::BadHandle`], and what the storage says.
    pub fn read(&self, handle: Handle, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
        match &*self.opened(handle)? {
            Open::Reader(value) => Ok(value.read_at(buffer, offset)?),
            Open::Follower(Follower { session, opener }) => {
                self.refuse_unless_permitted(opener, session, Access::Read)?;
                session.read(buffer, offset)
            }
            Open::Writer(Writer { session, share }) => {
                self.refuse_unless_permitted(share.opener(), session, Access::Read)?;
                session.read(buffer, offset)
            }
            Open::Text(bytes) => Ok(read_text(bytes, buffer, offset)),
            Open::Purge(trigger) => Ok(read_text(&self.purge_text(&trigger.store), buffer, offset)),
            Open::Metadata(edit) => Ok(edit.read(buffer, offset)),
            // Waits, and is not asked for in this way.
            Open::Log(_) => Err(FsError::BadHandle),
            Open::Directory(_) => Err(FsError::IsDirectory),
        }
    }

    /// Writes.
    ///
    /// # Errors
    /// [`FsError::BadHandle`]; [`FsError::Invalid`] for anything but `1` into `@purge`; what the storage says.
    pub fn write(&self, handle: Handle, data: &[u8], mode: WriteMode) -> FsResult<()> {
        self.refuse_if_read_only()?;
        match (&*self.opened(handle)?, mode.position) {
            (Open::Writer(Writer { session, share }), _) => {
                self.refuse_unless_permitted(share.opener(), session, Access::Write)?;
                session.write(&|record| self.stage(record), data, &mode, share)?;
                if mode.sync { self.publish(session, true) } else { Ok(()) }
            }
            (Open::Purge(trigger), Position::At(offset)) => self.write_purge(trigger, data, offset),
            (Open::Purge(trigger), Position::End) => self.write_purge(trigger, data, 0),
            (Open::Metadata(edit), position) => edit.write(data, position),
            (
                Open::Reader(_)
                | Open::Follower(_)
                | Open::Text(_)
                | Open::Log(_)
                | Open::Directory(_),
                _,
            ) => Err(FsError::BadHandle),
        }
    }

    /// Reserves room for a file that is being written.
    ///
    /// # Errors
    /// [`FsError::BadHandle`], and what the storage says.
    pub fn reserve(&self, handle: Handle, offset: u64, len: u64, keep_size: bool) -> FsResult<()> {
        match &*self.opened(handle)? {
            Open::Writer(Writer { session, share }) => {
                session.reserve(&|record| self.stage(record), offset, len, keep_size, share)
            }
            _ => Err(FsError::BadHandle),
        }
    }

    /// Makes zeros of a range of a file that is being written, and a hole where the storage has such.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn zero(&self, handle: Handle, offset: u64, len: u64, keep_size: bool) -> FsResult<()> {
        match &*self.opened(handle)? {
            Open::Writer(Writer { session, share, .. }) => {
                session.zero(&|record| self.stage(record), (offset, len), keep_size, share)
            }
            _ => Err(FsError::BadHandle),
        }
    }

    /// A descriptor of the handle is being closed: what was written is published, and the writer is told if that
    /// fails (P3, P7).
    ///
    /// # Errors
    /// What the storage says; [`FsError::Failed`] if an earlier write had failed.
    pub fn flush(&self, caller: &Caller, handle: Handle) -> FsResult<()> {
        match &*self.opened(handle)? {
            Open::Writer(writer) => self.close_writer(caller, writer),
            Open::Metadata(edit) => self.keep_metadata(edit),
            _ => Ok(()),
        }
    }

    fn close_writer(&self, caller: &Caller, writer: &Writer) -> FsResult<()> {
        let Writer { session, share } = writer;
        if session.would_publish(share) == Some(false) {
            share.close();
            return Ok(());
        }
        if share.is_inherited_by(caller.thread) {
            return Ok(());
        }
        let is_last = session.is_merely_opened(share)
            && is_last(caller.thread, share.opener().thread, session.inodes());
        failpoint::pass("close: begun");
        self.with_target(session, |target| session.close(target, share, is_last))
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
            Open::Writer(Writer { session, .. }) => self.publish(session, true),
            Open::Metadata(edit) => {
                self.keep_metadata(edit)?;
                Ok(self.store(&edit.store).sync()?)
            }
            Open::Reader(_) if !self.options.read_only => match &*self.node(ino)? {
                Node::Version(version) => {
                    match self.store(&version.store).sync_record(&version.key()) {
                        Err(Error::NoSuchRecord { .. }) => Ok(()),
                        synced => Ok(synced?),
                    }
                }
                _ => Ok(()),
            },
            // `storefs unmount` asks so, also of a mount that is only read.
            Open::Log(_) => {
                self.end_log();
                Ok(())
            }
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
        self.drop_reader(handle);
        self.release_locks(handle);
        match &*open {
            Open::Writer(Writer { session, share }) => self.leave(session, share),
            Open::Follower(follower) => self.writers.unfollow(&follower.session),
            // Who was told at close is not told late.
            Open::Metadata(edit) if !edit.is_refused() => {
                if let Err(error) = self.keep_metadata(edit) {
                    self.note_late_failure("the metadata", &error);
                }
            }
            _ => {}
        }
    }

    /// Refuses what the present owner and mode of what is being written refuse to who has it open.
    fn refuse_unless_permitted(
        &self,
        opener: &Caller,
        session: &WriteSession,
        access: Access,
    ) -> FsResult<()> {
        let is_permitted =
            opener.is_privileged() || self.options.permit(opener, &session.attributes()?, access);
        if is_permitted { Ok(()) } else { Err(FsError::Denied) }
    }

    fn opened(&self, handle: Handle) -> FsResult<Arc<Open>> {
        self.handles.get(handle).ok_or_else(|| self.unknown(handle))
    }

    /// Takes back a handle of a session and publishes what is left in it.
    pub(super) fn leave(&self, session: &Arc<WriteSession>, share: &Arc<Share>) {
        let held = self.writers.hold_session(session);
        if let Some((_, store, key)) = &held
            && let Err(error) =
                self.publish_held(session, store, key, |target| session.release(target, share))
        {
            let what = format!("record '{key}' of store '{}'", store.name());
            self.note_late_failure(&what, &error);
        }
        if let Some(left) = self.writers.leave(session, share) {
            self.settle_left(session, left);
        }
    }

    /// A session has ended: its inode stands for the version that it leaves. For who holds the record.
    pub(super) fn settle_left(&self, session: &WriteSession, left: Left) {
        match left {
            Left::Version(store, key, attributes) => {
                self.versions.settle_writer(session.ino, &store, &key, &attributes);
            }
            Left::Unseen(store, key) => self.writers.types().forget(&store.name(), &key),
            Left::Nothing => {}
        }
    }

    /// A change by path is done: no open follows, and so no release.
    pub(super) fn leave_unopened(&self, session: &Arc<WriteSession>, caller: &Caller) {
        let _held = self.writers.hold_session(session);
        if let Some(left) = self.writers.withdraw(session, caller.thread) {
            self.settle_left(session, left);
        }
    }

    pub(super) fn publish(&self, session: &WriteSession, durable: bool) -> FsResult<()> {
        self.with_target(session, |target| session.publish(target, durable))
    }

    /// Does something with the record of a session held, and its name and type with it. What has no name is published
    /// nowhere.
    fn with_target(
        &self,
        session: &WriteSession,
        act: impl FnOnce(&Target<'_>) -> FsResult<()>,
    ) -> FsResult<()> {
        let Some((_held, store, key)) = self.writers.hold_session(session) else {
            return session.refuse_after_failure();
        };
        failpoint::pass("publish: record held");
        self.publish_held(session, &store, &key, act)
    }

    /// Publishes what a session holds, under the type that was set by hand, if any. If others have removed the record
    /// under its writers, they write into nothing from now on, as when it is removed through this mount. For who holds
    /// the record.
    pub(super) fn publish_held(
        &self,
        session: &WriteSession,
        node: &StoreNode,
        key: &Key,
        publish: impl FnOnce(&Target<'_>) -> FsResult<()>,
    ) -> FsResult<()> {
        let store = self.store(node);
        let is_published = Cell::new(false);
        let content_type = |staged: &Staged| {
            is_published.set(true);
            match self.writers.types().get(&store, key)? {
                // Or under that of a sidecar that has come before its value.
                None => self.waiting_type(node, key, || Ok(staged.attributes()?.size)),
                by_hand => Ok(by_hand),
            }
        };
        let content_type = &content_type;
        let published = publish(&Target { store: &store, content_type, options: &self.options });
        if is_published.get() && published.is_ok() {
            self.end_waiting(node, key);
        }
        self.place_waiting(node, key);
        self.forget_trust(session);
        match published {
            Err(FsError::Storage(Error::NoSuchRecord { .. })) => {
                self.writers.detach(node, key);
                Ok(())
            }
            published => published,
        }
    }

    /// Begins a new version of a record, or of what has no name any more.
    pub(super) fn stage(&self, record: Option<StagedRecord<'_>>) -> crate::Result<Staged> {
        match record {
            Some(StagedRecord { store, key, base, copied }) => {
                self.store(store).stage_for(key, base, copied)
            }
            None => self.storage.stage_nowhere(),
        }
    }
}
