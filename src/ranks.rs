//! Locks whose rank is part of their type.
//!
//! A thread takes locks in ascending rank only, so that no two threads ever wait for each other. In builds with debug
//! assertions, which all tests are, a lock that is taken out of turn panics; in releases a rank costs nothing. A lock
//! of rank [`Table`] is held for a look or a change of its table, and nothing is waited for meanwhile; [`TableEntry`] is a
//! leaf.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// The place of a lock in the order in which locks are taken. Nobody asks for it in releases.
#[cfg_attr(not(debug_assertions), allow(dead_code))]
pub(crate) trait Rank {
    /// Where it stands: lower numbers are taken first.
    const NUMBER: u8;
    /// What it is called in docs/DESIGN.md.
    const NAME: &'static str;
}

macro_rules! ranks {
    ($($(#[$doc:meta])* $rank:ident = $number:literal, $name:literal;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub(crate) enum $rank {}

            impl Rank for $rank {
                const NUMBER: u8 = $number;
                const NAME: &'static str = $name;
            }
        )+

        /// All ranks, for the check against the table in docs/DESIGN.md.
        #[cfg(test)]
        const ALL: &[(u8, &str)] = &[$(($number, $name)),+];
    };
}

ranks! {
    /// Records of the mount: held from the first look at what an operation changes to its last effect.
    Record = 0, "record";
    /// The names of an open directory, while some of them are listed.
    Listing = 1, "listing";
    /// One open file of the mount: a write session, an edit of metadata, a purge trigger.
    OpenFile = 2, "open file";
    /// The directory of a store stays in its place.
    StoreGate = 3, "store gate";
    /// The metadata of a store, held over read, change and write.
    Metadata = 4, "metadata";
    /// The files of one record.
    Key = 5, "key";
    /// A table: look, clone, release.
    Table = 6, "table";
    /// What one entry of a table holds: a leaf, which may be taken while the table is held.
    TableEntry = 7, "table entry";
}

/// That this thread holds a lock of some rank. Dropped when the lock is.
#[derive(Debug)]
pub(crate) struct Holding {
    #[cfg(debug_assertions)]
    number: u8,
    /// Locks are released by the thread that took them.
    _not_send: PhantomData<*const ()>,
}

#[cfg(debug_assertions)]
thread_local! {
    /// How many locks of each rank this thread holds.
    static HELD: std::cell::RefCell<[u16; 8]> = const { std::cell::RefCell::new([0; 8]) };
}

impl Holding {
    /// Notes that a lock of this rank is about to be waited for.
    ///
    /// # Panics
    /// With debug assertions, if the thread holds a lock of this rank or a higher one.
    #[inline]
    pub(crate) fn begin<R: Rank>() -> Self {
        #[cfg(debug_assertions)]
        HELD.with_borrow(|held| {
            let higher = held.iter().skip(R::NUMBER.into()).position(|count| *count > 0);
            debug_assert!(
                higher.is_none(),
                "a lock of rank {} ({}) is taken while one of rank {} is held",
                R::NUMBER,
                R::NAME,
                usize::from(R::NUMBER) + higher.unwrap_or_default(),
            );
        });
        Self::add::<R>()
    }

    /// Notes a lock that was not waited for.
    #[inline]
    fn add<R: Rank>() -> Self {
        #[cfg(debug_assertions)]
        HELD.with_borrow_mut(|held| {
            if let Some(count) = held.get_mut(usize::from(R::NUMBER)) {
                *count += 1;
            }
        });
        Self {
            #[cfg(debug_assertions)]
            number: R::NUMBER,
            _not_send: PhantomData,
        }
    }
}

impl Drop for Holding {
    #[inline]
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        // While a thread ends, its count may be gone already.
        let _ = HELD.try_with(|held| {
            if let Some(count) = held.borrow_mut().get_mut(usize::from(self.number)) {
                *count = count.saturating_sub(1);
            }
        });
    }
}

/// What a lock guards, as long as it is held.
#[derive(Debug)]
pub(crate) struct Guard<G> {
    /// Released before the rank is.
    guard: G,
    _holding: Holding,
}

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;

    #[inline]
    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    #[inline]
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

/// A held [`Mutex`].
pub(crate) type MutexGuard<'a, T> = Guard<parking_lot::MutexGuard<'a, T>>;
/// An [`RwLock`] held for reading.
pub(crate) type ReadGuard<'a, T> = Guard<parking_lot::RwLockReadGuard<'a, T>>;
/// An [`RwLock`] held for writing.
pub(crate) type WriteGuard<'a, T> = Guard<parking_lot::RwLockWriteGuard<'a, T>>;

/// A mutex of a rank.
pub(crate) struct Mutex<R, T> {
    lock: parking_lot::Mutex<T>,
    _rank: PhantomData<fn() -> R>,
}

impl<R: Rank, T> Mutex<R, T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { lock: parking_lot::Mutex::new(value), _rank: PhantomData }
    }

    /// Waits for the lock.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let holding = Holding::begin::<R>();
        Guard { guard: self.lock.lock(), _holding: holding }
    }

    /// Takes the lock if nobody has it. That waits for nobody, so the rank does not matter.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let guard = self.lock.try_lock()?;
        Some(Guard { guard, _holding: Holding::add::<R>() })
    }

    /// Whether somebody has the lock.
    pub(crate) fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }
}

impl<R: Rank, T: Default> Default for Mutex<R, T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<R, T: std::fmt::Debug> std::fmt::Debug for Mutex<R, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lock.fmt(f)
    }
}

/// A lock of a rank that several may hold for reading. It is fair: who waits to write is not overtaken by readers, and
/// so no thread may hold it twice.
pub(crate) struct RwLock<R, T> {
    lock: parking_lot::RwLock<T>,
    _rank: PhantomData<fn() -> R>,
}

impl<R: Rank, T> RwLock<R, T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { lock: parking_lot::RwLock::new(value), _rank: PhantomData }
    }

    /// Waits until nobody holds or waits for the lock to write.
    #[inline]
    pub(crate) fn read(&self) -> ReadGuard<'_, T> {
        let holding = Holding::begin::<R>();
        Guard { guard: self.lock.read(), _holding: holding }
    }

    /// Waits until nobody holds the lock.
    #[inline]
    pub(crate) fn write(&self) -> WriteGuard<'_, T> {
        let holding = Holding::begin::<R>();
        Guard { guard: self.lock.write(), _holding: holding }
    }
}

impl<R: Rank, T: Default> Default for RwLock<R, T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<R, T: std::fmt::Debug> std::fmt::Debug for RwLock<R, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lock.fmt(f)
    }
}

/// What threads that hold a [`Mutex`] wait for.
#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(parking_lot::Condvar::new())
    }

    /// Releases the lock, waits to be notified, and takes it again.
    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.0.wait(&mut guard.guard);
    }

    /// As [`wait`](Self::wait), for a bounded time.
    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, time: Duration) {
        self.0.wait_for(&mut guard.guard, time);
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table of ranks in docs/DESIGN.md: number and name.
    fn documented() -> Vec<(u8, String)> {
        let page = include_str!("../docs/DESIGN.md");
        let table = page.split("\n## Locks\n").nth(1).unwrap();
        let rows =
            table.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with('|'));
        let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
        cells.filter_map(|cells| Some((cells[1].parse().ok()?, cells[2].to_owned()))).collect()
    }

    #[test]
    fn the_table_of_ranks_in_the_docs_is_the_one_in_the_code() {
        let ranks: Vec<(u8, String)> =
            ALL.iter().map(|(at, name)| (*at, (*name).to_owned())).collect();
        assert_eq!(documented(), ranks);
    }

    #[test]
    #[should_panic = "a lock of rank 3 (store gate) is taken while one of rank 5 is held"]
    fn a_lock_out_of_turn_panics() {
        let (gate, key) = (Mutex::<StoreGate, ()>::new(()), Mutex::<Key, ()>::new(()));
        let _key = key.lock();
        let _gate = gate.lock();
    }

    #[test]
    #[should_panic = "is taken while one of rank 6 is held"]
    fn a_second_lock_of_a_rank_panics() {
        let (one, other) = (Mutex::<Table, ()>::new(()), RwLock::<Table, ()>::new(()));
        let _one = one.lock();
        let _other = other.read();
    }

    #[test]
    fn in_turn_and_after_release_all_is_well() {
        let (gate, key) = (RwLock::<StoreGate, u8>::new(1), Mutex::<Key, u8>::new(2));
        for _ in 0..2 {
            let (gate, mut key) = (gate.read(), key.lock());
            *key += *gate;
        }
        assert_eq!((*gate.write(), *key.lock()), (1, 4));
        let held = key.try_lock().unwrap();
        assert!(key.is_locked() && key.try_lock().is_none());
        drop(held);
        assert!(!key.is_locked());
    }
}
