//! `.storefs` in a mount: a copy of a storage brings the directory that storefs has in it, and of a volume that is mounted at
//! `key_value_stores` the one in there, with the empty directories in that. They are taken, so that the copy comes to its end, and are nowhere but in this mount: what is staged in one
//! storage is nothing in another.

use super::entry::Entry;
use super::error::{FsError, FsResult};
use super::ino::Ino;
use super::system::FileSystem;
use crate::model::{Error, StoreName};

impl FileSystem {
    pub(super) fn make_private(&self, parent: Ino, name: &[u8]) -> FsResult<Entry> {
        // As any other directory's name.
        let text = std::str::from_utf8(name).map_err(|_| FsError::NotUnicode)?;
        let name_of = StoreName::plain_root().child(text)?;
        let made = self.versions.make_private(parent, name);
        let ino = made.ok_or_else(|| Error::StoreExists { store: name_of.to_string() })?;
        Ok(self.entry(self.made_up_directory(ino)))
    }

    pub(super) fn private_entry(&self, parent: Ino, name: &[u8]) -> FsResult<Entry> {
        let ino = self.versions.private(parent, name).ok_or(FsError::NotFound)?;
        Ok(self.entry(self.made_up_directory(ino)))
    }

    pub(super) fn remove_private(&self, parent: Ino, name: &[u8]) -> FsResult<()> {
        let ino = self.versions.private(parent, name).ok_or(FsError::NotFound)?;
        let _counted = self.counted(ino);
        if !self.versions.private_names(ino).is_empty() {
            return Err(FsError::NotEmpty);
        }
        self.versions.remove_private(parent, name);
        Ok(())
    }
}
