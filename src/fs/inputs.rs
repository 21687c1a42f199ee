//! A store has one input record.

use std::sync::Arc;

use super::error::{FsError, FsResult};
use super::store_node::StoreNode;
use super::system::FileSystem;
use crate::model::{Error, Key};

impl FileSystem {
    /// Refuses to make a record that would be a second input beside one that is there, or is just being made.
    pub(super) fn refuse_second_input(&self, store: &Arc<StoreNode>, key: &Key) -> FsResult<()> {
        if store.is_plain() {
            return Ok(());
        }
        let engine = self.store(store);
        let others = engine.other_input_keys(key);
        if others.is_empty() || self.writers.new_record(store, key).is_some() {
            return Ok(());
        }
        let in_the_making = |other: &&Key| self.writers.new_record(store, other).is_some();
        let refused = match others.iter().find(in_the_making) {
            Some(other) => Err(engine.second_input(key, other)),
            None => engine.refuse_second_input(key),
        };
        Ok(refused.inspect_err(|error| log::warn!("{error}"))?)
    }
}

/// What a rename fails with. That something exists means to who renames that a directory is in the way, so of a second
/// input it is told otherwise.
pub(super) fn rename_failure(error: Error) -> FsError {
    match error {
        Error::SecondInput { .. } => {
            log::warn!("{error}");
            FsError::NotPermitted
        }
        error => error.into(),
    }
}
