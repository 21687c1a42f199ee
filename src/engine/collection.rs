//! Datasets and request queues, as far as they are more than directories.

use super::store::{PublishAs, Store};
use crate::backend::{Purge, Purging};
use crate::model::{ContentType, Error, Key, Result, StoreName};

/// The directory of all request queues.
const QUEUES: &str = "request_queues";

impl Store {
    /// Removes the items of a dataset, or the requests of a queue, as the SDKs' purge does.
    pub(super) fn purge_collection(&self, purge: &Purge<'_>) -> Result<Purging> {
        // Before the metadata that has it may change.
        let state = self.queue_state()?;
        let purging = self.backend().purge_store(&self.name, purge)?;
        if let Some(key) = state {
            self.reset_queue_state(&key)?;
        }
        Ok(purging)
    }

    /// Under which key crawlee-python keeps the order of a queue and what was handled, in the default store (FORMAT 10).
    fn queue_state(&self) -> Result<Option<Key>> {
        if self.name.components().next() != Some(QUEUES) {
            return Ok(None);
        }
        let id = match self.backend().metadata(&self.name) {
            Err(Error::DamagedMetadata { .. }) => None,
            metadata => metadata?.id,
        };
        id.map(|id| Key::new(&format!("__RQ_STATE_{id}"))).transpose()
    }

    /// What was handled of an emptied queue would be passed over when it comes again. The SDK sets the state to none.
    fn reset_queue_state(&self, key: &Key) -> Result<()> {
        let default = self.storage.store(&StoreName::default_store());
        match default.exists(key) {
            Ok(true) => {}
            Ok(false) | Err(Error::NoSuchStore { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        let none = ContentType::new("application/x-none");
        let publish = PublishAs { content_type: Some(&none), ..PublishAs::default() };
        default.publish(key, default.stage()?, &publish).map_err(|(error, _)| error)?;
        Ok(())
    }
}
