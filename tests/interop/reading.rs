//! What the SDKs wrote is shown in the mount as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::{
    METADATA, STORES, TempMount, TempStorage, can_mount, disk_name, file_name, fixture, mime_type,
    names, tree,
};
use crate::sdk::{Js, Python, STORE, by_key, sidecars};

/// Asserts that each of `records` (key, disk name, content type) is listed in the mount under the key's file
/// name, is byte for byte what is on disk, and has its content type; and that nothing else is listed but the
/// store's metadata and files without a sidecar.
#[track_caller]
fn assert_shown(mounted: &Path, on_disk: &Path, records: &[(String, String, String)]) {
    let listed = names(mounted);
    let mut left = listed.clone();
    left.remove(METADATA);
    for (key, disk_name, content_type) in records {
        let name = file_name(key);
        assert!(left.remove(&name), "{key:?} is not listed as {name:?}: {listed:?}");
        let (path, original) = (mounted.join(&name), fs::read(on_disk.join(disk_name)).unwrap());
        assert_eq!(fs::read(&path).unwrap(), original, "{key:?}");
        assert_eq!(fs::metadata(&path).unwrap().len(), original.len() as u64, "{key:?}");
        assert_eq!(mime_type(&path), *content_type, "{key:?}");
    }
    for name in left {
        let bare = on_disk.join(disk_name(&name));
        let sidecar = on_disk.join(format!("{}.{METADATA}", disk_name(&name)));
        assert!(bare.is_file() && !sidecar.exists(), "{name:?} is listed, but is no record");
    }
}

/// Checks a store of a fixture against what the SDK itself read back when the fixture was made.
#[track_caller]
fn check_manifest(tree: &str, store: &str) {
    if !can_mount() {
        return;
    }
    let manifest = fs::read_to_string(fixture(&format!("{tree}.{store}.manifest.json"))).unwrap();
    // Python writes what JSON does not have; the value is not looked at here.
    let manifest: Value = serde_json::from_str(&manifest.replace("NaN", "null")).unwrap();
    let storage = TempStorage::of_fixture(tree);
    let mount = TempMount::new(&storage);
    let records: Vec<_> = manifest["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let text = |field: &str| record[field].as_str().unwrap().to_owned();
            // `sha256sum` is one more reader, and the sum one more witness than the bytes on disk.
            let path = mount.store(store).join(file_name(&text("key")));
            let sum = Command::new("sha256sum").arg("--").arg(&path).output().unwrap();
            // A leading backslash says that the name is shown escaped.
            let sum = String::from_utf8_lossy(&sum.stdout).trim_start_matches('\\').to_owned();
            assert!(sum.starts_with(&text("sha256")), "{path:?}: {sum}");
            (text("key"), text("file"), text("content_type"))
        })
        .collect();
    assert!(!records.is_empty());
    assert_shown(&mount.store(store), &storage.store(store), &records);
}

#[test]
fn python_values_are_shown_as_the_sdk_wrote_them() {
    check_manifest("python/values", "kinds");
}

#[test]
fn python_default_store_is_shown_as_the_sdk_wrote_it() {
    check_manifest("python/values", "default");
}

#[test]
fn python_odd_keys_have_one_file_name_each() {
    check_manifest("python/odd-keys", "odd");
}

/// Checks every store of a storage with sidecars against its sidecars.
#[track_caller]
fn check_sidecars(storage: &TempStorage, stores: &[&str]) {
    let mount = TempMount::new(storage);
    for store in stores {
        let records: Vec<_> = sidecars(&storage.store(store))
            .into_iter()
            .map(|(disk_name, (key, content_type))| (key, disk_name, content_type))
            .collect();
        assert!(!records.is_empty(), "{store}");
        assert_shown(&mount.store(store), &storage.store(store), &records);
    }
}

#[test]
fn p12_stores_of_crawlee_v4_are_shown_as_they_are() {
    if can_mount() {
        let storage = TempStorage::of_fixture("crawlee-storage-v4/values");
        check_sidecars(&storage, &["kinds", "default", "run-scoped"]);
    }
}

#[test]
fn p12_store_in_two_dialects_is_shown_as_it_is() {
    if can_mount() {
        let storage = TempStorage::of_fixture("mixed/python-then-v4");
        check_sidecars(&storage, &["kinds", "default"]);
    }
}

#[test]
fn fresh_python_storage_is_shown_as_it_is() {
    let Some(python) = Python::find() else { return };
    let storage = TempStorage::empty();
    let filled = python.run(&["fill", storage.path().to_str().unwrap()]);
    check_sidecars(&storage, &["default", "odd-keys"]);

    // The SDK reads the same as before, so that looking through the mount has changed nothing for it.
    for store in ["default", "odd-keys", "empty"] {
        assert_eq!(python.dump(&storage, store), by_key(filled[store].clone()), "{store}");
    }
}

/// The records of a store in the layout of JS 3, as a fresh process of that SDK sees them.
#[track_caller]
fn check_js(storage: &TempStorage, store: &str, seen_by_sdk: &BTreeMap<String, Value>) {
    let on_disk = storage.store(store);
    let mount = TempMount::new(storage);
    let mounted = mount.store(store);
    let shown: BTreeSet<_> = names(&on_disk).iter().map(|name| file_name(name)).collect();
    assert_eq!(names(&mounted), shown);
    assert_eq!(seen_by_sdk.len(), shown.len());
    for disk_name in names(&on_disk) {
        // This SDK takes the key from the file's name (FORMAT 6.2).
        let key = match disk_name.rsplit_once('.') {
            Some((stem, _)) if !stem.is_empty() => stem,
            _ => &disk_name,
        };
        let record = &seen_by_sdk[key];
        let path = mounted.join(file_name(&disk_name));
        assert_eq!(fs::read(&path).unwrap(), fs::read(on_disk.join(&disk_name)).unwrap());
        assert_eq!(mime_type(&path), record["content_type"].as_str().unwrap(), "{record}");
    }
}

#[test]
fn p12_store_of_js3_is_shown_as_it_is() {
    if can_mount() {
        let manifest = fs::read(fixture("js-v3/plain.kinds.manifest.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let seen = by_key(manifest["fresh_process"]["records"].clone());
        check_js(&TempStorage::of_fixture("js-v3/plain"), "kinds", &seen);
    }
}

#[test]
fn p12_fresh_js3_store_with_odd_keys_is_shown_as_it_is() {
    let Some(js) = Js::find() else { return };
    let storage = TempStorage::empty();
    let keys = [
        "plain",
        "with space",
        "\u{fc}",
        "%41",
        "100%",
        "@home",
        ".hidden",
        "it's",
        "a.b.c",
        "-dash",
    ];
    let records: Vec<_> =
        keys.iter().map(|key| json!({"key": key, "value": {"key": key}})).collect();
    js.fill(&storage, STORE, &json!(records));
    check_js(&storage, STORE, &js.dump(&storage, STORE));
}

#[test]
fn p19_damaged_storages_are_shown_and_left_alone() {
    if !can_mount() {
        return;
    }
    for name in ["python/states", "js-v3/with-metadata", "mixed/python-then-js"] {
        let storage = TempStorage::of_fixture(name);
        let before = storage.files();
        let mount = TempMount::new(&storage);
        let stores = names(&mount.stores());
        assert_eq!(stores, names(&storage.path().join(STORES)), "{name}");
        for store in stores {
            for record in names(&mount.store(&store)) {
                let path = mount.store(&store).join(record);
                fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
        }
        mount.unmount();
        let after = storage.files();
        for (path, content) in before {
            // Reading moves the accessed time of a store whose metadata is sound.
            let kept = if path.ends_with(METADATA) {
                after.contains_key(&path)
            } else {
                after.get(&path) == Some(&content)
            };
            assert!(kept, "{name}: {} was changed", path.display());
        }
    }
}

#[test]
fn the_fixtures_are_whole() {
    // A checkout that loses empty files or odd names would make other tests pass for the wrong reason.
    let odd = tree(&fixture("python/odd-keys"));
    assert_eq!(odd.len(), 2 * 34 + 1);
    assert!(odd.keys().any(|path| path.ends_with("nul%00")));
    let before = tree(&fixture("apify/purge-input-json/before"));
    assert!(before.keys().any(|path| path.ends_with("left.abcd_123.tmp")));
}
