//! Watching a storage for what others change in it.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use crate::model::{Key, StoreName};

/// What may have changed. Who is told looks for himself: a change that changed nothing is told too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Anything: changes were missed, or are no longer watched for.
    Everything,
    /// A store that was watched is another one, or gone: nothing that was known of it holds. It may be watched no
    /// more, until somebody asks for it again.
    Store(StoreName),
    /// A store of this name, which was not watched, was made or has gone.
    StoreName(StoreName),
    /// The record of this key, if there is one.
    Record(StoreName, Key),
}

/// Called with what may have changed, from a thread of the watch, one call at a time.
pub type Tell = Box<dyn Fn(&HashSet<Change>) + Send>;

/// A watch over a storage. Dropping it ends it.
pub trait Watch: Debug + Send + Sync {
    /// Whether changes of the set of stores are told.
    fn watches_stores(&self) -> bool;

    /// Whether changes in a store are told, from before this call returns. Begins to watch the store if it is not
    /// watched yet.
    fn watch_store(&self, store: &StoreName) -> bool;

    /// Whether changes in a store are told.
    fn watches_store(&self, store: &StoreName) -> bool;

    /// Watches a store no more: nobody knows anything of it.
    fn forget_store(&self, store: &StoreName);

    /// Whether a change is told within a few milliseconds, so that a kernel that opens files without asking will do.
    fn is_prompt(&self) -> bool {
        true
    }

    /// Counters.
    fn counters(&self) -> WatchCounters;
}

/// What a watch has come to.
#[derive(Clone, Copy, Debug, Default)]
pub struct WatchCounters {
    /// Directories, or whatever else the backend watches.
    pub watches: usize,
    /// How often changes were missed.
    pub overflows: u64,
}

/// A watch, or the reason why there is none, as half a sentence.
pub type Watched = std::result::Result<Arc<dyn Watch>, String>;
