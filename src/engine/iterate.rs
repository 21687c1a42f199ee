//! Listing the keys of a store in order, as an iterator or page by page, in bounded memory.

use std::collections::BTreeMap;
use std::fmt;

use super::Store;
use super::smallest::{Smallest, Sorted};
use crate::backend::{KeyOrder, Listed, Scan};
use crate::model::{ContentType, Error, Key, Result};

/// Bytes of the keys that one pass over a store's names keeps, 16 for each key besides its own: more than a million
/// keys of 40 bytes. A store with more takes a further pass for each half of that.
const MOST_BYTES: usize = 64 << 20;

/// Of so many records at most is kept what the listing has told of them. The others are looked at one by one.
const MOST_KNOWN: usize = 1 << 16;

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

    /// Whether no key from this one on, in the order of their bytes, is wanted.
    fn is_behind_all(&self, key: &Key) -> bool {
        let prefix = self.prefix.as_deref().unwrap_or_default().as_bytes();
        key.as_bytes() > prefix && !key.as_bytes().starts_with(prefix)
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
    /// Lists the records, in ascending order of keys. Each is looked at when it is asked for, unless the storage's own
    /// listing tells all of it; one that has been deleted by then is passed over, and does not count towards the limit.
    ///
    /// A storage that lists in this order is read once, as far as records are asked for. Else the names of the store
    /// are scanned once, if 64 MiB hold its keys (more than a million of usual length); else
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
            if keys.has_more()? { items.last().map(|record| record.key.clone()) } else { None };
        Ok(KeyPage { items, next_exclusive_start_key })
    }
}

/// The records of a store in ascending order of keys: [`Store::keys`].
///
/// An error about one record does not end it; one of the store's listing does.
pub struct Keys {
    store: Store,
    /// What is still to be listed.
    query: IterateKeys,
    most_bytes: usize,
    /// Whether the storage itself lists in order.
    is_in_order: bool,
    /// Where the records then come from; `None` before the first one.
    in_order: Option<Scan>,
    /// The keys that the last pass found, where it does not; `None` before the first one.
    pass: Option<Sorted>,
    /// The next of them.
    next: usize,
    /// What the last pass was told of the first of them besides their keys.
    known: BTreeMap<Key, Listed>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("query", &self.query).finish_non_exhaustive()
    }
}

impl Keys {
    fn new(store: Store, query: IterateKeys, most_bytes: usize) -> Self {
        let is_in_order = store.storage().traits().key_order == KeyOrder::Bytes;
        let (in_order, pass, known) = (None, None, BTreeMap::new());
        Self { store, query, most_bytes, is_in_order, in_order, pass, next: 0, known }
    }

    /// Whether there were more keys than have been given back, when they were looked for. To be asked once, at the
    /// limit.
    fn has_more(&mut self) -> Result<bool> {
        if self.is_in_order && self.in_order.is_some() {
            return Ok(self.next_in_order()?.is_some());
        }
        Ok(self.pass.as_ref().is_some_and(|pass| pass.more || self.next < pass.len()))
    }

    /// The next record that was there when the store was scanned.
    fn next_listed(&mut self) -> Result<Option<Listed>> {
        if self.query.limit == Some(0) {
            return Ok(None);
        }
        if self.is_in_order {
            return self.next_in_order();
        }
        let Some(key) = self.next_key()? else { return Ok(None) };
        Ok(Some(self.known.remove(&key).unwrap_or_else(|| key.into())))
    }

    /// The next record that is to be listed, of a storage that lists in order.
    fn next_in_order(&mut self) -> Result<Option<Listed>> {
        // What fails once is not tried again.
        let mut records: Scan = match self.in_order.replace(Box::new(std::iter::empty())) {
            Some(records) => records,
            None => self.store.scan()?,
        };
        while let Some(listed) = records.next().transpose()? {
            if self.query.has(&listed.key) {
                self.in_order = Some(records);
                return Ok(Some(listed));
            }
            if self.query.is_behind_all(&listed.key) {
                break;
            }
        }
        Ok(None)
    }

    /// The next key that was there when the names were scanned.
    fn next_key(&mut self) -> Result<Option<Key>> {
        loop {
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
            let (pass, known) = self.look_through()?;
            (self.pass, self.known) = (Some(pass), known);
        }
    }

    /// Lets go of all keys.
    fn end(&mut self) {
        self.in_order = Some(Box::new(std::iter::empty()));
        self.known.clear();
        self.pass = Some(Sorted::default());
        self.next = 0;
    }

    fn look_through(&self) -> Result<(Sorted, BTreeMap<Key, Listed>)> {
        let limit = self.query.limit.unwrap_or(usize::MAX);
        let mut smallest = Smallest::new(limit, self.most_bytes);
        let mut known = BTreeMap::new();
        for listed in self.store.scan()? {
            let listed = listed?;
            if !self.query.has(&listed.key) {
                continue;
            }
            smallest.push(listed.key.as_bytes());
            if listed.attributes.is_some() {
                known.insert(listed.key.clone(), listed);
                if known.len() > limit.min(MOST_KNOWN) {
                    known.pop_last();
                }
            }
        }
        Ok((smallest.finish(), known))
    }

    fn describe(&self, listed: Listed) -> Result<RecordMetadata> {
        let Listed { key, attributes, record_type } = listed;
        let size = attributes.map_or_else(|| self.store.record(&key), Ok)?.size;
        let content_type = match record_type {
            Some(listed) => listed.content_type,
            None => self.store.content_type(&key)?,
        };
        Ok(RecordMetadata { content_type, size, key })
    }
}

impl Iterator for Keys {
    type Item = Result<RecordMetadata>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let listed = match self.next_listed() {
                Ok(listed) => listed?,
                Err(error) => return Some(Err(error)),
            };
            match self.describe(listed) {
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
            for (most_bytes, is_in_order) in
                [(0, false), (100, false), (1000, false), (100_000, false), (0, true)]
            {
                let query = IterateKeys { limit, ..IterateKeys::default() };
                let keys = Keys { is_in_order, ..Keys::new(store.clone(), query, most_bytes) };
                let listed: Vec<Key> = keys.map(|record| record.unwrap().key).collect();
                let expected: Vec<Key> = (0..limit.unwrap_or(200).min(200)).map(key).collect();
                assert_eq!(listed, expected, "{limit:?} {most_bytes}");
            }
        }
    }
}
