//! What is written and not published when a mount ends while it is in use (P21).

use std::time::Instant;

use super::system::FileSystem;
use super::writers::KeptAside;
use crate::model::Unpublished;

impl FileSystem {
    /// Keeps aside what its writers have not closed, and tells it in the log. Who is at something for longer than until
    /// then is left alone: the next mount does it for him. Nothing of it is published: who has a file open is not done with
    /// it.
    pub fn keep_unpublished(&self, until: Instant) {
        for session in self.writers.all() {
            match session.keep_aside(until) {
                Ok(KeptAside::Nothing) => {}
                Ok(KeptAside::Kept(Unpublished { id, store, key, size, .. })) => log::warn!(
                    "{size} bytes of record '{key}' of store '{store}' were not closed; they are kept for a week, and \
                     'storefs rescue {id}' gives them back"
                ),
                Ok(KeptAside::Busy) => {
                    log::warn!(
                        "a write is still under way; the next mount keeps what is left of it"
                    );
                }
                Err(error) => {
                    log::error!("what is not published is left to the next mount: {error}");
                }
            }
        }
    }
}
