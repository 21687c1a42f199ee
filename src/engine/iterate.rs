//! Listing the keys of a store page by page, in memory bounded by the page.

use std::collections::BinaryHeap;

use super::Store;
use crate::model::{ContentType, Error, Key, Result};

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

/// Lists one page. One pass over the store's names keeps only the smallest `limit` of them; values and
/// sidecars are looked at for the page alone.
pub(super) fn page(store: &Store, query: &IterateKeys) -> Result<KeyPage> {
    let (keys, more) = smallest(store, query)?;
    let next_exclusive_start_key = if more { keys.last().cloned() } else { None };
    let mut items = Vec::with_capacity(keys.len());
    for key in keys {
        match describe(store, &key) {
            Ok(record) => items.push(record),
            // Deleted by somebody since the scan.
            Err(Error::NoSuchRecord { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(KeyPage { items, next_exclusive_start_key })
}

fn describe(store: &Store, key: &Key) -> Result<RecordMetadata> {
    let size = store.record(key)?.size;
    Ok(RecordMetadata { content_type: store.content_type(key)?, size, key: key.clone() })
}

fn smallest(store: &Store, query: &IterateKeys) -> Result<(Vec<Key>, bool)> {
    let limit = query.limit.unwrap_or(usize::MAX);
    let prefix = query.prefix.as_deref().unwrap_or("").as_bytes();
    let mut page = BinaryHeap::new();
    let mut more = false;
    for key in store.scan()? {
        let key = key?;
        let behind = query.exclusive_start_key.as_ref().is_none_or(|start| key > *start);
        if !behind || !key.as_bytes().starts_with(prefix) {
            continue;
        }
        page.push(key);
        if page.len() > limit {
            page.pop();
            more = true;
        }
    }
    Ok((page.into_sorted_vec(), more))
}
