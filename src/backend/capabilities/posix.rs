//! Owner, mode and times.

use crate::model::{AttributeChange, Attributes, Key, Result, StoreName};

/// A storage that keeps owner and mode, or times, as [`Traits`](crate::backend::Traits) say which.
///
/// Without it, chmod, chown and utimes succeed without effect, and are refused with EPERM by a strict mount.
pub trait Posix {
    /// Changes owner, mode and times of a record's value, as far as the backend keeps them.
    ///
    /// # Errors
    /// [`Error::NoSuchRecord`](crate::Error::NoSuchRecord).
    fn set_attributes(
        &self,
        store: &StoreName,
        key: &Key,
        change: &AttributeChange,
    ) -> Result<Attributes>;

    /// Changes owner, mode and times of a store, as far as the backend keeps them.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore).
    fn set_store_attributes(
        &self,
        store: &StoreName,
        change: &AttributeChange,
    ) -> Result<Attributes>;
}
