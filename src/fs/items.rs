//! `@items.jsonl`, `@items.json` and `@items.csv`: all items of a dataset as one file.
//!
//! A lookup makes the text, and its inode stands for that text alone, as that of a record does for a version. So the size
//! that `stat` tells is true, and who has opened the file reads what it was, to its last byte.

use std::sync::Arc;

use super::attr::TEXT_MODE;
use super::entry::Entry;
use super::error::{FsError, FsResult};
use super::handle::Open;
use super::open::Opened;
use super::store_node::StoreNode;
use super::system::FileSystem;
use super::versions::ItemsNode;
use crate::backend::ItemsFormat;
use crate::model::{Attributes, Error};

impl FileSystem {
    /// The entry of a text of a dataset's items as they are now. The name is asked for each time: what others add to a
    /// dataset is not told.
    pub(super) fn items_entry(
        &self,
        store: &Arc<StoreNode>,
        format: ItemsFormat,
    ) -> FsResult<Entry> {
        let dataset = self.store(store);
        let value = match dataset.items(format) {
            Err(Error::NoSuchStore { .. }) => return Err(FsError::NotFound),
            value => value?,
        };
        let owner = dataset.attributes()?;
        let attributes =
            Attributes { mode: TEXT_MODE, uid: owner.uid, gid: owner.gid, ..value.attributes()? };
        let node = ItemsNode { store: Arc::clone(store), format, value, attributes };
        let counted = self.counted(self.versions.items(node));
        self.told(counted, |ino| Ok(self.entry(self.getattr(ino)?).untrusted()))
    }

    /// Opens such a text for reading. The kernel may keep what it has read of it.
    pub(super) fn open_items(&self, items: &ItemsNode) -> Opened {
        let open = Open::Reader(Arc::clone(&items.value));
        Opened { keep_cache: true, no_flush: true, ..self.opened_as(open) }
    }
}
