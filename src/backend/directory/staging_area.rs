//! The sessions of this process.

use std::sync::Arc;

use super::staging::Session;
use super::volume::Volume;
use crate::ranks::{Mutex, Table};

/// The directories of this process for what it stages, at most one on each volume.
#[derive(Debug, Default)]
pub(super) struct StagingArea {
    sessions: Mutex<Table, Vec<Arc<Session>>>,
}

impl StagingArea {
    /// A session on a volume from which this one is reached, if any was made; its directory may be gone.
    pub(super) fn known(&self, volume: &Volume) -> Option<Arc<Session>> {
        self.find(|session| session.volume().reaches(volume))
    }

    pub(super) fn find(&self, is_it: impl Fn(&Session) -> bool) -> Option<Arc<Session>> {
        self.sessions.lock().iter().find(|session| is_it(session)).cloned()
    }

    /// Keeps a session that was made, unless another thread has made one meanwhile; then ours goes again. Gives back
    /// which it is, and whether it is ours.
    pub(super) fn keep(&self, made: Arc<Session>) -> (Arc<Session>, bool) {
        let mut sessions = self.sessions.lock();
        let is_as_good = |session: &&Arc<Session>| session.volume() == made.volume();
        if let Some(session) = sessions.iter().filter(is_as_good).find(|one| one.is_linked()) {
            return (Arc::clone(session), false);
        }
        let gone: Vec<Arc<Session>> =
            sessions.extract_if(.., |session| session.volume() == made.volume()).collect();
        sessions.push(Arc::clone(&made));
        drop(sessions);
        drop(gone);
        (made, true)
    }
}
