//! Several threads at once. How long a test runs is bounded by counts, never by time.

use std::slice::from_ref;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use storefs::backend::{Backend, Over, Precision, Publish, PublishType, Steps};
use storefs::model::{ContentType, Error, Key};

use super::{bytes_of, create, get, key, keys, metadata, name, publish, purge, put, stage, stores};

const THREADS: u8 = 4;

/// A value that tells who published it, long enough to be copied in several pieces. All of its bytes are the
/// same, and its length belongs to them.
fn signed(by: u8) -> Vec<u8> {
    vec![b'a' + by; 40_000 + 1_000 * usize::from(by)]
}

fn content_type(by: u8) -> ContentType {
    ContentType::new(&format!("text/x-{}", char::from(b'a' + by)))
}

/// Who published a value. Fails if it is the work of more than one.
fn signer(bytes: &[u8]) -> u8 {
    let by = bytes[0].checked_sub(b'a').filter(|by| *by < THREADS).unwrap();
    assert!(bytes == signed(by), "a value of {} bytes is mixed or torn", bytes.len());
    by
}

pub(crate) fn p4_concurrent_publishers_never_mix_values(backend: &dyn Backend) {
    const VERSIONS: u32 = 40;
    const LEAST_READS: u32 = 100;
    let (store, key) = (create(backend, "default"), key("contended"));
    put(backend, &store, &key, &signed(0));
    let (begin, writing) = (Barrier::new(usize::from(THREADS) + 1), AtomicU32::new(THREADS.into()));
    thread::scope(|scope| {
        for by in 0..THREADS {
            let (store, key, begin, writing) = (&store, &key, &begin, &writing);
            scope.spawn(move || {
                begin.wait();
                for _ in 0..VERSIONS {
                    let staging = stage(backend, &signed(by));
                    let value = publish(backend, staging, store, key, &content_type(by)).unwrap();
                    assert_eq!(signer(&bytes_of(&value)), by);
                }
                writing.fetch_sub(1, Ordering::Relaxed);
            });
        }
        begin.wait();
        let mut reads = 0;
        while reads < LEAST_READS || writing.load(Ordering::Relaxed) > 0 {
            let value = backend.open_value(&store, &key).unwrap();
            let by = signer(&bytes_of(&value));
            assert_eq!(value.attributes().unwrap().size, signed(by).len() as u64);
            assert_eq!(keys(backend, &store), from_ref(&key));
            reads += 1;
        }
    });
}

/// When all have published, the record is the work of one of them: its value, and the content type for it.
pub(crate) fn p4_concurrent_publishers_leave_a_whole_record(backend: &dyn Backend) {
    const ROUNDS: u32 = 100;
    let (store, key) = (create(backend, "default"), key("contended"));
    for round in 0..ROUNDS {
        let begin = Barrier::new(THREADS.into());
        thread::scope(|scope| {
            for by in 0..THREADS {
                let (store, key, begin) = (&store, &key, &begin);
                scope.spawn(move || {
                    let staging = stage(backend, &signed(by));
                    begin.wait();
                    publish(backend, staging, store, key, &content_type(by)).unwrap();
                });
            }
        });
        let expected = content_type(signer(&get(backend, &store, &key)));
        let kept = backend.content_type(&store, &key).unwrap();
        assert_eq!(kept, Some(expected), "round {round}");
    }
}

pub(crate) fn publish_without_replace_lets_one_of_many_win(backend: &dyn Backend) {
    if backend.traits().create_exclusive != Precision::Exact {
        return;
    }
    const ROUNDS: u32 = 40;
    let store = create(backend, "default");
    for round in 0..ROUNDS {
        let key = key(&format!("record-{round}"));
        let (begin, won) = (Barrier::new(THREADS.into()), AtomicU32::new(0));
        thread::scope(|scope| {
            for by in 0..THREADS {
                let (store, key, begin, won) = (&store, &key, &begin, &won);
                scope.spawn(move || {
                    let staging = stage(backend, &signed(by));
                    let content_type = &content_type(by);
                    let content_type = PublishType::Given(content_type);
                    begin.wait();
                    let publish =
                        Publish { store, key, content_type, durable: false, over: Over::Nothing };
                    match backend.publish(staging, &publish) {
                        Ok(_) => won.fetch_add(1, Ordering::Relaxed),
                        Err((Error::RecordExists { .. }, _)) => 0,
                        Err((error, _)) => panic!("{error:?}"),
                    };
                });
            }
        });
        assert_eq!(won.into_inner(), 1, "round {round}");
        let by = signer(&get(backend, &store, &key));
        assert_eq!(backend.content_type(&store, &key).unwrap(), Some(content_type(by)));
    }
    assert_eq!(keys(backend, &store).len(), ROUNDS as usize);
}

pub(crate) fn create_store_lets_one_of_many_win(backend: &dyn Backend) {
    const ROUNDS: u32 = 20;
    for round in 0..ROUNDS {
        let store = name(&format!("store-{round}"));
        let (begin, won) = (Barrier::new(THREADS.into()), AtomicU32::new(0));
        thread::scope(|scope| {
            for by in 0..THREADS {
                let (store, begin, won) = (&store, &begin, &won);
                scope.spawn(move || {
                    let mut metadata = metadata(store);
                    metadata.id = Some(format!("made-{round}-by-{by}"));
                    begin.wait();
                    match backend.create_store(store, &metadata) {
                        Ok(()) => {
                            won.fetch_add(1, Ordering::Relaxed);
                            assert_eq!(backend.metadata(store).unwrap(), metadata);
                        }
                        Err(Error::StoreExists { .. }) => {
                            // Whoever lost finds the winner's store whole.
                            assert!(backend.metadata(store).unwrap().id.is_some());
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                });
            }
        });
        assert_eq!(won.into_inner(), 1, "round {round}");
    }
    assert_eq!(stores(backend).len(), ROUNDS as usize);
}

/// Once an observer has missed one record, it finds no other, and the input is there all the time.
pub(crate) fn p14_purge_happens_in_one_step(backend: &dyn Backend) {
    if backend.traits().purge != Steps::One {
        return;
    }
    const ROUNDS: u32 = 20;
    const RECORDS: usize = 25;
    let (store, input) = (create(backend, "default"), key("INPUT.json"));
    put(backend, &store, &input, b"{}");
    let records: Vec<Key> = (0..RECORDS).map(|number| key(&format!("record-{number}"))).collect();
    for round in 0..ROUNDS {
        for key in &records {
            put(backend, &store, key, b"1");
        }
        let (begin, purged) = (Barrier::new(2), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                begin.wait();
                let done = backend.purge_store(&store, &purge("INPUT")).unwrap();
                assert_eq!(done.wait().removed, RECORDS as u64);
                purged.store(true, Ordering::Relaxed);
            });
            begin.wait();
            loop {
                // Read before looking: the last look is one at the purged store.
                let last = purged.load(Ordering::Relaxed);
                let mut gone = false;
                // Each look begins with another record, since none is the last to go.
                for key in records.iter().cycle().skip(round as usize).take(RECORDS) {
                    let found = backend.record(&store, key).is_ok();
                    assert!(!(gone && found), "{key:?} outlived another record");
                    gone |= !found;
                }
                assert_eq!(get(backend, &store, &input), b"{}");
                if last {
                    assert!(gone);
                    break;
                }
            }
        });
        assert_eq!(keys(backend, &store), from_ref(&input));
    }
}

/// Publishers go on while a store is purged again and again: none fails, and each finds its record or none.
pub(crate) fn p14_purge_disturbs_no_publisher(backend: &dyn Backend) {
    const PURGES: u32 = 20;
    const LEAST_VERSIONS: u32 = 40;
    let store = create(backend, "default");
    let (begin, purging) = (Barrier::new(usize::from(THREADS) + 1), AtomicBool::new(true));
    thread::scope(|scope| {
        for by in 0..THREADS {
            let (store, begin, purging) = (&store, &begin, &purging);
            scope.spawn(move || {
                let key = key(&format!("record-{by}"));
                begin.wait();
                let mut versions = 0;
                while versions < LEAST_VERSIONS || purging.load(Ordering::Relaxed) {
                    let staging = stage(backend, &signed(by));
                    publish(backend, staging, store, &key, &content_type(by)).unwrap();
                    match backend.open_value(store, &key) {
                        Ok(value) => assert_eq!(signer(&bytes_of(&value)), by),
                        Err(Error::NoSuchRecord { .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                    versions += 1;
                }
                // After the last purge a publish stays.
                publish(backend, stage(backend, &signed(by)), store, &key, &content_type(by))
                    .unwrap();
            });
        }
        begin.wait();
        for _ in 0..PURGES {
            backend.purge_store(&store, &purge("INPUT")).unwrap();
        }
        purging.store(false, Ordering::Relaxed);
    });
    assert_eq!(keys(backend, &store).len(), usize::from(THREADS));
    for by in 0..THREADS {
        let key = key(&format!("record-{by}"));
        assert_eq!(signer(&get(backend, &store, &key)), by);
        assert_eq!(backend.content_type(&store, &key).unwrap(), Some(content_type(by)));
    }
    assert_eq!(backend.metadata(&store).unwrap().id, metadata(&store).id);
}
