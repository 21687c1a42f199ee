//! The engine without a mount: setting, getting, listing and purging, over a directory and over memory.

// A harness may end with a panic; the lints are for the daemon.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Bencher, Criterion, criterion_group, criterion_main};
use storefs::backend::memory::MemoryBackend;
use storefs::engine::{IterateKeys, Storage, StorageOptions, Store};
use storefs::model::{Key, StoreName};

/// Records of the store that is read and listed.
const RECORDS: usize = 1_000;

/// A small record, as crawlers write most.
const VALUE: [u8; 2048] = [b'x'; 2048];

criterion_group!(engine, set, get, iterate, purge);
criterion_main!(engine);

/// A storage in memory, or in a directory that lives as long as this.
struct Fixture {
    storage: Storage,
    _dir: Option<tempfile::TempDir>,
}

impl Fixture {
    fn in_memory() -> Self {
        let backend = Arc::new(MemoryBackend::new());
        let storage = Storage::with_backend(backend, Some("INPUT".to_owned()));
        Self { storage, _dir: None }
    }

    fn in_directory() -> Self {
        let dir = tempfile::Builder::new().prefix("storefs-bench-").tempdir().unwrap();
        let storage = open(dir.path());
        Self { storage, _dir: Some(dir) }
    }

    /// A new store with so many records.
    fn store(&self, name: &str, records: usize) -> Store {
        let store = self.storage.create_store(&StoreName::new(name).unwrap()).unwrap();
        for number in 0..records {
            set_one(&store, number);
        }
        store
    }
}

fn open(path: &Path) -> Storage {
    let options = StorageOptions { input_key: Some("INPUT".to_owned()), ..Default::default() };
    Storage::open_directory(path, options).unwrap()
}

fn key(number: usize) -> Key {
    Key::new(&format!("record-{number:07}")).unwrap()
}

fn set_one(store: &Store, number: usize) {
    store.set_value(&key(number), VALUE, None).unwrap();
}

fn get_one(store: &Store, number: usize) {
    let record = store.get_value(&key(number)).unwrap().unwrap();
    let mut value = Vec::with_capacity(VALUE.len());
    record.reader().read_to_end(&mut value).unwrap();
    assert_eq!(black_box(value).len(), VALUE.len());
}

/// Measures the same work over both backends.
fn over_each_backend(
    criterion: &mut Criterion,
    name: &str,
    mut work: impl FnMut(&Fixture, &mut Bencher<'_>),
) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    for (backend, fixture) in
        [("directory", Fixture::in_directory()), ("memory", Fixture::in_memory())]
    {
        group.bench_function(backend, |bencher| work(&fixture, bencher));
    }
    group.finish();
}

fn set(criterion: &mut Criterion) {
    let mut next = 0;
    over_each_backend(criterion, "set a new record", |fixture, bencher| {
        next += 1;
        let store = fixture.store(&format!("new-{next}"), 0);
        let mut number = 0;
        bencher.iter(|| {
            number += 1;
            set_one(&store, number);
        });
    });
    over_each_backend(criterion, "set a record again", |fixture, bencher| {
        next += 1;
        let store = fixture.store(&format!("again-{next}"), 1);
        bencher.iter(|| set_one(&store, 0));
    });
}

fn get(criterion: &mut Criterion) {
    let mut next = 0;
    over_each_backend(criterion, "get a record", |fixture, bencher| {
        next += 1;
        let store = fixture.store(&format!("got-{next}"), RECORDS);
        let mut number = 0;
        bencher.iter(|| {
            number = (number + 1) % RECORDS;
            get_one(&store, number);
        });
    });
}

fn iterate(criterion: &mut Criterion) {
    let mut next = 0;
    for (name, limit) in [("list 1,000 keys", None), ("list 100 of 1,000 keys", Some(100))] {
        over_each_backend(criterion, name, |fixture, bencher| {
            next += 1;
            let store = fixture.store(&format!("listed-{next}"), RECORDS);
            let query = IterateKeys { limit, ..IterateKeys::default() };
            bencher.iter(|| {
                let page = store.iterate_keys(&query).unwrap();
                assert_eq!(black_box(page).items.len(), limit.unwrap_or(RECORDS));
            });
        });
    }
}

fn purge(criterion: &mut Criterion) {
    let mut next = 0;
    for (name, records) in [("purge 10 records", 10), ("purge 1,000 records", 1_000)] {
        over_each_backend(criterion, name, |fixture, bencher| {
            next += 1;
            let store = fixture.store(&format!("purged-{next}"), 0);
            bencher.iter_batched(
                || (0..records).for_each(|number| set_one(&store, number)),
                |()| store.purge().unwrap(),
                BatchSize::PerIteration,
            );
        });
    }
}
