//! Making and removing stores, directories and records.

use std::sync::Arc;

use super::entry::{Caller, Entry, SET_GROUP_ID};
use super::error::{FsError, FsResult};
use super::ino::Ino;
use super::locks::On;
use super::lookup::store_name;
use super::name::{Name, PRIVATE};
use super::open::OpenMode;
use super::plain;
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::versions::Node;
use crate::failpoint;
use crate::model::{Error, Key};

impl FileSystem {
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
        let node = self.node(parent)?;
        if let Node::Store(store) = &*node {
            self.advise_on_directory(store, name);
        }
        let store = match &*node {
            Node::Private(_) => return self.make_private(parent, name),
            Node::Root | Node::Stores if name == PRIVATE => {
                return self.make_private(parent, name);
            }
            Node::Stores => self.storage.create_store(&store_name(name)?)?,
            node => self.storage.create_directory(&plain::made_in(node, name)?)?,
        };
        let made = store.attributes()?;
        // A directory has this of the one that it was made in.
        let inherited = made.mode & SET_GROUP_ID;
        store.set_attributes(&caller.owning(permissions | inherited, &made, inherited != 0))?;
        let entry = self.entry_of(caller, parent, name)?;
        if let Some(made) = self.versions.known_store(store.name()) {
            made.note_made_by(caller.thread);
        }
        Ok(entry)
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
        self.entry_of(caller, parent, name)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// [`FsError::NotPermitted`] for a control file; [`FsError::NotFound`]; [`FsError::NoDelete`].
    pub fn unlink(&self, parent: Ino, name: &[u8]) -> FsResult<()> {
        self.refuse_if_read_only()?;
        self.options.refuse_delete()?;
        let store = self.store_node(parent)?;
        match store.parse(name).map_err(|_| FsError::NotFound)? {
            Name::Purge | Name::Status | Name::Log | Name::Items(_) => Err(FsError::NotPermitted),
            Name::Metadata(name) => self.unlink_metadata(&store, &name),
            Name::Record(key) => self.unlink_record(&store, &key),
        }
    }

    /// Removes a record with all that its writers have not published: they write into nothing from now on.
    fn unlink_record(&self, store: &Arc<StoreNode>, key: &Key) -> FsResult<()> {
        let _held = self.writers.hold(store, key);
        failpoint::pass("unlink: record held");
        let _own = self.begin_own(&[(store, key)]);
        let is_new = self.writers.new_record(store, key).is_some();
        match self.delete_and_leave_sidecar(store, key) {
            // It was only in this mount.
            Err(FsError::Storage(Error::NoSuchRecord { .. })) if is_new => {}
            deleted => deleted?,
        }
        self.unlinked(store, key);
        self.restore_alias(store, key);
        Ok(())
    }

    /// What has this name is gone. For who holds the record.
    pub(super) fn unlinked(&self, store: &StoreNode, key: &Key) {
        self.trust.note_removed(store, key);
        self.versions.unlink_version(store, key);
        self.writers.detach(store, key);
        let name = On::Record(store.record(key));
        self.locks.forget_names(|on| *on == name);
        self.writers.types().forget(&store.name(), key);
        self.forget_aliases(store, key);
    }

    /// Drops a store that has no records, or removes an empty plain directory.
    ///
    /// # Errors
    /// [`FsError::NotEmpty`], [`Error::NoSuchStore`], [`FsError::NoDelete`].
    pub fn rmdir(&self, parent: Ino, name: &[u8]) -> FsResult<()> {
        self.refuse_if_read_only()?;
        let node = self.node(parent)?;
        match &*node {
            Node::Root | Node::Stores if name == PRIVATE => {
                return self.remove_private(parent, name);
            }
            Node::Private(_) => return self.remove_private(parent, name),
            Node::Stores => self.options.refuse_delete()?,
            node => {
                self.options.refuse_delete()?;
                let directory = plain::made_in(node, name)?;
                self.storage.remove_directory(&directory)?;
                self.versions.unlink_store(&directory);
                return Ok(());
            }
        }
        let name = store_name(name)?;
        let known = self.versions.known_store(&name);
        // No record of the store is published or begun until it is gone, or is seen to stay.
        let _held = known.as_ref().map(|store| self.writers.hold_stores(store, None));
        if known.as_ref().is_some_and(|store| !self.writers.new_records(store).is_empty()) {
            return Err(FsError::NotEmpty);
        }
        if !self.storage.store(&name).drop_if_empty()? {
            return Err(FsError::NotEmpty);
        }
        self.versions.unlink_store(&name);
        self.sidecars.forget_store(&name);
        Ok(())
    }
}
