//! Names: looking up, making, removing and renaming stores and records.

use std::sync::Arc;
use std::time::Duration;

use super::attr::{PURGE_MODE, TEXT_MODE};
use super::inode::{Node, ROOT, STATUS, STORES, StoreNode};
use super::name::{self, Name};
use super::sessions::{IntentKind, Join};
use super::{Caller, Entry, FileSystem, FsError, FsResult, Ino, OpenMode, STORES_NAME, plain};
use crate::engine::PublishAs;
use crate::model::{Error, Key, StoreName};

impl FileSystem {
    /// Looks a name up and counts the lookup.
    ///
    /// # Errors
    /// [`FsError::NotFound`], and what the storage says.
    pub fn lookup(&self, caller: &Caller, parent: Ino, name: &[u8]) -> FsResult<Entry> {
        if let Node::Store(store) = &*self.node(parent)?
            && let Ok(Name::Record(key)) = store.parse(name)
        {
            match self.intents.of_lookup(caller.thread, store, &key) {
                Some(IntentKind::Write) => return self.writer_entry(caller, store, &key),
                Some(IntentKind::Read(_)) => return self.pinned_entry(caller, store, &key),
                None => {}
            }
        }
        self.entry_of(parent, name)
    }

    /// The writers' inode of a record that is about to be opened for writing.
    fn writer_entry(&self, caller: &Caller, store: &Arc<StoreNode>, key: &Key) -> FsResult<Entry> {
        let session = self.session_of_record(store, key, Join::Announce(caller.thread))?;
        self.inodes.count_writer_lookup(&session);
        let attr = self.file(session.ino, session.attributes()?);
        // Not even the attributes are kept: only when asked for them can we show the number that vim compares.
        Ok(Entry::unkept(attr))
    }

    /// The current version of a record that is about to be opened for reading, held until it is.
    fn pinned_entry(&self, caller: &Caller, store: &Arc<StoreNode>, key: &Key) -> FsResult<Entry> {
        let value = self.store(store).open_value(key)?;
        let attributes = value.attributes()?;
        let ino = self.inodes.version(store, key, attributes);
        // Shared already, so that it counts as open if the kernel asks for attributes before it opens it.
        let value = match self.inodes.get(ino).as_deref() {
            Some(Node::Version(version)) => version.share_value(value),
            _ => value,
        };
        let kind = IntentKind::Read(Some(value));
        self.intents.announce(caller.thread, store, key, kind);
        let entry = self.entry(self.file(ino, attributes));
        Ok(Entry { entry_ttl: Duration::ZERO, ..entry })
    }

    /// The entry of a name as everybody sees it, counting a lookup.
    pub(super) fn entry_of(&self, parent: Ino, name: &[u8]) -> FsResult<Entry> {
        match &*self.node(parent)? {
            Node::Root => {
                let ino = match name {
                    STORES_NAME => STORES,
                    name::STATUS => return self.status_entry(),
                    _ => return self.directory_entry(&plain::top(name).ok_or(FsError::NotFound)?),
                };
                self.fixed_entry(ino)
            }
            Node::Stores => self.directory_entry(&store_name(name).map_err(|_| FsError::NotFound)?),
            Node::Store(store) => match store.parse(name) {
                Ok(Name::Status) => self.status_entry(),
                Ok(Name::Metadata) if self.is_without_opens() => {
                    let text = self.store(store).metadata_text()?.ok_or(FsError::NotFound)?;
                    Ok(self.text_entry(store.ino, name::METADATA, text.bytes, text.attributes))
                }
                Ok(Name::Purge) if self.is_without_opens() => {
                    let directory = self.store(store).attributes()?;
                    let shown = self.made_up(PURGE_MODE, Some(&directory));
                    Ok(self.text_entry(store.ino, name::PURGE, self.purge_text(store), shown))
                }
                Ok(Name::Metadata) => {
                    let ino = self.inodes.metadata(store);
                    self.counted(ino, |fs| fs.metadata_attr(ino, store))
                }
                Ok(Name::Purge) => {
                    let ino = self.inodes.purge(store);
                    self.counted(ino, |fs| fs.getattr(ino))
                }
                Ok(Name::Record(key)) => match self.record_entry(store, &key) {
                    Err(FsError::NotFound) if store.is_plain() => {
                        self.directory_entry(&plain::child(store, name)?)
                    }
                    entry => entry,
                },
                Err(_) => Err(FsError::NotFound),
            },
            _ => Err(FsError::NotDirectory),
        }
    }

    /// The entry of a store or plain directory.
    fn directory_entry(&self, name: &StoreName) -> FsResult<Entry> {
        self.storage.store(name).attributes()?;
        let store = self.inodes.store(name);
        self.counted(store.ino, |fs| fs.store_attr(&store))
    }

    fn status_entry(&self) -> FsResult<Entry> {
        if self.is_without_opens() {
            let shown = self.made_up(TEXT_MODE, None);
            return Ok(self.text_entry(ROOT, name::STATUS, self.status_text(), shown));
        }
        self.fixed_entry(STATUS)
    }

    fn fixed_entry(&self, ino: Ino) -> FsResult<Entry> {
        self.inodes.count_lookup(ino);
        Ok(self.entry(self.getattr(ino)?))
    }

    /// Takes back lookups.
    pub fn forget(&self, ino: Ino, lookups: u64) {
        self.unpin(ino, lookups);
        match self.inodes.forget(ino, lookups).as_deref() {
            Some(Node::Writer(session)) if !session.is_live() => self.sessions.forget(session),
            Some(Node::Store(store)) => self.store_forgotten(store),
            _ => {}
        }
    }

    /// Makes a store, or a plain directory in another.
    ///
    /// # Errors
    /// [`FsError::NotPermitted`] where neither can be; [`Error::StoreExists`].
    pub fn mkdir(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &[u8],
        permissions: u32,
    ) -> FsResult<Entry> {
        self.refuse_if_read_only()?;
        let store = match &*self.node(parent)? {
            Node::Stores => self.storage.create_store(&store_name(name)?)?,
            node => self.storage.create_directory(&plain::made_in(node, name)?)?,
        };
        let made = store.attributes()?;
        store.set_attributes(&caller.owning(permissions, &made))?;
        self.entry_of(parent, name)
    }

    /// Makes an empty record.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn mknod(
        &self,
        caller: &Caller,
        parent: Ino,
        name: &[u8],
        permissions: u32,
    ) -> FsResult<Entry> {
        let mode = OpenMode { write: true, exclusive: true, ..OpenMode::default() };
        let (entry, opened) = self.create(caller, parent, name, permissions, mode)?;
        self.release(opened.handle);
        self.forget(entry.attr.ino, 1);
        self.entry_of(parent, name)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// [`FsError::NotPermitted`] for a control file; [`FsError::NotFound`].
    pub fn unlink(&self, parent: Ino, name: &[u8]) -> FsResult<()> {
        self.refuse_if_read_only()?;
        let store = self.store_node(parent)?;
        match store.parse(name).map_err(|_| FsError::NotFound)? {
            Name::Purge | Name::Status => Err(FsError::NotPermitted),
            Name::Metadata => Ok(self.store(&store).set_metadata_text(None)?),
            Name::Record(key) => {
                self.settle(&store, &key);
                let _own = self.begin_own(&[(&store, &key)]);
                self.store(&store).delete(&key)?;
                self.unlinked(&store, &key);
                self.hand_set.forget(&store.name(), &key);
                Ok(())
            }
        }
    }

    /// Drops a store that has no records, or removes an empty plain directory.
    ///
    /// # Errors
    /// [`FsError::NotEmpty`], [`Error::NoSuchStore`].
    pub fn rmdir(&self, parent: Ino, name: &[u8]) -> FsResult<()> {
        self.refuse_if_read_only()?;
        let node = self.node(parent)?;
        if !matches!(&*node, Node::Stores) {
            let directory = plain::made_in(&node, name)?;
            self.storage.remove_directory(&directory)?;
            self.inodes.unlink_store(&directory);
            return Ok(());
        }
        let name = store_name(name)?;
        let store = self.storage.store(&name);
        if !store.is_empty()? {
            return Err(FsError::NotEmpty);
        }
        store.drop_store()?;
        self.inodes.unlink_store(&name);
        Ok(())
    }

    /// Renames a store or a record; `exclusive` refuses to replace.
    ///
    /// # Errors
    /// [`FsError::NotPermitted`] where neither can be; [`FsError::Exists`]; what the storage says.
    pub fn rename(
        &self,
        parent: Ino,
        name: &[u8],
        new_parent: Ino,
        new_name: &[u8],
        exclusive: bool,
    ) -> FsResult<()> {
        self.refuse_if_read_only()?;
        match (&*self.node(parent)?, &*self.node(new_parent)?) {
            (Node::Stores, Node::Stores) => {
                let (from, to) = (store_name(name)?, store_name(new_name)?);
                self.storage.rename_store(&from, &to)?;
                self.inodes.rename_store(&from, &to);
                self.hand_set.rename_store(&from, &to);
                self.purges.rename_store(&from, &to);
                // What is watched and trusted goes by the store's name.
                self.distrust_names();
                Ok(())
            }
            (Node::Store(from), Node::Store(to)) => {
                let Name::Record(key) = from.parse(name).map_err(|_| FsError::NotFound)? else {
                    return Err(FsError::NotPermitted);
                };
                if let Some(directory) = self.is_directory(from, name)? {
                    let target = plain::child(to, new_name)?;
                    self.storage.rename_directory(&directory, &target, !exclusive)?;
                    self.inodes.move_directory(&directory, &target);
                    return Ok(());
                }
                match to.parse(new_name)? {
                    Name::Record(new_key) => {
                        self.rename_record((from, &key), (to, &new_key), exclusive)
                    }
                    Name::Metadata if exclusive => Err(FsError::Exists),
                    Name::Metadata => self.rename_to_metadata(from, &key, to),
                    Name::Purge | Name::Status => Err(FsError::NotPermitted),
                }
            }
            _ => Err(FsError::NotPermitted),
        }
    }

    fn rename_record(
        &self,
        from: (&Arc<StoreNode>, &Key),
        to: (&Arc<StoreNode>, &Key),
        exclusive: bool,
    ) -> FsResult<()> {
        self.settle(from.0, from.1);
        self.settle(to.0, to.1);
        let (from_store, to_store) = (self.store(from.0), self.store(to.0));
        let session = self.sessions.get(to.0, to.1);
        if exclusive && session.is_some_and(|session| session.holds_new_record()) {
            return Err(FsError::Exists);
        }
        let of_source = self.hand_set.get(&from_store, from.1)?;
        let by_hand = match of_source {
            None => self.hand_set.get(&to_store, to.1)?,
            of_source => of_source,
        };
        let publish =
            PublishAs { content_type: by_hand.as_ref(), exclusive, ..PublishAs::default() };
        let _own = self.begin_own(&[from, to]);
        self.expect_record(to.0, to.1);
        from_store.rename_record(from.1, &to_store, to.1, &publish)?;
        if from.0.ino == to.0.ino && from.1 == to.1 {
            return Ok(());
        }
        self.hand_set.forget(from_store.name(), from.1);
        if let Some(content_type) = by_hand {
            self.hand_set.set(to_store.name(), to.1, content_type, true);
        }
        self.detach_session(to.0, to.1);
        if let Some(session) = self.sessions.take(from.0, from.1) {
            session.rename(to.0, to.1);
            self.sessions.put(to.0, to.1, session);
        }
        match to_store.record(to.1) {
            Ok(attributes) => {
                if !self.inodes.rename_version(from, to, attributes) {
                    self.distrust_names();
                }
            }
            // Gone again; the next lookup will tell.
            Err(_) => {
                self.inodes.unlink_version(from.0, from.1);
                self.inodes.unlink_version(to.0, to.1);
            }
        }
        Ok(())
    }

    /// An editor saves the metadata by renaming a new file over it.
    fn rename_to_metadata(
        &self,
        from: &Arc<StoreNode>,
        key: &Key,
        to: &Arc<StoreNode>,
    ) -> FsResult<()> {
        let value = self.store(from).open_value(key)?;
        self.adopt_metadata(to, &*value)?;
        self.store(from).delete(key)?;
        self.unlinked(from, key);
        // The kernel has moved the record's name and takes the metadata for the record.
        self.distrust_names();
        Ok(())
    }

    fn record_entry(&self, store: &Arc<StoreNode>, key: &Key) -> FsResult<Entry> {
        if let Some(pinned) = self.pinned.get() {
            return self.pinned_record_entry(pinned, store, key);
        }
        let session = self.sessions.get(store, key);
        if let Some(session) = &session {
            session.settle();
        }
        let attributes = match self.store(store).record(key) {
            Err(Error::NoSuchRecord { .. }) => return Err(FsError::NotFound),
            record => record?,
        };
        let ino = self.inodes.version(store, key, attributes);
        let mut entry = self.entry(self.file(ino, attributes));
        if session.is_some() {
            // Once it publishes, the name stands for another inode; until then the kernel asks each time.
            entry.entry_ttl = Duration::ZERO;
        }
        Ok(entry)
    }

    /// Completes an entry whose lookup is counted; without attributes, the lookup is taken back.
    fn counted(
        &self,
        ino: Ino,
        attr: impl FnOnce(&Self) -> FsResult<super::FileAttr>,
    ) -> FsResult<Entry> {
        match attr(self) {
            Ok(attr) => Ok(self.entry(attr)),
            Err(error) => {
                self.forget(ino, 1);
                Err(error)
            }
        }
    }

    pub(super) fn settle(&self, store: &StoreNode, key: &Key) {
        if let Some(session) = self.sessions.get(store, key) {
            session.settle();
        }
    }

    fn unlinked(&self, store: &StoreNode, key: &Key) {
        self.inodes.unlink_version(store, key);
        self.detach_session(store, key);
    }

    pub(super) fn detach_session(&self, store: &StoreNode, key: &Key) {
        if let Some(session) = self.sessions.take(store, key) {
            session.detach();
        }
    }
}

/// Reads the name of a store.
fn store_name(name: &[u8]) -> FsResult<StoreName> {
    let text = std::str::from_utf8(name).map_err(|_| FsError::NotUnicode)?;
    Ok(StoreName::new(text)?)
}
