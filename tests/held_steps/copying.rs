//! Records that others replace while they are copied.

use std::fs;
use std::sync::Arc;
use std::thread;

use storefs::backend::directory::DialectChoice;
use storefs::backend::memory::MemoryBackend;
use storefs::engine::{CopyOptions, Storage};

use crate::Held;
use crate::common::METADATA;

/// Copies a store with one record, which `change` replaces at a step. Gives back bytes and type that the copy has.
fn copied_while(held: &Held, step: &str, change: impl FnOnce()) -> (Vec<u8>, String) {
    let source = Storage::with_backend(Arc::new(held.backend.clone()), None);
    let target = Storage::with_backend(Arc::new(MemoryBackend::default()), None);
    let names = source.stores().unwrap();
    let store = source.store(&names[0]);
    thread::scope(|scope| {
        let copying = held.hold(scope, step, |_| {
            store.copy_to(&target, CopyOptions::default(), &|_| {}).unwrap().unwrap()
        });
        change();
        held.release();
        let copied = copying.outcome();
        assert_eq!((copied.sent, copied.failed), (1, 0));
    });
    let target = target.store(&names[0]);
    let key = target.scan().unwrap().next().unwrap().unwrap().key;
    let record = target.get_value(&key).unwrap().unwrap();
    (record.bytes().unwrap(), record.content_type.to_string())
}

#[test]
fn a_copy_has_the_type_of_the_version_that_it_has() {
    let held = Held::new();
    let path = held.path(&held.create("default"));
    let replace = |value: &str, content_type: &str| {
        let put = |name: &str, text: &str| {
            let new = held.storage.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, path.join(name)).unwrap();
        };
        put("k", value);
        let size = value.len();
        let sidecar = format!(r#"{{"key":"k","content_type":"{content_type}","size":{size}}}"#);
        put(&format!("k.{METADATA}"), &sidecar);
    };
    replace("one", "text/one");
    let copied =
        copied_while(&held, "copy: value opened", || replace("and another", "text/another"));
    assert_eq!(copied, (b"and another".to_vec(), "text/another".to_owned()));
}

/// Crawlee JS 3 writes values where they are.
#[test]
fn a_copy_of_what_is_written_in_place_has_nothing_of_two_versions() {
    let held = Held::with_dialect(DialectChoice::Js3);
    let path = held.path(&held.create("default")).join("k.txt");
    fs::write(&path, "one").unwrap();
    let change = || fs::write(&path, "and another").unwrap();
    let (bytes, _) = copied_while(&held, "copy: about to send", change);
    assert_eq!(bytes, b"and another");
}
