//! Making durable what was published.

use crate::model::{Key, Result, StoreName};

/// A storage where what is published may not be durable yet.
///
/// Without it, what is published is as durable as the storage is set to make it, and a sync only looks whether the
/// record or store is there.
pub trait Durability {
    /// Makes a record durable, whoever has published it.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`](crate::Error::NoSuchRecord).
    fn sync_record(&self, store: &StoreName, key: &Key) -> Result<()>;

    /// Makes durable which stores there are, and under which names.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn sync_stores(&self) -> Result<()>;

    /// Makes durable what was published in a store through this backend.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore).
    fn sync_store(&self, store: &StoreName) -> Result<()>;
}
