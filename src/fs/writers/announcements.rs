//! Opens that were answered "stale", so that the kernel looks the name up again, and opens what it is given then.
//!
//! The kernel looks again only once, so the second open must succeed, whatever is published meanwhile. What it looks up
//! for, a lookup does not say: it is known from the open before it, by the thread that asks. This is the whole machine;
//! a row is what a thread has announced for a store, a column what comes from it next:
//!
//! | announced | lookup of a record there | open, or create | 10 s, or lookup of a second record there |
//! | --- | --- | --- | --- |
//! | nothing | the published version | as it says | |
//! | to write | the writers' inode, kept alive until the open | a handle of the writers; nothing | nothing |
//! | to read | the version of now, its bytes held | those bytes; nothing | nothing |
//! | either, and a lookup has failed | a ticket | what the open says; nothing | nothing |
//!
//! The record may have been renamed between the two lookups, so an announcement names no record until the first lookup.
//!
//! An open that comes when its inode stands for something else again is served all the same where it is the second one: it
//! reads what is published, or joins the writers by the inode that it has, if nobody reads by that.
//!
//! A *ticket* is an inode of one lookup's own, that becomes what its open says. It is given where a lookup cannot be told
//! from others: behind a lookup that has failed, since the open may have failed with it; and to callers without a number
//! (in another PID namespace), as long as any of them has announced an open in that store.
//!
//! # Opens that are foreseen
//! open(2) asks for a record twice: LOOKUP, then OPEN or CREATE. Across a network each costs a round trip, so what the
//! lookup has found is held for the second: the bytes for an open for reading, that there is no such record for one that
//! creates. It is given to that only if its thread is still in the system call that the lookup came from. So both are in
//! one call, and what was published before the call is seen by it. The kernel trusts the name of such an entry for no time:
//! each open by name makes a lookup of its own, which takes the place of what an earlier one has left.
//!
//! An open that creates and empties (`O_CREAT | O_TRUNC`) needs no look: its lookup is told that there is no such record. The
//! kernel holds the directory meanwhile, so who creates many files would have each wait for the look of the other. The session
//! learns what was there from the first look that anybody makes, or from its publish. All the same it is looked where this
//! process knows of the record, and where the storage has failed of late, which is better told at the open than at the close.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::Value;
use crate::fs::ino::{Ino, STATUS};
use crate::fs::processes::SystemCall;
use crate::fs::store_node::{RecordId, StoreNode};
use crate::model::Key;
use crate::ranks::{Condvar, Mutex, Table};

/// How long an announced open is waited for: the kernel looks the name up again at once, but each of its requests may
/// wait for one that waits for a medium. Whoever is killed in between leaves nothing behind for longer.
pub(in crate::fs) const FOLLOWS_WITHIN: Duration = Duration::from_secs(10);

/// What a thread is about to open a record for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fs) enum Purpose {
    /// For writing.
    Write,
    /// For reading.
    Read,
}

/// Where a lookup leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fs) enum Led {
    /// To the published version, as everybody's.
    Published,
    /// To the writers' inode.
    Writers,
    /// To the version of now, whose bytes are held.
    Held,
    /// To an inode of its own.
    Ticket,
}

/// What was announced for an open that has come.
#[derive(Debug, Default)]
pub(in crate::fs) struct Announced {
    /// Whether this is the second open of a caller whose first was answered "stale": then it must be served.
    pub(in crate::fs) is_second: bool,
    /// Whether it was answered "stale" and has looked no name up since: it comes by a descriptor (`/proc/self/fd`).
    pub(in crate::fs) comes_by_no_name: bool,
    /// The bytes that were held for it.
    pub(in crate::fs) held: Option<Arc<dyn Value>>,
}

/// The opens that are waited for.
#[derive(Debug, Default)]
pub(in crate::fs) struct Announcements {
    inner: Mutex<Table, Inner>,
    /// Signalled when the first is announced, and at the end.
    begun: Condvar,
    /// Signalled at the end.
    closed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    by_thread: HashMap<u32, Announcement>,
    /// By store, until when the last one counts, of callers without a number.
    unknown: HashMap<Ino, Instant>,
    foreseen: HashMap<u32, Foreseen>,
    is_closed: bool,
}

#[derive(Debug)]
struct Announcement {
    until: Instant,
    purpose: Purpose,
    /// Where the record is, whatever its name is by now.
    store: Ino,
    /// What was looked up there since.
    record: Option<RecordId>,
    /// Whether a lookup has failed: perhaps the open has too, and the next lookup is for something else.
    has_failed: bool,
    /// The version that the lookup found, by its inode.
    held: Option<(Ino, Arc<dyn Value>)>,
}

/// An open that has looked its record up.
#[derive(Debug)]
struct Foreseen {
    until: Instant,
    call: SystemCall,
    found: Found,
}

/// What the lookup of an open has found.
#[derive(Debug)]
pub(in crate::fs) enum Found {
    /// A version, by its inode and with its bytes.
    Version(Ino, Arc<dyn Value>),
    /// No such record, as far as that is known.
    Nothing(RecordId, Absence),
}

/// How far a record is known not to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fs) enum Absence {
    /// A look has found none.
    Seen,
    /// Nobody has looked: the open replaces whatever is there.
    Supposed,
}

impl Announcements {
    /// An open of a record of this store is answered "stale".
    ///
    /// A thread that announces twice, with no lookup in between, has come by no name (an open through `/proc/self/fd`):
    /// nothing follows then.
    pub(in crate::fs) fn announce(&self, thread: u32, store: &StoreNode, purpose: Purpose) {
        let until = Instant::now() + FOLLOWS_WITHIN;
        let mut inner = self.inner.lock();
        let was_empty = inner.is_empty();
        if thread == 0 {
            inner.unknown.insert(store.ino, until);
        } else if inner.by_thread.get(&thread).is_some_and(|known| known.record.is_none()) {
            inner.by_thread.remove(&thread);
        } else {
            let announcement = Announcement::new(until, purpose, store.ino);
            inner.by_thread.insert(thread, announcement);
        }
        drop(inner);
        if was_empty {
            self.begun.notify_all();
        }
    }

    /// Where this lookup of a record leads. The kernel may look up twice, to find that the name has another inode and to
    /// take that one; so the announcement stays until the open.
    pub(in crate::fs) fn of_lookup(&self, thread: u32, store: &StoreNode, key: &Key) -> Led {
        let mut inner = self.inner.lock();
        if inner.is_empty() {
            return Led::Published;
        }
        let now = Instant::now();
        if thread == 0 {
            let is_waited_for = inner.unknown.get(&store.ino).is_some_and(|until| *until > now);
            return if is_waited_for { Led::Ticket } else { Led::Published };
        }
        let Some(announcement) = inner.by_thread.get_mut(&thread) else { return Led::Published };
        if announcement.store != store.ino {
            // On the way there, or elsewhere.
            return Led::Published;
        }
        let record = store.record(key);
        if announcement.until < now || announcement.record.as_ref().is_some_and(|r| *r != record) {
            inner.by_thread.remove(&thread);
            return Led::Published;
        }
        announcement.record = Some(record);
        match announcement.purpose {
            _ if announcement.has_failed => Led::Ticket,
            Purpose::Write => Led::Writers,
            Purpose::Read => Led::Held,
        }
    }

    /// A lookup of this thread has failed: the next one may or may not be for what was announced.
    pub(in crate::fs) fn note_failed_lookup(&self, thread: u32) {
        if let Some(announcement) = self.inner.lock().by_thread.get_mut(&thread) {
            announcement.has_failed = true;
        }
    }

    /// The announced lookup has found this version: its bytes are held until the open.
    pub(in crate::fs) fn hold(&self, thread: u32, ino: Ino, value: Arc<dyn Value>) {
        let replaced = match self.inner.lock().by_thread.get_mut(&thread) {
            Some(announcement) => announcement.held.replace((ino, value)),
            None => Some((ino, value)),
        };
        // Closes a file, which is for outside of the lock.
        drop(replaced);
    }

    /// The open has come, or nothing follows: gives back what was announced for it. What callers without a number have
    /// announced lasts its time, since this open may be another one's.
    pub(in crate::fs) fn end(&self, thread: u32, store: Ino, ino: Ino) -> Announced {
        let mut inner = self.inner.lock();
        if inner.is_empty() {
            return Announced::default();
        }
        if thread == 0 {
            let is_second = inner.unknown.get(&store).is_some_and(|until| *until > Instant::now());
            return Announced { is_second, ..Announced::default() };
        }
        let Some(ended) = inner.by_thread.remove(&thread) else { return Announced::default() };
        drop(inner);
        let is_second = ended.store == store && ended.record.is_some();
        let held = ended.held.filter(|(held, _)| *held == ino).map(|(_, value)| value);
        let comes_by_no_name = ended.store == store && ended.record.is_none();
        Announced { is_second, comes_by_no_name, held }
    }

    /// An open has looked its record up: what it has found is held for it.
    pub(in crate::fs) fn foresee(&self, thread: u32, call: SystemCall, found: Found) {
        let until = Instant::now() + FOLLOWS_WITHIN;
        let mut inner = self.inner.lock();
        let was_empty = inner.is_empty();
        let replaced = inner.foreseen.insert(thread, Foreseen { until, call, found });
        drop(inner);
        // Closes a file.
        drop(replaced);
        if was_empty {
            self.begun.notify_all();
        }
    }

    /// The bytes that are held for an open of this inode, if the thread is in the call still that has looked it up.
    pub(in crate::fs) fn take_version(&self, thread: u32, ino: Ino) -> Option<Arc<dyn Value>> {
        match self.take_foreseen(thread)? {
            Found::Version(found, value) if found == ino => Some(value),
            Found::Version(..) | Found::Nothing(..) => None,
        }
    }

    /// How far a record is absent that the thread is about to create, if it is in the call still that has told so.
    pub(in crate::fs) fn take_absence(&self, thread: u32, record: &RecordId) -> Option<Absence> {
        match self.take_foreseen(thread)? {
            Found::Nothing(missed, absence) if missed == *record => Some(absence),
            Found::Version(..) | Found::Nothing(..) => None,
        }
    }

    fn take_foreseen(&self, thread: u32) -> Option<Found> {
        let foreseen = self.inner.lock().foreseen.remove(&thread)?;
        (SystemCall::of(thread) == Some(foreseen.call)).then_some(foreseen.found)
    }

    /// What a thread has announced comes to nothing.
    pub(in crate::fs) fn withdraw(&self, thread: u32) {
        // What was held is closed.
        drop(self.end(thread, STATUS, STATUS));
    }

    /// Forgets what was waited for long enough. Gives back whether there is more.
    pub(in crate::fs) fn expire(&self, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        let expired: Vec<Announcement> = inner
            .by_thread
            .extract_if(|_, announcement| announcement.until <= now)
            .map(|(_, announcement)| announcement)
            .collect();
        inner.unknown.retain(|_, until| *until > now);
        let unopened: Vec<Foreseen> = inner
            .foreseen
            .extract_if(|_, foreseen| foreseen.until <= now)
            .map(|(_, foreseen)| foreseen)
            .collect();
        let is_empty = inner.is_empty();
        drop(inner);
        drop((expired, unopened));
        !is_empty
    }

    /// Waits until an open is announced. Gives back false once nobody announces any more.
    pub(in crate::fs) fn wait(&self) -> bool {
        let mut inner = self.inner.lock();
        while inner.is_empty() && !inner.is_closed {
            self.begun.wait(&mut inner);
        }
        !inner.is_closed
    }

    /// Waits for so long, or until nobody announces any more; gives back false then.
    pub(in crate::fs) fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut inner = self.inner.lock();
        while !inner.is_closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.closed.wait_for(&mut inner, left);
        }
        !inner.is_closed
    }

    /// Nobody announces any more.
    pub(in crate::fs) fn close(&self) {
        self.inner.lock().is_closed = true;
        self.begun.notify_all();
        self.closed.notify_all();
    }
}

impl Announcement {
    fn new(until: Instant, purpose: Purpose, store: Ino) -> Self {
        Self { until, purpose, store, record: None, has_failed: false, held: None }
    }
}

impl Inner {
    fn is_empty(&self) -> bool {
        self.by_thread.is_empty() && self.unknown.is_empty() && self.foreseen.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StoreName;

    fn store() -> StoreNode {
        StoreNode::new(Ino(16), StoreName::default_store())
    }

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    #[test]
    fn p03_an_announcement_is_for_the_first_record_looked_up_and_for_no_other() {
        let (announcements, store) = (Announcements::default(), store());
        announcements.announce(1, &store, Purpose::Write);
        assert_eq!(announcements.of_lookup(2, &store, &key("k")), Led::Published);
        assert_eq!(announcements.of_lookup(1, &store, &key("k")), Led::Writers);
        assert_eq!(announcements.of_lookup(1, &store, &key("k")), Led::Writers, "twice");
        assert_eq!(announcements.of_lookup(1, &store, &key("other")), Led::Published);
        assert_eq!(announcements.of_lookup(1, &store, &key("k")), Led::Published, "it is over");
    }

    #[test]
    fn p03_behind_a_lookup_that_failed_the_open_says_what_it_is_for() {
        let (announcements, store) = (Announcements::default(), store());
        announcements.announce(1, &store, Purpose::Write);
        assert_eq!(announcements.of_lookup(1, &store, &key("k")), Led::Writers);
        announcements.note_failed_lookup(1);
        assert_eq!(announcements.of_lookup(1, &store, &key("k")), Led::Ticket);
    }

    #[test]
    fn p03_directories_on_the_way_to_a_record_are_not_what_was_announced() {
        let announcements = Announcements::default();
        let (root, store) = (StoreNode::new(Ino(1), StoreName::plain_root()), store());
        announcements.announce(1, &store, Purpose::Write);
        assert_eq!(announcements.of_lookup(1, &root, &key("default")), Led::Published);
        assert_eq!(announcements.of_lookup(1, &store, &key("k")), Led::Writers);
    }

    #[test]
    fn p03_an_announcement_ends_with_its_open_and_with_time() {
        let (announcements, store) = (Announcements::default(), store());
        announcements.announce(1, &store, Purpose::Read);
        assert!(announcements.expire(Instant::now()));
        assert!(announcements.end(1, store.ino, Ino(20)).held.is_none());
        assert_eq!(announcements.of_lookup(1, &store, &key("k")), Led::Published);
        announcements.announce(1, &store, Purpose::Write);
        announcements.announce(0, &store, Purpose::Write);
        assert!(!announcements.expire(Instant::now() + FOLLOWS_WITHIN));
        assert_eq!(announcements.of_lookup(1, &store, &key("k")), Led::Published);
        assert_eq!(announcements.of_lookup(0, &store, &key("k")), Led::Published);
    }

    #[test]
    fn p03_an_open_that_comes_by_no_name_announces_nothing() {
        let (announcements, store) = (Announcements::default(), store());
        announcements.announce(1, &store, Purpose::Write);
        announcements.announce(1, &store, Purpose::Write);
        assert_eq!(announcements.of_lookup(1, &store, &key("k")), Led::Published);
    }

    #[test]
    fn p22_callers_without_a_number_get_tickets_while_any_of_them_may_open() {
        let (announcements, store) = (Announcements::default(), store());
        announcements.announce(0, &store, Purpose::Write);
        announcements.announce(0, &store, Purpose::Read);
        for _ in 0..3 {
            assert_eq!(announcements.of_lookup(0, &store, &key("k")), Led::Ticket);
            assert_eq!(announcements.of_lookup(1, &store, &key("k")), Led::Published);
            assert!(announcements.end(0, store.ino, Ino(20)).is_second);
        }
        announcements.expire(Instant::now() + FOLLOWS_WITHIN);
        assert_eq!(announcements.of_lookup(0, &store, &key("k")), Led::Published);
    }
}
