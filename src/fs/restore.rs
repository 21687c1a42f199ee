//! Going on where a worker that has died has left off.

use std::sync::Arc;

use super::error::FsError;
use super::handle::{Handle, Open};
use super::ino::Ino;
use super::kept::{Entry, Kept, LeftBacking, Reader};
use super::listings::Listing;
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::versions::{Node, VersionNode};
use crate::model::{Error, Key, StoreName};

impl FileSystem {
    /// Stores get the numbers by which the kernel knows them, and what is open for reading is opened again where its version is
    /// still there. To be called before the first request is served.
    pub fn restore(&self) {
        let Some(kept) = &self.kept else { return };
        let mut readers = Vec::new();
        for entry in kept.take_found() {
            match entry {
                Entry::Store { ino, name } => self.restore_store(kept, ino, &name),
                Entry::Reader(reader) => readers.push(reader),
                Entry::Request { .. } => {}
            }
        }
        for reader in readers {
            let Reader { handle, ino, backing, .. } = reader;
            let restored = self.restore_reader(&reader);
            if backing != 0 {
                let is_open = restored.is_ok();
                self.backings.lock().push(LeftBacking { handle, ino, id: backing, is_open });
            }
            if let Err(error) = restored {
                log::info!(
                    "what was open for reading by inode {} is not any more: {error}",
                    reader.ino
                );
                kept.drop_reader(handle);
            }
        }
    }

    fn restore_store(&self, kept: &Kept, ino: u64, name: &[u8]) {
        match str::from_utf8(name).ok().and_then(name_of) {
            Some(name) => self.versions.restore_store(Ino(ino), &name),
            None => kept.drop_store(ino),
        }
    }

    fn restore_reader(&self, reader: &Reader) -> Result<(), FsError> {
        let store = self.store_node(Ino(reader.store))?;
        let key = Key::from_bytes(&reader.key)?;
        let value = self.store(&store).open_value(&key)?;
        let attributes = value.attributes()?;
        if !attributes.stamp.same_bytes(&reader.stamp) {
            return Err(FsError::Stale);
        }
        let node = self.versions.restore_version(Ino(reader.ino), &store, &key, &attributes);
        let value = match node.as_deref() {
            Some(Node::Version(version)) => version.share_value(value),
            _ => return Err(FsError::Stale),
        };
        self.handles.restore(Handle(reader.handle), Open::Reader(value));
        Ok(())
    }

    /// Notes that a version is open for reading, where that is to survive this process.
    pub(super) fn keep_reader(&self, ino: Ino, handle: Handle, node: &Node) {
        let Some(kept) = &self.kept else { return };
        let is_reader = |open: &Arc<Open>| matches!(**open, Open::Reader(_));
        if !self.handles.get(handle).as_ref().is_some_and(is_reader) {
            return;
        }
        let version: &VersionNode = match node {
            Node::Version(version) => version,
            Node::Ticket(ticket) => &ticket.version,
            _ => return,
        };
        let store: &StoreNode = &version.store;
        kept.keep_reader(Reader {
            handle: handle.0,
            ino: ino.0,
            store: store.ino.0,
            stamp: version.stamp(),
            key: version.key().as_bytes().to_vec(),
            backing: 0,
        });
    }

    /// Notes that the kernel reads what a handle has open by itself. Gives back whether that is kept, where it has to be.
    #[must_use]
    pub fn keep_backing(&self, handle: u64, id: u32) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.keep_backing(handle, id))
    }

    /// What the kernel reads by itself for an earlier worker, once.
    #[must_use]
    pub fn take_backings(&self) -> Vec<LeftBacking> {
        std::mem::take(&mut self.backings.lock())
    }

    /// A handle is closed.
    pub(super) fn drop_reader(&self, handle: Handle) {
        if let Some(kept) = &self.kept {
            kept.drop_reader(handle.0);
        }
    }

    /// A directory that an earlier worker had opened is open again, to be listed from its beginning: how far its listing had come is
    /// known to nobody any more.
    pub fn restore_directory(&self, ino: Ino, handle: Handle, cookie: u64) {
        if self.kept.is_some() && cookie == 0 && self.handles.is_earlier(handle) {
            self.handles.restore(handle, Open::Directory(Listing::new(ino)));
        }
    }

    /// An open of `@log` of an earlier worker goes on with what is told from now on.
    pub(super) fn restore_log(&self, handle: Handle) -> Option<Arc<Open>> {
        if self.kept.is_none() || !self.handles.is_earlier(handle) {
            return None;
        }
        let reader = self.insight.log.open().ok()?;
        self.handles.restore(handle, Open::Log(reader));
        self.handles.get(handle)
    }

    /// What to say of a handle that is not known.
    pub(super) fn unknown(&self, handle: Handle) -> FsError {
        match self.kept.is_some() && self.handles.is_earlier(handle) {
            true => FsError::Cut,
            false => FsError::BadHandle,
        }
    }

    /// What is kept for the worker that comes after this one.
    #[must_use]
    pub fn kept(&self) -> Option<&Arc<Kept>> {
        self.kept.as_ref()
    }
}

/// The store of this name: a plain directory if it begins as a path does.
fn name_of(name: &str) -> Option<StoreName> {
    let Some(path) = name.strip_prefix('/') else { return StoreName::new(name).ok() };
    let names = path.split('/').filter(|name| !name.is_empty());
    let child = |directory: StoreName, name| -> Result<StoreName, Error> { directory.child(name) };
    names.into_iter().try_fold(StoreName::plain_root(), child).ok()
}
