//! Being told of what others change.

use crate::backend::watch::{Tell, Watched};

/// A storage that tells of changes.
///
/// Without it, changes by others are seen when what is known of them has become too old.
pub trait Watchable {
    /// Begins to watch for what changes in the storage, whoever changes it, and tells it.
    ///
    /// # Errors
    /// The reason, where changes cannot be watched for.
    fn watch(&self, tell: Tell) -> Watched;
}
