//! Which versions of records this process has seen, and since when: what a storage does not keep that is elsewhere.
//!
//! Looks at one record come back in any order: one that began before a publish may tell afterwards what was there before
//! it. So a look has the [`Moment`] at which it began, and takes the place of nothing that was noted after that. Versions
//! that have been replaced are remembered for some time, by the numbers that they have.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::generations::Generations;
#[cfg(feature = "sql")]
use crate::model::ContentType;
use crate::model::{Key, RecordType, StoreName};
use crate::ranks::{Mutex, Table};

/// So many records are remembered; of those that were asked for last, half of them at least.
const MOST: u64 = 1 << 20;

/// So many versions of a record are remembered that have been replaced.
const MOST_REPLACED: usize = 4;

/// A record, by the name of its store.
pub(in crate::backend) type RecordId = (StoreName, Key);

/// What a look has told of a record.
pub(in crate::backend) trait Sight<V> {
    /// Length of its value in bytes.
    fn size(&self) -> u64;

    /// Which version it is; `None` where telling it would have cost too much.
    fn version(&self) -> Option<&V>;
}

/// A version as it was seen first. What tells two versions apart is the storage's (`V`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::backend) struct Seen<V> {
    /// Its number, which no other version has.
    pub(in crate::backend) object: u64,
    pub(in crate::backend) size: u64,
    /// `None` if it was only listed: then nobody has had a byte of it, and any of this length is taken for it.
    pub(in crate::backend) version: Option<V>,
    /// The moment of publication, as far as it is known.
    pub(in crate::backend) modified: SystemTime,
    /// Its type, if it was guessed here: a database does not keep that.
    guessed: Option<RecordType>,
}

impl<V: Clone + Eq> Seen<V> {
    /// Whether a row is of this version.
    fn is(&self, row: &impl Sight<V>) -> bool {
        self.size == row.size()
            && match (self.version.as_ref(), row.version()) {
                (Some(own), Some(other)) => own == other,
                _ => true,
            }
    }

    /// What was only listed has this version.
    fn fill(&mut self, row: &impl Sight<V>) {
        if self.version.is_none() {
            self.version = row.version().cloned();
        }
    }

    /// How the record came by the type that the storage has for it.
    #[cfg(feature = "sql")]
    pub(in crate::backend) fn record_type(&self, content_type: &str) -> RecordType {
        let is_it = |guessed: &&RecordType| guessed.content_type.as_str() == content_type;
        match self.guessed.as_ref().filter(is_it) {
            Some(guessed) => guessed.clone(),
            None => RecordType::given(ContentType::new(content_type)),
        }
    }
}

/// A moment in the life of this process. What was noted at one was seen before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::backend) struct Moment(u64);

/// What is known of a record.
#[derive(Clone, Debug)]
struct Known<V> {
    current: Seen<V>,
    noted: Moment,
    /// What `current` has replaced, or what a look has told that came too late; newest last.
    replaced: Vec<Seen<V>>,
}

impl<V: Clone + Eq> Known<V> {
    fn of(current: Seen<V>) -> Self {
        Self { noted: Moment(current.object), current, replaced: Vec::new() }
    }

    /// Remembers a version that is not the current one.
    fn remember(&mut self, seen: Seen<V>) {
        if self.replaced.len() >= MOST_REPLACED {
            self.replaced.remove(0);
        }
        self.replaced.push(seen);
    }

    /// Puts a version in the place of the current one.
    fn replace(&mut self, new: Seen<V>) {
        self.noted = Moment(new.object);
        let old = std::mem::replace(&mut self.current, new);
        // Nobody has had a byte of what was only listed.
        if old.version.is_some() {
            self.remember(old);
        }
    }

    /// The version in a row that a look has found which began at a moment.
    fn find(&mut self, row: &impl Sight<V>, began: Moment) -> Option<Seen<V>> {
        if self.current.is(row) {
            self.current.fill(row);
            return Some(self.current.clone());
        }
        // If the look is of now, an earlier version has been made anew.
        let is_late = self.noted > began;
        let replaced = self.replaced.iter().rev().filter(|_| is_late && row.version().is_some());
        replaced.into_iter().find(|seen| seen.is(row)).cloned()
    }
}

/// The versions that were seen.
#[derive(Debug)]
pub(in crate::backend) struct Versions<V> {
    seen: Mutex<Table, Generations<RecordId, Known<V>>>,
    /// The last moment, and the number of the last version: each is noted at a moment of its own.
    last: AtomicU64,
}

impl<V> Default for Versions<V> {
    fn default() -> Self {
        Self { seen: Mutex::new(Generations::new(MOST)), last: AtomicU64::new(0) }
    }
}

impl<V: Clone + Eq> Versions<V> {
    /// The moment at which a look begins.
    pub(in crate::backend) fn now(&self) -> Moment {
        Moment(self.last.load(Ordering::SeqCst))
    }

    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// What is known of the version in a row that was found by a look which began at a moment. `None` if it is a new one.
    pub(in crate::backend) fn find(
        &self,
        record: &RecordId,
        row: &impl Sight<V>,
        began: Moment,
    ) -> Option<Seen<V>> {
        self.seen.lock().get(record)?.find(row, began)
    }

    /// Notes a version that others have published, unless somebody has done so meanwhile.
    pub(in crate::backend) fn note(
        &self,
        record: &RecordId,
        row: &impl Sight<V>,
        modified: SystemTime,
        began: Moment,
    ) -> Seen<V> {
        let (size, version) = (row.size(), row.version().cloned());
        let mut seen = self.seen.lock();
        let new = |object| Seen { object, size, version, modified, guessed: None };
        let Some(known) = seen.get(record) else {
            let new = new(self.next());
            seen.insert(record.clone(), Known::of(new.clone()), 1);
            return new;
        };
        if let Some(found) = known.find(row, began) {
            return found;
        }
        let new = new(self.next());
        if known.noted > began {
            known.remember(new.clone());
        } else {
            known.replace(new.clone());
        }
        new
    }

    /// Notes a version that was published here just now, in the place of `before`. It is a new one even if its bytes are
    /// those of before.
    pub(in crate::backend) fn published(
        &self,
        record: &RecordId,
        row: &impl Sight<V>,
        (modified, guessed): (SystemTime, Option<RecordType>),
        before: Option<&Seen<V>>,
    ) -> Seen<V> {
        let mut seen = self.seen.lock();
        let object = self.next();
        let version = row.version().cloned();
        let new = Seen { object, size: row.size(), version, modified, guessed };
        let Some(known) = seen.get(record) else {
            seen.insert(record.clone(), Known::of(new.clone()), 1);
            return new;
        };
        let current = &mut known.current;
        if current.is(row) && before.is_none_or(|before| before.object != current.object) {
            // Somebody has come across it meanwhile.
            current.fill(row);
            current.guessed = new.guessed;
            known.noted = Moment(object);
            return known.current.clone();
        }
        known.replace(new.clone());
        new
    }

    /// The version that was seen last under a name.
    pub(in crate::backend) fn last(&self, record: &RecordId) -> Option<Seen<V>> {
        self.seen.lock().get(record).map(|known| known.current.clone())
    }

    /// The version of a record that has a number, whether it is the current one or not.
    pub(in crate::backend) fn numbered(&self, record: &RecordId, object: u64) -> Option<Seen<V>> {
        let mut seen = self.seen.lock();
        let known = seen.get(record)?;
        let all = known.replaced.iter().chain([&known.current]);
        all.into_iter().find(|seen| seen.object == object).cloned()
    }

    /// A row stands for the version that was seen last, changed by us in anything but its bytes.
    pub(in crate::backend) fn renew(
        &self,
        record: &RecordId,
        row: &impl Sight<V>,
        guessed: Option<RecordType>,
    ) {
        let mut seen = self.seen.lock();
        if let Some(known) = seen.get(record)
            && known.current.size == row.size()
        {
            known.current.version = row.version().cloned();
            known.current.guessed = guessed;
            known.noted = Moment(self.next());
        }
    }

    /// A record has moved; `row` is what it is now.
    pub(in crate::backend) fn rename(&self, from: &RecordId, to: &RecordId, row: &impl Sight<V>) {
        let mut seen = self.seen.lock();
        seen.remove(to);
        if let Some(mut moved) = seen.remove(from).filter(|moved| moved.current.size == row.size())
        {
            moved.current.version = row.version().cloned();
            moved.noted = Moment(self.next());
            seen.insert(to.clone(), moved, 1);
        }
    }

    /// A record is gone.
    pub(in crate::backend) fn forget(&self, record: &RecordId) {
        self.seen.lock().remove(record);
    }

    /// A look that began at a moment has found no such record.
    pub(in crate::backend) fn absent(&self, record: &RecordId, began: Moment) {
        let mut seen = self.seen.lock();
        if seen.get(record).is_some_and(|known| known.noted <= began) {
            seen.remove(record);
        }
    }

    /// A store has another name.
    pub(in crate::backend) fn rename_store(&self, from: &StoreName, to: &StoreName) {
        let mut seen = self.seen.lock();
        seen.take_if(|(store, _)| store == to);
        for ((_, key), version, weight) in seen.take_if(|(store, _)| store == from) {
            seen.insert((to.clone(), key), version, weight);
        }
    }

    /// A store is gone, or all of its records but those of some keys.
    pub(in crate::backend) fn forget_store(&self, store: &StoreName, spared: &[Key]) {
        let spared: HashSet<&Key> = spared.iter().collect();
        self.seen.lock().take_if(|(of, key)| of == store && !spared.contains(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug)]
    struct Told(u64, Option<u64>);

    impl Sight<u64> for Told {
        fn size(&self) -> u64 {
            self.0
        }

        fn version(&self) -> Option<&u64> {
            self.1.as_ref()
        }
    }

    fn row(size: u64, version: Option<u64>) -> Told {
        Told(size, version)
    }

    #[test]
    fn a_version_keeps_its_number_and_time_until_another_is_seen() {
        let versions = Versions::default();
        let record = (StoreName::default_store(), Key::new("k").unwrap());
        let (first, later) = (SystemTime::UNIX_EPOCH, SystemTime::now());
        assert_eq!(versions.find(&record, &row(1, None), versions.now()), None);
        let listed = versions.note(&record, &row(1, None), first, versions.now());
        // Nobody has read it: the first that is read is it.
        let read = versions.find(&record, &row(1, Some(7)), versions.now()).unwrap();
        assert_eq!((read.object, read.modified), (listed.object, first));
        assert_eq!(versions.find(&record, &row(1, Some(8)), versions.now()), None);
        assert_eq!(versions.find(&record, &row(2, Some(7)), versions.now()), None);
        let next = versions.note(&record, &row(1, Some(8)), later, versions.now());
        assert!(next.object > read.object && next.modified == later);
        let again = versions.note(&record, &row(1, Some(8)), first, versions.now());
        assert_eq!(again, next, "somebody has noted it already");
        // Published here: new, whatever its bytes are, and once only.
        let mine = versions.published(&record, &row(1, Some(8)), (later, None), Some(&next));
        assert!(mine.object > next.object);
        let raced = versions.published(&record, &row(1, Some(8)), (later, None), Some(&next));
        assert_eq!(raced.object, mine.object);
    }

    #[test]
    fn p06_a_look_that_comes_late_takes_the_place_of_nothing() {
        let versions = Versions::default();
        let record = (StoreName::default_store(), Key::new("k").unwrap());
        let (old, new, newer) = (row(1, Some(1)), row(2, Some(2)), row(3, Some(3)));
        let at = SystemTime::now();
        let first = versions.note(&record, &old, at, versions.now());
        let began = versions.now();
        let mine = versions.published(&record, &new, (at, None), Some(&first));
        assert_eq!(versions.find(&record, &old, began), Some(first.clone()));
        assert_eq!(versions.note(&record, &old, at, began), first);
        // Even one that nobody knows: it was replaced before anybody saw it.
        let unknown = versions.note(&record, &newer, at, began);
        assert_eq!(versions.last(&record), Some(mine.clone()));
        versions.absent(&record, began);
        for seen in [&first, &mine, &unknown] {
            assert_eq!(versions.numbered(&record, seen.object).as_ref(), Some(seen));
        }
        // One that begins now tells of now: what was there before was made anew.
        assert_eq!(versions.find(&record, &old, versions.now()), None);
        let again = versions.note(&record, &old, at, versions.now());
        assert!(again.object > mine.object);
        assert_eq!(versions.last(&record), Some(again));
        versions.absent(&record, versions.now());
        assert_eq!(versions.last(&record), None);
    }

    #[test]
    fn versions_go_along_with_records_and_stores() {
        let versions = Versions::default();
        let (a, b) = (StoreName::new("a").unwrap(), StoreName::new("b").unwrap());
        let (k, l) = (Key::new("k").unwrap(), Key::new("l").unwrap());
        let record = |store: &StoreName, key: &Key| (store.clone(), key.clone());
        let note =
            |id: &RecordId| versions.note(id, &row(1, Some(1)), SystemTime::now(), versions.now());
        let object = note(&record(&a, &k)).object;
        versions.rename(&record(&a, &k), &record(&a, &l), &row(1, Some(2)));
        assert_eq!(versions.last(&record(&a, &k)), None);
        versions.rename_store(&a, &b);
        let moved = versions.last(&record(&b, &l)).unwrap();
        assert_eq!((moved.object, moved.version), (object, Some(2)));
        note(&record(&b, &k));
        versions.forget_store(&b, std::slice::from_ref(&k));
        assert!(versions.last(&record(&b, &k)).is_some());
        assert!(versions.last(&record(&b, &l)).is_none());
    }
}
