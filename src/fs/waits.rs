//! Which requests may have to wait: for what others do to a record, for a medium, or for a storage across a network. The
//! others are answered at once, whatever happens to these.

use super::handle::{Handle, Open};
use super::ino::Ino;
use super::name::{self, Name};
use super::system::FileSystem;
use super::versions::Node;
use super::xattr::{MIME_TYPE, STORE_FACTS};

/// What operations on an open file may have to wait.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// To read or write it.
    pub busy: bool,
    /// To close it.
    pub publishes: bool,
}

impl FileSystem {
    /// Whether a network is between, so that whatever asks the storage may wait.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// Whether a lookup may have to wait.
    #[must_use]
    pub fn lookup_waits(&self, parent: Ino, name: &[u8]) -> bool {
        match self.versions.get(parent).as_deref() {
            Some(Node::Store(store)) => match store.parse(name) {
                Ok(Name::Record(_)) if self.is_remote => true,
                Ok(Name::Record(key)) => {
                    self.writers.is_held(store, &key)
                        || self.writers.get(store, &key).is_some_and(|session| session.is_busy())
                }
                Ok(Name::Metadata(_) | Name::Purge) => self.is_remote,
                // It is made of all items.
                Ok(Name::Items(_)) => true,
                Ok(Name::Status | Name::Log) | Err(_) => false,
            },
            Some(Node::Root) => {
                self.is_remote && !matches!(name, name::STORES | name::STATUS | name::LOG)
            }
            Some(Node::Stores) => self.is_remote,
            _ => false,
        }
    }

    /// Whether what is asked of an inode may have to wait.
    #[must_use]
    pub fn inode_waits(&self, ino: Ino) -> bool {
        match self.versions.get(ino).as_deref() {
            Some(
                Node::Root
                | Node::Stores
                | Node::Private(_)
                | Node::Status
                | Node::Log
                | Node::Text(_)
                | Node::Items(_),
            )
            | None => false,
            Some(_) if self.is_remote => true,
            Some(Node::Writer(session)) => session.is_busy(),
            Some(Node::Ticket(ticket)) => {
                self.writers.is_held(&ticket.version.store, &ticket.version.key())
            }
            Some(_) => false,
        }
    }

    /// Whether to read `len` bytes of a handle from `offset` on may have to wait.
    #[must_use]
    pub fn read_waits(&self, handle: Handle, offset: u64, len: u64) -> bool {
        match self.handles.get(handle).as_deref() {
            Some(Open::Reader(value)) => self.is_remote && !value.has(offset, len),
            Some(Open::Follower(follower)) => {
                let session = &follower.session;
                session.is_busy() || (self.is_remote && !session.has(offset, len))
            }
            Some(Open::Writer(writer)) => {
                let session = &writer.session;
                session.is_busy() || (self.is_remote && !session.has(offset, len))
            }
            Some(Open::Purge(_) | Open::Metadata(_)) => true,
            _ => false,
        }
    }

    /// Whether writing to a handle may have to wait for what is done to what it has open, and closing it for a medium.
    #[must_use]
    pub fn handle_waits(&self, handle: Handle) -> Waits {
        match self.handles.get(handle).as_deref() {
            Some(Open::Writer(writer)) => {
                let publishes = writer.session.would_publish(&writer.share);
                let stages = self.is_remote && !writer.session.is_staged();
                let busy = publishes.is_none() || stages;
                Waits { busy, publishes: publishes != Some(false) }
            }
            Some(Open::Purge(_) | Open::Metadata(_)) => Waits { busy: true, publishes: true },
            _ => Waits { busy: false, publishes: false },
        }
    }

    /// Whether the value of an attribute may have to be waited for. What every `ls -l` asks for is none of ours.
    #[must_use]
    pub fn xattr_waits(&self, name: &[u8]) -> bool {
        name == MIME_TYPE || (self.is_remote && name.starts_with(STORE_FACTS))
    }
}
