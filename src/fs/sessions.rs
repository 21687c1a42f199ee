//! Which record has which write session, and which open for writing is under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::inode::{Ino, StoreNode};
use super::session::Session;
use crate::model::Key;

/// How long an announced open is remembered: the kernel looks the name up again at once.
const RETRY_FOLLOWS_WITHIN: Duration = Duration::from_secs(2);

/// A record as the tables know it.
type RecordId = (Ino, Key);

/// How a caller joins a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// With a handle.
    Open,
    /// With the announcement of an open.
    Announce,
}

/// The live sessions, by record. A leaf lock; sessions are joined and left under it, so that none ends while it
/// is joined.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_record: Mutex<HashMap<RecordId, Arc<Session>>>,
}

impl Sessions {
    /// The live session of a record.
    pub(super) fn get(&self, store: &StoreNode, key: &Key) -> Option<Arc<Session>> {
        let sessions = self.by_record.lock();
        if sessions.is_empty() {
            return None;
        }
        sessions.get(&(store.ino, key.clone())).filter(|session| session.is_live()).cloned()
    }

    /// Joins the live session of a record.
    pub(super) fn join(&self, store: &StoreNode, key: &Key, how: Join) -> Option<Arc<Session>> {
        let sessions = self.by_record.lock();
        let session = sessions.get(&(store.ino, key.clone()))?;
        if !session.is_live() {
            return None;
        }
        join(session, how);
        Some(Arc::clone(session))
    }

    /// Joins the live session of a record, or the one given if there is none. Gives back whether it is new.
    pub(super) fn join_or_begin(
        &self,
        store: &StoreNode,
        key: &Key,
        how: Join,
        begin: impl FnOnce() -> Arc<Session>,
    ) -> (Arc<Session>, bool) {
        let mut sessions = self.by_record.lock();
        let id = (store.ino, key.clone());
        if let Some(session) = sessions.get(&id).filter(|session| session.is_live()) {
            join(session, how);
            return (Arc::clone(session), false);
        }
        let session = begin();
        join(&session, how);
        sessions.insert(id, Arc::clone(&session));
        (session, true)
    }

    /// Takes back a handle; a session without any is forgotten. Gives back whether it was.
    pub(super) fn leave(&self, session: &Arc<Session>) -> bool {
        let (store, key) = session.record();
        let mut sessions = self.by_record.lock();
        session.remove_handle();
        let ended = !session.is_live();
        if ended {
            remove_if_same(&mut sessions, &(store.ino, key), session);
        }
        ended
    }

    /// Forgets a session whose inode the kernel has forgotten.
    pub(super) fn forget(&self, session: &Arc<Session>) {
        let (store, key) = session.record();
        remove_if_same(&mut self.by_record.lock(), &(store.ino, key), session);
    }

    /// The record's name goes: gives back its session, which is a session of nothing now.
    pub(super) fn take(&self, store: &StoreNode, key: &Key) -> Option<Arc<Session>> {
        let mut sessions = self.by_record.lock();
        if sessions.is_empty() { None } else { sessions.remove(&(store.ino, key.clone())) }
    }

    /// The record has another name.
    pub(super) fn put(&self, store: &StoreNode, key: &Key, session: Arc<Session>) {
        self.by_record.lock().insert((store.ino, key.clone()), session);
    }

    /// The sessions of a store.
    pub(super) fn of_store(&self, store: &StoreNode) -> Vec<Arc<Session>> {
        let sessions = self.by_record.lock();
        let own = sessions.iter().filter(|((ino, _), _)| *ino == store.ino);
        own.map(|(_, session)| Arc::clone(session)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_record.lock().len()
    }
}

fn join(session: &Session, how: Join) {
    match how {
        Join::Open => session.add_handle(),
        Join::Announce => session.announce(),
    }
}

fn remove_if_same(
    sessions: &mut HashMap<RecordId, Arc<Session>>,
    id: &RecordId,
    session: &Arc<Session>,
) {
    if sessions.get(id).is_some_and(|known| Arc::ptr_eq(known, session)) {
        sessions.remove(id);
    }
}

/// Opens for writing that were answered with "stale", so that the kernel looks the name up again and is given
/// the writers' inode. Kept by the thread that asked, since a lookup does not say what it is for.
#[derive(Debug, Default)]
pub(super) struct Intents {
    /// A leaf lock.
    by_thread: Mutex<HashMap<(u32, RecordId), Instant>>,
}

impl Intents {
    /// Remembers that a thread is about to look a record up in order to write it.
    pub(super) fn announce(&self, thread: u32, store: &StoreNode, key: &Key) {
        let now = Instant::now();
        let mut intents = self.by_thread.lock();
        intents.retain(|_, until| *until > now);
        intents.insert((thread, (store.ino, key.clone())), now + RETRY_FOLLOWS_WITHIN);
    }

    /// Whether this lookup was announced.
    pub(super) fn take(&self, thread: u32, store: &StoreNode, key: &Key) -> bool {
        let mut intents = self.by_thread.lock();
        if intents.is_empty() {
            return false;
        }
        let until = intents.remove(&(thread, (store.ino, key.clone())));
        until.is_some_and(|until| until > Instant::now())
    }
}
