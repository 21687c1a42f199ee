//! Plain directories: what a storage holds besides key-value stores, shown as it is on disk.
//!
//! `datasets` and `request_queues` are such in every mount. With `--show-sidecars` the whole storage is one, so
//! that an SDK finds all that it knows, its temporaries and lock directories too. Their files are records without
//! a type: read and published like all others, so nobody sees a half-written one.

use super::error::{FsError, FsResult};
use super::name::{self, Name};
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::versions::Node;
use crate::model::{Error, StoreName};

/// The plain directories in the root of every mount, where the storage has them.
pub(super) const TOP: [&str; 2] = ["datasets", "request_queues"];

/// The plain directory of this name in the root.
pub(super) fn top(name: &[u8]) -> Option<StoreName> {
    let name = TOP.into_iter().find(|top| top.as_bytes() == name)?;
    StoreName::plain_root().child(name).ok()
}

/// The directory of this name in a plain one.
pub(super) fn child(directory: &StoreNode, name: &[u8]) -> FsResult<StoreName> {
    if !directory.is_plain() || !matches!(directory.parse(name), Ok(Name::Record(_))) {
        return Err(FsError::NotPermitted);
    }
    let text = std::str::from_utf8(name).map_err(|_| FsError::NotUnicode)?;
    Ok(directory.name().child(text)?)
}

/// The plain directory that is to be made or removed under this name.
pub(super) fn made_in(parent: &Node, name: &[u8]) -> FsResult<StoreName> {
    match parent {
        Node::Root => top(name).ok_or(FsError::NotPermitted),
        Node::Store(directory) => child(directory, name),
        _ => Err(FsError::NotPermitted),
    }
}

/// The store whose directory this is, shown plainly or not; or the dataset or queue.
pub(super) fn store_at(directory: &StoreName) -> StoreName {
    let path: Vec<&str> = directory.components().collect();
    match path.as_slice() {
        [top, name] if top.as_bytes() == name::STORES => StoreName::new(name).ok(),
        _ => None,
    }
    .unwrap_or_else(|| directory.clone())
}

impl FileSystem {
    /// Whether the name is that of a directory in a plain one; then its path.
    pub(super) fn is_directory(
        &self,
        parent: &StoreNode,
        name: &[u8],
    ) -> FsResult<Option<StoreName>> {
        if !parent.is_plain() {
            return Ok(None);
        }
        let Ok(directory) = child(parent, name) else { return Ok(None) };
        match self.storage.store(&directory).attributes() {
            Ok(_) => Ok(Some(directory)),
            Err(Error::NoSuchStore { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
