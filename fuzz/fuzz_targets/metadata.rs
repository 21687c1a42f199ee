//! A store's metadata: any bytes are read or refused; what was read keeps every field that is not its to change,
//! and can be read again.

#![no_main]

use std::sync::LazyLock;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use storefs::backend::memory::MemoryBackend;
use storefs::backend::{Backend, Purge};
use storefs::model::{StoreMetadata, StoreName, StoreTimes};

static BACKEND: LazyLock<MemoryBackend> = LazyLock::new(|| {
    let backend = MemoryBackend::new();
    let times = StoreTimes::at(Timestamp::UNIX_EPOCH);
    let metadata = StoreMetadata { id: Some("id".to_owned()), name: None, times };
    backend.create_store(&store(), &metadata).unwrap();
    backend
});

const TIMES: [&str; 4] = ["accessedAt", "accessed_at", "modifiedAt", "modified_at"];

fuzz_target!(|text: &[u8]| {
    let backend = &*BACKEND;
    if backend.set_metadata_text(&store(), Some(text)).is_err() {
        return;
    }
    let before = fields(backend);
    assert_eq!(backend.metadata_text(&store()).unwrap().unwrap().bytes, text);
    let read = backend.metadata(&store()).unwrap();
    assert_eq!(read.id.as_deref(), before["id"].as_str());

    let later = Timestamp::from_second(2_000_000_000).unwrap();
    backend.touch_store(&store(), Some(later), Some(later)).unwrap();
    unchanged_but(&TIMES, &before, &fields(backend));
    let touched = backend.metadata(&store()).unwrap();
    assert_eq!((&touched.id, &touched.name), (&read.id, &read.name));
    assert_eq!(touched.times.created_at, read.times.created_at);
    assert!(touched.times.accessed_at >= read.times.accessed_at);
    assert!(touched.times.modified_at >= read.times.modified_at);

    // A purge sets the times, also back.
    backend.purge_store(&store(), &Purge { input_key: "INPUT", at: later }).unwrap();
    unchanged_but(&TIMES, &before, &fields(backend));
    assert_eq!(backend.metadata(&store()).unwrap().times.modified_at, later);

    backend.rename_store(&store(), &other(), Some("other")).unwrap();
    backend.rename_store(&other(), &store(), Some("renamed")).unwrap();
    let mut changed = TIMES.to_vec();
    changed.push("name");
    unchanged_but(&changed, &before, &fields(backend));
    assert_eq!(backend.metadata(&store()).unwrap().name.as_deref(), Some("renamed"));
});

fn store() -> StoreName {
    StoreName::default_store()
}

fn other() -> StoreName {
    StoreName::new("other").unwrap()
}

/// The fields as they are written. Numbers are compared digit by digit.
fn fields(backend: &MemoryBackend) -> Map<String, Value> {
    let text = backend.metadata_text(&store()).unwrap().unwrap();
    serde_json::from_slice(&text.bytes).unwrap()
}

/// Every field is there as before and in its place, but for the values of some; only a name may be new.
fn unchanged_but(changed: &[&str], before: &Map<String, Value>, after: &Map<String, Value>) {
    let mut rest = after.iter();
    for (field, value) in before {
        let (name, new) = rest.next().unwrap();
        assert_eq!(name, field);
        assert!(changed.contains(&field.as_str()) || new == value, "{field}: {value} -> {new}");
    }
    assert!(rest.all(|(field, _)| field == "name" && changed.contains(&"name")));
}
