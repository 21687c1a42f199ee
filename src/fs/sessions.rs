//! Which record has which write session, and which open for writing is under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::inode::{Ino, StoreNode};
use super::session::Session;
use crate::backend::Value;
use crate::model::Key;
use crate::stripes::stripe_of;

/// How long an announced open is remembered: the kernel looks the name up again at once, but each of its requests may
/// wait for one that waits for a medium.
const RETRY_FOLLOWS_WITHIN: Duration = Duration::from_secs(10);

/// A record as the tables know it.
type RecordId = (Ino, Key);

/// How a caller joins a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// With a handle.
    Open,
    /// With the announcement of an open by this thread.
    Announce(u32),
}

/// The live sessions, by record. A leaf lock; sessions are joined and left under it, so that none ends while it
/// is joined.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_record: Mutex<HashMap<RecordId, Arc<Session>>>,
    /// Rank 0, chosen by the record: held from the look at what a record holds to the begin of its session. A
    /// session publishes only while it is in `by_record`, so what was seen is then still so.
    begins: [Mutex<()>; BEGIN_LOCKS],
}

/// Sessions of so many records can begin at a time.
const BEGIN_LOCKS: usize = 16;

impl Sessions {
    /// The live session of a record.
    pub(super) fn get(&self, store: &StoreNode, key: &Key) -> Option<Arc<Session>> {
        let sessions = self.by_record.lock();
        if sessions.is_empty() {
            return None;
        }
        sessions.get(&(store.ino, key.clone())).filter(|session| session.is_joinable()).cloned()
    }

    /// Joins the live session of a record.
    pub(super) fn join(&self, store: &StoreNode, key: &Key, how: Join) -> Option<Arc<Session>> {
        let sessions = self.by_record.lock();
        let session = sessions.get(&(store.ino, key.clone()))?;
        if !session.is_joinable() {
            return None;
        }
        join(session, how);
        Some(Arc::clone(session))
    }

    /// Adds the handle of an open that was announced. Gives back false if the session has ended, which one whose open
    /// comes late has not as long as nobody else began another.
    pub(super) fn open_announced(&self, session: &Arc<Session>, thread: u32) -> bool {
        let (store, key) = session.record();
        let sessions = self.by_record.lock();
        let is_begun = session.is_live() || is_same(&sessions, &(store.ino, key), session);
        if is_begun {
            session.withdraw(thread);
            session.add_handle();
        }
        is_begun
    }

    /// Holds off every other begin of a session of this record.
    pub(super) fn begin_lock(&self, store: &StoreNode, key: &Key) -> Option<MutexGuard<'_, ()>> {
        self.begins.get(stripe_of((store.ino, key), BEGIN_LOCKS)).map(Mutex::lock)
    }

    /// Begins a session of a record that has none. The caller holds the record's begin lock.
    pub(super) fn begin(&self, store: &StoreNode, key: &Key, how: Join, session: &Arc<Session>) {
        let mut sessions = self.by_record.lock();
        join(session, how);
        sessions.insert((store.ino, key.clone()), Arc::clone(session));
    }

    /// Takes back a handle; a session without any is forgotten. Gives back whether it was.
    pub(super) fn leave(&self, session: &Arc<Session>) -> bool {
        self.without(session, Session::remove_handle)
    }

    /// Takes back an announcement that no open follows; as [`leave`](Self::leave).
    pub(super) fn withdraw(&self, session: &Arc<Session>, thread: u32) -> bool {
        self.without(session, |session| session.withdraw(thread))
    }

    fn without(&self, session: &Arc<Session>, take: impl FnOnce(&Session)) -> bool {
        let (store, key) = session.record();
        let mut sessions = self.by_record.lock();
        take(session);
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
        Join::Announce(thread) => session.announce(thread),
    }
}

fn is_same(
    sessions: &HashMap<RecordId, Arc<Session>>,
    id: &RecordId,
    session: &Arc<Session>,
) -> bool {
    sessions.get(id).is_some_and(|known| Arc::ptr_eq(known, session))
}

fn remove_if_same(
    sessions: &mut HashMap<RecordId, Arc<Session>>,
    id: &RecordId,
    session: &Arc<Session>,
) {
    if is_same(sessions, id, session) {
        sessions.remove(id);
    }
}

/// Opens that were answered with "stale", so that the kernel looks the name up again and opens what it is given
/// then. Kept by the thread that asked, since a lookup does not say what it is for.
///
/// The kernel looks again only once. So the second open must succeed whatever is published meanwhile: a writer
/// is given the writers' inode, a reader the version that was pinned by its lookup.
#[derive(Debug, Default)]
pub(super) struct Intents {
    /// A leaf lock.
    by_thread: Mutex<HashMap<(u32, RecordId), Intent>>,
}

#[derive(Debug)]
struct Intent {
    until: Instant,
    kind: IntentKind,
}

/// What a thread is about to open.
#[derive(Clone, Debug)]
pub(super) enum IntentKind {
    /// A record for writing.
    Write,
    /// A record for reading; with the version that the last lookup found.
    Read(Option<Arc<dyn Value>>),
}

impl Intents {
    /// Remembers that a thread is about to look a record up in order to open it.
    pub(super) fn announce(&self, thread: u32, store: &StoreNode, key: &Key, kind: IntentKind) {
        let now = Instant::now();
        let mut intents = self.by_thread.lock();
        intents.retain(|_, intent| intent.until > now);
        let until = now + RETRY_FOLLOWS_WITHIN;
        intents.insert((thread, (store.ino, key.clone())), Intent { until, kind });
    }

    /// What this lookup is for, if it was announced. The kernel may look up twice, to find that the name has
    /// another inode and to take that one; so the announcement stays until the open.
    pub(super) fn of_lookup(
        &self,
        thread: u32,
        store: &StoreNode,
        key: &Key,
    ) -> Option<IntentKind> {
        let intents = self.by_thread.lock();
        if intents.is_empty() {
            return None;
        }
        let intent = intents.get(&(thread, (store.ino, key.clone())))?;
        (intent.until > Instant::now()).then(|| intent.kind.clone())
    }

    /// An announced open for reading has come: gives back the value that a lookup of this thread pinned, if it is
    /// the one to be opened. Not by name: the record may have been renamed since the lookup.
    pub(super) fn take_pinned(
        &self,
        thread: u32,
        is_it: impl Fn(&Arc<dyn Value>) -> bool,
    ) -> Option<Arc<dyn Value>> {
        let mut pinned = None;
        let mut intents = self.by_thread.lock();
        intents.retain(|(announced, _), intent| match &mut intent.kind {
            IntentKind::Read(value) if *announced == thread => {
                pinned = pinned.take().or_else(|| value.take());
                false
            }
            _ => true,
        });
        drop(intents);
        pinned.filter(is_it)
    }

    /// The announced open has come.
    pub(super) fn fulfil(&self, thread: u32, store: &StoreNode, key: &Key) -> Option<IntentKind> {
        let mut intents = self.by_thread.lock();
        if intents.is_empty() {
            return None;
        }
        intents.remove(&(thread, (store.ino, key.clone()))).map(|intent| intent.kind)
    }
}
