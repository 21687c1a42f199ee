//! Who purges, drops or renames a store among many who use it.

use std::fs;
use std::sync::mpsc;
use std::thread;

use storefs::backend::{Backend, Purge};
use storefs::model::StoreName;

use crate::{Held, at, get, key, name, put};

fn purge(backend: &dyn Backend, store: &StoreName) {
    let purge = Purge { input_key: "INPUT", at: at("2030-01-02T03:04:05.678901Z") };
    let _purged = backend.purge_store(store, &purge).unwrap().wait();
}

/// While one uses the store, somebody else begins to change it as a whole, and then another begins to use it: that one
/// must find the store changed. Else users who come before the one before them has gone hold off every change, for ever.
fn whoever_comes_later_waits(change: fn(&dyn Backend, &StoreName)) {
    let held = Held::new();
    let (store, before) = (held.create("default"), key("before"));
    put(&held.backend, &store, &before, "v", "text/plain").unwrap();
    let (go, gone) = mpsc::channel();
    let gone = parking_lot::Mutex::new(gone);
    thread::scope(|scope| {
        let first = held.begin(scope, |backend| {
            backend.look_at_records(&store, &mut |_| gone.lock().recv().unwrap()).unwrap();
        });
        let changing = held.begin(scope, |backend| change(backend, &store));
        let waits = !changing.is_done();
        let second = held.begin(scope, |backend| {
            let mut finds = false;
            // The store need not be there any more.
            let _ = backend.look_at_records(&store, &mut |look| finds = look(&before).is_ok());
            finds
        });
        go.send(()).unwrap();
        first.outcome();
        changing.outcome();
        assert!(!second.outcome(), "whoever came later was first");
        assert!(waits, "the store was in use");
    });
}

#[test]
fn p14_a_purge_gets_through_among_overlapping_writers() {
    whoever_comes_later_waits(purge);
}

#[test]
fn p14_a_drop_gets_through_among_overlapping_writers() {
    whoever_comes_later_waits(|backend, store| backend.drop_store(store).unwrap());
}

#[test]
fn p14_a_rename_of_a_store_gets_through_among_overlapping_writers() {
    whoever_comes_later_waits(|backend, store| {
        backend.rename_store(store, &name("renamed"), None).unwrap();
    });
}

/// Healing passes gates. So whoever has closed one must not begin to heal.
#[test]
fn p14_a_purge_does_not_wait_for_itself_when_the_staging_directory_is_replaced() {
    let held = Held::new();
    let store = held.create("default");
    put(&held.backend, &store, &key("k"), "v", "text/plain").unwrap();
    let private = held.storage.path().join(".storefs");
    thread::scope(|scope| {
        let purging = held.hold(scope, "metadata: create", |backend| purge(backend, &store));
        // Away with the staging directory of this process.
        let session = fs::read_dir(&private).unwrap().next().unwrap().unwrap().path();
        fs::rename(&session, session.with_file_name("aside")).unwrap();
        // What a dead process left.
        fs::create_dir_all(private.join("dead")).unwrap();
        fs::write(private.join("dead/1.publish.42.k"), "{}").unwrap();
        held.release();
        purging.outcome();
    });
    assert!(held.backend.record(&store, &key("k")).is_err());
}

#[test]
fn p06_a_publish_under_the_old_name_meets_no_publish_under_the_new_one() {
    let held = Held::new();
    let (old, new, k) = (held.create("old"), name("new"), key("k"));
    put(&held.backend, &old, &k, "before", "text/x-before").unwrap();
    thread::scope(|scope| {
        let first = held.hold(scope, "publish: value moved", |backend| {
            put(backend, &old, &k, "first", "text/x-first").map_err(|(error, _)| error)
        });
        let renaming = held.begin(scope, |backend| backend.rename_store(&old, &new, None));
        let second = held.begin(scope, |backend| {
            put(backend, &new, &k, "second", "text/x-second").map_err(|(error, _)| error)
        });
        held.release();
        first.outcome().unwrap();
        renaming.outcome().unwrap();
        // It may have been too early for the new name.
        let _ = second.outcome();
    });
    let (value, content_type) = get(&held.backend, &new, &k);
    assert_eq!(content_type, format!("text/x-{value}"));
}

/// A publish that comes too late for the old name has the writer try again under the new one.
#[test]
fn p07_a_publish_beside_the_rename_of_its_store_gives_the_staging_back() {
    let held = Held::new();
    let (old, new, k) = (held.create("old"), name("new"), key("k"));
    thread::scope(|scope| {
        let renaming = held
            .hold(scope, "rename store: noted", |backend| backend.rename_store(&old, &new, None));
        let publishing =
            held.begin(scope, |backend| match put(backend, &old, &k, "v", "text/plain") {
                Ok(_) => Ok(()),
                Err((storefs::Error::NoSuchStore { .. }, staging)) => {
                    let content_type = &storefs::model::ContentType::text();
                    let content_type = storefs::backend::PublishType::Given(content_type);
                    let (store, key) = (&new, &k);
                    let publish = storefs::backend::Publish {
                        store,
                        key,
                        content_type,
                        durable: false,
                        over: storefs::backend::Over::Anything,
                    };
                    backend.publish(staging, &publish).map(drop).map_err(|(error, _)| error)
                }
                Err((error, _)) => Err(error),
            });
        held.release();
        renaming.outcome().unwrap();
        publishing.outcome().unwrap();
    });
    assert_eq!(get(&held.backend, &new, &k).0, "v");
}
