//! Stores that are removed or purged while others use them.

use std::fs;
use std::thread;

use rustix::io::Errno;

use storefs::backend::{Backend, MetadataFiles, Repair};
use storefs::engine::Storage;

use crate::common::{METADATA, wait_until};
use crate::{Held, get, key, name, put};

fn storage(held: &Held) -> Storage {
    Storage::with_backend(std::sync::Arc::new(held.backend.clone()), Some("INPUT".to_owned()))
}

#[test]
fn p13_a_purge_that_has_happened_is_told_so_though_an_input_gets_no_type() {
    let held = Held::new();
    let store = storage(&held).store(&held.create("default"));
    store.set_value(&key("k"), "v", None).unwrap();
    fs::write(held.path(store.name()).join("INPUT.json"), "{}").unwrap();
    held.arm("sidecar: create", &Errno::NOSPC.raw_os_error().to_string());
    let purging = store.purge().unwrap();
    assert!(held.was_hit());
    assert_eq!(
        (purging.spared(), purging.untyped()),
        (&[key("INPUT.json")][..], &[key("INPUT.json")][..])
    );
    assert_eq!(purging.wait().removed, 1);
    assert!(!store.record_exists(&key("k")).unwrap());
}

/// Another process, or an SDK, puts a record into a store in the moment in which that is removed as an empty one.
fn a_record_of_another_process_keeps_its_store(step: &str) {
    let held = Held::new();
    let store = held.create("default");
    let path = held.path(&store);
    let metadata = held.backend.metadata(&store).unwrap();
    thread::scope(|scope| {
        let dropping =
            held.hold(scope, step, |_| storage(&held).store(&store).drop_if_empty().unwrap());
        let record = if path.exists() {
            path.join("k")
        } else {
            // As another mount, which has the directory open.
            walk(&held.storage.path().join(".storefs")).join("k")
        };
        fs::write(record, "v").unwrap();
        held.release();
        assert!(!dropping.outcome(), "the store has a record");
    });
    assert_eq!(fs::read_to_string(path.join("k")).unwrap(), "v");
    assert_eq!(held.backend.metadata(&store).unwrap(), metadata);
}

/// The directory that holds a store's metadata, somewhere in `dir`.
fn walk(dir: &std::path::Path) -> std::path::PathBuf {
    let mut waiting = vec![dir.to_owned()];
    loop {
        let next = waiting.pop().unwrap();
        if next.join(METADATA).exists() {
            return next;
        }
        let entries = fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path());
        waiting.extend(entries.filter(|path| path.is_dir()));
    }
}

#[test]
fn p07_a_record_put_into_an_empty_store_before_it_goes_keeps_it() {
    a_record_of_another_process_keeps_its_store("drop: looked");
}

#[test]
fn p07_a_record_put_into_an_empty_store_as_it_goes_keeps_it() {
    a_record_of_another_process_keeps_its_store("drop: taken out of sight");
}

#[test]
fn p07_a_publish_into_an_empty_store_that_is_removed_comes_first_or_is_refused() {
    let held = Held::new();
    let store = held.create("default");
    thread::scope(|scope| {
        let dropping =
            held.hold(scope, "drop: looked", |backend| backend.drop_store_if_empty(&store));
        let publishing = held.begin(scope, |backend| {
            put(backend, &store, &key("k"), "v", "text/plain").map(drop).map_err(|(error, _)| error)
        });
        held.release();
        let removed = dropping.outcome().unwrap();
        let published = publishing.outcome();
        assert_eq!(removed, published.is_err(), "a record that was published went with its store");
    });
}

#[test]
fn p17_times_outlive_a_purge_that_fails() {
    let held = Held::new();
    let storage = storage(&held);
    let store = storage.store(&held.create("default"));
    store.set_value(&key("k"), "v", None).unwrap();
    let before = held.backend.metadata(store.name()).unwrap().times.modified_at;
    held.arm("stage: make a directory", &Errno::NOSPC.raw_os_error().to_string());
    store.purge().unwrap_err();
    assert!(held.was_hit());
    assert!(store.get_metadata().unwrap().times.modified_at > before);
}

#[test]
fn p21_a_store_that_was_empty_comes_back_with_a_record_after_a_crash() {
    let held = Held::new();
    for made in ["used", "taken", "empty"] {
        held.create(made);
    }
    // What a process leaves that dies after it has taken the stores out of sight, and before it has looked again.
    let dead = held.storage.path().join(".storefs/dead");
    fs::create_dir(&dead).unwrap();
    for (number, store) in ["used", "taken", "empty"].into_iter().enumerate() {
        let out_of_sight = dead.join(format!("{number}.empty.{store}"));
        fs::rename(held.path(&name(store)), &out_of_sight).unwrap();
        if store != "empty" {
            fs::write(out_of_sight.join("k"), "v").unwrap();
        }
    }
    // Somebody has made a store of the same name since.
    let taken = held.create("taken");
    put(&held.backend, &taken, &key("other"), "w", "text/plain").unwrap();
    let anew = held.backend.metadata_text(&taken).unwrap().unwrap().bytes;
    held.backend.heal().unwrap();
    for store in ["used", "taken"] {
        assert_eq!(fs::read_to_string(held.path(&name(store)).join("k")).unwrap(), "v");
    }
    assert_eq!(get(&held.backend, &taken, &key("other")).0, "w");
    assert_eq!(held.backend.metadata_text(&taken).unwrap().unwrap().bytes, anew);
    assert!(!held.path(&name("empty")).exists());
    wait_until("what the dead process left is removed", || !dead.exists());
}
