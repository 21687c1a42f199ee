//! What a mount does not do to what is there: `--no-delete`, `--no-overwrite`.
//!
//! Without deleting, no record and no store goes away; a rename deletes nothing, the record goes on under its new name.
//! Without overwriting, neither value nor type of a published record changes, nor a metadata file. Whoever has made a record
//! writes it by the same open as long as he likes, and an empty record may be written: nothing in it is lost.

use super::error::{FsError, FsResult};
use super::options::FsOptions;
use super::store_node::StoreNode;
use super::system::FileSystem;
use crate::engine::Over;
use crate::model::{Attributes, Key};

impl FsOptions {
    /// Refuses to delete anything, if nothing is to be deleted.
    pub(super) fn refuse_delete(&self) -> FsResult<()> {
        if self.no_delete { Err(FsError::NoDelete) } else { Ok(()) }
    }

    /// Refuses to change a metadata file that is there.
    pub(super) fn refuse_overwrite(&self, is_there: bool) -> FsResult<()> {
        if self.no_overwrite && is_there { Err(FsError::NoOverwrite) } else { Ok(()) }
    }
}

impl FileSystem {
    /// Refuses to change the value or the type of a record that is there.
    pub(super) fn refuse_overwrite_of(&self, store: &StoreNode, key: &Key) -> FsResult<()> {
        if self.options.no_overwrite {
            self.options.refuse_overwrite(self.published(store, key)?.is_some_and(is_kept))
        } else {
            Ok(())
        }
    }

    /// Over what a record may be put under this name.
    pub(super) fn put_over(&self, store: &StoreNode, key: &Key, exclusive: bool) -> FsResult<Over> {
        if exclusive {
            return Ok(Over::Nothing);
        }
        if !self.options.no_overwrite {
            return Ok(Over::Anything);
        }
        match self.published(store, key)? {
            None => Ok(Over::Nothing),
            Some(there) => {
                self.options.refuse_overwrite(is_kept(there))?;
                Ok(Over::Version(there.stamp))
            }
        }
    }
}

/// Whether anything would be lost.
fn is_kept(there: Attributes) -> bool {
    there.size > 0
}
