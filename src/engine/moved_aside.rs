//! Types of records that somebody has just moved aside, to write them anew under the old name.
//!
//! Many editors save so: `notes` is renamed to `notes~`, a new `notes` is written, and `notes~` removed. To the storage
//! these are two records; to the user it is one, and its type stays (P10).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::model::{ContentType, Key, StoreName};
use crate::ranks::{Mutex, Table};

/// What the names of backups end with, behind the record's own name.
const BACKUP_ENDINGS: [&str; 4] = ["~", ".bak", ".orig", ".old"];

/// An editor writes the new record at once. What is written later is another.
const HOLDS: Duration = Duration::from_secs(10);

/// So many are remembered; beyond that the oldest are forgotten.
const MOST: usize = 64;

/// The types of records that were moved aside a moment ago.
#[derive(Debug, Default)]
pub(super) struct MovedAside {
    moved: Mutex<Table, VecDeque<Moved>>,
}

#[derive(Debug)]
struct Moved {
    store: StoreName,
    key: Key,
    given: ContentType,
    at: Instant,
}

impl MovedAside {
    /// Notes the type that a record was given, if it has been renamed to the name of its backup.
    pub(super) fn note(&self, store: &StoreName, key: &Key, to: &Key, given: Option<&ContentType>) {
        self.forget(store, key);
        if let Some(given) = given.filter(|_| is_backup(key, to)) {
            let (store, key, given) = (store.clone(), key.clone(), given.clone());
            let mut moved = self.moved.lock();
            moved.push_back(Moved { store, key, given, at: Instant::now() });
            if moved.len() > MOST {
                moved.pop_front();
            }
        }
    }

    /// The type that the record of this name was given before it was moved aside.
    pub(super) fn get(&self, store: &StoreName, key: &Key) -> Option<ContentType> {
        let moved = self.moved.lock();
        let found = moved.iter().find(|moved| moved.is(store, key) && moved.at.elapsed() < HOLDS);
        found.map(|moved| moved.given.clone())
    }

    /// There is a record of this name again.
    pub(super) fn forget(&self, store: &StoreName, key: &Key) {
        self.moved.lock().retain(|moved| !moved.is(store, key));
    }
}

impl Moved {
    fn is(&self, store: &StoreName, key: &Key) -> bool {
        self.store == *store && self.key == *key
    }
}

fn is_backup(key: &Key, to: &Key) -> bool {
    let ending = to.as_bytes().strip_prefix(key.as_bytes());
    ending.is_some_and(|ending| BACKUP_ENDINGS.iter().any(|known| known.as_bytes() == ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    #[test]
    fn p10_only_a_rename_to_a_backup_is_remembered_and_until_there_is_a_record_again() {
        let (moved, store, other) =
            (MovedAside::default(), StoreName::default_store(), StoreName::new("other").unwrap());
        let html = ContentType::new("text/html");
        moved.note(&store, &key("a"), &key("b"), Some(&html));
        moved.note(&store, &key("c"), &key("cat"), Some(&html));
        moved.note(&store, &key("d"), &key("d~"), None);
        moved.note(&store, &key("e"), &key("e~"), Some(&html));
        for name in ["a", "c", "d"] {
            assert_eq!(moved.get(&store, &key(name)), None, "{name}");
        }
        assert_eq!(moved.get(&store, &key("e")), Some(html));
        assert_eq!(moved.get(&other, &key("e")), None);
        moved.forget(&store, &key("e"));
        assert_eq!(moved.get(&store, &key("e")), None);
    }

    #[test]
    fn p10_the_table_is_bounded() {
        let (moved, store) = (MovedAside::default(), StoreName::default_store());
        for number in 0..3 * MOST {
            let (from, to) = (key(&format!("{number}")), key(&format!("{number}~")));
            moved.note(&store, &from, &to, Some(&ContentType::text()));
        }
        assert_eq!(moved.moved.lock().len(), MOST);
    }
}
