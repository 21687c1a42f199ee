//! Directories that are no stores.

use std::sync::Arc;

use crate::backend::{ItemsFormat, Value};
use crate::model::{Result, StoreName};

/// A storage that has directories besides its stores, and shows them as they are.
///
/// Without it, no store of a [plain name](StoreName::is_plain) is ever there, and none can be made.
pub trait PlainDirectories {
    /// Names of the directories in a plain directory.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore).
    fn directories(&self, directory: &StoreName) -> Result<Vec<String>>;

    /// Makes a plain directory.
    ///
    /// # Errors
    /// [`Error::StoreExists`](crate::Error::StoreExists) if anything has its name;
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore) without its parent.
    fn create_directory(&self, directory: &StoreName) -> Result<()>;

    /// Removes an empty plain directory.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore); [`Error::Io`](crate::Error::Io) if it is not empty.
    fn remove_directory(&self, directory: &StoreName) -> Result<()>;

    /// Moves a plain directory; an empty one may be replaced if `replace` is set.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore), [`Error::StoreExists`](crate::Error::StoreExists).
    fn rename_directory(&self, from: &StoreName, to: &StoreName, replace: bool) -> Result<()>;

    /// All items of a dataset in their order, as one text that stays as it is. As long as the items are the same, so is
    /// the value that is given back.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore) if the directory is not there, or is no dataset's;
    /// [`Error::Io`](crate::Error::Io) for an item that is no JSON though others follow it.
    fn items(&self, dataset: &StoreName, format: ItemsFormat) -> Result<Arc<dyn Value>>;
}
