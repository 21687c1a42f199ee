//! A storage that was copied into a mount is the same to the SDK that made it.

use std::path::Path;

use crate::common::{TempMount, TempStorage, copy_tree, fixture, sh};
use crate::sdk::Python;

#[test]
fn p10_a_restored_storage_is_the_same_to_the_sdk() {
    let Some(python) = Python::find() else { return };
    let raw = TempStorage::of_fixture("python/values");
    copy_tree(&fixture("python/odd-keys"), &raw.path());
    // JSON has no such number.
    sh("rm nan nan.__metadata__.json", &raw.store("kinds"));
    let stores = ["default", "kinds", "odd"];
    let expected = stores.map(|store| python.dump(&raw, store));
    let source = TempMount::new(&raw);
    for (from, copy) in [
        (raw.path(), "cp -r"),
        (raw.path(), "rsync -a"),
        (source.path(), "cp -a"),
        (source.path(), "rsync -aX"),
    ] {
        let storage = TempStorage::empty();
        let mount = TempMount::new(&storage);
        sh(&format!("{copy} '{}/.' '{}/'", from.display(), mount.path().display()), Path::new("/"));
        // While it is mounted, as after it.
        let seen = stores.map(|store| python.dump(&storage, store));
        for (store, (seen, expected)) in stores.iter().zip(seen.iter().zip(&expected)) {
            for (key, record) in expected {
                assert_eq!(seen.get(key), Some(record), "{copy}: {key} of {store}");
            }
            // What a killed process has left is a file like any other to whoever copies it.
            let more: Vec<_> = seen.keys().filter(|key| !expected.contains_key(*key)).collect();
            assert!(more.iter().all(|key| key.ends_with(".tmp")), "{copy}: {more:?} in {store}");
        }
    }
}
