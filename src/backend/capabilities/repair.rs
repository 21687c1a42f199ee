//! What can go wrong in a storage, and what becomes of it.

use crate::model::{Finding, RecordType, Result, StoreName};

/// What is wrong in a storage or store, found while it is asked for.
pub type Findings = Box<dyn Iterator<Item = Result<Finding>> + Send>;

/// A storage that can be left half-changed, or changed into what it should not be.
///
/// Without it, each operation is one step, and nothing can be wrong.
pub trait Repair {
    /// Completes or undoes what a process was at when it died, so that each of its operations has happened
    /// or has not. Leaves alone what live processes are at.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn heal(&self) -> Result<()>;

    /// Looks for what is wrong outside all stores, and changes nothing.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the storage cannot be read.
    fn examine(&self) -> Result<Findings>;

    /// Looks for what is wrong in a store, as [`examine`](Self::examine) does. Holds no value and no list of records
    /// in memory.
    ///
    /// # Errors
    /// [`Error::NoSuchStore`](crate::Error::NoSuchStore).
    fn examine_store(&self, store: &StoreName) -> Result<Findings>;

    /// Mends a finding whose remedy is to rewrite or to remove something, after another look at it. A rewritten
    /// record gets `record_type` if it has none that can be read. Nothing is done if there is nothing to mend
    /// any more.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), [`Error::ReadOnly`](crate::Error::ReadOnly).
    fn mend(&self, finding: &Finding, record_type: Option<&RecordType>) -> Result<()>;

    /// Which stores cannot be written, and why, each in a line for people. Looks at each store.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the storage cannot be read.
    fn unwritable(&self) -> Result<Vec<String>>;
}
