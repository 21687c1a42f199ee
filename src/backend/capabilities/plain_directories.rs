//! Directories that are no stores.

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
}
