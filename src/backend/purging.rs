//! What a purge spares, and what it did, where that is known only after the purge has happened.

use std::sync::Arc;

use jiff::Timestamp;

use crate::model::{DEFAULT_INPUT_KEY, Key};
use crate::ranks::{Condvar, Mutex, Table};

/// What a purge spares, and when it happens.
#[derive(Clone, Copy, Debug)]
pub struct Purge<'a> {
    /// The input key: the record of this key, and those of this key with an extension, are spared, and those of `INPUT`
    /// besides.
    pub input_key: &'a str,
    /// The new accessed and modified time of the store.
    pub at: Timestamp,
}

/// Whether a key belongs to the input record: the input key itself, or that key with an extension.
///
/// The test is that of the Apify SDK, which looks for files named `KEY` and `KEY.*` (FORMAT 8.2).
#[must_use]
pub fn is_input_key(key: &Key, input_key: &str) -> bool {
    match key.as_bytes().strip_prefix(input_key.as_bytes()) {
        Some(rest) => rest.is_empty() || rest.first() == Some(&b'.'),
        None => false,
    }
}

/// Whether a purge spares a key: one of the input record, or of `INPUT` in any of its spellings, whatever the input key
/// is (P16).
#[must_use]
pub fn is_spared(key: &Key, input_key: &str) -> bool {
    is_input_key(key, input_key) || is_input_key(key, DEFAULT_INPUT_KEY)
}

/// What a purge did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// How many records and pieces of litter were removed, sidecars not counted.
    pub removed: u64,
    /// The bytes of their values.
    pub bytes: u64,
    /// The input records that were spared.
    pub spared: Vec<Key>,
}

/// What a purge would do with a record, or a piece of litter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WouldPurge {
    /// Its key; of litter, that of its file name.
    pub key: Key,
    /// Length of the value in bytes.
    pub size: u64,
    /// Whether it is removed.
    pub goes: bool,
    /// Whether it is no record, such as what an SDK has left of a write.
    pub is_litter: bool,
}

/// A purge that has happened. Its records are out of sight; they may still be being counted and removed.
#[derive(Clone, Debug)]
pub struct Purging {
    spared: Vec<Key>,
    untyped: Vec<Key>,
    outcome: Arc<Outcome>,
}

#[derive(Debug, Default)]
struct Outcome {
    /// How many go, where a look through the store has told that at once.
    removed: Option<u64>,
    /// What the purge did, once that is over.
    known: Mutex<Table, Option<Purged>>,
    is_known: Condvar,
}

impl Purging {
    /// A purge of which everything is known, and nothing is left to be removed.
    #[must_use]
    pub fn done(purged: Purged) -> Self {
        let spared = purged.spared.clone();
        let outcome = Outcome {
            removed: Some(purged.removed),
            known: Mutex::new(Some(purged)),
            is_known: Condvar::new(),
        };
        Self { spared, untyped: Vec::new(), outcome: Arc::new(outcome) }
    }

    /// A purge whose records are still to be removed. `spared` are the inputs that were found at once; `removed` is how many
    /// go, where that is known: else they are counted.
    #[must_use]
    pub fn counting(spared: Vec<Key>, removed: Option<u64>) -> (Self, Counting) {
        let outcome = Arc::new(Outcome { removed, ..Outcome::default() });
        let counted = Purged { spared: spared.clone(), ..Purged::default() };
        let purging = Self { spared, untyped: Vec::new(), outcome: Arc::clone(&outcome) };
        (purging, Counting { counted, outcome })
    }

    /// The same purge, after which these inputs could not be given a content type.
    #[must_use]
    pub fn leaving_untyped(self, untyped: Vec<Key>) -> Self {
        Self { untyped, ..self }
    }

    /// The inputs that were found at once: all of them, or in a large store those of the usual names.
    #[must_use]
    pub fn spared(&self) -> &[Key] {
        &self.spared
    }

    /// Inputs that have no content type and could not be given one. Whoever opens the store next tries again.
    #[must_use]
    pub fn untyped(&self) -> &[Key] {
        &self.untyped
    }

    /// How many records and pieces of litter were removed, or are being removed, if that is known already.
    #[must_use]
    pub fn removed(&self) -> Option<u64> {
        self.outcome.removed.or_else(|| Some(self.outcome()?.removed))
    }

    /// What the purge did, if all its records are removed by now.
    #[must_use]
    pub fn outcome(&self) -> Option<Purged> {
        self.outcome.known.lock().clone()
    }

    /// What the purge did. Waits until all its records are counted and removed.
    #[must_use]
    pub fn wait(&self) -> Purged {
        let mut known = self.outcome.known.lock();
        loop {
            if let Some(purged) = &*known {
                return purged.clone();
            }
            self.outcome.is_known.wait(&mut known);
        }
    }
}

/// The count of a purge's records, made known when it is dropped.
#[derive(Debug)]
pub struct Counting {
    /// What has been counted so far.
    pub counted: Purged,
    outcome: Arc<Outcome>,
}

impl Drop for Counting {
    fn drop(&mut self) {
        let mut counted = std::mem::take(&mut self.counted);
        // A directory that is read while its entries go may list one twice, or not at all.
        counted.removed = self.outcome.removed.unwrap_or(counted.removed);
        *self.outcome.known.lock() = Some(counted);
        self.outcome.is_known.notify_all();
    }
}

/// Whether a file of this name is an item of a dataset, or a request of a queue, to the SDK's purge (FORMAT 9): all that
/// is JSON but the metadata.
#[must_use]
pub fn is_item(name: &[u8]) -> bool {
    name.ends_with(b".json") && name != b"__metadata__.json"
}
