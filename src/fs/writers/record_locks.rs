//! Holding the records that an operation changes, from its first look to its last effect.
//!
//! Who publishes, renames, removes or types a record, or begins a session of it, holds it; a rename holds both names at
//! once, and what concerns a store as a whole holds all of its records. So no operation sees half of another.
//!
//! Records are held in the order in which they were asked for: nobody is overtaken by one that wants the same, so that
//! a rename of a log is not held off by writers who come and go. As each thread asks once, for all that it needs, no two
//! wait for each other.

use crate::fs::ino::Ino;
use crate::fs::store_node::{RecordId, StoreNode};
use crate::model::Key;
use crate::ranks::{Condvar, Holding, Mutex, Record, Table};

/// Who holds what, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct RecordLocks {
    queue: Mutex<Table, Queue>,
    /// Signalled when somebody lets go.
    left: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// In the order of asking. Who is not held up by an earlier one holds what he asked for.
    asked: Vec<(u64, Subject)>,
    next: u64,
}

/// What is held.
#[derive(Debug)]
enum Subject {
    Records([Option<RecordId>; 2]),
    Stores([Option<Ino>; 2]),
}

/// Records that are held.
#[derive(Debug)]
pub(in crate::fs) struct Held<'a> {
    locks: &'a RecordLocks,
    number: u64,
    _holding: Holding,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut queue = self.locks.queue.lock();
        queue.asked.retain(|(number, _)| *number != self.number);
        drop(queue);
        self.locks.left.notify_all();
    }
}

impl Subject {
    fn conflicts(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Records(own), Self::Records(others)) => own
                .iter()
                .flatten()
                .any(|record| others.iter().flatten().any(|other| record == other)),
            (Self::Records(records), Self::Stores(stores))
            | (Self::Stores(stores), Self::Records(records)) => {
                records.iter().flatten().any(|(store, _)| stores.contains(&Some(*store)))
            }
            (Self::Stores(own), Self::Stores(others)) => {
                own.iter().flatten().any(|store| others.contains(&Some(*store)))
            }
        }
    }
}

impl Queue {
    /// Whether one that asked earlier holds, or waits for, what this one asks for.
    fn is_held_up(&self, number: u64) -> bool {
        let Some(at) = self.asked.iter().position(|(asked, _)| *asked == number) else {
            return false;
        };
        let (earlier, own) = self.asked.split_at(at);
        own.first().is_some_and(|(_, own)| earlier.iter().any(|(_, other)| other.conflicts(own)))
    }
}

impl RecordLocks {
    /// Holds one record.
    pub(super) fn hold(&self, store: &StoreNode, key: &Key) -> Held<'_> {
        self.hold_subject(Subject::Records([Some(store.record(key)), None]))
    }

    /// Holds two records, or one that is given twice.
    pub(super) fn hold_both(
        &self,
        (store, key): (&StoreNode, &Key),
        (other_store, other_key): (&StoreNode, &Key),
    ) -> Held<'_> {
        let records = [Some(store.record(key)), Some(other_store.record(other_key))];
        self.hold_subject(Subject::Records(records))
    }

    /// Holds all records of a store, or of two.
    pub(super) fn hold_stores(&self, store: &StoreNode, other: Option<&StoreNode>) -> Held<'_> {
        self.hold_subject(Subject::Stores([Some(store.ino), other.map(|other| other.ino)]))
    }

    /// Whether who asks for a record now would have to wait.
    pub(super) fn is_held(&self, store: &StoreNode, key: &Key) -> bool {
        let queue = self.queue.lock();
        if queue.asked.is_empty() {
            return false;
        }
        let subject = Subject::Records([Some(store.record(key)), None]);
        queue.asked.iter().any(|(_, other)| other.conflicts(&subject))
    }

    fn hold_subject(&self, subject: Subject) -> Held<'_> {
        let holding = Holding::begin::<Record>();
        let mut queue = self.queue.lock();
        let number = queue.next;
        queue.next += 1;
        queue.asked.push((number, subject));
        while queue.is_held_up(number) {
            self.left.wait(&mut queue);
        }
        drop(queue);
        Held { locks: self, number, _holding: holding }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::model::StoreName;

    fn store(ino: u64) -> StoreNode {
        StoreNode::new(Ino(ino), StoreName::default_store())
    }

    /// Waits until so many have asked.
    fn wait_until_asked(locks: &RecordLocks, count: usize) {
        while locks.queue.lock().asked.len() < count {
            thread::yield_now();
        }
    }

    #[test]
    fn p6_who_comes_later_does_not_overtake_a_rename_that_waits() {
        let (locks, store) = (RecordLocks::default(), store(16));
        let key = |text: &str| Key::new(text).unwrap();
        let (log, old, other) = (key("app.log"), key("app.1"), key("other"));
        let (told, order) = mpsc::channel();
        thread::scope(|scope| {
            let writer = locks.hold(&store, &log);
            let (locks, store, log, old) = (&locks, &store, &log, &old);
            let renamed = told.clone();
            scope.spawn(move || {
                let _held = locks.hold_both((store, log), (store, old));
                renamed.send("rename").unwrap();
            });
            wait_until_asked(locks, 2);
            scope.spawn(move || {
                let _held = locks.hold(store, log);
                told.send("next writer").unwrap();
            });
            wait_until_asked(locks, 3);
            // What concerns none of them waits for none of them.
            let rank = thread::scope(|scope| {
                scope.spawn(|| drop(locks.hold(store, &other))).join().is_ok()
            });
            assert!(rank);
            drop(writer);
        });
        assert_eq!(order.iter().collect::<Vec<_>>(), ["rename", "next writer"]);
    }

    #[test]
    fn a_store_is_held_with_all_its_records() {
        let (locks, one, other) = (RecordLocks::default(), store(16), store(17));
        let key = Key::new("k").unwrap();
        let held = locks.hold_stores(&one, None);
        assert!(locks.is_held(&one, &key) && !locks.is_held(&other, &key));
        drop(held);
        assert!(!locks.is_held(&one, &key));
        let _held = locks.hold_stores(&one, Some(&other));
        assert!(locks.is_held(&one, &key) && locks.is_held(&other, &key));
    }
}
