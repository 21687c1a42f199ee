//! Writes to `@purge` and to a store's metadata, at any offset.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use storefs::backend::memory::MemoryBackend;
use storefs::engine::{Storage, Store};
use storefs::fs::{Caller, FileSystem, FsOptions, Handle, OpenMode, Position, STORES};
use storefs::model::{Key, StoreName};

const CALLER: Caller = Caller { uid: 0, gid: 0, thread: 1 };
const WRITE: OpenMode = OpenMode { read: true, write: true, truncate: false, exclusive: false };

/// Longest metadata that is taken.
const MAX_METADATA: u64 = 1024 * 1024;

fuzz_target!(|input: (bool, Vec<(u64, &[u8])>)| {
    let (purge, writes) = input;
    let storage = Storage::with_backend(Arc::new(MemoryBackend::new()), Some("INPUT".to_owned()));
    let store = storage.create_store(&StoreName::default_store()).unwrap();
    let fs = FileSystem::new(storage, FsOptions::default());
    let name = if purge { "@purge" } else { "__metadata__.json" };
    let dir = fs.lookup(&CALLER, STORES, b"default").unwrap().attr.ino;
    let ino = fs.lookup(&CALLER, dir, name.as_bytes()).unwrap().attr.ino;
    let handle = fs.open(&CALLER, ino, WRITE).unwrap().handle;
    if purge {
        purges_on_a_one_alone(&fs, &store, handle, &writes);
    } else {
        keeps_what_can_be_read(&fs, &store, handle, &writes);
    }
    fs.release(handle);
});

fn purges_on_a_one_alone(fs: &FileSystem, store: &Store, handle: Handle, writes: &[(u64, &[u8])]) {
    let key = Key::new("record").unwrap();
    let mut purged = false;
    for (offset, data) in writes {
        store.set_value(&key, "value", None).unwrap();
        let purges = !purged && *offset == 0 && matches!(*data, b"1" | b"1\n");
        let ends_line = purged && *offset == 1 && *data == b"\n";
        let accepted = fs.write(handle, data, Position::At(*offset).into()).is_ok();
        assert_eq!(accepted, purges || ends_line, "{data:?} at {offset}");
        assert_eq!(store.record_exists(&key).unwrap(), !purges, "{data:?} at {offset}");
        purged |= purges;
    }
}

fn keeps_what_can_be_read(fs: &FileSystem, store: &Store, handle: Handle, writes: &[(u64, &[u8])]) {
    let text = || store.metadata_text().unwrap().unwrap().bytes;
    let before = text();
    let mut expected = before.clone();
    for (offset, data) in writes {
        let end = offset.saturating_add(data.len() as u64);
        let accepted = fs.write(handle, data, Position::At(*offset).into()).is_ok();
        assert_eq!(accepted, end <= MAX_METADATA, "{} bytes at {offset}", data.len());
        if accepted {
            let (begin, end) = (*offset as usize, end as usize);
            expected.resize(expected.len().max(end), 0);
            expected[begin..end].copy_from_slice(data);
        }
    }
    match fs.flush(&CALLER, handle) {
        // This storage keeps what the text says, and not its letters.
        Ok(()) => assert_eq!(said_by(&text()), said_by(&expected)),
        Err(_) => assert_eq!(text(), before),
    }
    assert!(store.get_metadata().is_ok());
}

/// The id and the name that a text gives a store.
fn said_by(text: &[u8]) -> [serde_json::Value; 2] {
    let said: serde_json::Value = serde_json::from_slice(text).unwrap();
    ["id", "name"].map(|field| said[field].clone())
}
