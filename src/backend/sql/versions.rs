//! Which versions of records this process has seen, and since when: what a database does not keep.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::database::{RecordRow, Version};
use super::generations::Generations;
use crate::model::{ContentType, Key, RecordType, StoreName};
use crate::ranks::{Mutex, Table};

/// So many records are remembered; of those that were asked for last, half of them at least.
const MOST: u64 = 1 << 20;

/// A record, by the name of its store.
pub(super) type RecordId = (StoreName, Key);

/// A version as it was seen first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its number, which no other version has.
    pub(super) object: u64,
    pub(super) size: u64,
    /// `None` if it was only listed: then nobody has had a byte of it, and any of this length is taken for it.
    pub(super) version: Option<Version>,
    /// The moment of publication, as far as it is known.
    pub(super) modified: SystemTime,
    /// Its type, if it was guessed here: a database does not keep that.
    guessed: Option<RecordType>,
}

impl Seen {
    /// Whether a row is of this version.
    fn is(&self, row: &RecordRow) -> bool {
        self.size == row.size
            && match (self.version, row.version) {
                (Some(own), Some(other)) => own == other,
                _ => true,
            }
    }

    /// How the record came by the type that the database has for it.
    pub(super) fn record_type(&self, content_type: &str) -> RecordType {
        let is_it = |guessed: &&RecordType| guessed.content_type.as_str() == content_type;
        match self.guessed.as_ref().filter(is_it) {
            Some(guessed) => guessed.clone(),
            None => RecordType::given(ContentType::new(content_type)),
        }
    }
}

/// The versions that were seen.
#[derive(Debug)]
pub(super) struct Versions {
    seen: Mutex<Table, Generations<RecordId, Seen>>,
    last: AtomicU64,
}

impl Default for Versions {
    fn default() -> Self {
        Self { seen: Mutex::new(Generations::new(MOST)), last: AtomicU64::new(0) }
    }
}

impl Versions {
    /// What is known of the version in a row. `None` if it is a new one.
    pub(super) fn find(&self, record: &RecordId, row: &RecordRow) -> Option<Seen> {
        let mut seen = self.seen.lock();
        let known = seen.get(record).filter(|known| known.is(row))?;
        known.version = known.version.or(row.version);
        Some(known.clone())
    }

    /// Notes a version that others have published, unless somebody has done so meanwhile.
    pub(super) fn note(&self, record: &RecordId, row: &RecordRow, modified: SystemTime) -> Seen {
        let object = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (size, version) = (row.size, row.version);
        let new = Seen { object, size, version, modified, guessed: None };
        let mut seen = self.seen.lock();
        match seen.get(record) {
            Some(known) if known.is(row) => known.clone(),
            _ => {
                seen.insert(record.clone(), new.clone(), 1);
                new
            }
        }
    }

    /// Notes a version that was published here just now, in the place of `before`. It is a new one even if its bytes are
    /// those of before.
    pub(super) fn published(
        &self,
        record: &RecordId,
        row: &RecordRow,
        (modified, guessed): (SystemTime, Option<RecordType>),
        before: Option<&Seen>,
    ) -> Seen {
        let mut seen = self.seen.lock();
        if let Some(known) = seen.get(record)
            && known.is(row)
            && before.is_none_or(|before| before.object != known.object)
        {
            // Somebody has come across it meanwhile.
            known.guessed = guessed;
            return known.clone();
        }
        let object = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let new = Seen { object, size: row.size, version: row.version, modified, guessed };
        seen.insert(record.clone(), new.clone(), 1);
        new
    }

    /// The version that was seen last under a name.
    pub(super) fn last(&self, record: &RecordId) -> Option<Seen> {
        self.seen.lock().get(record).cloned()
    }

    /// A row stands for the version that was seen last, changed by us in anything but its bytes.
    pub(super) fn renew(&self, record: &RecordId, row: &RecordRow, guessed: Option<RecordType>) {
        if let Some(known) = self.seen.lock().get(record)
            && known.size == row.size
        {
            known.version = row.version;
            known.guessed = guessed;
        }
    }

    /// A record has moved; `row` is what it is now.
    pub(super) fn rename(&self, from: &RecordId, to: &RecordId, row: &RecordRow) {
        let mut seen = self.seen.lock();
        seen.remove(to);
        if let Some(moved) = seen.remove(from).filter(|moved| moved.size == row.size) {
            seen.insert(to.clone(), Seen { version: row.version, ..moved }, 1);
        }
    }

    /// A record is gone.
    pub(super) fn forget(&self, record: &RecordId) {
        self.seen.lock().remove(record);
    }

    /// A store has another name.
    pub(super) fn rename_store(&self, from: &StoreName, to: &StoreName) {
        let mut seen = self.seen.lock();
        seen.take_if(|(store, _)| store == to);
        for ((_, key), version, weight) in seen.take_if(|(store, _)| store == from) {
            seen.insert((to.clone(), key), version, weight);
        }
    }

    /// A store is gone, or all of its records but those of some keys.
    pub(super) fn forget_store(&self, store: &StoreName, spared: &[Key]) {
        let spared: HashSet<&Key> = spared.iter().collect();
        self.seen.lock().take_if(|(of, key)| of == store && !spared.contains(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(size: u64, version: Option<u64>) -> RecordRow {
        RecordRow {
            key: "k".to_owned(),
            size,
            content_type: "text/plain".to_owned(),
            version: version.map(Version),
            committed_at: None,
        }
    }

    #[test]
    fn a_version_keeps_its_number_and_time_until_another_is_seen() {
        let versions = Versions::default();
        let record = (StoreName::default_store(), Key::new("k").unwrap());
        let (first, later) = (SystemTime::UNIX_EPOCH, SystemTime::now());
        assert_eq!(versions.find(&record, &row(1, None)), None);
        let listed = versions.note(&record, &row(1, None), first);
        // Nobody has read it: the first that is read is it.
        let read = versions.find(&record, &row(1, Some(7))).unwrap();
        assert_eq!((read.object, read.modified), (listed.object, first));
        assert_eq!(versions.find(&record, &row(1, Some(8))), None);
        assert_eq!(versions.find(&record, &row(2, Some(7))), None);
        let next = versions.note(&record, &row(1, Some(8)), later);
        assert!(next.object > read.object && next.modified == later);
        let again = versions.note(&record, &row(1, Some(8)), first);
        assert_eq!(again, next, "somebody has noted it already");
        // Published here: new, whatever its bytes are, and once only.
        let mine = versions.published(&record, &row(1, Some(8)), (later, None), Some(&next));
        assert!(mine.object > next.object);
        let raced = versions.published(&record, &row(1, Some(8)), (later, None), Some(&next));
        assert_eq!(raced.object, mine.object);
    }

    #[test]
    fn versions_go_along_with_records_and_stores() {
        let versions = Versions::default();
        let (a, b) = (StoreName::new("a").unwrap(), StoreName::new("b").unwrap());
        let (k, l) = (Key::new("k").unwrap(), Key::new("l").unwrap());
        let record = |store: &StoreName, key: &Key| (store.clone(), key.clone());
        let note = |id: &RecordId| versions.note(id, &row(1, Some(1)), SystemTime::now());
        let object = note(&record(&a, &k)).object;
        versions.rename(&record(&a, &k), &record(&a, &l), &row(1, Some(2)));
        assert_eq!(versions.last(&record(&a, &k)), None);
        versions.rename_store(&a, &b);
        let moved = versions.last(&record(&b, &l)).unwrap();
        assert_eq!((moved.object, moved.version), (object, Some(Version(2))));
        note(&record(&b, &k));
        versions.forget_store(&b, std::slice::from_ref(&k));
        assert!(versions.last(&record(&b, &k)).is_some());
        assert!(versions.last(&record(&b, &l)).is_none());
    }
}
