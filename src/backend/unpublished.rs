//! Bytes that were never published: whose they are, and keeping them aside (P21).

use std::fmt::Debug;
use std::sync::Arc;

use super::Value;
use crate::model::{Key, Result, StoreName, Unpublished};

/// Whose bytes are staged, told so that they are kept aside if their process ends before it has published them.
#[derive(Clone, Copy, Debug)]
pub struct StagedFor<'a> {
    /// The store.
    pub store: &'a StoreName,
    /// The record's key.
    pub key: &'a Key,
    /// The object ([`Stamp::object`](crate::model::Stamp)) of the published version that is written over.
    pub base: Option<u64>,
    /// So many bytes of that version are copied first. As long as there are fewer, nobody has written anything.
    pub copied: u64,
}

/// A backend that keeps aside what writers had not published when their process ended.
pub trait KeptAside: Debug + Send + Sync {
    /// All that is kept, in no particular order.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn list(&self) -> Result<Vec<Unpublished>>;

    /// Opens what has this id.
    ///
    /// # Errors
    /// [`Error::NoSuchUnpublished`](crate::Error::NoSuchUnpublished).
    fn open(&self, id: &str) -> Result<Arc<dyn Value>>;

    /// Removes what has this id.
    ///
    /// # Errors
    /// [`Error::NoSuchUnpublished`](crate::Error::NoSuchUnpublished), [`Error::ReadOnly`](crate::Error::ReadOnly).
    fn forget(&self, id: &str) -> Result<()>;
}
