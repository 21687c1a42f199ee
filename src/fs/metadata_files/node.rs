//! Which metadata file an inode is.

use std::sync::{Arc, Weak};

use super::file::MetadataFile;
use crate::fs::name::MetadataName;
use crate::fs::store_node::StoreNode;
use crate::ranks::{Mutex, TableEntry};

/// A metadata file that the kernel knows.
#[derive(Debug)]
pub(in crate::fs) struct MetadataNode {
    pub(in crate::fs) store: Arc<StoreNode>,
    pub(in crate::fs) name: MetadataName,
    /// The file as its writers have it open, if they do.
    open: Mutex<TableEntry, Weak<MetadataFile>>,
}

impl MetadataNode {
    pub(in crate::fs) fn new(store: Arc<StoreNode>, name: MetadataName) -> Self {
        Self { store, name, open: Mutex::new(Weak::new()) }
    }

    /// The file as its writers have it open.
    pub(in crate::fs) fn open(&self) -> Option<Arc<MetadataFile>> {
        self.open.lock().upgrade()
    }

    /// Opens the file for a writer: as the others have it, or as given if there are none.
    pub(in crate::fs) fn open_to_write(&self, first: MetadataFile) -> Arc<MetadataFile> {
        let mut open = self.open.lock();
        if let Some(file) = open.upgrade() {
            return file;
        }
        let file = Arc::new(first);
        *open = Arc::downgrade(&file);
        file
    }
}
