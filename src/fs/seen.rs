//! Requests as they are seen by who watches the mount, and `@log`.

use std::sync::Arc;

use super::attr::LOG_MODE;
use super::entry::{Caller, FileAttr};
use super::error::{FsError, FsResult};
use super::handle::{Handle, Open};
use super::ino::{Ino, LOG};
use super::insight::{Asked, LogRead, Operation, push_name};
use super::name;
use super::open::{OpenMode, Opened};
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::versions::Node;
use crate::model::Key;

impl FileSystem {
    /// A request is asked, about an inode, or a name in a directory. To be answered by [`FileSystem::answered`].
    pub fn asked(
        &self,
        caller: &Caller,
        operation: Operation,
        ino: Ino,
        name: Option<&[u8]>,
    ) -> Asked {
        let mut asked = self.insight.asked(caller, operation, ino, || self.shown_path(ino, name));
        asked.changed = name.filter(|_| operation.changes_names()).map(Box::from);
        asked
    }

    /// The request is about this name too, as that of a rename is.
    pub fn asked_also(&self, asked: &mut Asked, parent: Ino, name: &[u8]) {
        asked.add_name(|| self.shown_path(parent, Some(name)));
    }

    /// A request is answered; `error` is 0, or the number of the error.
    pub fn answered(&self, asked: Asked, error: i32) {
        self.insight.answered(asked, error);
    }

    /// So many bytes were read for a request.
    pub fn note_read(&self, ino: Ino, bytes: usize) {
        if ino != LOG {
            self.insight.requests.add_read(bytes as u64);
        }
    }

    /// So many bytes were written for a request; gives them back.
    pub fn written(&self, bytes: u32) -> u32 {
        self.insight.requests.add_written(bytes.into());
        bytes
    }

    /// Whether an inode is that of `@log`, which is read by [`FileSystem::read_log`].
    #[must_use]
    pub fn is_log(&self, ino: Ino) -> bool {
        ino == LOG
    }

    /// Reads of `@log`: `done` is called with what is there, or as soon as there is something.
    pub fn read_log(
        &self,
        caller: &Caller,
        handle: Handle,
        (offset, most): (u64, u32),
        done: LogRead,
    ) {
        match self.handles.get(handle).or_else(|| self.restore_log(handle)).as_deref() {
            Some(Open::Log(reader)) => {
                reader.read(*caller, offset, usize::try_from(most).unwrap_or_default(), done);
            }
            _ => done(Err(FsError::BadHandle)),
        }
    }

    /// Tells who reads `@log` that this is the end.
    pub fn end_log(&self) {
        self.insight.log.end();
    }

    /// Says how to learn whether the mount is still to be seen anywhere: who reads `@log` must not keep one that is not.
    pub fn set_mounted(&self, is_mounted: Box<dyn Fn() -> bool + Send + Sync>) {
        self.insight.log.set_mounted(is_mounted);
    }

    /// The same is served for Prometheus at this address.
    pub fn note_metrics_at(&self, address: String) {
        let _ = self.insight.metrics_at.set(address);
    }

    pub(super) fn open_log(&self, mode: OpenMode) -> FsResult<Opened> {
        if mode.changes() {
            return Err(FsError::NotPermitted);
        }
        let reader = self.insight.log.open()?;
        Ok(Opened { no_flush: true, ..self.direct(Open::Log(reader)) })
    }

    /// Attributes of `@log`: it has the size that it has come to, which `tail` looks at.
    pub(super) fn log_attr(&self, size: u64) -> FileAttr {
        let mut attr = self.virtual_file(LOG, LOG_MODE, None);
        attr.attributes.size = size;
        attr
    }

    pub(super) fn log_attr_now(&self) -> FsResult<FileAttr> {
        Ok(self.log_attr(self.insight.log.size()?))
    }

    /// The path of an inode, or of a name in it, as a word of a line.
    fn shown_path(&self, ino: Ino, name: Option<&[u8]>) -> String {
        let mut path = String::new();
        match self.versions.get(ino).as_deref() {
            Some(node) => self.push_path(&mut path, node),
            None => path.push_str(&format!("#{ino}")),
        }
        if let Some(name) = name {
            if !path.is_empty() {
                path.push('/');
            }
            push_name(&mut path, name);
        }
        if path.is_empty() { "/".to_owned() } else { path }
    }

    fn push_path(&self, path: &mut String, node: &Node) {
        match node {
            Node::Root => {}
            Node::Stores => push_name(path, name::STORES),
            Node::Status => push_name(path, name::STATUS),
            Node::Log => push_name(path, name::LOG),
            Node::Private(_) => push_name(path, name::PRIVATE),
            Node::Store(store) => push_store(path, store),
            Node::Purge(store) => push_in(path, store, name::PURGE),
            Node::Items(items) => push_in(path, &items.store, name::items_name(items.format)),
            Node::Metadata(node) => match &node.name {
                name::MetadataName::Store => push_in(path, &node.store, name::METADATA),
                name::MetadataName::Record(file) => {
                    push_in(path, &node.store, &name::sidecar_name(file));
                }
            },
            Node::Version(version) => push_record(path, &version.store, &version.key()),
            Node::Ticket(ticket) => push_record(path, &ticket.version.store, &ticket.version.key()),
            // Not asked of the session, which may be busy.
            Node::Writer(session) => match self.writers.record_of(session.ino) {
                Some((store, key)) => {
                    if let Ok(store) = self.store_node(store) {
                        push_record(path, &store, &key);
                    }
                }
                None => path.push_str(&format!("#{}", session.ino)),
            },
            Node::Text(text) => {
                if let Some(Node::Store(store)) = self.versions.get(text.parent).as_deref() {
                    push_in(path, store, text.name);
                } else {
                    push_name(path, text.name);
                }
            }
        }
    }
}

fn push_store(path: &mut String, store: &Arc<StoreNode>) {
    store.with_name(|own| {
        if !own.is_plain() {
            push_name(path, name::STORES);
            path.push('/');
        }
        // The path of a plain directory begins at the root.
        push_name(path, own.as_str().trim_start_matches('/').as_bytes());
    });
}

fn push_in(path: &mut String, store: &Arc<StoreNode>, name: &[u8]) {
    push_store(path, store);
    if !path.is_empty() {
        path.push('/');
    }
    push_name(path, name);
}

fn push_record(path: &mut String, store: &Arc<StoreNode>, key: &Key) {
    push_in(path, store, &name::shown_in(store.is_plain(), key.as_bytes()));
}
