//! Which record has which write session, and who may do what to a record.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::announcements::Announcements;
use super::by_hand::TypesByHand;
use super::record_locks::{Held, RecordLocks};
use super::session::{Left, WriteSession};
use super::share::Share;
use crate::fs::ino::Ino;
use crate::fs::store_node::{RecordId, StoreNode};
use crate::model::Key;
use crate::ranks::{Mutex, Table};

/// An open that follows its lookup at once finds what that has found.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How a caller joins a session.
#[derive(Clone, Copy, Debug)]
pub(in crate::fs) enum Join<'a> {
    /// With a handle, of which this is the share.
    Open(&'a Arc<Share>),
    /// With the announcement of an open by this thread.
    Announce(u32),
}

/// All that are writing.
#[derive(Debug, Default)]
pub(in crate::fs) struct Writers {
    locks: RecordLocks,
    /// The live sessions, by record. They are joined and left under the lock, so that none ends while it is joined.
    sessions: Mutex<Table, HashMap<RecordId, Arc<WriteSession>>>,
    announcements: Announcements,
    types: TypesByHand,
}

impl Writers {
    /// The opens that are waited for.
    pub(in crate::fs) fn announcements(&self) -> &Announcements {
        &self.announcements
    }

    /// The types that were set by hand.
    pub(in crate::fs) fn types(&self) -> &TypesByHand {
        &self.types
    }

    /// Holds a record: nobody else changes it, or begins or ends its session, as long as this is kept.
    pub(in crate::fs) fn hold(&self, store: &StoreNode, key: &Key) -> Held<'_> {
        self.locks.hold(store, key)
    }

    /// Holds two records, or one that is given twice.
    pub(in crate::fs) fn hold_both(
        &self,
        one: (&StoreNode, &Key),
        other: (&StoreNode, &Key),
    ) -> Held<'_> {
        self.locks.hold_both(one, other)
    }

    /// Holds all records of a store, or of two.
    pub(in crate::fs) fn hold_stores(
        &self,
        store: &StoreNode,
        other: Option<&StoreNode>,
    ) -> Held<'_> {
        self.locks.hold_stores(store, other)
    }

    /// Holds the record that a session writes, and tells which it is. `None` if it has no name any more, nor ever will.
    pub(in crate::fs) fn hold_session(
        &self,
        session: &WriteSession,
    ) -> Option<(Held<'_>, Arc<StoreNode>, Key)> {
        let (mut store, mut key) = session.record()?;
        loop {
            let held = self.locks.hold(&store, &key);
            let (store_now, key_now) = session.record()?;
            if store_now.ino == store.ino && key_now == key {
                return Some((held, store, key));
            }
            // Renamed before it was held.
            drop(held);
            (store, key) = (store_now, key_now);
        }
    }

    /// Whether who wants to hold a record would have to wait.
    pub(in crate::fs) fn is_held(&self, store: &StoreNode, key: &Key) -> bool {
        self.locks.is_held(store, key)
    }

    /// The live session of a record, which another writer may join.
    pub(in crate::fs) fn get(&self, store: &StoreNode, key: &Key) -> Option<Arc<WriteSession>> {
        let sessions = self.sessions.lock();
        if sessions.is_empty() {
            return None;
        }
        sessions.get(&store.record(key)).filter(|session| session.is_joinable()).cloned()
    }

    /// The session that is all there is of a record, which was never published.
    pub(in crate::fs) fn new_record(
        &self,
        store: &StoreNode,
        key: &Key,
    ) -> Option<Arc<WriteSession>> {
        self.get(store, key).filter(|session| session.is_new())
    }

    /// Joins the live session of a record.
    pub(in crate::fs) fn join(
        &self,
        store: &StoreNode,
        key: &Key,
        how: Join<'_>,
    ) -> Option<Arc<WriteSession>> {
        let sessions = self.sessions.lock();
        let session = sessions.get(&store.record(key))?;
        if !session.is_joinable() {
            return None;
        }
        join(session, how);
        Some(Arc::clone(session))
    }

    /// Whether a session is there for the open that a lookup of this thread has announced, as it was then.
    pub(in crate::fs) fn is_open_expected(&self, session: &WriteSession, thread: u32) -> bool {
        let users = session.users.lock();
        users.are_writing() && !users.is_late(thread, AT_ONCE)
    }

    /// Adds the handle of an open that was announced. Gives back false if the session has ended, which one whose open
    /// comes late has not as long as nobody else began another.
    pub(in crate::fs) fn open_announced(
        &self,
        session: &Arc<WriteSession>,
        share: &Arc<Share>,
    ) -> bool {
        let record = session.record();
        let sessions = self.sessions.lock();
        let is_listed =
            record.is_some_and(|(store, key)| is_same(&sessions, &store.record(&key), session));
        let mut users = session.users.lock();
        let is_begun = users.are_writing() || is_listed;
        if is_begun {
            users.withdraw(share.opener().thread);
            users.add_writer(share);
        }
        is_begun
    }

    /// Begins a session of a record that has none. For who holds the record.
    pub(in crate::fs) fn begin(
        &self,
        store: &StoreNode,
        key: &Key,
        how: Join<'_>,
        session: &Arc<WriteSession>,
    ) {
        let mut sessions = self.sessions.lock();
        join(session, how);
        sessions.insert(store.record(key), Arc::clone(session));
    }

    /// Takes back a handle; the session ends with its last. For who holds the record, if it has a name.
    pub(in crate::fs) fn leave(
        &self,
        session: &Arc<WriteSession>,
        share: &Arc<Share>,
    ) -> Option<Left> {
        self.without(session, |session| session.users.lock().remove_writer(share))
    }

    /// Takes back an announcement that no open follows; as [`leave`](Self::leave).
    pub(in crate::fs) fn withdraw(&self, session: &Arc<WriteSession>, thread: u32) -> Option<Left> {
        self.without(session, |session| session.users.lock().withdraw(thread))
    }

    fn without(
        &self,
        session: &Arc<WriteSession>,
        take: impl FnOnce(&WriteSession),
    ) -> Option<Left> {
        let record = session.record();
        let mut sessions = self.sessions.lock();
        take(session);
        if session.is_live() {
            return None;
        }
        let unlisted = record
            .and_then(|(store, key)| remove_if_same(&mut sessions, &store.record(&key), session));
        drop(sessions);
        drop(unlisted);
        Some(session.end())
    }

    /// Adds a reader of a new record, who reads along as it grows.
    pub(in crate::fs) fn follow(&self, session: &WriteSession) {
        session.users.lock().add_follower();
    }

    /// Takes back such a reader.
    pub(in crate::fs) fn unfollow(&self, session: &WriteSession) {
        let is_left = session.users.lock().remove_follower();
        if is_left {
            session.let_go();
        }
    }

    /// The record's name goes: its session, if any, writes into nothing from now on. For who holds the record.
    pub(in crate::fs) fn detach(&self, store: &StoreNode, key: &Key) {
        let mut sessions = self.sessions.lock();
        if sessions.is_empty() {
            return;
        }
        let taken = sessions.remove(&store.record(key));
        drop(sessions);
        if let Some(session) = taken {
            session.detach();
        }
    }

    /// The record has another name, and what had that is gone. For who holds both.
    pub(in crate::fs) fn rename(&self, from: (&StoreNode, &Key), to: (&Arc<StoreNode>, &Key)) {
        self.detach(to.0, to.1);
        let taken = self.sessions.lock().remove(&from.0.record(from.1));
        if let Some(session) = taken {
            session.rename(to.0, to.1);
            self.sessions.lock().insert(to.0.record(to.1), session);
        }
    }

    /// All sessions of records that have a name.
    pub(in crate::fs) fn all(&self) -> Vec<Arc<WriteSession>> {
        self.sessions.lock().values().cloned().collect()
    }

    /// The sessions of a store, each with its key.
    pub(in crate::fs) fn of_store(&self, store: &StoreNode) -> Vec<(Key, Arc<WriteSession>)> {
        let sessions = self.sessions.lock();
        let own = sessions.iter().filter(|((ino, _), _)| *ino == store.ino);
        own.map(|((_, key), session)| (key.clone(), Arc::clone(session))).collect()
    }

    /// The record that the session of this inode writes, as far as it has a name.
    pub(in crate::fs) fn record_of(&self, ino: Ino) -> Option<RecordId> {
        let sessions = self.sessions.lock();
        let found = sessions.iter().find(|(_, session)| session.ino == ino);
        found.map(|(record, _)| record.clone())
    }

    /// The keys of a store's records that have never been published.
    pub(in crate::fs) fn new_records(&self, store: &StoreNode) -> Vec<Key> {
        let sessions = self.of_store(store).into_iter();
        let new = sessions.filter(|(_, session)| session.is_joinable() && session.is_new());
        new.map(|(key, _)| key).collect()
    }

    /// Forgets a session whose inode the kernel has forgotten.
    pub(in crate::fs) fn forget(&self, session: &Arc<WriteSession>) {
        let Some((store, key)) = session.record() else { return };
        let forgotten = remove_if_same(&mut self.sessions.lock(), &store.record(&key), session);
        drop(forgotten);
    }

    /// The sessions whose announced opens have not come, nor any other. They are ended by [`withdraw`](Self::withdraw).
    pub(in crate::fs) fn abandoned(&self) -> Vec<Arc<WriteSession>> {
        let sessions = self.sessions.lock();
        sessions.values().filter(|session| !session.is_live()).cloned().collect()
    }

    pub(in crate::fs) fn len(&self) -> usize {
        self.sessions.lock().len()
    }

    /// As if so much time had passed since each open was announced.
    #[cfg(test)]
    pub(in crate::fs) fn let_time_pass(&self, time: Duration) {
        for session in self.sessions.lock().values() {
            session.users.lock().let_time_pass(time);
        }
    }
}

fn join(session: &WriteSession, how: Join<'_>) {
    let mut users = session.users.lock();
    match how {
        Join::Open(share) => users.add_writer(share),
        Join::Announce(thread) => users.announce(thread),
    }
}

fn is_same(
    sessions: &HashMap<RecordId, Arc<WriteSession>>,
    id: &RecordId,
    session: &Arc<WriteSession>,
) -> bool {
    sessions.get(id).is_some_and(|known| Arc::ptr_eq(known, session))
}

fn remove_if_same(
    sessions: &mut HashMap<RecordId, Arc<WriteSession>>,
    id: &RecordId,
    session: &Arc<WriteSession>,
) -> Option<Arc<WriteSession>> {
    if is_same(sessions, id, session) { sessions.remove(id) } else { None }
}
