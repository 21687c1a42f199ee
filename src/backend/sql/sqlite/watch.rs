//! Telling that others have committed.
//!
//! SQLite tells a connection that another one has committed, if it is asked, and not what has changed. The connection that
//! writes is the one to ask: its own commits, which are all of ours, are none of another's. To ask takes some
//! microseconds, twenty times a second.
//!
//! A database that others write all the time would have everything looked up again each time. So the first commit is told,
//! and for a while after each nothing is watched: then all that is known grows old as fast as it does without a watch.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::transactions::Transactions;
use crate::backend::watch::{Change, Tell, Watch, WatchCounters, Watched};
use crate::model::StoreName;
use crate::ranks::{Condvar, Mutex, TableEntry};

/// How often it is looked whether others have committed.
pub(super) const EVERY: Duration = Duration::from_millis(50);

/// How long after a commit of another's nothing is watched.
pub(super) const HOT_FOR: Duration = Duration::from_secs(10);

/// A watch over a database.
#[derive(Debug)]
struct DatabaseWatch {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    seen: Mutex<TableEntry, Seen>,
    /// Signalled when the watch is to end.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    /// When others have committed last.
    others: Option<Instant>,
    is_over: bool,
}

impl Seen {
    fn is_quiet(&self) -> bool {
        self.others.is_none_or(|at| at.elapsed() >= HOT_FOR)
    }
}

/// Begins to watch a database.
///
/// # Errors
/// The reason why it cannot be watched.
pub(super) fn begin(database: &Arc<Transactions>, tell: Tell) -> Watched {
    let failed = |error: &dyn std::fmt::Display| format!("it cannot be asked for changes: {error}");
    let mut looks = Looks::begin(Arc::clone(database)).map_err(|error| failed(&error))?;
    let state = Arc::new(State::default());
    let ours = Arc::clone(&state);
    let work = move || {
        while !ours.is_over_within(EVERY) {
            if looks.have_others_committed() && ours.note_commit() {
                tell(&HashSet::from([Change::Everything]));
            }
        }
    };
    let thread = thread::Builder::new().name("storefs-watch".to_owned());
    let thread = Some(thread.spawn(work).map_err(|error| failed(&error))?);
    Ok(Arc::new(DatabaseWatch { state, thread }))
}

impl State {
    /// Waits for so long, or until the watch is to end. Gives back whether it is.
    fn is_over_within(&self, time: Duration) -> bool {
        let mut seen = self.seen.lock();
        if !seen.is_over {
            self.ended.wait_for(&mut seen, time);
        }
        seen.is_over
    }

    /// Others have committed. Gives back whether it has to be told: whether anything was known to be watched.
    fn note_commit(&self) -> bool {
        let mut seen = self.seen.lock();
        let was_quiet = seen.is_quiet();
        seen.others = Some(Instant::now());
        was_quiet
    }
}

impl Watch for DatabaseWatch {
    fn watches_stores(&self) -> bool {
        self.state.seen.lock().is_quiet()
    }

    fn watch_store(&self, store: &StoreName) -> bool {
        self.watches_store(store)
    }

    fn watches_store(&self, _store: &StoreName) -> bool {
        self.watches_stores()
    }

    fn forget_store(&self, _store: &StoreName) {}

    fn is_prompt(&self) -> bool {
        false
    }

    fn counters(&self) -> WatchCounters {
        WatchCounters { watches: 1, overflows: 0 }
    }
}

impl Drop for DatabaseWatch {
    fn drop(&mut self) {
        self.state.seen.lock().is_over = true;
        self.state.ended.notify_all();
        let Some(thread) = self.thread.take() else { return };
        // Whoever is told may be the last who has the watch.
        if thread.thread().id() != thread::current().id() {
            let _ = thread.join();
        }
    }
}

/// Asks whether others have committed.
struct Looks {
    database: Arc<Transactions>,
    /// Asks where nothing is written by us.
    own: Option<Connection>,
    last: Option<i64>,
}

impl Looks {
    fn begin(database: Arc<Transactions>) -> rusqlite::Result<Self> {
        let place = &database.pool.place;
        let own = place.read_only.as_ref().map(|_| place.connect(false)).transpose()?;
        let mut looks = Self { database, own, last: None };
        looks.have_others_committed();
        Ok(looks)
    }

    /// Whether they have since the last look; not as long as that cannot be told.
    fn have_others_committed(&mut self) -> bool {
        let told = match &self.own {
            Some(own) => super::versions::data_version(own).ok(),
            None => self.database.seen_by_writer(),
        };
        let Some(told) = told else { return false };
        let before = self.last.replace(told);
        before.is_some_and(|before| before != told)
    }
}
