//! Keeping what is purged.

use std::fmt::Debug;

use crate::backend::{Purge, Purging};
use crate::model::{KeptPurge, PurgedBy, Result, StoreName, Timestamp, Unpurged};

/// How what is purged is kept.
#[derive(Clone, Debug)]
pub struct Keep {
    /// Until when.
    pub until: Timestamp,
    /// Who purges.
    pub by: PurgedBy,
}

/// A backend that can keep aside what it purges, and undo the purge in one step. What is kept takes no room that is needed:
/// if a write finds none, or little is left, the oldest goes.
pub trait KeptPurges: Debug + Send + Sync {
    /// Purges a key-value store as [`Backend::purge_store`](crate::backend::Backend::purge_store), and keeps what it
    /// removes.
    ///
    /// # Errors
    /// As there; [`Error::Io`](crate::Error::Io) with `EOPNOTSUPP` where nothing can be kept. Then nothing is purged.
    fn purge_and_keep(&self, store: &StoreName, purge: &Purge<'_>, keep: &Keep) -> Result<Purging>;

    /// Undoes the last purge of a store that is kept, in one step for every observer. Records that were made since under
    /// the same keys stay as they are. The store's accessed and modified times become `undo.at`.
    ///
    /// # Errors
    /// [`Error::NoKeptPurge`](crate::Error::NoKeptPurge), [`Error::NoSuchStore`](crate::Error::NoSuchStore),
    /// [`Error::Io`](crate::Error::Io); then nothing has changed.
    fn undo(&self, store: &StoreName, undo: &Purge<'_>) -> Result<Unpurged>;

    /// All that is kept, the oldest first.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn list(&self) -> Result<Vec<KeptPurge>>;

    /// What is kept of a store, the oldest first. One that was renamed since is known by its id, and one that was made anew
    /// under the same name has another.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore), [`Error::Io`](crate::Error::Io).
    fn list_of(&self, store: &StoreName) -> Result<Vec<KeptPurge>>;
}
