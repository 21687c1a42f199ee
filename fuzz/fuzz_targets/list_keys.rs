//! Listing keys page by page, with any prefix and any key to begin behind.

#![no_main]

use std::collections::BTreeSet;

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use storefs::backend::memory::MemoryBackend;
use storefs::engine::{IterateKeys, Storage};
use storefs::model::{Key, StoreName};

/// More pages teach nothing new.
const MAX_KEYS: usize = 64;

// A line each: how many keys to a page, the prefix, the key to begin behind, and the keys that there are.
fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let limit =
        lines.next().and_then(|line| line.first()).map_or(1, |first| usize::from(first % 5) + 1);
    let prefix = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let start = lines.next().and_then(|line| Key::from_bytes(line).ok());
    let keys: BTreeSet<Key> =
        lines.filter_map(|line| Key::from_bytes(line).ok()).take(MAX_KEYS).collect();

    let backend = MemoryBackend::new();
    let storage = Storage::with_backend(Arc::new(backend.clone()), Some("INPUT".to_owned()));
    let name = StoreName::default_store();
    let store = storage.create_store(&name).unwrap();
    for key in &keys {
        backend.insert_bare(&name, key, b"").unwrap();
    }

    let mut query = IterateKeys {
        prefix: prefix.map(str::to_owned),
        exclusive_start_key: start.clone(),
        limit: None,
    };
    let in_one_go: Vec<Key> = store.keys(&query).map(|record| record.unwrap().key).collect();
    query.limit = Some(limit);
    let mut listed = Vec::new();
    loop {
        let page = store.iterate_keys(&query).unwrap();
        let more = page.next_exclusive_start_key;
        assert!(page.items.len() <= limit);
        assert!(more.is_none() || page.items.len() == limit);
        listed.extend(page.items.into_iter().map(|item| item.key));
        match more {
            Some(next) => query.exclusive_start_key = Some(next),
            None => break,
        }
    }
    assert_eq!(listed, in_one_go);
    let prefix = prefix.unwrap_or_default().as_bytes();
    let expected = keys.into_iter().filter(|key| {
        key.as_bytes().starts_with(prefix) && start.as_ref().is_none_or(|start| key > start)
    });
    assert!(listed.into_iter().eq(expected));
});
