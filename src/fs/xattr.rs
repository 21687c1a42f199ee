//! Extended attributes: a record's content type, a store's facts.

use std::sync::Arc;

use super::error::{FsError, FsResult};
use super::ino::Ino;
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::versions::{Node, VersionNode};
use crate::model::{ContentType, Error, Key};

/// The freedesktop name of a file's MIME type.
pub(super) const MIME_TYPE: &[u8] = b"user.mime_type";

/// What the names of a store's facts begin with.
pub(super) const STORE_FACTS: &[u8] = b"user.storefs.";

impl FileSystem {
    /// The value of an attribute.
    ///
    /// # Errors
    /// [`FsError::NoAttribute`]; [`FsError::Unsupported`] for a namespace other than `user.`;
    /// [`FsError::UnsupportedHere`] if the mount has none at all.
    pub fn getxattr(&self, ino: Ino, name: &[u8]) -> FsResult<Vec<u8>> {
        self.require_xattr()?;
        require_namespace(name)?;
        // What is none of ours is answered without a look at the inode.
        if name != MIME_TYPE && !name.starts_with(STORE_FACTS) {
            return Err(FsError::NoAttribute);
        }
        match &*self.node(ino)? {
            Node::Store(store) => self.store_fact(store, name),
            Node::Version(version) if name == MIME_TYPE => self.version_type(version),
            Node::Ticket(ticket) if name == MIME_TYPE => self.version_type(&ticket.version),
            node => match record_of(node) {
                Some((store, key)) if name == MIME_TYPE => self.mime_type(&store, &key),
                _ => Err(FsError::NoAttribute),
            },
        }
    }

    /// The names of an inode's attributes.
    ///
    /// # Errors
    /// [`FsError::UnsupportedHere`] if the mount has none at all.
    pub fn listxattr(&self, ino: Ino) -> FsResult<Vec<Vec<u8>>> {
        self.require_xattr()?;
        let node = self.node(ino)?;
        match &*node {
            // A copy of a store is given its own facts; they can be read by those who know their names.
            Node::Store(_) => Ok(Vec::new()),
            node => {
                let typed = record_of(node).filter(|(store, _)| !store.is_plain());
                Ok(typed.map(|_| MIME_TYPE.to_vec()).into_iter().collect())
            }
        }
    }

    /// Sets an attribute. `create` and `replace` refuse one that is, or is not, there.
    ///
    /// # Errors
    /// [`FsError::Unsupported`] for anything but a record's type, and what a store's facts are already.
    pub fn setxattr(&self, ino: Ino, name: &[u8], value: &[u8], create: bool) -> FsResult<()> {
        self.require_xattr()?;
        self.refuse_if_read_only()?;
        let node = self.node(ino)?;
        if let Node::Store(store) = &*node
            && name.starts_with(STORE_FACTS)
        {
            return match self.store_fact(store, name) {
                Ok(_) if create => Err(FsError::Exists),
                Ok(fact) if fact == value => Ok(()),
                _ => Err(FsError::NotPermitted),
            };
        }
        let Some((store, key)) = record_of(&node).filter(|_| name == MIME_TYPE) else {
            return Err(FsError::Unsupported);
        };
        if create {
            return Err(FsError::Exists);
        }
        let text = std::str::from_utf8(value).map_err(|_| FsError::Invalid)?;
        let text = text.trim_end_matches('\0');
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(FsError::Invalid);
        }
        let content_type = ContentType::new(text);
        // A version that is being published has the type before it, or the next one has it.
        let _held = self.writers.hold(&store, &key);
        self.refuse_if_replaced(&node, &store, &key)?;
        self.refuse_overwrite_of(&store, &key)?;
        let published =
            self.change_type(&node, |fs| fs.store(&store).set_content_type(&key, &content_type))?;
        self.writers.types().set(&store.name(), &key, content_type, published);
        Ok(())
    }

    /// Removes an attribute: a record's type becomes again what its name and bytes say, or stays what the sidecar says that
    /// was brought with it, as by a copy of a storage whose files have no attributes.
    ///
    /// # Errors
    /// [`FsError::Unsupported`] for a namespace other than `user.`, [`FsError::NoAttribute`] for anything but a record's
    /// type.
    pub fn removexattr(&self, ino: Ino, name: &[u8]) -> FsResult<()> {
        self.require_xattr()?;
        require_namespace(name)?;
        self.refuse_if_read_only()?;
        let node = self.node(ino)?;
        let Some((store, key)) = record_of(&node).filter(|_| name == MIME_TYPE) else {
            return Err(FsError::NoAttribute);
        };
        let _held = self.writers.hold(&store, &key);
        self.refuse_if_replaced(&node, &store, &key)?;
        self.refuse_overwrite_of(&store, &key)?;
        self.writers.types().forget(&store.name(), &key);
        if !self.has_brought_sidecar(&store, &key)? {
            self.change_type(&node, |fs| fs.store(&store).reset_content_type(&key))?;
        }
        Ok(())
    }

    /// The type is the record's: a descriptor of what others have replaced has none to set. For who holds the record.
    fn refuse_if_replaced(&self, node: &Node, store: &StoreNode, key: &Key) -> FsResult<()> {
        let current = self.published(store, key)?;
        let is_current = match node {
            Node::Writer(session) => session.is_of(current.as_ref()),
            Node::Version(version) => version.is_of(current.as_ref()),
            Node::Ticket(ticket) => ticket.version.is_of(current.as_ref()),
            _ => true,
        };
        if is_current { Ok(()) } else { Err(FsError::Stale) }
    }

    fn require_xattr(&self) -> FsResult<()> {
        if self.options.xattr { Ok(()) } else { Err(FsError::UnsupportedHere) }
    }

    /// Changes the type of the published record. A record that is not published yet gets the type then. Gives
    /// back whether it is.
    fn change_type(
        &self,
        node: &Node,
        change: impl FnOnce(&Self) -> crate::Result<()>,
    ) -> FsResult<bool> {
        match (change(self), node) {
            (Err(Error::NoSuchRecord { .. }), Node::Writer(_)) => Ok(false),
            (changed, _) => {
                changed?;
                Ok(true)
            }
        }
    }

    fn mime_type(&self, store: &StoreNode, key: &Key) -> FsResult<Vec<u8>> {
        let store = self.store(store);
        if let Some(content_type) = self.writers.types().get(&store, key)? {
            return Ok(content_type.as_str().as_bytes().to_vec());
        }
        match store.content_type(key) {
            Ok(content_type) => Ok(content_type.as_str().as_bytes().to_vec()),
            Err(Error::NoSuchRecord { .. }) => Err(FsError::NoAttribute),
            Err(error) => Err(error.into()),
        }
    }

    /// The type of one version; if that has been replaced and nobody has it open, then of the record that has the
    /// name now. Not that the kernel must look again: it does so once, and the record may be replaced again.
    fn version_type(&self, version: &VersionNode) -> FsResult<Vec<u8>> {
        let (store, key) = (self.store(&version.store), version.key());
        let content_type = match self.writers.types().get(&store, &key)? {
            Some(content_type) => Some(content_type),
            None => store.content_type_of_version(&key, &version.stamp(), version.open_value())?,
        };
        match content_type {
            Some(content_type) => Ok(content_type.as_str().as_bytes().to_vec()),
            None => self.mime_type(&version.store, &key),
        }
    }

    fn store_fact(&self, store: &StoreNode, name: &[u8]) -> FsResult<Vec<u8>> {
        let name = name.strip_prefix(STORE_FACTS).ok_or(FsError::NoAttribute)?;
        let facts = self.store_facts(store)?;
        let fact = facts.into_iter().find(|(known, _)| known.as_bytes() == name);
        fact.map(|(_, value)| value.into_bytes()).ok_or(FsError::NoAttribute)
    }

    /// What is known of a store; damaged metadata says nothing.
    fn store_facts(&self, store: &StoreNode) -> FsResult<Vec<(&'static str, String)>> {
        if store.is_plain() {
            return Ok(Vec::new());
        }
        let metadata = match self.store(store).get_metadata() {
            Err(Error::DamagedMetadata { .. }) => return Ok(Vec::new()),
            metadata => metadata?,
        };
        let times = metadata.times;
        let facts = [
            ("id", metadata.id),
            ("name", metadata.name),
            ("created_at", Some(times.created_at.to_string())),
            ("accessed_at", Some(times.accessed_at.to_string())),
            ("modified_at", Some(times.modified_at.to_string())),
        ];
        Ok(facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

/// Refuses the namespaces that no file of ours has, ACLs and labels among them. `ls -l` asks for both of every file, and
/// stops to ask a file system that does not support them; one that only lacks the attribute it asks each time.
fn require_namespace(name: &[u8]) -> FsResult<()> {
    if name.starts_with(b"user.") { Ok(()) } else { Err(FsError::Unsupported) }
}

/// The record that a file's attributes belong to.
fn record_of(node: &Node) -> Option<(Arc<StoreNode>, Key)> {
    match node {
        Node::Version(version) => Some((Arc::clone(&version.store), version.key())),
        Node::Ticket(ticket) => Some((Arc::clone(&ticket.version.store), ticket.version.key())),
        Node::Writer(session) => session.record(),
        _ => None,
    }
}
