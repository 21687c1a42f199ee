//! What an fsync makes durable, whoever else is at it (P5).

use std::sync::Arc;
use std::thread;

use rustix::io::Errno;
use storefs::backend::directory::DialectChoice;
use storefs::backend::{Backend, Durability};
use storefs::engine::Storage;

use crate::{Held, key, name, put};

#[test]
fn p05_a_record_published_beside_the_rename_of_its_store_is_synced_under_the_new_name() {
    // Without metadata and sidecars: the record is all that there is to sync.
    let held = Held::with_dialect(DialectChoice::Js3);
    let (old, new, k) = (held.create("old"), name("new"), key("k.txt"));
    thread::scope(|scope| {
        let publishing = held.hold(scope, "publish: value moved", |backend| {
            put(backend, &old, &k, "v", "text/plain").map(drop).map_err(|(error, _)| error)
        });
        let renaming = held.begin(scope, |backend| backend.rename_store(&old, &new, None));
        held.release();
        publishing.outcome().unwrap();
        renaming.outcome().unwrap();
    });
    held.arm("sync: record", &Errno::IO.raw_os_error().to_string());
    assert!(held.backend.sync_store(&new).is_err() && held.was_hit(), "the record is not synced");
    held.backend.sync_store(&new).unwrap();
}

#[test]
fn p05_a_second_fsync_is_not_done_before_the_first() {
    let held = Held::new();
    let store = held.create("default");
    put(&held.backend, &store, &key("k"), "v", "text/plain").unwrap();
    thread::scope(|scope| {
        let first = held.hold(scope, "sync: record", |backend| backend.sync_store(&store));
        held.arm("sync: record", &Errno::IO.raw_os_error().to_string());
        let second = held.begin(scope, |backend| backend.sync_store(&store));
        held.release();
        first.outcome().unwrap();
        // It has waited for the first, or has made the record durable itself.
        assert!(
            second.outcome().is_err() && held.was_hit(),
            "the second has not synced the record"
        );
    });
    // What could not be synced waits for the next fsync.
    held.arm("sync: record", &Errno::IO.raw_os_error().to_string());
    let again = held.backend.sync_store(&store);
    assert_eq!(again.is_err(), held.was_hit());
}

#[test]
fn p05_a_record_published_during_an_fsync_waits_for_the_next() {
    let held = Held::new();
    let (store, k) = (held.create("default"), key("k"));
    put(&held.backend, &store, &k, "v", "text/plain").unwrap();
    thread::scope(|scope| {
        let syncing = held.hold(scope, "sync: record", |backend| backend.sync_store(&store));
        put(&held.backend, &store, &k, "w", "text/plain").unwrap();
        held.release();
        syncing.outcome().unwrap();
    });
    held.arm("sync: record", &Errno::IO.raw_os_error().to_string());
    assert!(held.backend.sync_store(&store).is_err() && held.was_hit(), "it is forgotten");
}

#[test]
fn p17_an_fsync_waits_for_the_times_that_somebody_else_is_writing() {
    let held = Held::new();
    let backend = Arc::new(held.backend.clone());
    let storage = Storage::with_backend(backend, Some("INPUT".to_owned()));
    let store = storage.store(&held.create("default"));
    store.set_value(&key("k"), "v", None).unwrap();
    thread::scope(|scope| {
        let writing = held.hold(scope, "metadata: move", |_| storage.write_back());
        let syncing = held.begin(scope, |_| store.sync());
        let waits = !syncing.is_done();
        held.release();
        writing.outcome().unwrap();
        syncing.outcome().unwrap();
        assert!(waits, "fsync has returned before the times were written");
    });
}
