//! Where the data of a file is, and where its holes are (`SEEK_DATA`, `SEEK_HOLE`).

use super::bytes::Extent;
use super::error::{FsError, FsResult};
use super::handle::{Handle, Open, Writer};
use super::ino::Ino;
use super::system::FileSystem;
use super::versions::Node;

impl FileSystem {
    /// The next extent of a file, at `offset` or behind it.
    ///
    /// # Errors
    /// [`FsError::NoData`] behind the end, and where no data follows; [`FsError::BadHandle`].
    pub fn seek(&self, ino: Ino, handle: Handle, offset: u64, extent: Extent) -> FsResult<u64> {
        if let Some(pinned) = self.pinned.get() {
            return match (pinned.get(ino), &*self.node(ino)?) {
                (Some(value), _) => extent.find_in_value(offset, &*value),
                (None, Node::Items(items)) => extent.find_in_value(offset, &*items.value),
                (None, Node::Text(text)) => extent.find_in_text(offset, text.bytes.len()),
                _ => Err(FsError::Unsupported),
            };
        }
        match &*self.handles.get(handle).ok_or(FsError::BadHandle)? {
            Open::Reader(value) => extent.find_in_value(offset, &**value),
            Open::Follower(follower) => follower.session.seek(offset, extent),
            Open::Writer(Writer { session, .. }) => session.seek(offset, extent),
            Open::Text(bytes) => extent.find_in_text(offset, bytes.len()),
            Open::Purge(trigger) => {
                extent.find_in_text(offset, self.purge_text(&trigger.store).len())
            }
            Open::Metadata(edit) => extent.find_in_text(offset, edit.len()),
            Open::Log(_) => Err(FsError::Invalid),
            Open::Directory(_) => Err(FsError::IsDirectory),
        }
    }
}
