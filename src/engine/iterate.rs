//! Listing the keys of a store in order, as an iterator or page by page, in bounded memory.

use super::Store;
use super::smallest::{Smallest, Sorted};
use crate::model::{ContentType, Error, Key, Result};

/// Bytes of the keys that one pass over a store's names keeps, 16 for each key besides its own: more than a million
/// keys of 40 bytes. A store with more takes a further pass for each half of that.
const MOST_BYTES: usize = 64 << 20;

/// Which keys to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IterateKeys {
    /// Only keys that begin with this.
    pub prefix: Option<String>,
    /// Only keys behind this one.
    pub exclusive_start_key: Option<Key>,
    /// At most so many keys; `None` lists all.
    pub limit: Option<usize>,
}

impl IterateKeys {
    fn has(&self, key: &Key) -> bool {
        let prefix = self.prefix.as_deref().unwrap_or_default().as_bytes();
        key.as_bytes().starts_with(prefix)
            && self.exclusive_start_key.as_ref().is_none_or(|start| key > start)
    }
}

/// A record as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The key.
    pub key: Key,
    /// The content type: the one that is kept, or what a bare file's name and bytes say.
    pub content_type: ContentType,
    /// Length of the value in bytes.
    pub size: u64,
}

/// One page of keys, in ascending order of their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The records of the page.
    pub items: Vec<RecordMetadata>,
    /// Where the next page begins; `None` if this one was the last.
    pub next_exclusive_start_key: Option<Key>,
}

impl Store {
    /// Lists the records, in ascending order of keys. Each is looked at when it is asked for; one that has been
    /// deleted by then is passed over, and does not count towards the limit.
    ///
    /// The names of the store are scanned once, if 64 MiB hold its keys (more than a million of usual length); else
    /// once more for about each 32 MiB of them. No more memory than that is taken, whatever the store holds.
    #[must_use]
    pub fn keys(&self, query: &IterateKeys) -> Keys {
        self.accessed();
        Keys::new(self.clone(), query.clone(), MOST_BYTES)
    }

    /// Lists one page of records, in ascending order of keys. Each page scans the names of the store: who wants
    /// more than one page of a large store takes [`keys`](Self::keys).
    ///
    /// # Errors
    /// [`Error::NoSuchStore`], [`Error::Io`].
    pub fn iterate_keys(&self, query: &IterateKeys) -> Result<KeyPage> {
        let mut keys = Keys::new(self.clone(), query.clone(), usize::MAX);
        let items: Vec<_> = keys.by_ref().collect::<Result<_>>()?;
        self.accessed();
        let next_exclusive_start_key =
            if keys.has_more() { items.last().map(|record| record.key.clone()) } else { None };
        Ok(KeyPage { items, next_exclusive_start_key })
    }
}

/// The records of a store in ascending order of keys: [`Store::keys`].
///
/// An error about one record does not end it; one of the store's listing does.
#[derive(Debug)]
pub struct Keys {
    store: Store,
    /// What is still to be listed.
    query: IterateKeys,
    most_bytes: usize,
    /// The keys that the last pass found; `None` before the first one.
    pass: Option<Sorted>,
    /// The next of them.
    next: usize,
}

impl Keys {
    fn new(store: Store, query: IterateKeys, most_bytes: usize) -> Self {
        Self { store, query, most_bytes, pass: None, next: 0 }
    }

    /// Whether there were more keys than have been given back, when they were looked for.
    fn has_more(&self) -> bool {
        self.pass.as_ref().is_some_and(|pass| pass.more || self.next < pass.len())
    }

    /// The next key that was there when the names were scanned.
    fn next_key(&mut self) -> Result<Option<Key>> {
        loop {
            if self.query.limit == Some(0) {
                return Ok(None);
            }
            if let Some(pass) = &self.pass {
                if let Some(key) = pass.get(self.next) {
                    self.next += 1;
                    return Ok(Some(key));
                }
                if !pass.more {
                    return Ok(None);
                }
                self.query.exclusive_start_key = pass.last();
            }
            self.end();
            self.pass = Some(self.look_through()?);
        }
    }

    /// Lets go of all keys.
    fn end(&mut self) {
        self.pass = Some(Sorted::default());
        self.next = 0;
    }

    fn look_through(&self) -> Result<Sorted> {
        let mut smallest = Smallest::new(self.query.limit.unwrap_or(usize::MAX), self.most_bytes);
        for key in self.store.scan()? {
            let key = key?;
            if self.query.has(&key) {
                smallest.push(key.as_bytes());
            }
        }
        Ok(smallest.finish())
    }

    fn describe(&self, key: Key) -> Result<RecordMetadata> {
        let size = self.store.record(&key)?.size;
        Ok(RecordMetadata { content_type: self.store.content_type(&key)?, size, key })
    }
}

impl Iterator for Keys {
    type Item = Result<RecordMetadata>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let key = match self.next_key() {
                Ok(key) => key?,
                Err(error) => return Some(Err(error)),
            };
            match self.describe(key) {
                // Deleted by somebody since the scan.
                Err(Error::NoSuchRecord { .. }) => {}
                Err(error @ Error::NoSuchStore { .. }) => {
                    self.end();
                    return Some(Err(error));
                }
                record => {
                    if let Some(limit) = &mut self.query.limit {
                        *limit -= 1;
                    }
                    return Some(record);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{OpenStore, Storage};
    use super::*;
    use crate::backend::memory::MemoryBackend;

    #[test]
    fn what_one_pass_cannot_hold_takes_more() {
        let storage = Storage::with_backend(Arc::new(MemoryBackend::new()), None);
        let store = storage.open_store(&OpenStore::default()).unwrap();
        let key = |number: usize| Key::new(&format!("key-{number:03}")).unwrap();
        for number in (0..200).map(|number| (number * 77) % 200) {
            store.set_value(&key(number), "v", None).unwrap();
        }
        for limit in [None, Some(1), Some(150), Some(300)] {
            for most_bytes in [0, 100, 1000, 100_000] {
                let query = IterateKeys { limit, ..IterateKeys::default() };
                let keys = Keys::new(store.clone(), query, most_bytes);
                let listed: Vec<Key> = keys.map(|record| record.unwrap().key).collect();
                let expected: Vec<Key> = (0..limit.unwrap_or(200).min(200)).map(key).collect();
                assert_eq!(listed, expected, "{limit:?} {most_bytes}");
            }
        }
    }
}
