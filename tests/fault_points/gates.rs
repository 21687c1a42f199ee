//! Who waits for the medium, or looks through a large value, holds up nobody who changes the same store (P14).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use storefs::backend::directory::{DirectoryBackend, DirectoryOptions};
use storefs::backend::{Backend, Over, Publish, PublishType, Purge};
use storefs::model::{ContentType, Key, StoreName};

use crate::common::{METADATA, TempStorage, names, wait_until};
use crate::help::{make_store, put};

const FAULT_FILE: &str = "STOREFS_FAULT_FILE";

/// Runs the calling test again in a process of its own, in which steps can be held. Gives back the fault file there.
fn alone(test: &str) -> Option<PathBuf> {
    if let Some(file) = env::var_os(FAULT_FILE) {
        return Some(file.into());
    }
    let beside = crate::common::temp_dir();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(FAULT_FILE, beside.path().join("fault"));
    assert!(command.status().unwrap().success(), "{test} has failed in its own process");
    None
}

fn storage() -> (TempStorage, DirectoryBackend, StoreName) {
    let storage = TempStorage::empty();
    make_store(&storage, "default");
    put(&storage, "default", "k", "old");
    let backend = DirectoryBackend::open(&storage.path(), DirectoryOptions::default()).unwrap();
    (storage, backend, StoreName::new("default").unwrap())
}

/// Purges the store on a thread of its own, and waits until that is done.
fn purge(backend: &DirectoryBackend, store: &StoreName) {
    let (backend, store) = (backend.clone(), store.clone());
    let purge = thread::spawn(move || {
        let purge = Purge { input_key: "INPUT", at: jiff::Timestamp::now() };
        backend.purge_store(&store, &purge).unwrap();
    });
    wait_until("the purge is done", || purge.is_finished());
    purge.join().unwrap();
}

fn publish(backend: &DirectoryBackend, store: &StoreName, content_type: PublishType<'_>) {
    let key = Key::new("k").unwrap();
    let staging = backend.stage(Some(store)).unwrap();
    staging.write_at(b"new", 0).unwrap();
    let publish = Publish { store, key: &key, content_type, durable: true, over: Over::Anything };
    backend.publish(staging, &publish).unwrap();
}

/// A durable publish is held at this step, and the store purged meanwhile.
fn purges_while_held_at(step: &str, fault: &Path) -> TempStorage {
    let (storage, backend, store) = storage();
    let held = fault.with_extension("held");
    thread::scope(|scope| {
        fs::write(fault, format!("{step}=hold")).unwrap();
        let content_type = ContentType::text();
        let (backend, store) = (&backend, &store);
        scope.spawn(move || publish(backend, store, PublishType::Given(&content_type)));
        wait_until("the publish is held", || held.exists());
        purge(backend, store);
        fs::remove_file(&held).unwrap();
    });
    storage
}

#[test]
fn p14_a_purge_waits_for_no_value_to_be_durable() {
    let Some(fault) = alone("gates::p14_a_purge_waits_for_no_value_to_be_durable") else { return };
    let storage = purges_while_held_at("publish: sync value", &fault);
    // The write was under way, and is published into the purged store.
    assert_eq!(fs::read_to_string(storage.store("default").join("k")).unwrap(), "new");
}

#[test]
fn p14_a_purge_waits_for_no_sidecar_to_be_durable() {
    let Some(fault) = alone("gates::p14_a_purge_waits_for_no_sidecar_to_be_durable") else {
        return;
    };
    let storage = purges_while_held_at("sidecar: sync", &fault);
    assert_eq!(fs::read_to_string(storage.store("default").join("k")).unwrap(), "new");
}

#[test]
fn p14_a_purge_waits_for_no_directory_to_be_durable() {
    let Some(fault) = alone("gates::p14_a_purge_waits_for_no_directory_to_be_durable") else {
        return;
    };
    let storage = purges_while_held_at("publish: sync directory", &fault);
    assert_eq!(names(&storage.store("default")), [METADATA.to_owned()].into());
}

#[test]
fn p14_a_purge_waits_for_nobody_who_looks_for_a_type() {
    let (storage, backend, store) = storage();
    publish(
        &backend,
        &store,
        PublishType::Decided(&|_, _| {
            purge(&backend, &store);
            Ok(ContentType::bytes().into())
        }),
    );
    assert_eq!(fs::read_to_string(storage.store("default").join("k")).unwrap(), "new");
}

/// The type was found for a record that somebody replaces before it is held: then it is found again.
#[test]
fn p10_a_type_is_found_for_what_is_replaced() {
    let (storage, backend, store) = storage();
    let asked = std::cell::RefCell::new(Vec::new());
    let xml = ContentType::new("text/xml");
    publish(
        &backend,
        &store,
        PublishType::Decided(&|_, replaced| {
            let replaced = replaced.unwrap().content_type.clone();
            if asked.borrow().is_empty() {
                backend.set_content_type(&store, &Key::new("k").unwrap(), &xml)?;
            }
            asked.borrow_mut().push(replaced.clone());
            Ok(replaced.into())
        }),
    );
    assert_eq!(asked.into_inner(), [ContentType::new("text/plain"), xml.clone()]);
    let kept = backend.content_type(&store, &Key::new("k").unwrap()).unwrap();
    assert_eq!(kept, Some(xml));
    drop(storage);
}
