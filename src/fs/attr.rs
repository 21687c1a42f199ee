//! Attributes: what is shown, and what a change of them does.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{AttrChange, Caller, FileAttr, FileKind};
use super::error::{FsError, FsResult};
use super::handle::{Handle, Open, Writer};
use super::ino::{Ino, ROOT, STATUS, STORES};
use super::processes::has_open;
use super::space::KnownSpace;
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::versions::{Node, VersionNode};
use super::writers::{Join, Purpose, Share, WriteSession};
use crate::model::{AttributeChange, Attributes, Error, Space, Stamp};

/// Permission bits of `@purge`.
pub(super) const PURGE_MODE: u32 = 0o644;

/// Permission bits of `@log`, which tells what everybody does.
pub(super) const LOG_MODE: u32 = 0o400;

/// Permission bits of what only shows a text.
pub(super) const TEXT_MODE: u32 = 0o444;

/// Links of a directory without another in it: its name and its own `.`.
const EMPTY_DIRECTORY_LINKS: u32 = 2;

/// Says of a directory, as on btrfs, that its links do not tell how many are in it.
const LINKS_NOT_COUNTED: u32 = 1;

impl FileSystem {
    /// Attributes of an inode. Those of a version that was replaced are the last that were seen: the kernel asks in
    /// the middle of an open too, and has but one look again to spare for that.
    ///
    /// # Errors
    /// [`FsError::Stale`] if the record is gone and nobody has it open.
    pub fn getattr(&self, ino: Ino) -> FsResult<FileAttr> {
        match &*self.node(ino)? {
            Node::Root | Node::Stores => Ok(self.virtual_directory(ino)),
            Node::Status => Ok(self.virtual_file(STATUS, TEXT_MODE, None)),
            Node::Log => self.log_attr_now(),
            Node::Private(_) => Ok(self.made_up_directory(ino)),
            Node::Store(store) => self.store_attr(store),
            Node::Purge(store) => {
                let directory = self.store(store).attributes()?;
                Ok(self.virtual_file(ino, PURGE_MODE, Some(&directory)))
            }
            Node::Metadata(node) => self.metadata_attr(ino, node),
            Node::Version(version) => self.version_attr(ino, version),
            Node::Ticket(ticket) => self.version_attr(ino, &ticket.version),
            Node::Writer(session) => self.writer_attr(session),
            Node::Text(text) => Ok(self.file(ino, text.attributes)),
            Node::Items(items) => Ok(self.file(ino, items.attributes)),
        }
    }

    /// How long the kernel may trust the attributes of an inode: not at all where they change by themselves.
    pub fn attr_ttl(&self, ino: Ino) -> Duration {
        match self.versions.get(ino).as_deref() {
            Some(
                Node::Writer(_)
                | Node::Ticket(_)
                | Node::Metadata(_)
                | Node::Purge(_)
                | Node::Status
                | Node::Log,
            )
            | None => Duration::ZERO,
            Some(Node::Version(version)) => self.trust.version_ttl(&version.store),
            Some(Node::Store(_)) if self.is_remote => self.trust.untold_ttl() / 2,
            Some(_) => self.trust.untold_ttl(),
        }
    }

    /// Changes attributes.
    ///
    /// # Errors
    /// [`FsError::Stale`] where the length of a published version is to change: the kernel looks the name up
    /// again and is given the writers' inode.
    pub fn setattr(
        &self,
        caller: &Caller,
        ino: Ino,
        change: &AttrChange,
        handle: Option<Handle>,
    ) -> FsResult<FileAttr> {
        self.refuse_if_read_only()?;
        let node = self.node(ino)?;
        let attributes = match &*node {
            Node::Purge(_) | Node::Text(_) | Node::Items(_) | Node::Status | Node::Log => {
                AttributeChange::default()
            }
            node => self.effective(node, &change.attributes)?,
        };
        match &*node {
            Node::Root | Node::Stores | Node::Private(_) => {
                if !attributes.is_empty() && self.options.strict {
                    return Err(FsError::NotPermitted);
                }
            }
            Node::Status | Node::Log | Node::Items(_) => {
                if change.size.is_some() {
                    return Err(FsError::NotPermitted);
                }
            }
            // Touching or truncating a control file does nothing (P15).
            Node::Purge(_) | Node::Text(_) => {}
            Node::Metadata(node) => {
                if let Some(size) = change.size {
                    let open = handle.and_then(|handle| self.handles.get(handle));
                    match open.as_deref() {
                        Some(Open::Metadata(edit)) => edit.truncate(size)?,
                        _ => return Err(FsError::NotPermitted),
                    }
                }
                self.change_metadata(node, &attributes)?;
            }
            Node::Store(store) => {
                if !attributes.is_empty() {
                    self.store(store).set_attributes(&attributes)?;
                }
            }
            Node::Version(version) if change.size.is_some() => {
                self.refuse_overwrite_of(&version.store, &version.key())?;
                return Err(self.look_again(caller, &version.store, Purpose::Write));
            }
            Node::Version(version) => {
                return self.change_version(caller, ino, version, &attributes);
            }
            Node::Ticket(ticket) => {
                let version = &ticket.version;
                if let Some(size) = change.size {
                    self.refuse_overwrite_of(&version.store, &version.key())?;
                    let share = Share::of(caller, false);
                    let join = Join::Open(&share);
                    let session = self.session_of_record(&version.store, &version.key(), join)?;
                    let truncated = self.truncate_by_name(&session, size);
                    self.leave(&session, &share);
                    truncated?;
                }
                return self.change_version(caller, ino, version, &attributes);
            }
            Node::Writer(session) => {
                if change.size.is_some()
                    && handle.is_none()
                    && let Some((store, key)) = session.record()
                {
                    self.refuse_overwrite_of(&store, &key)?;
                }
                let changed = self.change_writer(session, change.size, &attributes, handle);
                if handle.is_none() {
                    self.withdraw(caller);
                    self.leave_unopened(session, caller);
                }
                changed?;
            }
        }
        self.getattr(ino)
    }

    /// Room on the medium.
    ///
    /// # Errors
    /// What the storage says.
    pub fn statfs(&self) -> FsResult<Space> {
        let space = self.storage.space()?;
        if self.is_remote {
            self.room.note(space);
        }
        Ok(space)
    }

    /// Room as a storage across a network has told it of late. Waits for nobody. Who is told that it is old has to ask:
    /// nobody else is told so for a while.
    #[must_use]
    pub fn known_space(&self) -> Option<KnownSpace> {
        self.room.known()
    }

    pub(super) fn file(&self, ino: Ino, attributes: Attributes) -> FileAttr {
        FileAttr {
            ino,
            kind: FileKind::File,
            links: 1,
            attributes: self.options.shown_file(attributes),
        }
    }

    pub(super) fn store_attr(&self, store: &StoreNode) -> FsResult<FileAttr> {
        let attributes = match self.is_remote {
            // The kernel asks after each change that it makes in there. It trusts the answer for the other half.
            true => self.store(store).attributes_of_late(self.trust.untold_ttl() / 2),
            false => self.store(store).attributes(),
        };
        Ok(self.directory(store.ino, attributes?))
    }

    /// A store or plain directory, as it is shown.
    pub(super) fn directory(&self, ino: Ino, attributes: Attributes) -> FileAttr {
        let attributes = self.options.shown_directory(attributes);
        let links = attributes.links.max(EMPTY_DIRECTORY_LINKS);
        FileAttr { ino, kind: FileKind::Directory, links, attributes }
    }

    pub(super) fn virtual_directory(&self, ino: Ino) -> FileAttr {
        debug_assert!(matches!(ino, ROOT | STORES));
        // They are on the way to every record, and to count what is in them would take several calls each time.
        FileAttr { links: LINKS_NOT_COUNTED, ..self.made_up_directory(ino) }
    }

    pub(super) fn made_up_directory(&self, ino: Ino) -> FileAttr {
        let attributes = self.options.shown_directory(self.made_up(0o755, None));
        FileAttr { ino, kind: FileKind::Directory, links: EMPTY_DIRECTORY_LINKS, attributes }
    }

    pub(super) fn virtual_file(
        &self,
        ino: Ino,
        mode: u32,
        directory: Option<&Attributes>,
    ) -> FileAttr {
        self.file(ino, self.made_up(mode, directory))
    }

    /// Attributes of something that no backend keeps: as old as the mount, owned as its directory is.
    pub(super) fn made_up(&self, mode: u32, directory: Option<&Attributes>) -> Attributes {
        let at = self.started.1;
        let own = || (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let (uid, gid) = directory.map_or_else(own, |directory| (directory.uid, directory.gid));
        let stamp = Stamp { object: 0, size: 0, modified_ns: 0, changed_ns: 0 };
        Attributes {
            size: 0,
            blocks: 0,
            links: 1,
            mode,
            uid,
            gid,
            accessed: at,
            modified: at,
            changed: at,
            stamp,
        }
    }

    /// What of a change reaches the files: not an owner or mode that is overridden, and nothing that the storage does not
    /// keep.
    fn effective(&self, node: &Node, change: &AttributeChange) -> FsResult<AttributeChange> {
        let traits = self.storage.traits();
        let shown_mode = match node {
            Node::Root | Node::Stores | Node::Private(_) | Node::Store(_) => self.options.dir_mode,
            _ => self.options.file_mode,
        };
        let (owner, times) = (traits.keeps_owner_and_mode, traits.keeps_times);
        let effective = AttributeChange {
            mode: change.mode.filter(|_| owner && shown_mode.is_none()),
            uid: change.uid.filter(|_| owner && self.options.uid.is_none()),
            gid: change.gid.filter(|_| owner && self.options.gid.is_none()),
            accessed: change.accessed.filter(|_| times),
            modified: change.modified.filter(|_| times),
        };
        if self.options.strict && effective != *change {
            return Err(FsError::NotPermitted);
        }
        Ok(effective)
    }

    fn version_attr(&self, ino: Ino, version: &VersionNode) -> FsResult<FileAttr> {
        match self.store(&version.store).record(&version.key()) {
            Ok(attributes) if attributes.stamp == version.stamp() => {
                return Ok(self.file(ino, attributes));
            }
            Ok(_) => {}
            // Gone. The kernel looks again, and a record that is made meanwhile needs no second look.
            Err(error) => {
                let is_gone =
                    matches!(error, Error::NoSuchRecord { .. } | Error::NoSuchStore { .. });
                return match version.open_value() {
                    // Who has it open goes on, also when the whole storage is gone: the kernel asks at the end of
                    // a file that is read.
                    Some(value) => Ok(FileAttr { links: 0, ..self.file(ino, value.attributes()?) }),
                    None if is_gone => Err(FsError::Stale),
                    None => Err(error.into()),
                };
            }
        }
        let open = version.open_value();
        let attributes =
            open.map_or_else(|| Ok(version.attributes()), |value| value.attributes())?;
        Ok(FileAttr { links: 0, ..self.file(ino, attributes) })
    }

    fn writer_attr(&self, session: &WriteSession) -> FsResult<FileAttr> {
        let attr = self.file(session.shown_ino, session.attributes()?);
        Ok(FileAttr { links: u32::from(session.has_name()), ..attr })
    }

    /// Changes a version. What its writers have staged follows.
    ///
    /// If another one has the name by now, it is that of a descriptor (`fchmod`), and whatever has the name stays as it
    /// is; or the name was looked up before, and is to be looked up again.
    fn change_version(
        &self,
        caller: &Caller,
        ino: Ino,
        version: &VersionNode,
        change: &AttributeChange,
    ) -> FsResult<FileAttr> {
        if change.is_empty() {
            return self.version_attr(ino, version);
        }
        let (node, key) = (&version.store, version.key());
        let _held = self.writers.hold(node, &key);
        let store = self.store(node);
        let _own = self.begin_own(&[(node, &key)]);
        let current = self.published(node, &key)?;
        if !version.is_of(current.as_ref()) {
            let value = version.open_value().filter(|_| has_open(caller.thread, ino));
            value.ok_or(FsError::Stale)?.set_attributes(change)?;
            return self.version_attr(ino, version);
        }
        let attributes = store.set_record_attributes(&key, change)?;
        if let Some(session) = self.writers.get(node, &key) {
            session.follow_attributes(change)?;
        }
        if current.is_some_and(|current| current.stamp.same_bytes(&version.stamp())) {
            version.set_attributes(&attributes);
        }
        self.version_attr(ino, version)
    }

    fn change_writer(
        &self,
        session: &Arc<WriteSession>,
        size: Option<u64>,
        change: &AttributeChange,
        handle: Option<Handle>,
    ) -> FsResult<()> {
        match (size, handle.and_then(|handle| self.handles.get(handle)).as_deref()) {
            (None, _) => {}
            (Some(size), Some(Open::Writer(Writer { share, .. }))) => {
                session.truncate(&|record| self.stage(record), size, Some(share))?;
            }
            (Some(size), _) => self.truncate_by_name(session, size)?,
        }
        if change.is_empty() {
            return Ok(());
        }
        let held = self.writers.hold_session(session);
        let record = match &held {
            Some((_, store, key)) if session.is_of(self.published(store, key)?.as_ref()) => {
                Some((self.store(store), key))
            }
            _ => None,
        };
        let by_name = record.as_ref().map(|(store, key)| {
            |change: &AttributeChange| {
                store.set_record_attributes(key, change)?;
                Ok(())
            }
        });
        session.set_attributes(change, by_name.as_ref().map(|by_name| by_name as _))
    }

    /// A truncation by path has no handle whose close would publish it.
    fn truncate_by_name(&self, session: &WriteSession, size: u64) -> FsResult<()> {
        session.truncate(&|record| self.stage(record), size, None)?;
        self.publish(session, false)
    }
}
